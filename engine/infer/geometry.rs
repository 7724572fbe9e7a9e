//! Where members are to each other: some weights of each, and what threes of them show.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use super::belief::FamilySigns;
use super::member::Member;
use super::samples;
use super::tree::Tie;
use super::triple::Triple;
use crate::store::Result;

/// The most elements of all members together, and of one, that are held.
const ELEMENTS_MAX: usize = 1 << 24;
const OF_ONE_MAX: usize = 1 << 16;
/// Relatives of a member that are looked at.
pub(super) const NEAR_MAX: usize = 8;
/// Some of each member's weights, at the same places in all.
#[derive(Debug, Default)]
pub(super) struct Geometry {
    /// Of each member, where it can be compared.
    weights: Vec<Option<Weights>>,
    /// The factor of decay from the first to the second of two members.
    decays: HashMap<(usize, usize), f32>,
    /// Those that were compared.
    triples: Mutex<HashMap<[usize; 3], Option<Triple>>>,
}

#[derive(Debug)]
struct Weights {
    values: Vec<f32>,
    /// Where each tensor ends among them; the same of all of a group.
    ends: Arc<[usize]>,
}

impl Geometry {
    /// Reads some weights of the members of each group of relatives. Cost: at most 2^16 elements of
    /// each member, fewer of many.
    ///
    /// # Errors
    ///
    /// Those of reading.
    pub(super) fn read(
        members: &[&Member<'_>],
        groups: &[Vec<usize>],
        ties: &[Tie],
    ) -> Result<Self> {
        let decays = ties.iter().filter_map(|tie| Some((tie.ends, tie.decay?.exp() as f32)));
        let weights = members.iter().map(|_| None).collect();
        let mut geometry = Geometry { weights, decays: decays.collect(), ..Geometry::default() };
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
        let mut all_ends: Option<Arc<[usize]>> = None;
        for (at, partners) in &places {
            let Some(member) = members.get(*at) else { continue };
            let (mut values, mut ends) = (Vec::new(), Vec::new());
            for tensor in &common {
                let Some(place) = partners.get(*tensor).copied().flatten() else { continue };
                let share = u128::from(size(*tensor)) * each as u128 / u128::from(all.max(1));
                samples::some_of(member, place, (share as usize).max(16), &mut values)?;
                ends.push(values.len());
            }
            let ends = Arc::clone(all_ends.get_or_insert_with(|| ends.into()));
            if let Some(slot) = self.weights.get_mut(*at) {
                *slot = Some(Weights { values, ends });
            }
        }
        Ok(())
    }

    fn of(&self, at: usize) -> Option<&[f32]> {
        Some(&self.weights.get(at)?.as_ref()?.values)
    }

    /// The factor from one member to another, where weights have only decayed.
    fn decay(&self, from: usize, to: usize) -> Option<f32> {
        let known = |a, b| self.decays.get(&(a, b)).copied();
        known(from, to).or_else(|| known(to, from).map(f32::recip))
    }

    /// The square of the distance of two members.
    pub(super) fn distance2(&self, a: usize, b: usize) -> Option<f64> {
        let pairs = self.of(a)?.iter().zip(self.of(b)?);
        Some(pairs.map(|(a, b)| f64::from(b - a).powi(2)).sum())
    }

    /// How three are to each other, where that can be said. Each three are compared once.
    pub(super) fn triple(&self, at: [usize; 3]) -> Option<Triple> {
        let mut sorted = at;
        sorted.sort_unstable();
        let known = |known: &HashMap<[usize; 3], Option<Triple>>| known.get(&sorted).copied();
        let found = self.triples.lock().ok().and_then(|all| known(&all)).unwrap_or_else(|| {
            let found = self.compare(sorted);
            if let Ok(mut all) = self.triples.lock() {
                all.insert(sorted, found);
            }
            found
        });
        let place = |member: usize| sorted.iter().position(|it| *it == member).unwrap_or(0);
        found.map(|triple| triple.in_order(at.map(place)))
    }

    fn compare(&self, [a, b, c]: [usize; 3]) -> Option<Triple> {
        let ends = &self.weights.get(a)?.as_ref()?.ends;
        let decays = [self.decay(b, c), self.decay(a, c), self.decay(a, b)];
        Triple::of([self.of(a)?, self.of(b)?, self.of(c)?], ends, decays)
    }

    /// How much more `x` than `y` is the one of the three that the other two hang on; 0 where that
    /// cannot be said.
    pub(super) fn rather_middle(&self, x: usize, y: usize, z: usize) -> f64 {
        let scores = self.triple([x, y, z]).map(|triple| triple.scores());
        scores.map_or(0.0, |[x, y, _]| x - y)
    }

    /// Where a member stands, by all threes of it and two of `near`.
    pub(super) fn standing(&self, at: usize, near: &[usize]) -> Option<Standing> {
        let (mut sum, mut count) = (Standing::default(), 0u32);
        for (nth, y) in near.iter().enumerate().filter(|(_, y)| **y != at) {
            for z in near.iter().skip(nth + 1).filter(|z| **z != at) {
                let Some(triple) = self.triple([at, *y, *z]) else { continue };
                let ([middle, _, _], none) = triple.probabilities();
                let [cosine, ..] = triple.cosine;
                let [parts, ..] = triple.parts;
                sum.middle += middle;
                sum.none += none;
                sum.cosine += cosine.max(0.0);
                sum.parts += parts;
                count += 1;
            }
        }
        let mean = |sum: f64| sum / f64::from(count);
        (count > 0).then(|| Standing {
            middle: mean(sum.middle),
            none: mean(sum.none),
            cosine: mean(sum.cosine),
            parts: mean(sum.parts),
        })
    }

    /// The signs of two neighbours by thirds near them, and by where all of these stand.
    pub(super) fn signs(
        &self,
        (a, b): (usize, usize),
        near: &[usize],
        standings: &[Option<Standing>],
    ) -> FamilySigns {
        let mut signs = FamilySigns::default();
        let mut count = 0.0;
        let (mut least, mut most) = (f64::INFINITY, f64::NEG_INFINITY);
        for z in near.iter().filter(|z| **z != a && **z != b) {
            let Some(triple) = self.triple([a, b, *z]) else { continue };
            let ([first, second, _], _) = triple.probabilities();
            let lesser = |[first, second, _]: [f64; 3]| first.min(second);
            signs.lead += first - second;
            signs.lesser += first.min(second);
            signs.cosine += lesser(triple.cosine).max(0.0);
            signs.parts += lesser(triple.parts);
            least = least.min(first.max(second));
            let [first, second, _] = triple.alone;
            most = most.max(first.max(second).clamp(-2.0, 2.0));
            count += 1.0;
        }
        if count == 0.0 {
            return signs;
        }
        for sum in [&mut signs.lead, &mut signs.lesser, &mut signs.cosine, &mut signs.parts] {
            *sum /= count;
        }
        (signs.third, signs.least, signs.most) = (1.0, least, most);
        let of = |at: usize| standings.get(at).copied().flatten().unwrap_or_default();
        signs.middle = of(a).middle - of(b).middle;
        signs.angle = of(a).cosine - of(b).cosine;
        signs.own = of(a).middle.max(of(b).middle);
        let all = || near.iter().chain([&a, &b]).filter_map(|at| standings.get(*at).copied()?);
        let (none, stand) = all().fold((0.0, 0.0), |(sum, n), it| (sum + it.none, n + 1.0));
        signs.none = none / f64::max(stand, 1.0);
        signs.straightest = all().map(|it| it.parts).fold(1.0, f64::min);
        signs
    }
}

/// Where a member stands among its relatives: means over threes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Standing {
    /// How likely the others hang on it.
    pub(super) middle: f64,
    /// How likely no one of the three is that.
    pub(super) none: f64,
    /// The cosine of the angle there, of all weights, and of single tensors.
    pub(super) cosine: f64,
    pub(super) parts: f64,
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
