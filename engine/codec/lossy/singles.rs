//! Rounding F32 to multiples, sixteen elements at a time: one loop, compiled for wide registers too
//! where the processor has them. All ways give the same bits.

#![allow(clippy::indexing_slicing, reason = "lanes of arrays that have so many")]

use super::{Half, Loss, MULTIPLE_MAX};
use crate::codec::cpu::on_cpu;

/// Elements that are handled at once: so many sums of errors are kept, whatever the registers.
const LANES: usize = 16;

/// What rounding is done with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rounder {
    pub(super) factor: f32,
    /// The factor, in the arithmetic of multiples.
    pub(super) step: f64,
    pub(super) bound: f64,
}

type Single = [u8; 4];
type Block = [Single; LANES];

/// `floor(steps + 1/2)`, exactly where the result is a multiple that is used, and without a call:
/// adding and taking away 1.5 * 2^52 rounds to the nearest integer, ties to even.
#[inline(always)]
fn nearest(steps: f64) -> f64 {
    let even = (steps + MAGIC) - MAGIC;
    // A tie that went down goes up.
    if even - steps == -0.5 { even + 1.0 } else { even }
}

/// 1.5 * 2^52: the lowest bits of a number next to it count whole numbers.
const MAGIC: f64 = 6_755_399_441_055_744.0;

/// Tells of rounding, for each lane.
#[derive(Default)]
struct Tally {
    squares: [f64; LANES],
    largest: [f64; LANES],
    exact: [u64; LANES],
    wide: [u64; LANES],
}

impl Tally {
    fn loss(&self, elements: usize) -> Loss {
        Loss {
            elements: elements as u64,
            exact: self.exact.iter().sum(),
            squared_error: self.squares.iter().sum(),
            largest_error: self.largest.iter().fold(0.0, |largest, error| largest.max(*error)),
            wide: self.wide.iter().any(|wide| *wide > 0),
        }
    }
}

impl Rounder {
    /// What is added to `base` for `own`: a multiple, as a whole number.
    #[inline(always)]
    pub(super) fn multiple(self, base: f32, own: f32) -> f64 {
        let multiple = nearest((f64::from(own) - f64::from(base)) / self.step);
        // Also where it is a NaN.
        if multiple.abs() <= MULTIPLE_MAX { multiple } else { 0.0 }
    }

    #[inline(always)]
    fn round_block(self, bases: &Block, owns: &Block, values: &mut Block, tally: &mut Tally) {
        for lane in 0..LANES {
            let (base, own) = (f32::from_le_bytes(bases[lane]), f32::from_le_bytes(owns[lane]));
            let added = self.multiple(base, own);
            let fits = (-128.0..=127.0).contains(&added);
            tally.wide[lane] |= u64::from(!fits);
            let sum = base + self.factor * added as f32;
            let made = if added == 0.0 { base } else { sum };
            let error = (f64::from(made) - f64::from(own)).abs();
            // A NaN is within no bound.
            let within = error <= self.bound;
            values[lane] = if within { made.to_le_bytes() } else { owns[lane] };
            let error = if within { error } else { 0.0 };
            tally.squares[lane] += error * error;
            tally.largest[lane] =
                if error > tally.largest[lane] { error } else { tally.largest[lane] };
            tally.exact[lane] += u64::from(!within);
        }
    }

    #[inline(always)]
    fn round_all(self, bases: &[Single], owns: &[Single], values: &mut [Single]) -> Loss {
        let mut tally = Tally::default();
        let elements = owns.len();
        let (bases, bases_left) = bases.as_chunks::<LANES>();
        let (owns, owns_left) = owns.as_chunks::<LANES>();
        let (values, values_left) = values.as_chunks_mut::<LANES>();
        for ((value, own), base) in values.iter_mut().zip(owns).zip(bases) {
            self.round_block(base, own, value, &mut tally);
        }
        // Zeros behind the last add nothing to any sum.
        let (base, own) = (padded(bases_left), padded(owns_left));
        let mut value = Block::default();
        self.round_block(&base, &own, &mut value, &mut tally);
        values_left.iter_mut().zip(value).for_each(|(left, value)| *left = value);
        tally.loss(elements)
    }

    #[inline(always)]
    fn half_block(self, bases: &Block, owns: &Block, half: Half) -> [u8; LANES] {
        let mut out = [0; LANES];
        for lane in 0..LANES {
            let (base, own) = (f32::from_le_bytes(bases[lane]), f32::from_le_bytes(owns[lane]));
            out[lane] = half.of(self.multiple(base, own));
        }
        out
    }

    #[inline(always)]
    fn halves_of_all(self, half: Half, bases: &[Single], owns: &[Single], out: &mut [u8]) {
        let (bases, bases_left) = bases.as_chunks::<LANES>();
        let (owns, owns_left) = owns.as_chunks::<LANES>();
        let (out, out_left) = out.as_chunks_mut::<LANES>();
        for ((out, own), base) in out.iter_mut().zip(owns).zip(bases) {
            *out = self.half_block(base, own, half);
        }
        let last = self.half_block(&padded(bases_left), &padded(owns_left), half);
        out_left.iter_mut().zip(last).for_each(|(left, last)| *left = last);
    }

    /// Rounds `owns` into `values`. All three are of one length.
    pub(super) fn round(self, bases: &[Single], owns: &[Single], values: &mut [Single]) -> Loss {
        widest(Round(self, bases, owns, values))
    }

