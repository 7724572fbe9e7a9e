//! The bits of a block: planes of up to 64 bits one after the other, the lowest bit of each byte
//! first.

use crate::codec::machine::Bits;

/// Bytes that a block's bits may reach into, and what is read or written behind them: with all
/// of 32 bits stored as they are after the longest codes, a block takes 540.
pub(super) const WINDOW_LEN: usize = 1024 + 16;

/// Holds a place within the window; the compiler then knows that it is there.
const PLACE_MASK: usize = 1023;

/// The same for many bytes at once, which only stand at a block's beginning.
const BYTES_PLACE_MASK: usize = 511;

/// Reads a block's bits.
pub(super) struct PlaneReader<'a> {
    pub(super) window: &'a [u8; WINDOW_LEN],
    /// Bits of the window that were read.
    pub(super) at: usize,
}

impl PlaneReader<'_> {
    /// The next bits, and others above the lowest `count`; at most 64 are told.
    #[inline(always)]
    pub(super) fn take(&mut self, count: u32) -> u64 {
        let place = (self.at / 8) & PLACE_MASK;
        let shift = (self.at % 8) as u32;
        self.at += count as usize;
        let bytes = self.window.get(place..place + 9);
        let Some((low, [high])) = bytes.and_then(|bytes| bytes.split_first_chunk::<8>()) else {
            return 0;
        };
        u64::from_le_bytes(*low) >> shift | u64::from(*high) << 1 << (63 - shift)
    }

    /// The next 64 numbers of 8 bits.
    #[inline(always)]
    pub(super) fn take_bytes<B: Bits>(&mut self, machine: B) -> B::Bytes {
        let place = (self.at / 8) & BYTES_PLACE_MASK;
        let shift = (self.at % 8) as u32;
        self.at += 512;
        let bytes = self.window.get(place..place + 72).and_then(|bytes| bytes.first_chunk());
        machine.read(bytes.unwrap_or(&[0; 72]), shift)
    }
}

/// Writes a block's bits.
pub(super) struct PlaneWriter<'a> {
    pub(super) window: &'a mut [u8; WINDOW_LEN],
    /// Bytes of the window that are complete; eight at a time.
    pub(super) at: usize,
    /// Bits behind these, from the lowest up, as many as `count`, below 64.
    pub(super) pending: u64,
    pub(super) count: u32,
}

impl PlaneWriter<'_> {
    /// Appends the lowest `count` bits of `word`, at most 64; the others are zero.
    #[inline(always)]
    pub(super) fn put(&mut self, word: u64, count: u32) {
        let low = self.pending | word << self.count;
        let high = word >> 1 >> (63 - self.count);
        let place = self.at & PLACE_MASK;
        if let Some(bytes) = self.window.get_mut(place..place + 8) {
            bytes.copy_from_slice(&low.to_le_bytes());
        }
        let total = self.count + count;
        let full = total >= 64;
        self.pending = if full { high } else { low };
        self.at += if full { 8 } else { 0 };
        self.count = total % 64;
    }

    /// Appends 64 numbers of 8 bits.
    #[inline(always)]
    pub(super) fn put_bytes<B: Bits>(&mut self, machine: B, numbers: B::Bytes) {
        let place = self.at & BYTES_PLACE_MASK;
        let bytes =
            self.window.get_mut(place..place + 64).and_then(|bytes| bytes.first_chunk_mut());
        let Some(bytes) = bytes else { return };
        self.pending = machine.write(numbers, bytes, self.pending, self.count);
        self.at += 64;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::codec::cpu::{Cpu, Portable, on_cpu};
    use proptest::prelude::*;

    /// Bytes and planes, written and read by one machine.
    fn assert_planes_come_back<B: Bits>(
        machine: B,
        skipped: u32,
        planes: &[(u64, u32)],
    ) -> [u8; WINDOW_LEN] {
        let cut = |word: u64, count: u32| {
            if count == 64 { word } else { word & ((1 << count) - 1) }
        };
        // The bytes of an element at the beginning, as in a block.
        let mut bytes = [0; 72];
        for (at, byte) in bytes.iter_mut().enumerate().take(64) {
            *byte = planes.get(at / 8).map_or(7, |plane| plane.0.rotate_left(9) as u8 ^ at as u8);
        }
        let numbers = machine.read(&bytes, 0);
        let mut window = [0xff; WINDOW_LEN];
        let mut out = PlaneWriter { window: &mut window, at: 0, pending: 0, count: 0 };
        out.put(1, skipped);
        out.put_bytes(machine, numbers);
        for (word, count) in planes {
            out.put(cut(*word, *count), *count);
        }
        out.put(0, 64);
        let mut input = PlaneReader { window: &window, at: 0 };
        assert_eq!(cut(input.take(skipped), skipped), 1);
        let mut back = [0; 64];
        let behind = machine.write(input.take_bytes(machine), &mut back, 0, 0);
        assert!(back == bytes[..64] && behind == 0);
        for (word, count) in planes {
            assert_eq!(cut(input.take(*count), *count), cut(*word, *count));
        }
        window
    }

    proptest! {
        #[test]
        fn planes_come_back(
            skipped in 1u32..64,
            planes in proptest::collection::vec((0u64.., 0u32..=64), 0..100),
        ) {
            let first = assert_planes_come_back(Portable, skipped, &planes);
            Cpu::available().for_each(|cpu| {
                let window = cpu.lowered(|| {
                    on_cpu!(cpu => assert_planes_come_back(cpu, skipped, &planes))
                });
                assert!(window == first, "{cpu}");
            });
        }
    }
}
