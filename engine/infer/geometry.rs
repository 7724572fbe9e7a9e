//! Where members are to each other, three at a time.
//!
//! A training moves each weight by a step of its own. So of a parent and two children, or of three
//! that follow each other, one is *between* the other two: where they agree, it seldom differs. Of
//! three siblings none is, for each has made steps of its own. Two things show it: how often a
//! weight of one is far from those of the others while these are near each other (of most use where
//! many steps are small), and the cosine of the angle at which it sees them (0 for a parent and
//! children that went their own ways, 0.5 for siblings that went equally far).

use super::belief::FamilySigns;
use super::member::Member;
use super::samples;
use crate::store::Result;

/// The most elements of all members together, and of one, that are held.
const ELEMENTS_MAX: usize = 1 << 24;
const OF_ONE_MAX: usize = 1 << 16;
/// Relatives of a member that are looked at.
pub(super) const NEAR_MAX: usize = 8;
/// A weight is far from two others when these are nearer to each other by these factors.
const FACTORS: [f32; 2] = [0.1, 0.01];
/// Elements that differ at all, from which on three can be compared.
const CHANGED_MIN: u32 = 50;
/// What counts of weights that are far begin with, so that few say little.
const COUNT_PRIOR: f64 = 5.0;

/// Some of each member's weights, at the same places in all.
#[derive(Debug, Default)]
pub(super) struct Geometry {
    /// Of each member, where it can be compared.
    weights: Vec<Option<Vec<f32>>>,
}

/// How three members are to each other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Triple {
    /// How far each is between the other two: the logarithm of how much less often it is far from
    /// both than the next.
    pub(super) between: [f64; 3],
    /// The cosine of the angle at which each sees the other two.
    pub(super) cosine: [f64; 3],
}

