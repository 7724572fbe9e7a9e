//! Writing the header of a safetensors file.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::tensor::{Dtype, Shape};

/// The key of a safetensors header that holds strings in the place of a tensor.
pub const METADATA_KEY: &str = "__metadata__";

/// The bytes of the header's length, at the beginning of a safetensors file.
pub const HEADER_PREFIX_LEN: u64 = 8;

/// The header of a file whose data buffer holds `tensors`, name, type, shape and length in
/// bytes, one after the other in the order given.
///
/// Gives the JSON without the 8-byte length before it, padded with spaces so that the data
/// buffer starts at a multiple of 8 bytes. One header for one input: equal tensors and
/// metadata give equal bytes. Names must be distinct and not empty and lengths must agree with
/// type and shape, else the file is one that readers refuse; they refuse a header of more than
/// 100,000,000 bytes, too.
///
/// # Panics
///
/// When a tensor is named [`METADATA_KEY`], which would turn it into metadata, and when the
/// lengths add up to more than 2^64.
pub fn write_header<'a>(
    tensors: impl Iterator<Item = (&'a str, &'a Dtype, &'a Shape, u64)>,
    metadata: Option<&BTreeMap<String, String>>,
) -> Vec<u8> {
    let mut json = String::from("{");
    if let Some(metadata) = metadata {
        push_string(&mut json, METADATA_KEY);
        json.push_str(":{");
        for (key, value) in metadata {
            separate(&mut json);
            push_string(&mut json, key);
            json.push(':');
            push_string(&mut json, value);
        }
        json.push('}');
    }
    let mut begin = 0u64;
    for (name, dtype, shape, byte_len) in tensors {
        assert_ne!(name, METADATA_KEY, "a tensor cannot have the name of the metadata");
        let Some(end) = begin.checked_add(byte_len) else {
            panic!("tensor {name:?} ends past 2^64 bytes");
        };
        separate(&mut json);
        push_string(&mut json, name);
        json.push_str(":{\"dtype\":");
        push_string(&mut json, dtype.name());
        json.push_str(",\"shape\":[");
        for dim in shape.dims() {
            separate(&mut json);
            push_number(&mut json, *dim);
        }
        json.push_str("],\"data_offsets\":[");
        push_number(&mut json, begin);
        json.push(',');
        push_number(&mut json, end);
        json.push_str("]}");
        begin = end;
    }
    json.push('}');
    let mut header = json.into_bytes();
    header.resize(header.len().next_multiple_of(HEADER_PREFIX_LEN as usize), b' ');
    header
}

/// The beginning of a safetensors file: a header behind its length.
pub fn with_length(header: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(header.len() + HEADER_PREFIX_LEN as usize);
    bytes.extend_from_slice(&(header.len() as u64).to_le_bytes());
    bytes.extend_from_slice(header);
    bytes
}

/// A comma, unless this is the first item of its object or array.
fn separate(json: &mut String) {
    if !json.ends_with(['{', '[']) {
        json.push(',');
    }
}

fn push_string(json: &mut String, text: &str) {
    json.push_str(&serde_json::Value::from(text).to_string());
}

fn push_number(json: &mut String, number: u64) {
    // Writing to a string does not fail.
    let _ = write!(json, "{number}");
}
