//! Choosing a model for a chunk, and writing the chunk with it.

use super::bits::BitWriter;
use super::elements::{Block, Elements};
use super::floats::FloatLayout;
use super::model::{
    BlockClass, CLASS_CONTEXTS, ClassCoder, FUNCTION_CONTEXT, Model, SCALE_JUMP_MAX, SIZE_CONTEXTS,
};
use super::rans::{Encoder, Histogram, SYMBOLS_MAX, normalise};
use super::refine::refine;
use super::symbols::{STEP_MAX, open_bits, symbol_of};
use super::{BLOCK_LEN, NARROW_LANES, WIDE_FROM, WIDE_LANES, ZEROED};

/// A step this near to the function's counts as following it.
const NEAR: u64 = 2;
/// Mantissa bits that select an entry of the function table.
const FUNCTION_BITS: u32 = 10;
/// Fewer elements are too few to see a function in.
const FUNCTION_FROM: usize = 1 << 13;
/// One block of so many is asked whether there is a function.
const FUNCTION_SAMPLE: usize = 4;
/// Elements that a context should have, to pay for its frequencies.
const CONTEXT_ELEMENTS: usize = 2048;

/// The table of steps by the highest mantissa bits of the parent.
struct Function {
    shift: u32,
    steps: Vec<i32>,
}

impl Function {
    /// The place of a parent's step.
    #[inline]
    fn place(&self, parent: u32) -> usize {
        (parent >> self.shift) as usize & (self.steps.len() - 1)
    }

    #[inline]
    fn step(&self, parent: u32) -> i64 {
        i64::from(self.steps.get(self.place(parent)).copied().unwrap_or(0))
    }

    /// For every place, the step that most of the elements there take, if most take one.
    #[inline(always)]
    fn majority<'e>(layout: FloatLayout, blocks: impl Iterator<Item = Block<'e>>) -> Function {
        let shift = layout.mantissa_bits - FUNCTION_BITS;
        let mut function = Function { shift, steps: vec![0; 1 << FUNCTION_BITS] };
        let mut votes = vec![0i32; 1 << FUNCTION_BITS];
        for block in blocks {
            for (parent, step) in block.parents.iter().zip(block.steps) {
                let place = function.place(*parent);
                let Ok(step) = i32::try_from(*step) else { continue };
                let (Some(vote), Some(known)) =
                    (votes.get_mut(place), function.steps.get_mut(place))
                else {
                    continue;
                };
                if *known == step {
                    *vote += 1;
                } else if *vote == 0 {
                    (*known, *vote) = (step, 1);
                } else {
                    *vote -= 1;
                }
            }
        }
        // Where nobody voted, nothing is said: equal to the one before costs least.
        let mut before = 0;
        for (step, vote) in function.steps.iter_mut().zip(votes) {
            if vote == 0 {
                *step = before;
            }
            before = *step;
        }
        function
    }

    /// Whether most of a block follows the table, and next to nothing in it became zero: which
    /// elements do is better told by their size.
    #[inline(always)]
    fn fits(&self, block: &Block<'_>) -> bool {
        let near =
            |(parent, step): (&u32, &i64)| (step - self.step(*parent)).unsigned_abs() <= NEAR;
        let count = block.parents.iter().zip(block.steps).filter(|pair| near(*pair)).count();
        2 * count > block.steps.len() && 16 * block.zeroed() < block.steps.len()
    }

    /// Whether symbols can tell how far each element of a block is from the table.
    #[inline(always)]
    fn reaches(&self, block: &Block<'_>) -> bool {
        let rest = |(parent, step): (&u32, &i64)| step - self.step(*parent);
        block.parents.iter().zip(block.steps).all(|pair| rest(pair).unsigned_abs() <= STEP_MAX)
    }
}

