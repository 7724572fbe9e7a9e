//! Better scales for blocks: those that code the chunk in the fewest bits.
//!
//! The mean distance of a block says little when few of its elements moved. So the scales found
//! from means serve as a first guess: with the statistics they give, each such block takes the
//! scale, among those near its own and the one before, under which it and the change of scale
//! cost least. One round gains most of what there is.

use super::BLOCK_LEN;
use super::elements::Elements;
use super::frequencies::SYMBOLS_MAX;
use super::model::{BlockClass, SCALE_JUMP_MAX};

/// Predicted sizes that are told apart here.
const SIZES: usize = 96;
/// A block in which more elements moved than this has a mean that can be believed.
const MOVED_MAX: usize = 40;
/// How far from the first guess a scale is looked for.
const REACH: i32 = 2;
/// What it costs, in bits, to say that the scale changes, and each half octave of the change.
const CHANGE_BITS: f32 = 3.0;
const HALF_OCTAVE_BITS: f32 = 0.5;
/// Unless one block of so many has few moved elements, it is not worth looking.
const FEW: usize = 32;

/// Of so many blocks, one of so many tells what symbols cost.
const SAMPLED_FROM: usize = 1024;
const SAMPLE: usize = 2;

/// Scales that are priced together.
const WINDOW: usize = 16;
/// Costs of one symbol: for each predicted size, and as many as a window has before and behind.
const ROW: usize = SIZES + 2 * WINDOW;

/// The binary logarithm of a positive number to three digits, without a call: many at once.
#[inline(always)]
pub(in crate::codec) fn log2(x: f32) -> f32 {
    let exponent = (x.to_bits() >> 23) as i32 - 127;
    let rest = f32::from_bits(x.to_bits() & 0x7f_ffff | 127 << 23) - 1.0;
    let bend = 0.4427 + rest * (0.0833 * rest - 0.2473);
    exponent as f32 + rest * (1.0 + (1.0 - rest) * bend)
}

/// Bits that a symbol costs at a predicted size.
#[derive(Default)]
pub(super) struct Costs {
    low: i32,
    bits: Vec<[f32; ROW]>,
    counts: Vec<[u32; SIZES]>,
}

impl Costs {
    /// From the symbols of all blocks under the scales they have now.
    #[inline(always)]
    fn fill(&mut self, elements: &Elements<'_>, classes: &[BlockClass], low: i32) {
        self.low = low;
        self.bits.resize(SYMBOLS_MAX, [0.0; ROW]);
        self.counts.clear();
        self.counts.resize(SYMBOLS_MAX, [0; SIZES]);
        let every = if classes.len() >= SAMPLED_FROM { SAMPLE } else { 1 };
        for ((exponents, symbols), class) in elements.coded().zip(classes).step_by(every) {
            let BlockClass::Scale(scale) = class else { continue };
            let mut places = [0u32; BLOCK_LEN];
            for (place, (exponent, symbol)) in places.iter_mut().zip(exponents.iter().zip(symbols))
            {
                let size = (scale - 2 * i32::from(*exponent) - low).clamp(0, SIZES as i32 - 1);
                *place = u32::from(*symbol) * SIZES as u32 + size as u32;
            }
            let counts = self.counts.as_flattened_mut();
            for place in places {
                if let Some(count) = counts.get_mut(place as usize) {
                    *count += 1;
                }
            }
        }
        let mut totals = [0u32; SIZES];
        for counts in &self.counts {
            totals.iter_mut().zip(counts).for_each(|(total, count)| *total += count);
        }
        let totals = totals.map(|total| log2(total as f32 + 0.5));
        let never = -(0.05f32).log2();
        for (bits, counts) in self.bits.iter_mut().zip(&self.counts) {
            // What occurs nowhere is not asked for; a sample may have missed it.
            if every == 1 && counts.iter().fold(0, |any, count| any | count) == 0 {
                continue;
            }
            let mut inner = [0f32; SIZES];
            for (bits, (count, total)) in inner.iter_mut().zip(counts.iter().zip(&totals)) {
                let own = if *count == 0 { -never } else { log2(*count as f32) };
                *bits = total - own;
            }
            let [first, .., last] = inner;
            let (before, rest) = bits.split_at_mut(WINDOW);
            let (inside, behind) = rest.split_at_mut(SIZES);
            before.fill(first);
            inside.copy_from_slice(&inner);
            behind.fill(last);
        }
    }

