//! A tensor in the header of a file.

use crate::tensor::{Dtype, Shape};

/// One tensor as a header lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TensorEntry {
    /// The name, never empty. It is data, never a path.
    pub name: String,
    /// The element type.
    pub dtype: Dtype,
    /// The dimensions.
    pub shape: Shape,
    /// Where the tensor begins in the data buffer, in bytes.
    pub begin: u64,
    /// Where it ends, exclusive.
    pub end: u64,
}

impl TensorEntry {
    /// The number of bytes, the one that type and shape need where the type is known.
    pub fn byte_len(&self) -> u64 {
        self.end.saturating_sub(self.begin)
    }
}
