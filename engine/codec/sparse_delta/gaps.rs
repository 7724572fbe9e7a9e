//! Which elements of one class changed, as the numbers of elements of that class between them:
//! Golomb-Rice codes whose parameter follows the gaps seen so far.

use crate::codec::float_delta::bits::{BitReader, BitWriter};
use crate::codec::machine::Bits;

/// A gap of so many times the parameter's power, or more, is written in 32 bits behind as many
/// zeros and a one.
const ESCAPE: u32 = 16;
/// The largest parameter.
const LOW_BITS_MAX: u32 = 15;
/// The mean is of this many gaps at most, and then of half of them.
const GAPS_MAX: u64 = 128;
/// A gap counts no more than so many times the parameter's power.
const CLAMP: u64 = 16;
/// No gap is this long.
const NEVER: u64 = 1 << 62;

/// The gaps so far.
#[derive(Clone, Copy, Debug)]
struct Mean {
    sum: u64,
    count: u64,
}

impl Mean {
    const START: Mean = Mean { sum: 16, count: 1 };

    /// How many bits of the next gap are written as they are: the binary logarithm of the mean.
    #[inline(always)]
    fn low_bits(self) -> u32 {
        let difference = (self.sum | 1).ilog2().saturating_sub(self.count.ilog2());
        let larger = self.count << difference > self.sum;
        difference.saturating_sub(u32::from(larger)).min(LOW_BITS_MAX)
    }

    /// One long gap does not say that all are.
    #[inline(always)]
    fn add(&mut self, gap: u64) {
        self.sum += gap.min(CLAMP << self.low_bits());
        self.count += 1;
        if self.count == GAPS_MAX {
            self.sum /= 2;
            self.count /= 2;
        }
    }
}

/// Writes the gaps of a class.
pub(super) struct GapWriter {
    bits: BitWriter,
    mean: Mean,
    /// Elements of the class behind the last changed one and before this block.
    passed: i64,
}

impl GapWriter {
    pub(super) fn new() -> Self {
        GapWriter { bits: BitWriter::default(), mean: Mean::START, passed: 0 }
    }

    /// Appends a block's changed elements, which are some of the class's.
    #[inline(always)]
    pub(super) fn put(&mut self, class: u64, mut changed: u64) {
        while changed != 0 {
            let lowest = changed & changed.wrapping_neg();
            changed ^= lowest;
            let before = i64::from((class & (lowest - 1)).count_ones());
            self.put_gap((self.passed + before) as u64);
            self.passed = -before - 1;
        }
        self.passed += i64::from(class.count_ones());
    }

    #[inline(always)]
    fn put_gap(&mut self, gap: u64) {
        let low_bits = self.mean.low_bits();
        let times = gap >> low_bits;
        if times < u64::from(ESCAPE) {
            let low = gap & ((1 << low_bits) - 1);
            self.bits.put(((1 | low << 1) << times) as u32, times as u32 + 1 + low_bits);
        } else {
            self.bits.put(1 << ESCAPE, ESCAPE + 1);
            self.bits.put(gap as u32, 32);
        }
        self.mean.add(gap);
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.bits.finish()
    }
}

/// Reads the gaps of a class. A stream ends where no more one is in it.
pub(super) struct GapReader<'a> {
    bits: BitReader<'a>,
    mean: Mean,
    /// Elements of the class before the next changed one.
    next: u64,
    /// Whether a code was none.
    wrong: bool,
}

impl<'a> GapReader<'a> {
    pub(super) fn new(stored: &'a [u8]) -> Self {
        let bits = BitReader::new(stored);
        let mut reader = GapReader { bits, mean: Mean::START, next: 0, wrong: false };
        reader.next = reader.take();
        reader
    }

    /// The changed elements of a block, of those of the class.
    #[inline(always)]
    pub(super) fn take_block<B: Bits>(&mut self, machine: B, class: u64) -> u64 {
        let count = u64::from(class.count_ones());
        let mut changed = 0;
        while self.next < count {
            changed |= machine.deposit(1 << self.next, class);
            self.next += 1 + self.take();
        }
        self.next -= count;
        changed
    }

    /// The next gap.
    #[inline(always)]
    fn take(&mut self) -> u64 {
        let low_bits = self.mean.low_bits();
        let gap = match self.bits.window::<8>() {
            // At least 57 bits, of which a short code has at most 31.
            Some((window, start)) => {
                let word = u64::from_le_bytes(*window) >> start;
                let times = word.trailing_zeros();
                if times < ESCAPE {
                    self.bits.skip((times + 1 + low_bits) as usize);
                    let low = word >> times >> 1 & ((1 << low_bits) - 1);
                    u64::from(times) << low_bits | low
                } else {
                    self.take_any(low_bits)
                }
            }
            None => self.take_any(low_bits),
        };
        self.mean.add(gap);
        gap
    }

    #[cold]
    fn take_any(&mut self, low_bits: u32) -> u64 {
        if self.bits.is_finished() {
            return NEVER;
        }
        match self.bits.take_unary(ESCAPE) {
            Some(ESCAPE) => u64::from(self.bits.take(32)),
            Some(times) => u64::from(times) << low_bits | u64::from(self.bits.take(low_bits)),
            None => {
                self.wrong = true;
                NEVER
            }
        }
    }

    /// Whether all gaps were read, and lead to elements.
    pub(super) fn is_finished(&self) -> bool {
        !self.wrong && self.next >= NEVER / 2 && self.bits.is_finished()
    }
}
