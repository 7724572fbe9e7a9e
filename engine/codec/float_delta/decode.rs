//! A chunk from its parent and what was written of it.

use std::cell::Cell;

use super::bits::BitReader;
use super::floats::FloatLayout;
use super::model::{BlockClass, ClassCoder, FUNCTION_CONTEXT, Model};
use super::rans::{DecodeTable, Decoder};
use super::symbols::{FIRST_CLASS, MEANINGS, NOTHING};
use super::{BLOCK_LEN, HEAD_LEN, NARROW_LANES, WIDE_FROM, WIDE_LANES, ZEROED};
use crate::codec::cpu::{Target, on_cpu};

/// The parts of an encoded chunk.
struct Parts<'a> {
    model: Model,
    class_stream: &'a [u8],
    step_stream: &'a [u8],
    open: &'a [u8],
}

impl<'a> Parts<'a> {
    fn read(stored: &'a [u8]) -> Result<Self, String> {
        let cut = || format!("{} bytes, shorter than its parts", stored.len());
        let (head, mut rest) = stored.split_at_checked(HEAD_LEN).ok_or_else(cut)?;
        let mut parts: [&[u8]; 3] = [&[]; 3];
        for (part, len) in parts.iter_mut().zip(head.as_chunks::<4>().0) {
            let len = u32::from_le_bytes(*len) as usize;
            (*part, rest) = rest.split_at_checked(len).ok_or_else(cut)?;
        }
        let [model, class_stream, step_stream] = parts;
        let mut input = BitReader::new(model);
        let model = Model::read(&mut input)?;
        if !input.is_finished() {
            return Err("a model of another length".to_owned());
        }
        Ok(Parts { model, class_stream, step_stream, open: rest })
    }
}

/// Turns the parent's bytes in `out` into the child's.
pub(in crate::codec) fn decode(
    layout: FloatLayout,
    stored: &[u8],
    out: &mut [u8],
) -> Result<(), String> {
    if !out.len().is_multiple_of(layout.bytes) {
        return Err(format!("{} bytes are not whole elements", out.len()));
    }
    let parts = Parts::read(stored)?;
    let function_bits = parts.model.function.len().checked_ilog2().unwrap_or(0);
    if function_bits > layout.mantissa_bits {
        return Err(format!("a function of {function_bits} bits"));
    }
    // Taken, so that what follows is in no closure of the thread's: that would not be compiled for
    // wide registers.
    let mut tables = TABLES.take();
    let done = decode_with(layout, &parts, &mut tables, out);
    TABLES.set(tables);
    done
}

fn decode_with(
    layout: FloatLayout,
    parts: &Parts<'_>,
    tables: &mut [DecodeTable; 2],
    out: &mut [u8],
) -> Result<(), String> {
    on_cpu!(cpu => decode_any(cpu, layout, parts, tables, out))
}

#[inline(always)]
fn decode_any<T: Target>(
    cpu: T,
    layout: FloatLayout,
    parts: &Parts<'_>,
    tables: &mut [DecodeTable; 2],
    out: &mut [u8],
) -> Result<(), String> {
    match (out.len() / layout.bytes >= WIDE_FROM, layout) {
        (true, FloatLayout::F16) => {
            run::<WIDE_LANES, 2, T>(cpu, FloatLayout::F16, parts, tables, out)
        }
        (true, FloatLayout::BF16) => {
            run::<WIDE_LANES, 2, T>(cpu, FloatLayout::BF16, parts, tables, out)
        }
        (true, _) => run::<WIDE_LANES, 4, T>(cpu, FloatLayout::F32, parts, tables, out),
        (false, layout) if layout.bytes == 2 => {
            run::<NARROW_LANES, 2, T>(cpu, layout, parts, tables, out)
        }
        (false, layout) => run::<NARROW_LANES, 4, T>(cpu, layout, parts, tables, out),
    }
}

/// An element of 2 or 4 bytes.
#[inline(always)]
pub(in crate::codec) fn load<const BYTES: usize>(bytes: &[u8; BYTES]) -> u32 {
    match (bytes.first_chunk::<4>(), bytes.first_chunk::<2>()) {
        (Some(word), _) => u32::from_le_bytes(*word),
        (None, Some(word)) => u32::from(u16::from_le_bytes(*word)),
        (None, None) => 0,
    }
}

