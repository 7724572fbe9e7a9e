//! [`Machine`] for any processor, in code that compilers make wide: loops of fixed length over
//! arrays, and words of 64 bits. What the other machines must equal.

use super::{BLOCK_BYTES_16, BLOCK_BYTES_32, BLOCK_LEN, Bits, Machine};
use crate::codec::cpu::Portable;

/// One in each byte.
const ONES: u64 = 0x0101_0101_0101_0101;

/// Masks in registers of 16 bytes, which every processor of x86-64 has.
#[cfg(target_arch = "x86_64")]
mod masks {
    use std::arch::x86_64::*;

    use super::BLOCK_LEN;

    /// A mask of the bytes that are all ones; the others are 0.
    #[inline(always)]
    pub(super) fn mask_of(bytes: [u8; BLOCK_LEN]) -> u64 {
        let [a, b, c, d]: [__m128i; 4] = bytemuck::cast(bytes);
        // SAFETY: every processor of x86-64 has SSE2.
        #[allow(unused_unsafe, reason = "older compilers ask for it")]
        let [a, b, c, d] = unsafe {
            [_mm_movemask_epi8(a), _mm_movemask_epi8(b), _mm_movemask_epi8(c), _mm_movemask_epi8(d)]
        }
        .map(|mask| mask as u64);
        a | b << 16 | c << 32 | d << 48
    }

    /// Bytes that are all ones where the mask has a one, else 0.
    #[inline(always)]
    pub(super) fn bytes_of(mask: u64) -> [u8; BLOCK_LEN] {
        // SAFETY: every processor of x86-64 has SSE2.
        #[allow(unused_unsafe, reason = "older compilers ask for it")]
        let parts = unsafe {
            let bit = _mm_set1_epi64x(0x8040_2010_0804_0201u64 as i64);
            let mask = _mm_set1_epi64x(mask as i64);
            // Each byte twice, then four times, then eight times.
            let twice = _mm_unpacklo_epi8(mask, mask);
            let [low, high] = [_mm_unpacklo_epi16(twice, twice), _mm_unpackhi_epi16(twice, twice)];
            [
                _mm_unpacklo_epi32(low, low),
                _mm_unpackhi_epi32(low, low),
                _mm_unpacklo_epi32(high, high),
                _mm_unpackhi_epi32(high, high),
            ]
            .map(|part| (part, bit))
        };
        let of = |(part, bit)| {
            // SAFETY: as above.
            #[allow(unused_unsafe, reason = "older compilers ask for it")]
            unsafe {
                _mm_cmpeq_epi8(_mm_and_si128(part, bit), bit)
            }
        };
        let [a, b, c, d] = parts;
        bytemuck::cast([of(a), of(b), of(c), of(d)])
    }
}

/// Masks in words of 64 bits.
#[cfg(any(test, not(target_arch = "x86_64")))]
#[cfg_attr(target_arch = "x86_64", allow(dead_code, reason = "the oracle of the tests"))]
mod words {
    use super::{BLOCK_LEN, ONES};

    /// A mask of the bytes that are all ones; the others are 0.
    #[inline(always)]
    pub(super) fn mask_of(bytes: [u8; BLOCK_LEN]) -> u64 {
        let mut mask = 0;
        for (bytes, place) in bytes.as_chunks::<8>().0.iter().zip((0..64).step_by(8)) {
            // Bit 8 i goes to bit 56 + i.
            let flags = u64::from_le_bytes(*bytes) & ONES;
            mask |= flags.wrapping_mul(0x0102_0408_1020_4080) >> 56 << place;
        }
        mask
    }

    /// Bytes that are all ones where the mask has a one, else 0.
    #[inline(always)]
    pub(super) fn bytes_of(mask: u64) -> [u8; BLOCK_LEN] {
        let mut bytes = [0; BLOCK_LEN];
        for (bytes, byte) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(mask.to_le_bytes()) {
            // Each byte keeps a bit of its own; what is not zero carries into its highest one.
            let bits = (u64::from(byte) * ONES) & 0x8040_2010_0804_0201;
            *bytes = (((bits + 0x7f * ONES) >> 7 & ONES) * 255).to_le_bytes();
        }
        bytes
    }
}

