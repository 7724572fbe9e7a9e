//! Promise: every form that a model is kept in goes into a store and comes out as it was.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use mgit::interchange::{FileRole, ModelSource, export_to_path};
use mgit::upkeep::{VerifyDepth, verify};
use mgit::{NewModel, Store};
use tempfile::tempdir;

use super::{put, tree};
use crate::layout_reads::{door, large_door};

/// A store, and a place for what comes out of it.
struct Home {
    folder: tempfile::TempDir,
    store: Store,
}

impl Home {
    fn new() -> Self {
        let folder = tempdir().unwrap();
        let store = Store::create(folder.path().join("models.mgit")).unwrap();
        Home { folder, store }
    }

    /// Takes what is at `path` in, and compares what comes out with it, but for what was left out.
    fn goes_round(&self, path: &Path) -> ModelSource {
        let source = ModelSource::open(path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
        let mut transaction = self.store.begin_write().unwrap();
        // Without differences, which are another matter and take most of the time.
        transaction.add_model(NewModel::new("m").source(&source).chain_depth_max(0)).unwrap();
        transaction.commit().unwrap();
        let model = self.store.snapshot().unwrap().model("m").unwrap();
        let out = self.folder.path().join("out");
        export_to_path(&model, &out, &|_| ()).unwrap();
        if source.is_single() {
            assert!(fs::read(&out).unwrap() == fs::read(path).unwrap(), "{path:?}");
            fs::remove_file(&out).unwrap();
            return source;
        }
        let folder = if path.is_dir() { path } else { path.parent().unwrap() };
        let paths: Vec<&str> = source.files().iter().map(|file| file.path()).collect();
        let mut expected = tree(folder, "");
        let is_out = |path: &str| {
            let mut left = source.left_out().iter().map(|left| left.path.as_str());
            left.any(|left| path.starts_with(left))
        };
        expected.retain(|(path, _)| match folder.is_dir() && paths.contains(&path.as_str()) {
            true => true,
            false => !is_out(path) && source.path().is_dir(),
        });
        assert!(tree(&out, "") == expected, "{path:?}");
        fs::remove_dir_all(&out).unwrap();
        source
    }

    fn is_sound(&self) {
        let snapshot = self.store.snapshot().unwrap();
        let report = verify(&self.store, &snapshot, VerifyDepth::Full, &|_| ()).unwrap();
        assert!(report.is_clean(), "{:?}", report.findings);
    }
}

#[test]
fn files_of_every_format_go_in_and_come_out() {
    let home = Home::new();
    let mut formats = BTreeMap::new();
    for entry in fs::read_dir(door("")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() || path.extension().is_some_and(|it| it == "py" || it == "json") {
            continue;
        }
        let source = home.goes_round(&path);
        assert_eq!(source.files()[0].role(), FileRole::Weights);
        *formats.entry(source.files()[0].format().name()).or_insert(0) += 1;
    }
    assert_eq!(
        formats.keys().copied().collect::<Vec<_>>(),
        ["bytes", "gguf", "npy", "npz", "onnx", "pytorch"]
    );
    let source = home.goes_round(&door("external/m.onnx"));
    let formats: Vec<&str> = source.files().iter().map(|file| file.format().name()).collect();
    assert_eq!(formats, ["onnx", "onnx-data"]);
    assert!(source.architecture().is_some());
    home.is_sound();
}

/// The same numbers are one content, whatever they lie in.
#[test]
fn the_same_tensors_of_two_formats_are_kept_once() {
    let home = Home::new();
    let fixture = |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/onnx").join(name);
    let add = |name: &str, path: PathBuf| {
        let source = ModelSource::open(path).unwrap();
        let mut transaction = home.store.begin_write().unwrap();
        let report = transaction.add_model(NewModel::new(name).source(&source)).unwrap();
        transaction.commit().unwrap();
        report
    };
    add("safetensors", fixture("model_v8.safetensors"));
    let report = add("onnx", fixture("model_v8.onnx"));
    assert_eq!((report.deduplicated, report.raw, report.delta), (16, 0, 0));
    let snapshot = home.store.snapshot().unwrap();
    let [one, other] = ["safetensors", "onnx"].map(|name| snapshot.model(name).unwrap());
    for tensor in one.tensors() {
        let Ok(same) = other.tensor(tensor.name()) else { continue };
        assert_eq!(same.content_id(), tensor.content_id(), "{}", tensor.name());
    }
    assert_eq!(other.architecture().unwrap().source(), mgit::architecture::LayerSource::Graph);
}

#[test]
fn an_onnx_file_without_its_data_is_not_all_of_a_model() {
    let folder = tempdir().unwrap();
    let root = folder.path();
    fs::copy(door("external/m.onnx"), root.join("m.onnx")).unwrap();
    for path in [root.to_owned(), root.join("m.onnx")] {
        let text = ModelSource::open(path).unwrap_err().to_string();
        assert!(text.contains("m.onnx\": expected \"data/w.bin\" beside it"), "{text}");
    }
    // Beside other weights it may be: said, not refused.
    put(root, "model.safetensors", super::safetensors(&["a"]));
    let source = ModelSource::open(root).unwrap();
    let notes: Vec<(&str, &str)> = source.notes().collect();
    let note = "1 of the files that it names are not here: \"data/w.bin\" first";
    assert_eq!(notes.last(), Some(&("m.onnx", note)));
    // Data that ends too early is damage.
    put(root, "data/w.bin", "short");
    let error = ModelSource::open(root.join("m.onnx")).unwrap_err();
    assert!(error.is_malformed() && error.to_string().contains("w.bin"), "{error}");
}

#[test]
fn everything_behind_the_large_door_goes_in_and_comes_out() {
    let Some(door) = large_door() else { return };
    let home = Home::new();
    let refused = [
        ("pointer.safetensors", "a Git LFS pointer, not the file: run `git lfs pull`"),
        ("page.bin", "an HTML page"),
        ("empty.pt", "is empty"),
    ];
    for entry in fs::read_dir(&door).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if let Some((_, reason)) = refused.iter().find(|(refused, _)| *refused == name) {
            let error = ModelSource::open(&path).unwrap_err();
            assert!(error.to_string().contains(reason), "{error}");
        } else if !(name.ends_with(".py") || name.ends_with(".json") || name.ends_with(".md")) {
            home.goes_round(&path);
        }
    }
    for at in 1..=5 {
        home.goes_round(&door.join(format!("sharded/model-0000{at}-of-00005.safetensors")));
    }
    for step in [500, 1000, 1500] {
        let source = home.goes_round(&door.join(format!("run/checkpoint-{step}")));
        assert_eq!(source.facts()["global_step"], step);
    }
    home.goes_round(&door.join("external/m.onnx"));
    let run = ModelSource::open(door.join("run")).unwrap();
    assert_eq!(
        (run.facts()["base_model"].as_str(), run.left_out().len()),
        (Some("tiny/hub-folder"), 3)
    );
    let gguf = ModelSource::open(door.join("tiny-f32.gguf")).unwrap();
    assert!(gguf.facts().contains_key("base_model"), "{:?}", gguf.facts());
    home.is_sound();
}
