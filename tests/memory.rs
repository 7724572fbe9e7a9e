//! Promise: memory is bounded by chunks and cores, not by models: a model larger than the memory
//! a process may have goes in, goes in once more as a difference, and comes out byte for byte.
//!
//! The test at full size (2 GiB under a limit of 256 MiB, as the project promises) takes some
//! minutes and 7 GiB of disk in `TMPDIR`:
//!
//! ```text
//! cargo test --release --test memory -- --ignored --nocapture
//! ```
//!
//! The limit is the shell's `ulimit -d`, which counts private memory; pages of the store's map do
//! not count. Where the system knows no such limit the test only shows that the bytes come back.

#[path = "memory/forms.rs"]
mod forms;
#[path = "common/forms.rs"]
mod forms_of_weights;
#[path = "memory/repack.rs"]
mod repack;
#[path = "common/zip_stream.rs"]
mod zip_stream;

use std::fs::{self, File};
use std::io::{BufWriter, Read, Write};
use std::path::Path;
use std::process::Command;

use mgit::interchange::{ModelSource, export_to_path, write_header};
use mgit::lineage::OnChildren;
use mgit::merge::{Merge, MergeOptions, Resolution};
use mgit::model_tests::{RunOptions, Runner, Test, What};
use mgit::transfer::{self, Place, Selection};
use mgit::update::Strategy;
use mgit::upkeep::{VerifyDepth, usage, verify};
use mgit::{Dtype, How, NewModel, Shape, Store};

/// What tells a child process that it is one: the folder, and the model's size in MiB.
const FOLDER: &str = "MGIT_MEMORY_FOLDER";
const MEBIBYTES: &str = "MGIT_MEMORY_MEBIBYTES";

/// Runs a test such as [`limited`] in a process of its own that may have `limit_kib` of memory.
fn run_limited(body: &str, mebibytes: u64, limit_kib: u64) {
    let folder = tempfile::tempdir().expect("a folder");
    let program = std::env::current_exe().expect("this program");
    let script = format!(r#"ulimit -d {limit_kib}; exec "$0" --exact {body} --nocapture"#);
    let status = Command::new("sh")
        .args(["-c", &script])
        .arg(program)
        .env(FOLDER, folder.path())
        .env(MEBIBYTES, mebibytes.to_string())
        // So that the limit means the same on every machine.
        .env("RAYON_NUM_THREADS", "2")
        .status()
        .expect("a shell");
    assert!(status.success(), "{mebibytes} MiB under ulimit -d {limit_kib}: {status}");
}

#[test]
fn a_model_of_64_mib_passes_through_48_mib_of_memory() {
    run_limited("limited", 64, 48 << 10);
}

#[test]
#[ignore = "takes minutes and 7 GiB of disk"]
fn a_model_of_2_gib_passes_through_256_mib_of_memory() {
    run_limited("limited", 2048, 262_144);
}

#[test]
fn two_models_of_64_mib_are_merged_in_48_mib_of_memory() {
    run_limited("limited_merge", 64, 48 << 10);
}

#[test]
#[ignore = "takes minutes and 9 GiB of disk"]
fn two_models_of_2_gib_are_merged_in_256_mib_of_memory() {
    run_limited("limited_merge", 2048, 262_144);
}

/// The whole is 700,000 tensors within 512 MiB; here a tenth, and what is there in any case: the
/// batch, the caches and the program (96 MiB were enough, 88 were not).
#[test]
fn many_tensors_pass_through_little_memory() {
    run_limited("limited_tensors", 70_000, 112 << 10);
}

#[test]
#[ignore = "takes minutes"]
fn tensors_of_700_000_pass_through_512_mib_of_memory() {
    run_limited("limited_tensors", 700_000, 512 << 10);
}

/// As above, to other places and back: 72 MiB were enough, 64 were not.
#[test]
fn many_tensors_travel_in_little_memory() {
    run_limited("limited_transfer", 70_000, 80 << 10);
}

#[test]
#[ignore = "takes minutes"]
fn tensors_of_700_000_travel_in_512_mib_of_memory() {
    run_limited("limited_transfer", 700_000, 512 << 10);
}

/// The body for models of many tensors between places: cloned, pushed, pulled, bundled.
#[test]
fn limited_transfer() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let folder = Path::new(&folder);
    let count = std::env::var(MEBIBYTES).ok().and_then(|text| text.parse().ok());
    let count: u64 = count.expect("a number of tensors");
    let path = folder.join("model");
    write_tensors(&path, count, 1);
    let store = Store::create(folder.join("models.mgit")).expect("a store");
    let file = ModelSource::open(&path).expect("the model opens");
    let mut transaction = store.begin_write().expect("a transaction");
    transaction.add_model(NewModel::new("m").source(&file)).expect("the model goes in");
    transaction.commit().expect("the commit");
    drop(file);
    let remote = Place::Folder(folder.join("remote"));
    let bundle = folder.join("models.bundle");
    let near = Place::Store(store.path().to_owned());
    transfer::push(&store, &remote, Selection::ALL).expect("a push");
    transfer::bundle_create(&store, &bundle, Selection::ALL).expect("a bundle");
    drop(store);
    let there = transfer::verify_place(&remote, VerifyDepth::Full, &|_| ()).expect("a remote");
    assert!(there.is_clean(), "{:?}", there.findings);
    for (from, place) in [("store", near), ("folder", remote), ("bundle", Place::Bundle(bundle))] {
        let clone = Store::create(folder.join(from)).expect("a store");
        let report = transfer::pull(&clone, &place, Selection::ALL).expect("a clone");
        assert_eq!(report.tensors, count, "from a {from}");
        let out = folder.join("out");
        let model = clone.snapshot().and_then(|snapshot| snapshot.model("m")).expect("the model");
        export_to_path(&model, &out, &|_| ()).expect("the model comes out");
        assert_same(&path, &out);
        drop((model, clone));
        fs::remove_file(folder.join(from)).expect("the clone is there");
    }
}

