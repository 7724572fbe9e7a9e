//! Promise: a sharded model whose index and shards do not agree, or whose index would lead out
//! of its folder, is refused with an error that names index, shard and tensor.

use std::fs;
use std::path::Path;

use mgit::interchange::{InterchangeError, ModelSource};
use tempfile::{TempDir, tempdir};

const INDEX: &str = "model.safetensors.index.json";
const FIX: &str = "the index and the shards are not of one model: fetch both again";

/// Writes a shard of one byte a tensor.
fn write_shard(folder: &Path, name: &str, tensors: &[&str]) {
    let entries: Vec<_> = tensors
        .iter()
        .enumerate()
        .map(|(i, tensor)| {
            let end = i + 1;
            format!(r#""{tensor}":{{"dtype":"U8","shape":[1],"data_offsets":[{i},{end}]}}"#)
        })
        .collect();
    let header = format!("{{{}}}", entries.join(","));
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header.as_bytes());
    bytes.resize(bytes.len() + tensors.len(), 7);
    fs::write(folder.join(name), bytes).unwrap();
}

/// A folder with the index given and shards `1` of tensors `a` and `b`, and `2` of tensor `c`.
fn folder_with(index: &[u8]) -> TempDir {
    let folder = tempdir().unwrap();
    fs::write(folder.path().join(INDEX), index).unwrap();
    write_shard(folder.path(), "1.safetensors", &["a", "b"]);
    write_shard(folder.path(), "2.safetensors", &["c"]);
    folder
}

const GOOD: &str = r#"{"metadata":{"total_size":3},"weight_map":
    {"c":"2.safetensors","a":"1.safetensors","b":"1.safetensors"}}"#;

#[track_caller]
fn refused_in(folder: &Path, expected: &str) -> InterchangeError {
    let error = ModelSource::open(folder).unwrap_err();
    let text = error.to_string();
    let (_, rest) = text.split_once("model.safetensors.index.json\": ").expect(&text);
    assert_eq!(rest, expected);
    error
}

/// Asserts that the index given is refused as malformed with exactly `expected`.
#[track_caller]
fn refused(index: impl AsRef<[u8]>, expected: &str) {
    let error = refused_in(folder_with(index.as_ref()).path(), expected);
    assert!(error.is_malformed(), "{error}");
}

#[test]
fn a_model_whose_index_and_shards_agree_is_taken() {
    let folder = folder_with(GOOD.as_bytes());
    for path in [folder.path().to_path_buf(), folder.path().join(INDEX)] {
        let model = ModelSource::open(path).unwrap();
        let paths: Vec<_> = model.files().iter().map(|file| file.path()).collect();
        assert_eq!(paths, ["1.safetensors", "2.safetensors", INDEX]);
        let on_disk: u64 =
            fs::read_dir(&folder).unwrap().map(|f| f.unwrap().metadata().unwrap().len()).sum();
        assert_eq!(model.logical_bytes(), on_disk);
    }
    let single = ModelSource::open(folder.path().join("1.safetensors")).unwrap();
    assert!(single.is_single() && single.files().len() == 1);
}

#[test]
fn a_second_list_of_the_same_files_is_a_file_like_others() {
    let folder = folder_with(GOOD.as_bytes());
    fs::write(folder.path().join("ema.safetensors.index.json"), GOOD).unwrap();
    let model = ModelSource::open(folder.path()).unwrap();
    assert_eq!(model.files().len(), 4);
    assert_eq!(ModelSource::open(folder.path().join(INDEX)).unwrap().files().len(), 3);
}

#[test]
fn an_index_name_that_is_not_utf8_is_a_mistake() {
    use std::os::unix::ffi::OsStrExt;
    let folder = tempdir().unwrap();
    let path = folder.path().join(std::ffi::OsStr::from_bytes(b"\xff.index.json"));
    // Some file systems refuse such a name themselves.
    if fs::write(&path, GOOD).is_ok() {
        let error = ModelSource::open(&path).unwrap_err();
        assert!(error.to_string().ends_with("is not UTF-8: rename it"), "{error}");
        assert!(!error.is_malformed());
    }
}

#[test]
fn an_index_that_is_too_large_is_refused() {
    let folder = tempdir().unwrap();
    let index = fs::File::create(folder.path().join(INDEX)).unwrap();
    index.set_len(100_000_001).unwrap();
    let text = "expected an index of at most 100000000 bytes, found 100000001: this is no index \
                of a model";
    assert!(refused_in(folder.path(), text).is_malformed());
}

#[test]
fn an_index_that_is_not_json_is_refused() {
    let end = ": the file is damaged or incomplete: fetch it again";
    for (index, offset, detail) in [
        (b"{\"weight_map\":{}".as_slice(), 15, "EOF while parsing an object"),
        (b"", 0, "EOF while parsing a value"),
        (b"{\"weight_map\":{}} x", 18, "trailing characters"),
        (b"{\"\xff\":1}", 2, "not UTF-8"),
        (b"[]", 0, "invalid type: sequence, expected an object with a weight_map"),
    ] {
        let text =
            format!("offset {offset}: expected a JSON object, found an error: {detail}{end}");
        refused(index, &text);
    }
}

