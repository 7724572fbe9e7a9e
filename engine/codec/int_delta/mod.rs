//! The difference of numbers whose type the conditioned difference of [`float-delta`](super::float_delta)
//! is not for: integers, floats of 64 and of 8 bits.
//!
//! A number moves by so many steps: between floats counted along the line on which they lie,
//! between integers their difference. A block of 128 elements has a scale, twice the binary
//! logarithm of how far its elements move. With what the base tells (the exponent of a float, the
//! size of an integer) it selects the frequencies that steps are coded with. Steps of wide numbers
//! leave bits open.
//!
//! The layout, byte for byte, is in `format-spec.md`.

mod decode;
mod encode;

pub(super) use decode::decode;
pub(super) use encode::encode;

use super::coded::number::Number;
use super::coded::parts::{unzigzag, zigzag};
use super::float_delta::bits::{BitReader, BitWriter};
use super::float_delta::frequencies::CONTEXTS_MAX;

/// The symbol of a wide number that became zero.
const ZEROED: u8 = 255;
/// The first symbol of a wide number that leaves bits open.
const FIRST_OPEN: u32 = 7;
/// Sizes of integers that select frequencies.
const INTEGER_SIZES: i32 = 4;

/// What is written before the streams, but for the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Model {
    /// The scale that the first difference of scales starts from.
    first_scale: i32,
    /// What is taken from a predicted size before it selects a context.
    context_low: i32,
    /// By how many bits a predicted size is shortened to select a context.
    context_shift: u32,
    /// How many contexts have tables.
    contexts: usize,
}

impl Model {
    fn write(self, out: &mut BitWriter) {
        out.put(zigzag(self.first_scale) & 0xffff, 16);
        out.put(zigzag(self.context_low) & 0xffff, 16);
        out.put(self.context_shift, 4);
        out.put(self.contexts as u32, 6);
    }

    fn read(input: &mut BitReader<'_>) -> Result<Self, String> {
        let first_scale = unzigzag(input.take(16));
        let context_low = unzigzag(input.take(16));
        let context_shift = input.take(4);
        let contexts = input.take(6) as usize;
        if contexts > CONTEXTS_MAX {
            return Err(format!("{contexts} contexts"));
        }
        Ok(Model { first_scale, context_low, context_shift, contexts })
    }

    /// The context of a number whose base is `base`, in a block of this scale.
    #[inline(always)]
    fn context(self, number: Number, scale: i32, base: u64) -> u8 {
        let most = CONTEXTS_MAX as i32;
        let context = match number.mantissa_bits {
            Some(_) => {
                let size = scale - 2 * number.exponent(base).max(1) - self.context_low;
                (size >> self.context_shift).clamp(0, most - 1)
            }
            None => {
                let size = (scale - self.context_low) >> self.context_shift;
                size.clamp(0, most / INTEGER_SIZES - 1) * INTEGER_SIZES + integer_size(number, base)
            }
        };
        context as u8
    }
}

/// How large an integer is for its type: 0 for those below a sixteenth of it, then by octaves.
#[inline(always)]
fn integer_size(number: Number, base: u64) -> i32 {
    let len = 64 - number.signed(base).unsigned_abs().leading_zeros() as i32;
    (len - (number.bits() as i32 - 4)).clamp(0, INTEGER_SIZES - 1)
}

/// Where a number lies on the line of its type: a float's bits made to sort as it does.
#[inline(always)]
fn place(number: Number, bits: u64) -> u64 {
    let negative = bits & number.sign() != 0;
    if number.mantissa_bits.is_some() && negative { bits ^ (number.sign() - 1) } else { bits }
}

/// The steps from the base to a number, away from zero where positive; as wide as the type, and
/// wrapping.
#[inline(always)]
fn step(number: Number, base: u64, child: u64) -> i64 {
    let difference = number.signed(place(number, child).wrapping_sub(place(number, base)));
    if base & number.sign() == 0 {
        difference
    } else {
        number.signed(difference.wrapping_neg() as u64)
    }
}

/// The inverse of [`step`]; bits above the number's are unspecified.
#[inline(always)]
fn apply(number: Number, base: u64, step: i64) -> u64 {
    let step = if base & number.sign() == 0 { step } else { step.wrapping_neg() };
    place(number, place(number, base).wrapping_add(step as u64))
}

/// Whether the coder is for such numbers.
pub(super) fn fits(number: Number, len: usize) -> bool {
    len.is_multiple_of(number.bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::Dtype;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn steps_lead_from_base_to_child(base in 0u64.., child in 0u64..) {
            for (dtype, _) in Dtype::all_known() {
                let number = Number::of(&dtype);
                let mask = u64::MAX >> (64 - number.bits());
                let (base, child) = (base & mask, child & mask);
                let found = apply(number, base, step(number, base, child)) & mask;
                prop_assert_eq!(found, child, "{}", dtype);
            }
        }
    }
}
