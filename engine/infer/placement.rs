//! Where a model that comes into a store belongs.

use std::collections::HashMap;

use rayon::prelude::*;

use super::compare::{Comparison, Resemblance, kin};
use super::family::{Kinship, Tree};
use super::member::Member;
use crate::lineage::NodeId;
use crate::planning::model_bands;
use crate::store::{Model, Result, Snapshot, look_alikes};

/// Up to this many models, all of a store are looked at.
const ALL_MAX: u64 = 32;
/// Models whose sketches are compared.
const LOOKED_AT_MAX: usize = 48;
/// Candidates whose weights are compared.
const COMPARED_MAX: usize = 4;

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
/// weights of the likeliest four, each with each other.
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
    let all: Vec<&Member<'_>> = near.iter().copied().chain([member]).collect();
    let mut comparisons = HashMap::new();
    for (b, other) in all.iter().enumerate() {
        for (a, first) in all.iter().enumerate().take(b) {
            comparisons.insert((a, b), Comparison::of(first, other)?);
        }
    }
    let tree = Tree::of(&all, &comparisons, Some(near.len()))?;
    let own = tree.ties.iter().enumerate().filter(|(_, tie)| tie.ends.1 == near.len());
    let found =
        own.filter_map(|(at, tie)| Some((tie.ends.0, tree.kinship(at, &all, &comparisons)?)));
    // It has one parent: of several neighbours the likeliest to be it, else the nearest.
    let is_child = |it: &Kinship| it.child == near.len() && it.is_claimed();
    let best = found.max_by(|(_, a), (_, b)| {
        let order = is_child(a).cmp(&is_child(b));
        order.then(a.bits_per_element.total_cmp(&b.bits_per_element))
    });
    Ok(best.map(|(at, kinship)| {
        let place = |place: usize| usize::from(place == near.len());
        let (parent, child) = (place(kinship.parent), place(kinship.child));
        (at, Kinship { parent, child, ..kinship })
    }))
}

/// The models worth looking at: all of a small store; else those that share the rarest buckets,
/// and their ancestors.
fn look_alikes_of(snapshot: &Snapshot, member: &Member<'_>) -> Result<Vec<NodeId>> {
    let sketches = member.tensors().iter().map(|tensor| (&tensor.id, &tensor.sketch));
    look_alikes(snapshot.tables(), &model_bands(sketches), ALL_MAX, LOOKED_AT_MAX)
}
