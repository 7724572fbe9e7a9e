//! A block's elements of parent and child, and what they are in short.

use super::floats::FloatLayout;
use super::symbols::{EXACT, exact_symbol_of, symbol_of};
use super::{BLOCK_LEN, ZEROED};

/// A block in short.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct BlockSum {
    /// How many elements are not the parent's.
    pub(super) moved: usize,
    /// All bits of the steps' magnitudes.
    pub(super) steps: u32,
    /// How many elements only lost their magnitude.
    pub(super) zeroed: usize,
    /// Twice the binary logarithm of the mean distance between parent and child, in the float's
    /// exponents; `None` when no element moved, or only to zero.
    pub(super) scale: Option<i32>,
}

/// A block's elements, and the steps between them. What is behind the last element is zeros.
pub(super) struct Pairs {
    pub(super) len: usize,
    pub(super) parents: [u32; BLOCK_LEN],
    children: [u32; BLOCK_LEN],
    pub(super) magnitudes: [u32; BLOCK_LEN],
    /// 1 for a negative step, else 0.
    pub(super) negatives: [u32; BLOCK_LEN],
}

impl Pairs {
    pub(super) fn new() -> Self {
        let zeros = [0; BLOCK_LEN];
        let [parents, children, magnitudes, negatives] = [zeros; 4];
        Pairs { len: 0, parents, children, magnitudes, negatives }
    }

    #[inline(always)]
    pub(super) fn fill(&mut self, layout: FloatLayout, chunk: &[u8], base: &[u8]) {
        self.len = chunk.len() / layout.bytes;
        layout.load(chunk, &mut self.children);
        layout.load(base, &mut self.parents);
        let steps = self.magnitudes.iter_mut().zip(&mut self.negatives);
        for ((magnitude, negative), (parent, child)) in
            steps.zip(self.parents.iter().zip(&self.children))
        {
            (*magnitude, *negative) = layout.step_parts(*parent, *child);
        }
    }

    /// Every parent with its step.
    #[inline(always)]
    pub(super) fn steps(&self) -> impl Iterator<Item = (u32, i64)> {
        let steps = self.magnitudes.iter().zip(&self.negatives).take(self.len);
        self.parents.iter().zip(steps).map(|(parent, (magnitude, negative))| {
            let magnitude = i64::from(*magnitude);
            (*parent, if *negative == 0 { magnitude } else { -magnitude })
        })
    }

    /// The symbols of the steps, but for what became zero in `symbols`. Returns all bits of the
    /// steps' magnitudes.
    #[inline(always)]
    pub(super) fn symbols(&self, symbols: &mut [u8; BLOCK_LEN]) -> u32 {
        let any = self.magnitudes.iter().fold(0, |any, magnitude| any | magnitude);
        let steps = self.magnitudes.iter().zip(&self.negatives);
        let steps = symbols.iter_mut().zip(steps);
        // Short steps are the rule in some blocks.
        if any < EXACT {
            for (symbol, (magnitude, negative)) in steps {
                let moved = exact_symbol_of(*magnitude, *negative);
                *symbol = if *symbol == ZEROED { ZEROED } else { moved };
            }
        } else {
            for (symbol, (magnitude, negative)) in steps {
                let moved = symbol_of(*magnitude, *negative);
                *symbol = if *symbol == ZEROED { ZEROED } else { moved };
            }
        }
        any
    }

    #[inline(always)]
    pub(super) fn sum(
        &self,
        layout: FloatLayout,
        exponents: &mut [u8; BLOCK_LEN],
        symbols: &mut [u8; BLOCK_LEN],
    ) -> BlockSum {
        for (exponent, parent) in exponents.iter_mut().zip(&self.parents) {
            *exponent = layout.exponent(*parent) as u8;
        }
        let mut zeroed = [0u32; BLOCK_LEN];
        for (zeroed, (parent, child)) in
            zeroed.iter_mut().zip(self.parents.iter().zip(&self.children))
        {
            *zeroed = u32::from(*child == parent & layout.sign() && parent != child);
        }
        for (symbol, zeroed) in symbols.iter_mut().zip(&zeroed) {
            *symbol = if *zeroed == 1 { ZEROED } else { 0 };
        }
        let steps = self.symbols(symbols);
        let moved = symbols.iter().map(|symbol| u32::from(*symbol != 0)).sum::<u32>() as usize;
        let count = zeroed.iter().sum::<u32>() as usize;
        let scale = if moved > count { self.scale(layout, &zeroed) } else { None };
        BlockSum { moved, steps, zeroed: count, scale }
    }

    #[inline(always)]
    fn scale(&self, layout: FloatLayout, zeroed: &[u32; BLOCK_LEN]) -> Option<i32> {
        // Sixteen sums side by side, as wide registers add.
        let mut sums = [0f32; 16];
        let parents = self.parents.as_chunks::<16>().0;
        let parts = parents.iter().zip(self.children.as_chunks::<16>().0);
        for ((parents, children), zeroed) in parts.zip(zeroed.as_chunks::<16>().0) {
            let pairs = parents.iter().zip(children).zip(zeroed);
            for (sum, ((parent, child), zeroed)) in sums.iter_mut().zip(pairs) {
                let distance = (layout.value(*parent) - layout.value(*child)).abs();
                // Also takes the place of what is not a number.
                let distance = if distance < 1e30 { distance } else { 0.0 };
                *sum += if *zeroed == 1 { 0.0 } else { distance };
            }
        }
        BlockSum::scale(&sums, layout, self.len)
    }
}

impl BlockSum {
    /// The scale of so many elements' distances.
    #[inline(always)]
    pub(super) fn scale(distances: &[f32; 16], layout: FloatLayout, len: usize) -> Option<i32> {
        let sum: f32 = distances.iter().sum();
        let mean = sum / len as f32;
        (mean > 0.0).then(|| (2.0 * mean.log2()).round() as i32 + 2 * layout.bias)
    }
}
