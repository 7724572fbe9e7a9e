//! A heap of models, arranged as families.

use std::collections::{HashMap, HashSet};

use rayon::prelude::*;

use super::CLAIMED_FROM;
use super::compare::{self, Comparison, Resemblance};
use super::declared::names_as_base;
use super::evidence::{Evidence, Reason};
use super::member::Member;
use super::tree::{Tie, directions, straighten, strongest_forest};
use crate::lineage::How;
use crate::store::Result;

/// Relatives of each member whose weights are read.
const COMPARED_MAX: usize = 24;
/// Bits an element that a tie is worth more when both have one type, and less for a share of
/// tensors that the family does not have: decides between parents that are otherwise equal.
const TIE_BREAK: f64 = 0.01;
/// What the other ties of a family say of one.
const OF_THE_REST: &str = "the shape and the evidence of the rest of the family";
/// As [`TIE_BREAK`], for a tie to a base that is declared.
const NAMED_BREAK: f64 = 0.05;

/// Two members next to each other in a family's tree.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Kinship {
    /// The place of the member that is the parent, or more likely so.
    pub parent: usize,
    /// The place of the other.
    pub child: usize,
    /// How the child was made of the parent, as far as that can be seen.
    pub how: How,
    /// The probability of this direction, given that the two belong together: from 0.5 to 1.
    pub confidence: f64,
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

    /// Of copies the rest of the family tells nothing: only what is said of the two themselves.
    fn by_itself(mut self, own: f64) -> Self {
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
    let pairs: Vec<(usize, usize)> =
        (0..members.len()).flat_map(|b| (0..b).map(move |a| (a, b))).collect();
    let kin = |&(a, b): &(usize, usize)| {
        compare::kin(members.get(a)?, members.get(b)?).map(|resemblance| ((a, b), resemblance))
    };
    let kin: Vec<((usize, usize), Resemblance)> = pairs.par_iter().filter_map(kin).collect();
    let comparisons = compare_likeliest(members, &kin)?;
    let ties = ties(members, &comparisons);
    let mut chosen = strongest_forest(members.len(), &ties);
    straighten(&ties, &mut chosen);
    let ties: Vec<Tie> = chosen.iter().filter_map(|at| ties.get(*at).copied()).collect();
    let towards = directions(members.len(), &ties);
    let kinship = |(tie, towards): (&Tie, f64)| {
        let (a, b) = tie.ends;
        let (first, second) = (members.get(a)?, members.get(b)?);
        let comparison = comparisons.get(&(a, b))?;
        let (evidence, alone) = match towards >= 0.5 {
            true => (Evidence::between(first, second, comparison), comparison.alone),
            false => {
                let reversed = comparison.reversed();
                (Evidence::between(second, first, &reversed), reversed.alone)
            }
        };
        let own = evidence.sum();
        let same_weights = comparison.is_equal();
        let found = Kinship { same_weights, alone, ..kinship(tie, towards, evidence) };
        Some(if found.is_same_content() { found.by_itself(own) } else { found })
    };
    let mut kinships: Vec<Kinship> = ties.iter().zip(towards).filter_map(kinship).collect();
    kinships.sort_by_key(|kinship| (kinship.child, kinship.parent));
    Ok(kinships)
}

fn kinship(tie: &Tie, towards: f64, evidence: Evidence) -> Kinship {
    let (a, b) = tie.ends;
    let forward = towards >= 0.5;
    let (parent, child) = if forward { (a, b) } else { (b, a) };
    let confidence = if forward { towards } else { 1.0 - towards };
    let mut reasons = evidence.reasons;
    let own: f64 = reasons.iter().map(|reason| reason.weight).sum();
    let all = (confidence / (1.0 - confidence).max(1e-9)).ln();
    if (all - own).abs() > 0.05 {
        let text = OF_THE_REST.to_owned();
        reasons.push(Reason { text, weight: all - own });
    }
    let how = evidence.how;
    let (same_weights, alone, bits_per_element) = (false, (0, 0), tie.score);
    Kinship { parent, child, how, confidence, bits_per_element, reasons, same_weights, alone }
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

fn common_dtype(a: &Member<'_>, b: &Member<'_>) -> bool {
    let bits = |member: &Member<'_>| {
        let largest = member.tensors().iter().max_by_key(|tensor| tensor.sketch.elements());
        largest.map(|tensor| tensor.dtype.clone())
    };
    bits(a) == bits(b)
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
        let (bits, distance) = comparison.shared(&is_core);
        let mut score = bits;
        score -= TIE_BREAK * (extras(core_a, first) + extras(core_b, second));
        score += if common_dtype(first, second) { TIE_BREAK } else { 0.0 };
        // A base that is declared is believed as far as the weights leave it open.
        let is_named = names_as_base(first, second) || names_as_base(second, first);
        score += if is_named { NAMED_BREAK } else { 0.0 };
        let odds = Evidence::between(first, second, comparison).sum();
        ties.push(Tie { ends: (*a, *b), score, distance, odds });
    }
    ties.sort_by_key(|tie| tie.ends);
    ties
}