/// As [`many_tensors_pass_through_little_memory`], for what works on several models at once (52 MiB
/// were enough).
#[test]
fn models_of_many_tensors_are_merged_checked_tested_and_removed_in_little_memory() {
    run_limited("limited_work", 20_000, 56 << 10);
}

#[test]
#[ignore = "takes minutes"]
fn models_of_700_000_tensors_are_merged_checked_tested_and_removed_in_512_mib() {
    run_limited("limited_work", 700_000, 512 << 10);
}

/// The body: a base and two children, which are merged, checked, tested; then the base goes.
#[test]
fn limited_work() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let folder = Path::new(&folder);
    let count = std::env::var(MEBIBYTES).ok().and_then(|text| text.parse().ok());
    let count: u64 = count.expect("a number of tensors");
    let store = Store::create(folder.join("models.mgit")).expect("a store");
    for (version, name) in (1..).zip(["base", "a", "b"]) {
        let path = folder.join("model");
        write_tensors(&path, count, version);
        let file = ModelSource::open(&path).expect("the model opens");
        let mut model = NewModel::new(name).source(&file);
        if name != "base" {
            model = model.parent("base", How::FineTune);
        }
        let mut transaction = store.begin_write().expect("a transaction");
        transaction.add_model(model).expect("the model goes in");
        transaction.commit().expect("the commit");
    }
    let options = MergeOptions { on_conflict: Some(Resolution::Ours), ..MergeOptions::default() };
    let merge = Merge::new("a", "b", "m").options(options);
    let merged = merge.run(&store, RunOptions::default()).expect("a merge");
    assert_eq!(merged.plan.unchanged as u64, count / 2);
    assert_eq!(merged.plan.layers().len() as u64, count / 2);
    drop(merged);

    let snapshot = store.snapshot().expect("a snapshot");
    let tests = ["finite", "norm-drift"]
        .map(|name| Test::new(name, What::Builtin(name.parse().expect("a built-in test"))));
    let nodes = snapshot.nodes().expect("the nodes");
    let runner = Runner::new(&snapshot, RunOptions::default());
    let report = runner.run(Some(&store), &tests, &nodes).expect("a run");
    assert!(report.is_passed() && report.not_kept.is_none());
    assert_eq!(report.results.len(), 2 * nodes.len());
    drop((report, runner));
    drop((nodes, snapshot));

    let snapshot = store.snapshot().expect("a snapshot");
    let report = verify(&store, &snapshot, VerifyDepth::Full, &|_| ()).expect("a check");
    assert!(report.is_clean(), "{:?}", report.findings);
    let usage = usage(&snapshot).expect("the usage");
    assert_eq!(usage.models.len(), 4);
    drop((report, usage, snapshot));

    let mut transaction = store.begin_write().expect("a transaction");
    transaction.remove_model("base", OnChildren::Detach).expect("the base goes");
    let found = transaction.collect().expect("a collection");
    assert_eq!((found.corrected, found.freed_records), (0, 0));
    transaction.commit().expect("the commit");
    assert_eq!(store.snapshot().and_then(|it| it.nodes()).expect("the nodes").len(), 3);
}

