//! Choosing a model for a chunk, and writing the chunk with it.

use std::cell::Cell;

use super::bits::BitWriter;
use super::elements::{Elements, Known};
use super::floats::FloatLayout;
use super::frequencies::{
    COARSE, CODED_MAX, Histogram, SYMBOLS_MAX, coded, normalise, write_freqs,
};
use super::function::Function;
use super::model::{
    BlockClass, CLASS_CONTEXTS, ClassCoder, FUNCTION_CONTEXT, Model, SCALE_JUMP_MAX, SIZE_CONTEXTS,
};
use super::open::{OpenWriter, has_open};
use super::pairs::Pairs;
use super::rans::Encoder;
use super::refine::{Costs, refine};
use super::{BLOCK_LEN, NARROW_LANES, WIDE_FROM};
use crate::codec::cpu::{Target, on_cpu};

/// Elements that a context should have, to pay for its frequencies.
const CONTEXT_ELEMENTS: usize = 2048;
/// Of many blocks, one element of so many is asked for the size that is predicted for it.
const SIZE_SAMPLE: usize = 16;
/// So many blocks are many.
const SAMPLED_FROM: usize = 1024;

/// Memory that a thread keeps from chunk to chunk.
#[derive(Default)]
pub(super) struct Scratch {
    known: Known,
    costs: Costs,
    symbols: Symbols,
    encoder: Encoder,
}

thread_local! {
    static SCRATCH: Cell<Option<Box<Scratch>>> = const { Cell::new(None) };
}

/// The class of every block.
#[inline(always)]
fn classify(elements: &Elements<'_>, function: Option<&(Function, Vec<bool>)>) -> Vec<BlockClass> {
    let mut pairs = Pairs::new();
    let mut last = None;
    let mut classes = Vec::with_capacity(elements.blocks().len());
    for (at, block) in elements.blocks().iter().enumerate() {
        let class = if block.moved == 0 {
            BlockClass::Unchanged
        } else if let Some((function, follows)) = function
            && follows.get(at) == Some(&true)
            && function.reaches(elements, at, &mut pairs)
        {
            BlockClass::Function
        } else {
            // Blocks whose elements were only zeroed are told apart by exponents alone.
            let before = last.unwrap_or(2 * elements.layout.bias);
            let scale = block.scale.unwrap_or(before);
            let scale = scale.clamp(before - SCALE_JUMP_MAX, before + SCALE_JUMP_MAX);
            last = Some(scale);
            BlockClass::Scale(scale)
        };
        classes.push(class);
    }
    classes
}

/// The first place at which more than `outliers` have been counted.
fn first_beyond<'c>(outliers: usize, mut counts: impl Iterator<Item = &'c usize>) -> usize {
    let mut seen = 0;
    let beyond = |count: &usize| {
        seen += count;
        seen > outliers
    };
    counts.position(beyond).unwrap_or(0)
}

/// Which predicted sizes share a context: what is subtracted, and by how much it is shortened.
#[inline(always)]
fn choose_contexts(elements: &Elements<'_>, classes: &[BlockClass]) -> (i32, u32) {
    const SIZES: usize = 2048;
    const MIDDLE: i32 = SIZES as i32 / 2;
    const PART: usize = BLOCK_LEN / SIZE_SAMPLE;
    let mut counts = [0usize; SIZES];
    let scaled = classes.iter().filter(|class| matches!(class, BlockClass::Scale(_))).count();
    let sampled = scaled >= SAMPLED_FROM;
    for (at, ((exponents, _), class)) in elements.coded().zip(classes).enumerate() {
        let BlockClass::Scale(scale) = class else { continue };
        let part = at * PART % BLOCK_LEN;
        let asked = if sampled { part..part + PART } else { 0..BLOCK_LEN };
        for exponent in exponents.get(asked).unwrap_or_default() {
            let size = scale - 2 * i32::from(*exponent) + MIDDLE;
            if let Some(count) = counts.get_mut(size.clamp(0, SIZES as i32 - 1) as usize) {
                *count += 1;
            }
        }
    }
    let total: usize = counts.iter().sum();
    if total == 0 {
        return (0, 0);
    }
    // A few outliers at either end share the outermost contexts.
    let outliers = total / 1000;
    let low = first_beyond(outliers, counts.iter());
    let high = SIZES - 1 - first_beyond(outliers, counts.iter().rev());
    let allowed = (scaled * BLOCK_LEN / CONTEXT_ELEMENTS).clamp(1, SIZE_CONTEXTS);
    let mut shift = 0;
    while (high.saturating_sub(low) >> shift) >= allowed {
        shift += 1;
    }
    (low as i32 - MIDDLE, shift)
}

