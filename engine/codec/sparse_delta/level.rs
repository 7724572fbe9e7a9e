//! The level below which all elements are told.

use super::each_pair;
use crate::codec::float_delta::{FloatLayout, log2};
use crate::codec::machine::{BLOCK_LEN, Machine};

/// Exponents that are told apart.
const EXPONENTS: usize = 256;
/// Of the exponents of all elements, those of one block of so many are counted.
const SAMPLE: usize = 16;
/// More bits that a change takes for its place than the gaps have at least.
const PLACE_BITS: f32 = 1.5;
/// Bits that an element may cost more when it need not be coded.
const WORK_BITS: f32 = 0.1;

/// How many elements have each exponent.
pub(super) struct Exponents {
    /// About, of all elements.
    all: [u32; EXPONENTS],
    changed: [u32; EXPONENTS],
}

impl Exponents {
    /// Of a chunk whose changed elements are known.
    #[inline(always)]
    pub(super) fn count<M: Machine<N>, const N: usize, const BYTES: usize>(
        machine: M,
        layout: FloatLayout,
        (chunk, base): (&[u8], &[u8]),
    ) -> Self {
        let mut exponents = Exponents { all: [0; EXPONENTS], changed: [0; EXPONENTS] };
        let mut at = 0;
        each_pair::<M, N>(machine, chunk, base, |_, base, changed| {
            let elements = base.as_chunks::<BYTES>().0;
            add(layout, elements, changed, 1, &mut exponents.changed);
            if at % SAMPLE == 0 {
                add(layout, elements, u64::MAX, SAMPLE as u32, &mut exponents.all);
            }
            at += 1;
            true
        });
        exponents
    }

    /// The level that costs least, of a chunk of so many elements.
    pub(super) fn level(&self, elements: usize) -> u8 {
        let mut rest: u32 = self.changed.iter().sum();
        let (mut told, mut told_bits) = (0, 0.0);
        let mut best = (0, place_bits(rest, elements));
        for (at, (all, changed)) in (1..=u8::MAX).zip(self.all.iter().zip(&self.changed)) {
            let all = (*all).max(*changed);
            told += all;
            if told as usize * 4 > elements {
                break;
            }
            told_bits += all as f32 * (entropy(*changed, all) + WORK_BITS);
            rest -= changed;
            let bits = told_bits + place_bits(rest, elements);
            if bits < best.1 {
                best = (at, bits);
            }
        }
        best.0
    }
}

/// Counts the exponents of the elements in the mask, `weight` times each.
#[inline(always)]
fn add<const BYTES: usize>(
    layout: FloatLayout,
    elements: &[[u8; BYTES]],
    mut mask: u64,
    weight: u32,
    counts: &mut [u32; EXPONENTS],
) {
    while mask != 0 {
        let at = mask.trailing_zeros() as usize % BLOCK_LEN;
        mask &= mask - 1;
        let Some([.., low, high]) = elements.get(at).map(|bytes| bytes.as_slice()) else {
            continue;
        };
        // The highest 16 bits have the whole exponent.
        let upper = u32::from(u16::from_le_bytes([*low, *high])) << (8 * (BYTES - 2));
        let exponent = (upper & layout.magnitude_mask()) >> layout.mantissa_bits;
        if let Some(count) = counts.get_mut(exponent as usize) {
            *count += weight;
        }
    }
}

/// What the places of so many changes cost.
fn place_bits(changes: u32, elements: usize) -> f32 {
    let gap = elements as f32 / changes.max(1) as f32;
    changes as f32 * (log2(gap) + PLACE_BITS)
}

/// Bits that it costs to say of an element whether it changed.
fn entropy(changed: u32, all: u32) -> f32 {
    if changed == 0 || changed >= all {
        return 0.0;
    }
    let (share, rest) = (changed as f32 / all as f32, (all - changed) as f32 / all as f32);
    -share * log2(share) - rest * log2(rest)
}
