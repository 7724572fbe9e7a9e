//! Promise: what is no model, or not all of one, is refused by what it is, by its path.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;

use mgit::interchange::{InterchangeError, ModelSource, OpenFile, SourceOptions, read_layout};
use tempfile::tempdir;

use super::{index, paths, put, safetensors};

const POINTER: &str = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n";

#[track_caller]
fn refused(path: &Path, expected: &str) -> InterchangeError {
    let error = ModelSource::open(path).unwrap_err();
    let text = error.to_string();
    assert!(text.contains(expected), "{text}");
    error
}

#[test]
fn what_lies_in_the_place_of_weights_is_refused_by_what_it_is() {
    let folder = tempdir().unwrap();
    for (bytes, expected) in [
        (POINTER, "is a Git LFS pointer, not the file: run `git lfs pull`"),
        ("\n <!DOCTYPE HTML><p>", "is an HTML page, not the file: fetch the file again"),
        ("<html>", "is an HTML page"),
        ("<?xml version='1.0'?><Error>", "is an XML document"),
        ("{\"error\": \"not found\"}", "is a JSON message"),
        ("", "is empty: fetch the file again"),
    ] {
        for name in ["a.safetensors", "pytorch_model.bin", "x.pt", "x.gguf", "x.onnx", "x.h5"] {
            let root = folder.path().join(name);
            put(&root, name, bytes);
            let file = refused(&root.join(name), expected);
            assert!(file.is_malformed() && file.to_string().contains(name), "{file}");
            refused(&root, expected);
        }
    }
}

#[test]
fn what_stands_beside_weights_may_be_anything() {
    let folder = tempdir().unwrap();
    let root = folder.path();
    put(root, "model.safetensors", safetensors(&["a"]));
    for (name, bytes) in [
        ("README.md", "<html>"),
        ("empty.txt", ""),
        ("error.json", "{\"error\":1}"),
        ("l", POINTER),
    ] {
        put(root, name, bytes);
    }
    let source = ModelSource::open(root).unwrap();
    assert_eq!(source.files().len(), 5);
    let notes: Vec<(&str, &str)> = source.notes().collect();
    assert_eq!(notes, [("l", "a Git LFS pointer, kept as it is: the file itself is not here")]);
    // Named as the model, it is one all the same.
    refused(&root.join("README.md"), "is an HTML page");
    refused(&root.join("empty.txt"), "is empty");
}

