//! The scales of a chunk's blocks: those that code it in the fewest bits.

use super::predict::{floor, step};
use super::{CELLS, SCALE_JUMP_MAX, SIZES, ZEROED};
use crate::codec::coded::BLOCK_LEN;
use crate::codec::float_delta::FloatLayout;
use crate::codec::float_delta::frequencies::{Histogram, SYMBOLS_MAX};
use crate::codec::float_delta::symbols::{MEANINGS, open_bits, symbol_of};

/// Scales that are tried for a block, beside its own: from the first to the last.
const TRIED: std::ops::RangeInclusive<i32> = -6..=3;
/// What it costs, in bits, to say that the scale changes, and each half octave of the change.
const CHANGE_BITS: f32 = 3.0;
const HALF_OCTAVE_BITS: f32 = 0.5;
/// A part of what cells of neighbouring sizes count, for what occurs seldom.
const NEIGHBOUR: f32 = 0.25;

/// A block on its way out.
pub(super) struct Block {
    pub(super) len: usize,
    /// The scale, `None` for a block that equals its parent.
    pub(super) scale: Option<i32>,
    pub(super) parents: [u32; BLOCK_LEN],
    pub(super) children: [u32; BLOCK_LEN],
    pub(super) predicted: [u32; BLOCK_LEN],
    pub(super) flips: [u32; BLOCK_LEN],
    pub(super) sizes: [i32; BLOCK_LEN],
    pub(super) far: [u32; BLOCK_LEN],
}

impl Block {
    /// The symbols under a scale, and how many bits each leaves open.
    #[inline(always)]
    pub(super) fn symbols(
        &self,
        layout: FloatLayout,
        scale: i32,
    ) -> ([u8; BLOCK_LEN], [u32; BLOCK_LEN]) {
        let floor = floor(layout, scale);
        let (mut symbols, mut magnitudes) = ([0; BLOCK_LEN], [0; BLOCK_LEN]);
        for at in 0..BLOCK_LEN {
            let of = |values: &[u32; BLOCK_LEN]| values.get(at).copied().unwrap_or(0);
            let (parent, child) = (of(&self.parents), of(&self.children));
            let predicted = of(&self.predicted);
            let (magnitude, negative) = step(layout, floor, predicted, child);
            let symbol = symbol_of(magnitude, negative ^ (of(&self.flips) & 1));
            let zeroed = child == parent & layout.sign() && child != predicted;
            if let (Some(to), Some(open)) = (symbols.get_mut(at), magnitudes.get_mut(at)) {
                *to = if zeroed { ZEROED } else { symbol };
                *open = if zeroed { 0 } else { magnitude };
            }
        }
        (symbols, magnitudes)
    }

    /// The cells under a scale.
    #[inline(always)]
    pub(super) fn cells(&self, low: i32, scale: i32) -> [u8; BLOCK_LEN] {
        let mut cells = [0; BLOCK_LEN];
        for (cell, (size, far)) in cells.iter_mut().zip(self.sizes.iter().zip(&self.far)) {
            *cell = ((scale + size - low).clamp(0, SIZES as i32 - 1) as u32 + far) as u8;
        }
        cells
    }
}

/// Counts of symbols in every cell, under the scales that the blocks have.
#[inline(always)]
pub(super) fn count(layout: FloatLayout, blocks: &[Block], low: i32) -> Vec<Histogram> {
    let mut counts = vec![[0; SYMBOLS_MAX]; CELLS];
    for block in blocks {
        let Some(scale) = block.scale else { continue };
        let (symbols, _) = block.symbols(layout, scale);
        let cells = block.cells(low, scale);
        for (cell, symbol) in cells.iter().zip(&symbols).take(block.len) {
            let of = counts.get_mut(usize::from(*cell));
            if let Some(count) = of.and_then(|of| of.get_mut(usize::from(*symbol))) {
                *count += 1;
            }
        }
    }
    counts
}

/// Bits that every symbol costs in every cell, those that it leaves open included.
#[inline(never)]
fn costs(counts: &[Histogram]) -> Vec<[f32; SYMBOLS_MAX]> {
    let of = |cell: Option<usize>, symbol: usize| -> f32 {
        let counts = cell.and_then(|cell| counts.get(cell));
        counts.and_then(|counts| counts.get(symbol)).map_or(0.0, |count| *count as f32)
    };
    let costs = (0..CELLS).map(|cell| {
        let size = cell % SIZES;
        let below = (size > 0).then(|| cell - 1);
        let above = (size + 1 < SIZES).then_some(cell + 1);
        let mut costs = [0f32; SYMBOLS_MAX];
        let mut sum = 0.0;
        for (symbol, cost) in costs.iter_mut().enumerate() {
            *cost =
                of(Some(cell), symbol) + NEIGHBOUR * (of(below, symbol) + of(above, symbol)) + 1e-3;
            sum += *cost;
        }
        for (symbol, cost) in costs.iter_mut().enumerate() {
            let open = MEANINGS.get(symbol);
            *cost = (sum / *cost).log2() + open.map_or(0, |meaning| meaning.open) as f32;
        }
        costs
    });
    costs.collect()
}

/// Gives every block the scale, near its own, that costs least with the statistics that all have
/// now.
#[inline(always)]
pub(super) fn refine(layout: FloatLayout, blocks: &mut [Block], low: i32) {
    let costs = costs(&count(layout, blocks, low));
    let mut before: Option<i32> = None;
    for block in blocks.iter_mut() {
        let Some(own) = block.scale else { continue };
        let last = before.unwrap_or(own);
        let mut best = (f32::INFINITY, own);
        let mut known = (None, [0; BLOCK_LEN]);
        for scale in TRIED.map(|away| own + away) {
            let scale = scale.clamp(last - SCALE_JUMP_MAX, last + SCALE_JUMP_MAX);
            let floor = floor(layout, scale);
            if known.0 != Some(floor) {
                known = (Some(floor), block.symbols(layout, scale).0);
            }
            let cells = block.cells(low, scale);
            let mut sum = 0.0;
            for (cell, symbol) in cells.iter().zip(&known.1).take(block.len) {
                let of = costs.get(usize::from(*cell));
                sum += of.and_then(|of| of.get(usize::from(*symbol))).copied().unwrap_or(0.0);
            }
            let jump = (scale - last).unsigned_abs() as f32;
            let change =
                if jump == 0.0 { 1.0 } else { CHANGE_BITS + HALF_OCTAVE_BITS * jump.min(10.0) };
            if sum + change < best.0 {
                best = (sum + change, scale);
            }
        }
        block.scale = Some(best.1);
        before = Some(best.1);
    }
}

/// Holds scales to what the next one can tell.
pub(super) fn hold(blocks: &mut [Block]) {
    let mut before: Option<i32> = None;
    for scale in blocks.iter_mut().filter_map(|block| block.scale.as_mut()) {
        let last = before.unwrap_or(*scale);
        *scale = (*scale).clamp(last - SCALE_JUMP_MAX, last + SCALE_JUMP_MAX);
        before = Some(*scale);
    }
}

/// The bits that a symbol leaves open.
#[inline(always)]
pub(super) fn open_of(symbol: u8, magnitude: u32) -> (u32, u32) {
    if symbol == ZEROED { (0, 0) } else { open_bits(magnitude) }
}