/// The body for models of many tensors of one number each: in, in as the next version, out,
/// compared.
#[test]
fn limited_tensors() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let folder = Path::new(&folder);
    let count = std::env::var(MEBIBYTES).ok().and_then(|text| text.parse().ok());
    let count: u64 = count.expect("a number of tensors");
    let store = Store::create(folder.join("models.mgit")).expect("a store");
    for version in 1..=2u32 {
        let path = folder.join("model");
        write_tensors(&path, count, version);
        let file = ModelSource::open(&path).expect("the model opens");
        let mut transaction = store.begin_write().expect("a transaction");
        transaction.add_model(NewModel::new("m").source(&file)).expect("the model goes in");
        transaction.commit().expect("the commit");
        drop(file);
        let out = folder.join("out");
        let model = store.snapshot().and_then(|snapshot| snapshot.model("m")).expect("the model");
        assert_eq!(model.tensors().len() as u64, count);
        export_to_path(&model, &out, &|_| ()).expect("the model comes out");
        assert_same(&path, &out);
    }
    let snapshot = store.snapshot().expect("a snapshot");
    let [old, new] = ["m@1", "m@2"].map(|name| snapshot.model(name).expect("the model"));
    let found = mgit::diff::diff(&old, &new).expect("a difference");
    assert_eq!((found.unchanged as u64, found.layers().len() as u64), (count / 2, count / 2));
}

/// A model of so many tensors of one number; every second one differs between versions.
fn write_tensors(path: &Path, count: u64, version: u32) {
    let shape = Shape::new(&[1]).expect("a shape");
    let names: Vec<String> = (0..count).map(|at| format!("layers.{at}.weight")).collect();
    let entries = names.iter().map(|name| (name.as_str(), &Dtype::F32, &shape, 4));
    let header = write_header(entries, None);
    drop(names);
    let mut out = BufWriter::with_capacity(1 << 16, File::create(path).expect("a new file"));
    out.write_all(&(header.len() as u64).to_le_bytes()).expect("room");
    out.write_all(&header).expect("room");
    for at in 0..count {
        let number = at as u32 * 4 + if at % 2 == 1 { version } else { 0 };
        out.write_all(&(number as f32 * 1e-6).to_le_bytes()).expect("room");
    }
    out.flush().expect("room");
}

/// The body: does nothing unless [`run_limited`] has started it.
#[test]
fn limited() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let folder = Path::new(&folder);
    let mebibytes = std::env::var(MEBIBYTES).ok().and_then(|text| text.parse().ok());
    let mebibytes: u64 = mebibytes.expect("a size");
    // The limit is there: what is as large as the model cannot be had.
    if cfg!(target_os = "linux") {
        let mut whole = Vec::<u8>::new();
        assert!(whole.try_reserve_exact((mebibytes << 20) as usize).is_err(), "no limit is set");
    }

    let store = Store::create(folder.join("models.mgit")).expect("a store");
    for (name, parent) in [("one", None), ("two", Some("one"))] {
        let path = folder.join(name);
        write_model(&path, mebibytes, u32::from(parent.is_some()));
        let file = ModelSource::open(&path).expect("the model opens");
        let mut model = NewModel::new(name).source(&file);
        if let Some(parent) = parent {
            model = model.parent(parent, How::FineTune);
        }
        let mut transaction = store.begin_write().expect("a transaction");
        let report = transaction.add_model(model).expect("the model goes in");
        transaction.commit().expect("the commit");
        // The first is raw; of the second every tensor is a difference, of half its length.
        assert_eq!(parent.is_some(), report.raw == 0, "{report:?}");
        assert_eq!(parent.is_some(), report.delta > 0, "{report:?}");

        let out = folder.join("out");
        let model = store.snapshot().and_then(|snapshot| snapshot.model(name)).expect("the model");
        export_to_path(&model, &out, &|_| ()).expect("the model comes out");
        assert_same(&path, &out);
        fs::remove_file(&out).expect("the export is there");
        fs::remove_file(&path).expect("the model is there");
        println!("{name}: {mebibytes} MiB in {} MiB more", report.added_bytes >> 20);
    }
}

