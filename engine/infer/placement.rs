//! Where a model that comes into a store belongs.

use std::collections::HashMap;

use rayon::prelude::*;

use super::compare::{Comparison, Resemblance, kin};
use super::evidence::{Evidence, Reason};
use super::family::{Kinship, ties};
use super::member::Member;
use super::tree::{is_near, turns_back};
use crate::lineage::NodeId;
use crate::planning::model_bands;
use crate::store::{Model, Result, Snapshot, look_alikes};

/// Up to this many models, all of a store are looked at.
const ALL_MAX: u64 = 32;
/// Models whose sketches are compared.
const LOOKED_AT_MAX: usize = 48;
/// Candidates whose weights are compared.
const COMPARED_MAX: usize = 4;
/// What comes later is more often the child: odds of 4.5 to 1.
const ARRIVED_LATER: f64 = 1.5;

/// Where a model belongs in a store.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Placement {
    /// The models of the store that are its relatives by their sketches, the likeliest first.
    pub candidates: Vec<(Model, Resemblance)>,
    /// How many models' sketches were looked at.
    pub looked_at: usize,
    /// The candidate that is nearest by the weights.
    pub nearest: Option<Model>,
    /// The kinship with it: member 0 is the nearest, member 1 the new model.
    pub kinship: Option<Kinship>,
}

impl Placement {
    /// The parent, when the new model is the child and that is sure enough to be claimed.
    pub fn parent(&self) -> Option<(&Model, &Kinship)> {
        let kinship = self.kinship.as_ref()?;
        let is_child = kinship.child == 1 && kinship.is_claimed();
        self.nearest.as_ref().filter(|_| is_child).map(|model| (model, kinship))
    }
}

/// Finds the place of `member` among the models of a store.
///
/// Cost: bounded rows of the catalogue for the candidates, whatever the number of models; the
/// weights of the likeliest four.
///
/// # Errors
///
/// Those of the catalogue and of reading.
pub fn place(snapshot: &Snapshot, member: &Member<'_>) -> Result<Placement> {
    let look_alikes = look_alikes_of(snapshot, member)?;
    let compare = |id: &NodeId| -> Result<Option<(Member<'static>, Resemblance)>> {
        // A stale row may name a node that is gone.
        let Some(node) = snapshot.graph().node(*id)? else { return Ok(None) };
        let model = snapshot.model_of(node)?;
        // Of what was not pulled yet there is nothing to compare.
        if model.missing_tensors()? > 0 {
            return Ok(None);
        }
        let candidate = Member::stored(model)?;
        let resemblance = kin(&candidate, member);
        Ok(resemblance.map(|resemblance| (candidate, resemblance)))
    };
    let found: Vec<Option<_>> = look_alikes.par_iter().map(compare).collect::<Result<_>>()?;
    let mut candidates: Vec<(Member<'static>, Resemblance)> = found.into_iter().flatten().collect();
    candidates.sort_by(|(_, a), (_, b)| b.shared_bits.total_cmp(&a.shared_bits));

    let mut placement = Placement { looked_at: look_alikes.len(), ..Placement::default() };
    placement.candidates = candidates
        .iter()
        .filter_map(|(member, resemblance)| Some((member.model()?.clone(), *resemblance)))
        .collect();
    let near: Vec<&Member<'_>> =
        candidates.iter().take(COMPARED_MAX).map(|(member, _)| member).collect();
    if let Some((at, kinship)) = nearest(&near, member)? {
        placement.nearest = near.get(at).and_then(|member| member.model()).cloned();
        placement.kinship = Some(kinship);
    }
    Ok(placement)
}

/// The likeliest neighbour among `near`, by the weights.
fn nearest(near: &[&Member<'_>], member: &Member<'_>) -> Result<Option<(usize, Kinship)>> {
    let mut comparisons = HashMap::new();
    for (at, other) in near.iter().enumerate() {
        comparisons.insert((at, near.len()), Comparison::of(other, member)?);
    }
    let all: Vec<&Member<'_>> = near.iter().copied().chain([member]).collect();
    let ties = ties(&all, &comparisons);
    let Some(mut best) = ties.iter().max_by(|a, b| a.score.total_cmp(&b.score)) else {
        return Ok(None);
    };
    for tie in ties.iter().filter(|tie| tie.ends != best.ends && is_near(tie, best)) {
        let (Some(middle), Some(other)) = (all.get(best.ends.0), all.get(tie.ends.0)) else {
            continue;
        };
        let (_, distance) = Comparison::of(other, middle)?.shared(&|_| true);
        if turns_back(distance, best.distance, tie.distance) {
            best = tie;
        }
    }
    let Some(other) = all.get(best.ends.0) else { return Ok(None) };
    let Some(comparison) = comparisons.get(&best.ends) else { return Ok(None) };
    let mut evidence = Evidence::between(other, member, comparison);
    let mut alone = comparison.alone;
    let (mut parent, mut child, mut later) = (0, 1, ARRIVED_LATER);
    if evidence.sum() + ARRIVED_LATER < 0.0 {
        (parent, child, later) = (1, 0, -ARRIVED_LATER);
        evidence = Evidence::between(member, other, &comparison.reversed());
        alone = (alone.1, alone.0);
    }
    evidence.reasons.push(Reason { text: "which of them came later".to_owned(), weight: later });
    let sum = evidence.sum();
    let kinship = Kinship {
        parent,
        child,
        how: evidence.how,
        confidence: 1.0 / (1.0 + (-sum).exp()),
        bits_per_element: best.score,
        reasons: evidence.reasons,
        same_weights: comparison.is_equal(),
        alone,
    };
    Ok(Some((best.ends.0, kinship)))
}

/// The models worth looking at: all of a small store; else those that share the rarest buckets,
/// and their ancestors.
fn look_alikes_of(snapshot: &Snapshot, member: &Member<'_>) -> Result<Vec<NodeId>> {
    let sketches = member.tensors().iter().map(|tensor| (&tensor.id, &tensor.sketch));
    look_alikes(snapshot.tables(), &model_bands(sketches), ALL_MAX, LOOKED_AT_MAX)
}
