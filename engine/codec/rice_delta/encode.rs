//! A chunk and its parent to the bytes that are stored.

use super::decode::Sizes;
use super::planes::{PlaneWriter, WINDOW_LEN};
use super::{BlockMode, FLAT, Scratch, Shape, UNARY_MAX};
use crate::codec::cpu::on_cpu;
use crate::codec::float_delta::FloatLayout;
use crate::codec::machine::{
    BLOCK_BYTES_16, BLOCK_BYTES_32, BLOCK_LEN, Bits, Machine, filled, there,
};

/// All scales are tried for no more than one of so many blocks.
const SCAN_EVERY: u32 = 16;
/// The last scale that is one.
const SCALE_MAX: u8 = FLAT - 1;
/// With fewer bits of the mantissa, steps that only depend on it cannot be told apart.
const FLAT_FROM: u32 = 11;

/// Appends the encoded `chunk` to `out` and says so; gives up where that becomes longer than the
/// chunk.
pub(super) fn encode(
    scratch: &mut Scratch,
    layout: FloatLayout,
    chunk: &[u8],
    base: &[u8],
    out: &mut Vec<u8>,
) -> bool {
    on_cpu!(cpu => encode_on(cpu, scratch, layout, chunk, base, out))
}

#[inline(always)]
fn encode_on<M>(
    machine: M,
    scratch: &mut Scratch,
    layout: FloatLayout,
    chunk: &[u8],
    base: &[u8],
    out: &mut Vec<u8>,
) -> bool
where
    M: Machine<BLOCK_BYTES_16> + Machine<BLOCK_BYTES_32>,
{
    let kept_bits = equal_bits(layout, chunk, base);
    let Some(shape) = Shape::new(layout, kept_bits) else { return false };
    let done = match shape.bits {
        16 => encode_blocks::<M, BLOCK_BYTES_16>(machine, scratch, shape, chunk, base),
        _ => encode_blocks::<M, BLOCK_BYTES_32>(machine, scratch, shape, chunk, base),
    };
    if done {
        out.push(kept_bits as u8);
        out.extend(
            scratch
                .modes
                .chunks(4)
                .map(|modes| modes.iter().rev().fold(0, |byte, mode| byte << 2 | *mode)),
        );
        out.extend_from_slice(&scratch.scales);
        out.extend_from_slice(scratch.stream.get(..scratch.len).unwrap_or_default());
    }
    done
}

/// How many of the lowest bits of the mantissa are the same in chunk and base throughout, as
/// where numbers of fewer bits were widened.
#[inline(always)]
fn equal_bits(layout: FloatLayout, chunk: &[u8], base: &[u8]) -> u32 {
    let mut different = 0;
    for (chunk, base) in chunk.chunks(1 << 12).zip(base.chunks(1 << 12)) {
        let (words, rest) = chunk.as_chunks::<8>();
        let (base_words, base_rest) = base.as_chunks::<8>();
        let mut here = 0;
        for (word, base) in words.iter().zip(base_words) {
            here |= u64::from_le_bytes(*word) ^ u64::from_le_bytes(*base);
        }
        different |= (here | here >> 32) as u32;
        for (at, (byte, base)) in rest.iter().zip(base_rest).enumerate() {
            different |= u32::from(byte ^ base) << (8 * (at % 4));
        }
        // Most often it is seen at once that none is.
        if different & 1 == 1 {
            break;
        }
    }
    if layout.bytes == 2 {
        different |= different >> 16;
    }
    different.trailing_zeros().min(layout.mantissa_bits)
}

/// Fills modes, scales and stream; gives up where they become longer than the chunk.
#[inline(always)]
fn encode_blocks<M: Machine<N>, const N: usize>(
    machine: M,
    scratch: &mut Scratch,
    shape: Shape,
    chunk: &[u8],
    base: &[u8],
) -> bool {
    let Scratch { stream, len, modes, scales } = scratch;
    modes.clear();
    scales.clear();
    // Room for the block that makes it too long. What stands there is written over.
    if stream.len() < chunk.len() + 2 * WINDOW_LEN {
        stream.resize(chunk.len() + 2 * WINDOW_LEN, 0);
    }
    let mut coder =
        Coder { machine, shape, scale: 1, flat: FLAT, is_flat: false, block: 0, scan_from: 0 };
    let (mut at, mut pending, mut count) = (0, 0, 0);
    let (chunks, chunk_rest) = chunk.as_chunks::<N>();
    let (bases, base_rest) = base.as_chunks::<N>();
    let (last, last_base) = (filled(chunk_rest), filled(base_rest));
    let rest = (!chunk_rest.is_empty()).then_some((&last, &last_base, there::<N>(chunk_rest)));
    let whole = chunks.iter().zip(bases).map(|(chunk, base)| (chunk, base, u64::MAX));
    for (chunk_block, base_block, there) in whole.chain(rest) {
        let blocks = (machine.load(chunk_block), machine.load(base_block));
        if machine.equal(blocks.0, blocks.1) == u64::MAX {
            modes.push(BlockMode::Unchanged as u8);
            continue;
        }
        let window = stream.get_mut(at..).and_then(|rest| rest.first_chunk_mut());
        let Some(window) = window.filter(|_| at <= chunk.len()) else { return false };
        let mut bits = PlaneWriter { window, at: 0, pending, count };
        let (mode, scale) = coder.encode_block(chunk_block, blocks, there, &mut bits);
        at += bits.at;
        (pending, count) = (bits.pending, bits.count);
        modes.push(mode as u8);
        scales.push(scale);
    }
    let end = stream.get_mut(at..).and_then(|rest| rest.first_chunk_mut());
    let Some(end) = end else { return false };
    *end = pending.to_le_bytes();
    *len = at + count.div_ceil(8) as usize;
    true
}

