//! Promises of the pages: what a store says stays text; nothing on an element is a style or a
//! program; what is long is cut and counted; what is damaged is said.

use std::collections::BTreeSet;

use mgit::catalog::{ReadTables, RecordRow, Table};
use mgit::interchange::FileFormat;
use mgit::{Dtype, How, NewModel, NewPart, NewTensor, Store, Transaction};

use super::{POLICY, Page, Site, asset, family, model, problem, stores};

const HOSTILE: &str =
    "</script><img src=x onerror=hurt() style=\"color:red\">'\"&\u{1b}[2J\u{202e}";

struct Made {
    _folder: tempfile::TempDir,
    store: Store,
}

fn made(fill: impl FnOnce(&mut Transaction)) -> Made {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::create(folder.path().join("s.mgit")).unwrap();
    let mut transaction = store.begin_write().unwrap();
    fill(&mut transaction);
    transaction.commit().unwrap();
    Made { _folder: folder, store }
}

fn site() -> Site {
    let endpoint = "http://127.0.0.1:8420/team".to_owned();
    Site { base: "/team".to_owned(), endpoint, title: "s.mgit".to_owned() }
}

fn bytes(name: impl Into<String>, value: u8) -> NewTensor<'static> {
    NewTensor::from_byte_vec(name, Dtype::U8, [4], vec![value; 4])
}

/// A folder of a file of weights and another file.
fn folder(
    new: NewModel<'static>,
    weights: NewPart<'static>,
    path: &str,
    more: &str,
) -> NewModel<'static> {
    let more = more.as_bytes().to_vec();
    let aside = NewPart::file(path, FileFormat::Bytes);
    new.part(weights).part(aside.woven(vec![], more.len() as u64, more).aside())
}

fn weights() -> NewPart<'static> {
    NewPart::new("model.safetensors")
}

fn text(page: Page) -> String {
    String::from_utf8(page.body).unwrap()
}

impl Made {
    fn family(&self) -> String {
        text(family(&self.store.snapshot().unwrap(), &site()).unwrap())
    }

    fn model(&self, name: &str, query: &str) -> String {
        let found = self.store.snapshot().unwrap().model(name).unwrap();
        text(model(&found, &site(), query).unwrap())
    }
}

/// The tags of a page, each from its name on.
fn tags(page: &str) -> Vec<&str> {
    page.split('<').skip(1).map(|piece| piece.split_once('>').unwrap().0).collect()
}

/// The names of a tag's attributes. Values are in quotes, and hold none themselves.
fn attributes(tag: &str) -> Vec<&str> {
    tag.split('"').step_by(2).flat_map(str::split_whitespace).skip(1).collect()
}

/// Elements are those that the tool writes, without styles and handlers; nothing is asked of
/// another server.
fn check(page: &str) {
    assert!(!page.contains(['\u{1b}', '\u{202e}']), "{page}");
    for tag in tags(page) {
        assert!(!tag.starts_with("img") && !tag.starts_with("style"), "{tag}");
        assert!(
            !tag.starts_with("script") || tag.contains("src=\"/team/-/") || tag.contains("json")
        );
        for name in attributes(tag) {
            assert!(!name.starts_with("on") && !name.starts_with("style"), "{tag}");
        }
        for link in ["href=\"", "src=\"", "action=\""] {
            let Some((_, value)) = tag.split_once(link) else { continue };
            assert!(value.starts_with("/team/") || value.starts_with('#'), "{tag}");
        }
    }
}

#[test]
fn what_a_store_says_stays_text() {
    let made = made(|transaction| {
        let base = NewModel::new("base").kind(HOSTILE).metadata(HOSTILE, HOSTILE);
        let base = folder(base, weights().tensor(bytes(HOSTILE, 1)), "README.md", HOSTILE);
        transaction.add_model(base).unwrap();
        let tuned = NewModel::new("tuned").parent("base", How::Prune).tensor(bytes("w", 2));
        transaction.add_model(tuned).unwrap();
    });
    for page in [
        made.family(),
        made.model("base", ""),
        made.model("base", "find=%3Cimg%20style%3D%22&tensors=%22"),
        made.model("tuned", ""),
        text(problem(404, HOSTILE, &site())),
        text(stores(&[(HOSTILE.to_owned(), HOSTILE.to_owned(), 1)], &site())),
    ] {
        check(&page);
    }
    assert!(made.model("base", "").contains("&lt;img src=x onerror=hurt()"));
}

#[test]
fn the_policy_obeys_nothing_that_stands_in_a_page() {
    assert!(POLICY.starts_with("default-src 'none';") && !POLICY.contains("unsafe"));
    let snapshot = made(|_| ()).store.snapshot().unwrap();
    let page = text(family(&snapshot, &site()).unwrap());
    let asked: BTreeSet<&str> = page
        .split("/team/-/")
        .skip(1)
        .filter_map(|piece| piece.split('"').next())
        .chain(["model.js"])
        .collect();
    assert!(asked.len() > 4, "{asked:?}");
    for name in asked {
        let found = asset(name).unwrap_or_else(|| panic!("{name} is asked for and not there"));
        let content = text(found);
        assert!(!content.contains("innerHTML") && !content.contains("eval("), "{name}");
        assert!(!content.replace("http://www.w3.org/2000/svg", "").contains("http"), "{name}");
    }
    assert!(asset("../pages/page.css").is_none());
}

