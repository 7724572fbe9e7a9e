//! A chunk as floats: elements of parent and child, block by block.

use super::floats::FloatLayout;
use super::symbols::symbol_of;
use super::{BLOCK_LEN, ZEROED};

/// A chunk as elements of parent and child, with what coding them asks again and again.
pub(super) struct Elements {
    pub(super) layout: FloatLayout,
    pub(super) parents: Vec<u32>,
    children: Vec<u32>,
    pub(super) steps: Vec<i64>,
    /// The parents' exponents.
    exponents: Vec<u8>,
    /// The symbols of the steps, as they are coded under a scale.
    symbols: Vec<u8>,
}

/// One block of a chunk.
pub(super) struct Block<'e> {
    pub(super) layout: FloatLayout,
    pub(super) parents: &'e [u32],
    children: &'e [u32],
    pub(super) steps: &'e [i64],
    pub(super) exponents: &'e [u8],
    pub(super) symbols: &'e [u8],
}

impl Elements {
    #[inline(always)]
    pub(super) fn new(layout: FloatLayout, chunk: &[u8], base: &[u8]) -> Self {
        let (parents, children) = (layout.load(base), layout.load(chunk));
        // Loops instead of iterators that collect: those would not be compiled for wide registers.
        let count = parents.len().min(children.len());
        let (mut steps, mut exponents, mut symbols) =
            (vec![0i64; count], vec![0u8; count], vec![0u8; count]);
        for (exponent, parent) in exponents.iter_mut().zip(&parents) {
            *exponent = layout.exponent(*parent) as u8;
        }
        for (step, (parent, child)) in steps.iter_mut().zip(parents.iter().zip(&children)) {
            *step = layout.step(*parent, *child);
        }
        for (symbol, step) in symbols.iter_mut().zip(&steps) {
            *symbol = symbol_of(*step);
        }
        for (symbol, (parent, child)) in symbols.iter_mut().zip(parents.iter().zip(&children)) {
            let zeroed = Block::is_zeroed(layout, *parent, *child);
            *symbol = if zeroed { ZEROED } else { *symbol };
        }
        Elements { layout, parents, children, steps, exponents, symbols }
    }

    #[inline(always)]
    pub(super) fn blocks(&self) -> impl Iterator<Item = Block<'_>> {
        (0..self.steps.len()).step_by(BLOCK_LEN).map(|start| {
            let range = start..self.steps.len().min(start + BLOCK_LEN);
            Block {
                layout: self.layout,
                parents: self.parents.get(range.clone()).unwrap_or_default(),
                children: self.children.get(range.clone()).unwrap_or_default(),
                steps: self.steps.get(range.clone()).unwrap_or_default(),
                exponents: self.exponents.get(range.clone()).unwrap_or_default(),
                symbols: self.symbols.get(range).unwrap_or_default(),
            }
        })
    }
}

impl Block<'_> {
    /// Exponent and symbol of every element, as steps of a scale are coded.
    #[inline(always)]
    pub(super) fn coded(&self) -> impl Iterator<Item = (u8, u8)> {
        self.exponents.iter().copied().zip(self.symbols.iter().copied())
    }

    #[inline(always)]
    pub(super) fn is_unchanged(&self) -> bool {
        self.symbols.iter().all(|symbol| *symbol == 0)
    }

    /// Whether an element only lost its magnitude.
    #[inline(always)]
    pub(super) fn is_zeroed(layout: FloatLayout, parent: u32, child: u32) -> bool {
        child == parent & layout.sign() && parent != child
    }

    /// How many elements are not the parent's.
    #[inline(always)]
    pub(super) fn moved(&self) -> usize {
        self.symbols.iter().map(|symbol| usize::from(*symbol != 0)).sum()
    }

    #[inline(always)]
    pub(super) fn zeroed(&self) -> usize {
        self.symbols.iter().filter(|symbol| **symbol == ZEROED).count()
    }

    /// Twice the binary logarithm of the mean distance between parent and child, in the float's
    /// exponents; `None` when no element moved, or only to zero.
    #[inline(always)]
    pub(super) fn scale(&self) -> Option<i32> {
        // Sixteen sums side by side, as wide registers add.
        let mut sums = [0f32; 16];
        let parts = self.parents.chunks(16).zip(self.children.chunks(16));
        for ((parents, children), symbols) in parts.zip(self.symbols.chunks(16)) {
            let pairs = parents.iter().zip(children).zip(symbols);
            for (sum, ((parent, child), symbol)) in sums.iter_mut().zip(pairs) {
                let distance = (self.layout.value(*parent) - self.layout.value(*child)).abs();
                // Also takes the place of what is not a number.
                let distance = if distance < 1e30 { distance } else { 0.0 };
                *sum += if *symbol == ZEROED { 0.0 } else { distance };
            }
        }
        let sum: f32 = sums.iter().sum();
        let mean = sum / self.parents.len() as f32;
        (mean > 0.0).then(|| (2.0 * mean.log2()).round() as i32 + 2 * self.layout.bias)
    }
}
