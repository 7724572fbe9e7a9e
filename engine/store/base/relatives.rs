//! The stored models whose tensors a new model's are likeliest coded against: those that it is
//! said to come from, and those that resemble it, found by sketches alone.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use super::candidate::{Candidate, Derivation};
use super::sketches::{band_members, sketch_of_stored};
use crate::catalog::{EdgeKind, ReadTables, RecordRow, Table, keys};
use crate::codec::formula::Formula;
use crate::format::{Manifest, RecordKind};
use crate::lineage::{Graph, Node, NodeId};
use crate::planning::{
    Estimate, INHERITED_FROM, Likeness, Ranking, Relation, Sketch, TensorKey, level, model_bands,
    pair_tensors,
};
use crate::store::error::Result;
use crate::store::read::chain::Chain;
use crate::store::read::model::read_manifest;
use crate::store::read::record::record_row;
use crate::store::shared::Shared;
use crate::store::slabs::read_source;
use crate::store::source::{NewTensor, Source};
use crate::tensor::{ContentId, Dtype};

/// Children of a declared parent that are looked at.
const SIBLINGS_MAX: usize = 4;
/// Tensors by whose sketches it is told whether they are kin.
const PROBES_MAX: usize = 12;
/// A model whose tensors could be paired in more ways is not looked at unless it is declared.
const PAIRS_MAX: usize = 1 << 22;
/// Rows of a bucket that are read.
const BUCKET_MAX: usize = 64;

/// How far it is looked for models that are not declared.
#[derive(Clone, Debug)]
pub(in crate::store) struct Reach {
    /// Models that are looked at before all others.
    pub(in crate::store) beside: Vec<NodeId>,
    /// Models that are looked at, whatever the size of the store.
    pub(in crate::store) looked_at_max: usize,
    /// Of those that are kin, how many are compared by all tensors.
    pub(in crate::store) compared_max: usize,
}

impl Reach {
    /// That of an import, which does not wait long.
    pub(in crate::store) fn of_import(beside: Vec<NodeId>) -> Self {
        Reach { beside, looked_at_max: 16, compared_max: 3 }
    }
}

/// A stored model, beside a new one.
pub(in crate::store) struct Relative {
    pub(in crate::store) manifest: Arc<Manifest>,
    /// For every new tensor its partner, and how it may have come from it.
    pub(in crate::store) pairs: Vec<Option<(usize, Relation)>>,
    /// For every new tensor the bits an element that sketches predict; empty while they predict
    /// nothing of any.
    bits: Vec<Option<f64>>,
}

/// Models that share the rarest of these buckets, with their ancestors, at most `max`; all models
/// of a store that has no more than `all_max`. Some may be gone. Cost: bounded rows, whatever the
/// number of models.
pub(crate) fn look_alikes(
    tables: &dyn ReadTables,
    bands: &[u64],
    all_max: u64,
    max: usize,
) -> Result<Vec<NodeId>> {
    if tables.count_to(Table::Nodes, all_max.saturating_add(1))? <= all_max {
        let mut ids = Vec::new();
        tables.scan(Table::Nodes, &[], &mut |key, _| {
            ids.extend(<[u8; 16]>::try_from(key).ok().map(NodeId));
            Ok(ControlFlow::Continue(()))
        })?;
        return Ok(ids);
    }
    // A member counts for more in a rare bucket.
    let mut votes: HashMap<NodeId, f64> = HashMap::new();
    for band in bands {
        let (members, more) = band_members(tables, *band, BUCKET_MAX)?;
        let weight = if more { 0.001 } else { 1.0 / members.len().max(1) as f64 };
        for id in members {
            *votes.entry(id).or_default() += weight;
        }
    }
    let mut ranked: Vec<(NodeId, f64)> = votes.into_iter().collect();
    ranked.sort_by(|(a, x), (b, y)| y.total_cmp(x).then(a.cmp(b)));
    let mut chosen: Vec<NodeId> = Vec::new();
    let mut seen: HashSet<NodeId> = HashSet::new();
    let graph = Graph(tables);
    for (id, _) in ranked {
        let mut next = Some(id);
        // With the first parent of each generation: whoever resembles a child resembles it.
        while let Some(id) = next.filter(|id| chosen.len() < max && seen.insert(*id)) {
            chosen.push(id);
            next = match graph.node(id)? {
                Some(_) => graph.parents(id)?.first().map(|edge| edge.parent),
                None => None,
            };
        }
    }
    Ok(chosen)
}

