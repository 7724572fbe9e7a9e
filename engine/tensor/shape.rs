use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

/// The most dimensions a tensor may have.
pub const RANK_MAX: usize = 64;

/// The dimensions of a tensor, outermost first. A scalar has none.
///
/// The product of all dimensions, zeros left out, fits in 63 bits.
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

impl TryFrom<&[u64]> for Shape {
    type Error = ShapeError;
    fn try_from(dims: &[u64]) -> Result<Self, ShapeError> {
        Shape::new(dims)
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
}
