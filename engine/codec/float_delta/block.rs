//! Decoding a whole block, on any processor and in wide registers: what all ways share.

use super::bits::BitReader;
use super::floats::FloatLayout;
use super::model::{BlockClass, FUNCTION_CONTEXT, Model, SIZE_CONTEXTS};
use super::rans::{DecodeTable, Decoder, skip, words_at_end};
use super::{BLOCK_LEN, WIDE_LANES};
use crate::codec::cpu::{Portable, Target, on_cpu};

/// Bytes of open bits that a block may look at: at most 29 bits an element are its own.
pub(super) const OPEN_BYTES: usize = 512;
/// Bytes of the step stream that a block may look at: at most two an element are its own.
pub(super) const WORD_BYTES: usize = 2 * BLOCK_LEN;
/// From this symbol on, none has open bits.
pub(super) const OPEN_END: u32 = 247;

/// The function's table, and which bits of the parent select from it.
#[derive(Clone, Copy)]
pub(super) struct FunctionTable<'a> {
    /// A step for each place.
    pub(super) steps: &'a [i32],
    /// By how many bits a parent is shortened.
    pub(super) shift: u32,
}

/// Which context an element has.
#[derive(Clone, Copy)]
pub(super) enum Context {
    /// That of its size, `size` being what an exponent of zero has, shortened by `shift` bits.
    BySize { size: i32, shift: u32, max: u8 },
    /// This one.
    Always(u8),
}

/// How a block is decoded.
#[derive(Clone, Copy)]
pub(super) struct BlockModel<'a> {
    pub(super) layout: FloatLayout,
    pub(super) context: Context,
    pub(super) function: Option<FunctionTable<'a>>,
}

/// Open bits of a block, from bit `at` on.
pub(in crate::codec) struct OpenBits<'a> {
    pub(super) bytes: &'a [u8; OPEN_BYTES],
    pub(super) at: usize,
}

/// What decodes whole blocks: a token of the processor.
pub(in crate::codec) trait BlockMachine: Copy {
    /// Decodes a block's symbols and turns the parents in `block` into the children that they tell.
    /// `words` are the next of the step stream, `open.at` is below 8 and moves on. Returns how many
    /// bytes of `words` were used. `table` has the entries of every context of the model.
    fn decode_block<const BYTES: usize, const BITS: u32>(
        self,
        model: BlockModel<'_>,
        states: &mut [u32; WIDE_LANES],
        table: &[u32],
        words: &[u8; WORD_BYTES],
        open: &mut OpenBits<'_>,
        block: &mut [[u8; BYTES]; BLOCK_LEN],
    ) -> usize;

    /// Decodes a block's symbols; returns how many bytes of `words` were used. `table` has the
    /// entries of every context.
    fn decode_symbols<const BITS: u32>(
        self,
        states: &mut [u32; WIDE_LANES],
        table: &[u32],
        words: &[u8; WORD_BYTES],
        contexts: &[u8; BLOCK_LEN],
        symbols: &mut [u8; BLOCK_LEN],
    ) -> usize;

    /// Turns the parents in `block` into the children that `symbols` tell. `open.at` is below 8 and
    /// moves on.
    fn put_back<const BYTES: usize>(
        self,
        layout: FloatLayout,
        function: Option<FunctionTable<'_>>,
        symbols: &[u8; BLOCK_LEN],
        open: &mut OpenBits<'_>,
        block: &mut [[u8; BYTES]; BLOCK_LEN],
    );
}

impl BitReader<'_> {
    /// Gives the next open bits, zeros behind their end, to who reads of them.
    #[inline(always)]
    pub(in crate::codec) fn with_open(&mut self, work: impl FnOnce(&mut OpenBits<'_>)) {
        let copy;
        let (bytes, start) = match self.window() {
            Some(window) => window,
            None => {
                copy = self.window_at_end();
                (&copy.0, copy.1)
            }
        };
        let mut open = OpenBits { bytes, at: start };
        work(&mut open);
        self.skip(open.at - start);
    }
}

impl Context {
    /// Of the elements of a block, where the largest context that there is is `max`.
    #[inline(always)]
    pub(super) fn of(model: &Model, class: BlockClass, max: u8) -> Self {
        match class {
            BlockClass::Scale(scale) => Context::BySize {
                size: scale.wrapping_sub(model.context_low),
                shift: model.context_shift,
                max: max.min(SIZE_CONTEXTS as u8 - 1),
            },
            _ => Context::Always(FUNCTION_CONTEXT.min(max)),
        }
    }
}

/// Gives the next words of a stream, zeros behind its end, to who tells how many bytes it used.
#[inline(always)]
pub(super) fn with_words(rest: &mut &[u8], work: impl FnOnce(&[u8; WORD_BYTES]) -> usize) {
    let copy: [u8; WORD_BYTES];
    let words = match rest.first_chunk() {
        Some(words) => words,
        None => {
            copy = words_at_end(rest);
            &copy
        }
    };
    let used = work(words);
    skip(rest, used);
}

impl Decoder<'_, WIDE_LANES> {
    /// [`decode`](Self::decode) of a whole block's symbols. Contexts beyond the table's are held
    /// down to its last.
    #[inline]
    pub(in crate::codec) fn decode_whole<const BITS: u32>(
        &mut self,
        table: &DecodeTable<BITS>,
        contexts: &[u8; BLOCK_LEN],
        symbols: &mut [u8; BLOCK_LEN],
    ) {
        let (states, rest) = self.inside();
        let (table, max) = table.entries();
        let contexts = contexts.map(|context| context.min(max));
        with_words(
            rest,
            |words| on_cpu!(cpu => symbols_on::<BITS, _>(cpu, states, table, words, &contexts, symbols)),
        );
    }
}

