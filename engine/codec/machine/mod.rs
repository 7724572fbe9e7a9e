//! What codecs need of a processor: 64 elements at once, and bits put into the places of a mask.
//! [`Portable`](super::cpu::Portable) does it everywhere, and is what the others must equal.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod portable;

/// Elements of a block, and bits of a mask.
pub(super) const BLOCK_LEN: usize = 64;
/// Bytes of a block of 16-bit elements.
pub(super) const BLOCK_BYTES_16: usize = 2 * BLOCK_LEN;
/// Bytes of a block of 32-bit elements.
pub(super) const BLOCK_BYTES_32: usize = 4 * BLOCK_LEN;

/// 64 small numbers as `Bytes`, and masks of 64 bits, whose lowest is the first number's.
/// Arithmetic wraps.
pub(super) trait Bits: Copy {
    type Bytes: Copy;

    /// The same in all places.
    fn bytes(self, value: u8) -> Self::Bytes;
    /// `a - b`, or 0 where `b` is larger.
    fn sub_saturating(self, a: Self::Bytes, b: Self::Bytes) -> Self::Bytes;
    /// Numbers of 8 bits, the first from bit `shift` on, which is below 8.
    fn read(self, bytes: &[u8; 72], shift: u32) -> Self::Bytes;
    /// The inverse: `count` bits, fewer than 64, then the numbers; returns the bits of these for
    /// which there is no room.
    fn write(self, a: Self::Bytes, bytes: &mut [u8; 64], bits: u64, count: u32) -> u64;
    fn add_bytes(self, a: Self::Bytes, b: Self::Bytes) -> Self::Bytes;
    fn min(self, a: Self::Bytes, b: Self::Bytes) -> Self::Bytes;
    fn max(self, a: Self::Bytes, b: Self::Bytes) -> Self::Bytes;
    /// `a`, and `value` more where the mask has a one.
    fn add_where(self, a: Self::Bytes, mask: u64, value: u8) -> Self::Bytes;
    /// `a` where the mask has a one, 0 elsewhere.
    fn keep(self, mask: u64, a: Self::Bytes) -> Self::Bytes;
    /// 255 where the mask has a one, `a` elsewhere.
    fn fill(self, mask: u64, a: Self::Bytes) -> Self::Bytes;
    /// Where `a` is larger than `value`.
    fn above(self, a: Self::Bytes, value: u8) -> u64;
    /// Where `a` has this bit.
    fn has_bit(self, a: Self::Bytes, bit: u32) -> u64;
    fn sum(self, a: Self::Bytes) -> u32;
    fn greatest(self, a: Self::Bytes) -> u8;

    /// The lowest bits of `word`, in order, where the mask has ones; 0 elsewhere.
    fn deposit(self, word: u64, mask: u64) -> u64;
    /// The inverse: the bits of `word` where the mask has ones, side by side from the lowest up.
    fn extract(self, word: u64, mask: u64) -> u64;
}

/// 64 elements of `BLOCK_BYTES / 64` bytes as `Words`. Arithmetic wraps.
pub(super) trait Machine<const BLOCK_BYTES: usize>: Bits {
    type Words: Copy;

    /// Elements of little-endian bytes.
    fn load(self, bytes: &[u8; BLOCK_BYTES]) -> Self::Words;
    fn store(self, words: Self::Words, bytes: &mut [u8; BLOCK_BYTES]);
    /// The same in all places, cut to the element's bits.
    fn words(self, value: u32) -> Self::Words;
    fn and(self, a: Self::Words, b: Self::Words) -> Self::Words;
    fn or(self, a: Self::Words, b: Self::Words) -> Self::Words;
    fn xor(self, a: Self::Words, b: Self::Words) -> Self::Words;
    fn add(self, a: Self::Words, b: Self::Words) -> Self::Words;
    fn sub(self, a: Self::Words, b: Self::Words) -> Self::Words;
    /// How far apart both are, without signs.
    fn abs_diff(self, a: Self::Words, b: Self::Words) -> Self::Words;
    /// Shifted by less than the element's bits.
    fn shl(self, a: Self::Words, count: u32) -> Self::Words;
    fn shr(self, a: Self::Words, count: u32) -> Self::Words;
    /// Each shifted by its own count, less than the element's bits.
    fn shl_each(self, a: Self::Words, counts: Self::Words) -> Self::Words;
    fn shr_each(self, a: Self::Words, counts: Self::Words) -> Self::Words;
    /// `a` where the mask has a one, `b` elsewhere.
    fn select(self, mask: u64, a: Self::Words, b: Self::Words) -> Self::Words;
    /// Where `a` is less than `b`, without signs.
    fn less(self, a: Self::Words, b: Self::Words) -> u64;
    fn equal(self, a: Self::Words, b: Self::Words) -> u64;
    /// The lowest bytes.
    fn narrow(self, a: Self::Words) -> Self::Bytes;
    /// The numbers, or 255 where they are larger.
    fn narrow_saturating(self, a: Self::Words) -> Self::Bytes;
    fn widen(self, a: Self::Bytes) -> Self::Words;
    /// How many bits each number has: 0 for 0.
    fn bit_lens(self, a: Self::Words) -> Self::Bytes;
}

/// A last block, filled up with zeros.
#[inline(always)]
pub(super) fn filled<const N: usize>(rest: &[u8]) -> [u8; N] {
    let mut block = [0; N];
    block.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
    block
}

/// The elements that a last block has.
#[inline(always)]
pub(super) fn there<const N: usize>(rest: &[u8]) -> u64 {
    (1 << ((rest.len() / (N / BLOCK_LEN)) % BLOCK_LEN)) - 1
}
