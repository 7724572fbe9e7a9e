//! What a longer delta chain saves, and what it costs to read: successive versions of a model
//! under several bounds of the chain. Criterion has no place for a table of sizes, so this prints
//! its own. `planning::CHAIN_DEPTH_MAX` is chosen from it.
//!
//! The versions: generated ones (a root and 19 fine-tunes, each of the one before), and, where
//! `MGIT_MODELS` names folders that hold them, real ones. The first line of a series says what a
//! generated step takes beside a real one.

mod common;

use common::{models, timed};
use mgit::Store;
use std::path::{Path, PathBuf};

/// The last is as good as none.
const BOUNDS: [u8; 7] = [1, 2, 3, 4, 8, 16, 64];

const VERSIONS: usize = 20;

/// Rounds over all bounds; times are medians over the rounds.
const ROUNDS: usize = 5;

/// What makes the next version of a model, and how it is written.
type Series = (&'static str, f32, fn(&mut models::Weights), fn(&models::Weights, &Path));

fn main() {
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let folder = models::scratch();
    let slice = |name: &str| models::find(&format!("minilm-slice-{name}.safetensors"));
    let real = |names: &[&str]| names.iter().map(|name| slice(name)).collect::<Option<Vec<_>>>();
    let f32_step = real(&["A-v1", "A-v2"]);
    let bf16_step = real(&["base-bf16", "A-bf16-mixed-v1"]);
    let series: [(Series, Option<Vec<PathBuf>>); 3] = [
        (
            ("f32 fine-tunes", F32_STEP, models::Weights::fine_tune, models::Weights::write),
            f32_step,
        ),
        (
            (
                "bf16 of f32 fine-tunes",
                BF16_STEP,
                models::Weights::fine_tune,
                models::Weights::write_bf16,
            ),
            bf16_step,
        ),
        (
            ("f32 sparse steps", F32_STEP, models::Weights::step_sparsely, models::Weights::write),
            None,
        ),
    ];
    for (series, real) in series {
        let versions = generate(folder.path(), series);
        let step = |files: &[PathBuf]| step_share(files, folder.path());
        let real = real.map_or("not at hand".to_owned(), |real| format!("{:.3}", step(&real)));
        println!(
            "\n{}: a step takes {:.3} of the model's bytes, a real one {real}",
            series.0,
            step(&versions[..2])
        );
        measure(series.0, &versions, folder.path());
    }
    match real(&["base", "A-v1", "A-v2", "A-v3"]) {
        Some(real) => measure("real: base, A-v1, A-v2, A-v3", &real, folder.path()),
        None => println!("no real versions in MGIT_MODELS"),
    }
}

/// Mean sizes of a step that make a version take about what a real one does.
const F32_STEP: f32 = 4e-5;
const BF16_STEP: f32 = 2e-4;

fn generate(folder: &Path, (_, step, change, write): Series) -> Vec<PathBuf> {
    let mut weights = models::Weights::of_layers(1, 2048, 1).with_step(step);
    let mut next = |version: usize| {
        if version > 0 {
            change(&mut weights);
        }
        let path = folder.join(format!("version-{version}"));
        write(&weights, &path);
        path
    };
    (0..VERSIONS).map(&mut next).collect()
}

/// What the second of two models takes as the difference from the first, as a share of its bytes.
fn step_share(files: &[PathBuf], folder: &Path) -> f64 {
    let path = folder.join("step.mgit");
    let store = Store::create(&path).expect("a store");
    models::import(&store, &files[0], "v", None);
    let report = models::import(&store, &files[1], "v", None);
    drop(store);
    std::fs::remove_file(path).expect("the store");
    report.delta_stored_bytes as f64 / report.delta_bytes as f64
}

/// One bound's store: every version in it.
struct Bounded {
    bound: u8,
    path: PathBuf,
    stored: u64,
    depth: u8,
    /// Newest, oldest, middle, deepest.
    picked: [usize; 4],
    ms: [Vec<f64>; 4],
    bytes: [u64; 4],
    /// The second version, which stands on the first.
    single_ms: Vec<f64>,
    single_bytes: u64,
}

fn measure(title: &str, versions: &[PathBuf], folder: &Path) {
    let mut stores: Vec<Bounded> =
        BOUNDS.iter().map(|bound| fill(*bound, versions, folder)).collect();
    for _ in 0..ROUNDS {
        for store in &mut stores {
            let opened = Store::open_read_only(&store.path).expect("the store");
            let snapshot = opened.snapshot().expect("a snapshot");
            let mut out = Vec::new();
            let mut read = |version: usize| {
                let model = snapshot.model(format!("v@{version}")).expect("the version");
                for tensor in model.tensors() {
                    out.resize(tensor.byte_len() as usize, 0);
                    tensor.read_into(&mut out).expect("the tensor");
                }
            };
            // The first reading checks checksums; what is measured is decoding.
            (1..=versions.len()).for_each(&mut read);
            store.single_ms.push(timed(|| read(2)).as_secs_f64() * 1e3);
            for (ms, version) in store.ms.iter_mut().zip(store.picked) {
                ms.push(timed(|| read(version)).as_secs_f64() * 1e3);
            }
        }
    }
    let logical: u64 =
        versions.iter().map(|path| std::fs::metadata(path).expect("a version").len()).sum();
    println!(
        "== chain depth: {title}, {} versions of {:.1} MB",
        versions.len(),
        logical as f64 / 1e6 / versions.len() as f64
    );
    println!("size: ratio to the last bound's; bytes read and time: ratios to a single delta's");
    println!(
        "bound | deepest | records MB | ratio |  size | bytes: newest oldest middle deepest | time: the same"
    );
    let unbounded = stores[stores.len() - 1].stored as f64;
    for store in &stores {
        let bytes = store.bytes.map(|bytes| bytes as f64 / store.single_bytes as f64);
        let time = [0, 1, 2, 3].map(|at| ratio(&store.ms[at], &store.single_ms));
        println!(
            "RATIO {:5} | {:7} | {:10.2} | {:5.2} | {:5.3} | {:5.2} {:5.2} {:5.2} {:5.2} | {:5.2} {:5.2} {:5.2} {:5.2}",
            store.bound,
            store.depth,
            store.stored as f64 / 1e6,
            logical as f64 / store.stored as f64,
            store.stored as f64 / unbounded,
            bytes[0],
            bytes[1],
            bytes[2],
            bytes[3],
            time[0],
            time[1],
            time[2],
            time[3],
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
    let key = |version: &usize| (depth(&snapshot, *version), *version);
    let deepest = (1..=versions.len()).max_by_key(key).expect("a version");
    let picked = [versions.len(), 1, versions.len() / 2, deepest];
    let bytes = picked.map(|version| bytes_read(&snapshot, version));
    let (ms, single_ms) = ([const { Vec::new() }; 4], Vec::new());
    let (depth, single_bytes) = (depth(&snapshot, deepest), bytes_read(&snapshot, 2));
    Bounded { bound, path, stored, depth, picked, ms, bytes, single_ms, single_bytes }
}

fn depth(snapshot: &mgit::Snapshot, version: usize) -> u8 {
    let model = snapshot.model(format!("v@{version}")).expect("the version");
    let depths = model.tensors().map(|tensor| tensor.stored_as().expect("a row").depth);
    depths.max().unwrap_or(0)
}

/// Stored bytes that reading a version goes through.
fn bytes_read(snapshot: &mgit::Snapshot, version: usize) -> u64 {
    let model = snapshot.model(format!("v@{version}")).expect("the version");
    let bytes = model.tensors().map(|tensor| -> u64 {
        let chain = tensor.chain().expect("a chain");
        chain.records().iter().map(|record| record.header().stored_len).sum()
    });
    bytes.sum()
}