/// The class of every block, and the function they use.
#[inline(always)]
fn classify(elements: &Elements) -> (Vec<BlockClass>, Option<Function>) {
    let layout = elements.layout;
    let wanted = elements.steps.len() >= FUNCTION_FROM && layout.mantissa_bits > FUNCTION_BITS;
    // A part of the blocks shows whether there is a function, those that follow it say which.
    let mut function =
        wanted.then(|| Function::majority(layout, elements.blocks().step_by(FUNCTION_SAMPLE)));
    let mut follows = vec![false; elements.steps.len().div_ceil(BLOCK_LEN)];
    if let Some(known) = &mut function {
        for (follows, block) in follows.iter_mut().zip(elements.blocks()) {
            *follows = known.fits(&block);
        }
        let following = follows.iter().filter(|follows| **follows).count();
        let inside = elements.blocks().zip(&follows).filter(|(_, follows)| **follows);
        *known = Function::majority(layout, inside.map(|(block, _)| block));
        let changes = known.steps.windows(2).filter(|pair| pair.first() != pair.last()).count();
        // A change of the table costs about 20 bits, a block saves about 8 bits an element.
        if following * BLOCK_LEN * 8 < changes * 20 + 1000 {
            function = None;
        }
    }
    let mut last = None;
    let mut classes = Vec::with_capacity(elements.steps.len().div_ceil(BLOCK_LEN));
    for (at, block) in elements.blocks().enumerate() {
        let class = if block.is_unchanged() {
            BlockClass::Unchanged
        } else if follows.get(at) == Some(&true)
            && function.as_ref().is_some_and(|function| function.reaches(&block))
        {
            BlockClass::Function
        } else {
            // Blocks whose elements were only zeroed are told apart by exponents alone.
            let before = last.unwrap_or(2 * layout.bias);
            let scale = block.scale().unwrap_or(before);
            let scale = scale.clamp(before - SCALE_JUMP_MAX, before + SCALE_JUMP_MAX);
            last = Some(scale);
            BlockClass::Scale(scale)
        };
        classes.push(class);
    }
    (classes, function)
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
fn choose_contexts(elements: &Elements, classes: &[BlockClass]) -> (i32, u32) {
    const SIZES: usize = 2048;
    const MIDDLE: i32 = SIZES as i32 / 2;
    let mut counts = [0usize; SIZES];
    for (block, class) in elements.blocks().zip(classes) {
        let BlockClass::Scale(scale) = class else { continue };
        for exponent in block.exponents {
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
    let allowed = (total / CONTEXT_ELEMENTS).clamp(1, SIZE_CONTEXTS);
    let mut shift = 0;
    while (high.saturating_sub(low) >> shift) >= allowed {
        shift += 1;
    }
    (low as i32 - MIDDLE, shift)
}

/// What a chunk's elements become before they are coded.
struct Symbols {
    contexts: Vec<u8>,
    steps: Vec<u8>,
    counts: Vec<Histogram>,
    open: BitWriter,
}

impl Symbols {
    #[inline(always)]
    fn new(
        elements: &Elements,
        classes: &[BlockClass],
        function: Option<&Function>,
        model: &Model,
    ) -> Self {
        let count = elements.steps.len();
        let (mut contexts, mut steps) = (Vec::with_capacity(count), Vec::with_capacity(count));
        let mut counts = vec![[0; SYMBOLS_MAX]; SIZE_CONTEXTS + 1];
        let mut open = BitWriter::default();
        let (mut block_contexts, mut block_symbols) = ([0; BLOCK_LEN], [0; BLOCK_LEN]);
        let mut rests = [0; BLOCK_LEN];
        for (block, class) in elements.blocks().zip(classes) {
            let block_contexts = block_contexts.get_mut(..block.steps.len()).unwrap_or_default();
            let block_symbols = block_symbols.get_mut(..block.steps.len()).unwrap_or_default();
            let rests = rests.get_mut(..block.steps.len()).unwrap_or_default();
            match (class, function) {
                (BlockClass::Function, Some(function)) => {
                    block_contexts.fill(FUNCTION_CONTEXT);
                    let pairs = block.parents.iter().zip(block.steps).zip(block.symbols);
                    let targets = rests.iter_mut().zip(block_symbols.iter_mut());
                    for ((rest, target), ((parent, step), symbol)) in targets.zip(pairs) {
                        *rest = step - function.step(*parent);
                        *target = if *symbol == ZEROED { ZEROED } else { symbol_of(*rest) };
                    }
                }
                (BlockClass::Scale(scale), _) => {
                    for (context, exponent) in block_contexts.iter_mut().zip(block.exponents) {
                        *context = model.context(*scale, i32::from(*exponent));
                    }
                    block_symbols.copy_from_slice(block.symbols);
                    rests.copy_from_slice(block.steps);
                }
                _ => continue,
            }
            for (context, symbol) in block_contexts.iter().zip(block_symbols.iter()) {
                let counts: Option<&mut Histogram> = counts.get_mut(usize::from(*context));
                if let Some(count) = counts.and_then(|c| c.get_mut(usize::from(*symbol))) {
                    *count += 1;
                }
            }
            for (rest, symbol) in rests.iter().zip(block_symbols.iter()) {
                let (bits, count) = open_bits(*rest, *symbol);
                open.put(bits, count);
            }
            contexts.extend_from_slice(block_contexts);
            steps.extend_from_slice(block_symbols);
        }
        Symbols { contexts, steps, counts, open }
    }
}

/// Appends the encoded `chunk` to `out`. `chunk` and `base` have the same length, a multiple of
/// the element's.
pub(in crate::codec) fn encode(layout: FloatLayout, chunk: &[u8], base: &[u8], out: &mut Vec<u8>) {
    #[cfg(target_arch = "x86_64")]
    if super::block_avx512::is_available() {
        // SAFETY: the processor has the features that the function is compiled for.
        return unsafe { encode_avx512(layout, chunk, base, out) };
    }
    encode_any(layout, chunk, base, out);
}

/// [`encode_any`], compiled for wider registers.
///
/// # Safety
///
/// The processor has the features.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512cd,avx512dq,popcnt,lzcnt,bmi1,bmi2")]
unsafe fn encode_avx512(layout: FloatLayout, chunk: &[u8], base: &[u8], out: &mut Vec<u8>) {
    encode_any(layout, chunk, base, out);
}

/// The numbers of each layout are constants in its copy of the code.
#[inline(always)]
fn encode_any(layout: FloatLayout, chunk: &[u8], base: &[u8], out: &mut Vec<u8>) {
    match layout {
        FloatLayout::F16 => encode_as(FloatLayout::F16, chunk, base, out),
        FloatLayout::BF16 => encode_as(FloatLayout::BF16, chunk, base, out),
        _ => encode_as(FloatLayout::F32, chunk, base, out),
    }
}

#[inline(always)]
fn encode_as(layout: FloatLayout, chunk: &[u8], base: &[u8], out: &mut Vec<u8>) {
    let elements = Elements::new(layout, chunk, base);
    let (mut classes, function) = classify(&elements);
    let (mut context_low, mut context_shift) = choose_contexts(&elements, &classes);
    if layout.bytes == 2 {
        refine(&elements, &mut classes, context_low);
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
    let (class_contexts, class_symbols): (Vec<u8>, Vec<u8>) =
        classes.iter().map(|class| coder.symbol(*class)).unzip();
    let mut class_counts = [[0u32; SYMBOLS_MAX]; CLASS_CONTEXTS];
    for (context, symbol) in class_contexts.iter().zip(&class_symbols) {
        let counts = class_counts.get_mut(usize::from(*context));
        if let Some(count) = counts.and_then(|counts| counts.get_mut(usize::from(*symbol))) {
            *count += 1;
        }
    }
    model.class_freqs = class_counts.map(|counts| normalise(&counts));
    let Symbols { contexts, steps, mut counts, open } =
        Symbols::new(&elements, &classes, function.as_ref(), &model);
    while counts.last().is_some_and(|counts| counts.iter().all(|count| *count == 0)) {
        counts.pop();
    }
    model.step_freqs = counts.iter().map(normalise).collect();

    let mut model_bits = BitWriter::default();
    model.write(&mut model_bits);
    let model_bytes = model_bits.finish();
    let class_stream =
        Encoder::new(&model.class_freqs).encode::<1>(&class_contexts, &class_symbols);
    let encoder = Encoder::new(&model.step_freqs);
    let step_stream = if elements.steps.len() >= WIDE_FROM {
        encoder.encode::<WIDE_LANES>(&contexts, &steps)
    } else {
        encoder.encode::<NARROW_LANES>(&contexts, &steps)
    };
    for part in [&model_bytes, &class_stream, &step_stream] {
        out.extend_from_slice(&(part.len() as u32).to_le_bytes());
    }
    out.extend_from_slice(&model_bytes);
    out.extend_from_slice(&class_stream);
    out.extend_from_slice(&step_stream);
    out.extend_from_slice(&open.finish());
}
