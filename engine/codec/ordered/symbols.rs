//! Steps as symbols of a small alphabet, with the bits that a symbol leaves open.
//!
//! A step of magnitude 0 to 7 is a symbol of its own with its sign. From 8 on, a symbol tells the
//! sign, the length in bits and the two bits below the highest; the others follow as they are.

/// Magnitudes below this are symbols of their own.
const EXACT: u64 = 8;
/// The first symbol that leaves bits open.
const FIRST_CLASS: u32 = 2 * EXACT as u32 - 1;

/// The largest magnitude of a step that a symbol can tell.
pub(super) const STEP_MAX: u64 = u32::MAX as u64;

/// The symbol of a step within [`STEP_MAX`], how many bits it leaves open, and those bits.
#[inline]
pub(super) fn split(step: i64) -> (u8, u32, u32) {
    let magnitude = step.unsigned_abs();
    debug_assert!(magnitude <= STEP_MAX, "a step of {step}");
    let negative = u32::from(step < 0);
    if magnitude < EXACT {
        let symbol = if magnitude == 0 { 0 } else { 2 * magnitude as u32 - 1 + negative };
        return (symbol as u8, 0, 0);
    }
    let len = magnitude.ilog2();
    let open = len - 2;
    let class = (len - 3) * 4 + (magnitude >> open & 3) as u32;
    let rest = (magnitude & ((1 << open) - 1)) as u32;
    ((FIRST_CLASS + 2 * class + negative) as u8, open, rest)
}

/// What each symbol stands for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Meaning {
    /// The least magnitude.
    pub(super) magnitude: u32,
    /// How many bits are open.
    pub(super) open: u32,
    /// -1 for a negative step, else 0.
    pub(super) sign: i64,
}

/// A symbol that no step has.
pub(super) const NOTHING: Meaning = Meaning { magnitude: 0, open: 0, sign: 0 };

/// The meanings of all symbols.
pub(super) const MEANINGS: [Meaning; 256] = meanings();

#[expect(clippy::indexing_slicing, reason = "constant evaluation checks the bounds")]
const fn meanings() -> [Meaning; 256] {
    let mut meanings = [NOTHING; 256];
    let mut symbol = 1u32;
    while symbol < 256 {
        let (magnitude, open, negative) = if symbol < FIRST_CLASS {
            (symbol.div_ceil(2), 0, (symbol + 1) % 2)
        } else {
            let class = (symbol - FIRST_CLASS) / 2;
            let open = class / 4 + 1;
            if open > 29 {
                (0, 0, 0)
            } else {
                ((4 + class % 4) << open, open, (symbol - FIRST_CLASS) % 2)
            }
        };
        meanings[symbol as usize] = Meaning { magnitude, open, sign: -(negative as i64) };
        symbol += 1;
    }
    meanings
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing)]
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn steps_come_back(magnitude in 0i64..1 << 32, bits in 0u32..32, negative: bool) {
            let magnitude = magnitude >> bits;
            let step = if negative { -magnitude } else { magnitude };
            let (symbol, open, rest) = split(step);
            let meaning = MEANINGS[usize::from(symbol)];
            prop_assert_eq!(meaning.open, open);
            let magnitude = i64::from(meaning.magnitude + rest);
            prop_assert_eq!((magnitude ^ meaning.sign) - meaning.sign, step);
        }
    }
}
