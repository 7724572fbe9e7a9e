//! A chunk from its parent and what was written of it.

use super::bits::BitReader;
use super::floats::FloatLayout;
use super::model::{BlockClass, ClassCoder, FUNCTION_CONTEXT, Model};
use super::rans::{DecodeTable, Decoder};
use super::symbols::{FIRST_CLASS, MEANINGS, NOTHING};
use super::{BLOCK_LEN, HEAD_LEN, NARROW_LANES, WIDE_FROM, WIDE_LANES, ZEROED};

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
    #[cfg(target_arch = "x86_64")]
    if super::rans_avx512::is_available() {
        // SAFETY: the processor has the features that the function is compiled for.
        return unsafe { decode_avx512(layout, &parts, out) };
    }
    decode_any(layout, &parts, out)
}

/// [`decode_any`], compiled for wider registers.
///
/// # Safety
///
/// The processor has the features.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
unsafe fn decode_avx512(
    layout: FloatLayout,
    parts: &Parts<'_>,
    out: &mut [u8],
) -> Result<(), String> {
    decode_any(layout, parts, out)
}

#[inline(always)]
fn decode_any(layout: FloatLayout, parts: &Parts<'_>, out: &mut [u8]) -> Result<(), String> {
    match (out.len() / layout.bytes >= WIDE_FROM, layout) {
        (true, FloatLayout::F16) => run::<WIDE_LANES, 2>(FloatLayout::F16, parts, out),
        (true, FloatLayout::BF16) => run::<WIDE_LANES, 2>(FloatLayout::BF16, parts, out),
        (true, _) => run::<WIDE_LANES, 4>(FloatLayout::F32, parts, out),
        (false, layout) if layout.bytes == 2 => run::<NARROW_LANES, 2>(layout, parts, out),
        (false, layout) => run::<NARROW_LANES, 4>(layout, parts, out),
    }
}

/// An element of 2 or 4 bytes.
#[inline(always)]
fn load<const BYTES: usize>(bytes: &[u8; BYTES]) -> u32 {
    match (bytes.first_chunk::<4>(), bytes.first_chunk::<2>()) {
        (Some(word), _) => u32::from_le_bytes(*word),
        (None, Some(word)) => u32::from(u16::from_le_bytes(*word)),
        (None, None) => 0,
    }
}

#[inline(always)]
fn store<const BYTES: usize>(element: u32, bytes: &mut [u8; BYTES]) {
    if let Some(word) = bytes.first_chunk_mut::<4>() {
        *word = element.to_le_bytes();
    } else if let Some(word) = bytes.first_chunk_mut::<2>() {
        *word = (element as u16).to_le_bytes();
    }
}

/// The steps of a block: magnitudes, and all ones where they are negative.
struct Steps {
    magnitudes: [u32; BLOCK_LEN],
    negatives: [u32; BLOCK_LEN],
}

/// Bytes that hold the open bits of a block, at most 30 an element, and a whole word behind.
const WINDOW_LEN: usize = 512 + 8;

impl Steps {
    /// From a block's symbols and the open bits. With `FEW_OPEN`, most symbols leave none open.
    #[inline(always)]
    fn fill<const FEW_OPEN: bool>(&mut self, symbols: &[u8], open: &mut BitReader<'_>) {
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
}

/// Decodes all blocks. Inlined for each layout, so that its numbers are constants.
#[inline(always)]
fn run<const LANES: usize, const BYTES: usize>(
    layout: FloatLayout,
    parts: &Parts<'_>,
    out: &mut [u8],
) -> Result<(), String> {
    let model = &parts.model;
    let class_table = DecodeTable::new(&model.class_freqs);
    let step_table = DecodeTable::new(&model.step_freqs);
    let mut class_decoder = Decoder::<1>::new(parts.class_stream)?;
    let mut step_decoder = Decoder::<LANES>::new(parts.step_stream)?;
    let mut open = BitReader::new(parts.open);
    let mut coder = ClassCoder::new(model.first_scale);
    let function_shift = layout.mantissa_bits.saturating_sub(model.function.len().max(1).ilog2());
    let function_mask = model.function.len().saturating_sub(1);
    let (mut contexts, mut symbols) = ([0u8; BLOCK_LEN], [0u8; BLOCK_LEN]);
    let mut steps = Steps { magnitudes: [0; BLOCK_LEN], negatives: [0; BLOCK_LEN] };
    for block in out.as_chunks_mut::<BYTES>().0.chunks_mut(BLOCK_LEN) {
        let mut symbol = [0];
        class_decoder.decode(&class_table, &mut [coder.next_context()], &mut symbol);
        let [symbol] = symbol;
        let class = coder.class(symbol);
        let contexts = contexts.get_mut(..block.len()).unwrap_or_default();
        let symbols = symbols.get_mut(..block.len()).unwrap_or_default();
        match class {
            BlockClass::Unchanged => continue,
            BlockClass::Function => contexts.fill(FUNCTION_CONTEXT),
            BlockClass::Scale(scale) => {
                for (context, element) in contexts.iter_mut().zip(block.iter()) {
                    *context = model.context(scale, layout.exponent(load(element)));
                }
            }
        }
        step_decoder.decode(&step_table, contexts, symbols);
        if BYTES == 2 {
            steps.fill::<true>(symbols, &mut open);
        } else {
            steps.fill::<false>(symbols, &mut open);
        }
        if class == BlockClass::Function && !model.function.is_empty() {
            for (at, element) in block.iter().enumerate() {
                let place = (load(element) >> function_shift) as usize & function_mask;
                steps.add(at, model.function.get(place).copied().unwrap_or(0));
            }
        }
        let moves = steps.magnitudes.iter().zip(&steps.negatives).zip(symbols.iter());
        for (element, ((magnitude, negative), symbol)) in block.iter_mut().zip(moves) {
            let parent = load(element);
            let moved = layout.apply(parent, *magnitude, *negative);
            store(if *symbol == ZEROED { parent & layout.sign() } else { moved }, element);
        }
    }
    if !class_decoder.is_finished() || !step_decoder.is_finished() || !open.is_finished() {
        return Err("streams that do not end with the chunk".to_owned());
    }
    Ok(())
}