impl Geometry {
    /// Reads some weights of the members of each group of relatives. Cost: at most 2^16 elements of
    /// each member, fewer of many.
    ///
    /// # Errors
    ///
    /// Those of reading.
    pub(super) fn read(members: &[&Member<'_>], groups: &[Vec<usize>]) -> Result<Self> {
        let mut geometry = Geometry { weights: vec![None; members.len()] };
        let each = (ELEMENTS_MAX / members.len().max(1)).min(OF_ONE_MAX);
        for group in groups.iter().filter(|group| group.len() > 2) {
            geometry.read_group(members, group, each)?;
        }
        Ok(geometry)
    }

    fn read_group(&mut self, members: &[&Member<'_>], group: &[usize], each: usize) -> Result<()> {
        let in_group = || group.iter().filter_map(|at| Some((*at, *members.get(*at)?)));
        // Heads that some have are in the larger ones alone.
        let mut sizes: Vec<(u64, usize)> = in_group().map(|(at, it)| (floats(it), at)).collect();
        sizes.sort_unstable();
        let middle = sizes.get(sizes.len() / 2).map_or(0, |(size, _)| *size);
        let least = sizes.iter().find(|(size, _)| *size > 0 && 2 * size >= middle);
        let Some((_, first)) = least.and_then(|(size, at)| Some((size, *members.get(*at)?))) else {
            return Ok(());
        };
        let places: Vec<(usize, Vec<Option<usize>>)> = in_group()
            .map(|(at, member)| (at, partners(first, member)))
            .filter(|(_, partners)| 2 * elements(first, partners) >= floats(first))
            .collect();
        let common: Vec<usize> = (0..first.tensors().len())
            .filter(|tensor| {
                places.iter().all(|(_, it)| it.get(*tensor).copied().flatten().is_some())
            })
            .collect();
        let size = |tensor: usize| {
            first.tensors().get(tensor).map_or(0, |tensor| tensor.sketch.elements())
        };
        let all: u64 = common.iter().map(|tensor| size(*tensor)).sum();
        for (at, partners) in &places {
            let Some(member) = members.get(*at) else { continue };
            let mut weights = Vec::new();
            for tensor in &common {
                let Some(place) = partners.get(*tensor).copied().flatten() else { continue };
                let share = u128::from(size(*tensor)) * each as u128 / u128::from(all.max(1));
                samples::some_of(member, place, (share as usize).max(16), &mut weights)?;
            }
            if let Some(slot) = self.weights.get_mut(*at) {
                *slot = Some(weights);
            }
        }
        Ok(())
    }

    fn of(&self, at: usize) -> Option<&[f32]> {
        self.weights.get(at)?.as_deref()
    }

    /// The square of the distance of two members.
    pub(super) fn distance2(&self, a: usize, b: usize) -> Option<f64> {
        let pairs = self.of(a)?.iter().zip(self.of(b)?);
        Some(pairs.map(|(a, b)| f64::from(b - a).powi(2)).sum())
    }

    /// How three are to each other, where that can be said.
    pub(super) fn triple(&self, at: [usize; 3]) -> Option<Triple> {
        let [a, b, c] = at;
        let (a, b, c) = (self.of(a)?, self.of(b)?, self.of(c)?);
        let (mut changed, mut far) = (0u32, [[0u32; FACTORS.len()]; 3]);
        let mut squares = [0.0f64; 3];
        for ((a, b), c) in a.iter().zip(b).zip(c) {
            // Opposite of each.
            let sides = [(b - c).abs(), (a - c).abs(), (a - b).abs()];
            let [of_a, of_b, of_c] = sides;
            let sum = of_a + of_b + of_c;
            if sum <= 0.0 || !sum.is_finite() {
                continue;
            }
            changed += 1;
            let bounds = [of_b.min(of_c), of_a.min(of_c), of_a.min(of_b)];
            for (((side, bound), far), square) in
                sides.iter().zip(bounds).zip(&mut far).zip(&mut squares)
            {
                *square += f64::from(*side).powi(2);
                for (far, factor) in far.iter_mut().zip(FACTORS) {
                    *far += u32::from(*side < factor * bound);
                }
            }
        }
        if changed < CHANGED_MIN || squares.iter().any(|square| *square <= 0.0) {
            return None;
        }
        let logs = far.map(|far| far.map(|far| (f64::from(far) + COUNT_PRIOR).ln()));
        let [la, lb, lc] = logs;
        let between = |own: [f64; 2], x: [f64; 2], y: [f64; 2]| {
            let each = own.iter().zip(x).zip(y).map(|((own, x), y)| x.min(y) - own);
            each.sum::<f64>() / own.len() as f64
        };
        let [sa, sb, sc] = squares;
        let cosine = |own: f64, x: f64, y: f64| (x + y - own) / (2.0 * (x * y).sqrt());
        Some(Triple {
            between: [between(la, lb, lc), between(lb, la, lc), between(lc, la, lb)],
            cosine: [cosine(sa, sb, sc), cosine(sb, sa, sc), cosine(sc, sa, sb)],
        })
    }

    /// How far a member is between any two of `near`, and the mean cosine of the angles there.
    pub(super) fn standing(&self, at: usize, near: &[usize]) -> Option<Standing> {
        let mut sums = (0.0, 0.0, 0u32);
        for (nth, y) in near.iter().enumerate() {
            for z in near.iter().skip(nth + 1).filter(|z| **z != at && *y != at) {
                let Some(triple) = self.triple([at, *y, *z]) else { continue };
                let ([between, ..], [cosine, ..]) = (triple.between, triple.cosine);
                sums.0 += between.clamp(-1.0, 1.0);
                sums.1 += cosine.max(0.0);
                sums.2 += 1;
            }
        }
        let (between, cosine, count) = sums;
        let count = f64::from(count);
        (count > 0.0).then(|| Standing { between: between / count, cosine: cosine / count })
    }

    /// The signs of two neighbours by thirds near them, and by where all of these stand.
    pub(super) fn signs(
        &self,
        (a, b): (usize, usize),
        near: &[usize],
        standings: &[Option<Standing>],
    ) -> FamilySigns {
        let mut signs = FamilySigns::default();
        let of = |at: usize| standings.get(at).copied().flatten().unwrap_or_default();
        signs.middle = of(a).between - of(b).between;
        signs.angle = of(a).cosine - of(b).cosine;
        let thirds = near.iter().filter(|z| **z != a && **z != b);
        let triples: Vec<Triple> = thirds.filter_map(|z| self.triple([a, b, *z])).collect();
        if triples.is_empty() {
            return signs;
        }
        let fold = |start: f64, of: fn(f64, f64) -> f64, value: &dyn Fn(&Triple) -> f64| {
            triples.iter().map(value).fold(start, of)
        };
        let first = |it: &Triple| it.between.first().copied().unwrap_or_default();
        let second = |it: &Triple| it.between.get(1).copied().unwrap_or_default();
        let (low, high) = (f64::NEG_INFINITY, f64::INFINITY);
        let clamp = |value: f64| value.clamp(-1.0, 1.5);
        let first_most = clamp(fold(low, f64::max, &first));
        let second_most = clamp(fold(low, f64::max, &second));
        signs.third = 1.0;
        signs.between = first_most - second_most;
        signs.both = first_most.min(second_most).max(0.0);
        signs.least = fold(high, f64::min, &|it| first(it).max(second(it))).clamp(-1.0, 1.0);
        let all = || near.iter().chain([&a, &b]).filter_map(|at| standings.get(*at).copied()?);
        signs.most = all().map(|it| it.between).fold(-1.0, f64::max);
        signs.straightest = all().map(|it| it.cosine).fold(1.0, f64::min);
        let lesser = |it: &Triple| {
            let [first, second, _] = it.cosine;
            first.min(second).clamp(-0.3, 1.0)
        };
        let sum: f64 = triples.iter().map(lesser).sum();
        signs.cosine = (sum / triples.len() as f64, fold(-1.0, f64::max, &lesser));
        signs
    }
}

/// Where a member stands among its relatives.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Standing {
    pub(super) between: f64,
    pub(super) cosine: f64,
}

/// Elements of a member's floats.
fn floats(member: &Member<'_>) -> u64 {
    let floats = member.tensors().iter().filter(|tensor| tensor.dtype.is_float());
    floats.map(|tensor| tensor.sketch.elements()).sum()
}

/// Of each tensor of `first` the place of its partner in `member`, where both are floats.
fn partners(first: &Member<'_>, member: &Member<'_>) -> Vec<Option<usize>> {
    let mut partners = vec![None; first.tensors().len()];
    for (here, there) in first.pairs(member) {
        let both = first.tensors().get(here).zip(member.tensors().get(there));
        let are_floats = both.is_some_and(|(a, b)| {
            a.dtype.is_float() && b.dtype.is_float() && a.sketch.elements() == b.sketch.elements()
        });
        if let Some(slot) = partners.get_mut(here).filter(|_| are_floats) {
            *slot = Some(there);
        }
    }
    partners
}

fn elements(first: &Member<'_>, partners: &[Option<usize>]) -> u64 {
    let paired = first.tensors().iter().zip(partners).filter(|(_, partner)| partner.is_some());
    paired.map(|(tensor, _)| tensor.sketch.elements()).sum()
}
