//! A chunk as floats: elements of parent and child, block by block.

use super::floats::FloatLayout;
use super::open::{OpenWriter, has_open};
use super::short::ShortPairs;
use super::symbols::{EXACT, exact_symbol_of, symbol_of};
use super::{BLOCK_LEN, ZEROED};

/// A chunk as elements of parent and child, with what coding them asks again and again.
pub(super) struct Elements<'e> {
    pub(super) layout: FloatLayout,
    chunk: &'e [u8],
    base: &'e [u8],
    known: &'e Known,
}

/// What is known of a chunk's elements. Kept from chunk to chunk for its memory; blocks are whole
/// here, the last one is filled with elements that did not move.
#[derive(Default)]
pub(super) struct Known {
    /// The parents' exponents.
    exponents: Vec<[u8; BLOCK_LEN]>,
    /// The symbols of the steps, as they are coded under a scale.
    symbols: Vec<[u8; BLOCK_LEN]>,
    blocks: Vec<BlockSum>,
    /// The bits that the symbols leave open.
    open: OpenWriter,
}

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

impl<'e> Elements<'e> {
    #[inline(always)]
    pub(super) fn new(
        layout: FloatLayout,
        chunk: &'e [u8],
        base: &'e [u8],
        known: &'e mut Known,
    ) -> Self {
        let block_bytes = BLOCK_LEN * layout.bytes;
        let count = chunk.len().div_ceil(block_bytes);
        known.exponents.resize(count, [0; BLOCK_LEN]);
        known.symbols.resize(count, [0; BLOCK_LEN]);
        known.blocks.resize(count, BlockSum::default());
        known.open.clear();
        let (mut pairs, mut short) = (Pairs::new(), ShortPairs::new());
        let chunks = chunk.chunks(block_bytes).zip(base.chunks(block_bytes));
        let coded = known.exponents.iter_mut().zip(&mut known.symbols).zip(&mut known.blocks);
        for ((chunk, base), ((exponents, symbols), sum)) in chunks.zip(coded) {
            if layout.bytes == 2
                && let Ok(chunk) = chunk.as_chunks::<2>().0.try_into()
                && let Ok(base) = base.as_chunks::<2>().0.try_into()
            {
                short.fill(layout, chunk, base);
                *sum = short.sum(layout, exponents, symbols);
                if has_open(symbols) {
                    known.open.put(layout, symbols, &short.magnitudes);
                }
                continue;
            }
            pairs.fill(layout, chunk, base);
            *sum = pairs.sum(layout, exponents, symbols);
            if has_open(symbols) {
                known.open.put(layout, symbols, &pairs.magnitudes);
            }
        }
        known.open.finish();
        Elements { layout, chunk, base, known }
    }

    /// How many elements there are.
    #[inline(always)]
    pub(super) fn count(&self) -> usize {
        self.chunk.len() / self.layout.bytes
    }

    /// All blocks in short.
    #[inline(always)]
    pub(super) fn blocks(&self) -> &'e [BlockSum] {
        &self.known.blocks
    }

    /// Exponents and symbols of every block, as steps of a scale are coded.
    #[inline(always)]
    pub(super) fn coded(
        &self,
    ) -> impl Iterator<Item = (&'e [u8; BLOCK_LEN], &'e [u8; BLOCK_LEN])> + use<'e> {
        self.known.exponents.iter().zip(&self.known.symbols)
    }

    /// The bits that the symbols of all blocks leave open.
    #[inline(always)]
    pub(super) fn open(&self) -> &'e [u8] {
        self.known.open.bytes()
    }

    /// The elements of a block.
    #[inline(always)]
    pub(super) fn pairs(&self, at: usize, pairs: &mut Pairs) {
        let block_bytes = BLOCK_LEN * self.layout.bytes;
        let range = at * block_bytes..self.chunk.len().min((at + 1) * block_bytes);
        let chunk = self.chunk.get(range.clone()).unwrap_or_default();
        pairs.fill(self.layout, chunk, self.base.get(range).unwrap_or_default());
    }
}
