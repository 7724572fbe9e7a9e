//! What is missing on the other side, and in which order it goes there.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::entry::{NodeEntry, Nodes, Tests};
use super::error::Diverged;
use super::order::{Ordered, below_first, in_order};
use super::source::RecordSource;
use super::{Result, Selection, TransferError};
use crate::format::Manifest;
use crate::lineage::NodeId;
use crate::store::StoreError;
use crate::tensor::ContentId;

/// What is to travel.
#[derive(Debug, Default)]
pub(super) struct TransferPlan {
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
    /// The new models' manifests, sorted.
    pub(super) manifests: Vec<ContentId>,
    /// Models that both sides have and whose tensors were missing there: they come now.
    pub(super) completed: Vec<NodeId>,
    /// The tensors that are missing there.
    pub(super) missing: Ordered,
}

impl TransferPlan {
    /// Whether nothing is to be done.
    pub(super) fn is_empty(&self) -> bool {
        self.models.is_empty()
            && self.updates.is_empty()
            && self.tests.is_empty()
            && self.missing.tensors.is_empty()
    }
}

/// The models that are wanted and what they descend from, each behind its ancestors.
fn closure(source: &dyn RecordSource, selection: Selection<'_>) -> Result<Vec<NodeId>> {
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
    let ids: Vec<NodeId> = nodes.keys().copied().collect();
    let number = |id: &NodeId| ids.binary_search(id).map(|at| at as u32);
    let id = |number: u32| ids.get(number as usize).copied().unwrap_or(NodeId([0; 16]));
    let starts: Vec<u32> = starts.iter().filter_map(|id| number(id).ok()).collect();
    let next = |at: u32, below: &mut Vec<u32>| {
        let at = id(at);
        for id in nodes.get(&at).ok_or_else(|| lost(&at))?.upward()? {
            below.push(number(&id).map_err(|_| lost(&id))?);
        }
        Ok(())
    };
    let order = below_first(ids.len(), &starts, &next, &|at| {
        TransferError::damaged(source.name(), format!("model {} is its own ancestor", id(at)))
    })?;
    Ok(order.into_iter().map(id).collect())
}

/// What the other side has already.
pub(super) struct There<'a> {
    pub(super) nodes: &'a BTreeSet<NodeId>,
    pub(super) tests: &'a Tests,
    pub(super) has_tensor: &'a dyn Fn(ContentId) -> Result<bool>,
    /// Missing tensors of a model of the source.
    pub(super) lacking: &'a dyn Fn(NodeId) -> Result<Vec<ContentId>>,
}

/// Finds what is missing. `keep` is given each manifest that is to go, for whoever wants to have it
/// later. Cost: the rows of the source's graph, the manifests of what is missing, and a look for
/// each of their tensors.
pub(super) fn plan(
    source: &dyn RecordSource,
    there: &There<'_>,
    selection: Selection<'_>,
    keep: &mut dyn FnMut(ContentId, &[u8]) -> Result<()>,
) -> Result<TransferPlan> {
    let (known, models) =
        closure(source, selection)?.into_iter().partition(|id| there.nodes.contains(id));
    let tests = source.tests().keys().filter(|name| !there.tests.contains_key(*name)).cloned();
    let mut plan =
        TransferPlan { models, known, tests: tests.collect(), ..TransferPlan::default() };
    let nodes = || plan.models.iter().filter_map(|id| source.nodes().get(id));
    plan.manifests = nodes().map(NodeEntry::manifest_id).collect::<Result<_>>()?;
    plan.manifests.sort_unstable();
    plan.manifests.dedup();
    source.expect_manifests(&plan.manifests);
    let mut wanted = Wanted::default();
    for id in &plan.manifests {
        let bytes = source.manifest(*id)?;
        keep(*id, &bytes)?;
        if !selection.graph_only {
            let manifest = decoded(source, *id, &bytes)?;
            drop(bytes);
            wanted.extend(manifest.contents().map(|tensor| tensor.content_id));
        }
    }
    let mut named = wanted.finish();
    let mut failed = None;
    named.retain(|id| match (there.has_tensor)(*id) {
        Ok(has) => !has,
        Err(error) => {
            failed.get_or_insert(error);
            false
        }
    });
    if let Some(error) = failed {
        return Err(error);
    }
    let mut lacking = Vec::new();
    for id in plan.known.iter().filter(|_| !selection.graph_only) {
        let tensors = (there.lacking)(*id)?;
        let mut comes = !tensors.is_empty();
        for tensor in tensors {
            if named.binary_search(&tensor).is_err() {
                let found = source.piece(tensor)?.is_some();
                comes &= found;
                lacking.extend(found.then_some(tensor));
            }
        }
        if comes {
            plan.completed.push(*id);
        }
    }
    named.append(&mut lacking);
    named.sort_unstable();
    named.dedup();
    let missing = |id| not_there(source, &plan, id);
    plan.missing = in_order(source, named, &missing, there.has_tensor)?;
    Ok(plan)
}

