//! The numbers of a chunk, whatever their type, as the low bits of 64.

use crate::tensor::Dtype;

/// How a number is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::codec) struct Number {
    /// Bytes: 1, 2, 4 or 8.
    pub(in crate::codec) bytes: usize,
    /// Bits of the mantissa, the implied one left out, of a float: a sign bit on top, then the
    /// exponent, then the mantissa. `None` for integers and opaque bytes.
    pub(in crate::codec) mantissa_bits: Option<u32>,
}

/// What is added to exponent fields of narrow floats to make them those of an `f64`.
const WIDENED: i32 = 896;

impl Number {
    /// Opaque bytes.
    pub(in crate::codec) const BYTE: Number = Number { bytes: 1, mantissa_bits: None };

    /// The numbers that a tensor of this type is made of.
    pub(in crate::codec) fn of(dtype: &Dtype) -> Self {
        let mantissa_bits = match dtype {
            Dtype::F16 => Some(10),
            Dtype::Bf16 => Some(7),
            Dtype::F32 | Dtype::C64 => Some(23),
            Dtype::F64 => Some(52),
            Dtype::F8E4M3 | Dtype::F8E4M3Fnuz => Some(3),
            Dtype::F8E5M2 | Dtype::F8E5M2Fnuz => Some(2),
            _ => None,
        };
        Number { bytes: dtype.lane_bytes(), mantissa_bits }
    }

    /// Bits of a number.
    #[inline(always)]
    pub(in crate::codec) fn bits(self) -> u32 {
        8 * self.bytes as u32
    }

    /// The highest bit.
    #[inline(always)]
    pub(in crate::codec) fn sign(self) -> u64 {
        1 << (self.bits() - 1)
    }

    /// The exponent field of a float; 0 for others.
    #[inline(always)]
    pub(in crate::codec) fn exponent(self, number: u64) -> i32 {
        match self.mantissa_bits {
            Some(bits) => ((number & (self.sign() - 1)) >> bits) as i32,
            None => 0,
        }
    }

    /// The size of a number, for the encoder's estimates: of a float, of an integer as if it were
    /// signed. What is not finite, and what is denormal, may give any size.
    #[inline(always)]
    pub(in crate::codec) fn size(self, number: u64) -> f64 {
        let magnitude = number & (self.sign() - 1);
        match self.mantissa_bits {
            Some(52) => f64::from_bits(magnitude),
            Some(bits) if magnitude >> bits != 0 => {
                f64::from_bits((magnitude << (52 - bits)) + ((WIDENED as u64) << 52))
            }
            Some(_) => 0.0,
            None => self.signed(number).unsigned_abs() as f64,
        }
    }

    /// What turns the binary logarithm of a [`size`](Self::size) into an exponent field.
    #[inline(always)]
    pub(in crate::codec) fn bias(self) -> i32 {
        match self.mantissa_bits {
            Some(52) => 1023,
            Some(_) => 1023 - WIDENED,
            None => 0,
        }
    }

    /// The number as a signed one.
    #[inline(always)]
    pub(in crate::codec) fn signed(self, number: u64) -> i64 {
        let above = 64 - self.bits();
        ((number << above) as i64) >> above
    }

    /// The numbers of little-endian bytes.
    pub(in crate::codec) fn load(self, bytes: &[u8]) -> Vec<u64> {
        match self.bytes {
            2 => load_all::<2>(bytes),
            4 => load_all::<4>(bytes),
            8 => load_all::<8>(bytes),
            _ => bytes.iter().map(|byte| u64::from(*byte)).collect(),
        }
    }
}

fn load_all<const BYTES: usize>(bytes: &[u8]) -> Vec<u64> {
    bytes.as_chunks::<BYTES>().0.iter().map(load).collect()
}

/// A number of little-endian bytes.
#[inline(always)]
pub(in crate::codec) fn load<const BYTES: usize>(bytes: &[u8; BYTES]) -> u64 {
    if let Some(word) = bytes.first_chunk::<8>() {
        u64::from_le_bytes(*word)
    } else if let Some(word) = bytes.first_chunk::<4>() {
        u64::from(u32::from_le_bytes(*word))
    } else if let Some(word) = bytes.first_chunk::<2>() {
        u64::from(u16::from_le_bytes(*word))
    } else {
        bytes.first().map_or(0, |byte| u64::from(*byte))
    }
}

/// The inverse of [`load`]; bits that do not fit are dropped.
#[inline(always)]
pub(in crate::codec) fn store<const BYTES: usize>(number: u64, bytes: &mut [u8; BYTES]) {
    if let Some(word) = bytes.first_chunk_mut::<8>() {
        *word = number.to_le_bytes();
    } else if let Some(word) = bytes.first_chunk_mut::<4>() {
        *word = (number as u32).to_le_bytes();
    } else if let Some(word) = bytes.first_chunk_mut::<2>() {
        *word = (number as u16).to_le_bytes();
    } else if let Some(byte) = bytes.first_mut() {
        *byte = number as u8;
    }
}
