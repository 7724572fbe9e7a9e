//! The change records against the catalogue: replayed, they lead to the graph that its tables say,
//! and the row of folds tells of them what is so.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use super::{Check, Subject};
use crate::catalog::{EdgeKind, FoldsRow, ReadTables, RecordRow, Table, meta};
use crate::container::full_message;
use crate::format::{ChangeRecord, Operation, RECORD_ALIGN};
use crate::lineage::{How, NodeId};
use crate::upkeep::salvage::{SavedGraph, SavedNode};

/// What the change records say, read one after the other.
#[derive(Debug, Default)]
pub(super) struct History {
    graph: SavedGraph,
    /// Commits whose records hold a fold.
    folds: Vec<u64>,
    /// Commits whose records cannot be read: whether they hold a fold is not known.
    unread: BTreeSet<u64>,
    /// A record is missing or cannot be read, and none behind it holds a fold.
    has_gap: bool,
    /// A later program did what this one does not know, and no fold is behind it.
    has_unknown: bool,
}

impl History {
    /// The next record. `follows` says whether it is the first, or the one before it was read.
    pub(super) fn read(&mut self, change: &ChangeRecord, follows: bool) {
        if change.fold.is_some() {
            self.folds.push(change.sequence);
            (self.has_gap, self.has_unknown) = (false, false);
        } else {
            self.has_gap |= !follows;
        }
        self.has_unknown |= change.to_replay().contains(&Operation::Unknown);
        self.graph.replay(change);
    }

    /// A record that cannot be read.
    pub(super) fn miss(&mut self, sequence: u64) {
        self.unread.insert(sequence);
        self.has_gap = true;
    }

    /// Whether a number that should be `found`, 0 for none, can be `said`.
    fn may_be(&self, said: u64, found: Option<&u64>) -> bool {
        said == found.copied().unwrap_or(0) || self.unread.contains(&said)
    }
}

