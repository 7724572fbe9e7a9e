//! Classes of elements by their parent's exponent: the smaller a weight, the likelier a step
//! changes it.

use crate::codec::float_delta::{FloatLayout, load, log2};
use crate::codec::machine::{Bits, Machine};

/// How many classes there are.
pub(super) const CLASSES: usize = 8;
/// Exponents that are told apart.
const EXPONENTS: usize = 256;
/// Of the blocks in which something changed, one of so many is looked at whole.
const SAMPLE: usize = 16;
/// Steps longer than this are large.
const LARGE: u32 = 3;
/// Where more than one of so many is large, most are.
const LARGE_SHARE: u32 = 3;
/// Bits that a gap takes more than the binary logarithm of the mean.
const GAP_BITS: f32 = 1.5;
/// Bits that a class takes.
const CLASS_BITS: f32 = 24.0;

/// The largest exponent of the lowest class, when there is no other.
pub(super) const ALL_IN_ONE: u8 = u8::MAX;
/// Classes that gain less than this part of the places are not worth the time.
const GAIN_MIN: f32 = 0.01;

/// Which of a block's elements are in each class: the lowest class has the exponents up to `low`,
/// the others one each, the highest all from there on.
#[inline(always)]
pub(super) fn of_block<M: Machine<N>, const N: usize>(
    machine: M,
    layout: FloatLayout,
    low: u8,
    there: u64,
    block: &[u8; N],
) -> [u64; CLASSES] {
    let magnitudes = machine.and(machine.load(block), machine.words(layout.magnitude_mask()));
    let exponents = machine.narrow(machine.shr(magnitudes, layout.mantissa_bits));
    above(machine, exponents, low, there)
}

#[inline(always)]
fn above<B: Bits>(machine: B, exponents: B::Bytes, low: u8, there: u64) -> [u64; CLASSES] {
    let mut classes = [0; CLASSES];
    let mut rest = there;
    for (class, place) in classes.iter_mut().zip(0..CLASSES as u8 - 1) {
        let behind = rest & machine.above(exponents, low.saturating_add(place));
        *class = rest & !behind;
        rest = behind;
    }
    if let Some(last) = classes.last_mut() {
        *last = rest;
    }
    classes
}

/// Whether steps are so large that most of what a chunk costs is how large: that is told better by
/// a scale for elements that are neighbours in the tensor.
#[inline(always)]
pub(super) fn steps_are_large<const N: usize, const BYTES: usize>(
    layout: FloatLayout,
    chunk: &[u8],
    base: &[u8],
    changed: &[u64],
) -> bool {
    let (mut large, mut seen) = (0, 0);
    let blocks = chunk.chunks(N).zip(base.chunks(N)).zip(changed);
    for ((chunk, base), changed) in blocks.filter(|block| *block.1 != 0).step_by(SAMPLE) {
        seen += changed.count_ones();
        let parents = base.as_chunks::<BYTES>().0;
        for (child, parent) in chunk.as_chunks::<BYTES>().0.iter().zip(parents) {
            let (step, _) = layout.step_parts(load(parent), load(child));
            large += u32::from(step > LARGE);
        }
    }
    large * LARGE_SHARE > seen
}

/// How many elements have each exponent.
pub(super) struct Exponents {
    /// About, of all elements of blocks in which something changed.
    all: [u32; EXPONENTS],
    changed: [u32; EXPONENTS],
}

impl Exponents {
    /// Of a chunk's parent, of which these elements changed.
    #[inline(always)]
    pub(super) fn count<const N: usize, const BYTES: usize>(
        layout: FloatLayout,
        base: &[u8],
        changed: &[u64],
    ) -> Self {
        let none = [0; EXPONENTS];
        let mut exponents = Exponents { all: none, changed: none };
        let blocks = base.chunks(N).zip(changed);
        for (at, (base, changed)) in blocks.filter(|block| *block.1 != 0).enumerate() {
            let parents = base.as_chunks::<BYTES>().0;
            each(parents, *changed, |parent| {
                bump(&mut exponents.changed, exponent(layout, parent), 1);
            });
            if at % SAMPLE == 0 {
                each(parents, u64::MAX, |parent| {
                    bump(&mut exponents.all, exponent(layout, parent), SAMPLE as u32);
                });
            }
        }
        exponents
    }

    /// The largest exponent of the lowest class with which the places cost least; unless classes
    /// gain much, one class of all, which is found faster.
    pub(super) fn low(&self) -> u8 {
        let changed = |at: &u8| self.changed.get(usize::from(*at)).is_some_and(|count| *count > 0);
        let Some(least) = (0..=u8::MAX).find(changed) else { return 0 };
        let most = (least..=u8::MAX).rev().find(changed).unwrap_or(least);
        let below = self.below();
        let mut best = (ALL_IN_ONE, place_bits(&below, ALL_IN_ONE) * (1.0 - GAIN_MIN));
        for low in least..=most {
            let bits = place_bits(&below, low);
            if bits < best.1 {
                best = (low, bits);
            }
        }
        best.0
    }

    /// How many elements have a smaller exponent than each, and how many of these changed.
    fn below(&self) -> [(u32, u32); EXPONENTS + 1] {
        let mut below = [(0, 0); EXPONENTS + 1];
        let mut sum = (0, 0);
        let counts = self.all.iter().zip(&self.changed);
        for (below, (all, changed)) in below.iter_mut().skip(1).zip(counts) {
            sum = (sum.0 + all, sum.1 + changed);
            *below = sum;
        }
        below
    }
}

/// About what the places cost.
fn place_bits(below: &[(u32, u32); EXPONENTS + 1], low: u8) -> f32 {
    let (mut from, mut bits) = ((0, 0), 0.0);
    for class in 0..CLASSES {
        let end = if class + 1 == CLASSES { EXPONENTS } else { usize::from(low) + class + 1 };
        let to = below.get(end.min(EXPONENTS)).copied().unwrap_or(from);
        let (all, changed) = (to.0 - from.0, to.1 - from.1);
        if changed > 0 {
            let gap = all.max(changed) as f32 / changed as f32;
            bits += changed as f32 * (log2(gap) + GAP_BITS) + CLASS_BITS;
        }
        from = to;
    }
    bits
}

/// Calls `look` with the elements in the mask.
#[inline(always)]
fn each<const BYTES: usize>(
    elements: &[[u8; BYTES]],
    mut mask: u64,
    mut look: impl FnMut(&[u8; BYTES]),
) {
    while mask != 0 {
        let at = mask.trailing_zeros() as usize;
        mask &= mask - 1;
        if let Some(element) = elements.get(at) {
            look(element);
        }
    }
}

#[inline(always)]
fn exponent<const BYTES: usize>(layout: FloatLayout, element: &[u8; BYTES]) -> usize {
    ((load(element) & layout.magnitude_mask()) >> layout.mantissa_bits) as usize % EXPONENTS
}

#[inline(always)]
fn bump(counts: &mut [u32; EXPONENTS], exponent: usize, by: u32) {
    if let Some(count) = counts.get_mut(exponent) {
        *count += by;
    }
}
