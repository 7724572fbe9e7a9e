//! A heap of models, arranged as families.

use std::collections::{HashMap, HashSet};

use rayon::prelude::*;

use super::belief::{Signs, probabilities};
use super::compare::{self, Comparison, Resemblance};
use super::declared::names_as_base;
use super::evidence::{Evidence, Reason};
use super::geometry::{Geometry, NEAR_MAX, Standing};
use super::means::{Mean, mean_of};
use super::member::Member;
use super::pruned;
use super::tree::{Pruned, Tie, consistent, groups, sides, straighten, strongest_forest};
use super::{CLAIMED_FROM, SIBLINGS_FROM};
use crate::lineage::How;
use crate::store::Result;
use crate::tensor::Dtype;

/// Relatives of each member whose weights are read.
const COMPARED_MAX: usize = 24;
/// Bits an element that a tie is worth more when both have one type, and less for a share of
/// tensors that the family does not have: decides between parents that are otherwise equal.
const TIE_BREAK: f64 = 0.01;
/// What the other ties of a family say of one.
const OF_THE_REST: &str = "the family around them, and that neither may come from the other";
/// As [`TIE_BREAK`], for a tie to a base that is declared.
const NAMED_BREAK: f64 = 0.05;
/// The same for each bit of the wider of two types: what a cast was made of is not another cast.
const WIDTH_BREAK: f64 = 0.0001;

/// What comes later is more often the child: odds of 4.5 to 1.
const ARRIVED_LATER: f64 = 1.5;

/// Two members next to each other in a family's tree.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct Kinship {
    /// The place of the member that is the parent, or more likely so.
    pub parent: usize,
    /// The place of the other.
    pub child: usize,
    /// How the child was made of the parent, as far as that can be seen.
    pub how: How,
    /// The probability that the parent is the child's: from a third to 1. Claims of so much were
    /// right that often, in families on which the weights of the evidence were not learnt
    /// (docs/measurements.md, "Lineage found from weights").
    pub confidence: f64,
    /// The probability that neither comes from the other: they are siblings whose parent is not
    /// among the members, or farther apart.
    pub neither: f64,
    /// Bits an element that the two have in common.
    pub bits_per_element: f64,
    /// What spoke for the direction; weights are positive for this one.
    pub reasons: Vec<Reason>,
    /// Whether all tensors that both have are equal.
    pub same_weights: bool,
    /// How many tensors only the parent has, and only the child.
    pub alone: (usize, usize),
}

impl Kinship {
    /// Whether the direction is sure enough to be claimed.
    pub fn is_claimed(&self) -> bool {
        self.confidence >= CLAIMED_FROM
    }

    /// Whether no direction is claimed, and it may well be that neither comes from the other.
    pub fn are_siblings(&self) -> bool {
        !self.is_claimed() && !self.is_same_content() && self.neither >= SIBLINGS_FROM
    }

    /// Of copies the rest of the family tells nothing: only what is said of the two themselves.
    fn by_itself(mut self, own: f64) -> Self {
        self.neither = 0.0;
        self.confidence = 1.0 / (1.0 + (-own.max(0.0)).exp());
        self.reasons.retain(|reason| reason.text != OF_THE_REST);
        self
    }

    /// Whether both have the same tensors, and these are equal: nothing was made of anything.
    pub fn is_same_content(&self) -> bool {
        self.same_weights && self.alone == (0, 0)
    }
}

/// Exact comparisons of some pairs; the smaller place first.
pub(super) type Comparisons = HashMap<(usize, usize), Comparison>;

