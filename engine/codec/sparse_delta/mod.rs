//! Few changes: which elements changed, and these as a chunk of their own.
//!
//! A step of fine-tuning in 16 bits, or of reinforcement learning, leaves most elements as they
//! were: what it adds to a large weight is less than half a unit of its last place. How likely an
//! element changes depends on the exponent of its parent, so there are classes of exponents; the
//! changed elements of each class are told by the gaps between them. All changed elements, parents
//! and children, stand side by side and are coded as [`super::float_delta`] codes a chunk. The
//! others cost a look at 64 of them at once.
//!
//! The layout, byte for byte, is in `format-spec.md`.

mod classes;
mod decode;
mod encode;
mod gaps;
mod runs;

#[cfg(test)]
mod tests;

use std::cell::Cell;

use super::cpu::on_cpu;
use super::float_delta::FloatLayout;
use super::machine::{BLOCK_LEN, Machine, filled};
use decode::Parts;

/// Memory that a thread keeps from chunk to chunk.
#[derive(Default)]
struct Scratch {
    /// Which blocks have changed elements.
    live: Vec<bool>,
    /// Which elements of each block changed.
    changed: Vec<u64>,
    /// The same, when what was written of it is decoded.
    encoded: Vec<u64>,
    /// The changed elements of parent and child.
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
            let right = gives(scratch, layout, out.get(start..).unwrap_or_default(), base);
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
    let parts = Parts::read(stored)?;
    with_scratch(|scratch| {
        parts.find(layout, out, scratch)?;
        parts.children(layout, &mut scratch.parents)?;
        on_cpu!(cpu => scatter(cpu, layout, &scratch.changed, &scratch.parents, out));
        Ok(())
    })
}

/// Whether `stored` and the parent's bytes in `base` give the chunk whose changed elements `scratch`
/// holds since it was encoded: they are in the same places, and the same.
fn gives(scratch: &mut Scratch, layout: FloatLayout, stored: &[u8], base: &[u8]) -> bool {
    let Ok(parts) = Parts::read(stored) else { return false };
    std::mem::swap(&mut scratch.changed, &mut scratch.encoded);
    if parts.find(layout, base, scratch).is_err() {
        return false;
    }
    let Scratch { changed, encoded, parents, children, .. } = scratch;
    changed == encoded && parts.children(layout, parents).is_ok() && parents == children
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
    let (last, last_base) = (filled(chunk_rest), filled(base_rest));
    // Filled up alike: there is nothing that differs.
    let last = (!chunk_rest.is_empty()).then_some((&last, &last_base));
    for (chunk, base) in chunks.iter().zip(bases).chain(last) {
        let changed = !machine.equal(machine.load(chunk), machine.load(base));
        if !look(chunk, base, changed) {
            return;
        }
    }
}

/// Appends the elements of a block that have a one in the mask.
#[inline(always)]
fn gather<const N: usize, const BYTES: usize>(block: &[u8; N], mut mask: u64, to: &mut Vec<u8>) {
    let elements = block.as_chunks::<BYTES>().0;
    while mask != 0 {
        let at = mask.trailing_zeros() as usize;
        mask &= mask - 1;
        if let Some(element) = elements.get(at) {
            to.extend_from_slice(element);
        }
    }
}

/// Puts the changed elements in their places.
#[inline(always)]
fn scatter<M: Copy>(
    _machine: M,
    layout: FloatLayout,
    changed: &[u64],
    from: &[u8],
    out: &mut [u8],
) {
    if layout.bytes == 2 {
        scatter_as::<2>(changed, from, out);
    } else {
        scatter_as::<4>(changed, from, out);
    }
}

#[inline(always)]
fn scatter_as<const BYTES: usize>(changed: &[u64], from: &[u8], out: &mut [u8]) {
    let mut from = from.as_chunks::<BYTES>().0.iter();
    let blocks = out.as_chunks_mut::<BYTES>().0.chunks_mut(BLOCK_LEN);
    for (block, mask) in blocks.zip(changed) {
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