#[test]
fn an_index_cut_at_any_byte_is_refused() {
    for len in 0..GOOD.len() {
        let folder = folder_with(&GOOD.as_bytes()[..len]);
        assert!(ModelSource::open(folder.path()).unwrap_err().is_malformed(), "at {len}");
    }
}

#[test]
fn an_index_without_a_weight_map_is_refused() {
    let text = "expected a weight_map, found none: this is no index of a model";
    refused(r#"{"metadata":{}}"#, text);
}

#[test]
fn a_weight_map_twice_is_refused() {
    let text = format!("expected weight_map once, found it twice: {FIX}");
    refused(r#"{"weight_map":{},"weight_map":{}}"#, &text);
}

#[test]
fn a_weight_map_that_is_not_string_to_string_is_refused() {
    for (map, key, detail) in [
        (r#"{"a":1}"#, " at key \"a\"", "invalid type: integer `1`, expected a string"),
        (r#"{"a":null}"#, " at key \"a\"", "invalid type: null, expected a string"),
        ("[]", "", "invalid type: sequence, expected an object of strings"),
        ("null", "", "invalid type: null, expected an object of strings"),
    ] {
        let folder = folder_with(format!(r#"{{"weight_map":{map}}}"#).as_bytes());
        let error = ModelSource::open(folder.path()).unwrap_err();
        let text = format!("weight_map{key}: expected an object of strings: {detail}: {FIX}");
        assert!(error.to_string().ends_with(&text), "{error}");
        assert!(error.is_malformed());
    }
}

#[test]
fn a_tensor_listed_twice_is_refused() {
    let text =
        format!("tensor \"a\": expected every name once, found it twice in weight_map: {FIX}");
    for second in ["a", r"\u0061"] {
        for shard in ["1", "2"] {
            let index =
                GOOD.replace("\"c\":", &format!("\"{second}\":\"{shard}.safetensors\",\"c\":"));
            refused(index, &text);
        }
    }
}

#[test]
fn a_shard_name_that_is_not_a_plain_file_name_is_refused() {
    let long = "n".repeat(256);
    for name in [
        "",
        ".",
        "..",
        "/etc/passwd",
        "../2.safetensors",
        "x/2.safetensors",
        "2.safetensors/",
        r"..\\2.safetensors",
        r"2\u0000",
        r"\u002e\u002e\u002fx",
        &long,
    ] {
        let index = GOOD.replace("2.safetensors", name);
        let folder = folder_with(index.as_bytes());
        let error = ModelSource::open(folder.path()).unwrap_err();
        assert!(matches!(error, InterchangeError::ShardNameNotPlain { .. }), "{name}: {error}");
        assert!(error.is_malformed());
    }
    let text = format!(
        "tensor \"c\": expected the plain name of a file beside the index, found \
         \"../2.safetensors\": {FIX}"
    );
    refused(GOOD.replace("2.safetensors", "../2.safetensors"), &text);
}

#[test]
fn more_than_65535_shards_are_refused() {
    let entries: Vec<_> = (0..65_536).map(|i| format!("\"{i}\":\"s{i}\"")).collect();
    let text = "tensor \"65535\": expected at most 65535 shards, found one more, \"s65535\": \
                write the model in fewer shards";
    refused(format!("{{\"weight_map\":{{{}}}}}", entries.join(",")), text);
}

#[test]
fn a_missing_shard_is_refused_by_name() {
    let folder = folder_with(GOOD.as_bytes());
    fs::remove_file(folder.path().join("2.safetensors")).unwrap();
    let text = "shard \"2.safetensors\", expected beside the index for tensor \"c\", does not \
                exist: fetch the missing shard";
    // What is there is well formed: a download that is not finished.
    assert!(!refused_in(folder.path(), text).is_malformed());
}

#[test]
fn a_malformed_shard_is_refused_by_path() {
    let folder = folder_with(GOOD.as_bytes());
    fs::write(folder.path().join("2.safetensors"), b"short").unwrap();
    let error = ModelSource::open(folder.path()).unwrap_err();
    assert!(error.to_string().contains("2.safetensors\": 5 bytes, expected at least"), "{error}");
}

#[test]
fn a_shards_tensor_that_the_index_does_not_list_is_refused() {
    let text = format!(
        "expected every tensor of shard \"1.safetensors\" in weight_map, found tensor \"b\" that \
         is not: {FIX}"
    );
    refused(GOOD.replace(r#","b":"1.safetensors""#, ""), &text);
}

#[test]
fn an_index_entry_that_its_shard_lacks_is_refused() {
    let text =
        format!("expected tensor \"d\" in shard \"2.safetensors\", found it in no shard: {FIX}");
    refused(GOOD.replace(r#""c""#, r#""d":"2.safetensors","c""#), &text);
    let text = format!(
        "expected tensor \"b\" in shard \"2.safetensors\", found it in shard \"1.safetensors\": \
         {FIX}"
    );
    refused(GOOD.replace(r#""b":"1"#, r#""b":"2"#), &text);
}

#[test]
fn one_tensor_in_two_shards_is_refused() {
    let folder = folder_with(GOOD.as_bytes());
    write_shard(folder.path(), "2.safetensors", &["c", "a"]);
    let text = format!(
        "tensor \"a\": expected it in one shard, found it in \"1.safetensors\" and \
         \"2.safetensors\": {FIX}"
    );
    assert!(refused_in(folder.path(), &text).is_malformed());
}
