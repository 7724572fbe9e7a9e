//! The stored models whose tensors a new model's are likeliest coded against: those that it is
//! said to come from, and those that resemble it, found by sketches alone.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use super::Result;
use super::candidate::{Candidate, Way};
use super::chain::Chain;
use super::ingest::read_source;
use super::model::read_manifest;
use super::new_model::{NewTensor, Source};
use super::record::record_row;
use super::sketches::kept_sketch;
use super::transaction::Transaction;
use crate::catalog::{EdgeKind, ReadTables, Table, keys};
use crate::codec::formula::Formula;
use crate::format::{Manifest, RecordKind};
use crate::lineage::{Graph, Node, NodeId};
use crate::planning::{
    Estimate, INHERITED_FROM, Likeness, Relation, Sketch, TensorKey, level, model_bands,
    pair_tensors, rank_relatives,
};
use crate::tensor::ContentId;

/// Other models than the declared ones that are looked at, whatever the size of the store.
const LOOKED_AT_MAX: usize = 16;
/// Of those, children of a declared parent.
const SIBLINGS_MAX: usize = 4;
/// Tensors by whose sketches it is told whether they are kin.
const PROBES_MAX: usize = 12;
/// Of those that are, how many are compared by all tensors.
const COMPARED_MAX: usize = 3;
/// A model whose tensors could be paired in more ways is not looked at unless it is declared.
const PAIRS_MAX: usize = 1 << 22;
/// Rows of a bucket that are read.
const BUCKET_MAX: usize = 64;