/// The sketch of a tensor that is still to be read. Cost: reads its samples, or all of a short one.
pub(in crate::store) fn sketch_of(tensor: &NewTensor<'_>) -> Result<Sketch> {
    match tensor.source {
        Source::Bytes(bytes) => Ok(Sketch::of(&tensor.dtype, bytes)),
        _ => Sketch::read(&tensor.dtype, tensor.byte_len, |offset, out| {
            read_source(tensor, offset, out)
        }),
    }
}

/// Finds what new tensors may be coded against. It reads, and changes nothing.
pub(in crate::store) struct BaseFinder<'t, 'c> {
    pub(in crate::store) tables: &'t dyn ReadTables,
    pub(in crate::store) shared: &'c Shared,
    /// The longest delta chain that what is coded may make.
    pub(in crate::store) depth_max: u8,
}

impl BaseFinder<'_, '_> {
    /// What a stored model is said to come from: its parents, then the version before it; and how
    /// many of them are parents.
    pub(in crate::store) fn declared(&self, node: NodeId) -> Result<(Vec<NodeId>, usize)> {
        let graph = Graph(self.tables);
        let mut declared: Vec<NodeId> =
            graph.parents(node)?.into_iter().map(|edge| edge.parent).collect();
        let parents = declared.len();
        declared.extend(graph.previous(node)?);
        Ok((declared, parents))
    }

