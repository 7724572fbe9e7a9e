//! [`Machine`] for any processor, in code that compilers make wide: loops of fixed length over
//! arrays, and words of 64 bits. What the other machines must equal.

use super::{BLOCK_BYTES_16, BLOCK_BYTES_32, BLOCK_LEN, Bits, Machine};
use crate::codec::cpu::Portable;

/// A mask of where `test` holds.
#[inline(always)]
fn mask_of(test: impl Fn(usize) -> bool) -> u64 {
    (0..BLOCK_LEN).fold(0, |mask, at| mask | u64::from(test(at)) << at)
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
        std::array::from_fn(|at| a[at].wrapping_add((mask >> at & 1) as u8 * value))
    }
    #[inline(always)]
    fn keep(self, mask: u64, a: Self::Bytes) -> Self::Bytes {
        std::array::from_fn(|at| a[at] * (mask >> at & 1) as u8)
    }
    #[inline(always)]
    fn fill(self, mask: u64, a: Self::Bytes) -> Self::Bytes {
        std::array::from_fn(|at| a[at] | 0u8.wrapping_sub((mask >> at & 1) as u8))
    }
    #[inline(always)]
    fn above(self, a: Self::Bytes, value: u8) -> u64 {
        mask_of(|at| a[at] > value)
    }
    #[inline(always)]
    fn has_bit(self, a: Self::Bytes, bit: u32) -> u64 {
        mask_of(|at| a[at] >> bit & 1 == 1)
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
                std::array::from_fn(|at| if mask >> at & 1 == 1 { a[at] } else { b[at] })
            }
            #[inline(always)]
            fn less(self, a: Self::Words, b: Self::Words) -> u64 {
                mask_of(|at| a[at] < b[at])
            }
            #[inline(always)]
            fn equal(self, a: Self::Words, b: Self::Words) -> u64 {
                mask_of(|at| a[at] == b[at])
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
            fn widen(self, a: Self::Bytes) -> Self::Words {
                a.map(<$word>::from)
            }
        }
    };
}

portable!(u16, BLOCK_BYTES_16);
portable!(u32, BLOCK_BYTES_32);

/// Bit by bit, unless all bits stay where they are.
#[inline]
pub(super) fn deposit(mut word: u64, mut mask: u64) -> u64 {
    if mask == u64::MAX {
        return word;
    }
    let mut out = 0;
    while mask != 0 {
        let lowest = mask & mask.wrapping_neg();
        out |= lowest & (word & 1).wrapping_neg();
        word >>= 1;
        mask ^= lowest;
    }
    out
}

#[inline]
pub(super) fn extract(word: u64, mut mask: u64) -> u64 {
    if mask == u64::MAX {
        return word;
    }
    let (mut out, mut at) = (0, 0);
    while mask != 0 {
        out |= (word >> mask.trailing_zeros() & 1) << at;
        at += 1;
        mask &= mask - 1;
    }
    out
}
