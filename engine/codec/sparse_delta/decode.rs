//! Which elements of a chunk are told, and what they become.

use super::{HEAD_LEN, Scratch, gaps, gather};
use crate::codec::cpu::on_cpu;
use crate::codec::float_delta::{self, FloatLayout};
use crate::codec::machine::{BLOCK_BYTES_16, BLOCK_BYTES_32, BLOCK_LEN, Machine, filled, there};

/// The parts of an encoded chunk.
pub(super) struct Parts<'a> {
    /// Elements whose parent's exponent is below this are told.
    level: u8,
    /// About how long the first gap is, as a binary logarithm.
    first: u8,
    /// How many changed elements the gaps tell.
    count: u32,
    gaps: &'a [u8],
    children: &'a [u8],
}

impl<'a> Parts<'a> {
    pub(super) fn read(layout: FloatLayout, stored: &'a [u8]) -> Result<Self, String> {
        let cut = || format!("{} bytes, shorter than its parts", stored.len());
        let (head, rest) = stored.split_first_chunk::<HEAD_LEN>().ok_or_else(cut)?;
        let [level, first, a, b, c, d, e, f, g, h] = *head;
        let (count, len) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
        let (gaps, children) = rest.split_at_checked(len as usize).ok_or_else(cut)?;
        if u32::from(level) > layout.magnitude_mask() >> layout.mantissa_bits {
            return Err(format!("a level of {level}, larger than any exponent"));
        }
        if first > gaps::FIRST_MAX {
            return Err(format!("a first gap of 2 to the power of {first}"));
        }
        Ok(Parts { level, first, count, gaps, children })
    }

    /// Finds the told elements of a chunk with these parents, and collects their parents.
    pub(super) fn tell(
        &self,
        layout: FloatLayout,
        base: &[u8],
        scratch: &mut Scratch,
    ) -> Result<(), String> {
        let elements = base.len() / layout.bytes;
        scratch.told.clear();
        scratch.told.resize(elements.div_ceil(BLOCK_LEN), 0);
        gaps::read(self.gaps, self.first, self.count, elements, &mut scratch.told)?;
        on_cpu!(cpu => tell_on(cpu, layout, self.level, base, scratch));
        Ok(())
    }

    /// Turns the parents of all told elements into their children.
    pub(super) fn children(&self, layout: FloatLayout, told: &mut [u8]) -> Result<(), String> {
        if told.is_empty() && self.children.is_empty() {
            return Ok(());
        }
        float_delta::decode(layout, self.children, told)
    }
}

#[inline(always)]
fn tell_on<M>(machine: M, layout: FloatLayout, level: u8, base: &[u8], scratch: &mut Scratch)
where
    M: Machine<BLOCK_BYTES_16> + Machine<BLOCK_BYTES_32>,
{
    if layout.bytes == 2 {
        tell_as::<M, BLOCK_BYTES_16, 2>(machine, layout, level, base, scratch);
    } else {
        tell_as::<M, BLOCK_BYTES_32, 4>(machine, layout, level, base, scratch);
    }
}

#[inline(always)]
fn tell_as<M: Machine<N>, const N: usize, const BYTES: usize>(
    machine: M,
    layout: FloatLayout,
    level: u8,
    base: &[u8],
    scratch: &mut Scratch,
) {
    let Scratch { told, parents, .. } = scratch;
    parents.clear();
    let mut told = told.iter_mut();
    let (blocks, rest) = base.as_chunks::<N>();
    let last = filled(rest);
    let behind = (!rest.is_empty()).then_some((&last, there::<N>(rest)));
    let blocks = blocks.iter().map(|block| (block, u64::MAX)).chain(behind);
    for ((block, there), told) in blocks.zip(told.by_ref()) {
        if level > 0 {
            *told |= below(machine, layout, level, block) & there;
        }
        if *told != 0 {
            gather::<N, BYTES>(block, *told, parents);
        }
    }
}

/// Which elements of a parent's block have an exponent below the level.
#[inline(always)]
pub(super) fn below<M: Machine<N>, const N: usize>(
    machine: M,
    layout: FloatLayout,
    level: u8,
    block: &[u8; N],
) -> u64 {
    let magnitudes = machine.and(machine.load(block), machine.words(layout.magnitude_mask()));
    machine.less(magnitudes, machine.words(u32::from(level) << layout.mantissa_bits))
}
