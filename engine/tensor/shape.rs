//! The dimensions of a tensor.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

use serde::ser::{Serialize, Serializer};

/// The most dimensions a tensor may have.
pub const RANK_MAX: usize = 64;

/// The dimensions of a tensor, outermost first. A scalar has none.
///
/// The product of all dimensions, zeros left out, fits in 63 bits.
///
/// ```
/// use mgit::{IntoShape, Shape};
///
/// let shape = Shape::new(&[2, 3])?;
/// assert_eq!(shape, [2, 3]);
/// assert_eq!(shape, vec![2usize, 3].into_shape()?);
/// assert_eq!((shape.rank(), shape.elements(), shape.to_usize()), (2, 6, vec![2, 3]));
/// # Ok::<(), mgit::Error>(())
/// ```
#[derive(Clone)]
pub struct Shape(Dims);

/// A model can have a million tensors, and most have a dimension or two.
#[derive(Clone)]
enum Dims {
    Few(u8, [u64; 2]),
    Many(Box<[u64]>),
}

/// Why dimensions do not make a shape, or a shape and a type do not make a length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ShapeError {
    /// More than [`RANK_MAX`] dimensions.
    #[error("{found} dimensions, at most {RANK_MAX} are allowed")]
    TooManyDimensions {
        /// How many there are.
        found: usize,
    },
    /// The product of the dimensions does not fit.
    #[error("the product of the dimensions overflows")]
    TooLarge,
    /// A dimension is below zero.
    #[error("a dimension is below zero")]
    Negative,
    /// A sub-byte type whose elements do not fill whole bytes.
    #[error("{bits} bits do not fill whole bytes")]
    PartialByte {
        /// The number of bits.
        bits: u64,
    },
}

impl Shape {
    /// A shape of these dimensions, outermost first.
    ///
    /// # Errors
    ///
    /// [`ShapeError::TooManyDimensions`], or [`ShapeError::TooLarge`] when the product of the
    /// dimensions overflows even where a later zero would make it zero.
    pub fn new(dims: &[u64]) -> Result<Self, ShapeError> {
        if dims.len() > RANK_MAX {
            return Err(ShapeError::TooManyDimensions { found: dims.len() });
        }
        dims.iter()
            .filter(|dim| **dim != 0)
            .try_fold(1u64, |product, dim| product.checked_mul(*dim))
            .filter(|product| *product <= i64::MAX as u64)
            .ok_or(ShapeError::TooLarge)?;
        Ok(Shape(match *dims {
            [] => Dims::Few(0, [0, 0]),
            [a] => Dims::Few(1, [a, 0]),
            [a, b] => Dims::Few(2, [a, b]),
            _ => Dims::Many(dims.into()),
        }))
    }

    /// The dimensions, outermost first.
    pub fn dims(&self) -> &[u64] {
        match &self.0 {
            Dims::Few(rank, dims) => dims.get(..usize::from(*rank)).unwrap_or(dims),
            Dims::Many(dims) => dims,
        }
    }

    /// The dimensions as other libraries count them, such as `ndarray`. (mgit is for 64-bit targets:
    /// none is cut.)
    pub fn to_usize(&self) -> Vec<usize> {
        self.dims().iter().map(|dim| *dim as usize).collect()
    }

    /// The number of dimensions.
    pub fn rank(&self) -> usize {
        self.dims().len()
    }

    /// The number of elements: 1 for a scalar, 0 when any dimension is 0.
    pub fn elements(&self) -> u64 {
        self.dims().iter().product()
    }

    /// The number of rows: the first dimension, 1 for a scalar.
    pub fn rows(&self) -> u64 {
        self.dims().first().copied().unwrap_or(1)
    }
}

impl Default for Shape {
    fn default() -> Self {
        Shape(Dims::Few(0, [0, 0]))
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Shape").field(&self.dims()).finish()
    }
}

impl PartialEq for Shape {
    fn eq(&self, other: &Self) -> bool {
        self.dims() == other.dims()
    }
}

impl Eq for Shape {}

impl Hash for Shape {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.dims().hash(state);
    }
}

