//! A chunk from its parent and what was written of it.

use super::planes::{PlaneReader, WINDOW_LEN};
use super::{BlockMode, FLAT, Shape, UNARY_MAX};
use crate::codec::cpu::on_cpu;
use crate::codec::float_delta::FloatLayout;
use crate::codec::machine::{
    BLOCK_BYTES_16, BLOCK_BYTES_32, BLOCK_LEN, Bits, Machine, filled, there,
};

/// The parts of an encoded chunk.
struct Parts<'a> {
    shape: Shape,
    modes: &'a [u8],
    scales: &'a [u8],
    stream: &'a [u8],
}

impl<'a> Parts<'a> {
    fn read(layout: FloatLayout, stored: &'a [u8], blocks: usize) -> Result<Self, String> {
        let cut = || format!("{} bytes, shorter than its parts", stored.len());
        let (&kept_bits, rest) = stored.split_first().ok_or_else(cut)?;
        let shape = Shape::new(layout, u32::from(kept_bits))
            .ok_or_else(|| format!("{kept_bits} bits kept of a mantissa"))?;
        let (modes, rest) = rest.split_at_checked(blocks.div_ceil(4)).ok_or_else(cut)?;
        // A block has a scale unless both bits of its mode are zero.
        let changed: u32 = modes.iter().map(|byte| ((byte | byte >> 1) & 0x55).count_ones()).sum();
        let (scales, stream) = rest.split_at_checked(changed as usize).ok_or_else(cut)?;
        let behind = modes.last().map_or(0, |last| match blocks % 4 {
            0 => 0,
            rest => last >> (2 * rest),
        });
        if behind != 0 {
            return Err("modes behind the last block".to_owned());
        }
        Ok(Parts { shape, modes, scales, stream })
    }

    #[inline(always)]
    fn modes(&self) -> impl Iterator<Item = BlockMode> {
        let bits = self.modes.iter().flat_map(|byte| [0, 2, 4, 6].map(|shift| byte >> shift));
        bits.map(BlockMode::from_bits)
    }
}

/// Turns the parent's bytes in `out` into the child's.
pub(super) fn decode(layout: FloatLayout, stored: &[u8], out: &mut [u8]) -> Result<(), String> {
    if !out.len().is_multiple_of(layout.bytes) {
        return Err(format!("{} bytes are not whole elements", out.len()));
    }
    let blocks = (out.len() / layout.bytes).div_ceil(BLOCK_LEN);
    let parts = Parts::read(layout, stored, blocks)?;
    on_cpu!(cpu => decode_on(cpu, &parts, out))
}

/// Whether `stored` and the parent's bytes in `base` give `chunk`: [`decode`] without a copy.
pub(super) fn gives(layout: FloatLayout, stored: &[u8], base: &[u8], chunk: &[u8]) -> bool {
    let blocks = (base.len() / layout.bytes).div_ceil(BLOCK_LEN);
    let Ok(parts) = Parts::read(layout, stored, blocks) else { return false };
    on_cpu!(cpu => compare_on(cpu, &parts, base, chunk))
}

