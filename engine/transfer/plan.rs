//! What is missing on the other side, and in which order it goes there.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::entry::{NodeEntry, Nodes, Tests};
use super::error::Apart;
use super::source::{Piece, Source};
use super::{Result, Selection, TransferError};
use crate::format::Manifest;
use crate::lineage::NodeId;
use crate::store::Error;
use crate::tensor::ContentId;

/// Tensors, each behind its bases, with about as many bytes as their records take.
pub(super) type Ordered = Vec<(ContentId, u64)>;

/// What is to travel.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Models that the other side does not have, each behind what it descends from.
    pub(super) models: Vec<NodeId>,
    /// Models that both sides have.
    pub(super) known: Vec<NodeId>,
    /// Of these, those whose rows are to be replaced there.
    pub(super) updates: Vec<NodeId>,
    /// Of these, those whose rows are alike, which is not remembered yet.
    pub(super) settled: Vec<NodeId>,
    /// Registered tests that are not there.
    pub(super) tests: Vec<String>,
    /// The new models' manifests.
    pub(super) manifests: HashMap<ContentId, Vec<u8>>,
    /// Models that both sides have and whose tensors were missing there: they come now.
    pub(super) completed: Vec<NodeId>,
    /// The tensors that are missing there.
    pub(super) tensors: Ordered,
}

impl Plan {
    /// Whether nothing is to be done.
    pub(super) fn is_empty(&self) -> bool {
        self.models.is_empty()
            && self.updates.is_empty()
            && self.tests.is_empty()
            && self.tensors.is_empty()
    }

    /// Bytes of the tensors' records.
    pub(super) fn bytes(&self) -> u64 {
        self.tensors.iter().fold(0, |sum, (_, len)| sum.saturating_add(*len))
    }
}

/// The models that are wanted and what they descend from, each behind its ancestors.
fn closure(source: &dyn Source, selection: Selection<'_>) -> Result<Vec<NodeId>> {
    let nodes = source.nodes();
    let mut order: Vec<(&str, u32, NodeId)> = Vec::new();
    for (id, node) in nodes.iter().filter(|(_, node)| (selection.wants)(&node.name)) {
        order.push((&node.name, node.version, *id));
    }
    order.sort_unstable();
    let starts: Vec<NodeId> = order.into_iter().map(|(.., id)| id).collect();
    if starts.is_empty() && !nodes.is_empty() {
        return Err(TransferError::NothingSelected);
    }
    let lost = |id: &NodeId| {
        TransferError::damaged(source.name(), format!("an edge leads to {id}, which is not there"))
    };
    below_first(&starts, &|id| nodes.get(id).ok_or_else(|| lost(id))?.upward(), &|id| {
        TransferError::damaged(source.name(), format!("model {id} is its own ancestor"))
    })
}

/// Everything that is reached from `starts`, each behind what it leads to.
fn below_first<K: Copy + Eq + std::hash::Hash>(
    starts: &[K],
    next: &dyn Fn(&K) -> Result<Vec<K>>,
    circle: &dyn Fn(&K) -> TransferError,
) -> Result<Vec<K>> {
    let mut order = Vec::new();
    let mut done: HashMap<K, bool> = HashMap::new();
    for start in starts {
        let mut stack = vec![(*start, false)];
        while let Some((key, is_left)) = stack.pop() {
            if is_left {
                done.insert(key, true);
                order.push(key);
                continue;
            }
            match done.get(&key) {
                Some(true) => continue,
                Some(false) => return Err(circle(&key)),
                None => done.insert(key, false),
            };
            stack.push((key, true));
            for below in next(&key)? {
                match done.get(&below) {
                    Some(true) => {}
                    Some(false) => return Err(circle(&below)),
                    None => stack.push((below, false)),
                }
            }
        }
    }
    Ok(order)
}

/// What the other side has already.
pub(super) struct There<'a> {
    pub(super) nodes: &'a BTreeSet<NodeId>,
    pub(super) tests: &'a Tests,
    pub(super) has_tensor: &'a dyn Fn(ContentId) -> Result<bool>,
    /// Tensors of a model that are promised there.
    pub(super) lacking: &'a dyn Fn(NodeId) -> Result<Vec<ContentId>>,
}

/// Finds what is missing. Cost: the rows of the source's graph, the manifests of what is missing,
/// and a look for each of their tensors.
pub(super) fn plan(
    source: &dyn Source,
    there: &There<'_>,
    selection: Selection<'_>,
) -> Result<Plan> {
    let (known, models) =
        closure(source, selection)?.into_iter().partition(|id| there.nodes.contains(id));
    let tests = source.tests().keys().filter(|name| !there.tests.contains_key(*name)).cloned();
    let mut plan = Plan { models, known, tests: tests.collect(), ..Plan::default() };
    let mut wanted = Vec::new();
    let mut seen = HashSet::new();
    for id in &plan.models {
        let Some(node) = source.nodes().get(id) else { continue };
        let manifest = node.manifest_id()?;
        if seen.insert(manifest) {
            wanted.push((manifest, node.full_name()));
        }
    }
    let ids: Vec<ContentId> = wanted.iter().map(|(id, _)| *id).collect();
    source.expect_manifests(&ids);
    let mut pieces: HashMap<ContentId, Piece> = HashMap::new();
    for (id, model) in wanted {
        let bytes = source.manifest(id)?;
        let what = || format!("{}: manifest {}", source.name(), id.short());
        let manifest =
            Manifest::decode(&bytes).map_err(|error| TransferError::damaged(what(), error))?;
        plan.manifests.insert(id, bytes);
        for tensor in manifest.tensors.iter().filter(|_| !selection.graph_only) {
            let id = tensor.content_id;
            if !pieces.contains_key(&id) && !(there.has_tensor)(id)? {
                pieces.insert(id, piece_of(source, id, Some((&model, &tensor.name)))?);
            }
        }
    }
    for id in plan.known.iter().filter(|_| !selection.graph_only) {
        let lacking = (there.lacking)(*id)?;
        let mut comes = !lacking.is_empty();
        for id in lacking {
            if let Entry::Vacant(vacant) = pieces.entry(id) {
                let piece = source.piece(id)?;
                comes &= piece.is_some();
                if let Some(piece) = piece {
                    vacant.insert(piece);
                }
            }
        }
        if comes {
            plan.completed.push(*id);
        }
    }
    plan.tensors = in_order(source, pieces, there.has_tensor)?;
    Ok(plan)
}

