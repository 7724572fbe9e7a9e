//! Files whose tensors are not seen: what they are, as far as their beginning says.

use std::path::Path;

use super::weights_name::is_weights_name;

/// What a format is called, and how its files begin: at which offset, with which bytes.
const BEGINNINGS: [(&str, usize, &[u8]); 17] = [
    ("HDF5", 0, b"\x89HDF\r\n\x1a\n"),
    ("TFLite", 4, b"TFL3"),
    ("a pickle", 0, b"\x80\x02"),
    ("a pickle", 0, b"\x80\x03"),
    ("a pickle", 0, b"\x80\x04"),
    ("a pickle", 0, b"\x80\x05"),
    ("a GGML file before GGUF", 0, b"lmgg"),
    ("a GGML file before GGUF", 0, b"tjgg"),
    ("a GGML file before GGUF", 0, b"algg"),
    ("a 7z archive", 0, b"7z\xbc\xaf\x27\x1c"),
    ("a zip archive", 0, b"PK\x03\x04"),
    ("gzip", 0, b"\x1f\x8b"),
    ("xz", 0, b"\xfd7zXZ\0"),
    ("zstd", 0, b"\x28\xb5\x2f\xfd"),
    ("bzip2", 0, b"BZh"),
    ("a rar archive", 0, b"Rar!\x1a\x07"),
    ("a tar archive", 257, b"ustar"),
];

/// Formats that have no beginning of their own, by how names of their files end.
const ENDINGS: [(&str, &str); 6] = [
    ("msgpack", "msgpack, as Flax writes it"),
    ("keras", "Keras"),
    ("pb", "a protobuf, as TensorFlow writes it"),
    ("mlmodel", "Core ML"),
    ("t7", "Lua Torch"),
    ("pdparams", "Paddle"),
];

/// Of what is called weights and is nothing that is known.
const UNKNOWN: &str = "kept as bytes: its tensors are not seen: of no format that is read";

/// Whether notes say that a file is of no format that is known.
pub(super) fn is_unknown(notes: &[String]) -> bool {
    notes.iter().any(|note| note == UNKNOWN)
}

/// What a file is of which no reader sees the tensors. Nothing where neither its beginning nor its
/// name says that it may have some.
pub(super) fn note(head: &[u8], path: &Path) -> Option<String> {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    let by_name = ENDINGS.iter().find(|(ending, _)| extension.eq_ignore_ascii_case(ending));
    let starts = |(_, offset, bytes): &&(&str, usize, &[u8])| {
        head.get(*offset..).is_some_and(|rest| rest.starts_with(bytes))
    };
    let by_content = BEGINNINGS.iter().find(starts).map(|(name, ..)| *name);
    let what = by_name.map(|(_, name)| *name).or(by_content);
    match what {
        Some(what) => Some(format!("kept as bytes: its tensors are not seen: {what}")),
        None if is_weights_name(path) => Some(UNKNOWN.to_owned()),
        None => None,
    }
}