#[inline(always)]
fn compare_on<M>(machine: M, parts: &Parts<'_>, base: &[u8], chunk: &[u8]) -> bool
where
    M: Machine<BLOCK_BYTES_16> + Machine<BLOCK_BYTES_32>,
{
    match parts.shape.bits {
        16 => compare_blocks::<M, BLOCK_BYTES_16>(machine, parts, base, chunk),
        _ => compare_blocks::<M, BLOCK_BYTES_32>(machine, parts, base, chunk),
    }
}

#[inline(always)]
fn decode_on<M>(machine: M, parts: &Parts<'_>, out: &mut [u8]) -> Result<(), String>
where
    M: Machine<BLOCK_BYTES_16> + Machine<BLOCK_BYTES_32>,
{
    match parts.shape.bits {
        16 => decode_blocks::<M, BLOCK_BYTES_16>(machine, parts, out),
        _ => decode_blocks::<M, BLOCK_BYTES_32>(machine, parts, out),
    }
}

#[inline(always)]
fn decode_blocks<M: Machine<N>, const N: usize>(
    machine: M,
    parts: &Parts<'_>,
    out: &mut [u8],
) -> Result<(), String> {
    let mut blocks = BlockReader { machine, parts, scales: parts.scales.iter(), at: 0 };
    let (whole, rest) = out.as_chunks_mut::<N>();
    let mut modes = parts.modes();
    for (block, mode) in whole.iter_mut().zip(modes.by_ref()) {
        if mode != BlockMode::Unchanged {
            blocks.next(mode, u64::MAX, block);
        }
    }
    let last = modes.next().unwrap_or(BlockMode::Unchanged);
    if !rest.is_empty() && last != BlockMode::Unchanged {
        let mut block = filled(rest);
        blocks.next(last, there::<N>(rest), &mut block);
        rest.iter_mut().zip(block).for_each(|(to, from)| *to = from);
    }
    blocks.finish()
}

#[inline(always)]
fn compare_blocks<M: Machine<N>, const N: usize>(
    machine: M,
    parts: &Parts<'_>,
    base: &[u8],
    chunk: &[u8],
) -> bool {
    let mut blocks = BlockReader { machine, parts, scales: parts.scales.iter(), at: 0 };
    let (whole, rest) = base.as_chunks::<N>();
    let (chunks, chunk_rest) = chunk.as_chunks::<N>();
    let mut modes = parts.modes();
    let mut right = whole.len() == chunks.len() && rest.len() == chunk_rest.len();
    for ((block, chunk), mode) in whole.iter().zip(chunks).zip(modes.by_ref()) {
        right &= blocks.next_is(mode, u64::MAX, block, chunk);
    }
    if !rest.is_empty() {
        let last = modes.next().unwrap_or(BlockMode::Unchanged);
        right &= blocks.next_is(last, there::<N>(rest), &filled(rest), &filled(chunk_rest));
    }
    right && blocks.finish().is_ok()
}

/// Decodes block after block.
struct BlockReader<'a, M> {
    machine: M,
    parts: &'a Parts<'a>,
    scales: std::slice::Iter<'a, u8>,
    /// Bits of the stream that were read.
    at: usize,
}

impl<M> BlockReader<'_, M> {
    /// Turns a parent's block into the child's.
    #[inline(always)]
    fn next<const N: usize>(&mut self, mode: BlockMode, there: u64, block: &mut [u8; N])
    where
        M: Machine<N>,
    {
        let scale = self.scales.next().copied().unwrap_or(0);
        let rest = self.parts.stream.get(self.at / 8..).unwrap_or_default();
        let mut tail;
        let window = match rest.first_chunk() {
            Some(window) => window,
            // Behind the end stand zeros. That too much was read is seen at last.
            None => {
                tail = [0; WINDOW_LEN];
                if let Some(tail) = tail.get_mut(..rest.len()) {
                    tail.copy_from_slice(rest);
                }
                &tail
            }
        };
        let mut bits = PlaneReader { window, at: self.at % 8 };
        decode_block(self.machine, self.parts.shape, (mode, scale, there), &mut bits, block);
        self.at += bits.at - self.at % 8;
    }

    /// Whether the next block makes `chunk` of its parent's.
    #[inline(always)]
    fn next_is<const N: usize>(
        &mut self,
        mode: BlockMode,
        there: u64,
        base: &[u8; N],
        chunk: &[u8; N],
    ) -> bool
    where
        M: Machine<N>,
    {
        let mut block = *base;
        if mode != BlockMode::Unchanged {
            self.next(mode, there, &mut block);
        }
        let equal = self.machine.equal(self.machine.load(&block), self.machine.load(chunk));
        equal & there == there
    }

    #[inline(always)]
    fn finish(self) -> Result<(), String> {
        let stream = self.parts.stream;
        let filling = match stream.last() {
            Some(last) if !self.at.is_multiple_of(8) => last >> (self.at % 8),
            _ => 0,
        };
        if self.at.div_ceil(8) != stream.len() || filling != 0 {
            return Err("bits that do not end with the chunk".to_owned());
        }
        Ok(())
    }
}

