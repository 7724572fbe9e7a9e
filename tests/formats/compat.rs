//! Promise: files written by every released version, and by every step on the way to one, open
//! and give back the bytes that went in.
//!
//! `tests/golden/NAME.mgit` is a store, `tests/golden/NAME.txt` lists what it must contain: tests,
//! and for every model `name@version`, the BLAKE3 hash of its exported file, its parents with the
//! metadata of the edges, and its tags. A new golden store is made by
//! `MGIT_GOLDEN=NAME cargo test --test formats make_golden -- --ignored`, with `MGIT_PROFILE` where
//! it is not the usual one, and is never changed afterwards; `make_graph` makes one of names and
//! edges alone, `make_eight_bits` one of eight-bit floats, `make_eight_bit_casts` one of
//! casts to and from them, `make_decays` one of moments that shrank, `make_factors` one of factors,
//! `make_files` one of models of
//! other files than safetensors alone, `make_folds` one whose change records were folded,
//! `make_lossy` one of rounded and of pinned models, `make_sparse` one of models that changed in few
//! weights, `make_tests` one of tests, and `make_transfer` one that has pulled from a
//! remote, with that remote as `NAME-remote` and what the store contains when it has pulled the
//! rest as `NAME-remote.txt`; `make_partial` one in `tests/golden/partial` that has pulled the
//! graph alone of an older golden remote.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use mgit::catalog::{EdgeKind, ReadTables, Table};
use mgit::codec::Cpu;
use mgit::interchange::export_to_stream;
use mgit::model_tests::{Builtin, RunOptions, Runner, Selector, Test, What};
use mgit::store::StoreError;
use mgit::transfer::{
    FolderRemote, Remote, Selection, add_remote, bundle_verify, fetch_from_remote,
    pull_from_remote, push_to_remote, remotes,
};
use mgit::upkeep::{VerifyDepth, verify};
use mgit::{ContentId, Dtype, How, NewModel, NewTensor, Profile, Shape, Store};

pub(super) fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// What a store contains, as the text beside a golden store.
pub(super) fn contents(store: &Store) -> String {
    let snapshot = store.snapshot().unwrap();
    let mut text = String::new();
    for test in Test::all(&snapshot).unwrap() {
        writeln!(text, "test {}, {} bounds", test.name, test.bounds.len()).unwrap();
    }
    for node in snapshot.nodes().unwrap() {
        let mut file = Vec::new();
        let parents = snapshot.graph().parents(node.id()).unwrap();
        let model = snapshot.model_of(node).unwrap();
        write!(text, "{}", model.full_name()).unwrap();
        if model.is_folder() {
            for part in model.files() {
                part.write_to(&mut file, &|_| ()).unwrap();
                write!(text, " {}={}", part.path(), ContentId::of(&file)).unwrap();
                file.clear();
            }
        } else {
            export_to_stream(&model, &mut file, &|_| ()).unwrap();
            write!(text, " {}", ContentId::of(&file)).unwrap();
        }
        for view in model.named_views() {
            write!(text, " {}={}", view.name(), ContentId::of(&view.bytes().unwrap())).unwrap();
        }
        for edge in parents {
            let parent = snapshot.graph().expect(edge.parent).unwrap().full_name();
            write!(text, " {}:{parent}", edge.how).unwrap();
            let kind = EdgeKind::Provenance;
            let metadata =
                snapshot.graph().edge_metadata(model.node().id(), kind, edge.parent).unwrap();
            if !metadata.is_empty() {
                write!(text, "{}", serde_json::Value::Object(metadata)).unwrap();
            }
        }
        for tag in snapshot.graph().tags_of(model.node().id()).unwrap() {
            write!(text, " #{tag}").unwrap();
        }
        text.push('\n');
    }
    text
}

#[test]
fn golden_stores_open_read_only_and_contain_what_they_must() {
    let mut seen = 0;
    for entry in fs::read_dir(golden()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "mgit") {
            continue;
        }
        seen += 1;
        let before = fs::read(&path).unwrap();
        let store = Store::open_read_only(&path).unwrap();
        let expected = fs::read_to_string(path.with_extension("txt")).unwrap();
        for cpu in Cpu::available() {
            let found = cpu.lowered(|| contents(&store));
            assert_eq!(found, expected, "{}, {cpu}", path.display());
        }
        let snapshot = store.snapshot().unwrap();
        let report = verify(&store, &snapshot, VerifyDepth::Full, &|_| ()).unwrap();
        assert!(report.is_clean(), "{}: {:?}", path.display(), report.findings);
        assert_eq!(fs::read(&path).unwrap(), before, "{}", path.display());
    }
    assert!(seen > 0, "no golden store in {}", golden().display());
}

