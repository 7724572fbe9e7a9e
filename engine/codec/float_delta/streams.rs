//! The streams of a chunk that are read block by block.

use super::bits::BitReader;
use super::block::{BlockMachine, BlockModel, Context, FunctionTable, OpenBits, with_words};
use super::floats::FloatLayout;
use super::model::{BlockClass, FUNCTION_CONTEXT, Model};
use super::rans::{DecodeTable, Decoder};
use super::steps::{Steps, load};
use super::{BLOCK_LEN, WIDE_LANES};

/// The step stream and the open bits, at a block.
pub(super) struct Streams<'a, const LANES: usize> {
    pub(super) steps: Decoder<'a, LANES>,
    pub(super) open: BitReader<'a>,
}

impl<const LANES: usize> Streams<'_, LANES> {
    /// Decodes a block that may not be whole.
    #[inline(always)]
    pub(super) fn decode<const BYTES: usize, const BITS: u32>(
        &mut self,
        layout: FloatLayout,
        model: &Model,
        class: BlockClass,
        table: &DecodeTable<BITS>,
        block: &mut [[u8; BYTES]],
    ) {
        let (mut contexts, mut symbols) = ([0; BLOCK_LEN], [0; BLOCK_LEN]);
        let contexts = contexts.get_mut(..block.len()).unwrap_or_default();
        let symbols = symbols.get_mut(..block.len()).unwrap_or_default();
        model.contexts(layout, class, block, contexts);
        self.steps.decode(table, contexts, symbols);
        let mut steps = Steps::default();
        self.open.with_open(|open| steps.fill(symbols, open));
        steps.put_back(layout, model.function_of(layout, class), symbols, block);
    }

    /// Turns a parent's whole block into the child's.
    #[inline(always)]
    pub(super) fn decode_whole<const BYTES: usize, const BITS: u32, M: BlockMachine>(
        &mut self,
        machine: M,
        layout: FloatLayout,
        model: &Model,
        class: BlockClass,
        table: &DecodeTable<BITS>,
        block: &mut [[u8; BYTES]; BLOCK_LEN],
    ) {
        let function = model.function_of(layout, class);
        let (states, rest) = self.steps.inside();
        if LANES == WIDE_LANES
            && let Some(states) = states.first_chunk_mut()
        {
            let (table, max) = table.entries();
            let model = BlockModel { layout, context: Context::of(model, class, max), function };
            self.open.with_open(|open| {
                with_words(rest, |words| {
                    machine.decode_block::<BYTES, BITS>(model, states, table, words, open, block)
                });
            });
        } else {
            let (mut contexts, mut symbols) = ([0; BLOCK_LEN], [0; BLOCK_LEN]);
            model.contexts(layout, class, block, &mut contexts);
            self.steps.decode(table, &mut contexts, &mut symbols);
            let put_back = |open: &mut OpenBits<'_>| {
                machine.put_back(layout, function, &symbols, open, block);
            };
            self.open.with_open(put_back);
        }
    }
}

impl Model {
    /// The contexts of a block's elements.
    #[inline(always)]
    pub(super) fn contexts<const BYTES: usize>(
        &self,
        layout: FloatLayout,
        class: BlockClass,
        block: &[[u8; BYTES]],
        contexts: &mut [u8],
    ) {
        let BlockClass::Scale(scale) = class else { return contexts.fill(FUNCTION_CONTEXT) };
        for (context, element) in contexts.iter_mut().zip(block) {
            *context = self.context(scale, layout.exponent(load(element)));
        }
    }

    /// The function of a block.
    #[inline(always)]
    pub(super) fn function_of(
        &self,
        layout: FloatLayout,
        class: BlockClass,
    ) -> Option<FunctionTable<'_>> {
        let bits = self.function.len().checked_ilog2()?;
        let shift = layout.mantissa_bits.saturating_sub(bits);
        let follows = class == BlockClass::Function;
        follows.then_some(FunctionTable { steps: &self.function, shift })
    }
}
