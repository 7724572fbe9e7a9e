//! Promise: a GGUF file's tensors are found where the format says, of every type, and nothing else
//! of it is lost; what breaks the rules is refused by what it is, without a panic and in bounded
//! memory.

use std::fs;
use std::path::Path;

use mgit::interchange::{InterchangeError, OpenFile, q8_0_as_f32, read_layout};
use mgit::{Dtype, interchange::FileFormat};
use serde_json::Value;

use super::layout_reads::{self, door};
use crate::common::layout::check;
use crate::common::sha256::sha256;

/// Every tensor, type and value is what the package `gguf` reads, and Q8_0 what it makes of it.
fn is_read_as_by_others(path: &Path, expected: &Value) {
    let file = OpenFile::open(path).unwrap();
    let layout = read_layout(&file).unwrap();
    assert_eq!(layout.format, FileFormat::Gguf);
    check(&layout, file.len());
    assert_eq!(layout_reads::found(&file, &layout), layout_reads::expected(expected), "{path:?}");
    for tensor in &layout.tensors {
        let Some(hash) = expected[&tensor.name]["f32"].as_str() else { continue };
        let mut numbers = vec![0; 4 * tensor.shape.elements() as usize];
        let read = |offset, out: &mut [u8]| file.read_exact_at(tensor.begin + offset, out);
        q8_0_as_f32(read, 0, &mut numbers).unwrap();
        assert_eq!(sha256(&numbers), hash, "{}", tensor.name);
    }
}

#[test]
fn tensors_are_those_that_the_package_gguf_reads() {
    let expected = layout_reads::json(&door("gguf_onnx.json"));
    for name in ["tiny-q8.gguf", "types.gguf"] {
        is_read_as_by_others(&door(name), &expected[name]);
    }
    let Some(large) = layout_reads::large_door() else { return };
    let expected = layout_reads::json(&large.join("expected.json"));
    for name in ["tiny-f16.gguf", "tiny-f32.gguf", "tiny-q8.gguf"] {
        is_read_as_by_others(&large.join(name), &expected[name]);
    }
}

#[test]
fn keys_of_every_type_become_facts_where_they_are_short() {
    let layout = read_layout(&OpenFile::open(door("types.gguf")).unwrap()).unwrap();
    let facts = &layout.facts;
    for (key, value) in [
        ("general.architecture", Value::from("llama")),
        ("general.base_model.0.name", "a base".into()),
        ("general.license", "mit".into()),
        ("general.value.0", 200.into()),
        ("general.value.1", (-2).into()),
        ("general.value.2", 60000.into()),
        ("general.value.3", (-3).into()),
        ("general.value.4", (4u64 << 29).into()),
        ("general.value.5", (-4).into()),
        ("general.value.6", (1u64 << 63).into()),
        ("general.value.7", (-5).into()),
        ("general.value.8", 0.1.into()),
        ("general.value.9", 0.2.into()),
        ("general.value.10", true.into()),
    ] {
        assert_eq!(facts[key], value, "{key}");
    }
    // No vocabulary, no lists, and no long text, which is told.
    assert!(facts.keys().all(|key| key.starts_with("general.")));
    assert!(!facts.contains_key("general.description"));
    assert_eq!(layout.notes.len(), 1, "{:?}", layout.notes);
    assert!(layout.notes[0].contains("general.description"), "{:?}", layout.notes);
}

/// A file made here, key by key and tensor by tensor.
#[derive(Clone)]
struct Draft {
    version: u32,
    keys: Vec<Vec<u8>>,
    infos: Vec<Vec<u8>>,
    data: Vec<u8>,
    alignment: usize,
}

fn text(text: &[u8]) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes(), text].concat()
}

fn key(name: &str, kind: u32, value: &[u8]) -> Vec<u8> {
    [text(name.as_bytes()), kind.to_le_bytes().to_vec(), value.to_vec()].concat()
}

