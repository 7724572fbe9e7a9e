//! Bits one after the other, the lowest of each byte first.

/// Appends bits to a vector of bytes.
#[derive(Debug, Default)]
pub(in crate::codec) struct BitWriter {
    bytes: Vec<u8>,
    /// Bits not yet in `bytes`, from the lowest up.
    pending: u64,
    count: u32,
}

impl BitWriter {
    /// Appends the lowest `count` bits of `value`, at most 32; the others are zero.
    #[inline]
    pub(in crate::codec) fn put(&mut self, value: u32, count: u32) {
        self.pending |= u64::from(value) << self.count;
        self.count += count;
        if self.count >= 32 {
            self.bytes.extend_from_slice(&(self.pending as u32).to_le_bytes());
            self.pending >>= 32;
            self.count -= 32;
        }
    }

    /// Appends `value`, from 1, as Elias gamma code: its length in zeros, a one, its lower bits.
    pub(in crate::codec) fn put_gamma(&mut self, value: u32) {
        let len = value.max(1).ilog2();
        if 2 * len < 32 {
            return self.put((value << 1 & !(2 << len) | 1) << len, 2 * len + 1);
        }
        self.put(0, len);
        self.put(1, 1);
        self.put(value & !(1 << len), len);
    }

    /// The bytes; the last one is filled with zeros.
    pub(in crate::codec) fn finish(mut self) -> Vec<u8> {
        while self.count > 0 {
            self.bytes.push(self.pending as u8);
            self.pending >>= 8;
            self.count = self.count.saturating_sub(8);
        }
        self.bytes
    }
}

/// Reads what [`BitWriter`] wrote. Past the end it reads zeros, and says so when asked.
#[derive(Debug)]
pub(in crate::codec) struct BitReader<'a> {
    bytes: &'a [u8],
    /// Bits read so far.
    at: usize,
}

impl<'a> BitReader<'a> {
    pub(in crate::codec) fn new(bytes: &'a [u8]) -> Self {
        BitReader { bytes, at: 0 }
    }

    /// The next `count` bits, at most 32.
    #[inline]
    pub(in crate::codec) fn take(&mut self, count: u32) -> u32 {
        let value = self.word() & ((1 << count) - 1);
        self.at += count as usize;
        value as u32
    }

    /// The next bits, at least 57, with zeros behind the last.
    #[inline]
    fn word(&self) -> u64 {
        let word = match self.bytes.get(self.at / 8..).and_then(|rest| rest.first_chunk::<8>()) {
            Some(word) => u64::from_le_bytes(*word),
            None => self.word_at_end(),
        };
        word >> (self.at % 8)
    }

    #[cold]
    fn word_at_end(&self) -> u64 {
        let rest = self.bytes.get(self.at / 8..).unwrap_or_default();
        let mut word = [0; 8];
        word.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        u64::from_le_bytes(word)
    }

    /// The bytes from the next bit's on, as many as `N`, and the bit's place in the first; `None`
    /// near the end. For reading many bits without asking for each where the end is.
    #[inline]
    pub(in crate::codec) fn window<const N: usize>(&self) -> Option<(&'a [u8; N], usize)> {
        let rest = self.bytes.get(self.at / 8..)?;
        Some((rest.first_chunk()?, self.at % 8))
    }

    /// As [`window`](Self::window) near the end: what is left is copied, with zeros behind.
    #[cold]
    pub(super) fn window_at_end<const N: usize>(&self) -> ([u8; N], usize) {
        let mut copy = [0; N];
        let rest = self.bytes.get(self.at / 8..).unwrap_or_default();
        copy.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        (copy, self.at % 8)
    }

    /// Passes over bits that were read through a [`window`](Self::window).
    #[inline]
    pub(in crate::codec) fn skip(&mut self, count: usize) {
        self.at += count;
    }

    /// How many zeros there are before the next one, which is passed over too; `None` for more
    /// than `most`.
    #[inline]
    pub(in crate::codec) fn take_unary(&mut self, most: u32) -> Option<u32> {
        let mut zeros = 0;
        loop {
            let run = (self.word() | 1 << 57).trailing_zeros();
            zeros += run;
            if zeros > most {
                return None;
            }
            if run < 57 {
                self.at += run as usize + 1;
                return Some(zeros);
            }
            self.at += 57;
        }
    }

    /// The next Elias gamma code; `None` when it is longer than 32 bits.
    pub(in crate::codec) fn take_gamma(&mut self) -> Option<u32> {
        let word = self.word();
        let len = word.trailing_zeros();
        if len > 31 {
            return None;
        }
        self.at += len as usize + 1;
        Some(1 << len | self.take(len))
    }

    /// Whether no more was read than there is, and nothing but filling is left.
    pub(in crate::codec) fn is_finished(&self) -> bool {
        let filling = match self.bytes.last() {
            Some(last) if !self.at.is_multiple_of(8) => last >> (self.at % 8),
            _ => 0,
        };
        self.at.div_ceil(8) == self.bytes.len() && filling == 0
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bits_come_back(values in proptest::collection::vec((0u32.., 0u32..=32), 0..200)) {
            let mut out = BitWriter::default();
            let masked = |value: u32, count: u32| (u64::from(value) & ((1 << count) - 1)) as u32;
            for (value, count) in &values {
                out.put(masked(*value, *count), *count);
                out.put_gamma((*value >> 1).max(1));
            }
            let bytes = out.finish();
            let mut input = BitReader::new(&bytes);
            for (value, count) in &values {
                prop_assert_eq!(input.take(*count), masked(*value, *count));
                prop_assert_eq!(input.take_gamma(), Some((*value >> 1).max(1)));
            }
            prop_assert!(input.is_finished());
        }
    }

    #[test]
    fn only_zeros_may_be_left() {
        for (bytes, finished) in
            [(&[5u8][..], true), (&[13], false), (&[5, 0], false), (&[], false)]
        {
            let mut input = BitReader::new(bytes);
            input.take(3);
            assert_eq!(input.is_finished(), finished, "{bytes:?}");
        }
    }
}
