//! A chunk of which little changed to the bytes that are stored.

use super::decode::below;
use super::gaps::{FIRST_MAX, GapWriter};
use super::level::Exponents;
use super::{Scratch, each_pair, gather};
use crate::codec::cpu::on_cpu;
use crate::codec::float_delta::{self, FloatLayout};
use crate::codec::machine::{BLOCK_BYTES_16, BLOCK_BYTES_32, Machine};

/// Where more than one element of so many changed, it is not worth looking.
const CHANGED_SHARE: usize = 8;
/// Nor where more than one of so many would be told.
const TOLD_SHARE: usize = 3;

/// Appends the encoded `chunk` to `out` and says so, or leaves `out` alone where too much changed.
pub(super) fn encode(
    scratch: &mut Scratch,
    layout: FloatLayout,
    chunk: &[u8],
    base: &[u8],
    out: &mut Vec<u8>,
) -> bool {
    let found = on_cpu!(cpu => find_on(cpu, scratch, layout, chunk, base));
    let Some(Found { level, first, count, gaps }) = found else { return false };
    out.extend_from_slice(&[level, first]);
    out.extend_from_slice(&count.to_le_bytes());
    out.extend_from_slice(&(gaps.len() as u32).to_le_bytes());
    out.extend_from_slice(&gaps);
    float_delta::encode(layout, &scratch.children, &scratch.parents, out);
    true
}

/// What is told, beside the elements.
struct Found {
    level: u8,
    first: u8,
    count: u32,
    gaps: Vec<u8>,
}

#[inline(always)]
fn find_on<M>(
    machine: M,
    scratch: &mut Scratch,
    layout: FloatLayout,
    chunk: &[u8],
    base: &[u8],
) -> Option<Found>
where
    M: Machine<BLOCK_BYTES_16> + Machine<BLOCK_BYTES_32>,
{
    if layout.bytes == 2 {
        find_as::<M, BLOCK_BYTES_16, 2>(machine, scratch, layout, chunk, base)
    } else {
        find_as::<M, BLOCK_BYTES_32, 4>(machine, scratch, layout, chunk, base)
    }
}

/// Collects the told elements of parent and child in `scratch`.
#[inline(always)]
fn find_as<M: Machine<N>, const N: usize, const BYTES: usize>(
    machine: M,
    scratch: &mut Scratch,
    layout: FloatLayout,
    chunk: &[u8],
    base: &[u8],
) -> Option<Found> {
    let elements = chunk.len() / BYTES;
    let changed_max = elements / CHANGED_SHARE;
    let mut changed = 0;
    each_pair::<M, N>(machine, chunk, base, |_, _, mask| {
        changed += mask.count_ones() as usize;
        changed <= changed_max
    });
    if changed > changed_max {
        return None;
    }
    let exponents = Exponents::count::<M, N, BYTES>(machine, layout, (chunk, base));
    let level = exponents.level(elements);
    let first = (elements / changed.max(1)).max(1).ilog2().min(FIRST_MAX.into()) as u8;
    let Scratch { parents, children, .. } = scratch;
    parents.clear();
    children.clear();
    let mut gaps = GapWriter::new(first);
    let (mut block, mut count) = (0, 0);
    let told_max = elements / TOLD_SHARE * BYTES;
    each_pair::<M, N>(machine, chunk, base, |chunk, base, changed| {
        let low = if level == 0 { 0 } else { below(machine, layout, level, base) };
        // Behind the last element nothing is told.
        let there = elements - block * 64;
        let low = if there < 64 { low & ((1 << there) - 1) } else { low };
        let alone = changed & !low;
        if changed | low != 0 {
            gaps.put(block, alone);
            count += alone.count_ones();
            gather::<N, BYTES>(base, changed | low, parents);
            gather::<N, BYTES>(chunk, changed | low, children);
        }
        block += 1;
        parents.len() <= told_max
    });
    (parents.len() <= told_max).then(|| Found { level, first, count, gaps: gaps.finish() })
}