/// Tensors and the bases that they need and that are not there, each behind its bases, with about
/// as many bytes as their records take; apart from that in the order of the medium.
pub(super) fn in_order(
    source: &dyn Source,
    mut pieces: HashMap<ContentId, Piece>,
    has_tensor: &dyn Fn(ContentId) -> Result<bool>,
) -> Result<Ordered> {
    let mut starts: Vec<((usize, u64), ContentId)> =
        pieces.iter().map(|(id, piece)| (piece.place, *id)).collect();
    // Bases that no model names any more come along; all are read in the order of the medium.
    let mut at = 0;
    while let Some((_, id)) = starts.get(at).copied() {
        at += 1;
        let bases = pieces.get(&id).map(|piece| piece.bases.clone()).unwrap_or_default();
        for base in bases {
            if !pieces.contains_key(&base) && !has_tensor(base)? {
                let piece = piece_of(source, base, None)?;
                starts.push((piece.place, base));
                pieces.insert(base, piece);
            }
        }
    }
    starts.sort_unstable();
    let starts: Vec<ContentId> = starts.into_iter().map(|(_, id)| id).collect();
    let bases = |id: &ContentId| {
        let bases = pieces.get(id).map(|piece| piece.bases.iter());
        Ok(bases.into_iter().flatten().filter(|id| pieces.contains_key(*id)).copied().collect())
    };
    let order = below_first(&starts, &bases, &|id| {
        TransferError::damaged(source.name(), format!("tensor {} is its own base", id.short()))
    })?;
    let len = |id: ContentId| (id, pieces.get(&id).map_or(0, |piece| piece.len));
    Ok(order.into_iter().map(len).collect())
}

/// What is known of a tensor that must be there, with the names of a model and of the tensor in it.
pub(super) fn piece_of(
    source: &dyn Source,
    id: ContentId,
    of: Option<(&str, &str)>,
) -> Result<Piece> {
    if let Some(piece) = source.piece(id)? {
        return Ok(piece);
    }
    match (of, source.promised_at(id)?) {
        (Some((model, tensor)), Some(place)) => {
            let (model, tensor) = (model.to_owned(), tensor.to_owned());
            Err(Error::Promised { model, tensor, place }.into())
        }
        _ => {
            let reason = format!("tensor {} is not there", id.short());
            Err(TransferError::damaged(source.name(), reason))
        }
    }
}

fn by_name<'n>(
    nodes: impl Iterator<Item = &'n NodeEntry>,
) -> BTreeMap<&'n str, Vec<&'n NodeEntry>> {
    let mut names: BTreeMap<&str, Vec<&NodeEntry>> = BTreeMap::new();
    for node in nodes {
        names.entry(&node.name).or_default().push(node);
    }
    names.values_mut().for_each(|nodes| nodes.sort_by_key(|node| node.version));
    names
}

/// Of the names of these models of ours: those of which the other side has versions that are not
/// here, or has given a number of theirs to another model.
pub(super) fn grown_apart(ours: &Nodes, theirs: &Nodes, models: &[NodeId]) -> Vec<Apart> {
    let new: HashSet<&NodeId> = models.iter().collect();
    let sent: Vec<&NodeEntry> = models.iter().filter_map(|id| ours.get(id)).collect();
    let there = by_name(theirs.values());
    let here = by_name(ours.values());
    let is_new = |node: &NodeEntry| {
        NodeId::from_hex(&node.id).is_some_and(|id| new.contains(&id) || !theirs.contains_key(&id))
    };
    let is_known =
        |node: &NodeEntry| NodeId::from_hex(&node.id).is_some_and(|id| ours.contains_key(&id));
    let mut apart = Vec::new();
    for (name, sent) in by_name(sent.into_iter()) {
        let Some(there) = there.get(name) else { continue };
        let numbers: HashSet<u32> = sent.iter().map(|node| node.version).collect();
        let stands_in_the_way =
            |node: &NodeEntry| !is_known(node) || numbers.contains(&node.version);
        let full = |nodes: Vec<&&NodeEntry>| nodes.iter().map(|node| node.full_name()).collect();
        let theirs: Vec<String> =
            full(there.iter().filter(|node| stands_in_the_way(node)).collect());
        if theirs.is_empty() {
            continue;
        }
        let here = here.get(name).map(Vec::as_slice).unwrap_or_default();
        let common = here.iter().rfind(|node| !is_new(node)).map(|node| node.full_name());
        let ours = full(here.iter().filter(|node| is_new(node)).collect());
        apart.push(Apart { name: name.to_owned(), ours, theirs, common });
    }
    apart
}
