//! Which elements changed, as the numbers of elements between them: Golomb-Rice codes whose
//! parameter follows the gaps seen so far.

use crate::codec::float_delta::bits::{BitReader, BitWriter};
use crate::codec::machine::BLOCK_LEN;

/// A gap of so many times the parameter's power, or more, is written in 32 bits behind as many
/// zeros and a one.
const ESCAPE: u32 = 16;
/// The mean is kept in this many binary places: it forgets in as many gaps as their power.
const MEAN_BITS: u32 = 5;
/// The largest parameter.
const LOW_BITS_MAX: u32 = 15;
/// The largest first parameter: of a chunk of 2^30 elements.
pub(super) const FIRST_MAX: u8 = 30;

/// The mean of the gaps so far.
#[derive(Clone, Copy, Debug)]
struct Mean(u64);

impl Mean {
    fn new(first: u8) -> Self {
        Mean(1 << MEAN_BITS << first)
    }

    /// How many bits of the next gap are written as they are: a little less than the mean's.
    #[inline(always)]
    fn low_bits(self) -> u32 {
        ((self.0 * 11 >> (MEAN_BITS + 4)) | 1).ilog2().min(LOW_BITS_MAX)
    }

    /// One long gap does not say that all are.
    #[inline(always)]
    fn add(&mut self, gap: u64) {
        let mean = self.0 >> MEAN_BITS;
        self.0 = self.0 - mean + gap.min(4 * mean + 16);
    }
}

/// Writes gaps.
pub(super) struct GapWriter {
    bits: BitWriter,
    mean: Mean,
    /// The place behind the last changed element.
    behind: u64,
}

impl GapWriter {
    pub(super) fn new(first: u8) -> Self {
        GapWriter { bits: BitWriter::default(), mean: Mean::new(first), behind: 0 }
    }

    /// Appends the changed elements of a block.
    #[inline(always)]
    pub(super) fn put(&mut self, block: usize, mut changed: u64) {
        while changed != 0 {
            let place = (block * BLOCK_LEN) as u64 + u64::from(changed.trailing_zeros());
            changed &= changed - 1;
            let gap = place - self.behind;
            self.behind = place + 1;
            let low_bits = self.mean.low_bits();
            let times = gap >> low_bits;
            if times < u64::from(ESCAPE) {
                let low = gap & ((1 << low_bits) - 1);
                let code = (1 | low << 1) << times;
                self.bits.put(code as u32, times as u32 + 1 + low_bits);
            } else {
                self.bits.put(1 << ESCAPE, ESCAPE + 1);
                self.bits.put(gap as u32, 32);
            }
            self.mean.add(gap);
        }
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.bits.finish()
    }
}

/// Sets the changed elements in `masks`, which are zeros, of `elements`.
pub(super) fn read(
    stored: &[u8],
    first: u8,
    count: u32,
    elements: usize,
    masks: &mut [u64],
) -> Result<(), String> {
    let mut bits = BitReader::new(stored);
    let mut mean = Mean::new(first);
    let mut place = 0u64;
    for _ in 0..count {
        let gap = take(&mut bits, mean.low_bits()).ok_or("a gap that does not end")?;
        mean.add(gap);
        place += gap;
        let mask = usize::try_from(place).ok().filter(|place| *place < elements);
        let mask = mask.and_then(|place| masks.get_mut(place / BLOCK_LEN));
        let Some(mask) = mask else { return Err("a change behind the last element".to_owned()) };
        *mask |= 1 << (place % BLOCK_LEN as u64);
        place += 1;
    }
    if bits.is_finished() { Ok(()) } else { Err("gaps of another length".to_owned()) }
}

/// The next gap; `None` for a code that is none.
#[inline(always)]
fn take(bits: &mut BitReader<'_>, low_bits: u32) -> Option<u64> {
    if let Some((window, start)) = bits.window::<8>() {
        // At least 57 bits, of which a code has at most 32.
        let word = u64::from_le_bytes(*window) >> start;
        let times = word.trailing_zeros();
        if times < ESCAPE {
            bits.skip((times + 1 + low_bits) as usize);
            let low = word >> times >> 1 & ((1 << low_bits) - 1);
            return Some(u64::from(times) << low_bits | low);
        }
    }
    take_any(bits, low_bits)
}

#[cold]
fn take_any(bits: &mut BitReader<'_>, low_bits: u32) -> Option<u64> {
    let times = bits.take_unary(ESCAPE)?;
    if times == ESCAPE {
        return Some(u64::from(bits.take(32)));
    }
    Some(u64::from(times) << low_bits | u64::from(bits.take(low_bits)))
}