#[inline(always)]
fn decode_block<M: Machine<N>, const N: usize>(
    machine: M,
    shape: Shape,
    (mode, mut scale, there): (BlockMode, u8, u64),
    bits: &mut PlaneReader<'_>,
    block: &mut [u8; N],
) {
    let parents = machine.load(block);
    let zero = machine.words(0);
    let all = machine.and(parents, machine.words(shape.magnitude_mask()));
    let signs = machine.and(parents, machine.words(shape.sign()));
    let magnitudes = machine.shr(all, shape.kept_bits);
    let mut live = there;
    let mut zeroed = 0;
    if scale == 0 && mode != BlockMode::Alone {
        scale = bits.take(8) as u8;
        let candidates = there & !machine.equal(all, zero);
        let plane = bits.take(candidates.count_ones());
        zeroed = machine.deposit(plane, candidates);
        live &= !zeroed;
    }
    let counts = if mode == BlockMode::Alone {
        machine.bytes(shape.mantissa_bits as u8)
    } else {
        Sizes::new(machine, shape, magnitudes).low_bit_counts(machine, shape, scale)
    };
    let (low, counts_wide) = (low_bits(machine, live, counts, bits), machine.widen(counts));
    let (unary, escaped) = unary(machine, live, mode == BlockMode::Sparse, bits);
    let upper = machine.shl_each(machine.widen(unary), counts_wide);
    let known = live & !escaped;

    let kept = machine.and(parents, machine.words(shape.kept_mask()));
    let (magnitudes, signs) = if mode == BlockMode::Alone {
        let plane = bits.take(known.count_ones());
        let negative = machine.deposit(plane, known);
        let top = machine.words(u32::from(scale) << shape.mantissa_bits);
        let own = machine.add(machine.sub(top, upper), low);
        (own, machine.select(negative, machine.words(shape.sign()), zero))
    } else {
        let steps = machine.or(upper, low);
        let moved = known & !machine.equal(steps, zero);
        let plane = bits.take(moved.count_ones());
        let negative = machine.deposit(plane, moved);
        let crossed = negative & machine.less(magnitudes, steps);
        let away = machine.add(magnitudes, steps);
        let towards = machine.sub(magnitudes, steps);
        let to = machine.select(negative, towards, away);
        if crossed == 0 {
            (to, signs)
        } else {
            let behind = machine.xor(towards, machine.words(u32::MAX));
            let other = machine.xor(signs, machine.words(shape.sign()));
            (machine.select(crossed, behind, to), machine.select(crossed, other, signs))
        }
    };
    let magnitudes = machine.shl(magnitudes, shape.kept_bits);
    let magnitudes = machine.and(magnitudes, machine.words(shape.magnitude_mask()));
    let mut children = machine.or(machine.or(magnitudes, signs), kept);
    if zeroed != 0 {
        let signs = machine.and(parents, machine.words(shape.sign()));
        children = machine.select(zeroed, signs, children);
    }
    machine.store(children, block);
    let mut escaped = escaped;
    while escaped != 0 {
        let at = escaped.trailing_zeros() as usize * (N / BLOCK_LEN);
        escaped &= escaped - 1;
        let element = bits.take(shape.bits).to_le_bytes();
        if let Some(to) = block.get_mut(at..at + N / BLOCK_LEN) {
            to.iter_mut().zip(element).for_each(|(to, from)| *to = from);
        }
    }
}

