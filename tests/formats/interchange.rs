//! Promise: what the reference implementation writes is read here with the same result, what
//! is accepted here is accepted there (an unknown type excepted), what is accepted there is
//! refused here only by the rules that are ours, and headers written here are read there.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;

use mgit::interchange::{
    InterchangeError, METADATA_KEY, SafetensorsFile, SafetensorsHeader, write_header,
};
use mgit::tensor::{Dtype, Shape};
use proptest::prelude::*;
use safetensors::SafeTensors;
use safetensors::tensor::{Metadata, TensorView};

/// A tensor of a test: its name, the type's name in both crates, dimensions and bytes.
#[derive(Clone, Debug)]
struct Tensor {
    name: String,
    dtype: safetensors::Dtype,
    dims: Vec<usize>,
    bytes: Vec<u8>,
}

const DTYPES: [safetensors::Dtype; 22] = {
    use safetensors::Dtype::*;
    [
        BOOL,
        F4,
        F6_E2M3,
        F6_E3M2,
        U8,
        I8,
        F8_E5M2,
        F8_E4M3,
        F8_E8M0,
        F8_E4M3FNUZ,
        F8_E5M2FNUZ,
        I16,
        U16,
        F16,
        BF16,
        I32,
        U32,
        F32,
        C64,
        F64,
        I64,
        U64,
    ]
};

fn tensor() -> impl Strategy<Value = Tensor> {
    let name = prop_oneof!["[a-c]", "[a-z.0-9]{1,12}", "\\PC{1,4}", "[\"\\\\/\u{0}-\u{1f}é]{1,3}"];
    let dims = prop::collection::vec(0usize..5, 0..4);
    (name, prop::sample::select(&DTYPES), dims, any::<u8>()).prop_map(
        |(name, dtype, mut dims, fill)| {
            let bits = |dims: &[usize]| dims.iter().product::<usize>() * dtype.bitsize();
            if bits(&dims) % 8 != 0 {
                dims.push(4);
            }
            let bytes = vec![fill; bits(&dims) / 8];
            Tensor { name, dtype, dims, bytes }
        },
    )
}

fn tensors() -> impl Strategy<Value = Vec<Tensor>> {
    prop::collection::vec(tensor(), 0..6).prop_map(|tensors| {
        let distinct: BTreeMap<_, _> =
            tensors.into_iter().map(|tensor| (tensor.name.clone(), tensor)).collect();
        distinct.into_values().collect()
    })
}

fn metadata() -> impl Strategy<Value = Option<BTreeMap<String, String>>> {
    prop::option::of(prop::collection::btree_map("\\PC{0,3}", "\\PC{0,3}", 0..3))
}

/// The file that the reference implementation writes.
fn reference_file(tensors: &[Tensor], metadata: Option<BTreeMap<String, String>>) -> Vec<u8> {
    let views = tensors.iter().map(|tensor| {
        let view = TensorView::new(tensor.dtype, tensor.dims.clone(), &tensor.bytes).unwrap();
        (tensor.name.as_str(), view)
    });
    // With neither tensors nor strings in its metadata, it writes what it cannot read itself.
    let metadata = metadata.filter(|map| !(map.is_empty() && tensors.is_empty()));
    safetensors::serialize(views, metadata.map(|map| map.into_iter().collect())).unwrap()
}

/// The whole way through a file on disk.
fn open(bytes: &[u8]) -> Result<SafetensorsFile, InterchangeError> {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), bytes).unwrap();
    SafetensorsFile::open(file.path())
}

/// Holds the header read here against the one the reference implementation read.
fn assert_same(ours: &SafetensorsHeader, theirs: &Metadata) {
    assert_eq!(ours.tensors().len(), theirs.tensors().len());
    for entry in ours.tensors() {
        let info = theirs.info(&entry.name).unwrap();
        assert_eq!(entry.dtype.name(), info.dtype.to_string());
        assert_eq!(entry.dtype.bits(), Some(info.dtype.bitsize() as u32));
        let dims: Vec<_> = info.shape.iter().map(|dim| *dim as u64).collect();
        assert_eq!(entry.shape.dims(), dims);
        assert_eq!(
            (entry.begin, entry.end),
            (info.data_offsets.0 as u64, info.data_offsets.1 as u64)
        );
    }
    let metadata: HashMap<_, _> =
        ours.metadata().iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    assert_eq!(metadata, theirs.metadata().clone().unwrap_or_default());
}