#[cfg(target_arch = "x86_64")]
use masks::{bytes_of, mask_of};
#[cfg(not(target_arch = "x86_64"))]
use words::{bytes_of, mask_of};

/// All ones for true.
#[inline(always)]
fn all(test: bool) -> u8 {
    0u8.wrapping_sub(u8::from(test))
}

#[expect(clippy::indexing_slicing, reason = "places below 64 of arrays of 64")]
impl Bits for Portable {
    type Bytes = [u8; BLOCK_LEN];

    #[inline(always)]
    fn bytes(self, value: u8) -> Self::Bytes {
        [value; BLOCK_LEN]
    }
    #[inline(always)]
    fn sub_saturating(self, a: Self::Bytes, b: Self::Bytes) -> Self::Bytes {
        std::array::from_fn(|at| a[at].saturating_sub(b[at]))
    }
    #[inline(always)]
    fn read(self, bytes: &[u8; 72], shift: u32) -> Self::Bytes {
        let mut numbers = [0; BLOCK_LEN];
        let (low, high) = (bytes.as_chunks::<8>().0, bytes.split_at(8).1.as_chunks::<8>().0);
        let to = numbers.as_chunks_mut::<8>().0.iter_mut();
        for (to, (low, high)) in to.zip(low.iter().zip(high)) {
            let (low, high) = (u64::from_le_bytes(*low), u64::from_le_bytes(*high));
            *to = (low >> shift | high << 1 << (63 - shift)).to_le_bytes();
        }
        numbers
    }
    #[inline(always)]
    fn write(self, a: Self::Bytes, bytes: &mut [u8; 64], bits: u64, count: u32) -> u64 {
        let mut before = bits;
        for (to, word) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(a.as_chunks::<8>().0) {
            let word = u64::from_le_bytes(*word);
            *to = (before | word << count).to_le_bytes();
            before = word >> 1 >> (63 - count);
        }
        before
    }
    #[inline(always)]
    fn add_bytes(self, a: Self::Bytes, b: Self::Bytes) -> Self::Bytes {
        std::array::from_fn(|at| a[at].wrapping_add(b[at]))
    }
    #[inline(always)]
    fn min(self, a: Self::Bytes, b: Self::Bytes) -> Self::Bytes {
        std::array::from_fn(|at| a[at].min(b[at]))
    }
    #[inline(always)]
    fn max(self, a: Self::Bytes, b: Self::Bytes) -> Self::Bytes {
        std::array::from_fn(|at| a[at].max(b[at]))
    }
    #[inline(always)]
    fn add_where(self, a: Self::Bytes, mask: u64, value: u8) -> Self::Bytes {
        let ones = bytes_of(mask);
        std::array::from_fn(|at| a[at].wrapping_add(ones[at] & value))
    }
    #[inline(always)]
    fn keep(self, mask: u64, a: Self::Bytes) -> Self::Bytes {
        let ones = bytes_of(mask);
        std::array::from_fn(|at| a[at] & ones[at])
    }
    #[inline(always)]
    fn fill(self, mask: u64, a: Self::Bytes) -> Self::Bytes {
        let ones = bytes_of(mask);
        std::array::from_fn(|at| a[at] | ones[at])
    }
    #[inline(always)]
    fn above(self, a: Self::Bytes, value: u8) -> u64 {
        mask_of(a.map(|number| all(number > value)))
    }
    #[inline(always)]
    fn has_bit(self, a: Self::Bytes, bit: u32) -> u64 {
        mask_of(a.map(|number| all(number >> bit & 1 == 1)))
    }
    #[inline(always)]
    fn sum(self, a: Self::Bytes) -> u32 {
        a.into_iter().map(u32::from).sum()
    }
    #[inline(always)]
    fn greatest(self, a: Self::Bytes) -> u8 {
        a.into_iter().fold(0, u8::max)
    }
    #[inline(always)]
    fn deposit(self, word: u64, mask: u64) -> u64 {
        deposit(word, mask)
    }
    #[inline(always)]
    fn extract(self, word: u64, mask: u64) -> u64 {
        extract(word, mask)
    }
}