#[inline(always)]
fn symbols_on<const BITS: u32, T: Target>(
    cpu: T,
    states: &mut [u32; WIDE_LANES],
    table: &[u32],
    words: &[u8; WORD_BYTES],
    contexts: &[u8; BLOCK_LEN],
    symbols: &mut [u8; BLOCK_LEN],
) -> usize {
    match (cpu.avx512(), cpu.avx2()) {
        #[cfg(target_arch = "x86_64")]
        (Some(cpu), _) => cpu.decode_symbols::<BITS>(states, table, words, contexts, symbols),
        #[cfg(target_arch = "x86_64")]
        (_, Some(cpu)) => cpu.decode_symbols::<BITS>(states, table, words, contexts, symbols),
        _ => Portable.decode_symbols::<BITS>(states, table, words, contexts, symbols),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::codec::cpu::Cpu;
    use crate::codec::float_delta::ZEROED;
    use crate::codec::float_delta::symbols::MEANINGS;
    use proptest::prelude::*;

    /// The children, one by one, as the format says; and where the open bits end.
    fn naive(
        layout: FloatLayout,
        parents: &[u32],
        symbols: &[u8; BLOCK_LEN],
        open: &[u8; OPEN_BYTES],
        start: usize,
        steps: Option<(&[i32], u32)>,
    ) -> (Vec<u32>, usize) {
        let mut reader = BitReader::new(open);
        reader.skip(start);
        let mut end = start;
        let child = |(parent, symbol): (&u32, &u8)| {
            let meaning = MEANINGS[usize::from(*symbol)];
            end += meaning.open as usize;
            let magnitude = i64::from(meaning.magnitude | reader.take(meaning.open));
            let own = steps.map_or(0, |(s, shift)| s[(parent >> shift) as usize & (s.len() - 1)]);
            let step = i64::from(own) + if meaning.negative == 0 { magnitude } else { -magnitude };
            let negative = (step >> 63) as u32;
            let child = layout.apply(*parent, step.unsigned_abs() as u32, negative);
            if *symbol == ZEROED { parent & layout.sign() } else { child }
        };
        (parents.iter().zip(symbols).map(child).collect(), end)
    }

    #[inline(always)]
    fn put_back_on<T: Target, const BYTES: usize>(
        cpu: T,
        layout: FloatLayout,
        function: Option<FunctionTable<'_>>,
        symbols: &[u8; BLOCK_LEN],
        open: &mut OpenBits<'_>,
        block: &mut [[u8; BYTES]; BLOCK_LEN],
    ) {
        match (cpu.avx512(), cpu.avx2()) {
            #[cfg(target_arch = "x86_64")]
            (Some(cpu), _) => cpu.put_back(layout, function, symbols, open, block),
            #[cfg(target_arch = "x86_64")]
            (_, Some(cpu)) => cpu.put_back(layout, function, symbols, open, block),
            _ => Portable.put_back(layout, function, symbols, open, block),
        }
    }

    fn compare<const BYTES: usize>(
        layout: FloatLayout,
        parents: &[u32],
        symbols: &[u8; BLOCK_LEN],
        open: &[u8; OPEN_BYTES],
        start: usize,
        steps: Option<&[i32]>,
    ) {
        let all = layout.sign() | layout.magnitude_mask();
        let parents: Vec<u32> = parents.iter().map(|parent| parent & all).collect();
        let mut block = [[0; BYTES]; BLOCK_LEN];
        for (bytes, parent) in block.iter_mut().zip(&parents) {
            bytes.copy_from_slice(&parent.to_le_bytes()[..BYTES]);
        }
        let shift = layout.mantissa_bits - 4;
        let (children, end) =
            naive(layout, &parents, symbols, open, start, steps.map(|steps| (steps, shift)));
        let function = steps.map(|steps| FunctionTable { steps, shift });
        for cpu in Cpu::available() {
            let (mut found, mut bits) = (block, OpenBits { bytes: open, at: start });
            cpu.lowered(|| {
                on_cpu!(cpu => put_back_on(cpu, layout, function, symbols, &mut bits, &mut found));
            });
            assert_eq!(bits.at, end, "{cpu}");
            for (found, child) in found.iter().zip(&children) {
                assert_eq!(found[..], child.to_le_bytes()[..BYTES], "{cpu}");
            }
        }
    }

    proptest! {
        #[test]
        fn every_way_puts_back_what_symbols_tell(
            parents in proptest::collection::vec(
                prop_oneof![0u32.., Just(0), Just(1 << 31), 0u32..100],
                BLOCK_LEN,
            ),
            symbols in prop_oneof![
                proptest::collection::vec(0u8.., BLOCK_LEN),
                proptest::collection::vec(0u8..15, BLOCK_LEN),
                proptest::collection::vec(prop_oneof![0u8..60, Just(246), Just(255)], BLOCK_LEN),
            ],
            open in proptest::collection::vec(0u8.., OPEN_BYTES),
            start in 0usize..8,
            steps in proptest::collection::vec(prop_oneof![any::<i32>(), -9i32..9], 16),
        ) {
            let symbols: [u8; BLOCK_LEN] = symbols.try_into().unwrap();
            let open: [u8; OPEN_BYTES] = open.try_into().unwrap();
            for steps in [None, Some(&steps[..])] {
                compare::<2>(FloatLayout::F16, &parents, &symbols, &open, start, steps);
                compare::<2>(FloatLayout::BF16, &parents, &symbols, &open, start, steps);
                compare::<4>(FloatLayout::F32, &parents, &symbols, &open, start, steps);
            }
        }
    }
}
