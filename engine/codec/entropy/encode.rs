//! Choosing a model for a chunk, and writing the chunk with it.

use super::stats::{self, Counts, FRACTION_BITS, Joint, TOP_BITS};
use super::{BRAIN, DOUBLE, HALF, Model, SINGLE, is_float};
use crate::codec::coded::BLOCK_LEN;
use crate::codec::coded::floats::{FIRST, FloatShape};
use crate::codec::coded::number::Number;
use crate::codec::coded::parts::{
    CLASS_JUMP_MAX, Parts, SymbolCounts, encode_classes, encode_symbols, put_wide, zigzag,
};
use crate::codec::coded::tables::{SYMBOL_BITS, entropy_bits};
use crate::codec::cpu::run_wide;
use crate::codec::float_delta::bits::BitWriter;
use crate::codec::float_delta::frequencies::SYMBOLS_MAX;

/// Appends the encoded `chunk` to `out`, which [`fits`](super::fits) the coder; nothing where an
/// estimate, which is a little too low, says that this takes more than `limit` bytes.
pub(in crate::codec) fn encode(number: Number, chunk: &[u8], limit: usize, out: &mut Vec<u8>) {
    run_wide(
        #[inline(always)]
        || match (number.bytes, number.mantissa_bits) {
            (1, _) => encode_as(number, chunk, limit, out),
            (2, Some(10)) => encode_as(HALF, chunk, limit, out),
            (2, _) => encode_as(BRAIN, chunk, limit, out),
            (4, _) => encode_as(SINGLE, chunk, limit, out),
            (_, _) => encode_as(DOUBLE, chunk, limit, out),
        },
    );
}

/// Inlined for each layout, so that its numbers are constants.
#[inline(always)]
fn encode_as(number: Number, chunk: &[u8], limit: usize, out: &mut Vec<u8>) {
    let elements = number.load(chunk);
    let found = stats::classes(number, &elements);
    let chosen = if is_float(number) {
        choose_for_floats(number, &elements, &found)
    } else {
        choose_for_bytes(&elements, &found)
    };
    if let Some(chosen) = chosen.filter(|chosen| chosen.bits < 8.0 * limit as f32) {
        write(number, &chosen, &elements, out);
    }
}

/// Zigzags of the differences between classes, and whether a block is not short.
fn class_symbols(classes: &[i32], short: &[bool]) -> Vec<u8> {
    let mut before = classes.first().copied().unwrap_or(0);
    let symbol = |(class, short): (&i32, &bool)| {
        let jump = class - before;
        debug_assert!(jump.abs() <= CLASS_JUMP_MAX, "a class of {jump} more");
        before = *class;
        (zigzag(jump) << 1 | u32::from(!short)) as u8
    };
    classes.iter().zip(short).map(symbol).collect()
}

/// Bits that telling classes takes.
fn class_bits(classes: &[i32], short: &[bool]) -> f32 {
    let mut counts = [0u32; SYMBOLS_MAX];
    for symbol in class_symbols(classes, short) {
        if let Some(count) = counts.get_mut(usize::from(symbol)) {
            *count += 1;
        }
    }
    let occurring = counts.iter().filter(|count| **count > 0);
    40.0 + occurring.clone().count() as f32 * SYMBOL_BITS + entropy_bits(occurring)
}

/// What a chunk is written with.
struct Chosen {
    bits: f32,
    model: Model,
    classes: Vec<i32>,
    /// Whether blocks are short.
    short: Vec<bool>,
}

impl Chosen {
    /// Keeps the better of two.
    fn or(self, other: Option<Chosen>) -> Chosen {
        match other {
            Some(other) if other.bits <= self.bits => other,
            _ => self,
        }
    }
}

/// Classes told with so many bits of fraction, and what is counted under them.
struct Fraction {
    bits: u32,
    classes: Vec<i32>,
    merged: Vec<Joint>,
    /// Bits that telling the classes takes.
    fixed: f32,
}

/// Bits that a shape takes.
type Priced = (f32, FloatShape);

