//! A chunk from its parent and what was written of it.

use std::cell::Cell;

use super::bits::BitReader;
use super::floats::FloatLayout;
use super::frequencies::{COARSE, FINE};
use super::model::{BlockClass, ClassCoder, Model};
use super::rans::{DecodeTable, Decoder};
use super::streams::Streams;
use super::{BLOCK_LEN, HEAD_LEN, NARROW_LANES, Version, WIDE_FROM, WIDE_LANES};
use crate::codec::cpu::{Portable, Target, on_cpu};

/// The parts of an encoded chunk.
struct Parts<'a> {
    model: Model,
    class_stream: &'a [u8],
    step_stream: &'a [u8],
    open: &'a [u8],
}

impl<'a> Parts<'a> {
    fn read<const BITS: u32>(stored: &'a [u8]) -> Result<Self, String> {
        let cut = || format!("{} bytes, shorter than its parts", stored.len());
        let (head, mut rest) = stored.split_at_checked(HEAD_LEN).ok_or_else(cut)?;
        let mut parts: [&[u8]; 3] = [&[]; 3];
        for (part, len) in parts.iter_mut().zip(head.as_chunks::<4>().0) {
            let len = u32::from_le_bytes(*len) as usize;
            (*part, rest) = rest.split_at_checked(len).ok_or_else(cut)?;
        }
        let [model, class_stream, step_stream] = parts;
        let mut input = BitReader::new(model);
        let model = Model::read::<BITS>(&mut input)?;
        if !input.is_finished() {
            return Err("a model of another length".to_owned());
        }
        Ok(Parts { model, class_stream, step_stream, open: rest })
    }
}

/// Turns the parent's bytes in `out` into the child's.
pub(in crate::codec) fn decode(
    version: Version,
    layout: FloatLayout,
    stored: &[u8],
    out: &mut [u8],
) -> Result<(), String> {
    match version {
        Version::First => decode_as::<FINE>(layout, stored, out),
        Version::Second => decode_as::<COARSE>(layout, stored, out),
    }
}

fn decode_as<const BITS: u32>(
    layout: FloatLayout,
    stored: &[u8],
    out: &mut [u8],
) -> Result<(), String> {
    with_tables::<BITS>(
        layout,
        stored,
        out.len(),
        |parts, memory| on_cpu!(cpu => decode_any::<BITS, _, _>(cpu, layout, parts, memory, InPlace(out))),
    )
}

/// Whether `stored`, as it is written now, and the parent's bytes in `base` give `chunk`: [`decode`]
/// without a copy.
pub(in crate::codec) fn gives(
    layout: FloatLayout,
    stored: &[u8],
    base: &[u8],
    chunk: &[u8],
) -> bool {
    let mut right = base.len() == chunk.len();
    let outcome = with_tables::<COARSE>(layout, stored, base.len(), |parts, memory| {
        let compared = Compared { base, chunk, right: &mut right };
        on_cpu!(cpu => decode_any::<COARSE, _, _>(cpu, layout, parts, memory, compared))
    });
    outcome.is_ok() && right
}

/// Does something with the parts of an encoded chunk of so many bytes.
fn with_tables<const BITS: u32>(
    layout: FloatLayout,
    stored: &[u8],
    len: usize,
    work: impl FnOnce(&Parts<'_>, &mut Memory) -> Result<(), String>,
) -> Result<(), String> {
    if !len.is_multiple_of(layout.bytes) {
        return Err(format!("{len} bytes are not whole elements"));
    }
    let mut parts = Parts::read::<BITS>(stored)?;
    let function_bits = parts.model.function.len().checked_ilog2().unwrap_or(0);
    if function_bits > layout.mantissa_bits {
        return Err(format!("a function of {function_bits} bits"));
    }
    // One that moves nothing need not be asked.
    if parts.model.function.iter().all(|step| *step == 0) {
        parts.model.function.clear();
    }
    // Taken, so that what follows is in no closure of the thread's: that would not be compiled for
    // wide registers.
    let mut memory = MEMORY.take();
    let done = work(&parts, &mut memory);
    MEMORY.set(memory);
    done
}

/// Where a chunk's blocks come from and go to.
trait Blocks {
    /// Bytes of all blocks.
    fn len(&self) -> usize;

    /// Has `reader` decode every block that changed.
    fn each<const BYTES: usize, R: BlockDecoder<BYTES>>(self, reader: &mut R);
}

/// Turns blocks of parents into those of children.
trait BlockDecoder<const BYTES: usize> {
    /// The class of the next block; `None` if it did not change.
    fn class(&mut self) -> Option<BlockClass>;

    /// Decodes a block of that class.
    fn decode(&mut self, class: BlockClass, block: &mut [[u8; BYTES]]);
}

/// Parents that become children.
struct InPlace<'a>(&'a mut [u8]);

impl Blocks for InPlace<'_> {
    #[inline(always)]
    fn len(&self) -> usize {
        self.0.len()
    }

    #[inline(always)]
    fn each<const BYTES: usize, R: BlockDecoder<BYTES>>(self, reader: &mut R) {
        for block in self.0.as_chunks_mut::<BYTES>().0.chunks_mut(BLOCK_LEN) {
            if let Some(class) = reader.class() {
                reader.decode(class, block);
            }
        }
    }
}

/// Parents whose children should be those of `chunk`.
struct Compared<'a> {
    base: &'a [u8],
    chunk: &'a [u8],
    right: &'a mut bool,
}

