//! What `read_layout` finds in a file, held against what the libraries read: through views too.

use std::path::Path;

use mgit::interchange::{FileLayout, InterchangeError, OpenFile, contiguous, read_layout};
use mgit::{Dtype, Shape};

use crate::common::layout::check;
use crate::common::sha256::sha256;
use crate::layout_reads::Tensors;

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
pub fn agree(path: &Path, expected: &Tensors) -> (FileLayout, Vec<String>) {
    let bytes = std::fs::read(path).unwrap();
    let layout = read_layout(&OpenFile::open(path).unwrap()).unwrap();
    check(&layout, bytes.len() as u64);
    for (name, (dtype, shape, hash)) in expected {
        let found = values(&bytes, &layout, name);
        let (found_dtype, found_shape, values) =
            found.unwrap_or_else(|| panic!("{path:?}: {name}: {:#?}", layout.notes));
        assert_eq!(found_dtype.name(), *dtype, "{path:?} {name}");
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

/// As a reader of damaged files: an error must be about the file.
pub fn read_damaged(file: &OpenFile) -> Result<FileLayout, InterchangeError> {
    let layout = read_layout(file);
    if let Err(error) = &layout {
        assert!(error.is_malformed(), "{error:?}");
        assert!(!matches!(error, InterchangeError::BadLayout { .. }), "{error}");
    }
    layout
}