/// What a chunk's elements become before they are coded.
#[derive(Default)]
struct Symbols {
    coded: Vec<u16>,
    /// How often each occurs, by context.
    counts: Vec<Histogram>,
    /// The bits that they leave open, if blocks follow a function that moves.
    open: OpenWriter,
    moves: bool,
    /// How often each occurs, in four parts: zeros between chunks.
    parts: Vec<[u32; 4]>,
}

impl Symbols {
    #[inline(always)]
    fn fill(
        &mut self,
        elements: &Elements<'_>,
        classes: &[BlockClass],
        function: Option<&Function>,
        model: &Model,
    ) {
        self.coded.clear();
        self.coded.reserve(elements.count());
        self.parts.resize(CODED_MAX, [0; 4]);
        self.open.clear();
        let mut pairs = Pairs::new();
        let (mut context_max, mut follows) = (0, false);
        let moves = function.is_some_and(|function| !function.is_zero());
        self.moves = moves;
        for (at, ((exponents, symbols), class)) in elements.coded().zip(classes).enumerate() {
            let mut own = *symbols;
            let mut contexts = [FUNCTION_CONTEXT; BLOCK_LEN];
            let len = BLOCK_LEN.min(elements.count() - at * BLOCK_LEN);
            match (class, function) {
                (BlockClass::Function, Some(function)) => {
                    follows = true;
                    if moves {
                        elements.pairs(at, &mut pairs);
                        function.take_off(&mut pairs);
                        pairs.symbols(&mut own);
                    }
                }
                (BlockClass::Scale(scale), _) => {
                    for (context, exponent) in contexts.iter_mut().zip(exponents) {
                        *context = model.context(*scale, i32::from(*exponent));
                    }
                    let least = exponents.iter().fold(u8::MAX, |least, own| least.min(*own));
                    context_max = context_max.max(model.context(*scale, i32::from(least)));
                    if moves && has_open(&own) {
                        elements.pairs(at, &mut pairs);
                    }
                }
                _ => continue,
            }
            let mut block = [0; BLOCK_LEN];
            for (to, (context, symbol)) in block.iter_mut().zip(contexts.iter().zip(&own)) {
                *to = coded(*context, *symbol);
            }
            let block = block.get(..len).unwrap_or_default();
            if let Some(counts) = self.parts.first_chunk_mut::<CODED_MAX>() {
                count(block, counts);
            }
            self.coded.extend_from_slice(block);
            if moves {
                self.open.put(elements.layout, &own, &pairs.magnitudes);
            }
        }
        self.open.finish();
        self.sum(context_max, follows);
    }

    /// Sums the parts up for contexts up to a largest one, and that of the function. Those behind
    /// the last that occurs have no counts.
    #[inline(always)]
    fn sum(&mut self, context_max: u8, follows: bool) {
        self.counts.clear();
        for (context, parts) in self.parts.as_chunks_mut::<SYMBOLS_MAX>().0.iter_mut().enumerate() {
            let mut sums: Histogram = [0; SYMBOLS_MAX];
            let is_function = context == usize::from(FUNCTION_CONTEXT) && follows;
            if is_function || context <= usize::from(context_max) {
                sums.iter_mut()
                    .zip(parts.iter())
                    .for_each(|(sum, parts)| *sum = parts.iter().sum());
                parts.fill([0; 4]);
            }
            self.counts.push(sums);
        }
        while self.counts.last().is_some_and(|counts| counts.iter().all(|count| *count == 0)) {
            self.counts.pop();
        }
    }
}

#[inline(always)]
fn count(block: &[u16], counts: &mut [[u32; 4]; CODED_MAX]) {
    let (fours, rest) = block.as_chunks::<4>();
    for four in fours {
        // One after the other the same symbol occurs often: counted in turn.
        for (part, coded) in four.iter().enumerate() {
            let places = counts.get_mut(usize::from(*coded) % CODED_MAX);
            if let Some(count) = places.and_then(|places| places.get_mut(part)) {
                *count += 1;
            }
        }
    }
    for coded in rest {
        if let Some([count, ..]) = counts.get_mut(usize::from(*coded) % CODED_MAX) {
            *count += 1;
        }
    }
}

/// Where fewer than one in so many short floats moved, blocks without scales are tried too.
const SPARSE: usize = 50;
/// Two estimates that differ by less than one in so many may be in the wrong order.
const NEAR: u64 = 64;
/// So may two that differ by fewer bits.
const NEAR_BITS: u64 = 512;

