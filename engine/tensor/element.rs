//! Rust types that stand for elements of tensors.

use super::Dtype;

/// A Rust type that stands for the elements of a tensor in a typed view.
///
/// Implemented for every type whose bit pattern is that of a [`Dtype`]: `f32`, `f64`,
/// [`half::f16`], [`half::bf16`], `[f32; 2]` (complex), and the integers of 8 to 64 bits. No other
/// crate can implement it.
///
/// ```
/// use mgit::{Dtype, Element, half};
///
/// assert_eq!(f32::DTYPE, Dtype::F32);
/// assert_eq!(half::bf16::DTYPE, Dtype::Bf16);
/// assert!(half::bf16::matches(&Dtype::Bf16) && !f32::matches(&Dtype::Bf16));
/// ```
pub trait Element: bytemuck::Pod + Send + Sync + sealed::Sealed {
    /// The element type of tensors that are made of slices of this type.
    const DTYPE: Dtype;

    /// Whether tensors of `dtype` may be viewed as slices of this type.
    fn matches(dtype: &Dtype) -> bool;
}

mod sealed {
    /// So that `bytemuck` alone decides nothing of what an element is.
    #[allow(unnameable_types, reason = "nobody else implements it")]
    pub trait Sealed {}
}

macro_rules! elements {
    ($($rust:ty => $dtype:path,)*) => {
        $(impl sealed::Sealed for $rust {}

        impl Element for $rust {
            const DTYPE: Dtype = $dtype;

            fn matches(dtype: &Dtype) -> bool {
                matches!(dtype, $dtype)
            }
        })*
    };
}

elements! {
    f32 => Dtype::F32,
    f64 => Dtype::F64,
    half::f16 => Dtype::F16,
    half::bf16 => Dtype::Bf16,
    [f32; 2] => Dtype::C64,
    i8 => Dtype::I8,
    i16 => Dtype::I16,
    i32 => Dtype::I32,
    i64 => Dtype::I64,
    u16 => Dtype::U16,
    u32 => Dtype::U32,
    u64 => Dtype::U64,
}

impl sealed::Sealed for u8 {}

/// Raw bytes: any tensor may be seen so.
impl Element for u8 {
    const DTYPE: Dtype = Dtype::U8;

    fn matches(_: &Dtype) -> bool {
        true
    }
}

/// Why bytes cannot be seen as elements of a type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ViewError {
    /// The tensor's elements are of another type.
    #[error("a tensor of type {dtype} cannot be viewed as a slice of {asked}")]
    WrongType {
        /// The tensor's element type.
        dtype: Dtype,
        /// The Rust type asked for.
        asked: &'static str,
    },
    /// The bytes do not start at, or do not fill, whole elements.
    #[error("the bytes are {remainder} past the alignment of the element type")]
    Misaligned {
        /// The address modulo the element's alignment.
        remainder: usize,
    },
}

/// `bytes` of a tensor of `dtype` as a slice of `T`, without a copy.
///
/// # Errors
///
/// [`ViewError::WrongType`] when `T` does not stand for `dtype`, [`ViewError::Misaligned`] when
/// the address or the length does not fit `T`.
pub fn cast_slice<'a, T: Element>(dtype: &Dtype, bytes: &'a [u8]) -> Result<&'a [T], ViewError> {
    if !T::matches(dtype) {
        return Err(ViewError::WrongType {
            dtype: dtype.clone(),
            asked: std::any::type_name::<T>(),
        });
    }
    bytemuck::try_cast_slice(bytes)
        .map_err(|_| ViewError::Misaligned { remainder: bytes.as_ptr() as usize % align_of::<T>() })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn views_keep_type_and_alignment() {
        let values = [1.0f32, -2.5];
        let bytes: &[u8] = bytemuck::cast_slice(&values);
        assert_eq!(cast_slice::<f32>(&Dtype::F32, bytes).unwrap(), &values);
        assert!(matches!(cast_slice::<f32>(&Dtype::I32, bytes), Err(ViewError::WrongType { .. })));
        assert!(matches!(
            cast_slice::<f32>(&Dtype::F32, &bytes[1..5]),
            Err(ViewError::Misaligned { remainder: 1 })
        ));
        assert_eq!(cast_slice::<u8>(&Dtype::I32, bytes).unwrap().len(), 8);
    }
}
