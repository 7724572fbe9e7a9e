//! Better scales for blocks: those that code the chunk in the fewest bits.
//!
//! The mean distance of a block says little when few of its elements moved. So the scales found
//! from means serve as a first guess: with the statistics they give, each such block takes the
//! scale, among those near its own and the one before, under which it and the change of scale
//! cost least. One round gains most of what there is.

use super::elements::Elements;
use super::model::{BlockClass, SCALE_JUMP_MAX};
use super::rans::SYMBOLS_MAX;

/// Predicted sizes that are told apart here.
const SIZES: usize = 96;
/// A block in which more elements moved than this has a mean that can be believed.
const MOVED_MAX: usize = 40;
/// How far from the first guess a scale is looked for.
const REACH: i32 = 2;
/// What it costs, in bits, to say that the scale changes, and each half octave of the change.
const CHANGE_BITS: f32 = 3.0;
const HALF_OCTAVE_BITS: f32 = 0.5;

/// Bits that a symbol costs at a predicted size.
struct Costs {
    low: i32,
    bits: Vec<[f32; SYMBOLS_MAX]>,
}

impl Costs {
    #[inline]
    fn place(low: i32, scale: i32, exponent: i32) -> usize {
        (scale - 2 * exponent - low).clamp(0, SIZES as i32 - 1) as usize
    }

    #[inline]
    fn of(&self, scale: i32, exponent: i32, symbol: u8) -> f32 {
        let bits = self.bits.get(Self::place(self.low, scale, exponent));
        bits.and_then(|bits| bits.get(usize::from(symbol))).copied().unwrap_or(0.0)
    }

    /// From the symbols of all blocks under the scales they have now.
    #[inline(always)]
    fn new(elements: &Elements, classes: &[BlockClass], low: i32) -> Self {
        let mut counts = vec![[0f32; SYMBOLS_MAX]; SIZES];
        for (block, class) in elements.blocks().zip(classes) {
            let BlockClass::Scale(scale) = class else { continue };
            for (exponent, symbol) in block.coded() {
                let place = Self::place(low, *scale, i32::from(exponent));
                if let Some(count) =
                    counts.get_mut(place).and_then(|c| c.get_mut(usize::from(symbol)))
                {
                    *count += 1.0;
                }
            }
        }
        for counts in &mut counts {
            let total = counts.iter().sum::<f32>() + 0.5;
            let never = (total / 0.05).log2();
            for count in counts.iter_mut() {
                *count = if *count == 0.0 { never } else { (total / *count).log2() };
            }
        }
        Costs { low, bits: counts }
    }
}

/// A block's symbols, ready to be priced under several scales: unchanged elements counted by
/// exponent, the others one by one.
struct Priced {
    unchanged: [u32; 256],
    exponents: Vec<u8>,
    moved: Vec<(u8, u8)>,
}

impl Priced {
    #[inline(always)]
    fn fill(&mut self, symbols: impl Iterator<Item = (u8, u8)>) {
        for exponent in self.exponents.drain(..) {
            if let Some(count) = self.unchanged.get_mut(usize::from(exponent)) {
                *count = 0;
            }
        }
        self.moved.clear();
        for (exponent, symbol) in symbols {
            if symbol != 0 {
                self.moved.push((exponent, symbol));
            } else if let Some(count) = self.unchanged.get_mut(usize::from(exponent)) {
                if *count == 0 {
                    self.exponents.push(exponent);
                }
                *count += 1;
            }
        }
    }

    #[inline(always)]
    fn bits(&self, costs: &Costs, scale: i32) -> f32 {
        let unchanged = self.exponents.iter().map(|exponent| {
            let count = self.unchanged.get(usize::from(*exponent)).copied().unwrap_or(0);
            count as f32 * costs.of(scale, i32::from(*exponent), 0)
        });
        let moved = self
            .moved
            .iter()
            .map(|(exponent, symbol)| costs.of(scale, i32::from(*exponent), *symbol));
        unchanged.sum::<f32>() + moved.sum::<f32>()
    }
}

/// Gives blocks with a scale a better one. `low` is the least predicted size that matters.
#[inline(always)]
pub(super) fn refine(elements: &Elements, classes: &mut [BlockClass], low: i32) {
    let costs = Costs::new(elements, classes, low - 8);
    let mut before: Option<i32> = None;
    let mut priced = Priced { unchanged: [0; 256], exponents: Vec::new(), moved: Vec::new() };
    for (block, class) in elements.blocks().zip(classes.iter_mut()) {
        let BlockClass::Scale(guess) = class else { continue };
        let last = before.unwrap_or(*guess);
        if block.moved() > MOVED_MAX {
            *guess = (*guess).clamp(last - SCALE_JUMP_MAX, last + SCALE_JUMP_MAX);
            before = Some(*guess);
            continue;
        }
        priced.fill(block.coded());
        let near = (*guess - REACH..=*guess + REACH).chain(last - 1..=last + 1);
        let mut best = (f32::INFINITY, last);
        for scale in near.map(|scale| scale.clamp(last - SCALE_JUMP_MAX, last + SCALE_JUMP_MAX)) {
            let jump = (scale - last).unsigned_abs() as f32;
            let change =
                if jump == 0.0 { 1.0 } else { CHANGE_BITS + HALF_OCTAVE_BITS * jump.min(10.0) };
            let bits = change + priced.bits(&costs, scale);
            if bits < best.0 {
                best = (bits, scale);
            }
        }
        *guess = best.1;
        before = Some(best.1);
    }
}
