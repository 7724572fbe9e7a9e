//! Decoding a whole block on any processor: what is done for each element is done for the block,
//! one thing after the other, which compilers make wide code of.

use super::block::{BlockMachine, BlockModel, Context, FunctionTable, OpenBits, WORD_BYTES};
use super::floats::FloatLayout;
use super::rans::decode_step;
use super::steps::{Steps, load};
use super::{BLOCK_LEN, WIDE_LANES};
use crate::codec::cpu::Portable;

impl BlockMachine for Portable {
    #[inline(always)]
    fn decode_block<const BYTES: usize, const BITS: u32>(
        self,
        BlockModel { layout, context, function }: BlockModel<'_>,
        states: &mut [u32; WIDE_LANES],
        table: &[u32],
        words: &[u8; WORD_BYTES],
        open: &mut OpenBits<'_>,
        block: &mut [[u8; BYTES]; BLOCK_LEN],
    ) -> usize {
        let (mut contexts, mut symbols) = ([0; BLOCK_LEN], [0; BLOCK_LEN]);
        match context {
            Context::BySize { size, shift, max } => {
                for (context, element) in contexts.iter_mut().zip(block.iter()) {
                    let exponent = layout.exponent(load(element));
                    let size = size.wrapping_sub(2 * exponent) >> shift;
                    *context = size.clamp(0, max.into()) as u8;
                }
            }
            Context::Always(context) => contexts.fill(context),
        }
        let used = self.decode_symbols::<BITS>(states, table, words, &contexts, &mut symbols);
        self.put_back(layout, function, &symbols, open, block);
        used
    }

    #[inline(always)]
    fn decode_symbols<const BITS: u32>(
        self,
        states: &mut [u32; WIDE_LANES],
        table: &[u32],
        words: &[u8; WORD_BYTES],
        contexts: &[u8; BLOCK_LEN],
        symbols: &mut [u8; BLOCK_LEN],
    ) -> usize {
        let mut used = 0;
        let rounds = contexts.as_chunks::<WIDE_LANES>().0.iter();
        for (contexts, symbols) in rounds.zip(symbols.as_chunks_mut::<WIDE_LANES>().0) {
            for ((state, context), symbol) in states.iter_mut().zip(contexts).zip(symbols) {
                let at = used & (WORD_BYTES - 2);
                let word = words.get(at..at + 2).and_then(|word| word.first_chunk());
                let word = word.map_or(0, |word| u16::from_le_bytes(*word));
                let refilled;
                (*symbol, refilled) = decode_step::<BITS>(state, table, *context, word);
                used += 2 * usize::from(refilled);
            }
        }
        used
    }

    #[inline(always)]
    fn put_back<const BYTES: usize>(
        self,
        layout: FloatLayout,
        function: Option<FunctionTable<'_>>,
        symbols: &[u8; BLOCK_LEN],
        open: &mut OpenBits<'_>,
        block: &mut [[u8; BYTES]; BLOCK_LEN],
    ) {
        let mut steps = Steps::default();
        steps.fill(symbols, open);
        steps.put_back(layout, function, symbols, block);
    }
}
