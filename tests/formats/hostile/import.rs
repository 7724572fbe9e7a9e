//! Promise: a hostile model file leaves nothing in the store, and the store stays usable: whatever
//! is refused, at the door or half way in, the store is as it was before.

use std::fs;
use std::path::{Path, PathBuf};

use super::file_of;
use crate::common::{
    Contents, add_one, assert_rows_add_up, contents, contents_of, new_store, noise, nudged,
    weights, write,
};
use mgit::error::StoreError;
use mgit::interchange::ModelSource;
use mgit::{How, NewModel, Store};

/// A store with a parent and a child in it.
struct Home {
    folder: tempfile::TempDir,
    path: PathBuf,
    store: Store,
    before: Contents,
}

impl Home {
    fn new() -> Self {
        let (folder, path, store) = new_store();
        let base = weights(1, 5000);
        add_one(&store, "base", &[], &base).unwrap();
        add_one(&store, "child", &["base"], &nudged(&base, 2, 50)).unwrap();
        let before = contents(&store.snapshot().unwrap()).unwrap();
        Home { folder, path, store, before }
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    /// Tries to import `path`; gives the refusal's text.
    fn try_import(&self, path: &Path) -> Option<String> {
        let file = match ModelSource::open(path) {
            Ok(file) => file,
            Err(error) => return Some(mgit::full_message(&error)),
        };
        let new = NewModel::new("hostile").parent("base", How::FineTune).source(&file);
        write(&self.store, |t| t.add_model(new)).err().map(|error| mgit::full_message(&error))
    }

    /// Asserts that importing `path` is refused, says something, and changes nothing.
    #[track_caller]
    fn refuses(&self, path: &Path) {
        let len = fs::metadata(&self.path).unwrap().len();
        let text = self.try_import(path).unwrap_or_else(|| panic!("{path:?} was taken"));
        assert!(text.len() > 20, "{text}");
        let snapshot = self.store.snapshot().unwrap();
        assert_eq!(snapshot.sequence(), 2, "{text}");
        assert_eq!(fs::metadata(&self.path).unwrap().len(), len, "{text}");
    }

    /// Asserts that the store holds what it held, and takes a model.
    fn assert_unharmed(self) {
        let snapshot = self.store.snapshot().unwrap();
        assert_eq!(contents(&snapshot).unwrap(), self.before);
        assert_rows_add_up(&snapshot, "after hostile files");
        drop(snapshot);
        let bytes = noise(7, 1000);
        let path = self.file("good.safetensors", &file_of(GOOD, &bytes));
        assert_eq!(self.try_import(&path), None);
        drop(self.store);
        let mut after = contents_of(&self.path).unwrap();
        assert!(after.remove("hostile@1").unwrap()[0].1 == bytes);
        assert_eq!(after, self.before);
    }
}

const GOOD: &str = r#"{"w":{"dtype":"U8","shape":[1000],"data_offsets":[0,1000]}}"#;

#[test]
fn every_kind_of_malformed_header_leaves_nothing() {
    let home = Home::new();
    let entry = |name: &str, dtype: &str, shape: &str, from: i64, to: i64| {
        format!(r#""{name}":{{"dtype":"{dtype}","shape":[{shape}],"data_offsets":[{from},{to}]}}"#)
    };
    let w = entry("w", "F32", "2", 0, 8);
    let deep = format!(r#"{{"w":{}1{}}}"#, "[".repeat(5000), "]".repeat(5000));
    let thousands = entry("w", "U8", &vec!["1"; 3000].join(","), 0, 8);
    for (what, header) in [
        ("not JSON", "{\"w\":".to_owned()),
        ("deep", deep),
        ("overlap", format!("{{{w},{}}}", entry("v", "F32", "1", 4, 8))),
        ("hole", format!("{{{}}}", entry("w", "F32", "1", 4, 8))),
        ("trailing", format!("{{{}}}", entry("w", "F32", "1", 0, 4))),
        ("past the end", format!("{{{}}}", entry("w", "F32", "4", 0, 16))),
        ("backwards", format!("{{{}}}", entry("w", "F32", "2", 8, 0))),
        ("negative", format!("{{{}}}", entry("w", "F32", "2", -8, 8))),
        ("fraction", w.replace("[0,8]", "[0.5,8]")),
        ("overflow", format!("{{{}}}", entry("w", "F32", "2,9223372036854775807", 0, 8))),
        ("overflow to zero", format!("{{{}}}", entry("w", "F32", "9223372036854775807,4,0", 0, 8))),
        ("wrong length", format!("{{{}}}", entry("w", "F32", "3", 0, 8))),
        ("metadata", format!(r#"{{"__metadata__":{{"a":1}},{w}}}"#)),
        ("odd bits", format!("{{{}}}", entry("w", "F4", "15", 0, 8))),
        ("twice", format!("{{{w},{w}}}")),
        ("twice, spelled differently", format!("{{{w},{}}}", w.replace("\"w\"", "\"\\u0077\""))),
        ("thousands of dimensions", format!("{{{thousands}}}")),
        ("no name", format!("{{{}}}", entry("", "F32", "2", 0, 8))),
    ] {
        let name = format!("{}.safetensors", what.replace(' ', "-"));
        home.refuses(&home.file(&name, &file_of(&header, &[1; 8])));
    }
    home.refuses(&home.file("not-utf8.safetensors", b"\x08\0\0\0\0\0\0\0{\"\xff\":{}}"));
    home.refuses(&home.file("huge.safetensors", &[0xff; 64]));
    home.refuses(&home.file("empty.safetensors", b""));
    home.refuses(&home.folder.path().join("missing.safetensors"));
    home.refuses(&home.path.clone());
    home.assert_unharmed();
}

#[test]
fn truncation_at_any_byte_leaves_nothing() {
    let home = Home::new();
    let whole = file_of(GOOD, &noise(7, 1000));
    for len in (0..80).chain((80..whole.len()).step_by(37)).chain([whole.len() - 1]) {
        home.refuses(&home.file("cut.safetensors", &whole[..len]));
    }
    home.assert_unharmed();
}

#[test]
fn hostile_shards_leave_nothing() {
    let home = Home::new();
    let shards = home.folder.path().join("shards");
    fs::create_dir(&shards).unwrap();
    let write_index = |index: &str| {
        fs::write(shards.join("model.safetensors.index.json"), index).unwrap();
    };
    fs::write(shards.join("one.safetensors"), file_of(GOOD, &noise(7, 1000))).unwrap();
    for index in [
        "{",
        r#"{"weight_map":{"w":"missing.safetensors"}}"#,
        r#"{"weight_map":{"v":"one.safetensors"}}"#,
        r#"{"weight_map":{"w":"one.safetensors","v":"one.safetensors"}}"#,
        r#"{"weight_map":{"w":"../good.safetensors"}}"#,
        r#"{"weight_map":[]}"#,
    ] {
        write_index(index);
        home.refuses(&shards);
    }
    fs::write(shards.join("two.safetensors"), file_of(GOOD, &noise(8, 1000))).unwrap();
    write_index(r#"{"weight_map":{"w":"one.safetensors","v":"two.safetensors"}}"#);
    home.refuses(&shards);
    home.assert_unharmed();
}

#[test]
fn a_file_that_shrinks_while_it_is_imported_leaves_nothing() {
    let home = Home::new();
    // Many short tensors and a long one, so that some are in before the end is missed.
    let lens: Vec<usize> = (0..40).map(|at| 100_000 + at).chain([20 << 20]).collect();
    let mut entries = Vec::new();
    let mut end = 0;
    for (at, len) in lens.iter().enumerate() {
        let (from, to) = (end, end + len);
        entries.push(format!(
            r#""t{at}":{{"dtype":"U8","shape":[{len}],"data_offsets":[{from},{to}]}}"#
        ));
        end = to;
    }
    let bytes = file_of(format!("{{{}}}", entries.join(",")), &noise(3, end));
    for kept in [bytes.len() - 1, bytes.len() - (19 << 20), 2_000_000, 5000] {
        let path = home.file("shrinks.safetensors", &bytes);
        let file = ModelSource::open(&path).unwrap();
        fs::File::options().write(true).open(&path).unwrap().set_len(kept as u64).unwrap();
        let new = NewModel::new("hostile").parent("base", How::FineTune).source(&file);
        let error = write(&home.store, |t| t.add_model(new)).unwrap_err();
        assert!(matches!(error, StoreError::Source { .. }));
        let text = mgit::full_message(&error);
        assert!(text.contains("shrinks.safetensors") && text.contains("cannot read"), "{text}");
        let snapshot = home.store.snapshot().unwrap();
        assert_eq!(contents(&snapshot).unwrap(), home.before, "cut to {kept}");
    }
    home.assert_unharmed();
}