/// The dimensions innermost first.
fn info(name: &str, dims: &[u64], kind: u32, offset: u64) -> Vec<u8> {
    let mut bytes = text(name.as_bytes());
    bytes.extend((dims.len() as u32).to_le_bytes());
    bytes.extend(dims.iter().flat_map(|dim| dim.to_le_bytes()));
    bytes.extend(kind.to_le_bytes());
    bytes.extend(offset.to_le_bytes());
    bytes
}

impl Draft {
    fn new() -> Self {
        let data = vec![7; 64];
        let infos = vec![info("a", &[2, 3], 0, 0), info("b", &[8], 1, 32)];
        Draft { version: 3, keys: Vec::new(), infos, data, alignment: 32 }
    }

    fn bytes(&self) -> Vec<u8> {
        let counts = [self.infos.len() as u64, self.keys.len() as u64];
        let mut bytes = b"GGUF".to_vec();
        bytes.extend(self.version.to_le_bytes());
        bytes.extend(counts.map(u64::to_le_bytes).concat());
        bytes.extend([self.keys.concat(), self.infos.concat()].concat());
        bytes.resize(bytes.len().next_multiple_of(self.alignment), 0);
        bytes.extend(&self.data);
        bytes
    }

    fn read(&self) -> Result<mgit::interchange::FileLayout, InterchangeError> {
        let bytes = self.bytes();
        let len = bytes.len() as u64;
        let layout = read_layout(&OpenFile::of_bytes("model.gguf", bytes))?;
        check(&layout, len);
        Ok(layout)
    }

    /// The message of its refusal.
    fn refusal(&self) -> String {
        match self.read() {
            Ok(layout) => panic!("read as {layout:?}"),
            Err(error) => error.to_string(),
        }
    }

    fn with_key(name: &str, kind: u32, value: &[u8]) -> Self {
        Draft { keys: vec![key(name, kind, value)], ..Draft::new() }
    }

    fn with_infos(infos: &[Vec<u8>]) -> Self {
        Draft { infos: infos.to_vec(), ..Draft::new() }
    }
}

#[test]
fn dimensions_are_outermost_first_and_gaps_and_alignment_are_kept() {
    for version in [2, 3] {
        let layout = Draft { version, ..Draft::new() }.read().unwrap();
        let [a, b] = &layout.tensors[..] else { panic!("{layout:?}") };
        assert_eq!((a.shape.dims(), &a.dtype, a.end - a.begin), (&[3, 2][..], &Dtype::F32, 24));
        assert_eq!((b.begin - a.begin, b.end - b.begin), (32, 16));
        assert_eq!(a.begin % 32, 0);
    }
    let alignment = key("general.alignment", 4, &1024u32.to_le_bytes());
    let infos = vec![info("b", &[2], 0, 1024), info("a", &[2], 0, 0), info("none", &[0], 0, 0)];
    let aligned = Draft {
        keys: vec![alignment],
        alignment: 1024,
        infos,
        data: vec![0; 1032],
        ..Draft::new()
    };
    let layout = aligned.read().unwrap();
    let begins: Vec<_> = layout.tensors.iter().map(|it| (it.name.as_str(), it.begin)).collect();
    assert_eq!((begins[0], layout.tensors.len() + layout.views.len()), (("a", 1024), 3));
    assert!(Draft { infos: Vec::new(), data: Vec::new(), ..Draft::new() }.read().is_ok());
}

#[test]
fn a_type_that_is_not_known_reaches_to_the_next_tensor_and_is_told() {
    let infos = [info("b", &[5], 999, 32), info("a", &[5], 998, 0)];
    let layout = Draft::with_infos(&infos).read().unwrap();
    let found: Vec<_> = layout
        .tensors
        .iter()
        .map(|it| (it.name.as_str(), it.dtype.to_string(), it.end - it.begin))
        .collect();
    assert_eq!(found, [("a", "GGML998".to_owned(), 32), ("b", "GGML999".to_owned(), 32)]);
    assert_eq!(layout.notes.len(), 1);
    assert!(layout.notes[0].contains("2 tensors") && layout.notes[0].contains("GGML998"));
}

