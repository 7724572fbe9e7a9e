//! A chunk from its parent and what was written of it.

use super::bits::BitReader;
use super::floats::FloatLayout;
use super::model::{BlockClass, ClassCoder, FUNCTION_CONTEXT, Model};
use super::rans::{DecodeTable, Decoder};
use super::symbols::{MEANINGS, NOTHING};
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
    match (out.len() / layout.bytes >= WIDE_FROM, layout) {
        (true, FloatLayout::F16) => run::<WIDE_LANES, 2>(FloatLayout::F16, &parts, out),
        (true, FloatLayout::BF16) => run::<WIDE_LANES, 2>(FloatLayout::BF16, &parts, out),
        (true, _) => run::<WIDE_LANES, 4>(FloatLayout::F32, &parts, out),
        (false, layout) if layout.bytes == 2 => run::<NARROW_LANES, 2>(layout, &parts, out),
        (false, layout) => run::<NARROW_LANES, 4>(layout, &parts, out),
    }
}

#[inline(always)]
fn load<const BYTES: usize>(bytes: &[u8; BYTES]) -> u32 {
    let mut word = [0; 4];
    word.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    u32::from_le_bytes(word)
}

#[inline(always)]
fn store<const BYTES: usize>(element: u32, bytes: &mut [u8; BYTES]) {
    bytes.iter_mut().zip(element.to_le_bytes()).for_each(|(to, from)| *to = from);
}

/// Decodes all blocks. Inlined for each layout, so that its numbers are constants.
#[inline(always)]
fn run<const LANES: usize, const BYTES: usize>(
    layout: FloatLayout,
    parts: &Parts<'_>,
    out: &mut [u8],
) -> Result<(), String> {
    let model = &parts.model;
    let no_table = || "no table".to_owned();
    let class_table = DecodeTable::new(&model.class_freqs).ok_or_else(no_table)?;
    let step_table = DecodeTable::new(&model.step_freqs).ok_or_else(no_table)?;
    let mut class_decoder = Decoder::<1>::new(parts.class_stream)?;
    let mut step_decoder = Decoder::<LANES>::new(parts.step_stream)?;
    let mut open = BitReader::new(parts.open);
    let mut coder = ClassCoder::new(model.first_scale);
    let function_shift = layout.mantissa_bits.saturating_sub(model.function.len().max(1).ilog2());
    let function_mask = model.function.len().saturating_sub(1);
    let (mut contexts, mut symbols) = ([0u8; BLOCK_LEN], [0u8; BLOCK_LEN]);
    for block in out.as_chunks_mut::<BYTES>().0.chunks_mut(BLOCK_LEN) {
        let mut symbol = [0];
        class_decoder.decode(&class_table, &[coder.next_context()], &mut symbol);
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
        let function = if class == BlockClass::Function { model.function.as_slice() } else { &[] };
        for (element, symbol) in block.iter_mut().zip(symbols.iter()) {
            let parent = load(element);
            if *symbol == ZEROED {
                store(parent & layout.sign(), element);
                continue;
            }
            let meaning = MEANINGS.get(usize::from(*symbol)).copied().unwrap_or(NOTHING);
            let magnitude = i64::from(meaning.magnitude | open.take(meaning.open));
            let mut step = (magnitude ^ meaning.sign) - meaning.sign;
            if !function.is_empty() {
                let place = (parent >> function_shift) as usize & function_mask;
                step += i64::from(function.get(place).copied().unwrap_or(0));
            }
            store(layout.apply(parent, step), element);
        }
    }
    if !class_decoder.is_finished() || !step_decoder.is_finished() || !open.is_finished() {
        return Err("streams that do not end with the chunk".to_owned());
    }
    Ok(())
}
