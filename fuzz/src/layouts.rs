//! Files of formats whose tensors are found in place.

use mgit::interchange::{FileLayout, OpenFile, read_layout};

use crate::zip_writer::zip;

/// Whether a file can be woven of a layout: ranges in order and inside, each as long as its type and
/// shape say; views inside of what they are views of; no name twice.
fn check(layout: &FileLayout, file_len: usize) {
    let mut end = 0;
    for tensor in &layout.tensors {
        assert!(tensor.begin >= end && tensor.end >= tensor.begin, "{tensor:?} after {end}");
        end = tensor.end;
        let len = tensor.dtype.byte_len(&tensor.shape).expect("a length");
        assert!(len.is_none_or(|len| len == tensor.end - tensor.begin), "{tensor:?}");
    }
    assert!(end <= file_len as u64);
    for view in &layout.views {
        let holder = &layout.tensors[view.tensor];
        let width = u64::from(view.dtype.bits().expect("a known type")) / 8;
        let dims = view.shape.dims().iter().zip(&view.strides);
        let last: u64 = dims.map(|(dim, stride)| dim.saturating_sub(1) * stride).sum();
        let len = if view.shape.elements() == 0 { 0 } else { (last + 1) * width };
        assert!(view.offset + len <= holder.end - holder.begin, "{view:?} of {holder:?}");
    }
    let tensors = layout.tensors.iter().map(|tensor| &tensor.name);
    let names: Vec<_> = tensors.chain(layout.views.iter().map(|view| &view.name)).collect();
    let different: std::collections::BTreeSet<_> = names.iter().collect();
    assert_eq!(different.len(), names.len());
    assert!(names.iter().all(|name| !name.is_empty()));
}

fn read(name: &str, data: &[u8]) -> Option<FileLayout> {
    match read_layout(&OpenFile::of_bytes(name, data)) {
        Ok(layout) => {
            check(&layout, data.len());
            Some(layout)
        }
        Err(error) => {
            assert!(error.is_malformed(), "{error:?}");
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