/// A vocabulary is passed over: an array of more texts than the reader may keep, read at ease.
#[test]
fn a_vocabulary_costs_no_memory() {
    let count = 2_000_000u64;
    let mut list = 8u32.to_le_bytes().to_vec();
    list.extend(count.to_le_bytes());
    list.extend(text(b"a token of thirty bytes or so!").repeat(count as usize));
    assert!(list.len() as u64 > mgit::interchange::GGUF_LAYOUT_MEMORY_MAX);
    let layout = Draft::with_key("tokenizer.ggml.tokens", 9, &list).read().unwrap();
    assert_eq!((layout.tensors.len(), layout.facts.len()), (2, 0));
}

#[test]
fn facts_are_bounded() {
    let keys = (0..70).map(|at| key(&format!("general.k{at}"), 4, &[1; 4])).collect();
    let layout = Draft { keys, ..Draft::new() }.read().unwrap();
    assert_eq!((layout.facts.len(), layout.notes.len()), (64, 1));
    assert!(layout.notes[0].contains("\"general.k64\" and 5 more"), "{:?}", layout.notes);
    // What is no number, and what is no text, is no fact.
    let nan = Draft::with_key("general.nan", 6, &f32::NAN.to_le_bytes());
    let bytes = Draft::with_key("general.bytes", 8, &text(&[0xff]));
    for draft in [nan, bytes] {
        assert!(draft.read().unwrap().facts.is_empty());
    }
}

#[test]
fn what_is_not_read_is_refused_by_name() {
    for (version, message) in [
        (1, "version 1 is not read: make the file again with a llama.cpp of after August 2023"),
        (3u32.swap_bytes(), "a big-endian file (version 3) is not read: turn it with gguf-convert"),
        (2u32.swap_bytes(), "a big-endian file (version 2) is not read"),
        (4, "version 4 is not read: a newer mgit may read it"),
    ] {
        let error = Draft { version, ..Draft::new() }.read().unwrap_err();
        assert!(matches!(error, InterchangeError::NotSupported { .. }), "{error:?}");
        assert!(!error.is_malformed());
        assert!(error.to_string().contains(message), "{error}");
    }
}