/// Whether a file that the reference implementation takes may be refused with this error.
fn is_our_own_rule(error: &InterchangeError) -> bool {
    match error {
        InterchangeError::EmptyName { .. }
        | InterchangeError::NameTooLong { .. }
        | InterchangeError::DuplicateName { .. }
        | InterchangeError::TooManyDimensions { .. } => true,
        // Only where a zero comes first, so that the reference never sees the overflow.
        InterchangeError::ShapeOverflow { dims, .. } => dims.contains(&0),
        InterchangeError::HeaderNotObject { found, .. } => {
            found.is_some_and(|byte| byte.is_ascii_whitespace())
        }
        _ => false,
    }
}

/// Reads `bytes` with both and holds the promise of this file.
fn assert_agreement(bytes: &[u8]) {
    let theirs = SafeTensors::read_metadata(bytes);
    let header_len = bytes.first_chunk().map_or(0, |prefix| u64::from_le_bytes(*prefix));
    let header = usize::try_from(header_len).ok().and_then(|len| bytes.get(8..)?.get(..len));
    let shown = header.map(String::from_utf8_lossy);
    match (open(bytes), theirs) {
        (Ok(ours), Ok((_, theirs))) => assert_same(ours.header(), &theirs),
        (Ok(ours), Err(theirs)) => {
            let tensors = ours.header().tensors();
            let unknown = tensors.iter().any(|tensor| matches!(tensor.dtype, Dtype::Unknown(_)));
            assert!(unknown, "accepted here, refused there: {theirs}: {shown:?}");
        }
        (Err(ours), Ok(_)) => {
            assert!(ours.is_malformed());
            let repeated = has_repeated_name(header.unwrap_or_default());
            assert!(
                is_our_own_rule(&ours) || repeated,
                "accepted there, refused here: {ours}: {shown:?}"
            );
        }
        (Err(ours), Err(_)) => assert!(ours.is_malformed(), "{ours}"),
    }
}

/// Whether a header lists a name twice: of two entries the reference implementation drops the
/// first unchecked, while here either may be refused before the name is seen to be repeated.
fn has_repeated_name(header: &[u8]) -> bool {
    struct Names;
    impl<'de> serde::de::Visitor<'de> for Names {
        type Value = bool;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
            let mut names = std::collections::HashSet::new();
            let mut repeated = false;
            while let Some((name, _)) = map.next_entry::<String, serde::de::IgnoredAny>()? {
                repeated |= !names.insert(name);
            }
            Ok(repeated)
        }
    }
    let mut json = serde_json::Deserializer::from_slice(header);
    serde::Deserializer::deserialize_map(&mut json, Names).unwrap_or(false)
}

/// One change to a file, at places given as fractions of its length.
#[derive(Clone, Debug)]
enum Mutation {
    Byte(f64, u8),
    Remove(f64, usize),
    Insert(f64, String),
    Replace(&'static str, &'static str),
    Truncate(f64),
    Append(u8),
    HeaderLength(i8),
}

/// Text that means something in a header.
const TOKENS: [&str; 30] = [
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "0",
    "1",
    "-1",
    "-0",
    "1e0",
    "1e999",
    "4.0",
    "null",
    "true",
    " ",
    "\n",
    "\\u0061",
    "\\ud800",
    "\u{e9}",
    "\"a\":",
    "\"x\":1,",
    "\"x\":{\"y\":[1e400]},",
    "\"dtype\":\"F32\",",
    "\"shape\":[],",
    "\"\":",
    "\"__metadata__\":{},",
    "\"__metadata__\":null,",
    "\"a\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]},",
];

/// Rewrites of a header that reach rules which random bytes seldom do.
const REWRITES: [(&str, &str); 18] = [
    ("\"dtype\":\"U8\"", "\"dtype\":{\"U8\":null}"),
    ("\"dtype\":\"U8\"", "\"dtype\":{\"U8\":{}}"),
    ("\"dtype\":\"U8\"", "\"dtype\":{\"U8\":null,\"I8\":null}"),
    ("\"dtype\":\"U8\"", "\"dtype\":\"U9\""),
    ("\"dtype\":\"U8\"", "\"dtype\":\"I8\""),
    ("\"shape\":[", "\"shape\":[1,"),
    ("\"shape\":[", "\"shape\":[0,18446744073709551615,3,"),
    ("\"shape\":[", "\"shape\":[18446744073709551615,3,"),
    ("\"shape\":[", "\"shape\":[18446744073709551616,"),
    ("{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}", "[\"U8\",[2],[0,2]]"),
    ("{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}", "[\"U8\",[2],[0,2],0]"),
    ("{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}", "[\"U8\",[2]]"),
    ("\"data_offsets\":[0,2]", "\"data_offsets\":[0,2],\"new\":{\"a\":[true,null]}"),
    ("\"data_offsets\":[0,2]", "\"data_offsets\":[0,2],\"new\":\"\\udc00\""),
    ("\"data_offsets\":[0,2]", "\"data_offsets\":[0,2],\"new\":1e999"),
    ("\"data_offsets\":[0,2]", "\"data_offsets\":[0,2.0]"),
    ("}", "} \t\n"),
    ("{", " {"),
];