#[test]
fn golden_stores_can_be_written_to() {
    for entry in fs::read_dir(golden()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "mgit") {
            continue;
        }
        let folder = tempfile::tempdir().unwrap();
        let copy = folder.path().join("copy.mgit");
        fs::copy(&path, &copy).unwrap();
        let expected = fs::read_to_string(path.with_extension("txt")).unwrap();
        let store = Store::open(&copy).unwrap();
        let mut transaction = store.begin_write().unwrap();
        let bytes = [7; 4096];
        let tensor = NewTensor::from_bytes("w", Dtype::U8, Shape::new(&[4096]).unwrap(), &bytes);
        transaction.add_model(NewModel::new("zz-new").tensor(tensor)).unwrap();
        transaction.commit().unwrap();
        let now = contents(&store);
        assert!(now.starts_with(&expected), "{}:\n{now}", path.display());
        assert_eq!(now.lines().count(), expected.lines().count() + 1);
    }
}

/// Seeded weights of a size that optimisers leave.
pub(super) fn weights(len: usize, seed: u64) -> Vec<f32> {
    let mut state = seed;
    let mut unit = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 40) as f32 / (1 << 24) as f32 - 0.5
    };
    (0..len).map(|_| (unit() + unit() + unit()) * 0.05).collect()
}

#[test]
#[ignore = "makes a new golden store; run by hand when the format gains something"]
fn make_golden() {
    let name = std::env::var("MGIT_GOLDEN").expect("MGIT_GOLDEN names the new golden store");
    let profile = std::env::var("MGIT_PROFILE").map(|name| name.parse().expect("a profile"));
    let profile: Profile = profile.unwrap_or_default();
    let path = golden().join(name).with_extension("mgit");
    let store = Store::create(&path).unwrap();
    let base = weights(6000, 1);
    let step = weights(6000, 2);
    let strange = weights(6000, 0x9e37_79b9_7f4a_7c15);
    let tuned: Vec<f32> = base.iter().zip(&step).map(|(base, step)| base + step * 1e-3).collect();
    let again: Vec<f32> = tuned.iter().zip(&step).map(|(base, step)| base + step * 1e-4).collect();
    let pruned: Vec<f32> =
        tuned.iter().map(|w| if w.abs() < 0.01 { 0.0f32.copysign(*w) } else { *w }).collect();
    let half = |values: &[f32]| -> Vec<u8> {
        values.iter().flat_map(|v| mgit::half::bf16::from_f32(*v).to_le_bytes()).collect()
    };
    type Golden<'a> = (&'a str, &'a [(&'a str, How)], &'a [f32]);
    let models: [Golden<'_>; 6] = [
        ("family/base", &[], &base),
        ("family/tuned", &[("family/base", How::FineTune)], &tuned),
        ("family/tuned", &[("family/base", How::FineTune)], &again),
        ("family/pruned", &[("family/tuned@1", How::Prune)], &pruned),
        // What its parent says nothing of.
        ("family/strange", &[("family/base", How::Other)], &strange),
        ("gone", &[("family/base", How::Other)], &step),
    ];
    for (name, parents, values) in models {
        let shape = |dims: &[u64]| Shape::new(dims).unwrap();
        let (bytes, halves) = (mgit::bytemuck::cast_slice(values), half(values));
        let doubles: Vec<u8> = values.iter().flat_map(|v| f64::from(*v).to_le_bytes()).collect();
        let quantised: Vec<u8> = values.iter().map(|v| (v * 1500.0) as i8 as u8).collect();
        let mut model = NewModel::new(name)
            .kind("toy")
            .profile(profile)
            .metadata("note", "golden")
            .tensor(NewTensor::from_bytes("w", Dtype::F32, shape(&[60, 100]), bytes))
            .tensor(NewTensor::from_bytes("h", Dtype::Bf16, shape(&[6000]), &halves))
            .tensor(NewTensor::from_bytes("d", Dtype::F64, shape(&[6000]), &doubles))
            .tensor(NewTensor::from_bytes("q", Dtype::I8, shape(&[6000]), &quantised))
            .tensor(NewTensor::from_bytes("ids", Dtype::I64, shape(&[3]), &bytes[..24]))
            .tensor(NewTensor::from_bytes("none", Dtype::F16, shape(&[0, 4]), &[]))
            .tensor(NewTensor::from_bytes(
                "odd",
                Dtype::from_name("F128"),
                shape(&[]),
                &bytes[..5],
            ));
        for (parent, how) in parents {
            model = model.parent(*parent, *how);
        }
        let mut transaction = store.begin_write().unwrap();
        transaction.add_model(model).unwrap();
        transaction.commit().unwrap();
    }
    make_formulas(&store, &base);
    let mut transaction = store.begin_write().unwrap();
    transaction.remove_model("gone", mgit::OnChildren::Refuse).unwrap();
    transaction.commit().unwrap();
    fs::write(path.with_extension("txt"), contents(&store)).unwrap();
}