#[test]
fn what_breaks_the_format_is_refused_by_what_it_is() {
    let alignment = |value: u32| key("general.alignment", 4, &value.to_le_bytes());
    let array = |kind: u32, count: u64, rest: &[u8]| {
        [&kind.to_le_bytes()[..], &count.to_le_bytes(), rest].concat()
    };
    let twice = vec![key("k", 0, &[1]), key("k", 0, &[1])];
    let long = "n".repeat(70_000);
    let short = Draft { data: vec![0; 47], ..Draft::new() };
    let with = Draft::with_infos;
    let cases: Vec<(Draft, &str)> = vec![
        (Draft { version: 0, ..Draft::new() }, "expected a version from 1, found 0"),
        (Draft { keys: vec![alignment(0)], ..Draft::new() }, "expected a power of two, found 0"),
        (Draft { keys: vec![alignment(48)], ..Draft::new() }, "expected a power of two, found 48"),
        (
            Draft::with_key("general.alignment", 10, &[32; 8]),
            "expected a UINT32, found value type 10",
        ),
        (
            Draft { keys: vec![alignment(32); 2], ..Draft::new() },
            "\"general.alignment\" stands twice",
        ),
        (Draft { keys: twice, ..Draft::new() }, "the key \"k\" stands twice"),
        (Draft::with_key(&long, 0, &[1]), "a key of 70000 bytes, expected at most 65535"),
        (Draft::with_key("k", 13, &[0; 8]), "the key \"k\" has a value of the unknown type 13"),
        (Draft::with_key("k", 9, &array(9, 1, &[0; 20])), "\"k\" has an array of arrays"),
        (Draft::with_key("k", 9, &array(99, 1, &[])), "\"k\" has an array of the unknown type 99"),
        (Draft::with_key("k", 9, &array(12, u64::MAX, &[])), "the metadata needs"),
        (Draft::with_key("k", 9, &array(8, u64::MAX, &[])), "the metadata needs"),
        (Draft::with_key("k", 8, &u64::MAX.to_le_bytes()), "the metadata needs"),
        (with(&[info("a", &[2], 0, 0), info("a", &[2], 0, 32)]), "the tensor \"a\" stands twice"),
        (with(&[info("", &[2], 0, 0)]), "a tensor without a name"),
        (with(&[info(&long, &[2], 0, 0)]), "a tensor's name of 70000 bytes"),
        (with(&[info("a", &[1; 65], 0, 0)]), "has 65 dimensions, more than 64"),
        (with(&[info("a", &[33], 8, 0)]), "expected rows of whole blocks of 32 Q8_0 elements"),
        (with(&[info("a", &[], 8, 0)]), "expected rows of whole blocks of 32 Q8_0 elements"),
        (with(&[info("a", &[1 << 33, 1 << 33], 0, 0)]), "below 2^64 bytes together"),
        (with(&[info("a", &[1 << 33, 1 << 33], 999, 0)]), "\"a\""),
        (with(&[info("a", &[2], 0, 4)]), "\"a\" begins at 4, not a multiple of 32"),
        (with(&[info("a", &[9], 0, 0), info("b", &[8], 1, 32)]), "\"b\" lies over \"a\""),
        (with(&[info("a", &[1], 0, 0), info("b", &[2], 0, 0)]), "lies over"),
        (with(&[info("a", &[1], 99, 0), info("b", &[2], 0, 0)]), "\"a\" has no bytes before"),
        (with(&[info("a", &[1], 0, 1 << 40)]), "\"a\" begins at 1099511627776 of the data of 4"),
        (with(&[info("a", &[1], 0, u64::MAX - 31)]), "which is past the end of the file"),
        (short, "\"b\" begins at 32 of the data of 16 bytes, which is past the end of the file"),
    ];
    for (draft, message) in cases {
        let found = draft.refusal();
        assert!(found.contains(message), "expected {message}\nfound {found}");
    }
    let mut bytes = Draft::with_infos(&[info("aa", &[2], 0, 0)]).bytes();
    bytes[32] = 0xff;
    let error = read_layout(&OpenFile::of_bytes("model.gguf", bytes)).unwrap_err();
    assert!(error.to_string().contains("a tensor's name is not UTF-8"), "{error}");
    for bytes in [b"GGU".as_slice(), b"GGUF", b"text, not a model, and long enough"] {
        assert!(read_layout(&OpenFile::of_bytes("model.gguf", bytes)).unwrap_err().is_malformed());
    }
    // A count without end costs nothing.
    let mut many = Draft::new().bytes();
    many[8..16].fill(0xff);
    assert!(read_layout(&OpenFile::of_bytes("model.gguf", many)).is_err());
}

#[test]
fn memory_is_bounded() {
    // 2,000 names of 64,000 bytes.
    let infos: Vec<Vec<u8>> = (0..2000)
        .map(|at| info(&format!("{at}{}", "n".repeat(64_000)), &[1], 0, 32 * at))
        .collect();
    let error = Draft { infos, data: vec![0; 64_000], ..Draft::new() }.read().unwrap_err();
    assert!(matches!(error, InterchangeError::LayoutTooLarge { .. }), "{error}");
}

/// Cut anywhere, and with any byte changed, a file is read or refused.
#[test]
fn damaged_files_are_survived() {
    for name in ["tiny-q8.gguf", "types.gguf"] {
        let whole = fs::read(door(name)).unwrap();
        let (cut, flipped) = layout_reads::survives(name, &whole, 8192, read_layout);
        // Every cut takes a part of the last tensor at least, or its padding.
        assert!(cut > 1000 && flipped > 1000, "{name}: {cut} {flipped}");
    }
    let whole = Draft::new().bytes();
    layout_reads::survives("model.gguf", &whole, whole.len(), read_layout);
}