fn mutation() -> impl Strategy<Value = Mutation> {
    let place = || 0.0..1.0f64;
    prop_oneof![
        2 => (place(), any::<u8>()).prop_map(|(at, byte)| Mutation::Byte(at, byte)),
        2 => (place(), 1usize..9).prop_map(|(at, count)| Mutation::Remove(at, count)),
        3 => (place(), prop::sample::select(&TOKENS))
            .prop_map(|(at, text)| Mutation::Insert(at, text.into())),
        4 => prop::sample::select(&REWRITES).prop_map(|(from, to)| Mutation::Replace(from, to)),
        1 => place().prop_map(Mutation::Truncate),
        1 => any::<u8>().prop_map(Mutation::Append),
        1 => any::<i8>().prop_map(Mutation::HeaderLength),
    ]
}

/// Applies `mutation` to header and data; `slack` is added to the header length written.
fn mutate(mutation: &Mutation, header: &mut Vec<u8>, data: &mut Vec<u8>, slack: &mut i8) {
    let at = |at: f64, len: usize| (at * (len + 1) as f64) as usize;
    match mutation {
        Mutation::Byte(place, byte) => {
            let place = at(*place, header.len());
            if let Some(found) = header.get_mut(place) {
                *found = *byte;
            }
        }
        Mutation::Remove(place, count) => {
            let start = at(*place, header.len()).min(header.len());
            let end = (start + count).min(header.len());
            header.drain(start..end);
        }
        Mutation::Insert(place, text) => {
            let place = at(*place, header.len()).min(header.len());
            header.splice(place..place, text.bytes());
        }
        Mutation::Replace(from, to) => {
            if let Ok(text) = std::str::from_utf8(header) {
                *header = text.replacen(from, to, 1).into_bytes();
            }
        }
        Mutation::Truncate(place) => data.truncate(at(*place, data.len())),
        Mutation::Append(byte) => data.push(*byte),
        Mutation::HeaderLength(by) => *slack = *by,
    }
}

fn mutated(file: &[u8], mutations: &[Mutation]) -> Vec<u8> {
    let (prefix, rest) = file.split_at(8);
    let header_len = u64::from_le_bytes(prefix.try_into().unwrap()) as usize;
    let (header, data) = rest.split_at(header_len);
    let (mut header, mut data, mut slack) = (header.to_vec(), data.to_vec(), 0);
    for mutation in mutations {
        mutate(mutation, &mut header, &mut data, &mut slack);
    }
    let length = (header.len() as u64).wrapping_add_signed(i64::from(slack));
    [length.to_le_bytes().as_slice(), &header, &data].concat()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn files_of_the_reference_are_read_alike(tensors in tensors(), metadata in metadata()) {
        let bytes = reference_file(&tensors, metadata);
        let file = open(&bytes).unwrap();
        let theirs = SafeTensors::deserialize(&bytes).unwrap();
        let (header_len, reference) = SafeTensors::read_metadata(&bytes).unwrap();
        assert_same(file.header(), &reference);
        prop_assert_eq!(file.header().bytes(), &bytes[8..8 + header_len]);
        prop_assert_eq!(file.file_len(), bytes.len() as u64);
        for (index, entry) in file.header().tensors().iter().enumerate() {
            let mut data = vec![0; entry.byte_len() as usize];
            file.read_tensor_at(index, 0, &mut data).unwrap();
            prop_assert_eq!(data.as_slice(), theirs.tensor(&entry.name).unwrap().data());
        }
    }

    #[test]
    fn mutated_files_are_judged_alike(
        tensors in tensors(),
        metadata in metadata(),
        mutations in prop::collection::vec(mutation(), 0..4),
    ) {
        // One entry that every rewrite can reach, and that comes first among the rest.
        let reached = Tensor {
            name: "0".into(), dtype: safetensors::Dtype::U8, dims: vec![2], bytes: vec![1, 2],
        };
        let alone = reference_file(&[reached], metadata.clone());
        assert_agreement(&mutated(&alone, &mutations));
        assert_agreement(&mutated(&reference_file(&tensors, metadata), &mutations));
    }

    #[test]
    fn written_headers_are_read_by_the_reference(
        tensors in tensors(),
        metadata in metadata(),
    ) {
        let shaped: Vec<_> = tensors
            .iter()
            .map(|tensor| {
                let dims: Vec<_> = tensor.dims.iter().map(|dim| *dim as u64).collect();
                let dtype = Dtype::from_name(&tensor.dtype.to_string());
                (tensor.name.as_str(), dtype, Shape::new(&dims).unwrap(), tensor.bytes.len() as u64)
            })
            .collect();
        let items = shaped.iter().map(|(name, dtype, shape, len)| (*name, dtype, shape, *len));
        let header = write_header(items, metadata.as_ref());
        prop_assert_eq!((8 + header.len()) % 8, 0);
        let data: Vec<u8> = tensors.iter().flat_map(|tensor| tensor.bytes.clone()).collect();
        let bytes = [(header.len() as u64).to_le_bytes().as_slice(), &header, &data].concat();
        let (_, theirs) = SafeTensors::read_metadata(&bytes).unwrap();
        prop_assert_eq!(
            theirs.metadata().clone().map(|map| map.into_iter().collect()), metadata
        );
        let ours = SafetensorsHeader::parse(Path::new("x"), header, data.len() as u64).unwrap();
        assert_same(&ours, &theirs);
        let read = SafeTensors::deserialize(&bytes).unwrap();
        for tensor in &tensors {
            prop_assert_eq!(read.tensor(&tensor.name).unwrap().data(), tensor.bytes.as_slice());
        }
    }
}

