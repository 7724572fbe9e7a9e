//! The bits that symbols leave open, on their way out.

use super::BLOCK_LEN;
use super::ZEROED;
use super::floats::FloatLayout;
use super::symbols::{FIRST_CLASS, open_bits};

/// Bytes that are made room for at once.
const ROOM: usize = 1 << 12;

/// Appends open bits, the lowest of each byte first.
#[derive(Default)]
pub(super) struct OpenWriter {
    /// What is written, and room behind it.
    bytes: Vec<u8>,
    /// How many bytes are written.
    at: usize,
    /// Bits that are no whole byte yet.
    pending: u64,
    count: u32,
}

impl OpenWriter {
    /// Forgets what was written, but keeps the memory.
    pub(super) fn clear(&mut self) {
        (self.at, self.pending, self.count) = (0, 0, 0);
    }

    /// Fills the last byte with zeros.
    pub(super) fn finish(&mut self) {
        if self.count > 0 {
            self.put_all(&[0], &[8 - self.count]);
        }
    }

    /// What was written, once it is [finished](Self::finish).
    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.at).unwrap_or_default()
    }

    /// Appends the open bits of a block's steps, if it has any.
    #[inline(always)]
    pub(super) fn put<M: Copy + Into<u32>>(
        &mut self,
        layout: FloatLayout,
        symbols: &[u8; BLOCK_LEN],
        magnitudes: &[M; BLOCK_LEN],
    ) {
        const HALF: usize = BLOCK_LEN / 2;
        const QUARTER: usize = BLOCK_LEN / 4;
        if !has_open(symbols) {
            return;
        }
        let (mut values, mut lens) = ([0u32; BLOCK_LEN], [0u32; BLOCK_LEN]);
        let to = values.iter_mut().zip(&mut lens);
        for ((value, len), (magnitude, symbol)) in to.zip(magnitudes.iter().zip(symbols)) {
            let (bits, count) = open_bits((*magnitude).into());
            (*value, *len) = if *symbol == ZEROED { (0, 0) } else { (bits, count) };
        }
        // At most 13 bits of a short float, so four together; else at most 29, so two.
        if layout.bytes == 2 {
            let (mut pairs, mut pair_lens) = ([0u32; HALF], [0u32; HALF]);
            let to = pairs.iter_mut().zip(&mut pair_lens);
            let from = values.as_chunks::<2>().0.iter().zip(lens.as_chunks::<2>().0);
            for ((pair, pair_len), ([low, high], [low_len, high_len])) in to.zip(from) {
                *pair = low | high << low_len;
                *pair_len = low_len + high_len;
            }
            let (values, lens) = join::<HALF, QUARTER>(&pairs, &pair_lens);
            self.put_used(&values, &lens);
        } else {
            let (values, lens) = join::<BLOCK_LEN, HALF>(&values, &lens);
            self.put_used(&values, &lens);
        }
    }

    /// Appends numbers of so many bits, of which many may have none.
    #[inline(always)]
    fn put_used<const N: usize>(&mut self, values: &[u64; N], lens: &[u32; N]) {
        let used: u32 = lens.iter().map(|len| u32::from(*len > 0)).sum();
        if used as usize > N / 2 {
            return self.put_all(values, lens);
        }
        let (mut own, mut own_lens, mut count) = ([0; N], [0; N], 0);
        for (value, len) in values.iter().zip(lens) {
            if let (Some(own), Some(own_len)) = (own.get_mut(count), own_lens.get_mut(count)) {
                (*own, *own_len) = (*value, *len);
            }
            count += usize::from(*len > 0);
        }
        let own = own.get(..count).unwrap_or_default();
        self.put_all(own, own_lens.get(..count).unwrap_or_default());
    }

    /// Appends the lowest bits of many values, at most 58 of each; the others are zero.
    #[inline(always)]
    fn put_all(&mut self, values: &[u64], lens: &[u32]) {
        let end = self.at + 8 * (values.len() + 1);
        if self.bytes.len() < end {
            self.bytes.resize(end + ROOM, 0);
        }
        let (mut at, mut pending, mut count) = (self.at, self.pending, self.count);
        for (value, len) in values.iter().zip(lens) {
            let word = pending | value << count;
            if let Some(room) = self.bytes.get_mut(at..at + 8) {
                room.copy_from_slice(&word.to_le_bytes());
            }
            let filled = count + len;
            at += filled as usize / 8;
            pending = if filled < 64 { word >> (filled & !7) } else { value >> (64 - count) };
            count = filled & 7;
        }
        (self.at, self.pending, self.count) = (at, pending, count);
    }
}

/// Whether a symbol of a block leaves bits open.
#[inline(always)]
pub(super) fn has_open(symbols: &[u8; BLOCK_LEN]) -> bool {
    let open = |symbol: &u8| u8::from(*symbol >= FIRST_CLASS as u8 && *symbol != ZEROED);
    symbols.iter().fold(0, |any, symbol| any | open(symbol)) != 0
}

/// Two numbers of so many bits each, as one.
#[inline(always)]
fn join<const N: usize, const HALF: usize>(
    values: &[u32; N],
    lens: &[u32; N],
) -> ([u64; HALF], [u32; HALF]) {
    let (mut joined, mut joined_lens) = ([0; HALF], [0; HALF]);
    let pairs = values.as_chunks::<2>().0.iter().zip(lens.as_chunks::<2>().0);
    for ((to, to_len), ([low, high], [low_len, high_len])) in
        joined.iter_mut().zip(&mut joined_lens).zip(pairs)
    {
        *to = u64::from(*low) | u64::from(*high) << low_len;
        *to_len = low_len + high_len;
    }
    (joined, joined_lens)
}

#[cfg(test)]
mod tests {
    use super::super::bits::BitWriter;
    use super::super::symbols::symbol_of;
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn blocks_equal_their_elements_one_by_one(
            blocks in proptest::collection::vec(
                proptest::collection::vec(
                    (prop_oneof![3 => Just(0u32), 1 => 0u32..], 0u32..32, any::<bool>()),
                    BLOCK_LEN,
                ),
                0..20,
            ),
            short: bool,
        ) {
            let layout = if short { FloatLayout::F16 } else { FloatLayout::F32 };
            let (mut slow, mut fast) = (BitWriter::default(), OpenWriter::default());
            fast.put(layout, &[20; BLOCK_LEN], &[33u16; BLOCK_LEN]);
            fast.clear();
            for block in &blocks {
                let (mut symbols, mut magnitudes) = ([0; BLOCK_LEN], [0; BLOCK_LEN]);
                let to = symbols.iter_mut().zip(&mut magnitudes);
                for ((symbol, to), (magnitude, shift, zeroed)) in to.zip(block) {
                    *to = magnitude >> if short { 16 + shift % 16 } else { *shift };
                    *symbol = if *zeroed { ZEROED } else { symbol_of(*to, 0) };
                    let (bits, count) = open_bits(*to);
                    if !zeroed {
                        slow.put(bits, count);
                    }
                }
                fast.put(layout, &symbols, &magnitudes);
            }
            fast.finish();
            prop_assert_eq!(slow.finish(), fast.bytes());
        }
    }
}