#[test]
fn models_lead_to_each_other_and_to_their_files() {
    let made = made(|transaction| {
        transaction.add_model(NewModel::new("team/base").tensor(bytes("w", 1))).unwrap();
        let tuned = NewModel::new("team/sst2/tuned").parent("team/base", How::Prune);
        let tuned = folder(tuned, weights().tensor(bytes("w", 2)), "a b+c%.txt", "odd");
        transaction.add_model(tuned).unwrap();
        transaction.add_model(NewModel::new("team/base").tensor(bytes("w", 3))).unwrap();
        transaction.set_tag("best", "team/base@1").unwrap();
    });
    let all = made.family();
    assert!(all.contains("href=\"/team/team/sst2/tuned/tree/1\""), "{all}");
    assert!(all.contains("href=\"/team/team/base\">team/base</a>"), "{all}");
    let tuned = made.model("team/sst2/tuned", "");
    for part in [
        "<dt>prune of</dt><dd><a href=\"/team/team/base/tree/1\">team/base@1</a>",
        "href=\"/team/team/sst2/tuned/resolve/1/a%20b%2Bc%25.txt\"",
        "HF_ENDPOINT=http://127.0.0.1:8420/team hf download team/sst2.tuned --revision 1",
        "http://127.0.0.1:8420/team/team/sst2/tuned/resolve/1/model.safetensors",
        "1 layer changed, 0 added, 0 removed, 0 the same; 1 tensor differs",
    ] {
        assert!(tuned.contains(part), "{part}: {tuned}");
    }
    let base = made.model("team/base@1", "");
    for part in [
        "<dt>parent of</dt><dd><a href=\"/team/team/sst2/tuned/tree/1\">",
        "<dt>followed by</dt><dd><a href=\"/team/team/base/tree/2\">",
        "<span class=\"tag\">best</span>",
    ] {
        assert!(base.contains(part), "{part}: {base}");
    }
}

#[test]
fn what_is_long_is_cut_and_counted() {
    let made = made(|transaction| {
        let long = NewModel::new("long").metadata("note", "x".repeat(5000));
        let part = (0..2500).fold(weights(), |part, at| {
            part.tensor(bytes(format!("layer.{at:04}.weight"), (at % 250) as u8))
        });
        let card = "line\n".repeat(20_000);
        transaction.add_model(folder(long, part, "README.md", &card)).unwrap();
    });
    let rows = |page: &str| page.matches("<tr><td class=\"name\">layer.").count();
    let first = made.model("long", "");
    assert_eq!(rows(&first), 2000);
    for part in [
        "1 to 2000 of 2500",
        "?tensors=2&amp;find=#tensors",
        "and 3000 more characters",
        "and 34464 more bytes",
    ] {
        assert!(first.contains(part), "{part}");
    }
    let second = made.model("long", "tensors=2");
    assert_eq!(rows(&second), 500);
    let found = made.model("long", "find=LAYER.24");
    assert_eq!(rows(&found), 100);
    assert!(found.contains("100 of 2500 tensors"), "{found}");
    assert_eq!(rows(&made.model("long", "tensors=99999999999999999999")), 2000);
    assert_eq!(rows(&made.model("long", "tensors=900")), 500);
}

#[test]
fn a_damaged_manifest_leaves_the_family() {
    let made = made(|transaction| {
        transaction.add_model(NewModel::new("good").tensor(bytes("w", 1))).unwrap();
        let bad = NewModel::new("bad").parent("good", How::Prune).tensor(bytes("w", 2));
        transaction.add_model(bad).unwrap();
        let child = NewModel::new("child").parent("bad", How::Prune).tensor(bytes("w", 3));
        transaction.add_model(child).unwrap();
    });
    let snapshot = made.store.snapshot().unwrap();
    let manifest = snapshot.find("bad").unwrap().manifest_id();
    let row = snapshot.tables().get(Table::Manifests, manifest.as_bytes()).unwrap().unwrap();
    let row = RecordRow::decode(&row).unwrap();
    drop(snapshot);
    let Made { _folder: folder, store } = made;
    drop(store);
    let path = folder.path().join("s.mgit");
    let mut content = std::fs::read(&path).unwrap();
    content[(row.offset + row.len - 1) as usize] ^= 1;
    std::fs::write(&path, content).unwrap();
    let made = Made { store: Store::open_read_only(&path).unwrap(), _folder: folder };
    let all = made.family();
    assert!(all.contains("class=\"node damaged\"") && all.contains(">good</a>"), "{all}");
    let child = made.model("child", "");
    assert!(child.contains("its tensors cannot be read"), "{child}");
    assert!(made.store.snapshot().unwrap().model("bad").is_err());
}