impl Check<'_> {
    pub(super) fn check_history(&self, history: History) {
        self.check_folds(&history);
        if !history.has_gap && !history.has_unknown {
            self.check_replayed(history.graph, !history.folds.is_empty());
        }
    }

    /// The row of folds: without it, or with a wrong one, records would be freed too early, too
    /// late or never.
    fn check_folds(&self, history: &History) {
        let wrong = |what: String| self.note(Subject::Store, format!("{}: {what}", meta::FOLDS));
        let row = match self.snapshot.tables().get(Table::Meta, meta::FOLDS.as_bytes()) {
            Ok(Some(row)) => match FoldsRow::decode(&row) {
                Ok(row) => row,
                Err(error) => return wrong(error.to_string()),
            },
            Ok(None) => {
                if let Some(last) = history.folds.last() {
                    wrong(format!("it is missing, and change record {last} holds a fold"));
                }
                return;
            }
            Err(error) => return wrong(full_message(&error)),
        };
        let FoldsRow { last, before, behind, due } = row;
        let newest = history.folds.last();
        if !history.may_be(last, newest) {
            let newest = newest.copied().unwrap_or(0);
            return wrong(format!("it says that the last fold is of commit {last}, not {newest}"));
        }
        let older = history.folds.iter().rev().find(|fold| **fold < last);
        if !history.may_be(before, older) {
            let older = older.copied().unwrap_or(0);
            wrong(format!(
                "it says that the fold before the last is of commit {before}, not {older}"
            ));
        }
        let taken = |(_, row): (_, &RecordRow)| {
            row.len.checked_next_multiple_of(RECORD_ALIGN).unwrap_or(row.len)
        };
        let rows = self.changes.range(last.saturating_add(1)..);
        let found = rows.map(taken).fold(0, u64::saturating_add);
        if behind != found {
            wrong(format!("it says {behind} bytes of change records behind the last, not {found}"));
        }
        // It is the length of the fold, or twice what was behind it once.
        let folded = self.changes.get_key_value(&last).map_or(0, taken);
        if due > folded.max(found.saturating_mul(2)) {
            wrong(format!("it wants no fold before {due} bytes of change records"));
        }
        if history.folds.len() > 2 {
            wrong(format!("there are {} folds, of which two are needed", history.folds.len()));
        }
    }

    fn check_replayed(&self, mut told: SavedGraph, begins_with_fold: bool) {
        let mut kept = match SavedGraph::of_catalogue(self.snapshot) {
            Ok(kept) => kept,
            // A row that cannot be read has a finding of its own.
            Err(_) if self.has_faults() => return,
            Err(error) => return self.note(Subject::Store, full_message(&error)),
        };
        for note in &told.notes {
            self.note(Subject::Store, format!("the change records contradict themselves: {note}"));
        }
        if begins_with_fold && told.created_ms != kept.created_ms {
            let (kept, told) = (kept.created_ms, told.created_ms);
            let message = format!("{}: {kept}, a fold says {told}", meta::CREATED_MS);
            self.note(Subject::Store, message);
        }
        self.check_replayed_nodes(&told, &kept);
        told.edges.retain(|_, metadata| !metadata.is_empty());
        kept.edges.retain(|_, metadata| !metadata.is_empty());
        let told_edges: BTreeMap<_, _> = told.edges.into_iter().map(named_edge).collect();
        let kept_edges: BTreeMap<_, _> = kept.edges.into_iter().map(named_edge).collect();
        self.check_replayed_rows("highest version of", &told.highest, &kept.highest);
        self.check_replayed_rows("tag", &told.tags, &kept.tags);
        self.check_replayed_rows("metadata of the edge", &told_edges, &kept_edges);
        self.check_replayed_rows("test", &told.tests, &kept.tests);
    }

    fn check_replayed_nodes(&self, told: &SavedGraph, kept: &SavedGraph) {
        let ids: BTreeSet<_> = told.nodes.keys().chain(kept.nodes.keys()).collect();
        for id in ids {
            let subject = Subject::Node(*id);
            match (told.nodes.get(id), kept.nodes.get(id)) {
                (Some(told), Some(kept)) => {
                    for what in differences(told, kept) {
                        self.note(subject, format!("its {what}: {ANOTHER}"));
                    }
                }
                (Some(told), None) => {
                    let name = told.full_name();
                    self.note(subject, format!("the change records lead to it ({name})"));
                }
                (None, _) => self.note(subject, "no change record leads to it"),
            }
        }
    }

    fn check_replayed_rows<K: Display + Ord, V: PartialEq>(
        &self,
        what: &str,
        told: &BTreeMap<K, V>,
        kept: &BTreeMap<K, V>,
    ) {
        let keys: BTreeSet<_> = told.keys().chain(kept.keys()).collect();
        for key in keys.into_iter().filter(|key| told.get(key) != kept.get(key)) {
            self.note(Subject::Store, format!("{what} {key}: {ANOTHER}"));
        }
    }
}

const ANOTHER: &str = "the change records lead to another";

fn named_edge<V>(((child, kind, parent), value): ((NodeId, EdgeKind, NodeId), V)) -> (String, V) {
    (format!("{child} {} {parent}", kind.name()), value)
}

/// The fields that differ. Which commit changed a node last, a fold does not tell.
fn differences(told: &SavedNode, kept: &SavedNode) -> Vec<&'static str> {
    // A word that this program does not know reads as another one.
    let way = |how: &str| how.parse().unwrap_or(How::Other);
    let parents =
        |node: &SavedNode| node.parents.iter().map(|(id, how)| (*id, way(how))).collect::<Vec<_>>();
    let fields = [
        ("name", (&told.name, told.version) != (&kept.name, kept.version)),
        ("kind", told.kind != kept.kind),
        ("time", told.created_ms != kept.created_ms),
        ("manifest", told.manifest != kept.manifest),
        ("logical bytes", told.logical_bytes != kept.logical_bytes),
        ("version before", told.previous != kept.previous),
        ("parents", parents(told) != parents(kept)),
        ("metadata", told.metadata != kept.metadata),
    ];
    fields.into_iter().filter(|(_, differs)| *differs).map(|(what, _)| what).collect()
}
