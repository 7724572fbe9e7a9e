//! What the tests of GGUF and ONNX share: what other programs read from a file, in their own words,
//! and damaged files.

use std::collections::BTreeMap;
use std::path::Path;

use mgit::interchange::{FileLayout, LaidTensor, OpenFile};
use serde_json::Value;

use super::layouts::read;
use super::sha256::sha256;

/// Tensors by name: type, dimensions, SHA-256 of the bytes.
pub type Tensors = BTreeMap<String, (String, Vec<u64>, String)>;

/// What `list` says of a file, for each tensor; texts are left out.
pub fn expected(list: &Value) -> Tensors {
    let dtype = |name: &str| {
        match name {
            "float64" => "F64",
            "float32" => "F32",
            "float16" => "F16",
            "bfloat16" => "BF16",
            "int64" => "I64",
            "int4" => "I4",
            "complex64" => "C64",
            other => other,
        }
        .to_owned()
    };
    let entry = |(name, entry): (&String, &Value)| {
        let shape = entry["shape"].as_array().unwrap().iter().map(|dim| dim.as_u64().unwrap());
        let hash = entry["sha256"].as_str()?.to_owned();
        Some((name.clone(), (dtype(entry["dtype"].as_str().unwrap()), shape.collect(), hash)))
    };
    list.as_object().unwrap().iter().filter_map(entry).collect()
}

pub fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// A tensor's bytes.
pub fn bytes(file: &OpenFile, tensor: &LaidTensor) -> Vec<u8> {
    file.bytes(tensor.begin, tensor.end - tensor.begin).unwrap()
}

/// The tensors and whole views that a reader finds, in the files beside too.
pub fn found(file: &OpenFile, layout: &FileLayout) -> Tensors {
    let mut all = Tensors::new();
    let mut take = |file: &OpenFile, tensors: &[LaidTensor]| {
        for tensor in tensors {
            let LaidTensor { name, dtype, shape, .. } = tensor;
            let hash = sha256(&bytes(file, tensor));
            all.insert(name.clone(), (dtype.to_string(), shape.dims().to_vec(), hash));
        }
    };
    take(file, &layout.tensors);
    for beside in &layout.beside {
        let file = OpenFile::open(file.path().with_file_name(&beside.path)).unwrap();
        take(&file, &beside.clone().check(&file).unwrap().tensors);
    }
    all
}

/// Every prefix of a file, and every file with one byte of the first `flips` changed in one bit or
/// in all, is refused or read as a layout that holds.
pub fn survives(name: &str, whole: &[u8], flips: usize) -> (usize, usize) {
    let mut refused = (0, 0);
    for len in 0..whole.len() {
        // Of a long rest all prefixes are alike: the first and last of it, and some between.
        if len > flips && len + 64 < whole.len() && len % 61 != 0 {
            continue;
        }
        refused.0 += usize::from(read(name, &whole[..len]).is_err());
    }
    for at in 0..whole.len().min(flips) {
        for mask in [1 << (at % 8), 0xff] {
            let mut damaged = whole.to_vec();
            damaged[at] ^= mask;
            refused.1 += usize::from(read(name, &damaged).is_err());
        }
    }
    refused
}
