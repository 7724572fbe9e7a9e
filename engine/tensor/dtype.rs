//! The element type of a tensor.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use serde::ser::{Serialize, Serializer};

use super::{Shape, ShapeError};

/// The element type of a tensor, named as in the safetensors format.
///
/// A type that this version does not know is kept as [`Dtype::Unknown`]: its bytes are stored
/// and returned untouched, and no shape is checked against them.
///
/// ```
/// use mgit::Dtype;
///
/// let dtype: Dtype = "BF16".parse()?;
/// assert_eq!((dtype.clone(), dtype.bits()), (Dtype::Bf16, Some(16)));
/// assert_eq!(dtype.to_string(), "BF16");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Dtype {
    /// One byte a value, 0 or 1.
    Bool,
    /// 4-bit float (two values a byte).
    F4,
    /// 6-bit float, 2 exponent bits and 3 mantissa bits (four values in three bytes).
    F6E2M3,
    /// 6-bit float, 3 exponent bits and 2 mantissa bits (four values in three bytes).
    F6E3M2,
    /// Unsigned 8-bit integer.
    U8,
    /// Signed 8-bit integer.
    I8,
    /// 8-bit float, 5 exponent bits and 2 mantissa bits.
    F8E5M2,
    /// 8-bit float, 4 exponent bits and 3 mantissa bits.
    F8E4M3,
    /// 8-bit scale: 8 exponent bits, no mantissa.
    F8E8M0,
    /// 8-bit float E4M3 without negative zero.
    F8E4M3Fnuz,
    /// 8-bit float E5M2 without negative zero.
    F8E5M2Fnuz,
    /// Signed 16-bit integer.
    I16,
    /// Unsigned 16-bit integer.
    U16,
    /// IEEE 754 half precision.
    F16,
    /// bfloat16: the upper half of an `F32`.
    Bf16,
    /// Signed 32-bit integer.
    I32,
    /// Unsigned 32-bit integer.
    U32,
    /// IEEE 754 single precision.
    F32,
    /// Complex number of two `F32`.
    C64,
    /// IEEE 754 double precision.
    F64,
    /// Signed 64-bit integer.
    I64,
    /// Unsigned 64-bit integer.
    U64,
    /// A type this version does not know, by the name it came with: opaque bytes.
    Unknown(Box<str>),
}

/// Every known type with its code in the file format, its name and its bits an element.
const KNOWN: [(Dtype, u8, &str, u8); 22] = [
    (Dtype::Bool, 1, "BOOL", 8),
    (Dtype::F4, 2, "F4", 4),
    (Dtype::F6E2M3, 3, "F6_E2M3", 6),
    (Dtype::F6E3M2, 4, "F6_E3M2", 6),
    (Dtype::U8, 5, "U8", 8),
    (Dtype::I8, 6, "I8", 8),
    (Dtype::F8E5M2, 7, "F8_E5M2", 8),
    (Dtype::F8E4M3, 8, "F8_E4M3", 8),
    (Dtype::F8E8M0, 9, "F8_E8M0", 8),
    (Dtype::F8E4M3Fnuz, 10, "F8_E4M3FNUZ", 8),
    (Dtype::F8E5M2Fnuz, 11, "F8_E5M2FNUZ", 8),
    (Dtype::I16, 12, "I16", 16),
    (Dtype::U16, 13, "U16", 16),
    (Dtype::F16, 14, "F16", 16),
    (Dtype::Bf16, 15, "BF16", 16),
    (Dtype::I32, 16, "I32", 32),
    (Dtype::U32, 17, "U32", 32),
    (Dtype::F32, 18, "F32", 32),
    (Dtype::C64, 19, "C64", 64),
    (Dtype::F64, 20, "F64", 64),
    (Dtype::I64, 21, "I64", 64),
    (Dtype::U64, 22, "U64", 64),
];

impl Dtype {
    /// The code of an unknown type in the file format.
    pub const UNKNOWN_CODE: u8 = 0;

    /// The type of this name; a name that is not one of the 22 known gives [`Dtype::Unknown`].
    pub fn from_name(name: &str) -> Self {
        KNOWN
            .iter()
            .find(|(_, _, known, _)| *known == name)
            .map_or_else(|| Dtype::Unknown(name.into()), |(dtype, ..)| dtype.clone())
    }

    /// The float type that a person means: as [`from_name`](Self::from_name), but in letters of
    /// either case, and by the names that NumPy and PyTorch use, such as `fp16`, `float16`, `half`.
    pub(crate) fn from_spoken(name: &str) -> Self {
        match name.to_lowercase().as_str() {
            "fp16" | "float16" | "half" => Dtype::F16,
            "bfloat16" => Dtype::Bf16,
            "fp32" | "float32" | "float" => Dtype::F32,
            "fp64" | "float64" | "double" => Dtype::F64,
            _ => Dtype::from_name(&name.to_uppercase()),
        }
    }

