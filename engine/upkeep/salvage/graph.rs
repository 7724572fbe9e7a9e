//! The lineage graph as far as it can be known: from the catalogue, or from change records.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;

use serde_json::{Map, Value};

use crate::catalog::{EdgeKind, ReadTables, Table};
use crate::format::{ChangeRecord, Operation, ProvenanceEdge};
use crate::lineage::NodeId;
use crate::store::{Result, Snapshot};
use crate::tensor::ContentId;

/// A node as it is to be saved.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::upkeep) struct SavedNode {
    pub(in crate::upkeep) name: String,
    pub(in crate::upkeep) version: u32,
    pub(in crate::upkeep) kind: String,
    pub(in crate::upkeep) created_ms: u64,
    pub(in crate::upkeep) manifest: ContentId,
    pub(in crate::upkeep) logical_bytes: u64,
    pub(in crate::upkeep) revision: u64,
    pub(in crate::upkeep) previous: Option<NodeId>,
    /// Parent and way of derivation, in order.
    pub(in crate::upkeep) parents: Vec<(NodeId, String)>,
    pub(in crate::upkeep) metadata: Map<String, Value>,
}

impl SavedNode {
    pub(in crate::upkeep) fn full_name(&self) -> String {
        format!("{}@{}", self.name, self.version)
    }
}

/// The nodes, and what else a catalogue says of the whole.
#[derive(Clone, Debug, Default)]
pub(in crate::upkeep) struct SavedGraph {
    pub(in crate::upkeep) nodes: BTreeMap<NodeId, SavedNode>,
    /// The highest version ever given, by name.
    pub(in crate::upkeep) highest: BTreeMap<String, u32>,
    /// Which node has a tag.
    pub(in crate::upkeep) tags: BTreeMap<String, NodeId>,
    /// The metadata of edges: child, kind, parent.
    pub(in crate::upkeep) edges: BTreeMap<(NodeId, EdgeKind, NodeId), Map<String, Value>>,
    /// Registered tests, by name.
    pub(in crate::upkeep) tests: BTreeMap<String, Map<String, Value>>,
    pub(in crate::upkeep) created_ms: u64,
    /// The last commit.
    pub(in crate::upkeep) last: u64,
    /// What is not certain, or could not be understood.
    pub(in crate::upkeep) notes: Vec<String>,
}

/// A change record that was found, with its content id.
#[derive(Clone, Debug)]
pub(super) struct FoundChange {
    pub(super) id: ContentId,
    pub(super) change: ChangeRecord,
}

/// The commits that lead to the last one, as far as they are there.
#[derive(Debug, Default)]
pub(super) struct History {
    /// Ascending.
    pub(super) changes: Vec<ChangeRecord>,
    /// Commits whose change record is lost: first and last of each run.
    pub(super) lost: Vec<(u64, u64)>,
    /// The last commit, when nothing tells whether it happened.
    pub(super) uncertain: Option<u64>,
    pub(super) notes: Vec<String>,
}

impl SavedGraph {
    /// The graph that a catalogue says.
    pub(in crate::upkeep) fn of_catalogue(snapshot: &Snapshot) -> Result<Self> {
        let graph = snapshot.graph();
        let tables = snapshot.tables();
        let mut saved = SavedGraph {
            created_ms: tables.meta_u64(crate::catalog::meta::CREATED_MS)?,
            last: snapshot.sequence(),
            ..SavedGraph::default()
        };
        tables.scan(Table::Names, &[], &mut |key, value| {
            let name = String::from_utf8_lossy(key).into_owned();
            let version = <[u8; 4]>::try_from(value).map_or(0, u32::from_le_bytes);
            saved.highest.insert(name, version);
            Ok(ControlFlow::Continue(()))
        })?;
        saved.tags = graph.tags()?.into_iter().collect();
        saved.tests = snapshot.tests()?.into_iter().collect();
        for node in graph.nodes()? {
            let provenance = graph.parents(node.id)?.into_iter().map(|edge| edge.parent);
            let version = graph.previous(node.id)?.into_iter();
            let edges = provenance.map(|parent| (EdgeKind::Provenance, parent));
            for (kind, parent) in edges.chain(version.map(|older| (EdgeKind::Version, older))) {
                let metadata = graph.edge_metadata(node.id, kind, parent)?;
                if !metadata.is_empty() {
                    saved.edges.insert((node.id, kind, parent), metadata);
                }
            }
            let parents = graph.parents(node.id)?.into_iter();
            let saved_node = SavedNode {
                parents: parents.map(|edge| (edge.parent, edge.how.to_string())).collect(),
                previous: graph.previous(node.id)?,
                metadata: graph.metadata(node.id)?,
                name: node.row.name,
                version: node.row.version,
                kind: node.row.kind,
                created_ms: node.row.created_ms,
                manifest: node.row.manifest,
                logical_bytes: node.row.logical_bytes,
                revision: node.row.revision,
            };
            saved.nodes.insert(node.id, saved_node);
        }
        Ok(saved)
    }