    /// A half of each multiple into `out`. All three have as many elements.
    pub(super) fn halves(self, half: Half, bases: &[Single], owns: &[Single], out: &mut [u8]) {
        widest(Halves(self, half, bases, owns, out));
    }
}

/// A loop over all elements. It is inlined, so that it is compiled for whoever runs it.
trait Pass {
    type Out;
    fn run(self) -> Self::Out;
}

struct Round<'a>(Rounder, &'a [Single], &'a [Single], &'a mut [Single]);

impl Pass for Round<'_> {
    type Out = Loss;

    #[inline(always)]
    fn run(self) -> Loss {
        self.0.round_all(self.1, self.2, self.3)
    }
}

struct Halves<'a>(Rounder, Half, &'a [Single], &'a [Single], &'a mut [u8]);

impl Pass for Halves<'_> {
    type Out = ();

    #[inline(always)]
    fn run(self) {
        self.0.halves_of_all(self.1, self.2, self.3, self.4);
    }
}

/// Runs a pass with the widest registers of this processor.
fn widest<P: Pass>(pass: P) -> P::Out {
    on_cpu!(_cpu => pass.run())
}

impl Half {
    /// This half of a multiple.
    #[inline(always)]
    pub(super) fn of(self, multiple: f64) -> u8 {
        let bits = (multiple + MAGIC).to_bits() as i16;
        let lower = bits as i8;
        match self {
            Half::Lower => lower as u8,
            Half::Upper => (bits.wrapping_sub(i16::from(lower)) >> 8) as u8,
        }
    }
}

fn padded(left: &[Single]) -> Block {
    let mut block = Block::default();
    block.iter_mut().zip(left).for_each(|(to, from)| *to = *from);
    block
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn steps_are_rounded_as_the_formula_says() {
        let halves = (-70_000..70_000).map(|twice| f64::from(twice) / 2.0);
        for steps in halves.flat_map(|tie| [tie, tie.next_up(), tie.next_down(), tie + 0.3]) {
            // What is just below a half is not brought up to one by the sum's own rounding.
            let floor = steps.floor();
            let expected = if steps - floor >= 0.5 { floor + 1.0 } else { floor };
            assert_eq!(nearest(steps), expected, "{steps}");
        }
        assert!(nearest(f64::NAN).is_nan());
    }

    #[test]
    fn halves_make_the_multiple_again() {
        for multiple in -32_639..=32_639 {
            let [lower, upper] = [Half::Lower, Half::Upper].map(|half| half.of(multiple.into()));
            assert_eq!(i32::from(lower as i8) + 256 * i32::from(upper as i8), multiple);
        }
    }

    /// Element by element, as the documentation says it.
    fn naive(rounder: Rounder, base: f32, own: f32) -> (f64, [u8; 4]) {
        let steps = (f64::from(own) - f64::from(base)) / rounder.step;
        let floor = steps.floor();
        let mut multiple = if steps - floor >= 0.5 { floor + 1.0 } else { floor };
        if multiple.is_nan() || multiple.abs() > MULTIPLE_MAX {
            multiple = 0.0;
        }
        let made = if multiple == 0.0 { base } else { base + rounder.factor * multiple as f32 };
        let within = (f64::from(made) - f64::from(own)).abs() <= rounder.bound;
        (multiple, if within { made } else { own }.to_le_bytes())
    }

    #[test]
    fn all_ways_give_what_the_formula_says() {
        let mut state = 7u64;
        let mut next = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 32) as u32
        };
        let factor = 1.9e-4f32;
        let rounder = Rounder { factor, step: factor.into(), bound: f64::from(factor) / 2.0 };
        for elements in [0, 1, 15, 16, 17, 333] {
            let bases: Vec<Single> = (0..elements)
                .map(|at| match at % 7 {
                    0 => next().to_le_bytes(),
                    1 => (-0.0f32).to_le_bytes(),
                    _ => (f32::from(next() as i8) / 512.0).to_le_bytes(),
                })
                .collect();
            let owns: Vec<Single> = bases
                .iter()
                .enumerate()
                .map(|(at, base)| match at % 11 {
                    0 => f32::NAN.to_le_bytes(),
                    1 => f32::INFINITY.to_le_bytes(),
                    2 => *base,
                    3 => (f32::from_le_bytes(*base) + factor * 1.5).to_le_bytes(),
                    _ => {
                        (f32::from_le_bytes(*base) + f32::from(next() as i16) * 3e-5).to_le_bytes()
                    }
                })
                .collect();
            let expected: Vec<(f64, Single)> = bases
                .iter()
                .zip(&owns)
                .map(|(base, own)| {
                    naive(rounder, f32::from_le_bytes(*base), f32::from_le_bytes(*own))
                })
                .collect();
            let mut portable = vec![Single::default(); elements];
            let loss = rounder.round_all(&bases, &owns, &mut portable);
            let mut values = vec![Single::default(); elements];
            assert_eq!(rounder.round(&bases, &owns, &mut values), loss);
            assert_eq!(values, portable);
            assert_eq!(values, expected.iter().map(|(_, value)| *value).collect::<Vec<_>>());
            let wide = expected.iter().any(|(m, _)| !(-128.0..=127.0).contains(m));
            assert_eq!((loss.elements, loss.wide), (elements as u64, wide));
            for half in [Half::Lower, Half::Upper] {
                let mut out = vec![0; elements];
                rounder.halves(half, &bases, &owns, &mut out);
                let halves: Vec<u8> = expected.iter().map(|(m, _)| half.of(*m)).collect();
                assert_eq!(out, halves);
            }
        }
    }
}