    /// The declared models, in order, then those within reach that resemble the new one; and
    /// how they rank. Without sketches there are no others, and all are tried.
    ///
    /// Cost: manifests and sketches of a bounded number of models; of weights only what is so short
    /// that it has no sketch is read.
    pub(in crate::store) fn relatives(
        &self,
        tensors: &[TensorKey<'_>],
        sketches: &[Sketch],
        declared: &[NodeId],
        reach: &Reach,
    ) -> Result<(Vec<Relative>, Option<Ranking>)> {
        let mut relatives = Vec::new();
        for node in declared {
            let manifest = self.manifest_of(&Graph(self.tables).expect(*node)?)?;
            relatives.push(relative(tensors, manifest));
        }
        if sketches.is_empty() {
            return Ok((relatives, None));
        }
        for relative in &mut relatives {
            self.estimate(relative, sketches, 0..sketches.len(), &mut |_, _, _| ())?;
        }
        for mut relative in self.kin(tensors, sketches, declared, reach)? {
            self.estimate(&mut relative, sketches, 0..sketches.len(), &mut |_, _, _| ())?;
            relatives.push(relative);
        }
        let sizes = sketches.iter().map(|sketch| (sketch.elements(), sketch.alone_bits()));
        let bits: Vec<&[Option<f64>]> = relatives.iter().map(|it| it.bits.as_slice()).collect();
        let ranking = Ranking::new(&bits, sizes);
        Ok((relatives, Some(ranking)))
    }

    pub(in crate::store) fn manifest_of(&self, node: &Node) -> Result<Arc<Manifest>> {
        read_manifest(self.shared, self.tables, node.row.manifest)
    }

    /// The sketch of a stored content seen as `dtype`.
    pub(in crate::store) fn sketch(&self, id: ContentId, dtype: &Dtype) -> Result<Option<Sketch>> {
        sketch_of_stored(self.shared, self.tables, id, dtype)
    }

    /// Estimates tensors of a relative, and shows each with what the relative's sketch is.
    fn estimate(
        &self,
        relative: &mut Relative,
        sketches: &[Sketch],
        which: impl Iterator<Item = usize>,
        show: &mut dyn FnMut(usize, &Sketch, &Estimate),
    ) -> Result<()> {
        for at in which.filter(|at| sketches[*at].elements() > 0) {
            let Some((partner, _)) = relative.pairs[at] else { continue };
            let Some(partner) = relative.manifest.tensors.get(partner) else { continue };
            let kept = self.sketch(partner.content_id, partner.dtype)?;
            let Some(kept) = kept else { continue };
            if let Some(estimate) = kept.estimate(&sketches[at]) {
                relative.bits.resize(sketches.len(), None);
                relative.bits[at] = Some(estimate.bits);
                show(at, &kept, &estimate);
            }
        }
        Ok(())
    }

    /// Models that are not declared and that the new one descends from or shares an ancestor
    /// with, the nearest first.
    fn kin(
        &self,
        tensors: &[TensorKey<'_>],
        sketches: &[Sketch],
        declared: &[NodeId],
        reach: &Reach,
    ) -> Result<Vec<Relative>> {
        let mut probes: Vec<usize> =
            (0..sketches.len()).filter(|at| sketches[*at].is_telling()).collect();
        probes.sort_by_key(|at| (std::cmp::Reverse(sketches[*at].elements()), *at));
        probes.truncate(PROBES_MAX);
        if probes.is_empty() {
            return Ok(Vec::new());
        }
        let telling: f64 = probes.iter().map(|at| sketches[*at].elements() as f64).sum();
        let mut nodes = reach.beside.clone();
        let bands = model_bands(std::iter::repeat(&ContentId::NONE).zip(sketches));
        let more = reach.looked_at_max.saturating_sub(nodes.len());
        nodes.extend(look_alikes(self.tables, &bands, reach.looked_at_max as u64, more)?);
        let mut seen: HashSet<NodeId> = declared.iter().copied().collect();
        let mut kin: Vec<(f64, Relative)> = Vec::new();
        for node in nodes {
            if !seen.insert(node) {
                continue;
            }
            // A stale row may name a node that is gone.
            let Some(node) = Graph(self.tables).node(node)? else { continue };
            let manifest = self.manifest_of(&node)?;
            if manifest.tensors.len().saturating_mul(tensors.len()) > PAIRS_MAX {
                continue;
            }
            let mut relative = relative(tensors, manifest);
            let (mut likeness, mut shared_bits) = (Likeness::default(), 0.0);
            self.estimate(
                &mut relative,
                sketches,
                probes.iter().copied(),
                &mut |at, kept, found| {
                    likeness.add((kept, &sketches[at]), found, found.equal == 1.0);
                    if found.correlation > INHERITED_FROM {
                        let saved = sketches[at].alone_bits() - found.bits;
                        shared_bits += saved.max(0.0) * found.elements as f64;
                    }
                },
            )?;
            if likeness.is_kinship(telling) {
                kin.push((shared_bits, relative));
            }
        }
        kin.sort_by(|(a, _), (b, _)| b.total_cmp(a));
        kin.truncate(reach.compared_max);
        Ok(kin.into_iter().map(|(_, relative)| relative).collect())
    }

    /// Some of the other children of these models.
    pub(in crate::store) fn siblings(&self, parents: &[NodeId]) -> Result<Vec<NodeId>> {
        let mut siblings = Vec::new();
        for parent in parents {
            self.children(*parent, EdgeKind::Provenance, SIBLINGS_MAX, &mut siblings)?;
        }
        siblings.truncate(SIBLINGS_MAX);
        Ok(siblings)
    }

    /// Adds children of a model until there are `max`.
    pub(in crate::store) fn children(
        &self,
        parent: NodeId,
        kind: EdgeKind,
        max: usize,
        children: &mut Vec<NodeId>,
    ) -> Result<()> {
        let prefix = keys::edges(&parent.0, kind);
        self.tables.scan(Table::Children, &prefix, &mut |key, _| {
            if children.len() >= max {
                return Ok(ControlFlow::Break(()));
            }
            let id = key.get(prefix.len()..).and_then(|id| <[u8; 16]>::try_from(id).ok());
            children.extend(id.map(NodeId));
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(())
    }

    /// Whether decoding a content passes the largest allowed number of differences.
    fn is_full(&self, id: ContentId) -> Result<bool> {
        let Some(row) = record_row(self.tables, Table::Tensors, id.as_bytes())? else {
            return Ok(false);
        };
        if row.depth < self.depth_max {
            return Ok(false);
        }
        let chain = Chain::open(self.shared, self.tables, RecordKind::Tensor, id, row)?;
        Ok(chain.steps() >= self.depth_max)
    }

    /// Where the best base's chain is full: it and what it stands on, down to the root. One that
    /// stands alone, or whose chain has room, has none.
    fn full_chain(&self, base: ContentId) -> Result<Vec<(ContentId, RecordRow)>> {
        let mut path = Vec::new();
        let mut next = self.is_full(base)?.then_some(base);
        while let Some(id) = next
            && path.len() <= usize::from(self.depth_max)
        {
            let Some(row) = record_row(self.tables, Table::Tensors, id.as_bytes())? else {
                break;
            };
            let alike = row.formula == 0 || Formula::keeps_elements(row.formula);
            next = (row.depth > 0 && alike).then_some(row.base_id);
            path.push((id, row));
        }
        if path.len() < 2 {
            path.clear();
        }
        Ok(path)
    }

    /// Which of a full chain serves later versions best: one decision for the model, from its
    /// tensors' sketches. `firsts` gives for every tensor the base that is tried first, where it
    /// is of the same elements.
    pub(in crate::store) fn level_of(
        &self,
        sketches: &[Sketch],
        firsts: &dyn Fn(usize) -> Option<(ContentId, Dtype)>,
    ) -> Result<usize> {
        let levels = usize::from(self.depth_max) + 1;
        let (mut costs, mut dependents) = (vec![0.0; levels], vec![0.0; levels]);
        let mut elements = 0.0;
        for (at, sketch) in sketches.iter().enumerate() {
            let Some((base, dtype)) = firsts(at) else { continue };
            let mut judged = Vec::new();
            for (id, row) in self.full_chain(base)? {
                let kept = self.sketch(id, &dtype)?;
                let estimate = kept.and_then(|kept| kept.estimate(sketch));
                judged.extend(estimate.map(|estimate| (estimate.bits, f64::from(row.dependents))));
            }
            if judged.len() == levels {
                let weight = sketch.elements() as f64;
                elements += weight;
                for (level, (bits, stand)) in judged.into_iter().enumerate() {
                    costs[level] += bits * weight;
                    dependents[level] += stand * weight;
                }
            }
        }
        if elements > 0.0 {
            dependents.iter_mut().for_each(|sum| *sum /= elements);
            return Ok(level(&costs, &dependents));
        }
        Ok(1)
    }

    /// Where the best base's chain is full, puts the one of that chain in its place that was
    /// chosen, and adds the best one as what the tensor may be made of exactly.
    pub(in crate::store) fn settle_level(
        &self,
        chosen: usize,
        sketch: &Sketch,
        candidates: &mut Vec<Candidate>,
    ) -> Result<()> {
        let Some(Candidate { bases, derivation: Derivation::Related(Relation::Same) }) =
            candidates.first()
        else {
            return Ok(());
        };
        let Some((base, dtype)) = bases.first() else { return Ok(()) };
        let path = self.full_chain(*base)?;
        let Some((instead, _)) = path.get(chosen).or(path.last()) else { return Ok(()) };
        let top = self.sketch(*base, dtype)?;
        let made = top.is_some_and(|top| top.may_make(sketch));
        let made = made.then(|| Candidate { bases: bases.clone(), derivation: Derivation::Made });
        let first = candidates.first_mut().and_then(|first| first.bases.first_mut());
        first.into_iter().for_each(|first| first.0 = *instead);
        candidates.extend(made);
        Ok(())
    }
}

impl Relative {
    /// The bits an element that sketches predict for a new tensor.
    pub(in crate::store) fn bits(&self, at: usize) -> Option<f64> {
        self.bits.get(at).copied().flatten()
    }
}

fn relative(tensors: &[TensorKey<'_>], manifest: Arc<Manifest>) -> Relative {
    let keys: Vec<TensorKey<'_>> = manifest.tensors.iter().map(Into::into).collect();
    let pairs = pair_tensors(tensors, &keys);
    Relative { manifest, pairs, bits: Vec::new() }
}
