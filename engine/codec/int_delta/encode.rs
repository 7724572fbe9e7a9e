//! Choosing contexts for a chunk, and writing the chunk with them.

use super::{FIRST_OPEN, INTEGER_SIZES, Model, ZEROED, step};
use crate::codec::coded::BLOCK_LEN;
use crate::codec::coded::number::Number;
use crate::codec::coded::parts::{
    Parts, SymbolCounts, encode_classes, encode_symbols, put_wide, zigzag,
};
use crate::codec::float_delta::bits::BitWriter;
use crate::codec::float_delta::frequencies::CONTEXTS_MAX;

/// The largest difference of scales that a symbol can tell.
const SCALE_JUMP_MAX: i32 = 126;
/// Elements that a context should have, to pay for its table.
const CONTEXT_ELEMENTS: usize = 512;

/// Appends the encoded `chunk` to `out`. `chunk` and `base` have the same length, which
/// [`fits`](super::fits) the coder.
pub(in crate::codec) fn encode(number: Number, chunk: &[u8], base: &[u8], out: &mut Vec<u8>) {
    let (children, bases) = (number.load(chunk), number.load(base));
    let scales = scales(number, &children, &bases);
    let first_scale = scales.iter().flatten().copied().next().unwrap_or(0);
    let (context_low, context_shift) = choose_contexts(number, &bases, &scales);
    let mut model = Model { first_scale, context_low, context_shift, contexts: CONTEXTS_MAX };

    let count = children.len();
    let (mut contexts, mut symbols) = (Vec::with_capacity(count), Vec::with_capacity(count));
    let mut counts = SymbolCounts::new(CONTEXTS_MAX);
    let mut open = BitWriter::default();
    let mut class_symbols = Vec::with_capacity(scales.len());
    let mut before = first_scale;
    let blocks = children.chunks(BLOCK_LEN).zip(bases.chunks(BLOCK_LEN));
    for ((children, bases), scale) in blocks.zip(&scales) {
        let Some(scale) = *scale else {
            class_symbols.push(0);
            continue;
        };
        class_symbols.push(1 + zigzag(scale - before) as u8);
        before = scale;
        for (child, base) in children.iter().zip(bases) {
            let context = model.context(number, scale, *base);
            let symbol = symbol(number, *base, *child, &mut open);
            counts.add(context, symbol);
            contexts.push(context);
            symbols.push(symbol);
        }
    }
    while counts.0.last().is_some_and(|counts| counts.iter().all(|count| *count == 0)) {
        counts.0.pop();
    }
    model.contexts = counts.0.len();
    let mut model_bits = BitWriter::default();
    model.write(&mut model_bits);
    let class_stream = encode_classes(&class_symbols, &mut model_bits);
    let freqs = counts.write(&mut model_bits);
    let symbol_stream = encode_symbols(count, &freqs, &contexts, &symbols);
    let parts = Parts {
        model: &model_bits.finish(),
        classes: &class_stream,
        symbols: &symbol_stream,
        open: &open.finish(),
    };
    parts.write(out);
}

/// The symbol of a number; what it leaves open is appended to `open`.
#[inline(always)]
fn symbol(number: Number, base: u64, child: u64, open: &mut BitWriter) -> u8 {
    let step = step(number, base, child);
    if number.bytes == 1 {
        return zigzag(step as i32) as u8;
    }
    let zero = if number.mantissa_bits.is_some() { base & number.sign() } else { 0 };
    if child == zero && step != 0 {
        return ZEROED;
    }
    let (magnitude, negative) = (step.unsigned_abs(), u32::from(step < 0));
    if magnitude < 4 {
        return (2 * magnitude as u32 + negative).saturating_sub(1) as u8;
    }
    let count = magnitude.ilog2() - 1;
    let class = 2 * (count - 1) + (magnitude >> count & 1) as u32;
    put_wide(magnitude & ((1 << count) - 1), count, open);
    (FIRST_OPEN + 2 * class + negative) as u8
}

/// The scale of each block: twice the binary logarithm of how far its elements moved, in the
/// float's exponents; `None` for a block that did not change.
fn scales(number: Number, children: &[u64], bases: &[u64]) -> Vec<Option<i32>> {
    let mut before = None;
    let scale = |(children, bases): (&[u64], &[u64])| {
        if children == bases {
            return None;
        }
        let far = |(child, base): (&u64, &u64)| match number.mantissa_bits {
            Some(_) => {
                let (from, to) = (number.size(*base), number.size(*child));
                let crossed = (base ^ child) & number.sign() != 0;
                if crossed { from + to } else { (from - to).abs() }
            }
            None => step(number, *base, *child).unsigned_abs() as f64,
        };
        let pairs = children.iter().zip(bases).map(far);
        let sum: f64 = pairs.filter(|far| *far < 1e300).sum();
        let log = 2.0 * (sum / children.len() as f64).log2();
        let found = if log.is_finite() {
            log.round() as i32 + 2 * number.bias()
        } else {
            before.unwrap_or(0)
        };
        let near = before.map_or(found, |before: i32| {
            found.clamp(before - SCALE_JUMP_MAX, before + SCALE_JUMP_MAX)
        });
        before = Some(near);
        Some(near)
    };
    children.chunks(BLOCK_LEN).zip(bases.chunks(BLOCK_LEN)).map(scale).collect()
}

/// Which predicted sizes share a context: what is subtracted, and by how much it is shortened.
fn choose_contexts(number: Number, bases: &[u64], scales: &[Option<i32>]) -> (i32, u32) {
    let mut sizes: Vec<i32> = Vec::new();
    for (bases, scale) in bases.chunks(BLOCK_LEN).zip(scales) {
        let Some(scale) = *scale else { continue };
        if number.mantissa_bits.is_some() {
            // A part of the elements shows the sizes that there are.
            let size = |base: &u64| scale - 2 * number.exponent(*base).max(1);
            sizes.extend(bases.iter().step_by(4).map(size));
        } else {
            sizes.push(scale);
        }
    }
    sizes.sort_unstable();
    // A few outliers at either end share the outermost contexts.
    let outliers = sizes.len() / 500;
    let (Some(low), Some(high)) =
        (sizes.get(outliers), sizes.get(sizes.len().saturating_sub(outliers + 1)))
    else {
        return (0, 0);
    };
    let room = match number.mantissa_bits {
        Some(_) => CONTEXTS_MAX,
        None => CONTEXTS_MAX / INTEGER_SIZES as usize,
    };
    let allowed = (bases.len() / CONTEXT_ELEMENTS).clamp(1, room) as i32;
    let mut shift = 0;
    while (high - low) >> shift >= allowed {
        shift += 1;
    }
    (*low, shift)
}