#[inline(always)]
fn choose_for_floats(number: Number, elements: &[u64], found: &[i32]) -> Option<Chosen> {
    let mantissa_bits = number.mantissa_bits.unwrap_or(0);
    let zeros = stats::trailing(number, elements);
    let least = zeros.iter().copied().min().unwrap_or(0);
    let mean = stats::mean_class(found) >> FRACTION_BITS << FRACTION_BITS;
    let same = vec![mean; found.len()];
    let mut best: Option<Chosen> = None;
    for blocked in [false, true] {
        let trailing = if blocked { stats::best_trailing(&zeros) } else { least };
        let short: Vec<bool> = zeros.iter().map(|zeros| *zeros >= trailing).collect();
        let blocks = short.iter().filter(|short| **short).count();
        let saved = (blocks * BLOCK_LEN) as f32 * trailing as f32;
        let under: &[i32] = if blocked { found } else { &same };
        let counts = Counts::new(number, elements, under.iter().copied());
        let fraction = |bits: u32| {
            let classes: Vec<i32> =
                under.iter().map(|class| class >> (FRACTION_BITS - bits)).collect();
            let fixed = if blocked { class_bits(&classes, &short) } else { 0.0 };
            Fraction { bits, merged: counts.merged(bits), classes, fixed }
        };
        let mut fine = fraction(0);
        // Without fractions all counts are together.
        let (low, high) = fine.merged.first().and_then(stats::range).unwrap_or((0, 0));
        let price = |fraction: &Fraction, top: u32, signed: bool| {
            let shape = FloatShape { number, low, top, signed, trailing };
            // Where there are more exponents than symbols, the lowest go without.
            let room = shape.exponents() as i32;
            let shape = FloatShape { low: low.max(high + 1 - room), ..shape };
            (fraction.fixed + counts.bits(&fraction.merged, shape, high) - saved, shape)
        };
        // One choice after the other: they hardly depend on each other.
        let top = 1.min(mantissa_bits - trailing);
        let mut found = price(&fine, top, false);
        for bits in 1..=if blocked { FRACTION_BITS } else { 0 } {
            let other = fraction(bits);
            let tried = price(&other, top, false);
            if tried.0 < found.0 {
                (fine, found) = (other, tried);
            }
        }
        let less = |one: Priced, other: Priced| if other.0 < one.0 { other } else { one };
        found = less(found, price(&fine, top, true));
        let signed = found.1.signed;
        for top in 0..=TOP_BITS.min(mantissa_bits - trailing) {
            found = less(found, price(&fine, top, signed));
        }
        let (bits, shape) = found;
        let Fraction { bits: fraction_bits, classes, .. } = fine;
        let first_class = classes.first().copied().unwrap_or(0);
        let model = Model { fraction_bits, first_class, blocked, shape: Some(shape) };
        best = Some(Chosen { bits, model, classes, short }.or(best));
    }
    best
}

/// Contexts of bytes: classes from the least one up, those beyond the last in the last.
fn choose_for_bytes(elements: &[u64], found: &[i32]) -> Option<Chosen> {
    let short = vec![true; found.len()];
    let mut best: Option<Chosen> = None;
    let least = found.iter().copied().min().unwrap_or(0);
    let most = found.iter().copied().max().unwrap_or(0);
    for fraction_bits in [0, 2, 3] {
        let contexts = 1i32 << fraction_bits;
        let mut shift = 0;
        while (most - least) >> shift >= contexts {
            shift += 1;
        }
        let classes: Vec<i32> = found.iter().map(|class| (class - least) >> shift).collect();
        let mut counts = SymbolCounts::new(contexts as usize);
        for (block, class) in elements.chunks(BLOCK_LEN).zip(&classes) {
            block.iter().for_each(|element| counts.add(*class as u8, *element as u8));
        }
        let blocked = fraction_bits > 0;
        let mut bits = if blocked { class_bits(&classes, &short) } else { 0.0 };
        for counts in &counts.0 {
            let occurring = counts.iter().filter(|count| **count > 0);
            bits += occurring.clone().count() as f32 * SYMBOL_BITS + entropy_bits(occurring);
        }
        let first_class = classes.first().copied().unwrap_or(0);
        let model = Model { fraction_bits, first_class, blocked, shape: None };
        best = Some(Chosen { bits, model, classes, short: short.clone() }.or(best));
    }
    best
}

#[inline(always)]
fn write(number: Number, chosen: &Chosen, elements: &[u64], out: &mut Vec<u8>) {
    let Chosen { model, classes, short, .. } = chosen;
    let count = elements.len();
    let (mut contexts, mut symbols) = (Vec::with_capacity(count), Vec::with_capacity(count));
    let mut counts = SymbolCounts::new(model.contexts());
    let mut open = BitWriter::default();
    for (block, (class, short)) in elements.chunks(BLOCK_LEN).zip(classes.iter().zip(short)) {
        let shape = model.shape.map(|shape| FloatShape { number, ..shape.of_block(*short) });
        let context = model.context(*class);
        let from = model.from(*class);
        for element in block {
            let symbol = match shape {
                Some(shape) => {
                    let (symbol, bits, count) = shape.symbol(*element, from, 0);
                    put_wide(bits, count, &mut open);
                    symbol
                }
                None => *element as u8,
            };
            counts.add(context, symbol);
            symbols.push(symbol);
        }
        contexts.resize(symbols.len(), context);
    }
    let mut model_bits = BitWriter::default();
    model.write(&mut model_bits);
    let class_stream = if model.blocked {
        encode_classes(&class_symbols(classes, short), &mut model_bits)
    } else {
        Vec::new()
    };
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

const _: () = assert!(FIRST < SYMBOLS_MAX as u32);
