//! Choosing a model for a chunk, and writing the chunk with it.

use std::cell::Cell;

use super::bits::BitWriter;
use super::elements::{Elements, Known, Pairs};
#[cfg(target_arch = "x86_64")]
use super::encode_avx512::WideEncoder;
use super::floats::FloatLayout;
use super::frequencies::{CODED_MAX, Histogram, SYMBOLS_MAX, coded, normalise};
use super::function::Function;
use super::model::{
    BlockClass, CLASS_CONTEXTS, ClassCoder, FUNCTION_CONTEXT, Model, SCALE_JUMP_MAX, SIZE_CONTEXTS,
};
use super::rans::Encoder;
use super::refine::{Costs, refine};
use super::symbols::{FIRST_CLASS, open_bits, symbol_of};
use super::{BLOCK_LEN, NARROW_LANES, WIDE_FROM, WIDE_LANES, ZEROED};
use crate::codec::cpu::{Target, on_cpu};

/// Elements that a context should have, to pay for its frequencies.
const CONTEXT_ELEMENTS: usize = 2048;
/// Of many blocks, one element of so many is asked for the size that is predicted for it.
const SIZE_SAMPLE: usize = 8;
/// So many blocks are many.
const SAMPLED_FROM: usize = 1024;

/// Memory that a thread keeps from chunk to chunk.
#[derive(Default)]
pub(super) struct Scratch {
    known: Known,
    costs: Costs,
    symbols: Symbols,
    #[cfg(target_arch = "x86_64")]
    wide: WideEncoder,
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
    /// How often each occurs, in four parts.
    counts: Vec<[u32; 4]>,
    open: Vec<u8>,
}