    /// What a block costs under each of the scales from `first` on.
    #[inline(always)]
    fn price(
        &self,
        exponents: &[u8; BLOCK_LEN],
        symbols: &[u8; BLOCK_LEN],
        first: i32,
    ) -> [f32; WINDOW] {
        let mut places = [0u32; BLOCK_LEN];
        let from = first - self.low + WINDOW as i32;
        for (place, (exponent, symbol)) in places.iter_mut().zip(exponents.iter().zip(symbols)) {
            let size = (from - 2 * i32::from(*exponent)).clamp(0, (ROW - WINDOW) as i32);
            *place = u32::from(*symbol) * ROW as u32 + size as u32;
        }
        let bits = self.bits.as_flattened();
        let mut sums = [[0f32; WINDOW]; 2];
        for places in places.as_chunks::<2>().0 {
            for (sums, place) in sums.iter_mut().zip(places) {
                let place = *place as usize;
                if let Some(row) = bits.get(place..place + WINDOW) {
                    sums.iter_mut().zip(row).for_each(|(sum, bits)| *sum += bits);
                }
            }
        }
        let [mut sum, other] = sums;
        sum.iter_mut().zip(other).for_each(|(sum, other)| *sum += other);
        sum
    }
}

/// Gives blocks with a scale a better one, unless too few have few moved elements: says whether.
/// `low` is the least predicted size that matters.
#[inline(always)]
pub(super) fn refine(
    elements: &Elements<'_>,
    classes: &mut [BlockClass],
    low: i32,
    costs: &mut Costs,
) -> bool {
    let is_scale = |class: &BlockClass| matches!(class, BlockClass::Scale(_));
    let scaled = classes.iter().filter(|class| is_scale(class)).count();
    let pairs = classes.iter().zip(elements.blocks());
    let few = pairs.filter(|(class, block)| is_scale(class) && block.moved <= MOVED_MAX).count();
    if few * FEW < scaled || few == 0 {
        return false;
    }
    costs.fill(elements, classes, low - 8);
    let mut before: Option<i32> = None;
    let blocks = elements.coded().zip(elements.blocks());
    for (((exponents, symbols), block), class) in blocks.zip(classes.iter_mut()) {
        let BlockClass::Scale(guess) = class else { continue };
        let last = before.unwrap_or(*guess);
        if block.moved > MOVED_MAX {
            *guess = (*guess).clamp(last - SCALE_JUMP_MAX, last + SCALE_JUMP_MAX);
            before = Some(*guess);
            continue;
        }
        let near = (*guess - REACH..=*guess + REACH).chain(last - 1..=last + 1);
        let mut best = (f32::INFINITY, last);
        let mut first = (*guess - REACH).min(last - 1);
        if last + 1 - first >= WINDOW as i32 || *guess + REACH - first >= WINDOW as i32 {
            first = *guess - REACH;
        }
        let mut prices = costs.price(exponents, symbols, first);
        for scale in near.map(|scale| scale.clamp(last - SCALE_JUMP_MAX, last + SCALE_JUMP_MAX)) {
            if !(first..first + WINDOW as i32).contains(&scale) {
                first = scale;
                prices = costs.price(exponents, symbols, first);
            }
            let price = prices.get((scale - first) as usize).copied().unwrap_or(f32::INFINITY);
            let jump = (scale - last).unsigned_abs() as f32;
            let change =
                if jump == 0.0 { 1.0 } else { CHANGE_BITS + HALF_OCTAVE_BITS * jump.min(10.0) };
            if change + price < best.0 {
                best = (change + price, scale);
            }
        }
        *guess = best.1;
        before = Some(best.1);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::log2;

    #[test]
    fn logarithms_have_three_digits() {
        for x in (1..1 << 20).map(|x| x as f32 / 2.0) {
            assert!((log2(x) - x.log2()).abs() < 1e-3, "{x}");
        }
    }
}
