//! Files of formats whose tensors are found in place.

use std::collections::HashSet;

use mgit::interchange::{
    FileLayout, InterchangeError, LaidTensor, OpenFile, q8_0_as_f32, read_layout,
};

use crate::common::layout::check;
use crate::zip_writer::zip;

/// Bytes of numbers that are made of blocks at most.
const NUMBERS_MAX: usize = 1 << 16;

/// The layout, which holds; `None` where the file is refused.
fn read(name: &str, data: &[u8]) -> Option<FileLayout> {
    match read_layout(&OpenFile::of_bytes(name, data)) {
        Ok(layout) => {
            check(&layout, data.len() as u64);
            Some(layout)
        }
        Err(error) => {
            assert!(!matches!(error, InterchangeError::Io { .. }), "{error:?}");
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

/// The bytes are a GGUF file.
///
/// Invariants checked:
///
/// - Reading gives an error or a layout that holds. It does not panic, hang, or allocate out of
///   proportion.
/// - Of a layout: what `check` of the tests lists; facts are few and short.
/// - Blocks can be made numbers from any place on, the same in one piece and in two.
pub fn gguf(data: &[u8]) {
    let Some(layout) = read("model.gguf", data) else { return };
    let file = OpenFile::of_bytes("model.gguf", data);
    assert!(layout.facts.len() <= 64);
    assert!(layout.facts.values().all(|fact| fact.as_str().is_none_or(|text| text.len() <= 1024)));
    let blocks = layout.tensors.iter().filter(|tensor| tensor.dtype.name() == "Q8_0");
    for LaidTensor { begin, shape, .. } in blocks {
        let len = usize::try_from(shape.elements()).expect("a file in memory") * 4;
        let mut whole = vec![0; len.min(NUMBERS_MAX)];
        let read = |offset, out: &mut [u8]| file.read_exact_at(begin + offset, out);
        q8_0_as_f32(read, 0, &mut whole).expect("blocks that are there");
        let mut rest = vec![0; whole.len() - whole.len() / 3];
        q8_0_as_f32(read, (whole.len() / 3) as u64, &mut rest).expect("blocks that are there");
        assert_eq!(rest, whole[whole.len() / 3..]);
    }
}

/// The bytes are an ONNX file.
///
/// Invariants checked: as for a GGUF file; and the data beside are refused or a layout that holds,
/// and the layers name tensors that were found.
pub fn onnx(data: &[u8]) {
    let Some(layout) = read("model.onnx", data) else { return };
    let file = OpenFile::of_bytes("model.onnx", data);
    let mut names: HashSet<&str> = layout.tensors.iter().map(|tensor| &*tensor.name).collect();
    names.extend(layout.views.iter().map(|view| &*view.name));
    for beside in &layout.beside {
        names.extend(beside.tensors.iter().map(|tensor| &*tensor.name));
        // The file's own bytes, in the place of those.
        if let Ok(laid) = beside.clone().check(&file) {
            let mut layout = FileLayout::new(layout.format);
            (layout.tensors, layout.views) = (laid.tensors, laid.views);
            check(&layout, file.len());
        }
    }
    let Some(architecture) = &layout.architecture else { return };
    let count = architecture.layers().len();
    assert!(architecture.edges().iter().all(|(from, to)| *from < count && *to < count));
    let mut listed = architecture.layers().iter().flat_map(|layer| &layer.tensors);
    assert!(listed.all(|tensor| names.contains(&**tensor)));
}
