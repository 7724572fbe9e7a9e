//! What a longer delta chain saves, and what it costs to read: successive versions of a model
//! under several bounds of the chain. Criterion has no place for a table of sizes, so this prints
//! its own. `planning::CHAIN_DEPTH_MAX` is chosen from it.
//!
//! The versions: generated ones (a root and 12 fine-tunes, each of the one before), and, where
//! `MGIT_MODELS` names a folder that holds them, real ones.

mod common;

use common::{models, timed};
use mgit::Store;
use std::path::{Path, PathBuf};

const BOUNDS: [u8; 7] = [1, 2, 3, 4, 6, 8, 12];

/// Rounds over all bounds; times are medians over the rounds.
const ROUNDS: usize = 5;

/// What makes the next version of a model.
type Change = fn(&mut models::Weights);

fn main() {
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let folder = models::scratch();
    let series: [(&str, Change); 2] = [
        ("generated: a root and 12 fine-tunes", models::Weights::fine_tune),
        ("generated: a root and 12 sparse steps", models::Weights::step_sparsely),
    ];
    for (title, change) in series {
        let versions = generate(folder.path(), change);
        measure(title, &versions, folder.path());
    }
    let real: Option<Vec<PathBuf>> = ["base", "A-v1", "A-v2", "A-v3"]
        .iter()
        .map(|name| models::find(&format!("minilm-slice-{name}.safetensors")))
        .collect();
    match real {
        Some(real) => measure("real: base, A-v1, A-v2, A-v3", &real, folder.path()),
        None => println!("no real versions in MGIT_MODELS"),
    }
}

fn generate(folder: &Path, change: Change) -> Vec<PathBuf> {
    let mut weights = models::Weights::of_layers(1, 4096, 1);
    let mut write = |version: usize| {
        if version > 0 {
            change(&mut weights);
        }
        let path = folder.join(format!("version-{version}"));
        weights.write(&path);
        path
    };
    (0..13).map(&mut write).collect()
}

/// One bound's store: every version in it.
struct Bounded {
    bound: u8,
    path: PathBuf,
    stored: u64,
    depth: u8,
    last_ms: Vec<f64>,
    one_core_ms: Vec<f64>,
    all_ms: Vec<f64>,
}

fn measure(title: &str, versions: &[PathBuf], folder: &Path) {
    let mut stores: Vec<Bounded> =
        BOUNDS.iter().map(|bound| fill(*bound, versions, folder)).collect();
    let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a thread");
    for _ in 0..ROUNDS {
        for store in &mut stores {
            let opened = Store::open_read_only(&store.path).expect("the store");
            let snapshot = opened.snapshot().expect("a snapshot");
            let mut out = Vec::new();
            let mut read = |version: usize| {
                let model = snapshot.model(&format!("v@{version}")).expect("the version");
                for tensor in model.tensors() {
                    out.resize(tensor.byte_len() as usize, 0);
                    tensor.read_into(&mut out).expect("the tensor");
                }
            };
            // The first reading checks checksums; what is measured is decoding.
            (1..=versions.len()).for_each(&mut read);
            let deepest = deepest(&snapshot, versions.len());
            store.last_ms.push(timed(|| read(deepest)).as_secs_f64() * 1e3);
            let read = std::sync::Mutex::new(&mut read);
            let one_core = timed(|| one.install(|| read.lock().expect("one at a time")(deepest)));
            store.one_core_ms.push(one_core.as_secs_f64() * 1e3);
            let mut read = read.into_inner().expect("no panic");
            let all = timed(|| (1..=versions.len()).for_each(&mut read));
            store.all_ms.push(all.as_secs_f64() * 1e3);
        }
    }
    let logical: u64 =
        versions.iter().map(|path| std::fs::metadata(path).expect("a version").len()).sum();
    println!(
        "\n== chain depth: {title}, {:.1} MB each",
        logical as f64 / 1e6 / versions.len() as f64
    );
    println!("size and times are ratios to bound 1; times: the deepest version, every version");
    println!("bound | deepest | records MB | ratio |  size | all cores, one core | every");
    let first = &stores[0];
    for store in &stores {
        println!(
            "{:5} | {:7} | {:10.2} | {:5.3} | {:5.3} | {:9.2} {:9.2} | {:5.2}",
            store.bound,
            store.depth,
            store.stored as f64 / 1e6,
            logical as f64 / store.stored as f64,
            store.stored as f64 / first.stored as f64,
            ratio(&store.last_ms, &first.last_ms),
            ratio(&store.one_core_ms, &first.one_core_ms),
            ratio(&store.all_ms, &first.all_ms),
        );
    }
}

fn ratio(ours: &[f64], theirs: &[f64]) -> f64 {
    common::median(ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect())
}

fn fill(bound: u8, versions: &[PathBuf], folder: &Path) -> Bounded {
    let path = folder.join(format!("bound-{bound}.mgit"));
    if path.exists() {
        std::fs::remove_file(&path).expect("the store of the series before");
    }
    let store = Store::create(&path).expect("a store");
    let stored = versions
        .iter()
        .map(|file| {
            models::import_as(&store, file, "v", None, |model| model.chain_depth_max(bound))
                .added_bytes
        })
        .sum();
    let snapshot = store.snapshot().expect("a snapshot");
    let depth = depth(&snapshot, deepest(&snapshot, versions.len()));
    let (last_ms, one_core_ms, all_ms) = (Vec::new(), Vec::new(), Vec::new());
    Bounded { bound, path, stored, depth, last_ms, one_core_ms, all_ms }
}

/// The version of the longest chains.
fn deepest(snapshot: &mgit::Snapshot, versions: usize) -> usize {
    let key = |version: &usize| (depth(snapshot, *version), *version);
    (1..=versions).max_by_key(key).expect("a version")
}

fn depth(snapshot: &mgit::Snapshot, version: usize) -> u8 {
    let model = snapshot.model(&format!("v@{version}")).expect("the version");
    let depths = model.tensors().map(|tensor| tensor.stored_as().expect("a row").depth);
    depths.max().unwrap_or(0)
}