/// Two folds, and changes before, between and behind them, of which the first are gone.
#[test]
#[ignore = "makes a new golden store; run by hand when the format gains something"]
fn make_folds() {
    let name = std::env::var("MGIT_GOLDEN").expect("MGIT_GOLDEN names the new golden store");
    let path = golden().join(name).with_extension("mgit");
    let store = Store::create(&path).unwrap();
    for round in 0..3u8 {
        for (name, parents) in [("base", &[][..]), ("tuned", &["base"])] {
            make_member(&store, name, parents, How::FineTune, Dtype::I8, 60, &[round; 6000]);
        }
        let mut transaction = store.begin_write().unwrap();
        transaction.set_tag("newest", "tuned").unwrap();
        if round == 0 {
            transaction.remove_model("tuned", mgit::OnChildren::Refuse).unwrap();
        } else {
            let metadata = serde_json::json!({ "round": round });
            let metadata = metadata.as_object().unwrap().clone();
            let kind = EdgeKind::Provenance;
            transaction.set_edge_metadata("tuned", kind, "base", metadata).unwrap();
        }
        transaction.commit().unwrap();
        if round < 2 {
            let mut transaction = store.begin_write().unwrap();
            transaction.fold_changes();
            transaction.commit().unwrap();
        }
    }
    fs::write(path.with_extension("txt"), contents(&store)).unwrap();
}

#[test]
#[ignore = "makes a new golden store; run by hand when the format gains something"]
fn make_graph() {
    let name = std::env::var("MGIT_GOLDEN").expect("MGIT_GOLDEN names the new golden store");
    let path = golden().join(name).with_extension("mgit");
    let store = Store::create(&path).unwrap();
    for (name, parents) in [
        ("base", &[][..]),
        ("base", &[]),
        ("left", &["base@1"]),
        ("right", &["base@1"]),
        ("merged", &["left", "right"]),
        ("odd", &["merged"]),
    ] {
        let bytes = [name.len() as u8; 6000];
        make_member(&store, name, parents, How::Merge, Dtype::I8, 60, &bytes);
    }
    let mut transaction = store.begin_write().unwrap();
    transaction.rename_models("base", "family/base").unwrap();
    transaction.move_model("odd", "merged").unwrap();
    transaction.set_kind("merged@1", "toy").unwrap();
    transaction.commit().unwrap();
    let mut transaction = store.begin_write().unwrap();
    for tag in ["best", "released/v1"] {
        transaction.set_tag(tag, "merged@1").unwrap();
    }
    transaction.set_tag("gone", "left").unwrap();
    transaction.remove_tag("gone").unwrap();
    let metadata = serde_json::json!({ "weight": 0.5, "by": ["hand"] });
    let metadata = metadata.as_object().unwrap();
    for parent in ["left", "right"] {
        let kind = EdgeKind::Provenance;
        transaction.set_edge_metadata("merged@1", kind, parent, metadata.clone()).unwrap();
    }
    transaction.remove_parent("merged@1", "left").unwrap();
    transaction.commit().unwrap();
    fs::write(path.with_extension("txt"), contents(&store)).unwrap();
}