/// A stored model, beside a new one.
pub(super) struct Relative {
    pub(super) manifest: Manifest,
    /// For every new tensor its partner, and how it may have come from it.
    pub(super) pairs: Vec<Option<(usize, Relation)>>,
    /// For every new tensor, what sketches say.
    estimates: Vec<Option<Estimate>>,
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
    if tables.count(Table::Nodes)? <= all_max {
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

/// Nodes that have `band` among their bands, at most `limit`, and whether there are more.
pub(super) fn band_members(
    tables: &dyn ReadTables,
    band: u64,
    limit: usize,
) -> Result<(Vec<NodeId>, bool)> {
    let (mut members, mut more) = (Vec::new(), false);
    let prefix = band.to_be_bytes();
    tables.scan(Table::Bands, &prefix, &mut |key, _| {
        more = members.len() == limit;
        if more {
            return Ok(ControlFlow::Break(()));
        }
        let id = key.get(prefix.len()..).and_then(|id| <[u8; 16]>::try_from(id).ok());
        members.extend(id.map(NodeId));
        Ok(ControlFlow::Continue(()))
    })?;
    Ok((members, more))
}

/// The sketch of a tensor that is still to be read. Cost: reads its samples, or all of a short one.
pub(super) fn sketch_of(tensor: &NewTensor<'_>) -> Result<Sketch> {
    match tensor.source {
        Source::Bytes(bytes) => Ok(Sketch::of(&tensor.dtype, bytes)),
        _ => Sketch::read(&tensor.dtype, tensor.byte_len, |offset, out| {
            read_source(tensor, offset, out)
        }),
    }
}

impl Transaction {
    /// The declared models, in order, then at most three others that resemble the new one; and
    /// for every new tensor which of them to try, the most promising first. Without sketches there
    /// are no others, and all are tried.
    ///
    /// Cost: manifests and sketches of a bounded number of models; no weight is read.
    pub(super) fn relatives(
        &self,
        tensors: &[TensorKey<'_>],
        sketches: &[Sketch],
        declared: &[NodeId],
    ) -> Result<(Vec<Relative>, Vec<Vec<usize>>)> {
        let mut relatives = Vec::new();
        for node in declared {
            let manifest = self.manifest_of(&self.graph()?.expect(*node)?)?;
            relatives.push(relative(tensors, manifest));
        }
        if sketches.is_empty() {
            let all = (0..relatives.len()).collect();
            return Ok((relatives, vec![all; tensors.len()]));
        }
        for relative in &mut relatives {
            self.estimate(relative, sketches, None)?;
        }
        for mut relative in self.kin(tensors, sketches, declared)? {
            self.estimate(&mut relative, sketches, None)?;
            relatives.push(relative);
        }
        let sizes: Vec<(u64, f64)> =
            sketches.iter().map(|sketch| (sketch.elements(), sketch.alone_bits())).collect();
        let bits = relatives.iter().map(|relative| {
            let bits = |estimate: &Option<Estimate>| estimate.map(|estimate| estimate.bits);
            relative.estimates.iter().map(bits).collect()
        });
        let mut ranked = rank_relatives(&bits.collect::<Vec<_>>(), &sizes);
        for (at, ranked) in ranked.iter_mut().enumerate() {
            // What sketches cannot judge is tried in order, as far as tensors are tried at all.
            let unjudged = relatives.iter().enumerate().filter(|(_, relative)| {
                relative.pairs[at].is_some() && relative.estimates[at].is_none()
            });
            ranked.extend(unjudged.map(|(place, _)| place));
            // Sketches tell nothing of formulas: what a declared one would make is tried.
            for (place, relative) in relatives.iter().enumerate().take(declared.len()) {
                if relative.pairs[at].is_some() && !ranked.contains(&place) {
                    ranked.push(place);
                }
            }
        }
        Ok((relatives, ranked))
    }

    fn manifest_of(&self, node: &Node) -> Result<Manifest> {
        read_manifest(&self.shared, self.tables()?, node.row.manifest)
    }

    /// Estimates the tensors of a relative: all, or `only` some.
    fn estimate(
        &self,
        relative: &mut Relative,
        sketches: &[Sketch],
        only: Option<&[usize]>,
    ) -> Result<Vec<(usize, Sketch, Estimate)>> {
        let mut found = Vec::new();
        let all: Vec<usize> = (0..sketches.len()).collect();
        for at in only.unwrap_or(&all) {
            let Some((partner, _)) = relative.pairs[*at] else { continue };
            let partner = &relative.manifest.tensors[partner];
            let kept = kept_sketch(self.tables()?, partner.content_id, &partner.dtype)?;
            let Some(kept) = kept else { continue };
            if let Some(estimate) = kept.estimate(&sketches[*at]) {
                relative.estimates[*at] = Some(estimate);
                found.push((*at, kept, estimate));
            }
        }
        Ok(found)
    }

    /// Models that are not declared and that the new one descends from or shares an ancestor
    /// with, the nearest first.
    fn kin(
        &self,
        tensors: &[TensorKey<'_>],
        sketches: &[Sketch],
        declared: &[NodeId],
    ) -> Result<Vec<Relative>> {
        let mut probes: Vec<usize> =
            (0..sketches.len()).filter(|at| sketches[*at].is_telling()).collect();
        probes.sort_by_key(|at| (std::cmp::Reverse(sketches[*at].elements()), *at));
        probes.truncate(PROBES_MAX);
        if probes.is_empty() {
            return Ok(Vec::new());
        }
        let telling: f64 = probes.iter().map(|at| sketches[*at].elements() as f64).sum();
        let mut nodes = self.siblings(declared)?;
        let bands = model_bands(std::iter::repeat(&ContentId::NONE).zip(sketches));
        let more = LOOKED_AT_MAX - nodes.len();
        nodes.extend(look_alikes(self.tables()?, &bands, more as u64, more)?);
        let mut seen: HashSet<NodeId> = declared.iter().copied().collect();
        let mut kin: Vec<(f64, Relative)> = Vec::new();
        for node in nodes {
            if !seen.insert(node) {
                continue;
            }
            // A stale row may name a node that is gone.
            let Some(node) = self.graph()?.node(node)? else { continue };
            let manifest = self.manifest_of(&node)?;
            if manifest.tensors.len().saturating_mul(tensors.len()) > PAIRS_MAX {
                continue;
            }
            let mut relative = relative(tensors, manifest);
            let (mut likeness, mut shared_bits) = (Likeness::default(), 0.0);
            for (at, kept, estimate) in self.estimate(&mut relative, sketches, Some(&probes))? {
                likeness.add((&kept, &sketches[at]), &estimate, estimate.equal == 1.0);
                if estimate.correlation > INHERITED_FROM {
                    let saved = sketches[at].alone_bits() - estimate.bits;
                    shared_bits += saved.max(0.0) * estimate.elements as f64;
                }
            }
            if likeness.is_kinship(telling) {
                kin.push((shared_bits, relative));
            }
        }
        kin.sort_by(|(a, _), (b, _)| b.total_cmp(a));
        kin.truncate(COMPARED_MAX);
        Ok(kin.into_iter().map(|(_, relative)| relative).collect())
    }

    /// Some of the other children of these models.
    fn siblings(&self, parents: &[NodeId]) -> Result<Vec<NodeId>> {
        let mut siblings = Vec::new();
        for parent in parents {
            let prefix = keys::edges(&parent.0, EdgeKind::Provenance);
            self.tables()?.scan(Table::Children, &prefix, &mut |key, _| {
                let id = key.get(prefix.len()..).and_then(|id| <[u8; 16]>::try_from(id).ok());
                siblings.extend(id.map(NodeId));
                let full = siblings.len() >= SIBLINGS_MAX;
                Ok(if full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
            })?;
        }
        siblings.truncate(SIBLINGS_MAX);
        Ok(siblings)
    }

    /// Whether decoding a content passes as many differences as there may be.
    fn is_full(&self, id: ContentId) -> Result<bool> {
        let Some(row) = record_row(self.tables()?, Table::Tensors, id.as_bytes())? else {
            return Ok(false);
        };
        if row.depth < self.chain_depth_max {
            return Ok(false);
        }
        let chain = Chain::open(&self.shared, self.tables()?, RecordKind::Tensor, id, row)?;
        Ok(chain.steps() >= self.chain_depth_max)
    }

    /// Where the best base's chain is full, puts the one of that chain in its place that later
    /// versions are best served by: one decision for the model, from its tensors' sketches.
    pub(super) fn settle_levels(
        &self,
        sketches: &[Sketch],
        candidates: &mut [Vec<Candidate>],
    ) -> Result<()> {
        let mut paths: Vec<(usize, Vec<ContentId>)> = Vec::new();
        let levels = usize::from(self.chain_depth_max) + 1;
        let (mut costs, mut dependents) = (vec![0.0; levels], vec![0.0; levels]);
        let (mut elements, mut made) = (0.0, Vec::new());
        for (at, (sketch, candidates)) in sketches.iter().zip(candidates.iter()).enumerate() {
            let Some(Candidate { bases, way: Way::Related(Relation::Same) }) = candidates.first()
            else {
                continue;
            };
            let Some((base, dtype)) = bases.first() else { continue };
            let (mut path, mut judged) = (Vec::new(), Vec::new());
            let mut next = self.is_full(*base)?.then_some(*base);
            while let Some(id) = next
                && path.len() < levels
            {
                let Some(row) = record_row(self.tables()?, Table::Tensors, id.as_bytes())? else {
                    break;
                };
                let kept = kept_sketch(self.tables()?, id, dtype)?;
                let estimate = kept.and_then(|kept| kept.estimate(sketch));
                judged.extend(estimate.map(|estimate| (estimate.bits, f64::from(row.dependents))));
                path.push(id);
                let alike = row.formula == 0 || Formula::keeps_elements(row.formula);
                next = (row.depth > 0 && alike).then_some(row.base_id);
            }
            if path.len() < 2 {
                continue;
            }
            let top = kept_sketch(self.tables()?, *base, dtype)?;
            if top.is_some_and(|top| top.may_make(sketch)) {
                made.push((at, Candidate { bases: bases.clone(), way: Way::Made }));
            }
            if judged.len() == levels {
                let weight = sketch.elements() as f64;
                elements += weight;
                for (level, (bits, stand)) in judged.into_iter().enumerate() {
                    costs[level] += bits * weight;
                    dependents[level] += stand * weight;
                }
            }
            paths.push((at, path));
        }
        if elements > 0.0 {
            dependents.iter_mut().for_each(|sum| *sum /= elements);
        }
        let chosen = if elements > 0.0 { level(&costs, &dependents) } else { 1 };
        for (at, path) in paths {
            let base = path.get(chosen).or(path.last()).copied();
            let first = candidates[at].first_mut().and_then(|first| first.bases.first_mut());
            if let (Some(base), Some(first)) = (base, first) {
                first.0 = base;
            }
        }
        for (at, candidate) in made {
            candidates[at].push(candidate);
        }
        Ok(())
    }
}

fn relative(tensors: &[TensorKey<'_>], manifest: Manifest) -> Relative {
    let keys: Vec<TensorKey<'_>> = manifest.tensors.iter().map(Into::into).collect();
    let pairs = pair_tensors(tensors, &keys);
    Relative { manifest, pairs, estimates: vec![None; tensors.len()] }
}
