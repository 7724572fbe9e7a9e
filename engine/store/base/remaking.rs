//! What the tensors of a stored model may be made of by formulas, now that other models are there:
//! also of such as came after it.

use super::candidate::{Candidate, Derivation};
use super::candidates::{AdaptersOf, Based, Candidates, adapters_of, push};
use super::relatives::{BaseFinder, Reach};
use crate::catalog::{EdgeKind, Table};
use crate::format::Manifest;
use crate::lineage::{Graph, NodeId};
use crate::planning::{Relation, Sketch, Sketcher, TensorKey};
use crate::store::error::Result;

/// Children, and later versions, of a model that are looked at.
const CHILDREN_MAX: usize = 12;
/// A store of no more models is looked at as a whole; of a larger one so many.
const ALL_MAX: u64 = 64;
const LOOKED_AT_MAX: usize = 16;
/// Of those that are kin, how many are compared by all tensors.
const COMPARED_MAX: usize = 8;
/// Bases of each relation that are tried for a tensor.
const TRIED_MAX: usize = 4;
/// A formula is tried where sketches say that it takes at most this part of what is stored.
const WORTH_TRYING: f64 = 0.95;

impl BaseFinder<'_, '_> {
    /// What the tensors of a stored model may be made of: of what it is said to come from, what
    /// came from it, and what resembles it. Cost: manifests and sketches of a bounded number of
    /// models.
    pub(in crate::store) fn remakings(
        &self,
        node: NodeId,
        manifest: &Manifest,
    ) -> Result<Candidates> {
        let (mut declared, parents) = self.declared(node)?;
        let beside = self.beside(node)?;
        let keys: Vec<TensorKey<'_>> = manifest.tensors.iter().map(Into::into).collect();
        let mut sketches = Vec::with_capacity(keys.len());
        for tensor in manifest.tensors.iter() {
            let kept = self.sketch(tensor.content_id, tensor.dtype)?;
            sketches.push(kept.unwrap_or_else(|| Sketcher::new(tensor.dtype, 0).finish()));
        }
        // A model does not become its own base.
        declared.retain(|other| *other != node);
        let is_small = self.tables.count_to(Table::Nodes, ALL_MAX + 1)? <= ALL_MAX;
        let looked_at_max =
            if is_small { ALL_MAX as usize } else { LOOKED_AT_MAX.max(beside.len()) };
        let reach = Reach { beside, looked_at_max, compared_max: COMPARED_MAX };
        let mut found = self.candidates_within(&keys, sketches, &declared, (parents, 0), &reach)?;
        found.adapters.extend(self.adapters_beside(node, &reach)?);
        Ok(found)
    }

    /// What came from a stored model, and from what it came from.
    pub(in crate::store) fn beside(&self, node: NodeId) -> Result<Vec<NodeId>> {
        let mut beside = Vec::new();
        self.children(node, EdgeKind::Provenance, CHILDREN_MAX, &mut beside)?;
        self.children(node, EdgeKind::Version, CHILDREN_MAX, &mut beside)?;
        beside.extend(self.siblings(&self.declared(node)?.0)?);
        beside.retain(|other| *other != node);
        Ok(beside)
    }

    /// What the adapters near a model change: those beside it, and any of a small store.
    fn adapters_beside(&self, node: NodeId, reach: &Reach) -> Result<Vec<AdaptersOf>> {
        let mut nodes = reach.beside.clone();
        if self.tables.count_to(Table::Nodes, ALL_MAX + 1)? <= ALL_MAX {
            nodes.extend(Graph(self.tables).nodes()?.iter().map(|node| node.id));
        }
        nodes.sort_unstable();
        nodes.dedup();
        let mut found = Vec::new();
        for other in nodes.into_iter().filter(|other| *other != node) {
            let Some(other) = Graph(self.tables).node(other)? else { continue };
            let adapters = adapters_of(&*self.manifest_of(&other)?);
            if !adapters.is_empty() {
                found.push(adapters);
            }
        }
        Ok(found)
    }

    /// What one tensor may be made of by a formula, if it takes `present` bits an element now.
    pub(in crate::store) fn remakings_of(
        &self,
        all: &Candidates,
        at: usize,
        name: &str,
        present: f64,
    ) -> Result<Vec<Candidate>> {
        let Some(sketch) = all.sketches.get(at) else { return Ok(Vec::new()) };
        let mut found: Vec<(f64, Candidate)> = Vec::new();
        for (place, relative) in all.relatives.iter().enumerate() {
            let Some((base, relation)) = all.base(place, at) else { continue };
            let bits = relative.bits(at);
            // A sketch knows no scales of rows: of eight bits it only tells relatives.
            let is_eight = sketch.dtype().bits() == Some(8);
            let promising = || bits.is_some_and(|bits| is_eight || bits < WORTH_TRYING * present);
            let derivation = match relation {
                Relation::Resized => Derivation::Related(Relation::Resized),
                Relation::Converted if promising() && !self.is_its_cast(&base, sketch)? => {
                    Derivation::Related(Relation::Converted)
                }
                Relation::Same if self.may_make(&base, sketch)? => Derivation::Made,
                Relation::Same | Relation::Converted => continue,
            };
            // What sketches cannot judge comes behind the rest.
            found.push((bits.unwrap_or(f64::MAX), Candidate { bases: vec![base], derivation }));
        }
        found.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        let mut candidates: Vec<Candidate> = Vec::new();
        for (_, candidate) in found {
            let same = |other: &&Candidate| other.derivation == candidate.derivation;
            if candidates.iter().filter(same).count() < TRIED_MAX {
                let Candidate { bases, derivation } = candidate;
                push(&mut candidates, bases, derivation);
            }
        }
        all.add_combined(&mut candidates, at, name, all.relatives.len());
        Ok(candidates)
    }

    /// Whether a content is what a cast makes of the tensor. Only one of the two should stand on the
    /// other, and it is the cast that costs nothing.
    fn is_its_cast(&self, (base, dtype): &Based, sketch: &Sketch) -> Result<bool> {
        let kept = self.sketch(*base, dtype)?;
        let back = kept.and_then(|kept| sketch.estimate(&kept));
        Ok(back.is_some_and(|back| back.bits == 0.0))
    }

    fn may_make(&self, (base, dtype): &Based, sketch: &Sketch) -> Result<bool> {
        let kept = self.sketch(*base, dtype)?;
        Ok(kept.is_some_and(|kept| kept.may_make(sketch)))
    }
}
