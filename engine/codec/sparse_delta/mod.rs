//! Few changes: which elements are told, and these as a chunk of their own.
//!
//! A step of fine-tuning in 16 bits, or of reinforcement learning, leaves most elements as they
//! were: what it adds to a large weight is less than half a unit of its last place. So elements
//! whose parent is below a *level* are told, changed or not; of the others those that changed, by
//! the gaps between them. All told elements, parents and children, stand side by side and are coded
//! as [`super::float_delta`] codes a chunk. What is not told costs a look of 64 elements at once.
//!
//! The layout, byte for byte, is in `format-spec.md`.

mod decode;
mod encode;
mod gaps;
mod level;

#[cfg(test)]
mod tests;

use std::cell::Cell;

use super::cpu::on_cpu;
use super::float_delta::{self, FloatLayout};
use super::machine::{BLOCK_BYTES_16, BLOCK_BYTES_32, BLOCK_LEN, Machine, filled, there};
use decode::Parts;

/// Bytes before the gaps: level, first gap, how many are changed above the level, bytes of gaps.
const HEAD_LEN: usize = 10;

/// Memory that a thread keeps from chunk to chunk.
#[derive(Default)]
struct Scratch {
    /// Which elements of each block are told.
    told: Vec<u64>,
    /// The told elements of parent and child.
    parents: Vec<u8>,
    children: Vec<u8>,
}

/// A thread keeps no more scratch memory than this from one chunk to the next.
const SCRATCH_BYTES_MAX: usize = 1 << 22;

thread_local! {
    static SCRATCH: Cell<Option<Box<Scratch>>> = const { Cell::new(None) };
}

/// Runs `work` with the thread's scratch memory.
fn with_scratch<R>(work: impl FnOnce(&mut Scratch) -> R) -> R {
    let mut scratch = SCRATCH.take().unwrap_or_default();
    let done = work(&mut scratch);
    if scratch.parents.capacity() + scratch.children.capacity() <= SCRATCH_BYTES_MAX {
        SCRATCH.set(Some(scratch));
    }
    done
}

/// Appends the encoded `chunk` to `out` and says so, or leaves `out` alone where too much changed
/// or nothing would be gained. `chunk` and `base` have the same length, a multiple of the
/// element's. What is appended has been decoded and compared.
pub(super) fn encode(layout: FloatLayout, chunk: &[u8], base: &[u8], out: &mut Vec<u8>) -> bool {
    let start = out.len();
    let right = with_scratch(|scratch| {
        encode::encode(scratch, layout, chunk, base, out) && out.len() - start < chunk.len() && {
            // Decoded again before it is believed: a fault of ours must not cost anyone's weights.
            let right = gives(scratch, layout, out.get(start..).unwrap_or_default(), base, chunk);
            debug_assert!(right, "a chunk does not come back");
            right
        }
    });
    if !right {
        out.truncate(start);
    }
    right
}

/// Turns the parent's bytes in `out` into the child's.
pub(super) fn decode(layout: FloatLayout, stored: &[u8], out: &mut [u8]) -> Result<(), String> {
    if !out.len().is_multiple_of(layout.bytes) {
        return Err(format!("{} bytes are not whole elements", out.len()));
    }
    let parts = Parts::read(layout, stored)?;
    with_scratch(|scratch| {
        parts.tell(layout, out, scratch)?;
        parts.children(layout, &mut scratch.parents)?;
        on_cpu!(cpu => scatter(cpu, layout, &scratch.told, &scratch.parents, out));
        Ok(())
    })
}

/// Whether `stored` and the parent's bytes in `base` give `chunk`: [`decode`] without a copy.
fn gives(
    scratch: &mut Scratch,
    layout: FloatLayout,
    stored: &[u8],
    base: &[u8],
    chunk: &[u8],
) -> bool {
    let Ok(parts) = Parts::read(layout, stored) else { return false };
    if parts.tell(layout, base, scratch).is_err() {
        return false;
    }
    let Scratch { told, parents, children } = scratch;
    let only_there = on_cpu!(cpu => gather_children(cpu, layout, told, base, chunk, children));
    only_there && parts.children(layout, parents).is_ok() && parents == children
}