/// The body of the merges: every tensor is a conflict, which is settled by the mean, of which every
/// element is compared, and by TIES, which reads the differences several times.
#[test]
fn limited_merge() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let folder = Path::new(&folder);
    let mebibytes = std::env::var(MEBIBYTES).ok().and_then(|text| text.parse().ok());
    let mebibytes: u64 = mebibytes.expect("a size");
    if cfg!(target_os = "linux") {
        let mut whole = Vec::<u8>::new();
        assert!(whole.try_reserve_exact((mebibytes << 20) as usize).is_err(), "no limit is set");
    }
    let store = Store::create(folder.join("models.mgit")).expect("a store");
    for (changed, name) in ["base", "a", "b"].into_iter().enumerate() {
        let path = folder.join(name);
        write_model(&path, mebibytes, changed as u32);
        let file = ModelSource::open(&path).expect("the model opens");
        let mut model = NewModel::new(name).source(&file);
        if changed > 0 {
            model = model.parent("base", How::FineTune);
        }
        let mut transaction = store.begin_write().expect("a transaction");
        transaction.add_model(model).expect("the model goes in");
        transaction.commit().expect("the commit");
        fs::remove_file(&path).expect("the model is there");
    }
    for strategy in [Strategy::Linear, Strategy::Ties] {
        let options = MergeOptions {
            on_conflict: Some(Resolution::Blend(strategy)),
            ..MergeOptions::default()
        };
        let merge = Merge::new("a", "b", strategy.name()).options(options);
        let merged = merge.run(&store, RunOptions::default()).expect("a merge");
        assert_eq!(merged.plan.unchanged, 0);
        let added = merged.report.added_bytes >> 20;
        println!("{strategy}: {mebibytes} MiB in {added} MiB more");
    }
    let snapshot = store.snapshot().expect("a snapshot");
    let of = |name: &str| snapshot.model(name).expect("the model");
    let (a, b, mean) = (of("a"), of("b"), of("linear"));
    for ((a, b), mean) in a.tensors().zip(b.tensors()).zip(mean.tensors()) {
        let mut pieces = [vec![0u8; 1 << 20], vec![0u8; 1 << 20], vec![0u8; 1 << 20]];
        let mut offset = 0;
        while offset < mean.byte_len() {
            let len = (mean.byte_len() - offset).min(1 << 20) as usize;
            for (tensor, piece) in [&a, &b, &mean].into_iter().zip(&mut pieces) {
                tensor.read_range_into(offset, &mut piece[..len]).expect("the bytes");
            }
            let floats = |piece: usize| pieces[piece][..len].as_chunks::<4>().0.iter();
            for ((a, b), mean) in floats(0).zip(floats(1)).zip(floats(2)) {
                let [a, b] = [a, b].map(|bytes| f64::from(f32::from_le_bytes(*bytes)));
                let wanted = ((a + b) / 2.0) as f32;
                let bits = if wanted.is_nan() { 0x7fc0_0000 } else { wanted.to_bits() };
                assert_eq!(bits, u32::from_le_bytes(*mean));
            }
            offset += len as u64;
        }
    }
}

/// Writes a model of this size: one tensor of half of it, two of an eighth, and many small ones.
/// The numbers cannot be compressed; changed versions differ in the lower half of each.
fn write_model(path: &Path, mebibytes: u64, changed: u32) {
    let rows_of_kib = |kib: u64| Shape::new(&[kib, 256]).expect("a shape");
    let mut tensors: Vec<(String, Shape)> = vec![
        ("half".to_owned(), rows_of_kib(mebibytes << 9)),
        ("eighth.0".to_owned(), rows_of_kib(mebibytes << 7)),
        ("eighth.1".to_owned(), rows_of_kib(mebibytes << 7)),
    ];
    tensors.extend((0..64).map(|at| (format!("small.{at}"), rows_of_kib(mebibytes << 2))));
    let entries = tensors
        .iter()
        .map(|(name, shape)| (name.as_str(), &Dtype::F32, shape, shape.elements() * 4));
    let header = write_header(entries, None);
    let mut out = BufWriter::with_capacity(1 << 16, File::create(path).expect("a new file"));
    out.write_all(&(header.len() as u64).to_le_bytes()).expect("room");
    out.write_all(&header).expect("room");
    let total: u64 = tensors.iter().map(|(_, shape)| shape.elements() * 4).sum();
    let mut state = 7u64;
    for _ in 0..total / 8 {
        // SplitMix64.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let number = z
            ^ (z >> 31)
            ^ if changed > 0 { z >> (6 + changed) & 0x0000_ffff_0000_ffff } else { 0 };
        out.write_all(&number.to_le_bytes()).expect("room");
    }
    out.flush().expect("room");
}

fn assert_same(a: &Path, b: &Path) {
    let (mut a, mut b) = (File::open(a).expect("a file"), File::open(b).expect("a file"));
    let len = a.metadata().expect("a length").len();
    assert_eq!(len, b.metadata().expect("a length").len());
    let (mut from_a, mut from_b) = (vec![0; 1 << 18], vec![0; 1 << 18]);
    let mut at = 0;
    while at < len {
        let part = (len - at).min(1 << 18) as usize;
        a.read_exact(&mut from_a[..part]).expect("the bytes");
        b.read_exact(&mut from_b[..part]).expect("the bytes");
        assert!(from_a[..part] == from_b[..part], "they differ behind byte {at}");
        at += part as u64;
    }
}
