//! Other names for tensors of a model, and for parts of them.

use std::sync::Arc;

use crate::tensor::{Dtype, Shape};

/// A name for elements of a tensor: tied weights, a transposed or sliced view, an array in Fortran
/// order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestView {
    /// Its name, unique among the model's tensors and views.
    pub name: String,
    /// The place of the tensor in the manifest.
    pub tensor: u32,
    /// Where its first element is in the tensor, in bytes.
    pub offset: u64,
    /// The element type.
    pub dtype: Dtype,
    /// The dimensions.
    pub shape: Shape,
    /// Elements from one to the next, for each dimension.
    pub strides: Vec<u64>,
}

impl ManifestView {
    /// The bytes from its first element to the end of its last one: `None` where that overflows,
    /// where its type has no whole bytes, or dimensions and strides are not as many.
    pub fn span_len(&self) -> Option<u64> {
        span_len(&self.dtype, &self.shape, &self.strides)
    }
}

/// The bytes from the first of strided elements to the end of the last one.
pub fn span_len(dtype: &Dtype, shape: &Shape, strides: &[u64]) -> Option<u64> {
    if shape.rank() != strides.len() {
        return None;
    }
    let element = u64::from(dtype.bits().filter(|bits| bits % 8 == 0)?) / 8;
    if shape.elements() == 0 {
        return Some(0);
    }
    let last =
        shape.dims().iter().zip(strides).try_fold(0u64, |sum, (dim, stride)| {
            sum.checked_add((dim - 1).checked_mul(*stride)?)
        })?;
    last.checked_add(1)?.checked_mul(element)
}

/// The strides of elements one after the other, the last dimension innermost.
pub fn contiguous(shape: &Shape) -> Vec<u64> {
    let mut strides: Vec<u64> = shape
        .dims()
        .iter()
        .rev()
        .scan(1u64, |next, dim| {
            let stride = *next;
            *next = next.saturating_mul((*dim).max(1));
            Some(stride)
        })
        .collect();
    strides.reverse();
    strides
}

/// Whether elements of these strides are one after the other: of a dimension of one, the stride
/// does not matter.
pub fn is_in_a_row(shape: &Shape, strides: &[u64]) -> bool {
    let mut steps = shape.dims().iter().zip(strides.iter().zip(contiguous(shape)));
    steps.all(|(dim, (stride, usual))| *dim <= 1 || *stride == usual)
}

/// The views of a model, in order. Clones share them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ViewList(Arc<[ManifestView]>);

impl ViewList {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them, in order.
    pub fn iter(&self) -> std::slice::Iter<'_, ManifestView> {
        self.0.iter()
    }
}

impl FromIterator<ManifestView> for ViewList {
    fn from_iter<I: IntoIterator<Item = ManifestView>>(views: I) -> Self {
        ViewList(views.into_iter().collect())
    }
}
