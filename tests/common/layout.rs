//! What holds for whatever a reader finds in a file, hostile or not.

use std::collections::HashSet;

use mgit::interchange::FileLayout;

/// Tensors are in order, none over another, inside the file, as long as type and shape say, and
/// named once, in the files beside too; views are inside their tensors; paths of files beside stay
/// inside the folder.
pub fn check(layout: &FileLayout, file_len: u64) {
    let (mut end, mut names) = (0, HashSet::new());
    for tensor in &layout.tensors {
        assert!(end <= tensor.begin && tensor.begin <= tensor.end, "{tensor:?}");
        end = tensor.end;
        let len = tensor.dtype.byte_len(&tensor.shape).unwrap();
        assert!(len.is_none_or(|len| len == tensor.end - tensor.begin), "{tensor:?}");
        assert!(!tensor.name.is_empty() && names.insert(&tensor.name), "{tensor:?}");
    }
    assert!(end <= file_len);
    for view in &layout.views {
        let tensor = &layout.tensors[view.tensor];
        assert_eq!(view.strides.len(), view.shape.rank());
        assert!(!view.name.is_empty() && names.insert(&view.name), "{view:?}");
        let steps = view.shape.dims().iter().zip(&view.strides);
        let last: u64 = steps.map(|(dim, stride)| dim.saturating_sub(1) * stride).sum();
        let width = u64::from(view.dtype.bits().unwrap() / 8);
        let len = if view.shape.elements() == 0 { 0 } else { (last + 1) * width };
        assert!(view.offset + len <= tensor.end - tensor.begin, "{view:?}");
    }
    for beside in &layout.beside {
        let mut parts = beside.path.split('/');
        assert!(parts.all(|name| !["", ".", ".."].contains(&name)), "{:?}", beside.path);
        assert!(!beside.path.contains(['\\', '\0']), "{:?}", beside.path);
        for tensor in &beside.tensors {
            assert!(tensor.begin <= tensor.end, "{tensor:?}");
            assert!(!tensor.name.is_empty() && names.insert(&tensor.name), "{tensor:?}");
        }
    }
}
