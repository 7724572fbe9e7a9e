//! Files of PyTorch and NumPy: a reader finds ranges that are tensors.

use mgit::interchange::{FileLayout, InterchangeError, OpenFile, read_layout};

use crate::common::layout::check;
use crate::zip_writer::zip;

fn read(name: &str, data: &[u8]) -> Option<FileLayout> {
    match read_layout(&OpenFile::of_bytes(name, data)) {
        Ok(layout) => {
            check(&layout, data.len() as u64);
            Some(layout)
        }
        Err(error) => {
            assert!(error.is_malformed(), "{error:?}");
            assert!(!matches!(error, InterchangeError::BadLayout { .. }), "{error}");
            None
        }
    }
}

/// The bytes are a file of PyTorch.
///
/// Invariants checked: an error about the file, or a layout that it can be woven of.
pub fn pytorch(data: &[u8]) {
    read("model.pt", data);
}

/// The bytes are the pickle of a file of PyTorch with four storages.
///
/// Invariants checked: the file is read whatever the pickle is, and no storage is hidden: each byte of
/// one belongs to a tensor.
pub fn pickle(data: &[u8]) {
    let storage = [7; 32];
    let entries: [(&str, u16, &[u8]); 5] = [
        ("m/data.pkl", 0, data),
        ("m/data/0", 0, &storage),
        ("m/data/1", 0, &storage[..6]),
        ("m/data/2", 0, &storage[..0]),
        ("m/data/3", 0, &storage[..16]),
    ];
    let archive = zip(&entries, false);
    let layout = read("model.pt", &archive.bytes).expect("a sound archive");
    let seen: u64 = layout.tensors.iter().map(|tensor| tensor.end - tensor.begin).sum();
    assert_eq!(seen, 32 + 6 + 16, "{:?}", layout.tensors);
}

/// The bytes are a file of NumPy, an array or an archive.
///
/// Invariants checked: an error about the file, or a layout that it can be woven of.
pub fn numpy(data: &[u8]) {
    read("arrays.npz", data);
}