/// The bytes of an element.
#[inline(always)]
pub(in crate::codec) fn store<const BYTES: usize>(element: u32, bytes: &mut [u8; BYTES]) {
    if let Some(word) = bytes.first_chunk_mut::<4>() {
        *word = element.to_le_bytes();
    } else if let Some(word) = bytes.first_chunk_mut::<2>() {
        *word = (element as u16).to_le_bytes();
    }
}

/// The steps of a block: magnitudes, and all ones where they are negative.
#[derive(Debug)]
pub(in crate::codec) struct Steps {
    pub(in crate::codec) magnitudes: [u32; BLOCK_LEN],
    pub(in crate::codec) negatives: [u32; BLOCK_LEN],
}

/// Bytes that hold the open bits of a block, at most 30 an element, and a whole word behind.
const WINDOW_LEN: usize = 512 + 8;

impl Default for Steps {
    fn default() -> Self {
        Steps { magnitudes: [0; BLOCK_LEN], negatives: [0; BLOCK_LEN] }
    }
}

impl Steps {
    /// From a block's symbols and the open bits. With `FEW_OPEN`, most symbols leave none open.
    #[inline(always)]
    pub(in crate::codec) fn fill<const FEW_OPEN: bool>(
        &mut self,
        symbols: &[u8],
        open: &mut BitReader<'_>,
    ) {
        if FEW_OPEN {
            let steps = self.magnitudes.iter_mut().zip(&mut self.negatives);
            for ((magnitude, negative), symbol) in steps.zip(symbols) {
                let symbol = u32::from(*symbol);
                *magnitude = symbol.div_ceil(2);
                *negative = (symbol & 1).wrapping_sub(1);
            }
        }
        let steps = self.magnitudes.iter_mut().zip(&mut self.negatives);
        let Some((window, start)) = open.window::<WINDOW_LEN>() else {
            for ((magnitude, negative), symbol) in steps.zip(symbols) {
                let meaning = MEANINGS.get(usize::from(*symbol)).copied().unwrap_or(NOTHING);
                *magnitude = meaning.magnitude | open.take(meaning.open);
                *negative = meaning.negative;
            }
            return;
        };
        let mut at = start;
        for ((magnitude, negative), symbol) in steps.zip(symbols) {
            if FEW_OPEN && u32::from(*symbol) < FIRST_CLASS {
                continue;
            }
            let meaning = MEANINGS.get(usize::from(*symbol)).copied().unwrap_or(NOTHING);
            let byte = (at / 8) & 511;
            let word = window.get(byte..byte + 8).and_then(|word| word.first_chunk());
            let word = word.map_or(0, |word| u64::from_le_bytes(*word)) >> (at % 8);
            *magnitude = meaning.magnitude | (word as u32 & ((1 << meaning.open) - 1));
            *negative = meaning.negative;
            at += meaning.open as usize;
        }
        open.skip(at - start);
    }

    /// Adds the function's steps.
    fn add(&mut self, at: usize, step: i32) {
        let (Some(magnitude), Some(negative)) =
            (self.magnitudes.get_mut(at), self.negatives.get_mut(at))
        else {
            return;
        };
        let own = i64::from(*magnitude);
        let sum = i64::from(step) + if *negative == 0 { own } else { -own };
        (*magnitude, *negative) = (sum.unsigned_abs() as u32, (sum >> 63) as u32);
    }

    /// Turns the parents in `block` into children. A function is its table and by how many bits a
    /// parent is shortened to select from it.
    #[inline(always)]
    pub(super) fn put_back<const BYTES: usize>(
        &mut self,
        layout: FloatLayout,
        function: Option<(&[i32], u32)>,
        symbols: &[u8],
        block: &mut [[u8; BYTES]],
    ) {
        if let Some((table, shift)) = function {
            for (at, element) in block.iter().enumerate() {
                let place = (load(element) >> shift) as usize & table.len().saturating_sub(1);
                self.add(at, table.get(place).copied().unwrap_or(0));
            }
        }
        let moves = self.magnitudes.iter().zip(&self.negatives).zip(symbols.iter());
        for (element, ((magnitude, negative), symbol)) in block.iter_mut().zip(moves) {
            let parent = load(element);
            let moved = layout.apply(parent, *magnitude, *negative);
            store(if *symbol == ZEROED { parent & layout.sign() } else { moved }, element);
        }
    }
}