    /// The graph that change records lead to.
    pub(super) fn of_history(history: &History) -> Self {
        let mut saved = SavedGraph { notes: history.notes.clone(), ..SavedGraph::default() };
        history.changes.iter().for_each(|change| saved.replay(change));
        saved
    }

    /// Does what a commit did, after the ones before it; one with a fold begins anew.
    pub(in crate::upkeep) fn replay(&mut self, change: &ChangeRecord) {
        if let Some(fold) = &change.fold {
            let notes = std::mem::take(&mut self.notes);
            *self = SavedGraph { created_ms: fold.created_ms, notes, ..SavedGraph::default() };
        } else if self.last == 0 {
            self.created_ms = change.time_ms;
        }
        self.last = change.sequence;
        for operation in change.to_replay() {
            if let Err(reason) = self.apply(operation, change.sequence) {
                self.notes.push(format!("commit {}: {reason}", change.sequence));
            }
        }
    }

    /// Does what an operation did. Every operation that there is has its arm here: one that is
    /// not known is told.
    fn apply(&mut self, operation: &Operation, sequence: u64) -> Replayed {
        match operation {
            Operation::AddNode { .. } => self.add(operation, sequence)?,
            Operation::RemoveNode { id } => self.remove(node_id(id)?)?,
            Operation::SetParents { id, parents } => self.set_parents(id, parents, sequence)?,
            Operation::SetPrevious { id, previous } => {
                self.set_previous(id, previous.as_deref(), sequence)?;
            }
            Operation::SetMetadata { id, metadata } => {
                self.changed(id, sequence)?.metadata = metadata.clone();
            }
            Operation::ReplaceContent { id, manifest, metadata } => {
                let manifest = content_id(manifest)?;
                let node = self.changed(id, sequence)?;
                (node.manifest, node.metadata) = (manifest, metadata.clone());
            }
            Operation::RenameNode { id, name, version } => {
                let node = self.changed(id, sequence)?;
                (node.name, node.version) = (name.clone(), *version);
                self.reserve(name, *version);
            }
            Operation::SetKind { id, kind } => self.changed(id, sequence)?.kind = kind.clone(),
            Operation::SetTag { tag, id: Some(id) } => {
                self.tags.insert(tag.clone(), node_id(id)?);
            }
            Operation::SetTag { tag, id: None } => _ = self.tags.remove(tag),
            Operation::SetEdgeMetadata { id, parent, kind, metadata } => {
                let kind = EdgeKind::ALL.into_iter().find(|known| known.name() == kind);
                let kind = kind.ok_or("a kind of edge that this program does not know")?;
                self.edges.insert((node_id(id)?, kind, node_id(parent)?), metadata.clone());
            }
            Operation::SetTest { name, definition: Some(definition) } => {
                self.tests.insert(name.clone(), definition.clone());
            }
            Operation::SetTest { name, definition: None } => _ = self.tests.remove(name),
            Operation::ReserveVersions { name, version } => self.reserve(name, *version),
            // How tensors are stored, which their records say themselves.
            Operation::Recode { .. } => {}
            Operation::Unknown => return Err("an operation that this program does not know".into()),
        }
        Ok(())
    }

    /// A node that this commit changes.
    fn changed(&mut self, id: &str, sequence: u64) -> Replayed<&mut SavedNode> {
        let id = node_id(id)?;
        let node = self.nodes.get_mut(&id).ok_or_else(|| missing(id))?;
        node.revision = sequence;
        Ok(node)
    }