/// Encodes block after block.
struct Coder<M> {
    machine: M,
    shape: Shape,
    /// The scale that was best before, where the search for the next begins.
    scale: u8,
    /// The same of those for all elements alike.
    flat: u8,
    /// Which of both the block before had.
    is_flat: bool,
    /// Changed blocks so far.
    block: u32,
    /// The block from which on all scales may be tried again.
    scan_from: u32,
}

/// A block's numbers that are coded, however they came about.
struct Residual<W, B> {
    values: W,
    /// How many of the lowest bits are stored as they are.
    counts: B,
    /// What is above these, or 255.
    upper: B,
    negative: u64,
}

/// How far a block's elements moved. Those that are coded in another way did not, and have no
/// lowest bits.
#[derive(Clone, Copy)]
struct Moves<B> {
    sizes: Sizes<B>,
    /// How many bits the steps have.
    lens: B,
    /// How many are coded.
    live: u32,
}

impl<M> Coder<M>
where
    M: Bits,
{
    /// Appends a changed block; returns its mode and what stands in the place of its scale.
    #[inline(always)]
    fn encode_block<const N: usize>(
        &mut self,
        chunk: &[u8; N],
        (children, parents): (M::Words, M::Words),
        there: u64,
        bits: &mut PlaneWriter<'_>,
    ) -> (BlockMode, u8)
    where
        M: Machine<N>,
    {
        let (machine, shape) = (self.machine, self.shape);
        let magnitude_mask = machine.words(shape.magnitude_mask());
        let zero = machine.words(0);
        let all = machine.and(parents, magnitude_mask);
        let own = machine.and(children, magnitude_mask);
        let sign = machine.words(shape.sign());
        let same_sign = machine.equal(machine.and(machine.xor(parents, children), sign), zero);
        let (mut candidates, mut zeroed) = (there, there & machine.equal(own, zero));
        // A plane of them costs 64 bits and a scale.
        let pays = |zeroed: u64| zeroed.count_ones() * shape.bits > 72;
        if pays(zeroed) {
            candidates = there & !machine.equal(all, zero);
            zeroed &= candidates & same_sign;
        }
        if !pays(zeroed) {
            zeroed = 0;
        }
        let live = there & !zeroed;

        let from = machine.shr(all, shape.kept_bits);
        let to = machine.shr(own, shape.kept_bits);
        let less = machine.less(to, from);
        let mut steps = machine.abs_diff(from, to);
        if same_sign != u64::MAX {
            let through = machine.add(machine.add(from, to), machine.words(1));
            steps = machine.select(same_sign, steps, through);
        }
        let sizes = Sizes::new(machine, shape, from).without(machine, !live);
        let steps = if live == u64::MAX { steps } else { machine.select(live, steps, zero) };
        let moves = Moves { sizes, lens: machine.bit_lens(steps), live: live.count_ones() };
        let (scale, cost) = self.choose_scale(from, moves, live);
        let escape_bits = shape.bits;

        // Alone, an element has at least its sign, its mantissa and one unary bit.
        if cost > live.count_ones() * (shape.mantissa_bits + 2) && zeroed == 0 {
            let exponents = machine.narrow(machine.shr(to, shape.mantissa_bits));
            let top = machine.greatest(machine.keep(there, exponents));
            let below = machine.sub_saturating(machine.bytes(top), exponents);
            let alone = there.count_ones() * (shape.mantissa_bits + 1)
                + unary_cost(machine, machine.keep(there, below), escape_bits);
            if alone < cost {
                let mantissa = machine.words((1 << shape.mantissa_bits) - 1);
                let values = machine.or(
                    machine.shl(machine.widen(below), shape.mantissa_bits),
                    machine.and(to, mantissa),
                );
                let counts = machine.bytes(shape.mantissa_bits as u8);
                let negative = there & !machine.equal(machine.and(children, sign), zero);
                let upper = below;
                let residual = Residual { values, counts, upper, negative };
                self.put_planes(&residual, chunk, there, BlockMode::Alone, bits);
                return (BlockMode::Alone, top);
            }
        }
        let counts = sizes.low_bit_counts(machine, shape, scale);
        let upper = machine.narrow_saturating(machine.shr_each(steps, machine.widen(counts)));
        let large = machine.extract(machine.above(upper, 0), live);
        let sparse = 8 + 8 * bytes_used(large).count_ones() < live.count_ones();
        let mode = if sparse { BlockMode::Sparse } else { BlockMode::Steps };
        if zeroed != 0 {
            bits.put(u64::from(scale), 8);
            bits.put(machine.extract(zeroed, candidates), candidates.count_ones());
        }
        let negative = less | !same_sign;
        let residual = Residual { values: steps, counts, upper, negative };
        self.put_planes(&residual, chunk, live, mode, bits);
        (mode, if zeroed != 0 { 0 } else { scale })
    }

    /// A scale with which the block costs little, and that cost in bits.
    #[inline(always)]
    fn choose_scale<const N: usize>(
        &mut self,
        magnitudes: M::Words,
        moves: Moves<M::Bytes>,
        live: u64,
    ) -> (u8, u32)
    where
        M: Machine<N>,
    {
        let (machine, shape) = (self.machine, self.shape);
        let (scale, flat) = (self.scale, self.flat);
        let mut best =
            if self.is_flat { self.climb(moves, flat) } else { self.climb(moves, scale) };
        self.block = self.block.wrapping_add(1);
        if shape.mantissa_bits >= FLAT_FROM {
            // The other kind, only as good as it was when it was best.
            let other = if self.is_flat { scale } else { flat };
            let cost = self.cost(moves, other);
            if cost < best.1 {
                best = (other, cost);
                self.is_flat = !self.is_flat;
            }
        }
        // Far off, where every step is stored as it is, there is no slope.
        let much = moves.live * (shape.mantissa_bits + 3);
        if best.1 > much && self.block >= self.scan_from {
            self.scan_from = self.block + SCAN_EVERY;
            let (low, high) = self.range(magnitudes, live);
            let flats = FLAT..=FLAT + shape.low_bits_max();
            let flats = flats.filter(|_| shape.mantissa_bits >= FLAT_FROM);
            for scale in (low..=high).chain(flats) {
                let cost = self.cost(moves, scale);
                if cost < best.1 {
                    best = (scale, cost);
                }
            }
            self.is_flat = best.0 >= FLAT;
        }
        if self.is_flat {
            self.flat = best.0;
        } else {
            self.scale = best.0;
        }
        let moved = machine.above(moves.lens, 0);
        (best.0, best.1 + moved.count_ones())
    }

    /// The best scale around this one, and on as long as it gets better.
    #[inline(always)]
    fn climb(&self, moves: Moves<M::Bytes>, from: u8) -> (u8, u32) {
        let shape = self.shape;
        let (low, high) =
            if from < FLAT { (1, SCALE_MAX) } else { (FLAT, FLAT + shape.low_bits_max()) };
        let (down, up) = (from.max(low + 1) - 1, from.min(high - 1) + 1);
        // The higher of equals: below the exponents all scales cost the same, and a walk down
        // there would not find back.
        let here = self.cost(moves, from);
        // Long steps cost about the same in a wide range: one side a block will do.
        let long = shape.mantissa_bits >= FLAT_FROM;
        let even = self.block.is_multiple_of(2);
        let (try_down, try_up) = (!long || even, !long || !even);
        let below = if try_down { self.cost(moves, down) } else { u32::MAX };
        let above = if try_up { self.cost(moves, up) } else { u32::MAX };
        if above <= here && above <= below {
            let mut best = (up, above);
            while best.0 < high {
                let next = self.cost(moves, best.0 + 1);
                if next > best.1 || next == best.1 && best.0 > up + 8 {
                    break;
                }
                best = (best.0 + 1, next);
            }
            best
        } else if below < here {
            let mut best = (down, below);
            while best.0 > low {
                let next = self.cost(moves, best.0 - 1);
                if next >= best.1 {
                    break;
                }
                best = (best.0 - 1, next);
            }
            best
        } else {
            (from, here)
        }
    }

    /// The scales that can be best.
    #[inline(always)]
    fn range<const N: usize>(&self, magnitudes: M::Words, live: u64) -> (u8, u8)
    where
        M: Machine<N>,
    {
        let (machine, shape) = (self.machine, self.shape);
        let exponents = machine.narrow(machine.shr(magnitudes, shape.mantissa_bits));
        let top = machine.greatest(machine.keep(live, exponents)).clamp(1, SCALE_MAX);
        let end = top.saturating_add(shape.low_bits_max()).min(SCALE_MAX);
        (top.max(13) - 12, end)
    }

    /// About the bits that a block of this scale takes, but for signs and what all scales have: a
    /// step of `d` bits more than are stored as they are takes 0, 1, 2 or 3, 4 to 7 unary ones, or
    /// is escaped.
    #[inline(always)]
    fn cost(&self, moves: Moves<M::Bytes>, scale: u8) -> u32 {
        let machine = self.machine;
        let counts = moves.sizes.low_bit_counts(machine, self.shape, scale);
        let above = machine.sub_saturating(moves.lens, counts);
        let first = 8 + 8 * bytes_used(machine.above(above, 0)).count_ones();
        // Twice 1, 2.5, 5.5 and 8 ones: 2, 5, 11 and 16.
        let above = machine.min(above, machine.bytes(4));
        let beyond = |least| machine.sub_saturating(above, machine.bytes(least));
        let twice = |a| machine.add_bytes(a, a);
        let (two, escaped) = (machine.min(beyond(1), machine.bytes(1)), beyond(3));
        let more = machine.sub_saturating(twice(twice(beyond(2))), escaped);
        let ones = machine.add_bytes(machine.add_bytes(twice(above), two), more);
        let sums = machine.sum(machine.add_bytes(twice(counts), ones)) / 2;
        sums + first.min(64) + self.shape.bits * machine.sum(escaped)
    }

    /// Appends low bits, unary planes, signs, and elements whose unary code was too long.
    #[inline(always)]
    fn put_planes<const N: usize>(
        &self,
        residual: &Residual<M::Words, M::Bytes>,
        chunk: &[u8; N],
        live: u64,
        mode: BlockMode,
        bits: &mut PlaneWriter<'_>,
    ) where
        M: Machine<N>,
    {
        let Residual { values, counts, upper, negative } = *residual;
        let machine = self.machine;
        for part in 0..N as u32 / 64 {
            if machine.above(counts, 8 * part as u8) & live == 0 {
                break;
            }
            let bytes = machine.narrow(machine.shr(values, 8 * part));
            if machine.above(counts, (8 * part + 7) as u8) & live == u64::MAX {
                bits.put_bytes(machine, bytes);
                continue;
            }
            for bit in 0..8 {
                let mask = machine.above(counts, (8 * part + bit) as u8) & live;
                if mask == 0 {
                    break;
                }
                let plane = machine.extract(machine.has_bit(bytes, bit), mask);
                bits.put(plane, mask.count_ones());
            }
        }
        let mut going = live;
        for unary in 0..UNARY_MAX {
            let above = machine.above(upper, unary) & live;
            let plane = machine.extract(above, going);
            if unary == 0 && mode == BlockMode::Sparse {
                let used = bytes_used(plane);
                bits.put(machine.extract(used, 0x0101_0101_0101_0101), 8);
                let used = used.wrapping_mul(255);
                bits.put(machine.extract(plane, used), used.count_ones());
            } else {
                bits.put(plane, going.count_ones());
            }
            going = above;
            if going == 0 {
                break;
            }
        }
        let escaped = going;
        let signed = if mode == BlockMode::Alone {
            live & !escaped
        } else {
            live & !escaped & !machine.equal(values, machine.words(0))
        };
        bits.put(machine.extract(negative, signed), signed.count_ones());
        let mut escaped = escaped;
        while escaped != 0 {
            let at = escaped.trailing_zeros() as usize * (N / BLOCK_LEN);
            escaped &= escaped - 1;
            let element = chunk.get(at..at + N / BLOCK_LEN).unwrap_or_default();
            let element = element.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
            bits.put(element, self.shape.bits);
        }
    }
}

/// The lowest bit of each byte that is not zero.
#[inline(always)]
fn bytes_used(plane: u64) -> u64 {
    let folded = plane | plane >> 4;
    let folded = folded | folded >> 2;
    (folded | folded >> 1) & 0x0101_0101_0101_0101
}

/// The bits of these unary codes, and of the elements that are stored as they are behind them.
#[inline(always)]
fn unary_cost<M: Machine<N>, const N: usize>(machine: M, upper: M::Bytes, escape: u32) -> u32 {
    let escaped = machine.above(upper, UNARY_MAX - 1).count_ones();
    let codes = machine.sum(machine.min(upper, machine.bytes(UNARY_MAX)));
    codes + BLOCK_LEN as u32 + escape * escaped
}