macro_rules! portable {
    ($word:ty, $bytes:expr) => {
        #[expect(clippy::indexing_slicing, reason = "places below 64 of arrays of 64")]
        impl Machine<{ $bytes }> for Portable {
            type Words = [$word; BLOCK_LEN];

            #[inline(always)]
            fn load(self, bytes: &[u8; $bytes]) -> Self::Words {
                let chunks = bytes.as_chunks().0;
                std::array::from_fn(|at| <$word>::from_le_bytes(chunks[at]))
            }
            #[inline(always)]
            fn store(self, words: Self::Words, bytes: &mut [u8; $bytes]) {
                for (to, word) in bytes.as_chunks_mut().0.iter_mut().zip(words) {
                    *to = word.to_le_bytes();
                }
            }
            #[inline(always)]
            fn words(self, value: u32) -> Self::Words {
                [value as $word; BLOCK_LEN]
            }
            #[inline(always)]
            fn and(self, a: Self::Words, b: Self::Words) -> Self::Words {
                std::array::from_fn(|at| a[at] & b[at])
            }
            #[inline(always)]
            fn or(self, a: Self::Words, b: Self::Words) -> Self::Words {
                std::array::from_fn(|at| a[at] | b[at])
            }
            #[inline(always)]
            fn xor(self, a: Self::Words, b: Self::Words) -> Self::Words {
                std::array::from_fn(|at| a[at] ^ b[at])
            }
            #[inline(always)]
            fn add(self, a: Self::Words, b: Self::Words) -> Self::Words {
                std::array::from_fn(|at| a[at].wrapping_add(b[at]))
            }
            #[inline(always)]
            fn sub(self, a: Self::Words, b: Self::Words) -> Self::Words {
                std::array::from_fn(|at| a[at].wrapping_sub(b[at]))
            }
            #[inline(always)]
            fn abs_diff(self, a: Self::Words, b: Self::Words) -> Self::Words {
                std::array::from_fn(|at| a[at].abs_diff(b[at]))
            }
            #[inline(always)]
            fn shl(self, a: Self::Words, count: u32) -> Self::Words {
                a.map(|word| word.wrapping_shl(count))
            }
            #[inline(always)]
            fn shr(self, a: Self::Words, count: u32) -> Self::Words {
                a.map(|word| word.wrapping_shr(count))
            }
            #[inline(always)]
            fn shl_each(self, a: Self::Words, counts: Self::Words) -> Self::Words {
                std::array::from_fn(|at| a[at].wrapping_shl(u32::from(counts[at])))
            }
            #[inline(always)]
            fn shr_each(self, a: Self::Words, counts: Self::Words) -> Self::Words {
                std::array::from_fn(|at| a[at].wrapping_shr(u32::from(counts[at])))
            }
            #[inline(always)]
            fn select(self, mask: u64, a: Self::Words, b: Self::Words) -> Self::Words {
                let ones = bytes_of(mask);
                let ones = |at: usize| ones[at] as i8 as $word;
                std::array::from_fn(|at| a[at] & ones(at) | b[at] & !ones(at))
            }
            #[inline(always)]
            fn less(self, a: Self::Words, b: Self::Words) -> u64 {
                mask_of(std::array::from_fn(|at| all(a[at] < b[at])))
            }
            #[inline(always)]
            fn equal(self, a: Self::Words, b: Self::Words) -> u64 {
                mask_of(std::array::from_fn(|at| all(a[at] == b[at])))
            }
            #[inline(always)]
            fn narrow(self, a: Self::Words) -> Self::Bytes {
                a.map(|word| word as u8)
            }
            #[inline(always)]
            fn narrow_saturating(self, a: Self::Words) -> Self::Bytes {
                a.map(|word| word.min(255) as u8)
            }
            #[inline(always)]
            fn bit_lens(self, a: Self::Words) -> Self::Bytes {
                a.map(|word| {
                    // The exponent of a float, which is not rounded up without the second bit.
                    let word = u32::from(word);
                    let float = ((word & !(word >> 1)) as f32).to_bits() >> 23;
                    float.saturating_sub(126) as u8
                })
            }
            #[inline(always)]
            fn widen(self, a: Self::Bytes) -> Self::Words {
                a.map(<$word>::from)
            }
        }
    };
}

