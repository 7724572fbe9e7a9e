//! What families take: the files of `MGIT_MODELS`, family by family, in a store, beside the plain
//! files and zstd at level 19 of each file; and what repacking makes of them. Then what one more
//! model of a family costs when 19 are there, beside what it costs when one is. Criterion has no
//! place for sizes, so this prints its own.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use common::{median, models, timed};
use mgit::Store;
use mgit::store::Repack;

const ROUNDS: usize = 7;

fn main() {
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    sizes();
    growth();
}

/// The families in the folders of `MGIT_MODELS`, as the `lineage.json` of each lists them: by their
/// names' first word, files behind their parents.
fn families() -> BTreeMap<String, Vec<(PathBuf, String, Option<String>)>> {
    let mut families: BTreeMap<String, Vec<_>> = BTreeMap::new();
    let folders = std::env::var_os("MGIT_MODELS").unwrap_or_default();
    for folder in std::env::split_paths(&folders) {
        let Ok(text) = fs::read(folder.join("lineage.json")) else { continue };
        let listed: serde_json::Value = serde_json::from_slice(&text).expect("a family");
        let mut waiting: Vec<(PathBuf, String, Option<String>)> = Vec::new();
        for member in listed["members"].as_array().expect("members") {
            let text = |key: &str| member[key].as_str().map(str::to_owned);
            let (file, name) = (text("file").expect("a file"), text("name").expect("a name"));
            let file = folder.join(Path::new(&file).file_name().expect("a file name"));
            if file.is_file() {
                waiting.push((file, name, text("parent")));
            }
        }
        let mut sorted: Vec<(PathBuf, String, Option<String>)> = Vec::new();
        while !waiting.is_empty() {
            let known = |parent: &String| sorted.iter().any(|(_, name, _)| name == parent);
            let ready = waiting.iter().position(|(.., parent)| parent.iter().all(known));
            let mut next = waiting.remove(ready.unwrap_or(0));
            next.2 = next.2.filter(known);
            sorted.push(next);
        }
        let folder = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        for member in sorted {
            let root = member.1.split("-").next().unwrap_or_default();
            let family = if member.1.contains("dnsmos") { "dnsmos" } else { root };
            families.entry(format!("{folder}: {family}")).or_default().push(member);
        }
    }
    families
}

/// Bytes of the records that tensors have in a store.
fn stored(store: &Store) -> u64 {
    let mut transaction = store.begin_write().expect("a transaction");
    let how = Repack::default().dry_run(true);
    transaction.repack(&how, &|_| ()).expect("a dry run").before_bytes
}

fn sizes() {
    let folder = models::scratch();
    println!(
        "family | models | plain bytes | store, bytes | ratio | repacked | zstd-19, bytes | ratio"
    );
    for (family, members) in families() {
        let path = folder.path().join("family.mgit");
        let store = Store::create(&path).expect("a store");
        let (mut plain, mut zstd) = (0, 0);
        for (file, name, parent) in &members {
            models::import(&store, file, name, parent.as_deref());
            let bytes = fs::read(file).expect("a model");
            plain += bytes.len() as u64;
            zstd += zstd::bulk::compress(&bytes, 19).expect("room").len() as u64;
        }
        drop(store);
        let size = fs::metadata(&path).expect("the store").len();
        let store = Store::open(&path).expect("the store");
        let mut transaction = store.begin_write().expect("a transaction");
        let repacked = transaction.repack(&Repack::default(), &|_| ()).expect("repacked");
        transaction.commit().expect("a commit");
        println!(
            "RATIO {family} | {} | {plain} | {size} | {:.3} | records {} -> {} | {zstd} | {:.3}",
            members.len(),
            plain as f64 / size as f64,
            repacked.before_bytes,
            repacked.after_bytes,
            plain as f64 / zstd as f64,
        );
        assert_eq!(stored(&store), repacked.after_bytes);
        drop(store);
        fs::remove_file(path).expect("the store is there");
    }
}

/// One more model of a family: where one is, and where 19 are.
fn growth() {
    let folder = models::scratch();
    let mut weights = models::Weights::of_layers(1, 4096, 2);
    let mut next = |at: usize| {
        if at > 0 {
            weights.fine_tune();
        }
        let path = folder.path().join(format!("{at}"));
        weights.write(&path);
        path
    };
    let files: Vec<PathBuf> = (0..20).map(&mut next).collect();
    let (small, large) = (folder.path().join("small.mgit"), folder.path().join("large.mgit"));
    for declared in [true, false] {
        let parent = |at: usize| (declared && at > 0).then(|| format!("m{}", at - 1));
        let fill = |path: &Path, count: usize| {
            let store = Store::create(path).expect("a store");
            for (at, file) in files.iter().enumerate().take(count) {
                models::import(&store, file, &format!("m{at}"), parent(at).as_deref());
            }
        };
        fill(&small, 1);
        fill(&large, 19);
        let copy = folder.path().join("copy.mgit");
        let one_more = |path: &Path, at: usize| {
            fs::copy(path, &copy).expect("a copy");
            let store = Store::open(&copy).expect("the store");
            let parent = parent(at);
            let add = || models::import(&store, &files[at], &format!("m{at}"), parent.as_deref());
            let took = timed(add).as_secs_f64();
            drop(store);
            fs::remove_file(&copy).expect("the copy is there");
            took
        };
        let mut ratios = Vec::new();
        for round in 0..ROUNDS + 1 {
            let ratio = if round % 2 == 0 {
                let small = one_more(&small, 1);
                one_more(&large, 19) / small
            } else {
                let large = one_more(&large, 19);
                large / one_more(&small, 1)
            };
            // The first warms up.
            ratios.extend((round > 0).then_some(ratio));
        }
        let what = if declared { "declared" } else { "withheld" };
        println!("RATIO import of the 20th / of the 2nd, parents {what}: {:.2}", median(ratios));
        [&small, &large].into_iter().for_each(|path| fs::remove_file(path).expect("a store"));
    }
}