/// Appends the encoded `chunk` to `out`. `chunk` and `base` have the same length, a multiple of
/// the element's.
pub(in crate::codec) fn encode(layout: FloatLayout, chunk: &[u8], base: &[u8], out: &mut Vec<u8>) {
    run::<COARSE>(layout, chunk, base, out);
}

/// What [`encode`] did before there was a second version.
#[cfg(test)]
pub(in crate::codec) fn encode_first(
    layout: FloatLayout,
    chunk: &[u8],
    base: &[u8],
    out: &mut Vec<u8>,
) {
    run::<{ super::frequencies::FINE }>(layout, chunk, base, out);
}

fn run<const BITS: u32>(layout: FloatLayout, chunk: &[u8], base: &[u8], out: &mut Vec<u8>) {
    let mut scratch = SCRATCH.take().unwrap_or_default();
    on_cpu!(cpu => encode_any::<BITS, _>(cpu, layout, chunk, base, &mut scratch, out));
    SCRATCH.set(Some(scratch));
}

/// The numbers of each layout are constants in its copy of the code.
#[inline(always)]
fn encode_any<const BITS: u32, T: Target>(
    cpu: T,
    layout: FloatLayout,
    chunk: &[u8],
    base: &[u8],
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
) {
    match layout {
        FloatLayout::F16 => encode_as::<BITS, _>(cpu, FloatLayout::F16, chunk, base, scratch, out),
        FloatLayout::BF16 => {
            encode_as::<BITS, _>(cpu, FloatLayout::BF16, chunk, base, scratch, out)
        }
        _ => encode_as::<BITS, _>(cpu, FloatLayout::F32, chunk, base, scratch, out),
    }
}

#[inline(always)]
fn encode_as<const BITS: u32, T: Target>(
    cpu: T,
    layout: FloatLayout,
    chunk: &[u8],
    base: &[u8],
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
) {
    let Scratch { known, costs, symbols, encoder } = scratch;
    let elements = Elements::new(layout, chunk, base, known);
    let mut draft = Draft::<BITS>::new(&elements, &Plan::new(&elements, costs), symbols);
    let moved: usize = elements.blocks().iter().map(|block| block.moved).sum();
    if layout.bytes == 2 && moved * SPARSE < elements.count() {
        let (own, even) = (draft.bits(symbols), Draft::<BITS>::even_bits(&elements, symbols));
        let near = own.abs_diff(even) < own / NEAR + NEAR_BITS;
        let start = out.len();
        if near {
            draft.write(cpu, &elements, symbols, encoder, out);
        }
        if near || even < own {
            draft = Draft::<BITS>::new(&elements, &Plan::even(&elements), symbols);
        }
        if near {
            let mut other = Vec::new();
            draft.write(cpu, &elements, symbols, encoder, &mut other);
            if other.len() < out.len() - start {
                out.truncate(start);
                out.extend_from_slice(&other);
            }
            return;
        }
    }
    draft.write(cpu, &elements, symbols, encoder, out);
}

/// What is chosen for a chunk.
struct Plan {
    classes: Vec<BlockClass>,
    function: Option<Function>,
    context_low: i32,
    context_shift: u32,
}

impl Plan {
    #[inline(always)]
    fn new(elements: &Elements<'_>, costs: &mut Costs) -> Self {
        let found = Function::find(elements);
        let mut classes = classify(elements, found.as_ref());
        let (mut context_low, mut context_shift) = choose_contexts(elements, &classes);
        if elements.layout.bytes == 2 && refine(elements, &mut classes, context_low, costs) {
            (context_low, context_shift) = choose_contexts(elements, &classes);
        }
        let function = found.map(|(function, _)| function);
        Plan { classes, function, context_low, context_shift }
    }

    /// For changes that tell nothing of each other: all blocks under one context, by a function
    /// that is zero.
    fn even(elements: &Elements<'_>) -> Self {
        let classes = vec![BlockClass::Function; elements.blocks().len()];
        let function = Some(Function::zero(elements.layout));
        Plan { classes, function, context_low: 0, context_shift: 0 }
    }
}

/// A chunk before its symbols are coded.
struct Draft<const BITS: u32> {
    model: Vec<u8>,
    class_freqs: [Histogram; CLASS_CONTEXTS],
    class_counts: [Histogram; CLASS_CONTEXTS],
    class_symbols: Vec<u16>,
    step_freqs: Vec<Histogram>,
}

