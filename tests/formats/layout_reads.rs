//! What the tests of readers share: the files of `tests/door`, what other programs read from them,
//! and what holds for every layout, of damaged files too.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use mgit::interchange::{FileLayout, InterchangeError, LaidTensor, OpenFile};
use serde_json::Value;

use crate::common::layout::check;
use crate::common::sha256::sha256;

pub type Read = fn(&OpenFile) -> Result<FileLayout, InterchangeError>;

/// A file of `tests/door`.
pub fn door(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/door").join(name)
}

/// The folder with more of them that `MGIT_DOOR` names, or the one beside the project.
pub fn large_door() -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/door");
    let folder = std::env::var_os("MGIT_DOOR").map_or_else(beside, PathBuf::from);
    if !folder.is_dir() {
        println!("skipped: MGIT_DOOR does not name the folder of more model files");
        return None;
    }
    Some(folder)
}

/// Tensors by name: type, dimensions, SHA-256 of the bytes.
pub type Tensors = BTreeMap<String, (String, Vec<u64>, String)>;

/// What `list` says of a file, for each tensor; texts are left out.
pub fn expected(list: &Value) -> Tensors {
    let dtype = |name: &str| {
        let special = match name {
            "bfloat16" => "BF16",
            "bool" => "BOOL",
            "float8_e4m3fn" => "F8_E4M3",
            "float8_e8m0fnu" => "F8_E8M0",
            _ => "",
        };
        if !special.is_empty() {
            return special.to_owned();
        }
        let kinds = [("float", "F"), ("uint", "U"), ("int", "I"), ("complex", "C")];
        let short = kinds.iter().find_map(|(long, short)| Some((short, name.strip_prefix(long)?)));
        short.map_or(name.to_owned(), |(short, rest)| format!("{short}{}", rest.to_uppercase()))
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
pub fn survives(name: &str, whole: &[u8], flips: usize, read: Read) -> (usize, usize) {
    let mut refused = (0, 0);
    for len in 0..whole.len() {
        // Of a long rest all prefixes are alike: the first and last of it, and some between.
        if len > flips && len + 64 < whole.len() && len % 61 != 0 {
            continue;
        }
        match read(&OpenFile::of_bytes(name, &whole[..len])) {
            Ok(layout) => check(&layout, len as u64),
            Err(_) => refused.0 += 1,
        }
    }
    for at in 0..whole.len().min(flips) {
        for mask in [1 << (at % 8), 0xff] {
            let mut damaged = whole.to_vec();
            damaged[at] ^= mask;
            match read(&OpenFile::of_bytes(name, damaged)) {
                Ok(layout) => check(&layout, whole.len() as u64),
                Err(_) => refused.1 += 1,
            }
        }
    }
    refused
}