#[test]
fn formats_whose_tensors_are_not_seen_are_said() {
    let note = |name: &str, bytes: &[u8]| {
        let layout = read_layout(&OpenFile::of_bytes(name, bytes)).unwrap();
        assert!(layout.tensors.is_empty());
        layout.notes
    };
    for (name, bytes, what) in [
        ("a.h5", b"\x89HDF\r\n\x1a\n".as_slice(), "HDF5"),
        ("flax_model.msgpack", b"\x81\xa1a\x01", "msgpack, as Flax writes it"),
        ("a.tflite", b"\x1c\0\0\0TFL3", "TFLite"),
        ("a.data", b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
        ("a.pt", b"????", "of no format that is read"),
    ] {
        assert_eq!(note(name, bytes), [format!("kept as bytes: its tensors are not seen: {what}")]);
    }
    assert_eq!(note("vocab.txt", b"[PAD]\n"), Vec::<String>::new());
}

#[test]
fn a_file_that_nothing_says_is_a_model_is_none() {
    let folder = tempdir().unwrap();
    put(folder.path(), "notes.txt", "not a model at all");
    let error = refused(&folder.path().join("notes.txt"), "notes.txt\" is no model: ");
    assert!(error.is_malformed());
}

#[test]
fn a_folder_without_weights_is_no_model() {
    let folder = tempdir().unwrap();
    let root = folder.path();
    let error = refused(root, "holds no model: no weights are in it");
    assert!(!error.is_malformed());
    put(root, "config.json", "{}");
    put(root, "optimizer.pt", "state");
    put(root, "checkpoint-1/model.safetensors", safetensors(&["a"]));
    refused(root, "; left out \"checkpoint-1/\": a model of its own");
}

#[test]
fn shards_that_are_missing_are_named() {
    let folder = tempdir().unwrap();
    let root = folder.path();
    let name = |at: u8| format!("model-0000{at}-of-00003.safetensors");
    let list = "model.safetensors.index.json";
    put(root, &name(1), safetensors(&["a"]));
    put(root, &name(3), safetensors(&["c"]));
    for path in [root.to_owned(), root.join(name(1)), root.join(name(3))] {
        let text = format!("expected {:?} beside it, of the same model", name(2));
        refused(&path, &text);
    }
    put(root, list, index(&[("a", &name(1)), ("b", &name(2)), ("c", &name(3))]));
    for path in [root.to_owned(), root.join(name(1)), root.join(list)] {
        let error = refused(&path, "for tensor \"b\", does not exist: fetch the missing shard");
        assert!(matches!(error, InterchangeError::MissingShard { .. }));
    }
    // Nothing but the list.
    std::fs::remove_file(root.join(name(1))).unwrap();
    std::fs::remove_file(root.join(name(3))).unwrap();
    let all = format!("expected {:?}, {:?}, {:?} beside it", name(1), name(2), name(3));
    refused(root, &all);
}

#[test]
fn shards_that_do_not_agree_with_their_list_are_refused() {
    let folder = tempdir().unwrap();
    let root = folder.path();
    let (one, two) = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors");
    put(root, one, safetensors(&["a"]));
    put(root, two, safetensors(&["b", "a"]));
    put(root, "model.safetensors.index.json", index(&[("a", one), ("b", two)]));
    put(root, "config.json", "{}");
    refused(root, "tensor \"a\": expected it in one shard, found it in");
    put(root, two, safetensors(&["b", "c"]));
    refused(root, "found tensor \"c\" that is not");
    put(root, "model.safetensors.index.json", "{");
    refused(root, "expected a JSON object");
}

#[test]
fn a_damaged_file_is_refused_where_its_name_says_weights() {
    let folder = tempdir().unwrap();
    let root = folder.path();
    put(root, "model.safetensors", safetensors(&["a"]));
    let whole = safetensors(&["b"]);
    let damaged = &whole[..whole.len() - 1];
    put(root, "sub/model.safetensors", damaged);
    let error = refused(root, "sub/model.safetensors");
    assert!(error.is_malformed());
    std::fs::remove_dir_all(root.join("sub")).unwrap();
    put(root, "sub/table", damaged);
    let source = ModelSource::open(root).unwrap();
    let notes: Vec<(&str, &str)> = source.notes().collect();
    assert_eq!(notes.len(), 1);
    assert!(notes[0].0 == "sub/table" && notes[0].1.starts_with("kept as bytes: "), "{notes:?}");
}

#[test]
fn links_out_of_the_folder_are_refused_unless_they_are_allowed() {
    let outside = tempdir().unwrap();
    put(outside.path(), "secret.txt", "secret");
    put(outside.path(), "w.safetensors", safetensors(&["a"]));
    let folder = tempdir().unwrap();
    let root = folder.path();
    put(root, "model.safetensors", safetensors(&["b"]));
    for target in ["secret.txt", "."] {
        let link = root.join("link");
        symlink(outside.path().join(target), &link).unwrap();
        refused(root, "link\" is a link that leads out of the model's folder, to ");
        let options = SourceOptions::new().exclude("link");
        let source = ModelSource::open_with(root, &options).unwrap();
        assert_eq!(source.files().len(), 1);
        let source =
            ModelSource::open_with(root, &SourceOptions::new().follow_links(true)).unwrap();
        let expected = if target == "." { 3 } else { 2 };
        assert_eq!(source.files().len(), expected, "{:?}", paths(&source));
        std::fs::remove_file(link).unwrap();
    }
    symlink("nothing", root.join("dead")).unwrap();
    refused(root, "dead\" is a link that leads to nothing");
    // A shard is no way out either.
    let other = tempdir().unwrap();
    let shard = "model-00001-of-00002.safetensors";
    symlink(outside.path().join("w.safetensors"), other.path().join(shard)).unwrap();
    put(other.path(), "model-00002-of-00002.safetensors", safetensors(&["c"]));
    refused(&other.path().join(shard), "is a link that leads out");
}

#[test]
fn names_and_folders_have_limits() {
    let folder = tempdir().unwrap();
    let root = folder.path();
    put(root, "model.safetensors", safetensors(&["a"]));
    let odd = root.join(std::ffi::OsStr::from_bytes(b"\xff.txt"));
    // Some file systems refuse such a name themselves.
    if std::fs::write(&odd, "x").is_ok() {
        refused(root, "is not UTF-8: rename it");
        std::fs::remove_file(odd).unwrap();
    }
    put(root, "d/".repeat(31).trim_end_matches('/'), "x");
    ModelSource::open(root).unwrap();
    std::fs::remove_dir_all(root.join("d")).unwrap();
    put(root, &format!("{}x", "d/".repeat(32)), "x");
    refused(root, "expected at most 32 folders in each other");
    // Links that make few folders many.
    let wide = tempdir().unwrap();
    put(wide.path(), "model.safetensors", safetensors(&["a"]));
    for level in 0..20 {
        let here = wide.path().join(format!("l{level}"));
        std::fs::create_dir(&here).unwrap();
        for way in ["a", "b"] {
            symlink(format!("../l{}", level + 1), here.join(way)).unwrap();
        }
    }
    std::fs::create_dir(wide.path().join("l20")).unwrap();
    refused(wide.path(), "expected at most 65535 files and folders in it");
}
