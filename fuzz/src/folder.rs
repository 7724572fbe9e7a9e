//! A folder of a model: what its files say of each other, and of the model.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use mgit::interchange::{InterchangeError, ModelSource, export_to_path};
use mgit::{NewModel, Store};
use tempfile::TempDir;

/// What a file of the folder may be called: each is read for something.
pub const NAMES: [&str; 16] = [
    "config.json",
    "README.md",
    "adapter_config.json",
    "trainer_state.json",
    "model.safetensors",
    "model.safetensors.index.json",
    "model-00001-of-00002.safetensors",
    "model-00002-of-00002.safetensors",
    "model.gguf",
    "model.onnx",
    "weights.bin",
    "pytorch_model.bin",
    "adapter_model.safetensors",
    "model_index.json",
    "unet/diffusion_pytorch_model.safetensors",
    "notes.txt",
];
/// The most bytes of what the files say, as it becomes metadata.
const FACTS_LEN_MAX: usize = 4 << 20;

/// The files: the place of a name, the length in two bytes, the bytes; the last file of a name
/// counts.
fn files(mut data: &[u8]) -> BTreeMap<&'static str, &[u8]> {
    let mut files = BTreeMap::new();
    while let Some((&[name, low, high], rest)) = data.split_first_chunk() {
        let len = usize::from(u16::from_le_bytes([low, high])).min(rest.len());
        let (bytes, rest) = rest.split_at(len);
        files.insert(NAMES[usize::from(name) % NAMES.len()], bytes);
        data = rest;
    }
    files
}

/// A folder in memory where there is one: no target is about the disk.
fn new_folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    folder.expect("a folder")
}

/// The bytes are the files of a folder.
///
/// Invariants checked:
///
/// - An error that names what is wrong, or a model whose facts are of a bounded length.
/// - What is opened is imported, and every file that is not listed as left out is exported as it was.
pub fn folder(data: &[u8]) {
    let files = files(data);
    let scratch = new_folder();
    let model = scratch.path().join("model");
    for (name, bytes) in &files {
        let path = model.join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, bytes).expect("room for a file");
    }
    let source = match ModelSource::open(&model) {
        Ok(source) => source,
        Err(error) => {
            assert!(!matches!(error, InterchangeError::BadLayout { .. }), "{error}");
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    let facts = serde_json::to_string(source.facts()).expect("facts");
    assert!(facts.len() <= FACTS_LEN_MAX, "{} bytes of facts", facts.len());
    let left_out: Vec<&str> = source.left_out().iter().map(|it| it.path.as_str()).collect();

    let out = import_and_export(scratch.path(), &source);
    for (name, bytes) in &files {
        if left_out.iter().any(|out| out == name || (out.ends_with('/') && name.starts_with(out))) {
            continue;
        }
        let found = fs::read(out.join(name)).expect("every file that was taken");
        assert!(found == *bytes, "{name} has come out as another");
    }
}

fn import_and_export(scratch: &Path, source: &ModelSource) -> PathBuf {
    let store = Store::create(scratch.join("new.mgit")).expect("a store");
    let mut transaction = store.begin_write().expect("a transaction");
    transaction.add_model(NewModel::new("model").source(source)).expect("a sound model");
    transaction.commit().expect("a commit");
    let model = store.snapshot().and_then(|it| it.model("model")).expect("the model");
    let out = scratch.join("out");
    export_to_path(&model, &out, &|_| ()).expect("an export");
    out
}
