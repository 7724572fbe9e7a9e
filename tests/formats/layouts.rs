//! What a reader finds in a file, held against the file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use mgit::interchange::{FileLayout, InterchangeError, OpenFile, contiguous, read_layout};
use mgit::{Dtype, Shape};

use super::sha256::sha256;
use crate::common::layout::check;

/// Files of others that are small enough to stand in the project.
pub fn door(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/door").join(name)
}

/// What a library has read: type, shape and hash of the values, by file and name.
pub type Expected = BTreeMap<String, Option<BTreeMap<String, (String, Vec<u64>, String)>>>;

pub fn expected(path: &Path) -> Expected {
    let text = std::fs::read(path).unwrap();
    let files: BTreeMap<String, serde_json::Value> = serde_json::from_slice(&text).unwrap();
    let of = |tensor: &serde_json::Value| {
        let text = |key: &str| tensor[key].as_str().map(str::to_owned);
        let shape = tensor["shape"].as_array()?.iter().map(|dim| dim.as_u64().unwrap()).collect();
        Some((text("dtype")?, shape, text("sha256")?))
    };
    files
        .into_iter()
        .map(|(file, tensors)| {
            let tensors = tensors.as_object().map(|tensors| {
                tensors
                    .iter()
                    .filter_map(|(name, tensor)| Some((name.clone(), of(tensor)?)))
                    .collect()
            });
            (file, tensors)
        })
        .collect()
}

/// The name of a type in the words of torch and NumPy.
pub fn type_name(dtype: &Dtype) -> String {
    let name = match dtype {
        Dtype::Bf16 => "bfloat16",
        Dtype::F8E4M3 => "float8_e4m3fn",
        Dtype::F8E5M2 => "float8_e5m2",
        Dtype::F8E4M3Fnuz => "float8_e4m3fnuz",
        Dtype::F8E5M2Fnuz => "float8_e5m2fnuz",
        Dtype::F8E8M0 => "float8_e8m0fnu",
        Dtype::Bool => "bool",
        _ => {
            let (kind, bits) = dtype.name().split_at(1);
            let kind = match kind {
                "F" => "float",
                "I" => "int",
                "U" => "uint",
                "C" => "complex",
                _ => panic!("{dtype}"),
            };
            return format!("{kind}{bits}");
        }
    };
    name.to_owned()
}

/// The values of a tensor or view, in row-major order.
pub fn values(bytes: &[u8], layout: &FileLayout, name: &str) -> Option<(Dtype, Shape, Vec<u8>)> {
    if let Some(tensor) = layout.tensors.iter().find(|tensor| tensor.name == name) {
        let values = bytes[tensor.begin as usize..tensor.end as usize].to_vec();
        return Some((tensor.dtype.clone(), tensor.shape.clone(), values));
    }
    let view = layout.views.iter().find(|view| view.name == name)?;
    let holder = &layout.tensors[view.tensor];
    let held = &bytes[holder.begin as usize..holder.end as usize];
    let width = u64::from(view.dtype.bits().unwrap()) / 8;
    let usual = contiguous(&view.shape);
    let mut values = Vec::new();
    for element in 0..view.shape.elements() {
        let place: u64 = usual
            .iter()
            .zip(view.shape.dims())
            .zip(&view.strides)
            .map(|((usual, dim), stride)| element / usual % dim * stride)
            .sum();
        let begin = (view.offset + place * width) as usize;
        values.extend_from_slice(&held[begin..begin + width as usize]);
    }
    Some((view.dtype.clone(), view.shape.clone(), values))
}

/// Holds every name that a library has read against the layout; the names that are more.
pub fn agree(
    path: &Path,
    expected: &BTreeMap<String, (String, Vec<u64>, String)>,
) -> (FileLayout, Vec<String>) {
    let bytes = std::fs::read(path).unwrap();
    let layout = read_layout(&OpenFile::open(path).unwrap()).unwrap();
    check(&layout, bytes.len() as u64);
    for (name, (dtype, shape, hash)) in expected {
        let found = values(&bytes, &layout, name);
        let (found_dtype, found_shape, values) =
            found.unwrap_or_else(|| panic!("{path:?}: {name}: {:#?}", layout.notes));
        assert_eq!(type_name(&found_dtype), *dtype, "{path:?} {name}");
        assert_eq!(found_shape.dims(), shape, "{path:?} {name}");
        assert_eq!(sha256(&values), *hash, "{path:?} {name}");
    }
    let tensors = layout.tensors.iter().map(|tensor| &tensor.name);
    let names = tensors.chain(layout.views.iter().map(|view| &view.name));
    let more = names.filter(|name| !expected.contains_key(*name)).cloned().collect();
    (layout, more)
}

/// Reads bytes as a file of this name, and checks what is found.
pub fn read(name: &str, bytes: &[u8]) -> Result<FileLayout, InterchangeError> {
    let layout = read_layout(&OpenFile::of_bytes(name, bytes))?;
    check(&layout, bytes.len() as u64);
    Ok(layout)
}

/// The files of all forms, beside the project; `None` in a clone.
pub fn whole_door() -> Option<PathBuf> {
    let project = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let project = project.unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    let folder = project.join("../shared/door");
    if !folder.is_dir() {
        println!("skipped: ../shared/door is absent");
        return None;
    }
    Some(folder)
}

/// Every prefix of a file, and the file with a bit of each byte changed: none may panic, none may
/// give ranges that are not there.
pub fn mangle(path: &Path) -> (usize, usize) {
    let whole = std::fs::read(path).unwrap();
    let name = path.file_name().unwrap().to_str().unwrap();
    let (mut refused, mut read_well) = (0, 0);
    let mut count = |result: Result<FileLayout, InterchangeError>| match result {
        Ok(_) => read_well += 1,
        Err(error) => {
            assert!(error.is_malformed(), "{name}: {error:?}");
            refused += 1;
        }
    };
    for len in 0..whole.len() {
        count(read(name, &whole[..len]));
    }
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        count(read(name, &bytes));
    }
    (refused, read_well)
}