fn decoded(source: &dyn RecordSource, id: ContentId, bytes: &[u8]) -> Result<Manifest> {
    let what = || format!("{}: manifest {}", source.name(), id.short());
    Manifest::decode(bytes).map_err(|error| TransferError::damaged(what(), error))
}

/// Contents that many models name, each once.
#[derive(Default)]
struct Wanted {
    /// Each once, sorted, up to here.
    sorted: usize,
    ids: Vec<ContentId>,
}

impl Wanted {
    fn extend(&mut self, ids: impl ExactSizeIterator<Item = ContentId>) {
        if self.ids.is_empty() {
            self.ids.reserve_exact(ids.len());
        }
        self.ids.extend(ids);
        // Seldom enough that sorting costs no more than what was added.
        if self.ids.len() > self.sorted.saturating_mul(2) {
            self.settle();
        }
    }

    fn settle(&mut self) {
        self.ids.sort_unstable();
        self.ids.dedup();
        self.sorted = self.ids.len();
    }

    fn finish(mut self) -> Vec<ContentId> {
        self.settle();
        self.ids
    }
}

/// The error for a tensor that the source should have and has not: it is missing there too, or
/// lost. Cost: searches manifests for the models that name it.
fn not_there(source: &dyn RecordSource, plan: &TransferPlan, id: ContentId) -> TransferError {
    let lost =
        || TransferError::damaged(source.name(), format!("tensor {} is not there", id.short()));
    let Ok(Some(place)) = source.promisor(id) else { return lost() };
    for node in plan.models.iter().filter_map(|id| source.nodes().get(id)) {
        let manifest = node
            .manifest_id()
            .and_then(|manifest| decoded(source, manifest, &source.manifest(manifest)?));
        let Ok(manifest) = manifest else { continue };
        if let Some(tensor) = manifest.contents().find(|tensor| tensor.content_id == id) {
            let (model, tensor) = (node.full_name(), tensor.name.to_owned());
            return StoreError::MissingContent { model, tensor, promisor: place }.into();
        }
    }
    lost()
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
pub(super) fn diverged(ours: &Nodes, theirs: &Nodes, models: &[NodeId]) -> Vec<Diverged> {
    let new: HashSet<&NodeId> = models.iter().collect();
    let sent: Vec<&NodeEntry> = models.iter().filter_map(|id| ours.get(id)).collect();
    let there = by_name(theirs.values());
    let here = by_name(ours.values());
    let is_new = |node: &NodeEntry| {
        NodeId::from_hex(&node.id).is_some_and(|id| new.contains(&id) || !theirs.contains_key(&id))
    };
    let is_known =
        |node: &NodeEntry| NodeId::from_hex(&node.id).is_some_and(|id| ours.contains_key(&id));
    let mut diverged = Vec::new();
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
        diverged.push(Diverged { name: name.to_owned(), ours, theirs, common });
    }
    diverged
}
