//! The golden store of models of any files, as `compat` holds it.

use std::fs;

use super::compat::{contents, golden};
use mgit::interchange::ModelSource;
use mgit::{How, NewModel, Store};

/// A file of each format, a folder, and a folder that is made of another one's files in part: a
/// single file and a folder have the same skeletons and tensors, and there are views.
#[test]
#[ignore = "makes a new golden store; run by hand when the format gains something"]
fn make_files() {
    let name = std::env::var("MGIT_GOLDEN").expect("MGIT_GOLDEN names the new golden store");
    let path = golden().join(name).with_extension("mgit");
    let store = Store::create(&path).unwrap();
    let door = golden().with_file_name("door");
    let add = |name: &str, file: &std::path::Path, parent: Option<&str>| {
        let source = ModelSource::open(file).unwrap();
        let mut model = NewModel::new(name).source(&source);
        if let Some(parent) = parent {
            model = model.parent(parent, How::FineTune);
        }
        let mut transaction = store.begin_write().unwrap();
        transaction.add_model(model).unwrap();
        transaction.commit().unwrap();
    };
    for (name, file) in [
        ("torch", "torch-odd.pth"),
        ("legacy", "torch-legacy.bin"),
        ("numpy", "numpy.npz"),
        ("array", "numpy-fortran.npy"),
        ("gguf", "types.gguf"),
        ("onnx", "branches.onnx"),
        ("external", "external/m.onnx"),
    ] {
        add(name, &door.join(file), None);
    }
    let folder = tempfile::tempdir().unwrap();
    let put = |file: &str, bytes: &[u8]| {
        let file = folder.path().join("model").join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, bytes).unwrap();
    };
    put("pytorch_model.bin", &fs::read(door.join("torch-nested.ckpt")).unwrap());
    put("config.json", b"{\"model_type\": \"toy\"}");
    put("empty.txt", b"");
    put("1_Pooling/tokenizer.txt", "one token after the other\n".repeat(300).as_bytes());
    put("optimizer.pt", &fs::read(door.join("torch-odd.pth")).unwrap());
    add("folder", &folder.path().join("model"), None);
    put("config.json", b"{\"model_type\": \"toy\", \"step\": 2}");
    add("folder", &folder.path().join("model"), Some("folder@1"));
    fs::write(path.with_extension("txt"), contents(&store)).unwrap();
}
