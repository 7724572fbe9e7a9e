//! Which elements of a chunk changed, and what they become.

use super::classes::{self, ALL_IN_ONE, CLASSES};
use super::gaps::GapReader;
use super::{Scratch, gather, runs};
use crate::codec::coded::parts::take_len;
use crate::codec::cpu::on_cpu;
use crate::codec::float_delta::{self, FloatLayout, Version};
use crate::codec::machine::{BLOCK_BYTES_16, BLOCK_BYTES_32, BLOCK_LEN, Machine, filled, there};

/// The parts of an encoded chunk.
pub(super) struct Parts<'a> {
    /// The largest exponent of the lowest class.
    low: u8,
    /// Which blocks have changed elements; empty for all.
    runs: &'a [u8],
    gaps: [&'a [u8]; CLASSES],
    children: &'a [u8],
}

impl<'a> Parts<'a> {
    pub(super) fn read(stored: &'a [u8]) -> Result<Self, String> {
        let cut = || format!("{} bytes, shorter than its parts", stored.len());
        let (&low, mut rest) = stored.split_first().ok_or_else(cut)?;
        let mut lens = [0; 1 + CLASSES];
        for len in &mut lens {
            *len = take_len(&mut rest).ok_or("lengths that do not end")?;
        }
        let mut parts: [&[u8]; 1 + CLASSES] = [&[]; 1 + CLASSES];
        for (part, len) in parts.iter_mut().zip(lens) {
            (*part, rest) = rest.split_at_checked(len).ok_or_else(cut)?;
        }
        let [runs, gaps @ ..] = parts;
        Ok(Parts { low, runs, gaps, children: rest })
    }

    /// Finds the changed elements of a chunk with these parents, and collects their parents.
    pub(super) fn find(
        &self,
        layout: FloatLayout,
        base: &[u8],
        scratch: &mut Scratch,
    ) -> Result<(), String> {
        let blocks = (base.len() / layout.bytes).div_ceil(BLOCK_LEN);
        runs::read(self.runs, blocks, &mut scratch.live)?;
        let mut gaps = self.gaps.map(GapReader::new);
        on_cpu!(cpu => find_on(cpu, layout, self.low, base, &mut gaps, scratch));
        if gaps.iter().all(GapReader::is_finished) {
            Ok(())
        } else {
            Err("gaps that do not end with the chunk".to_owned())
        }
    }

    /// Turns the parents of all changed elements into their children.
    pub(super) fn children(&self, layout: FloatLayout, parents: &mut [u8]) -> Result<(), String> {
        float_delta::decode(Version::Second, layout, self.children, parents)
    }
}

#[inline(always)]
fn find_on<M>(
    machine: M,
    layout: FloatLayout,
    low: u8,
    base: &[u8],
    gaps: &mut [GapReader<'_>; CLASSES],
    scratch: &mut Scratch,
) where
    M: Machine<BLOCK_BYTES_16> + Machine<BLOCK_BYTES_32>,
{
    if layout.bytes == 2 {
        find_as::<M, BLOCK_BYTES_16, 2>(machine, layout, low, base, gaps, scratch);
    } else {
        find_as::<M, BLOCK_BYTES_32, 4>(machine, layout, low, base, gaps, scratch);
    }
}

#[inline(always)]
fn find_as<M: Machine<N>, const N: usize, const BYTES: usize>(
    machine: M,
    layout: FloatLayout,
    low: u8,
    base: &[u8],
    gaps: &mut [GapReader<'_>; CLASSES],
    scratch: &mut Scratch,
) {
    let Scratch { live, changed, parents, .. } = scratch;
    let [first, others @ ..] = gaps;
    changed.clear();
    parents.clear();
    let (blocks, rest) = base.as_chunks::<N>();
    let last = filled(rest);
    let behind = (!rest.is_empty()).then_some((&last, there::<N>(rest)));
    let blocks = blocks.iter().map(|block| (block, u64::MAX)).chain(behind);
    for ((block, there), live) in blocks.zip(live) {
        let mut here = 0;
        if *live {
            if low == ALL_IN_ONE {
                here = first.take_block(machine, there);
            } else {
                let [class, classes @ ..] = classes::of_block(machine, layout, low, there, block);
                here = first.take_block(machine, class);
                for (class, gaps) in classes.into_iter().zip(others.iter_mut()) {
                    here |= gaps.take_block(machine, class);
                }
            }
        }
        changed.push(here);
        if here != 0 {
            gather::<N, BYTES>(block, here, parents);
        }
    }
}