/// Collects the told elements of the child; says whether no other element changed.
#[inline(always)]
fn gather_children<M>(
    machine: M,
    layout: FloatLayout,
    told: &[u64],
    base: &[u8],
    chunk: &[u8],
    children: &mut Vec<u8>,
) -> bool
where
    M: Machine<BLOCK_BYTES_16> + Machine<BLOCK_BYTES_32>,
{
    children.clear();
    let mut untold = 0;
    let mut told = told.iter();
    if layout.bytes == 2 {
        each_pair::<M, BLOCK_BYTES_16>(machine, chunk, base, |block, _, changed| {
            let told = told.next().copied().unwrap_or(0);
            untold |= changed & !told;
            gather::<BLOCK_BYTES_16, 2>(block, told, children);
            true
        });
    } else {
        each_pair::<M, BLOCK_BYTES_32>(machine, chunk, base, |block, _, changed| {
            let told = told.next().copied().unwrap_or(0);
            untold |= changed & !told;
            gather::<BLOCK_BYTES_32, 4>(block, told, children);
            true
        });
    }
    untold == 0
}

/// Calls `look` with every block of chunk and base and which of their elements differ, until it
/// says no. What is behind the last element is zeros.
#[inline(always)]
fn each_pair<M: Machine<N>, const N: usize>(
    machine: M,
    chunk: &[u8],
    base: &[u8],
    mut look: impl FnMut(&[u8; N], &[u8; N], u64) -> bool,
) {
    let (chunks, chunk_rest) = chunk.as_chunks::<N>();
    let (bases, base_rest) = base.as_chunks::<N>();
    for (chunk, base) in chunks.iter().zip(bases) {
        let changed = !machine.equal(machine.load(chunk), machine.load(base));
        if !look(chunk, base, changed) {
            return;
        }
    }
    if !chunk_rest.is_empty() {
        let (chunk, base) = (filled(chunk_rest), filled(base_rest));
        let changed = !machine.equal(machine.load(&chunk), machine.load(&base));
        look(&chunk, &base, changed & there::<N>(chunk_rest));
    }
}

/// Appends the elements of a block that have a one in the mask.
#[inline(always)]
fn gather<const N: usize, const BYTES: usize>(block: &[u8; N], mut mask: u64, to: &mut Vec<u8>) {
    let elements = block.as_chunks::<BYTES>().0;
    let (mut here, mut count) = ([[0; BYTES]; BLOCK_LEN], 0);
    while mask != 0 {
        let at = mask.trailing_zeros() as usize;
        mask &= mask - 1;
        if let (Some(to), Some(from)) = (here.get_mut(count), elements.get(at)) {
            *to = *from;
            count += 1;
        }
    }
    to.extend_from_slice(here.get(..count).unwrap_or_default().as_flattened());
}

/// Puts the told elements in their places.
#[inline(always)]
fn scatter<M: Copy>(_machine: M, layout: FloatLayout, told: &[u64], from: &[u8], out: &mut [u8]) {
    if layout.bytes == 2 {
        scatter_as::<2>(told, from, out);
    } else {
        scatter_as::<4>(told, from, out);
    }
}

#[inline(always)]
fn scatter_as<const BYTES: usize>(told: &[u64], from: &[u8], out: &mut [u8]) {
    let mut from = from.as_chunks::<BYTES>().0.iter();
    let blocks = out.as_chunks_mut::<BYTES>().0.chunks_mut(BLOCK_LEN);
    for (block, mask) in blocks.zip(told) {
        let mut mask = *mask;
        while mask != 0 {
            let at = mask.trailing_zeros() as usize;
            mask &= mask - 1;
            if let (Some(to), Some(from)) = (block.get_mut(at), from.next()) {
                *to = *from;
            }
        }
    }
}