/// The step stream and the open bits, at a block.
pub(super) struct Streams<'a, const LANES: usize> {
    pub(super) steps: Decoder<'a, LANES>,
    pub(super) open: BitReader<'a>,
}

impl<const LANES: usize> Streams<'_, LANES> {
    /// Decodes a block.
    #[inline(always)]
    fn decode<const BYTES: usize>(
        &mut self,
        layout: FloatLayout,
        model: &Model,
        class: BlockClass,
        table: &DecodeTable,
        steps: &mut Steps,
        block: &mut [[u8; BYTES]],
    ) {
        let (mut contexts, mut symbols) = ([0; BLOCK_LEN], [0; BLOCK_LEN]);
        let contexts = contexts.get_mut(..block.len()).unwrap_or_default();
        let symbols = symbols.get_mut(..block.len()).unwrap_or_default();
        model.contexts(layout, class, block, contexts);
        self.steps.decode(table, contexts, symbols);
        if BYTES == 2 {
            steps.fill::<true>(symbols, &mut self.open);
        } else {
            steps.fill::<false>(symbols, &mut self.open);
        }
        steps.put_back(layout, model.function_of(layout, class), symbols, block);
    }
}

thread_local! {
    /// Tables for classes and steps, whose memory a thread keeps from chunk to chunk.
    static TABLES: Cell<[DecodeTable; 2]> = const {
        Cell::new([DecodeTable::EMPTY; 2])
    };
}

/// Decodes all blocks. Inlined for each layout, so that its numbers are constants.
#[inline(always)]
fn run<const LANES: usize, const BYTES: usize, T: Target>(
    cpu: T,
    layout: FloatLayout,
    parts: &Parts<'_>,
    tables: &mut [DecodeTable; 2],
    out: &mut [u8],
) -> Result<(), String> {
    let [class_table, step_table] = tables;
    class_table.fill(&parts.model.class_freqs);
    step_table.fill(&parts.model.step_freqs);
    let (class_table, step_table) = (&*class_table, &*step_table);
    let model = &parts.model;
    let mut class_decoder = Decoder::<1>::new(parts.class_stream)?;
    let mut streams = Streams::<LANES> {
        steps: Decoder::new(parts.step_stream)?,
        open: BitReader::new(parts.open),
    };
    let mut coder = ClassCoder::new(model.first_scale);
    let mut steps = Steps::default();
    for block in out.as_chunks_mut::<BYTES>().0.chunks_mut(BLOCK_LEN) {
        let mut symbol = [0];
        class_decoder.decode(class_table, &mut [coder.next_context()], &mut symbol);
        let [symbol] = symbol;
        let class = coder.class(symbol);
        if class == BlockClass::Unchanged {
            continue;
        }
        match (cpu.avx512(), <&mut [[u8; BYTES]; BLOCK_LEN]>::try_from(&mut *block)) {
            #[cfg(target_arch = "x86_64")]
            (Some(cpu), Ok(block)) => {
                streams.decode_avx512(cpu, layout, model, class, step_table, block);
            }
            _ => streams.decode(layout, model, class, step_table, &mut steps, block),
        }
    }
    let Streams { steps, open } = streams;
    if !class_decoder.is_finished() || !steps.is_finished() || !open.is_finished() {
        return Err("streams that do not end with the chunk".to_owned());
    }
    Ok(())
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

    /// The function of a block, and by how many bits a parent is shortened to select from it.
    #[inline(always)]
    pub(super) fn function_of(
        &self,
        layout: FloatLayout,
        class: BlockClass,
    ) -> Option<(&[i32], u32)> {
        let bits = self.function.len().checked_ilog2()?;
        let follows = class == BlockClass::Function;
        follows.then(|| (self.function.as_slice(), layout.mantissa_bits.saturating_sub(bits)))
    }
}