impl Symbols {
    /// Fills in all but the open bits, which are returned.
    #[inline(always)]
    fn fill(
        &mut self,
        elements: &Elements<'_>,
        classes: &[BlockClass],
        function: Option<&Function>,
        model: &Model,
    ) -> BitWriter {
        self.coded.clear();
        self.coded.reserve(elements.count());
        self.counts.clear();
        self.counts.resize(CODED_MAX, [0; 4]);
        let mut open = BitWriter::reusing(std::mem::take(&mut self.open));
        let mut pairs = Pairs::new();
        for (at, ((exponents, symbols), class)) in elements.coded().zip(classes).enumerate() {
            let mut own = *symbols;
            let mut contexts = [FUNCTION_CONTEXT; BLOCK_LEN];
            let len = BLOCK_LEN.min(elements.count() - at * BLOCK_LEN);
            match (class, function) {
                (BlockClass::Function, Some(function)) => {
                    elements.pairs(at, &mut pairs);
                    function.take_off(&mut pairs);
                    let rests = pairs.magnitudes.iter().zip(&pairs.negatives);
                    for (symbol, (magnitude, negative)) in own.iter_mut().zip(rests) {
                        let moved = symbol_of(*magnitude, *negative);
                        *symbol = if *symbol == ZEROED { ZEROED } else { moved };
                    }
                }
                (BlockClass::Scale(scale), _) => {
                    for (context, exponent) in contexts.iter_mut().zip(exponents) {
                        *context = model.context(*scale, i32::from(*exponent));
                    }
                    if has_open(&own) {
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
            if let Some(counts) = self.counts.first_chunk_mut::<CODED_MAX>() {
                count(block, counts);
            }
            self.coded.extend_from_slice(block);
            if has_open(&own) {
                put_open(elements.layout, &own, &pairs, &mut open);
            }
        }
        open
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

/// Whether a symbol of a block leaves bits open.
#[inline(always)]
fn has_open(symbols: &[u8; BLOCK_LEN]) -> bool {
    let open = |symbol: &u8| u8::from(*symbol >= FIRST_CLASS as u8 && *symbol != ZEROED);
    symbols.iter().fold(0, |any, symbol| any | open(symbol)) != 0
}

/// Two numbers of so many bits each, as one.
#[inline(always)]
fn join<const N: usize, const HALF: usize>(
    values: &[u64; N],
    lens: &[u32; N],
) -> ([u64; HALF], [u32; HALF]) {
    let (mut joined, mut joined_lens) = ([0; HALF], [0; HALF]);
    let pairs = values.as_chunks::<2>().0.iter().zip(lens.as_chunks::<2>().0);
    for ((to, to_len), ([low, high], [low_len, high_len])) in
        joined.iter_mut().zip(&mut joined_lens).zip(pairs)
    {
        *to = low | high << low_len;
        *to_len = low_len + high_len;
    }
    (joined, joined_lens)
}

/// Appends the open bits of a block.
#[inline(always)]
fn put_open(layout: FloatLayout, symbols: &[u8; BLOCK_LEN], pairs: &Pairs, open: &mut BitWriter) {
    let (mut values, mut lens) = ([0u64; BLOCK_LEN], [0u32; BLOCK_LEN]);
    let to = values.iter_mut().zip(&mut lens);
    for ((value, len), (magnitude, symbol)) in to.zip(pairs.magnitudes.iter().zip(symbols)) {
        let (bits, count) = open_bits(*magnitude);
        (*value, *len) = if *symbol == ZEROED { (0, 0) } else { (u64::from(bits), count) };
    }
    // At most 29 bits each, so two together; of a short float at most 13, so four.
    let (values, lens) = join::<BLOCK_LEN, { BLOCK_LEN / 2 }>(&values, &lens);
    if layout.bytes == 2 {
        let (values, lens) = join::<{ BLOCK_LEN / 2 }, { BLOCK_LEN / 4 }>(&values, &lens);
        open.put_all(&values, &lens);
    } else {
        open.put_all(&values, &lens);
    }
}

/// Where fewer than one in so many short floats moved, blocks without scales are tried too.
const SPARSE: usize = 50;

/// Appends the encoded `chunk` to `out`. `chunk` and `base` have the same length, a multiple of
/// the element's.
pub(in crate::codec) fn encode(layout: FloatLayout, chunk: &[u8], base: &[u8], out: &mut Vec<u8>) {
    let mut scratch = SCRATCH.take().unwrap_or_default();
    let start = out.len();
    if run(layout, false, chunk, base, &mut scratch, out) {
        let mut other = Vec::new();
        run(layout, true, chunk, base, &mut scratch, &mut other);
        if other.len() < out.len() - start {
            out.truncate(start);
            out.extend_from_slice(&other);
        }
    }
    SCRATCH.set(Some(scratch));
}

fn run(
    layout: FloatLayout,
    even: bool,
    chunk: &[u8],
    base: &[u8],
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
) -> bool {
    on_cpu!(cpu => encode_any(cpu, layout, even, chunk, base, scratch, out))
}

/// The numbers of each layout are constants in its copy of the code.
#[inline(always)]
fn encode_any<T: Target>(
    cpu: T,
    layout: FloatLayout,
    even: bool,
    chunk: &[u8],
    base: &[u8],
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
) -> bool {
    match layout {
        FloatLayout::F16 => encode_as(cpu, FloatLayout::F16, even, chunk, base, scratch, out),
        FloatLayout::BF16 => encode_as(cpu, FloatLayout::BF16, even, chunk, base, scratch, out),
        _ => encode_as(cpu, FloatLayout::F32, even, chunk, base, scratch, out),
    }
}

/// `even` is for changes that tell nothing of each other: all blocks under one context, by a
/// function that is zero. Says whether that is worth trying.
#[inline(always)]
fn encode_as<T: Target>(
    cpu: T,
    layout: FloatLayout,
    even: bool,
    chunk: &[u8],
    base: &[u8],
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
) -> bool {
    let elements = Elements::new(layout, chunk, base, &mut scratch.known);
    let moved: usize = elements.blocks().iter().map(|block| block.moved).sum();
    let sparse = layout.bytes == 2 && moved * SPARSE < elements.count();
    let found = if even { None } else { Function::find(&elements) };
    let (mut classes, function) = if even {
        (vec![BlockClass::Function; elements.blocks().len()], Some(Function::zero(layout)))
    } else {
        (classify(&elements, found.as_ref()), found.map(|(function, _)| function))
    };
    let (mut context_low, mut context_shift) = choose_contexts(&elements, &classes);
    if layout.bytes == 2
        && !even
        && refine(&elements, &mut classes, context_low, &mut scratch.costs)
    {
        (context_low, context_shift) = choose_contexts(&elements, &classes);
    }
    let first_scale = classes.iter().find_map(|class| match class {
        BlockClass::Scale(scale) => Some(*scale),
        _ => None,
    });
    let mut model = Model {
        first_scale: first_scale.unwrap_or(0),
        context_low,
        context_shift,
        function: function.as_ref().map(|function| function.steps.clone()).unwrap_or_default(),
        class_freqs: [[0; SYMBOLS_MAX]; CLASS_CONTEXTS],
        step_freqs: Vec::new(),
    };
    let mut coder = ClassCoder::new(model.first_scale);
    let mut class_counts = [[0u32; SYMBOLS_MAX]; CLASS_CONTEXTS];
    let mut class_symbols = Vec::with_capacity(classes.len());
    for class in &classes {
        let (context, symbol) = coder.symbol(*class);
        class_symbols.push(coded(context, symbol));
        let counts = class_counts.get_mut(usize::from(context));
        if let Some(count) = counts.and_then(|counts| counts.get_mut(usize::from(symbol))) {
            *count += 1;
        }
    }
    model.class_freqs = class_counts.map(|counts| normalise(&counts));
    let symbols = &mut scratch.symbols;
    let open = symbols.fill(&elements, &classes, function.as_ref(), &model);
    for counts in symbols.counts.as_chunks::<SYMBOLS_MAX>().0 {
        let mut sums: Histogram = [0; SYMBOLS_MAX];
        sums.iter_mut().zip(counts).for_each(|(sum, parts)| *sum = parts.iter().sum());
        model.step_freqs.push(normalise(&sums));
    }
    while model.step_freqs.last().is_some_and(|freqs| freqs.iter().all(|freq| *freq == 0)) {
        model.step_freqs.pop();
    }

    let mut model_bits = BitWriter::default();
    model.write(&mut model_bits);
    let model_bytes = model_bits.finish();
    let class_stream = Encoder::new(&model.class_freqs).encode::<1>(&class_symbols);
    let head = out.len();
    for part in [model_bytes.len(), class_stream.len(), 0] {
        out.extend_from_slice(&(part as u32).to_le_bytes());
    }
    out.extend_from_slice(&model_bytes);
    out.extend_from_slice(&class_stream);
    let start = out.len();
    match (elements.count() >= WIDE_FROM, cpu.avx512()) {
        #[cfg(target_arch = "x86_64")]
        (true, Some(cpu)) => scratch.wide.encode(cpu, &model.step_freqs, &symbols.coded, out),
        (wide, _) => {
            let encoder = Encoder::new(&model.step_freqs);
            out.extend_from_slice(&if wide {
                encoder.encode::<WIDE_LANES>(&symbols.coded)
            } else {
                encoder.encode::<NARROW_LANES>(&symbols.coded)
            });
        }
    }
    let len = ((out.len() - start) as u32).to_le_bytes();
    if let Some(field) = out.get_mut(head + 8..head + 12) {
        field.copy_from_slice(&len);
    }
    symbols.open = open.finish();
    out.extend_from_slice(&symbols.open);
    sparse
}
