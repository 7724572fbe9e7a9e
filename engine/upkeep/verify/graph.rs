//! The lineage graph: its tables mirror each other, every edge leads to a node, no cycle.

use std::collections::{BTreeSet, HashMap};

use super::{Check, Contents, Subject};
use crate::catalog::{EdgeKind, ParentRow, ReadTables, Table, keys};
use crate::container::full_message;
use crate::lineage::{ModelName, NodeId};
use crate::upkeep::cycles::on_or_below_cycles;

/// An edge by its ends: parent, kind, child.
type EdgeEnds = (NodeId, EdgeKind, NodeId);

impl Check<'_> {
    pub(super) fn check_graph(&self, contents: &Contents) {
        self.check_nodes(contents);
        self.check_versions();
        self.check_names();
        self.check_metadata();
        self.check_tags();
        let edges = self.check_parents();
        self.check_children(&edges);
        self.check_edge_metadata(&edges);
        self.check_cycles(&edges);
    }

    fn check_nodes(&self, contents: &Contents) {
        for (id, row) in &self.nodes {
            let Some(row) = row else { continue };
            let subject = Subject::Node(*id);
            if let Err(error) = row.name.parse::<ModelName>() {
                self.note(subject, error);
            }
            let key = keys::version(&row.name, row.version);
            match self.snapshot.tables().get(Table::Versions, &key) {
                Ok(Some(value)) if value == id.0 => {}
                Ok(_) => {
                    let message = format!("{}@{} does not lead to it", row.name, row.version);
                    self.note(subject, message);
                }
                Err(error) => self.note(subject, full_message(&error)),
            }
            let tensors = contents.get(&row.manifest).map(|named| named.len() - named.skeletons);
            if let Some(tensors) = tensors.filter(|it| *it as u64 != u64::from(row.tensor_count)) {
                let count = row.tensor_count;
                let message = format!("its row says {count} tensors, its manifest {tensors}");
                self.note(subject, message);
            }
            let last = self.snapshot.sequence();
            if row.revision == 0 || row.revision > last {
                self.note(subject, format!("changed by commit {} of {last}", row.revision));
            }
        }
    }

    fn check_versions(&self) {
        self.each_row(Table::Versions, &mut |key, value| {
            let node = <[u8; 16]>::try_from(value).ok().and_then(|id| self.nodes.get(&NodeId(id)));
            let right = match node {
                Some(Some(row)) => keys::version(&row.name, row.version) == key,
                // The node's own row cannot be read, which is found elsewhere.
                Some(None) => true,
                None => false,
            };
            if !right {
                let name = String::from_utf8_lossy(key).into_owned();
                self.note(Subject::Store, format!("versions row {name:?} leads to no such node"));
            }
        });
    }

    fn check_names(&self) {
        let mut highest: HashMap<String, u32> = HashMap::new();
        self.each_row(Table::Names, &mut |key, value| {
            let name = String::from_utf8_lossy(key).into_owned();
            match <[u8; 4]>::try_from(value).map(u32::from_le_bytes) {
                Ok(version) => drop(highest.insert(name, version)),
                Err(_) => {
                    let message = format!("names row {name:?} has {} bytes", value.len());
                    self.note(Subject::Store, message);
                }
            }
        });
        for (id, row) in self.nodes.iter().filter_map(|(id, row)| Some((id, row.as_ref()?))) {
            if highest.get(&row.name).is_none_or(|highest| *highest < row.version) {
                let message =
                    format!("the highest version of {} is below {}", row.name, row.version);
                self.note(Subject::Node(*id), message);
            }
        }
    }

    fn check_metadata(&self) {
        self.each_row(Table::Metadata, &mut |key, value| {
            let (id, name) = key.split_at(key.len().min(16));
            let node = <[u8; 16]>::try_from(id).map(NodeId);
            let Some(id) = node.ok().filter(|id| self.nodes.contains_key(id)) else {
                return self.note(Subject::Store, format!("metadata of no node ({key:02x?})"));
            };
            let json: Result<serde_json::Value, _> = serde_json::from_slice(value);
            if std::str::from_utf8(name).is_err() || json.is_err() {
                let name = String::from_utf8_lossy(name).into_owned();
                self.note(Subject::Node(id), format!("metadata {name:?} is not JSON text"));
            }
        });
    }

    /// Every tag leads to a node, which has it, and no model has its name.
    fn check_tags(&self) {
        let mut tagged = BTreeSet::new();
        self.each_row(Table::Tags, &mut |key, value| {
            let tag = String::from_utf8_lossy(key).into_owned();
            if let Err(error) = tag.parse::<ModelName>() {
                self.note(Subject::Store, error);
            }
            match self.snapshot.tables().get(Table::Names, key) {
                Ok(None) => {}
                Ok(Some(_)) => self.note(Subject::Store, format!("tag {tag} is a model's name")),
                Err(error) => self.note(Subject::Store, error),
            }
            match <[u8; 16]>::try_from(value).map(NodeId) {
                Ok(id) if self.nodes.contains_key(&id) => drop(tagged.insert((id, tag))),
                _ => self.note(Subject::Store, format!("tag {tag} is on no node")),
            }
        });
        let mut mirrored = BTreeSet::new();
        self.each_row(Table::TagsOf, &mut |key, _| match key.split_first_chunk::<16>() {
            Some((id, tag)) => {
                mirrored.insert((NodeId(*id), String::from_utf8_lossy(tag).into_owned()));
            }
            None => self.note(Subject::Store, format!("tags-of key {key:02x?}")),
        });
        for (id, tag) in tagged.symmetric_difference(&mirrored) {
            self.note(Subject::Node(*id), format!("tag {tag} is in one table only"));
        }
    }

    fn check_edge_metadata(&self, edges: &BTreeSet<EdgeEnds>) {
        self.each_row(Table::EdgeMetadata, &mut |key, value| {
            let (edge, name) = key.split_at(key.len().min(33));
            // As a key of `children`, with the ends the other way round.
            let ends = parse_child_key(edge).map(|(child, kind, parent)| (parent, kind, child));
            let Some(edge) = ends.filter(|ends| edges.contains(ends)) else {
                return self.note(Subject::Store, format!("metadata of no edge ({key:02x?})"));
            };
            let json: Result<serde_json::Value, _> = serde_json::from_slice(value);
            if std::str::from_utf8(name).is_err() || json.is_err() {
                let name = String::from_utf8_lossy(name).into_owned();
                let message = format!("metadata {name:?} of an edge is not JSON text");
                self.note(Subject::Node(edge.2), message);
            }
        });
    }

    /// Reads every edge by its child, and checks both ends and the order.
    fn check_parents(&self) -> BTreeSet<EdgeEnds> {
        let mut edges = BTreeSet::new();
        let mut next_place: HashMap<(NodeId, EdgeKind), u32> = HashMap::new();
        self.each_row(Table::Parents, &mut |key, value| {
            let Some((child, kind, place)) = parse_parent_key(key) else {
                return self.note(Subject::Store, format!("parents key {key:02x?}"));
            };
            let subject = Subject::Node(child);
            let row = match ParentRow::decode(value) {
                Ok(row) => row,
                Err(error) => return self.note(subject, error),
            };
            let parent = NodeId(row.parent);
            for (end, which) in [(child, "child"), (parent, "parent")] {
                if !self.nodes.contains_key(&end) {
                    self.note(subject, format!("the {which} {end} of its edge is not there"));
                }
            }
            let expected = next_place.entry((child, kind)).or_default();
            if *expected != u32::from(place) || (kind == EdgeKind::Version && place > 0) {
                self.note(subject, format!("its {kind:?} edge {place} is out of order"));
            }
            *expected = u32::from(place) + 1;
            if kind == EdgeKind::Version {
                self.check_version_edge(child, parent);
            }
            if !edges.insert((parent, kind, child)) {
                self.note(subject, format!("its parent {parent} is named twice"));
            }
        });
        edges
    }

    /// A version edge leads to a lower version of the same name.
    fn check_version_edge(&self, child: NodeId, parent: NodeId) {
        let rows = (self.nodes.get(&child), self.nodes.get(&parent));
        let (Some(Some(newer)), Some(Some(older))) = rows else { return };
        if newer.name != older.name || newer.version <= older.version {
            let message = format!("{}@{} is not an earlier version", older.name, older.version);
            self.note(Subject::Node(child), message);
        }
    }

    fn check_children(&self, edges: &BTreeSet<EdgeEnds>) {
        let mut mirrored = BTreeSet::new();
        self.each_row(Table::Children, &mut |key, _| match parse_child_key(key) {
            Some(edge) => drop(mirrored.insert(edge)),
            None => self.note(Subject::Store, format!("children key {key:02x?}")),
        });
        for (parent, kind, child) in edges.symmetric_difference(&mirrored) {
            let message = format!("its {kind:?} edge to {parent} is in one table only");
            self.note(Subject::Node(*child), message);
        }
    }

    fn check_cycles(&self, edges: &BTreeSet<EdgeEnds>) {
        for id in on_or_below_cycles(edges.iter().map(|(parent, _, child)| (*parent, *child))) {
            self.note(Subject::Node(id), "it is its own ancestor, or descends from one that is");
        }
    }
}

fn parse_parent_key(key: &[u8]) -> Option<(NodeId, EdgeKind, u16)> {
    let (child, rest) = key.split_first_chunk::<16>()?;
    let (kind, place) = rest.split_first()?;
    Some((NodeId(*child), EdgeKind::from_code(*kind)?, u16::from_be_bytes(place.try_into().ok()?)))
}

fn parse_child_key(key: &[u8]) -> Option<EdgeEnds> {
    let (parent, rest) = key.split_first_chunk::<16>()?;
    let (kind, child) = rest.split_first()?;
    Some((NodeId(*parent), EdgeKind::from_code(*kind)?, NodeId(child.try_into().ok()?)))
}