/// What a block's parents say of the lengths of its steps.
#[derive(Clone, Copy)]
pub(super) struct Sizes<B> {
    /// Exponents, from 1 on; 255 where no bits are stored as they are, whatever the scale.
    exponents: B,
    /// 255 there, else 0.
    none: B,
}

impl<B: Copy> Sizes<B> {
    /// Of parents with these magnitudes: a step from zero has no such bits.
    #[inline(always)]
    pub(super) fn new<M: Machine<N, Bytes = B>, const N: usize>(
        machine: M,
        shape: Shape,
        magnitudes: M::Words,
    ) -> Self {
        let exponents = machine.narrow(machine.shr(magnitudes, shape.mantissa_bits));
        let exponents = machine.max(exponents, machine.bytes(1));
        let sizes = Sizes { exponents, none: machine.bytes(0) };
        sizes.without(machine, machine.equal(magnitudes, machine.words(0)))
    }

    /// The same, without those in the mask.
    #[inline(always)]
    pub(super) fn without<M: Bits<Bytes = B>>(self, machine: M, mask: u64) -> Self {
        Sizes { exponents: machine.fill(mask, self.exponents), none: machine.fill(mask, self.none) }
    }

    /// How many of the lowest bits of each step are stored as they are, in a block of this scale.
    #[inline(always)]
    pub(super) fn low_bit_counts<M: Bits<Bytes = B>>(
        &self,
        machine: M,
        shape: Shape,
        scale: u8,
    ) -> B {
        let counts = if scale >= FLAT {
            machine.sub_saturating(machine.bytes(scale - FLAT), self.none)
        } else {
            machine.sub_saturating(machine.bytes(scale), self.exponents)
        };
        machine.min(counts, machine.bytes(shape.low_bits_max()))
    }
}

/// Reads the planes of the lowest bits.
#[inline(always)]
fn low_bits<M: Machine<N>, const N: usize>(
    machine: M,
    live: u64,
    counts: M::Bytes,
    bits: &mut PlaneReader<'_>,
) -> M::Words {
    let mut low = machine.words(0);
    // Eight planes fill a byte of every element.
    for part in 0..N as u32 / 64 {
        if machine.above(counts, 8 * part as u8) & live == 0 {
            break;
        }
        if machine.above(counts, 8 * part as u8 + 7) & live == u64::MAX {
            let bytes = bits.take_bytes(machine);
            low = machine.or(low, machine.shl(machine.widen(bytes), 8 * part));
            continue;
        }
        let mut bytes = machine.bytes(0);
        for bit in 0..8 {
            let mask = machine.above(counts, 8 * part as u8 + bit) & live;
            if mask == 0 {
                break;
            }
            let plane = bits.take(mask.count_ones());
            bytes = machine.add_where(bytes, machine.deposit(plane, mask), 1 << bit);
        }
        low = machine.or(low, machine.shl(machine.widen(bytes), 8 * part));
    }
    low
}

/// Reads the unary planes: how often a one was read for each element, and for which it was always.
#[inline(always)]
fn unary<M: Machine<N>, const N: usize>(
    machine: M,
    live: u64,
    sparse: bool,
    bits: &mut PlaneReader<'_>,
) -> (M::Bytes, u64) {
    let plane = if sparse {
        let bytes = machine.deposit(bits.take(8), 0x0101_0101_0101_0101).wrapping_mul(255);
        let plane = bits.take(bytes.count_ones());
        machine.deposit(plane, bytes)
    } else {
        bits.take(live.count_ones())
    };
    let mut going = machine.deposit(plane, live);
    let mut unary = machine.add_where(machine.bytes(0), going, 1);
    for _ in 1..UNARY_MAX {
        if going == 0 {
            break;
        }
        let plane = bits.take(going.count_ones());
        going = machine.deposit(plane, going);
        unary = machine.add_where(unary, going, 1);
    }
    (unary, going)
}