#[test]
#[ignore = "makes a new golden store; run by hand when the format gains something"]
fn make_lossy() {
    use mgit::codec::Lossy;
    let name = std::env::var("MGIT_GOLDEN").expect("MGIT_GOLDEN names the new golden store");
    let path = golden().join(name).with_extension("mgit");
    let store = Store::create(&path).unwrap();
    let base = weights(6000, 1);
    let step = weights(6000, 2);
    let mut tuned: Vec<f32> = base.iter().zip(&step).map(|(base, step)| base + step).collect();
    // What no rounding may touch.
    tuned[..4].copy_from_slice(&[f32::NAN, f32::INFINITY, 1e30, -0.0]);
    let half = |values: &[f32]| -> Vec<u8> {
        values.iter().flat_map(|v| mgit::half::bf16::from_f32(*v).to_le_bytes()).collect()
    };
    let add = |name: &str, values: &[f32], lossy: Option<Lossy>| {
        let shape = Shape::new(&[60, 100]).unwrap();
        let (bytes, halves) = (mgit::bytemuck::cast_slice(values), half(values));
        let mut model = NewModel::new(name)
            .tensor(NewTensor::from_bytes("w", Dtype::F32, shape.clone(), bytes))
            .tensor(NewTensor::from_bytes("h", Dtype::Bf16, shape, &halves));
        if name != "base" {
            model = model.parent("base", How::FineTune);
        }
        if let Some(lossy) = lossy {
            model = model.lossy(lossy);
        }
        let mut transaction = store.begin_write().unwrap();
        let report = transaction.add_model(model).unwrap();
        transaction.commit().unwrap();
        assert_eq!(report.lossy.is_some(), lossy.is_some(), "{name}");
    };
    add("base", &base, None);
    for (name, eps) in [("narrow", 1e-3), ("wide", 1e-5), ("rough", 1e-1)] {
        add(name, &tuned, Some(Lossy::Quantised { eps }));
    }
    add("half", &tuned, Some(Lossy::Fp16));
    add("recoded", &tuned, None);
    add("served", &step, None);
    let mut transaction = store.begin_write().unwrap();
    let lossy = Lossy::Quantised { eps: 1e-4 };
    transaction.recode_lossy("recoded", lossy, None, &|_| ()).unwrap();
    transaction.pin("served").unwrap();
    transaction.commit().unwrap();
    fs::write(path.with_extension("txt"), contents(&store)).unwrap();
}

#[test]
#[ignore = "makes a new golden store; run by hand when the format gains something"]
fn make_tests() {
    let name = std::env::var("MGIT_GOLDEN").expect("MGIT_GOLDEN names the new golden store");
    let path = golden().join(name).with_extension("mgit");
    let store = Store::create(&path).unwrap();
    let values = weights(6000, 1);
    let bytes = mgit::bytemuck::cast_slice(&values);
    make_member(&store, "base", &[], How::Other, Dtype::F32, 60, bytes);
    make_member(&store, "tuned", &["base"], How::FineTune, Dtype::F32, 60, bytes);
    let finite = Test::new("finite", What::Builtin(Builtin::Finite));
    let mut drift = Test::new("drift", What::Builtin(Builtin::NormDrift));
    drift.on = Selector::Glob("t*".to_owned());
    drift.bounds.push("norm-drift<=0.5".parse().unwrap());
    let mut transaction = store.begin_write().unwrap();
    for test in [&finite, &drift, &Test::new("gone", What::Builtin(Builtin::Sparsity))] {
        test.register(&mut transaction).unwrap();
    }
    transaction.remove_test("gone").unwrap();
    transaction.commit().unwrap();
    let snapshot = store.snapshot().unwrap();
    let nodes = snapshot.nodes().unwrap();
    let runner = Runner::new(&snapshot, RunOptions::default());
    let report = runner.run(Some(&store), &[finite, drift], &nodes).unwrap();
    assert!(report.is_passed());
    fs::write(path.with_extension("txt"), contents(&store)).unwrap();
}