    fn add(&mut self, added: &Operation, sequence: u64) -> Replayed {
        let Operation::AddNode {
            id,
            name,
            version,
            kind,
            created_ms,
            manifest,
            logical_bytes,
            previous,
            parents,
            metadata,
        } = added
        else {
            return Ok(());
        };
        let node = SavedNode {
            name: name.clone(),
            version: *version,
            kind: kind.clone(),
            created_ms: *created_ms,
            manifest: content_id(manifest)?,
            logical_bytes: *logical_bytes,
            revision: sequence,
            previous: previous.as_deref().map(node_id).transpose()?,
            parents: edges(parents)?,
            metadata: metadata.clone(),
        };
        self.reserve(name, *version);
        self.nodes.insert(node_id(id)?, node);
        Ok(())
    }

    fn remove(&mut self, id: NodeId) -> Replayed {
        self.nodes.remove(&id).ok_or_else(|| missing(id))?;
        self.tags.retain(|_, node| *node != id);
        self.edges.retain(|(child, _, parent), _| *child != id && *parent != id);
        Ok(())
    }

    /// Gives a node other parents. Metadata of edges that stay is kept.
    fn set_parents(&mut self, id: &str, parents: &[ProvenanceEdge], sequence: u64) -> Replayed {
        let (child, parents) = (node_id(id)?, edges(parents)?);
        self.edges.retain(|(of, kind, parent), _| {
            let stays = parents.iter().any(|(known, _)| known == parent);
            *of != child || *kind != EdgeKind::Provenance || stays
        });
        self.changed(id, sequence)?.parents = parents;
        Ok(())
    }

    /// Gives a node another version before it. Metadata of an edge that stays is kept.
    fn set_previous(&mut self, id: &str, previous: Option<&str>, sequence: u64) -> Replayed {
        let (newer, previous) = (node_id(id)?, previous.map(node_id).transpose()?);
        self.edges.retain(|(of, kind, older), _| {
            *of != newer || *kind != EdgeKind::Version || Some(*older) == previous
        });
        self.changed(id, sequence)?.previous = previous;
        Ok(())
    }

    fn reserve(&mut self, name: &str, version: u32) {
        let highest = self.highest.entry(name.to_owned()).or_default();
        *highest = (*highest).max(version);
    }
}

impl History {
    /// Follows the chain from the last record, to a fold or to the first. `tip` is the last commit's record where something
    /// better than the records themselves says which it is.
    pub(super) fn follow(found: Vec<FoundChange>, tip: Option<ContentId>) -> Self {
        let mut by_id: HashMap<ContentId, ChangeRecord> = HashMap::new();
        let mut by_number: BTreeMap<u64, Vec<ContentId>> = BTreeMap::new();
        for FoundChange { id, change } in found {
            by_number.entry(change.sequence).or_default().push(id);
            by_id.insert(id, change);
        }
        for ids in by_number.values_mut() {
            // The later one first; the id only makes the choice the same every time.
            let time = |id: &ContentId| by_id.get(id).map_or(0, |change| change.time_ms);
            ids.sort_unstable_by_key(|id| (std::cmp::Reverse(time(id)), *id));
            ids.dedup();
        }
        let mut history = History::default();
        let known = tip.filter(|tip| by_id.contains_key(tip));
        let mut next = known.or_else(|| {
            let (last, ids) = by_number.last_key_value()?;
            history.uncertain = Some(*last);
            if ids.len() > 1 {
                history.notes.push(format!(
                    "{} records say that they are commit {last}: the one with the latest time is \
                     taken",
                    ids.len()
                ));
            }
            ids.first().copied()
        });
        while let Some(change) = next.and_then(|id| by_id.get(&id)) {
            let sequence = change.sequence;
            history.changes.push(change.clone());
            if change.fold.is_some() {
                // It says all that the ones before it said, of which none need be left.
                break;
            }
            let before = content_id(&change.previous).ok();
            next = before.filter(|id| by_id.get(id).is_some_and(|b| b.sequence < sequence));
            if next.is_some() || change.previous.is_empty() {
                continue;
            }
            // The record before is lost: one of its number that is not the one that is named never
            // was a commit. Go on with the nearest below.
            let lost = sequence.saturating_sub(1);
            let nearest = by_number.range(..lost).next_back();
            let from = nearest.map_or(1, |(number, _)| number.saturating_add(1));
            if from <= lost {
                history.lost.push((from, lost));
            }
            if let Some((number, ids)) = nearest.filter(|(_, ids)| ids.len() > 1) {
                history.notes.push(format!(
                    "{} records say that they are commit {number}, and the one that tells which \
                     is right is lost: the one with the latest time is taken",
                    ids.len()
                ));
            }
            next = nearest.and_then(|(_, ids)| ids.first().copied());
        }
        history.changes.reverse();
        history.lost.reverse();
        history
    }

