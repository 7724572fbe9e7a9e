//! Steps as symbols of a small alphabet, with the bits that a symbol leaves open.
//!
//! A step of magnitude 0 to 7 is a symbol of its own with its sign. From 8 on, a symbol tells the
//! sign, the length in bits and the two bits below the highest; the others follow as they are.

/// Magnitudes below this are symbols of their own.
pub(super) const EXACT: u32 = 8;
/// The first symbol that leaves bits open.
pub(super) const FIRST_CLASS: u32 = 2 * EXACT - 1;

/// The largest magnitude of a step that a symbol can tell.
pub(super) const STEP_MAX: u64 = u32::MAX as u64;

/// The length of a number from 1 on in bits, less one, above its two bits below the highest: where
/// a float keeps them. Registers of any width convert; few count zeros.
#[inline(always)]
fn top(magnitude: u32) -> u32 {
    // Rounded down to what a float holds.
    let kept = if magnitude < 1 << 24 { magnitude } else { magnitude & !0xff };
    ((kept as f32).to_bits() >> 21).wrapping_sub(127 << 2)
}

/// The symbol of a step of this magnitude; `negative` is 1 or 0.
#[inline(always)]
pub(in crate::codec) fn symbol_of(magnitude: u32, negative: u32) -> u8 {
    let class = top(magnitude).wrapping_sub(3 << 2);
    let symbol = FIRST_CLASS.wrapping_add(class.wrapping_mul(2)).wrapping_add(negative);
    if magnitude < EXACT { exact_symbol_of(magnitude, negative) } else { symbol as u8 }
}

/// The symbol of a step of a magnitude below [`EXACT`].
#[inline(always)]
pub(super) fn exact_symbol_of(magnitude: u32, negative: u32) -> u8 {
    (magnitude.wrapping_mul(2) as u8).wrapping_add(negative as u8).saturating_sub(1)
}

/// The bits that the symbol of a step of this magnitude leaves open, and how many they are. The
/// symbol of what became zero is not such a symbol.
#[inline(always)]
pub(in crate::codec) fn open_bits(magnitude: u32) -> (u32, u32) {
    let open = if magnitude < EXACT { 0 } else { (top(magnitude) >> 2) - 2 };
    (magnitude & ((1 << open) - 1), open)
}

/// What each symbol stands for.
#[derive(Clone, Copy, Debug)]
pub(in crate::codec) struct Meaning {
    /// The least magnitude.
    pub(super) magnitude: u32,
    /// How many bits are open.
    pub(in crate::codec) open: u32,
    /// All ones for a negative step, else 0.
    pub(super) negative: u32,
}

/// A symbol that no step has.
pub(super) const NOTHING: Meaning = Meaning { magnitude: 0, open: 0, negative: 0 };

/// The meanings of all symbols.
pub(in crate::codec) const MEANINGS: [Meaning; 256] = meanings();

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
        meanings[symbol as usize] =
            Meaning { magnitude, open, negative: 0u32.wrapping_sub(negative) };
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
        fn tops_are_the_highest_bits(magnitude in 4u32.., bits in 0u32..30) {
            let magnitude = (magnitude >> bits).max(4);
            let len = magnitude.ilog2();
            prop_assert_eq!(top(magnitude), len << 2 | (magnitude >> (len - 2) & 3));
        }

        #[test]
        fn steps_come_back(magnitude in 0i64..1 << 32, bits in 0u32..32, negative: bool) {
            let magnitude = magnitude >> bits;
            let step = if negative { -magnitude } else { magnitude };
            let symbol = symbol_of(magnitude as u32, u32::from(step < 0));
            let (rest, open) = open_bits(magnitude as u32);
            let meaning = MEANINGS[usize::from(symbol)];
            prop_assert_eq!(meaning.open, open);
            let magnitude = i64::from(meaning.magnitude + rest);
            prop_assert_eq!(if meaning.negative == 0 { magnitude } else { -magnitude }, step);
        }
    }
}
