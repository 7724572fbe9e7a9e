//! What the encoder counts before it chooses a model.

use crate::codec::coded::BLOCK_LEN;
use crate::codec::coded::floats::FloatShape;
use crate::codec::coded::number::Number;
use crate::codec::coded::parts::CLASS_JUMP_MAX;
use crate::codec::coded::tables::{SYMBOL_BITS, entropy_bits};

/// Fraction bits of classes as they are first found.
pub(super) const FRACTION_BITS: u32 = 2;
/// Mantissa bits that are counted.
pub(super) const TOP_BITS: u32 = 3;
/// Exponents that are counted, the last ones for all beyond.
pub(super) const EXPONENTS: usize = 64;
/// Exponents below a block's that are counted.
pub(super) const BELOW: i32 = 48;

/// Counts by exponent, highest mantissa bits, and sign.
pub(super) type Joint = Vec<u32>;
const JOINT_LEN: usize = EXPONENTS << (TOP_BITS + 1);

/// The class of each block: the binary logarithm of its mean size, in parts of an octave.
#[inline(always)]
pub(super) fn classes(number: Number, elements: &[u64]) -> Vec<i32> {
    let mut before = None;
    let class = |block: &[u64]| {
        let sum: f64 =
            block.iter().map(|element| number.size(*element)).filter(|size| *size < 1e30).sum();
        let log = (sum / block.len() as f64).log2();
        let found = if log.is_finite() {
            ((log + f64::from(number.bias())) * f64::from(1 << FRACTION_BITS)).round() as i32
        } else {
            before.unwrap_or(0)
        };
        let near = before.map_or(found, |before: i32| {
            found.clamp(before - CLASS_JUMP_MAX, before + CLASS_JUMP_MAX)
        });
        before = Some(near);
        near
    };
    elements.chunks(BLOCK_LEN).map(class).collect()
}

/// The class of all blocks together.
pub(super) fn mean_class(classes: &[i32]) -> i32 {
    let sum: i64 = classes.iter().map(|class| i64::from(*class)).sum();
    sum.checked_div(classes.len() as i64).unwrap_or(0) as i32
}

/// How many of the lowest bits of the mantissas of a block are zero everywhere, for each block.
#[inline(always)]
pub(super) fn trailing(number: Number, elements: &[u64]) -> Vec<u32> {
    let mantissa_bits = number.mantissa_bits.unwrap_or(0);
    let zeros = |block: &[u64]| {
        let any = block.iter().fold(0, |any, element| any | element);
        any.trailing_zeros().min(mantissa_bits)
    };
    elements.chunks(BLOCK_LEN).map(zeros).collect()
}

/// So many lowest bits that leaving them out where they are zero saves most.
pub(super) fn best_trailing(trailing: &[u32]) -> u32 {
    let saved = |bits: &u32| trailing.iter().filter(|zeros| *zeros >= bits).count() as u32 * bits;
    (0..64).rev().max_by_key(saved).unwrap_or(0)
}

/// Counts of floats under classes: one for every fraction.
pub(super) struct Counts {
    joint: Vec<Joint>,
    zeros: u32,
    /// Those that are not zero.
    all: u32,
}

impl Counts {
    #[inline(always)]
    pub(super) fn new(
        number: Number,
        elements: &[u64],
        classes: impl Iterator<Item = i32>,
    ) -> Self {
        let mut joint = vec![vec![0; JOINT_LEN]; 1 << FRACTION_BITS];
        let mut zeros = 0;
        let mantissa_bits = number.mantissa_bits.unwrap_or(TOP_BITS);
        let magnitudes = number.sign() - 1;
        for (block, class) in elements.chunks(BLOCK_LEN).zip(classes) {
            let from = (class >> FRACTION_BITS) - BELOW;
            let fraction = (class & ((1 << FRACTION_BITS) - 1)) as usize;
            let Some(joint) = joint.get_mut(fraction) else { continue };
            for element in block {
                let magnitude = element & magnitudes;
                let top = (magnitude >> (mantissa_bits - TOP_BITS)) as i64;
                let place = (top - (i64::from(from) << TOP_BITS)) << 1
                    | i64::from(element & number.sign() != 0);
                zeros += u32::from(magnitude == 0);
                // There is no such place, nor are there some of the others.
                let place = if magnitude == 0 { usize::MAX } else { place as usize };
                if let Some(count) = joint.get_mut(place) {
                    *count += 1;
                }
            }
        }
        Counts { joint, zeros, all: elements.len() as u32 - zeros }
    }

    /// The counts of classes that are not told apart with so many bits of fraction, together.
    pub(super) fn merged(&self, fraction_bits: u32) -> Vec<Joint> {
        let together = |joints: &[Joint]| {
            let mut sums = vec![0; JOINT_LEN];
            for joint in joints {
                sums.iter_mut().zip(joint).for_each(|(sum, count)| *sum += count);
            }
            sums
        };
        self.joint.chunks(1 << (FRACTION_BITS - fraction_bits)).map(together).collect()
    }

    /// Bits that coding takes with counts that are [`merged`](Self::merged), up to an exponent, if
    /// no block is short.
    pub(super) fn bits(&self, merged: &[Joint], shape: FloatShape, high: i32) -> f32 {
        let FloatShape { top, signed, low, .. } = shape;
        let exponents = (high + 1 - low) as usize;
        let from = ((low + BELOW).max(0) as usize) << (TOP_BITS + 1);
        let to = JOINT_LEN.min(from + (exponents << (TOP_BITS + 1)));
        // Counts of both signs in turn that have a symbol, or one for each sign.
        let together = 2 << (TOP_BITS - top);
        let mut bits = 0.0;
        let mut told = 0u32;
        let mut counts = Vec::with_capacity(JOINT_LEN);
        for joint in merged {
            let counted = joint.get(from..to).unwrap_or_default();
            counts.clear();
            for counts_of_one in counted.chunks(together) {
                let all: u32 = counts_of_one.iter().sum();
                told += all;
                if signed {
                    let negative: u32 = counts_of_one.iter().skip(1).step_by(2).sum();
                    counts.extend([all - negative, negative]);
                } else {
                    counts.push(all);
                }
            }
            let occurring = counts.iter().filter(|count| **count > 0);
            bits += occurring.clone().count() as f32 * SYMBOL_BITS + 20.0;
            bits += entropy_bits(occurring);
        }
        let escaped = (self.all - told) as f32;
        let total = (self.all + self.zeros) as f32;
        let rare = |count: f32| if count > 0.0 { count * (total / count).log2() } else { 0.0 };
        bits + told as f32 * shape.of_block(false).open() as f32
            + escaped * shape.number.bits() as f32
            + rare(escaped)
            + rare(self.zeros as f32)
    }
}

/// The exponents, counted from a block's, between which all counted floats are.
pub(super) fn range(counts: &Joint) -> Option<(i32, i32)> {
    let mut exponents = counts.chunks(1 << (TOP_BITS + 1));
    let occurs = |counts: &[u32]| counts.iter().fold(0, |any, count| any | count) > 0;
    let low = exponents.clone().position(occurs)?;
    let high = exponents.rposition(occurs)?;
    Some((low as i32 - BELOW, high as i32 - BELOW))
}