    /// Counts the commits behind the last record that can be read as lost, up to `seen`, whose
    /// record is there but cannot.
    pub(super) fn lose_behind(&mut self, seen: u64) {
        let last = self.changes.last().map_or(0, |change| change.sequence);
        if last < seen && last > 0 {
            self.lost.push((last + 1, seen));
        }
    }

    /// Whether a commit's change record is lost.
    pub(super) fn has_lost(&self, sequence: u64) -> bool {
        self.changes.is_empty()
            || self.lost.iter().any(|(from, to)| (*from..=*to).contains(&sequence))
    }
}

/// What replaying an operation gives; else why it makes no sense.
type Replayed<T = ()> = std::result::Result<T, String>;

fn missing(id: NodeId) -> String {
    format!("it changes {id}, which no commit that is left adds")
}

fn node_id(text: &str) -> std::result::Result<NodeId, String> {
    NodeId::from_hex(text).ok_or_else(|| format!("{text:?} is not a node id"))
}

fn content_id(text: &str) -> std::result::Result<ContentId, String> {
    ContentId::from_hex(text).ok_or_else(|| format!("{text:?} is not a content id"))
}

fn edges(edges: &[ProvenanceEdge]) -> std::result::Result<Vec<(NodeId, String)>, String> {
    edges.iter().map(|edge| Ok((node_id(&edge.parent)?, edge.how.clone()))).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    fn change(sequence: u64, time_ms: u64, previous: Option<&FoundChange>) -> FoundChange {
        let previous = previous.map_or(String::new(), |before| before.id.to_string());
        let operations = Vec::new();
        let change = ChangeRecord { sequence, time_ms, previous, operations, fold: None };
        FoundChange { id: ContentId::of(&change.encode().unwrap()), change }
    }

    fn numbers(history: &History) -> Vec<(u64, u64)> {
        history.changes.iter().map(|change| (change.sequence, change.time_ms)).collect()
    }

    #[test]
    fn of_two_records_the_one_that_is_named_counts() {
        let first = change(1, 10, None);
        let (wrong, right) = (change(2, 30, Some(&first)), change(2, 20, Some(&first)));
        let third = change(3, 40, Some(&right));
        let all = vec![third, wrong, first, right];
        let history = History::follow(all, None);
        assert_eq!(numbers(&history), [(1, 10), (2, 20), (3, 40)]);
        assert_eq!((history.uncertain, history.lost.len()), (Some(3), 0));
    }

    #[test]
    fn at_the_tip_the_catalogue_tells_and_else_the_later_one_is_taken() {
        let first = change(1, 10, None);
        let (early, late) = (change(2, 20, Some(&first)), change(2, 30, Some(&first)));
        let all = vec![early.clone(), first.clone(), late];
        let told = History::follow(all.clone(), Some(early.id));
        assert_eq!((numbers(&told), told.uncertain), (vec![(1, 10), (2, 20)], None));
        let told = History::follow(all.clone(), Some(first.id));
        assert_eq!((numbers(&told), told.uncertain), (vec![(1, 10)], None));
        let guessed = History::follow(all, None);
        assert_eq!((numbers(&guessed), guessed.uncertain), (vec![(1, 10), (2, 30)], Some(2)));
        assert_eq!(guessed.notes.len(), 1);
    }

    #[test]
    fn a_lost_record_is_a_gap() {
        let first = change(1, 10, None);
        let second = change(2, 20, Some(&first));
        let stray = change(2, 25, Some(&first));
        let third = change(3, 30, Some(&second));
        let fourth = change(4, 40, Some(&third));
        let history = History::follow(vec![first.clone(), second, fourth.clone()], None);
        assert_eq!(numbers(&history), [(1, 10), (2, 20), (4, 40)]);
        assert_eq!(history.lost, [(3, 3)]);
        assert!(history.has_lost(3) && !history.has_lost(2));
        // A record of the lost number that is not the one that was named is passed over.
        let history = History::follow(vec![first, stray, third], None);
        assert_eq!(numbers(&history), [(1, 10), (3, 30)]);
        assert_eq!(history.lost, [(2, 2)]);
        assert_eq!(History::follow(Vec::new(), None).changes.len(), 0);
    }
}