impl PartialOrd for Shape {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Shape {
    fn cmp(&self, other: &Self) -> Ordering {
        self.dims().cmp(other.dims())
    }
}

/// A number that can be a dimension of a shape. No other crate can implement it.
pub trait Dimension: Copy + sealed::Sealed {
    /// The dimension; `None` of a number below zero.
    fn dimension(self) -> Option<u64>;
}

mod sealed {
    #[allow(unnameable_types, reason = "nobody else implements it")]
    pub trait Sealed {}
}

macro_rules! dimensions {
    ($($number:ty),*) => {
        $(impl sealed::Sealed for $number {}

        impl Dimension for $number {
            fn dimension(self) -> Option<u64> {
                u64::try_from(self).ok()
            }
        })*
    };
}

dimensions!(u16, u32, u64, usize, i32, i64);

/// What can be the shape of a new tensor: a [`Shape`], or an array, a slice or a [`Vec`] of its
/// dimensions, outermost first; `()` for a scalar.
pub trait IntoShape {
    /// The shape.
    ///
    /// # Errors
    ///
    /// As [`Shape::new`]; [`ShapeError::Negative`].
    fn into_shape(self) -> Result<Shape, ShapeError>;
}

impl IntoShape for Shape {
    fn into_shape(self) -> Result<Shape, ShapeError> {
        Ok(self)
    }
}

impl IntoShape for &Shape {
    fn into_shape(self) -> Result<Shape, ShapeError> {
        Ok(self.clone())
    }
}

impl IntoShape for () {
    fn into_shape(self) -> Result<Shape, ShapeError> {
        Ok(Shape::default())
    }
}

impl<D: Dimension> IntoShape for &[D] {
    fn into_shape(self) -> Result<Shape, ShapeError> {
        if self.len() > RANK_MAX {
            return Err(ShapeError::TooManyDimensions { found: self.len() });
        }
        let dims: Option<Vec<u64>> = self.iter().map(|dim| dim.dimension()).collect();
        Shape::new(&dims.ok_or(ShapeError::Negative)?)
    }
}

impl<D: Dimension, const N: usize> IntoShape for [D; N] {
    fn into_shape(self) -> Result<Shape, ShapeError> {
        self[..].into_shape()
    }
}

impl<D: Dimension, const N: usize> IntoShape for &[D; N] {
    fn into_shape(self) -> Result<Shape, ShapeError> {
        self[..].into_shape()
    }
}

impl<D: Dimension> IntoShape for Vec<D> {
    fn into_shape(self) -> Result<Shape, ShapeError> {
        self[..].into_shape()
    }
}

impl<D: Dimension> IntoShape for &Vec<D> {
    fn into_shape(self) -> Result<Shape, ShapeError> {
        self[..].into_shape()
    }
}

impl<D: Dimension> PartialEq<[D]> for Shape {
    fn eq(&self, dims: &[D]) -> bool {
        let dims = dims.iter().map(|dim| dim.dimension());
        self.dims().iter().copied().map(Some).eq(dims)
    }
}

impl<D: Dimension, const N: usize> PartialEq<[D; N]> for Shape {
    fn eq(&self, dims: &[D; N]) -> bool {
        *self == dims[..]
    }
}

impl<D: Dimension, const N: usize> PartialEq<[D; N]> for &Shape {
    fn eq(&self, dims: &[D; N]) -> bool {
        **self == dims[..]
    }
}

impl<D: Dimension> PartialEq<Vec<D>> for Shape {
    fn eq(&self, dims: &Vec<D>) -> bool {
        *self == dims[..]
    }
}

impl<D: Dimension> PartialEq<Vec<D>> for &Shape {
    fn eq(&self, dims: &Vec<D>) -> bool {
        **self == dims[..]
    }
}

/// As the list of its dimensions.
impl Serialize for Shape {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.dims())
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[")?;
        for (i, dim) in self.dims().iter().enumerate() {
            write!(f, "{}{dim}", if i == 0 { "" } else { ", " })?;
        }
        write!(f, "]")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn overflow_is_found_even_before_a_zero() {
        assert_eq!(Shape::new(&[2, i64::MAX as u64]), Err(ShapeError::TooLarge));
        assert_eq!(Shape::new(&[u64::MAX, 2, 0]), Err(ShapeError::TooLarge));
        assert_eq!(Shape::new(&[5, 0]).unwrap().elements(), 0);
        assert_eq!(Shape::new(&[]).unwrap().elements(), 1);
        assert_eq!(Shape::new(&[1; 65]), Err(ShapeError::TooManyDimensions { found: 65 }));
        assert_eq!(Shape::new(&[3, 4]).unwrap().to_string(), "[3, 4]");
    }

    #[test]
    fn shapes_are_made_of_and_compared_with_lists_of_numbers() {
        let shape = Shape::new(&[2, 3]).unwrap();
        let (slice, list): (&[usize], Vec<u64>) = (&[2, 3], vec![2, 3]);
        for made in [[2, 3].into_shape(), slice.into_shape(), (&list).into_shape()] {
            assert_eq!(made, Ok(shape.clone()));
        }
        assert_eq!(().into_shape(), Shape::new(&[]));
        assert_eq!([2, -3].into_shape(), Err(ShapeError::Negative));
        assert_eq!(
            (&[1u64; 65][..]).into_shape(),
            Err(ShapeError::TooManyDimensions { found: 65 })
        );
        assert!(shape == [2, 3] && shape == list && shape == *slice);
        assert!(shape != [3, 2] && shape != [2] && shape != [2, 3, 1] && shape != [2, -3]);
    }
}
