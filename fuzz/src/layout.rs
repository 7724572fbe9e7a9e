//! Model files of others: a reader finds ranges that are tensors.

use std::collections::HashSet;

use crate::common::layout::check;
use mgit::interchange::{
    FileLayout, InterchangeError, LaidTensor, OpenFile, q8_0_as_f32, read_layout,
};

/// Bytes of numbers that are made of blocks at most.
const NUMBERS_MAX: usize = 1 << 16;

/// The bytes are a GGUF file.
///
/// Invariants checked:
///
/// - Reading gives an error or a layout that holds. It does not panic, hang, or allocate out of
///   proportion.
/// - Of a layout: what `check` of the tests lists; facts are few and short.
/// - Blocks can be made numbers from any place on, the same in one piece and in two.
pub fn gguf(data: &[u8]) {
    let file = OpenFile::of_bytes("model.gguf", data);
    let Some(layout) = laid(&file, read_layout(&file)) else { return };
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
    let file = OpenFile::of_bytes("model.onnx", data);
    let Some(layout) = laid(&file, read_layout(&file)) else { return };
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

/// A layout that holds; `None` where the file is refused.
fn laid(file: &OpenFile, read: Result<FileLayout, InterchangeError>) -> Option<FileLayout> {
    match read {
        Ok(layout) => {
            check(&layout, file.len());
            Some(layout)
        }
        Err(error) => {
            assert!(!matches!(error, InterchangeError::Io { .. }), "{error}");
            None
        }
    }
}