portable!(u16, BLOCK_BYTES_16);
portable!(u32, BLOCK_BYTES_32);

/// For each mask of eight bits: where the lowest bits of a number go, in order.
static DEPOSITED: [[u8; 256]; 256] = table(true);
/// For each mask of eight bits: the bits of a number that it has, side by side.
static EXTRACTED: [[u8; 256]; 256] = table(false);

#[expect(clippy::indexing_slicing, reason = "constant evaluation checks the bounds")]
const fn table(deposited: bool) -> [[u8; 256]; 256] {
    let mut table = [[0; 256]; 256];
    let mut mask = 1usize;
    while mask < 256 {
        let lowest = mask & mask.wrapping_neg();
        let rest = mask ^ lowest;
        let mut number = 0;
        while number < 256 {
            table[mask][number] = if deposited {
                table[rest][number >> 1] | ((number & 1) * lowest) as u8
            } else {
                table[rest][number] << 1 | (number & lowest != 0) as u8
            };
            number += 1;
        }
        mask += 1;
    }
    table
}

/// How many ones are in all bytes of a mask below each byte.
#[inline(always)]
fn ones_below(mask: u64) -> [u8; 8] {
    let pairs = mask - ((mask >> 1) & (0x55 * ONES));
    let fours = (pairs & (0x33 * ONES)) + ((pairs >> 2) & (0x33 * ONES));
    let bytes = (fours + (fours >> 4)) & (0x0f * ONES);
    (bytes.wrapping_mul(ONES) << 8).to_le_bytes()
}

/// The lowest bits of `word`, in order, where the mask has ones: byte by byte, unless all bits stay
/// where they are.
#[inline]
pub(super) fn deposit(word: u64, mask: u64) -> u64 {
    if mask == u64::MAX {
        return word;
    }
    let mut out = [0; 8];
    let masks = mask.to_le_bytes().into_iter().zip(ones_below(mask));
    for (out, (mask, below)) in out.iter_mut().zip(masks) {
        let [row, number] = [usize::from(mask), usize::from((word >> below) as u8)];
        *out = DEPOSITED.get(row).and_then(|row| row.get(number)).copied().unwrap_or(0);
    }
    u64::from_le_bytes(out)
}

/// The inverse.
#[inline]
pub(super) fn extract(word: u64, mask: u64) -> u64 {
    if mask == u64::MAX {
        return word;
    }
    let mut out = 0;
    let bytes = word.to_le_bytes().into_iter().zip(mask.to_le_bytes());
    for ((byte, mask), below) in bytes.zip(ones_below(mask)) {
        let row = EXTRACTED.get(usize::from(mask));
        let bits = row.and_then(|row| row.get(usize::from(byte))).copied().unwrap_or(0);
        out |= u64::from(bits) << below;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bits_go_where_they_must(word in 0u64.., masks in proptest::collection::vec(0u64.., 3)) {
            let dense = masks.iter().fold(0, |any, mask| any | mask);
            let sparse = masks.iter().fold(u64::MAX, |all, mask| all & mask);
            for mask in [dense, sparse, word, 0, 1, u64::MAX, u64::MAX >> 1, 1 << 63] {
                let places: Vec<u32> = (0..64).filter(|place| mask >> place & 1 == 1).collect();
                let spread = (0..).zip(&places).map(|(from, to)| (word >> from & 1) << to).sum::<u64>();
                let close = (0..).zip(&places).map(|(to, from)| (word >> from & 1) << to).sum::<u64>();
                prop_assert_eq!(deposit(word, mask), spread);
                prop_assert_eq!(extract(word, mask), close);
                prop_assert_eq!(bytes_of(mask), words::bytes_of(mask));
                prop_assert_eq!(mask_of(bytes_of(mask)), mask);
                prop_assert_eq!(words::mask_of(bytes_of(mask)), mask);
            }
        }
    }
}
