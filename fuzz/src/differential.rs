//! Our reader of safetensors files beside the reference implementation's.

use std::collections::HashSet;
use std::fmt;
use std::path::Path;

use mgit::Dtype;
use mgit::interchange::{HEADER_LEN_MAX, InterchangeError, SafetensorsHeader};
use safetensors::SafeTensors;
use serde::de::{IgnoredAny, MapAccess, Visitor};

/// Invariants checked:
///
/// - Reading arbitrary bytes gives an error that calls the file malformed, or a header; it never
///   panics, and allocates in proportion to the bytes.
/// - What is accepted here is accepted by the `safetensors` crate, with the same tensors and the
///   same metadata; but for tensors of an unknown type.
/// - What the crate accepts is refused here only for an empty, long or repeated name, too many
///   dimensions, a shape that overflows once its zeros are left out, or white space before `{`.
pub fn safetensors_header(data: &[u8]) {
    let Some((prefix, rest)) = data.split_first_chunk() else { return };
    let header_len = u64::from_le_bytes(*prefix);
    let theirs = SafeTensors::deserialize(data);
    if header_len > HEADER_LEN_MAX || header_len > rest.len() as u64 {
        assert!(theirs.is_err(), "a header of {header_len} bytes accepted there");
        return;
    }
    let (header, buffer) = rest.split_at(header_len as usize);
    let ours = SafetensorsHeader::parse(Path::new("fuzzed"), header, buffer.len() as u64);
    match (ours, theirs) {
        (Ok(ours), Ok(theirs)) => assert_same(&ours, &theirs, data),
        (Ok(ours), Err(theirs)) => {
            let unknown = |dtype: &Dtype| matches!(dtype, Dtype::Unknown(_));
            let excused = ours.tensors().iter().any(|tensor| unknown(&tensor.dtype));
            assert!(excused, "accepted here, refused there: {theirs}");
        }
        (Err(ours), Ok(_)) => {
            assert!(ours.is_malformed());
            let excused = is_our_own_rule(&ours) || has_repeated_name(header);
            assert!(excused, "accepted there, refused here: {ours}");
        }
        (Err(ours), Err(_)) => assert!(ours.is_malformed(), "{ours}"),
    }
}

fn assert_same(ours: &SafetensorsHeader, theirs: &SafeTensors<'_>, data: &[u8]) {
    assert_eq!(ours.tensors().len(), theirs.len());
    let buffer = &data[8 + ours.bytes().len()..];
    for entry in ours.tensors() {
        let tensor = theirs.tensor(&entry.name).expect("a tensor of the same name");
        assert_eq!(entry.dtype.name(), tensor.dtype().to_string());
        let dims: Vec<_> = tensor.shape().iter().map(|dim| *dim as u64).collect();
        assert_eq!(entry.shape.dims(), dims);
        assert!(std::ptr::eq(tensor.data(), &buffer[entry.begin as usize..entry.end as usize]));
    }
    let (_, header) = SafeTensors::read_metadata(data).expect("it was read before");
    let theirs = header.metadata().clone().unwrap_or_default();
    assert_eq!(
        ours.metadata().clone().into_iter().collect::<std::collections::HashMap<_, _>>(),
        theirs
    );
}

/// Whether a file that the reference takes may be refused with this error.
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

/// Whether a header names a tensor twice: the reference drops the first of two unchecked, while
/// here either may be refused before the name is seen to be repeated.
fn has_repeated_name(header: &[u8]) -> bool {
    struct Names;
    impl<'de> Visitor<'de> for Names {
        type Value = bool;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
            let mut names = HashSet::new();
            let mut repeated = false;
            while let Some((name, _)) = map.next_entry::<String, IgnoredAny>()? {
                repeated |= !names.insert(name);
            }
            Ok(repeated)
        }
    }
    let mut json = serde_json::Deserializer::from_slice(header);
    serde::Deserializer::deserialize_map(&mut json, Names).unwrap_or(false)
}
