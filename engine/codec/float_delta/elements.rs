//! A chunk as floats: elements of parent and child, block by block.

use super::BLOCK_LEN;
use super::floats::FloatLayout;
use super::open::OpenWriter;
use super::pairs::{BlockSum, Pairs};
use super::short::ShortPairs;

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
                known.open.put(layout, symbols, &short.magnitudes);
                continue;
            }
            pairs.fill(layout, chunk, base);
            *sum = pairs.sum(layout, exponents, symbols);
            known.open.put(layout, symbols, &pairs.magnitudes);
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
