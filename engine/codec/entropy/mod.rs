//! Numbers without a parent: what is not noise in them, entropy coded.
//!
//! Of a float, that is the exponent, the highest bits of the mantissa (large values are rarer than
//! small ones inside an octave too) and sometimes the sign. The rest is kept as it is. A block of
//! 128 elements may have a *class*, its scale in fourths of an octave: exponents are counted from
//! it, and its fraction selects the frequencies. Bytes are their own symbols, and the class
//! selects the frequencies alone.
//!
//! The layout, byte for byte, is in `format-spec.md`.

mod decode;
mod encode;
mod stats;

pub(super) use decode::decode;
pub(super) use encode::encode;

use super::coded::floats::FloatShape;
use super::coded::number::Number;
use super::coded::parts::{read_tables, unzigzag, zigzag};
use super::float_delta::bits::{BitReader, BitWriter};
use super::float_delta::frequencies::Histogram;

/// Floats of each layout.
const HALF: Number = Number { bytes: 2, mantissa_bits: Some(10) };
const BRAIN: Number = Number { bytes: 2, mantissa_bits: Some(7) };
const SINGLE: Number = Number { bytes: 4, mantissa_bits: Some(23) };
const DOUBLE: Number = Number { bytes: 8, mantissa_bits: Some(52) };

/// The most bits of a class that select frequencies.
const FRACTION_BITS_MAX: u32 = 5;

/// A chunk is at most so many times as long as its stored bytes: what a store's root needs no
/// memory for cannot be claimed by few bytes.
const EXPANSION_MAX: usize = 256;

/// What is written before the streams, but for the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Model {
    /// Lowest bits of a class that select frequencies.
    fraction_bits: u32,
    /// The class that the first difference of classes starts from.
    first_class: i32,
    /// Whether blocks have classes of their own.
    blocked: bool,
    /// `None` where bytes are their own symbols.
    shape: Option<FloatShape>,
}

impl Model {
    fn contexts(self) -> usize {
        1 << self.fraction_bits
    }

    /// The context of a block of this class.
    #[inline(always)]
    fn context(self, class: i32) -> u8 {
        (class & ((1 << self.fraction_bits) - 1)) as u8
    }

    /// What a block's exponents are counted from.
    #[inline(always)]
    fn from(self, class: i32) -> i32 {
        class >> self.fraction_bits
    }

    fn write(self, out: &mut BitWriter) {
        out.put(self.fraction_bits, 3);
        out.put(u32::from(self.blocked), 1);
        out.put(zigzag(self.first_class) & 0xffff, 16);
        if let Some(shape) = self.shape {
            shape.write(out);
        }
    }

    fn read(number: Number, input: &mut BitReader<'_>) -> Result<Self, String> {
        let fraction_bits = input.take(3);
        if fraction_bits > FRACTION_BITS_MAX {
            return Err(format!("{fraction_bits} bits of a class"));
        }
        let blocked = input.take(1) == 1;
        let first_class = unzigzag(input.take(16));
        let shape = is_float(number).then(|| FloatShape::read(number, input)).transpose()?;
        Ok(Model { fraction_bits, first_class, blocked, shape })
    }
}

/// Whether numbers are told by exponent; bytes are not, of whatever type.
fn is_float(number: Number) -> bool {
    number.bytes > 1
}

/// Whether the coder is for such numbers.
pub(super) fn fits(number: Number, len: usize) -> bool {
    (number.bytes == 1 || number.mantissa_bits.is_some()) && len.is_multiple_of(number.bytes)
}

/// The tables of a model: of classes, and of symbols.
fn tables(
    model: Model,
    input: &mut BitReader<'_>,
) -> Result<(Vec<Histogram>, Vec<Histogram>), String> {
    let classes = read_tables(usize::from(model.blocked), input)?;
    Ok((classes, read_tables(model.contexts(), input)?))
}