impl Blocks for Compared<'_> {
    #[inline(always)]
    fn len(&self) -> usize {
        self.base.len()
    }

    #[inline(always)]
    fn each<const BYTES: usize, R: BlockDecoder<BYTES>>(self, reader: &mut R) {
        let blocks = self.base.as_chunks::<BYTES>().0.chunks(BLOCK_LEN);
        let mut space = [[0; BYTES]; BLOCK_LEN];
        for (base, chunk) in blocks.zip(self.chunk.as_chunks::<BYTES>().0.chunks(BLOCK_LEN)) {
            let Some(class) = reader.class() else {
                *self.right &= base == chunk;
                continue;
            };
            let space = space.get_mut(..base.len()).unwrap_or_default();
            space.copy_from_slice(base);
            reader.decode(class, space);
            *self.right &= space == chunk;
        }
    }
}

#[inline(always)]
fn decode_any<const BITS: u32, T: Target, B: Blocks>(
    cpu: T,
    layout: FloatLayout,
    parts: &Parts<'_>,
    memory: &mut Memory,
    blocks: B,
) -> Result<(), String> {
    match (blocks.len() / layout.bytes >= WIDE_FROM, layout) {
        (true, FloatLayout::F16) => {
            run::<WIDE_LANES, 2, BITS, T, B>(cpu, FloatLayout::F16, parts, memory, blocks)
        }
        (true, FloatLayout::BF16) => {
            run::<WIDE_LANES, 2, BITS, T, B>(cpu, FloatLayout::BF16, parts, memory, blocks)
        }
        (true, _) => run::<WIDE_LANES, 4, BITS, T, B>(cpu, FloatLayout::F32, parts, memory, blocks),
        (false, layout) if layout.bytes == 2 => {
            run::<NARROW_LANES, 2, BITS, T, B>(cpu, layout, parts, memory, blocks)
        }
        (false, layout) => run::<NARROW_LANES, 4, BITS, T, B>(cpu, layout, parts, memory, blocks),
    }
}

/// Memory of the tables for classes and steps.
type Memory = [Vec<u32>; 2];

thread_local! {
    /// What a thread keeps from chunk to chunk.
    static MEMORY: Cell<Memory> = const { Cell::new([Vec::new(), Vec::new()]) };
}

/// All streams of a chunk, at a block.
struct Reader<'a, const LANES: usize, const BITS: u32, T> {
    cpu: T,
    layout: FloatLayout,
    model: &'a Model,
    class_table: &'a DecodeTable<BITS>,
    step_table: &'a DecodeTable<BITS>,
    classes: Decoder<'a, 1>,
    coder: ClassCoder,
    streams: Streams<'a, LANES>,
}

impl<const LANES: usize, const BYTES: usize, const BITS: u32, T: Target> BlockDecoder<BYTES>
    for Reader<'_, LANES, BITS, T>
{
    #[inline(always)]
    fn class(&mut self) -> Option<BlockClass> {
        let mut symbol = [0];
        self.classes.decode(self.class_table, &mut [self.coder.next_context()], &mut symbol);
        let [symbol] = symbol;
        Some(self.coder.class(symbol)).filter(|class| *class != BlockClass::Unchanged)
    }

    #[inline(always)]
    fn decode(&mut self, class: BlockClass, block: &mut [[u8; BYTES]]) {
        let Reader { cpu, layout, model, step_table, streams, .. } = self;
        let Ok(block) = <&mut [[u8; BYTES]; BLOCK_LEN]>::try_from(&mut *block) else {
            return streams.decode(*layout, model, class, step_table, block);
        };
        match (cpu.avx512(), cpu.avx2()) {
            #[cfg(target_arch = "x86_64")]
            (Some(cpu), _) => streams.decode_whole(cpu, *layout, model, class, step_table, block),
            #[cfg(target_arch = "x86_64")]
            (_, Some(cpu)) => streams.decode_whole(cpu, *layout, model, class, step_table, block),
            _ => streams.decode_whole(Portable, *layout, model, class, step_table, block),
        }
    }
}

/// Decodes all blocks. Inlined for each layout, so that its numbers are constants.
#[inline(always)]
fn run<const LANES: usize, const BYTES: usize, const BITS: u32, T: Target, B: Blocks>(
    cpu: T,
    layout: FloatLayout,
    parts: &Parts<'_>,
    memory: &mut Memory,
    blocks: B,
) -> Result<(), String> {
    let [class_memory, step_memory] = std::mem::take(memory);
    let class_table = DecodeTable::<BITS>::new(class_memory, &parts.model.class_freqs);
    let step_table = DecodeTable::<BITS>::new(step_memory, &parts.model.step_freqs);
    let mut reader = Reader::<LANES, BITS, T> {
        cpu,
        layout,
        model: &parts.model,
        class_table: &class_table,
        step_table: &step_table,
        classes: Decoder::new(parts.class_stream)?,
        coder: ClassCoder::new(parts.model.first_scale),
        streams: Streams {
            steps: Decoder::new(parts.step_stream)?,
            open: BitReader::new(parts.open),
        },
    };
    blocks.each::<BYTES, _>(&mut reader);
    let Reader { classes, streams: Streams { steps, open }, .. } = reader;
    let finished = classes.is_finished() && steps.is_finished() && open.is_finished();
    *memory = [class_table.into_memory(), step_table.into_memory()];
    if !finished {
        return Err("streams that do not end with the chunk".to_owned());
    }
    Ok(())
}
