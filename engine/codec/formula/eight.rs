//! The float types of eight bits, as casts see them.

use crate::tensor::{Dtype, float8_cast, number};

/// A float type of eight bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FloatEight {
    /// Four bits of exponent; no infinities.
    E4M3,
    /// Five bits of exponent, and infinities.
    E5M2,
    /// As `E4M3`, without negative zero.
    E4M3Fnuz,
    /// Five bits of exponent, without negative zero and infinities.
    E5M2Fnuz,
}

impl FloatEight {
    pub(super) fn of(dtype: &Dtype) -> Option<Self> {
        match dtype {
            Dtype::F8E4M3 => Some(FloatEight::E4M3),
            Dtype::F8E5M2 => Some(FloatEight::E5M2),
            Dtype::F8E4M3Fnuz => Some(FloatEight::E4M3Fnuz),
            Dtype::F8E5M2Fnuz => Some(FloatEight::E5M2Fnuz),
            _ => None,
        }
    }

    fn dtype(self) -> Dtype {
        match self {
            FloatEight::E4M3 => Dtype::F8E4M3,
            FloatEight::E5M2 => Dtype::F8E5M2,
            FloatEight::E4M3Fnuz => Dtype::F8E4M3Fnuz,
            FloatEight::E5M2Fnuz => Dtype::F8E5M2Fnuz,
        }
    }

    /// The value of every code. A NaN has its bits of mantissa on top, and is quiet.
    pub(super) fn values(self) -> [f32; 256] {
        let dtype = self.dtype();
        std::array::from_fn(|code| {
            let value = number(&dtype, &[code as u8]);
            if !value.is_nan() {
                return value as f32;
            }
            let (sign, code) = ((code as u32 >> 7) << 31, code as u32);
            f32::from_bits(match self {
                FloatEight::E4M3 => sign | 0x7ff0_0000,
                FloatEight::E5M2 => sign | 0x7fc0_0000 | (code & 1) << 21,
                FloatEight::E4M3Fnuz | FloatEight::E5M2Fnuz => 0x7fc0_0000,
            })
        })
    }

    /// The largest finite number.
    pub(super) fn largest(self) -> f32 {
        match self {
            FloatEight::E4M3 => 448.0,
            FloatEight::E4M3Fnuz => 240.0,
            FloatEight::E5M2 | FloatEight::E5M2Fnuz => 57344.0,
        }
    }

    /// Writes values of single precision, rounded; zeros where there are none.
    pub(super) fn write(self, values: &mut dyn Iterator<Item = f32>, out: &mut [u8]) {
        let Some(cast) = float8_cast(&self.dtype()) else { return };
        let mut places = out.iter_mut();
        values.zip(places.by_ref()).for_each(|(value, place)| *place = cast(value));
        places.for_each(|place| *place = 0);
    }
}