    /// The known type of this format code; `None` for 0 (unknown) and for codes not yet given.
    pub fn from_code(code: u8) -> Option<Self> {
        KNOWN.iter().find(|(_, known, ..)| *known == code).map(|(dtype, ..)| dtype.clone())
    }

    /// Every known type with its format code.
    pub fn all_known() -> impl Iterator<Item = (Dtype, u8)> {
        KNOWN.iter().map(|(dtype, code, ..)| (dtype.clone(), *code))
    }

    fn known(&self) -> Option<&'static (Dtype, u8, &'static str, u8)> {
        KNOWN.iter().find(|(dtype, ..)| dtype == self)
    }

    /// The name as safetensors writes it, such as `F32` or `F8_E4M3`.
    pub fn name(&self) -> &str {
        match self {
            Dtype::Unknown(name) => name,
            known => known.known().map_or("", |(_, _, name, _)| name),
        }
    }

    /// The code in the file format; 0 for an unknown type.
    pub fn code(&self) -> u8 {
        self.known().map_or(Self::UNKNOWN_CODE, |(_, code, ..)| *code)
    }

    /// Bits an element; `None` for an unknown type.
    pub fn bits(&self) -> Option<u32> {
        self.known().map(|(.., bits)| u32::from(*bits))
    }

    /// The width in bytes of the numbers that a codec should look at: 4 for `C64` (two floats),
    /// 1 for bytes, sub-byte and unknown types.
    pub fn lane_bytes(&self) -> usize {
        match self {
            Dtype::C64 => 4,
            known => known.bits().map_or(1, |bits| (bits as usize / 8).max(1)),
        }
    }

    /// Whether the elements are floating-point numbers (complex ones included).
    pub fn is_float(&self) -> bool {
        matches!(self.name().as_bytes(), [b'F' | b'C', ..] | [b'B', b'F', ..])
            && self.known().is_some()
    }

    /// The number of bytes of a tensor of this type and `shape`; `None` for an unknown type,
    /// whose length only its file tells.
    ///
    /// # Errors
    ///
    /// [`ShapeError::TooLarge`] when the number does not fit in 63 bits,
    /// [`ShapeError::PartialByte`] when a sub-byte type does not fill whole bytes.
    pub fn byte_len(&self, shape: &Shape) -> Result<Option<u64>, ShapeError> {
        let Some(bits) = self.bits() else { return Ok(None) };
        let total = shape
            .elements()
            .checked_mul(u64::from(bits))
            .filter(|total| *total <= i64::MAX as u64)
            .ok_or(ShapeError::TooLarge)?;
        if total % 8 != 0 {
            return Err(ShapeError::PartialByte { bits: total });
        }
        Ok(Some(total / 8))
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// As [`Dtype::from_name`]: a name that is not known gives [`Dtype::Unknown`].
impl FromStr for Dtype {
    type Err = Infallible;

    fn from_str(name: &str) -> Result<Self, Infallible> {
        Ok(Dtype::from_name(name))
    }
}

/// As its name.
impl Serialize for Dtype {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn floats_are_known_by_every_usual_name() {
        for (name, dtype) in [
            ("fp16", Dtype::F16),
            ("f16", Dtype::F16),
            ("float16", Dtype::F16),
            ("bf16", Dtype::Bf16),
            ("bfloat16", Dtype::Bf16),
            ("FP32", Dtype::F32),
            ("F8_E4M3", Dtype::F8E4M3),
            ("f17", Dtype::Unknown("F17".into())),
        ] {
            assert_eq!(Dtype::from_spoken(name), dtype, "{name}");
        }
    }

    #[test]
    fn names_and_codes_are_one_to_one() {
        for (dtype, code) in Dtype::all_known() {
            assert_eq!(Dtype::from_code(code), Some(dtype.clone()));
            assert_eq!(Dtype::from_name(dtype.name()), dtype);
            assert_eq!(dtype.to_string().parse(), Ok(dtype.clone()));
            assert_eq!(dtype.code(), code);
        }
        assert_eq!(Dtype::from_name("F128"), Dtype::Unknown("F128".into()));
        assert_eq!(Dtype::from_code(0), None);
    }

    #[test]
    fn lengths_count_bits() {
        let shape = |dims: &[u64]| Shape::new(dims).unwrap();
        assert_eq!(Dtype::F32.byte_len(&shape(&[3, 5])), Ok(Some(60)));
        assert_eq!(Dtype::F4.byte_len(&shape(&[4])), Ok(Some(2)));
        assert_eq!(Dtype::F4.byte_len(&shape(&[3])), Err(ShapeError::PartialByte { bits: 12 }));
        assert_eq!(Dtype::F32.byte_len(&shape(&[])), Ok(Some(4)));
        assert_eq!(Dtype::F32.byte_len(&shape(&[1 << 60])), Err(ShapeError::TooLarge));
        assert!(Dtype::Bf16.is_float() && Dtype::C64.is_float() && !Dtype::Bool.is_float());
    }
}
