//! Promise: `graph` draws every model and both kinds of edge in each format, to standard output
//! or into a file; what a store says can neither end its string nor add an element; a store with
//! a damaged model is drawn all the same.

use crate::common::Sandbox;
use mgit::{NewModel, Store};
use serde_json::json;

const FORMATS: [&str; 5] = ["text", "dot", "mermaid", "svg", "html"];
const HOSTILE: &str = "\"]--></text></script>\\\n\u{1b}[2J\u{202e}<script>&'`${x}";

fn family() -> Sandbox {
    let sandbox = Sandbox::with_store();
    sandbox.import(0, "base", &["--kind", HOSTILE, "--meta", "note=<i>"]);
    sandbox.import(1, "left", &["--parent", "base"]);
    sandbox.import(2, "right", &["--parent", "base", "--how", "prune"]);
    sandbox.import(3, "merged", &["--parent", "left", "--parent", "right", "--how", "merge"]);
    sandbox.import(4, "base", &[]);
    sandbox.ok(&["tag", "s", "best", "merged"]);
    sandbox
}

#[test]
fn every_format_has_every_model_and_edge() {
    let sandbox = family();
    for format in FORMATS {
        let text = sandbox.ok(&["graph", "s", "--format", format]);
        for name in ["base@1", "base@2", "left@1", "right@1", "merged@1", "best"] {
            assert!(text.contains(name), "{format}: {name}");
        }
        for how in ["prune", "merge", "finetune"] {
            assert!(text.contains(how), "{format}: {how}");
        }
    }
    let dot = sandbox.ok(&["graph", "s", "--format", "dot"]);
    assert_eq!(dot.matches(" -> ").count(), 5);
    assert_eq!(dot.matches("style=dashed").count(), 1);
    let mermaid = sandbox.ok(&["graph", "s", "--format", "mermaid"]);
    assert_eq!((mermaid.matches("-->").count(), mermaid.matches("-.->").count()), (4, 1));
    let svg = sandbox.ok(&["graph", "s", "--format", "svg"]);
    assert_eq!(svg.matches("<g class=\"edge provenance\" data-").count(), 4);
    assert_eq!(svg.matches("<g class=\"edge version\" data-").count(), 1);
    assert_eq!(svg.matches("data-node=").count(), 5);
    assert_eq!(sandbox.ok(&["graph", "s"]), sandbox.ok(&["log", "s"]));
}

#[test]
fn the_end_of_the_files_name_says_the_format() {
    let sandbox = family();
    for (file, start, format) in [
        ("f.svg", "<svg ", "svg"),
        ("f.html", "<!DOCTYPE html>", "html"),
        ("f.dot", "digraph ", "dot"),
        ("f.mmd", "flowchart LR", "mermaid"),
        ("f.txt", "*", "text"),
    ] {
        let document = sandbox.json(&["graph", "s", "-o", file]);
        assert_eq!((&document["format"], &document["models"]), (&json!(format), &json!(5)));
        let bytes = sandbox.read(file);
        assert_eq!(document["bytes"], bytes.len());
        assert!(bytes.starts_with(start.as_bytes()), "{file}");
    }
    // What the command drew may be drawn again; text has no mark of it.
    sandbox.ok(&["graph", "s", "-o", "f.html", "--format", "svg"]);
    sandbox.refused(&["graph", "s", "-o", "f.txt", "--format", "svg"], 1);
    sandbox.ok(&["graph", "s", "-o", "f.txt", "--format", "svg", "--force"]);
    assert!(sandbox.read("f.txt").starts_with(b"<svg "));
    sandbox.refused(&["graph", "s", "-o", "no/such/folder.svg"], 1);
    assert_eq!(sandbox.failure(&["graph", "s"], 2)["code"], "usage");
}

/// Elements of XML, end by end; panics where they do not nest.
fn check_nesting(xml: &str) {
    let mut open: Vec<&str> = Vec::new();
    for piece in xml.split('<').skip(1) {
        let (tag, _) = piece.split_once('>').unwrap_or_else(|| panic!("no end: {piece}"));
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "{piece}");
        } else if !tag.ends_with('/') {
            open.push(tag.split_whitespace().next().unwrap());
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn hostile_text_stays_text() {
    let sandbox = family();
    let svg = sandbox.ok(&["graph", "s", "--format", "svg"]);
    check_nesting(&svg);
    assert!(!svg.contains("style=\""), "a style of an element, which strict policies forbid");
    assert!(!svg.contains("<script") && !svg.contains(['\u{1b}', '\u{202e}']));
    let html = sandbox.ok(&["graph", "s", "--format", "html"]);
    assert_eq!(html.matches("<script").count(), 2);
    assert_eq!(html.matches("</script>").count(), 2);
    assert!(!html.contains(['\u{1b}', '\u{202e}']));
    assert!(html.contains("default-src 'none'"));
    let without = html.replace("http-equiv", "");
    assert!(!without.contains("http"), "the page names something outside");
    let dot = sandbox.ok(&["graph", "s", "--format", "dot"]);
    for line in dot.lines().filter(|line| line.contains("label=\"base@1")) {
        let plain = line.replace("\\\\", "").replace("\\\"", "");
        assert_eq!(plain.matches('"').count(), 2, "{line}");
    }
    let mermaid = sandbox.ok(&["graph", "s", "--format", "mermaid"]);
    let line = mermaid.lines().find(|line| line.contains("base@1")).unwrap();
    assert_eq!((line.matches('"').count(), line.matches(']').count()), (2, 1), "{line}");
}

#[test]
fn a_damaged_model_is_drawn_as_such() {
    let sandbox = Sandbox::with_store();
    sandbox.import(0, "good", &[]);
    sandbox.import(1, "bad", &["--parent", "good"]);
    let store = Store::open_read_only(sandbox.path("s")).unwrap();
    let snapshot = store.snapshot().unwrap();
    let manifest = snapshot.model("bad").unwrap().node().manifest_id();
    let row = mgit::catalog::ReadTables::get(
        snapshot.tables(),
        mgit::catalog::Table::Manifests,
        manifest.as_bytes(),
    );
    let row = mgit::catalog::RecordRow::decode(&row.unwrap().unwrap()).unwrap();
    drop((snapshot, store));
    let mut bytes = sandbox.read("s");
    bytes[(row.offset + row.len - 1) as usize] ^= 1;
    sandbox.write("s", &bytes);
    let svg = sandbox.ok(&["graph", "s", "--format", "svg"]);
    assert!(svg.contains("class=\"node damaged\"") && svg.contains("good@1"), "{svg}");
    sandbox.ok(&["graph", "s", "-o", "f.html"]);
}

#[test]
fn thousands_of_models_are_drawn() {
    let sandbox = Sandbox::new();
    let store = Store::create(sandbox.path("s")).unwrap();
    let mut transaction = store.begin_write().unwrap();
    for at in 0..3000 {
        let new = NewModel::new(format!("m{at}"));
        let parent = if at % 2 == 0 { at / 2 } else { at - 1 };
        let new = if at == 0 { new } else { new.parent(format!("m{parent}"), mgit::How::Cast) };
        transaction.add_model(new).unwrap();
    }
    transaction.commit().unwrap();
    drop(store);
    let svg = sandbox.ok(&["graph", "s", "--format", "svg"]);
    assert_eq!(svg.matches("data-node=").count(), 3000);
}
