//! The numbers that a codec looks at.

use super::coded::number::Number;
use super::float_delta::FloatLayout;
use crate::tensor::Dtype;

/// The numbers that a chunk is made of, as far as a codec looks at them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lane {
    width: usize,
    float: Option<FloatLayout>,
    number: Number,
}

impl Lane {
    /// Opaque bytes.
    pub const BYTES: Lane = Lane { width: 1, float: None, number: Number::BYTE };

    /// The numbers of a tensor of this type.
    pub fn of(dtype: &Dtype) -> Self {
        let float = match dtype {
            Dtype::F16 => Some(FloatLayout::F16),
            Dtype::Bf16 => Some(FloatLayout::BF16),
            Dtype::F32 | Dtype::C64 => Some(FloatLayout::F32),
            _ => None,
        };
        Lane { width: dtype.lane_bytes(), float, number: Number::of(dtype) }
    }

    /// Bytes a number: 1, 2, 4 or 8.
    pub fn width(self) -> usize {
        self.width
    }

    /// How its bits are laid out, when it is a float whose steps can be counted.
    pub(super) fn float(self) -> Option<FloatLayout> {
        self.float
    }

    /// How its bits are laid out, whatever its type.
    pub(super) fn number(self) -> Number {
        self.number
    }
}