/// Models of two tensors, the body changed a little from one to the next.
fn make_version(store: &Store, name: &str, parents: &[&str], body: &[f32]) {
    let shape = Shape::new(&[60, 100]).unwrap();
    let bytes = mgit::bytemuck::cast_slice(body);
    let mut model = NewModel::new(name)
        .metadata("note", "golden")
        .tensor(NewTensor::from_bytes("body", Dtype::F32, shape, bytes))
        .tensor(NewTensor::from_bytes(
            "head",
            Dtype::I8,
            Shape::new(&[800]).unwrap(),
            &bytes[..800],
        ));
    for parent in parents {
        model = model.parent(*parent, How::FineTune);
    }
    let mut transaction = store.begin_write().unwrap();
    transaction.add_model(model).unwrap();
    transaction.commit().unwrap();
}

#[test]
#[ignore = "makes a new golden store; run by hand when the format gains something"]
fn make_transfer() {
    let name = std::env::var("MGIT_GOLDEN").expect("MGIT_GOLDEN names the new golden store");
    let path = golden().join(&name).with_extension("mgit");
    let remote = FolderRemote::new(golden().join(format!("{name}-remote")));
    let folder = tempfile::tempdir().unwrap();
    let from = Store::create(folder.path().join("from.mgit")).unwrap();
    let step = weights(6000, 2);
    let steps = |count: u32| -> Vec<f32> {
        let moved = |(base, step): (f32, &f32)| base + step * 1e-3 * count as f32;
        weights(6000, 1).into_iter().zip(&step).map(moved).collect()
    };
    make_version(&from, "base", &[], &steps(0));
    make_version(&from, "tuned", &["base"], &steps(1));
    let mut transaction = from.begin_write().unwrap();
    transaction.set_tag("best", "tuned").unwrap();
    transaction.commit().unwrap();
    push_to_remote(&from, &remote, Selection::ALL).unwrap();
    let store = Store::create(&path).unwrap();
    add_remote(&store, "origin", "s3://bucket/family").unwrap();
    add_remote(&store, "share", "/srv/models/family").unwrap();
    pull_from_remote(&store, &remote, Selection::ALL).unwrap();
    // A second pack and ref; of its models only the tensors have come.
    make_version(&from, "tuned", &["base"], &steps(2));
    make_version(&from, "other", &["base"], &steps(3));
    push_to_remote(&from, &remote, Selection::ALL).unwrap();
    fetch_from_remote(&store, &remote, Selection::ALL).unwrap();
    fs::write(path.with_extension("txt"), contents(&store)).unwrap();
    fs::write(golden().join(format!("{name}-remote.txt")), contents(&from)).unwrap();
}

/// A remote that says it is somewhere else.
#[derive(Debug)]
struct Elsewhere(FolderRemote);

impl Remote for Elsewhere {
    fn place(&self) -> String {
        "s3://bucket/family".to_owned()
    }
    fn get(&self, path: &str, len_max: u64) -> io::Result<Option<Vec<u8>>> {
        self.0.get(path, len_max)
    }
    fn get_range(&self, path: &str, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.get_range(path, offset, out)
    }
    fn put(&self, path: &str, len: u64, content: &mut dyn io::Read) -> io::Result<()> {
        self.0.put(path, len, content)
    }
    fn put_new(&self, path: &str, content: &[u8]) -> io::Result<bool> {
        self.0.put_new(path, content)
    }
    fn list(&self, folder: &str) -> io::Result<Option<Vec<(String, u64)>>> {
        self.0.list(folder)
    }
}

#[test]
#[ignore = "makes a new golden store; run by hand when the format gains something"]
fn make_partial() {
    let name = std::env::var("MGIT_GOLDEN").expect("MGIT_GOLDEN names the new golden store");
    let remote = Elsewhere(FolderRemote::new(golden().join("v1-transfer-remote")));
    let store = Store::create(golden().join("partial").join(name).with_extension("mgit")).unwrap();
    let graph = Selection { graph_only: true, ..Selection::ALL };
    pull_from_remote(&store, &remote, graph).unwrap();
    let base = Selection { wants: &|name| name == "base", ..Selection::ALL };
    pull_from_remote(&store, &remote, base).unwrap();
}