impl<const BITS: u32> Draft<BITS> {
    #[inline(always)]
    fn new(elements: &Elements<'_>, plan: &Plan, symbols: &mut Symbols) -> Self {
        let Plan { classes, function, context_low, context_shift } = plan;
        let first_scale = classes.iter().find_map(|class| match class {
            BlockClass::Scale(scale) => Some(*scale),
            _ => None,
        });
        let mut model = Model {
            first_scale: first_scale.unwrap_or(0),
            context_low: *context_low,
            context_shift: *context_shift,
            function: function.as_ref().map(|function| function.steps.clone()).unwrap_or_default(),
            class_freqs: [[0; SYMBOLS_MAX]; CLASS_CONTEXTS],
            step_freqs: Vec::new(),
        };
        let mut coder = ClassCoder::new(model.first_scale);
        let mut class_counts = [[0u32; SYMBOLS_MAX]; CLASS_CONTEXTS];
        let mut class_symbols = Vec::with_capacity(classes.len());
        for class in classes {
            let (context, symbol) = coder.symbol(*class);
            class_symbols.push(coded(context, symbol));
            let counts = class_counts.get_mut(usize::from(context));
            if let Some(count) = counts.and_then(|counts| counts.get_mut(usize::from(symbol))) {
                *count += 1;
            }
        }
        model.class_freqs = class_counts.map(|counts| normalise::<BITS>(&counts));
        symbols.fill(elements, classes, function.as_ref(), &model);
        model.step_freqs = symbols.counts.iter().map(normalise::<BITS>).collect();
        let mut bits = BitWriter::default();
        model.write(&mut bits);
        let Model { class_freqs, step_freqs, .. } = model;
        Draft { model: bits.finish(), class_freqs, class_counts, class_symbols, step_freqs }
    }

    /// Bits that the model, classes and steps take, about.
    fn bits(&self, symbols: &Symbols) -> u64 {
        let classes = self.class_counts.iter().zip(&self.class_freqs);
        let all = classes.chain(symbols.counts.iter().zip(&self.step_freqs));
        8 * self.model.len() as u64
            + all.map(|(counts, freqs)| coded_bits::<BITS>(counts, freqs)).sum::<u64>()
    }

    /// About the bits of the [even](Plan::even) plan, from the symbols of another.
    fn even_bits(elements: &Elements<'_>, symbols: &Symbols) -> u64 {
        let mut counts: Histogram = [0; SYMBOLS_MAX];
        for own in &symbols.counts {
            counts.iter_mut().zip(own).for_each(|(count, own)| *count += own);
        }
        // Blocks that did not change have no symbols there.
        if let Some(unmoved) = counts.first_mut() {
            *unmoved += (elements.count() - symbols.coded.len()) as u32;
        }
        let mut bits = BitWriter::default();
        let freqs = normalise::<BITS>(&counts);
        write_freqs(&freqs, &mut bits);
        8 * bits.finish().len() as u64 + EVEN_BITS + coded_bits::<BITS>(&counts, &freqs)
    }

    /// Appends the encoded chunk.
    #[inline(always)]
    fn write<T: Target>(
        &self,
        cpu: T,
        elements: &Elements<'_>,
        symbols: &Symbols,
        encoder: &mut Encoder,
        out: &mut Vec<u8>,
    ) {
        let mut class_stream = Vec::new();
        encoder.encode::<1, BITS>(&self.class_freqs, &self.class_symbols, &mut class_stream);
        let head = out.len();
        for part in [self.model.len(), class_stream.len(), 0] {
            out.extend_from_slice(&(part as u32).to_le_bytes());
        }
        out.extend_from_slice(&self.model);
        out.extend_from_slice(&class_stream);
        let start = out.len();
        if elements.count() >= WIDE_FROM {
            encoder.encode_wide::<BITS, _>(cpu, &self.step_freqs, &symbols.coded, out);
        } else {
            encoder.encode::<NARROW_LANES, BITS>(&self.step_freqs, &symbols.coded, out);
        }
        let len = ((out.len() - start) as u32).to_le_bytes();
        if let Some(field) = out.get_mut(head + 8..head + 12) {
            field.copy_from_slice(&len);
        }
        let open = if symbols.moves { symbols.open.bytes() } else { elements.open() };
        out.extend_from_slice(open);
    }
}

/// Bits of a model with one table and one class, but for the table's.
const EVEN_BITS: u64 = 150;

/// Bits that symbols of these counts take under these frequencies.
fn coded_bits<const BITS: u32>(counts: &Histogram, freqs: &Histogram) -> u64 {
    let occurring = counts.iter().zip(freqs).filter(|(count, _)| **count > 0);
    let bits = |(count, freq): (&u32, &u32)| {
        *count as f32 * (BITS as f32 - ((*freq).max(1) as f32).log2())
    };
    occurring.map(bits).sum::<f32>() as u64
}