/// Every rewrite alone, so that none depends on chance.
#[test]
fn every_rewrite_is_judged_alike() {
    let data = [1, 2];
    let view = || TensorView::new(safetensors::Dtype::U8, vec![2], &data).unwrap();
    let bytes = safetensors::serialize([("0", view())], None).unwrap();
    for (from, to) in REWRITES {
        assert_agreement(&mutated(&bytes, &[Mutation::Replace(from, to)]));
    }
    for place in 0..bytes.len() {
        for token in TOKENS {
            let place = place as f64 / bytes.len() as f64;
            assert_agreement(&mutated(&bytes, &[Mutation::Insert(place, token.into())]));
        }
    }
}

#[test]
fn nesting_is_taken_as_deep_as_the_reference_takes_it() {
    for depth in 120..132 {
        let nested = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let header =
            format!(r#"{{"w":{{"x":{nested},"dtype":"U8","shape":[0],"data_offsets":[0,0]}}}}"#);
        assert_agreement(&[&(header.len() as u64).to_le_bytes(), header.as_bytes()].concat());
    }
}

#[test]
fn a_header_is_written_the_same_each_time() {
    let shape = Shape::new(&[2, 1]).unwrap();
    let metadata = BTreeMap::from([("format".to_string(), "pt".to_string())]);
    let header = write_header(
        [("b", &Dtype::U8, &shape, 2), ("a\"", &Dtype::F16, &shape, 4)].into_iter(),
        Some(&metadata),
    );
    let expected = concat!(
        r#"{"__metadata__":{"format":"pt"},"b":{"dtype":"U8","shape":[2,1],"data_offsets":[0,2]},"#,
        r#""a\"":{"dtype":"F16","shape":[2,1],"data_offsets":[2,6]}}"#,
    );
    assert_eq!(std::str::from_utf8(&header).unwrap().trim_end_matches(' '), expected);
    assert_eq!(write_header(std::iter::empty(), None), b"{}      ");
    let empty = BTreeMap::new();
    assert_eq!(write_header(std::iter::empty(), Some(&empty)), br#"{"__metadata__":{}}     "#);
}

#[test]
#[should_panic(expected = "a tensor cannot have the name of the metadata")]
fn a_tensor_is_not_written_as_metadata() {
    let shape = Shape::default();
    write_header([(METADATA_KEY, &Dtype::U8, &shape, 1)].into_iter(), None);
}

#[test]
fn one_file_can_be_read_by_many_threads() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.safetensors");
    let data: Vec<u8> = (0..=255).collect();
    let view = TensorView::new(safetensors::Dtype::U8, vec![256], &data).unwrap();
    fs::write(&path, safetensors::serialize([("w", view)], None).unwrap()).unwrap();
    let file = SafetensorsFile::open(&path).unwrap();
    std::thread::scope(|scope| {
        for start in 0..16u8 {
            let file = &file;
            scope.spawn(move || {
                for offset in (start..=255).step_by(16) {
                    let mut byte = [0];
                    file.read_tensor_at(0, u64::from(offset), &mut byte).unwrap();
                    assert_eq!(byte, [offset]);
                }
            });
        }
    });
    assert_eq!(file.path(), path);
}