#[test]
fn golden_stores_of_graphs_get_their_tensors() {
    let remote = golden().join("v1-transfer-remote");
    let expected = fs::read_to_string(golden().join("v1-transfer-remote.txt")).unwrap();
    let mut seen = 0;
    for entry in fs::read_dir(golden().join("partial")).unwrap() {
        let path = entry.unwrap().path();
        seen += 1;
        let folder = tempfile::tempdir().unwrap();
        let copy = folder.path().join("copy.mgit");
        fs::copy(&path, &copy).unwrap();
        let store = Store::open(&copy).unwrap();
        let snapshot = store.snapshot().unwrap();
        let check = |depth| verify(&store, &store.snapshot().unwrap(), depth, &|_| ()).unwrap();
        let report = check(VerifyDepth::Full);
        assert!(report.is_clean(), "{}: {:?}", path.display(), report.findings);
        assert_eq!(report.whole_models, ["base@1"]);
        assert_eq!((report.partial_models.len(), report.missing_tensors), (3, 6));
        let error = snapshot.model("other").unwrap().views().unwrap_err();
        let StoreError::MissingContent { model, promisor: place, .. } = &error else {
            panic!("{error}")
        };
        assert_eq!((&**model, &**place), ("other@1", "s3://bucket/family"));
        drop(snapshot);
        let remote = FolderRemote::new(&remote);
        let report = fetch_from_remote(&store, &remote, Selection::ALL).unwrap();
        assert_eq!(report.completed.len(), 3, "{report:?}");
        assert_eq!(contents(&store), expected);
        assert!(check(VerifyDepth::Full).partial_models.is_empty());
    }
    assert!(seen > 0);
}

/// Every golden remote: its folder, the store that has pulled from it, and what it contains.
fn golden_remotes() -> Vec<(PathBuf, PathBuf, String)> {
    let folders = fs::read_dir(golden()).unwrap().map(|entry| entry.unwrap().path());
    let named = |folder: PathBuf| {
        let name = folder.to_str()?.strip_suffix("-remote")?.to_owned();
        let contents = fs::read_to_string(format!("{name}-remote.txt")).unwrap();
        Some((folder, PathBuf::from(name).with_extension("mgit"), contents))
    };
    folders.filter(|path| path.is_dir()).filter_map(named).collect()
}

#[test]
fn golden_remotes_are_cloned_and_their_packs_stand_alone() {
    let remotes = golden_remotes();
    assert!(!remotes.is_empty());
    for (path, _, expected) in remotes {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::create(folder.path().join("clone.mgit")).unwrap();
        let remote = FolderRemote::new(&path);
        let report = pull_from_remote(&store, &remote, Selection::ALL).unwrap();
        assert_eq!(report.models.len(), expected.lines().count(), "{report:?}");
        assert_eq!(contents(&store), expected);
        let snapshot = store.snapshot().unwrap();
        let report = verify(&store, &snapshot, VerifyDepth::Full, &|_| ()).unwrap();
        assert!(report.is_clean(), "{}: {:?}", path.display(), report.findings);
        // The first pack of a remote leads to nothing before it: it is a bundle.
        let first = fs::read_to_string(path.join("refs/00000001")).unwrap();
        let first: serde_json::Value = serde_json::from_str(&first).unwrap();
        let pack = path.join(format!("packs/{}.pack", first["packs"][0]["id"].as_str().unwrap()));
        let copy = folder.path().join("first.bundle");
        fs::copy(&pack, &copy).unwrap();
        let report = bundle_verify(&copy, Selection::ALL).unwrap();
        assert_eq!(report.models, ["base@1", "tuned@1"], "{}", pack.display());
    }
}

#[test]
fn golden_stores_go_on_with_their_remotes() {
    for (path, store, expected) in golden_remotes() {
        let folder = tempfile::tempdir().unwrap();
        let copy = folder.path().join("copy.mgit");
        fs::copy(&store, &copy).unwrap();
        let store = Store::open(&copy).unwrap();
        let snapshot = store.snapshot().unwrap();
        let kept = remotes(&snapshot).unwrap();
        let kept: Vec<_> = kept.iter().map(|kept| (&*kept.name, &*kept.url)).collect();
        assert_eq!(kept, [("origin", "s3://bucket/family"), ("share", "/srv/models/family")]);
        let count = |table| snapshot.tables().count(table).unwrap();
        let rows = [Table::Packs, Table::Agreed, Table::Arrivals].map(count);
        assert_eq!(rows, [2, 2, 4], "packs, agreed, arrivals");
        drop(snapshot);
        // The tensors have come before; a mark that was lost would show as a model that differs.
        let before = contents(&store).lines().count();
        let remote = FolderRemote::new(&path);
        let report = pull_from_remote(&store, &remote, Selection::ALL).unwrap();
        assert_eq!((report.bytes, report.resumed, report.tensors), (0, 4, 0), "{report:?}");
        assert_eq!(report.models.len(), expected.lines().count() - before);
        assert!(report.differing.is_empty() && report.updated.is_empty(), "{report:?}");
        assert_eq!(contents(&store), expected);
        let snapshot = store.snapshot().unwrap();
        assert_eq!(snapshot.tables().count(Table::Arrivals).unwrap(), 0);
        let report = verify(&store, &snapshot, VerifyDepth::Full, &|_| ()).unwrap();
        assert!(report.is_clean(), "{}: {:?}", path.display(), report.findings);
    }
}

