//! A chunk of which little changed to the bytes that are stored.

use super::classes::{self, ALL_IN_ONE, CLASSES, Exponents};
use super::gaps::GapWriter;
use super::{Scratch, each_pair, gather, runs};
use crate::codec::coded::parts::put_len;
use crate::codec::cpu::on_cpu;
use crate::codec::float_delta::{self, FloatLayout};
use crate::codec::machine::{BLOCK_BYTES_16, BLOCK_BYTES_32, BLOCK_LEN, Machine, filled};

/// Where more than one element of so many changed, it is not worth looking.
const CHANGED_SHARE: usize = 8;

/// Appends the encoded `chunk` to `out` and says so, or leaves `out` alone where too much changed.
pub(super) fn encode(
    scratch: &mut Scratch,
    layout: FloatLayout,
    chunk: &[u8],
    base: &[u8],
    out: &mut Vec<u8>,
) -> bool {
    let found = on_cpu!(cpu => find_on(cpu, scratch, layout, chunk, base));
    let Some(Places { low, runs, first, others }) = found else { return false };
    out.push(low);
    let parts = [&runs, &first].into_iter().chain(&others);
    parts.clone().for_each(|part| put_len(part.len(), out));
    parts.for_each(|part| out.extend_from_slice(part));
    float_delta::encode(layout, &scratch.children, &scratch.parents, out);
    true
}

/// Which elements changed.
struct Places {
    low: u8,
    runs: Vec<u8>,
    first: Vec<u8>,
    others: [Vec<u8>; CLASSES - 1],
}

#[inline(always)]
fn find_on<M>(
    machine: M,
    scratch: &mut Scratch,
    layout: FloatLayout,
    chunk: &[u8],
    base: &[u8],
) -> Option<Places>
where
    M: Machine<BLOCK_BYTES_16> + Machine<BLOCK_BYTES_32>,
{
    if layout.bytes == 2 {
        find_as::<M, BLOCK_BYTES_16, 2>(machine, scratch, layout, chunk, base)
    } else {
        find_as::<M, BLOCK_BYTES_32, 4>(machine, scratch, layout, chunk, base)
    }
}

/// Collects the changed elements of parent and child in `scratch`.
#[inline(always)]
fn find_as<M: Machine<N>, const N: usize, const BYTES: usize>(
    machine: M,
    scratch: &mut Scratch,
    layout: FloatLayout,
    chunk: &[u8],
    base: &[u8],
) -> Option<Places> {
    let count = compare::<M, N>(machine, scratch, chunk.len() / BYTES, chunk, base)?;
    let Scratch { live, changed, parents, children, .. } = scratch;
    if classes::steps_are_large::<N, BYTES>(layout, chunk, base, changed) {
        return None;
    }
    let exponents = Exponents::count::<N, BYTES>(layout, base, changed);
    let runs = runs::write(live, count);
    let low = exponents.low();
    let mut first = GapWriter::new();
    let mut others: [GapWriter; CLASSES - 1] = std::array::from_fn(|_| GapWriter::new());
    parents.clear();
    children.clear();
    let (last, last_base) = (filled(chunk.as_chunks::<N>().1), filled(base.as_chunks::<N>().1));
    let chunks = chunk.as_chunks::<N>().0.iter().chain([&last]);
    let bases = base.as_chunks::<N>().0.iter().chain([&last_base]);
    let mut there = chunk.len() / BYTES;
    for ((chunk, base), changed) in chunks.zip(bases).zip(changed.iter()) {
        let here = if there < BLOCK_LEN { (1 << there) - 1 } else { u64::MAX };
        there = there.saturating_sub(BLOCK_LEN);
        if *changed == 0 && !runs.is_empty() {
            continue;
        }
        if low == ALL_IN_ONE {
            first.put(here, *changed);
        } else {
            let [class, classes @ ..] = classes::of_block(machine, layout, low, here, base);
            first.put(class, changed & class);
            for (class, gaps) in classes.into_iter().zip(&mut others) {
                gaps.put(class, changed & class);
            }
        }
        gather::<N, BYTES>(base, *changed, parents);
        gather::<N, BYTES>(chunk, *changed, children);
    }
    let others = others.map(GapWriter::finish);
    Some(Places { low, runs, first: first.finish(), others })
}

/// Finds in which elements chunk and base differ. How many these are, unless they are too many: of
/// the chunk, or of the blocks that have some.
#[inline(always)]
fn compare<M: Machine<N>, const N: usize>(
    machine: M,
    scratch: &mut Scratch,
    elements: usize,
    chunk: &[u8],
    base: &[u8],
) -> Option<usize> {
    let Scratch { live, changed, .. } = scratch;
    let (mut count, count_max) = (0, elements / CHANGED_SHARE);
    live.clear();
    changed.clear();
    each_pair::<M, N>(
        machine,
        chunk,
        base,
        #[inline(always)]
        |_, _, differ| {
            count += differ.count_ones() as usize;
            live.push(differ != 0);
            changed.push(differ);
            count <= count_max
        },
    );
    let with = live.iter().filter(|live| **live).count();
    (count <= count_max && count * CHANGED_SHARE <= with * BLOCK_LEN).then_some(count)
}