/// Arranges `members`, in any order, as families: a tree for each.
///
/// Cost: sketches of all pairs; the weights of each member and its 24 likeliest relatives, at
/// most 2^18 elements a tensor.
///
/// # Errors
///
/// Those of reading.
pub fn arrange(members: &[Member<'_>]) -> Result<Vec<Kinship>> {
    arrange_all(&members.iter().collect::<Vec<_>>())
}

/// As [`arrange`].
pub(super) fn arrange_all(members: &[&Member<'_>]) -> Result<Vec<Kinship>> {
    let comparisons = compare_kin(members)?;
    let tree = Tree::of(members, &comparisons, None)?;
    let kinships = (0..tree.ties.len()).filter_map(|at| tree.kinship(at, members, &comparisons));
    let mut kinships: Vec<Kinship> = kinships.collect();
    kinships.sort_by_key(|kinship| (kinship.child, kinship.parent));
    Ok(kinships)
}

/// The trees of some members, and what is believed of each tie.
pub(super) struct Tree {
    pub(super) ties: Vec<Tie>,
    signs: Vec<Signs>,
    found: Vec<[f64; 3]>,
    means: HashMap<usize, Mean>,
    geometry: Geometry,
    /// The member that came after all others.
    arrival: Option<usize>,
}

impl Tree {
    /// Cost: some weights of each member, and each with its nearest relatives three at a time.
    ///
    /// # Errors
    ///
    /// Those of reading.
    pub(super) fn of(
        members: &[&Member<'_>],
        comparisons: &Comparisons,
        arrival: Option<usize>,
    ) -> Result<Self> {
        let count = members.len();
        let mut ties = ties(members, comparisons);
        let ends = |ties: &[Tie], chosen: &[usize]| -> Vec<(usize, usize)> {
            chosen.iter().filter_map(|at| ties.get(*at)).map(|tie| tie.ends).collect()
        };
        let groups = groups(count, &ends(&ties, &strongest_forest(count, &ties)));
        let geometry = Geometry::read(members, &groups, &ties)?;
        let near = near(count, &ties);
        let means = means(&geometry, &near);
        ties.retain(|tie| is_no_detour(&geometry, &means, tie.ends));
        pruned::cut_detours(&geometry, &mut ties);
        let mut chosen = strongest_forest(count, &ties);
        let rather = |x, y, z| geometry.rather_middle(x, y, z);
        straighten((&ties, &near), &mut chosen, &rather);
        let ties: Vec<Tie> = chosen.iter().filter_map(|at| ties.get(*at).copied()).collect();
        let (signs, found) = (Vec::new(), Vec::new());
        let mut tree = Tree { ties, signs, found, means, geometry, arrival };
        tree.signs = tree.signs(count, &near);
        let scores: Vec<[f64; 3]> = tree.signs.iter().map(Signs::scores).collect();
        let ends: Vec<(usize, usize)> = tree.ties.iter().map(|tie| tie.ends).collect();
        // No more is believed of a direction than the two and those near them say: what the rest of a
        // tree adds was right less often than it was sure.
        let of = |(whole, scores): (&[f64; 3], &[f64; 3])| {
            let ([forward, backward, neither], own) = (*whole, probabilities(*scores));
            let [first, second, _] = own;
            [forward.min(first), backward.min(second), neither]
        };
        tree.found = consistent(count, &ends, &scores).iter().zip(&scores).map(of).collect();
        Ok(tree)
    }

    fn signs(&self, count: usize, near: &[Vec<usize>]) -> Vec<Signs> {
        // A mean is between its sources, and is no parent of them.
        let near: Vec<Vec<usize>> = near
            .iter()
            .map(|near| near.iter().copied().filter(|at| !self.means.contains_key(at)).collect())
            .collect();
        let standing = |at: usize| self.geometry.standing(at, near.get(at)?);
        let standings: Vec<Option<Standing>> = (0..count).into_par_iter().map(standing).collect();
        let ends: Vec<(usize, usize)> = self.ties.iter().map(|tie| tie.ends).collect();
        let ratio = |a: f64, b: f64| (a / b).ln();
        let sides = sides(count, &ends);
        let of = |(tie, (here, there)): (&Tie, &(usize, usize))| {
            let (a, b) = tie.ends;
            let mut around: Vec<usize> = Vec::new();
            for other in near.get(a).into_iter().chain(near.get(b)).flatten() {
                if !around.contains(other) {
                    around.push(*other);
                }
            }
            let mut family = self.geometry.signs((a, b), &around, &standings);
            family.side = ratio(*here as f64, *there as f64);
            let mut pair = tie.signs;
            pair.given += self.arrival_odds(tie.ends);
            if self.is_mean_of(b, a) {
                pair.function = 1.0;
            } else if self.is_mean_of(a, b) {
                pair.function = -1.0;
            }
            Signs { pair, family }
        };
        self.ties.par_iter().zip(&sides).map(of).collect()
    }

    fn is_mean_of(&self, mean: usize, source: usize) -> bool {
        self.means.get(&mean).is_some_and(|mean| mean.of.contains(&source))
    }

    /// For the first end as the parent.
    fn arrival_odds(&self, (a, b): (usize, usize)) -> f64 {
        match self.arrival {
            Some(arrival) if arrival == b => ARRIVED_LATER,
            Some(arrival) if arrival == a => -ARRIVED_LATER,
            _ => 0.0,
        }
    }

    /// What is decided of the two ends of a tie.
    pub(super) fn kinship(
        &self,
        at: usize,
        members: &[&Member<'_>],
        comparisons: &Comparisons,
    ) -> Option<Kinship> {
        let tie = self.ties.get(at)?;
        let [forward, backward, neither] = *self.found.get(at)?;
        let comparison = comparisons.get(&tie.ends)?;
        let (is_forward, reversed) = (forward >= backward, comparison.reversed());
        let (parent, child, comparison) = match is_forward {
            true => (tie.ends.0, tie.ends.1, comparison),
            false => (tie.ends.1, tie.ends.0, &reversed),
        };
        let mut evidence = Evidence::between(members.get(parent)?, members.get(child)?, comparison);
        if self.is_mean_of(child, parent) {
            let others = self.means.get(&child).into_iter().flat_map(|mean| &mean.of);
            let others = others.filter(|other| **other != parent);
            let names: Vec<&str> =
                others.filter_map(|at| Some(members.get(*at)?.label())).collect();
            evidence.add_mean(&names.join(" and "));
        }
        evidence.add_arrival(self.arrival_odds((parent, child)));
        let confidence = f64::max(forward, backward);
        let own = evidence.sum();
        let all = (confidence / (1.0 - confidence).max(1e-9)).ln();
        let mut reasons = evidence.reasons;
        if (all - own).abs() > 0.05 {
            reasons.push(Reason { text: OF_THE_REST.to_owned(), weight: all - own });
        }
        let found = Kinship {
            parent,
            child,
            how: evidence.how,
            confidence,
            neither,
            bits_per_element: tie.score,
            reasons,
            same_weights: comparison.is_equal(),
            alone: comparison.alone,
        };
        Some(if found.is_same_content() { found.by_itself(own) } else { found })
    }
}

/// Of each member the nearest relatives by the ties, the nearest first.
fn near(count: usize, ties: &[Tie]) -> Vec<Vec<usize>> {
    let mut near: Vec<Vec<(f64, usize)>> = vec![Vec::new(); count];
    for tie in ties {
        for (end, other) in [tie.ends, (tie.ends.1, tie.ends.0)] {
            near.get_mut(end).into_iter().for_each(|near| near.push((tie.score, other)));
        }
    }
    let sorted = |mut near: Vec<(f64, usize)>| {
        near.sort_by(|(a, first), (b, second)| b.total_cmp(a).then(first.cmp(second)));
        near.into_iter().take(NEAR_MAX).map(|(_, other)| other).collect()
    };
    near.into_iter().map(sorted).collect()
}

/// Which members are means of which.
fn means(geometry: &Geometry, near: &[Vec<usize>]) -> HashMap<usize, Mean> {
    let mean = |(at, near): (usize, &Vec<usize>)| Some((at, mean_of(geometry, at, near)?));
    let all: HashMap<usize, Mean> = near.par_iter().enumerate().filter_map(mean).collect();
    // A mean of three is one of two of them and of their mean as well: what is no mean is a source.
    let of_sources = |(at, mean): (&usize, &Mean)| {
        let near = near.get(*at).into_iter().flatten().copied();
        let sources: Vec<usize> = near.filter(|other| !all.contains_key(other)).collect();
        (*at, mean_of(geometry, *at, &sources).unwrap_or_else(|| mean.clone()))
    };
    all.iter().map(of_sources).collect()
}

/// Whether a tie leads to no mean, to a mean from the first of its sources, or from a mean to what is
/// near it alone: a mean is nearer to all of its family than its sources are.
fn is_no_detour(geometry: &Geometry, means: &HashMap<usize, Mean>, ends: (usize, usize)) -> bool {
    let may_lead = |mean: usize, other: usize| {
        let Some(Mean { of }) = means.get(&mean) else { return true };
        let own = geometry.distance2(mean, other);
        let is_nearest = || {
            let sources = of.iter().map(|source| geometry.distance2(*source, other));
            own.is_some()
                && sources.flatten().all(|source| own.is_some_and(|own| own < source / 4.0))
        };
        match of.contains(&other) {
            true => of.first() == Some(&other),
            false => is_nearest(),
        }
    };
    may_lead(ends.0, ends.1) && may_lead(ends.1, ends.0)
}

/// Compares the members that are kin by their sketches.
fn compare_kin(members: &[&Member<'_>]) -> Result<Comparisons> {
    let pairs: Vec<(usize, usize)> =
        (0..members.len()).flat_map(|b| (0..b).map(move |a| (a, b))).collect();
    let kin = |&(a, b): &(usize, usize)| {
        compare::kin(members.get(a)?, members.get(b)?).map(|resemblance| ((a, b), resemblance))
    };
    let kin: Vec<((usize, usize), Resemblance)> = pairs.par_iter().filter_map(kin).collect();
    compare_likeliest(members, &kin)
}

/// Reads the weights of each member and those that sketches hold for its nearest.
fn compare_likeliest(
    members: &[&Member<'_>],
    kin: &[((usize, usize), Resemblance)],
) -> Result<Comparisons> {
    let mut wanted: HashSet<(usize, usize)> = HashSet::new();
    for at in 0..members.len() {
        let mut own: Vec<_> = kin.iter().filter(|((a, b), _)| *a == at || *b == at).collect();
        own.sort_by(|(_, x), (_, y)| y.shared_bits.total_cmp(&x.shared_bits));
        wanted.extend(own.iter().take(COMPARED_MAX).map(|(pair, _)| *pair));
    }
    let mut wanted: Vec<(usize, usize)> = wanted.into_iter().collect();
    wanted.sort_unstable();
    let mut comparisons = HashMap::new();
    for (a, b) in wanted {
        if let Some((first, second)) = members.get(a).zip(members.get(b)) {
            comparisons.insert((a, b), Comparison::of(first, second)?);
        }
    }
    Ok(comparisons)
}

/// For each member the tensors that all whom it was compared with have too: heads that some have
/// and others lack do not decide who is nearer.
fn cores(members: &[&Member<'_>], comparisons: &Comparisons) -> Vec<Vec<bool>> {
    let mut cores: Vec<Vec<bool>> =
        members.iter().map(|member| vec![true; member.tensors().len()]).collect();
    for ((a, b), comparison) in comparisons {
        for (member, place) in [(*a, 0), (*b, 1)] {
            let Some(core) = cores.get_mut(member) else { continue };
            let paired: HashSet<usize> = comparison
                .tensors
                .iter()
                .map(|pair| if place == 0 { pair.at.0 } else { pair.at.1 })
                .collect();
            core.iter_mut().enumerate().for_each(|(at, core)| *core &= paired.contains(&at));
        }
    }
    // Without a common core, everything counts.
    for (core, member) in cores.iter_mut().zip(members) {
        if extras(core, member) > 0.7 {
            core.fill(true);
        }
    }
    cores
}

/// The share of a member's elements that is outside its core.
fn extras(core: &[bool], member: &Member<'_>) -> f64 {
    let elements = |wanted: &dyn Fn(bool) -> bool| -> f64 {
        let tensors = core.iter().zip(member.tensors()).filter(|(core, _)| wanted(**core));
        tensors.map(|(_, tensor)| tensor.sketch.elements() as f64).sum()
    };
    elements(&|core| !core) / elements(&|_| true).max(1.0)
}

/// The type of most of a member's elements.
fn main_dtype<'m>(member: &'m Member<'_>) -> Option<&'m Dtype> {
    let largest = member.tensors().iter().max_by_key(|tensor| tensor.sketch.elements());
    largest.map(|tensor| &tensor.dtype)
}

/// The ties of all compared pairs.
pub(super) fn ties<'m>(
    members: &[impl std::borrow::Borrow<Member<'m>>],
    comparisons: &Comparisons,
) -> Vec<Tie> {
    let members: Vec<&Member<'_>> = members.iter().map(|member| member.borrow()).collect();
    let cores = cores(&members, comparisons);
    let mut ties = Vec::new();
    for ((a, b), comparison) in comparisons {
        let both = members.get(*a).zip(members.get(*b)).zip(cores.get(*a).zip(cores.get(*b)));
        let Some(((first, second), (core_a, core_b))) = both else { continue };
        let partner: HashMap<usize, usize> =
            comparison.tensors.iter().map(|pair| pair.at).collect();
        let is_core = |at: usize| {
            let other = partner.get(&at).and_then(|other| core_b.get(*other));
            core_a.get(at) == Some(&true) && other == Some(&true)
        };
        let (bits, _) = comparison.shared(&is_core);
        let mut score = bits;
        score -= TIE_BREAK * (extras(core_a, first) + extras(core_b, second));
        let (one, other) = (main_dtype(first), main_dtype(second));
        score += if one == other { TIE_BREAK } else { 0.0 };
        let widest = one.into_iter().chain(other).filter_map(Dtype::bits).max().unwrap_or_default();
        score += WIDTH_BREAK * f64::from(widest);
        // A base that is declared is believed as far as the weights leave it open.
        let is_named = names_as_base(first, second) || names_as_base(second, first);
        score += if is_named { NAMED_BREAK } else { 0.0 };
        let Evidence { signs, how, .. } = Evidence::between(first, second, comparison);
        let pruned = match how {
            How::Prune if signs.function > 0.0 => Pruned::Second,
            How::Prune if signs.function < 0.0 => Pruned::First,
            _ => Pruned::Neither,
        };
        let decay = comparison.decay();
        ties.push(Tie { ends: (*a, *b), score, decay, pruned, signs });
    }
    ties.sort_by_key(|tie| tie.ends);
    ties
}

/// Two neighbours in a family's tree, and the signs of which came first, as numbers: for learning what
/// they weigh.
#[cfg(feature = "unstable-format")]
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Neighbours {
    /// The places of the two.
    pub ends: (usize, usize),
    /// Signs that have a direction: positive for the first as the parent.
    pub directed: Vec<f64>,
    /// A constant, and signs that have none.
    pub undirected: Vec<f64>,
}

/// Three members, and the signs for each as the one that the other two hang on, as numbers.
#[cfg(feature = "unstable-format")]
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Three {
    /// The places of the three.
    pub places: [usize; 3],
    /// Of each its signs.
    pub signs: [Vec<f64>; 3],
}

/// The neighbours that [`arrange`] finds among `members`, and all threes that can be compared.
///
/// # Errors
///
/// Those of reading.
#[cfg(feature = "unstable-format")]
pub fn neighbours(members: &[Member<'_>]) -> Result<(Vec<Neighbours>, Vec<Three>)> {
    let members: Vec<&Member<'_>> = members.iter().collect();
    let tree = Tree::of(&members, &compare_kin(&members)?, None)?;
    let all = tree.ties.iter().zip(&tree.signs);
    let of = |(tie, signs): (&Tie, &Signs)| Neighbours {
        ends: tie.ends,
        directed: signs.directed().to_vec(),
        undirected: signs.undirected().to_vec(),
    };
    let mut threes = Vec::new();
    for c in 0..members.len() {
        for (a, b) in (0..c).flat_map(|b| (0..b).map(move |a| (a, b))) {
            let signs = tree.geometry.triple([a, b, c]).map(|triple| triple.signs());
            let signs = signs.map(|signs| signs.map(|of_one| of_one.to_vec()));
            threes.extend(signs.map(|signs| Three { places: [a, b, c], signs }));
        }
    }
    Ok((all.map(of).collect(), threes))
}