/// Models whose tensors are formulas over those of `family/base`.
fn make_formulas(store: &Store, base: &[f32]) {
    let integers = |factor: f32| -> Vec<u8> {
        let row = |row: &[f32]| -> Vec<u8> {
            let largest = row.iter().fold(0.0f32, |largest, v| largest.max(v.abs()));
            let scale = largest / 127.0;
            row.iter().map(|v| (v / scale * factor).round_ties_even() as i8 as u8).collect()
        };
        base.chunks(100).flat_map(row).collect()
    };
    let floats = |values: &[f32]| mgit::bytemuck::cast_slice::<f32, u8>(values).to_vec();
    let half: Vec<u8> =
        base.iter().flat_map(|v| mgit::half::f16::from_f32(*v).to_le_bytes()).collect();
    let grown: Vec<f32> = base.iter().chain(&base[..200]).copied().collect();
    type Member<'a> = (&'a str, &'a str, How, Dtype, u64, Vec<u8>);
    let members: [Member<'_>; 5] = [
        ("family/cast", "family/base", How::Cast, Dtype::F16, 60, half),
        ("family/int8", "family/base", How::Quantise, Dtype::I8, 60, integers(1.0)),
        ("family/int8-tuned", "family/int8", How::FineTune, Dtype::I8, 60, integers(0.8)),
        ("family/grown", "family/base", How::Other, Dtype::F32, 62, floats(&grown)),
        ("family/shrunk", "family/base", How::Other, Dtype::F32, 10, floats(&base[..1000])),
    ];
    for (name, parent, how, dtype, rows, bytes) in members {
        make_member(store, name, &[parent], how, dtype, rows, &bytes);
    }
    let tuned: Vec<f32> = base.iter().map(|v| v * 1.25 + 1e-3).collect();
    let other: Vec<f32> = base.iter().map(|v| v * 0.75 - 1e-3).collect();
    let each = |work: &dyn Fn(usize) -> f32| -> Vec<f32> { (0..base.len()).map(work).collect() };
    type Merge<'a> = (&'a str, &'a [&'a str], Vec<f32>);
    let parents = ["family/base", "family/b", "family/c"];
    let merges: [Merge<'_>; 6] = [
        ("family/b", &parents[..1], tuned.clone()),
        ("family/c", &parents[..1], other.clone()),
        ("family/mean", &parents, each(&|at| (base[at] + tuned[at] + other[at]) / 3.0)),
        ("family/task", &parents, each(&|at| other[at] + (tuned[at] - base[at]))),
        ("family/half", &parents[..1], each(&|at| base[at] * 0.9)),
        (
            "family/sparse",
            &parents[..1],
            each(&|at| if base[at].abs() < 0.01 { 0.0 } else { base[at] }),
        ),
    ];
    for (name, parents, values) in merges {
        make_member(store, name, parents, How::Merge, Dtype::F32, 60, &floats(&values));
    }
}

pub(super) fn make_member(
    store: &Store,
    name: &str,
    parents: &[&str],
    how: How,
    dtype: Dtype,
    rows: u64,
    bytes: &[u8],
) {
    let shape = Shape::new(&[rows, 100]).unwrap();
    let model = NewModel::new(name).tensor(NewTensor::from_bytes("w", dtype, shape, bytes));
    let model = parents.iter().fold(model, |model, parent| model.parent(*parent, how));
    let mut transaction = store.begin_write().unwrap();
    transaction.add_model(model).unwrap();
    transaction.commit().unwrap();
}
