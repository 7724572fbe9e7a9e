//! Nodes, edges, tags and metadata, read from the tables of a snapshot or a transaction.

use std::fmt;
use std::ops::ControlFlow;

use serde_json::{Map, Value};

use super::reference::ParsedRef;
use super::similar::Similar;
use super::{How, LineageError, ModelName, ModelRef, Node, NodeId};
use crate::catalog::{EdgeKind, NodeRow, ParentRow, ReadTables, Table, keys};
use crate::format::FormatError;

/// A provenance edge, seen from the child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edge {
    /// The parent.
    pub parent: NodeId,
    /// How the child was derived from it.
    pub how: How,
}

/// The lineage graph of a [`Snapshot`](crate::Snapshot) or a [`Transaction`](crate::Transaction),
/// to read: nodes, edges, tags and metadata, and walks over them.
#[derive(Clone, Copy)]
#[must_use]
pub struct Graph<'t>(pub(crate) &'t dyn ReadTables);

impl fmt::Debug for Graph<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Graph")
    }
}

pub(super) fn id_from(what: &'static str, bytes: &[u8]) -> Result<NodeId, FormatError> {
    let id = bytes.try_into().map_err(|_| FormatError::new(what, 0, "16 bytes", bytes.len()))?;
    Ok(NodeId(id))
}

impl Graph<'_> {
    /// The node of this id, if there is one.
    ///
    /// # Errors
    ///
    /// Those of the catalogue.
    pub fn node(&self, id: NodeId) -> Result<Option<Node>, LineageError> {
        let Some(value) = self.0.get(Table::Nodes, &id.0)? else { return Ok(None) };
        Ok(Some(Node { id, row: NodeRow::decode(&value)? }))
    }

    /// The node an edge leads to.
    ///
    /// # Errors
    ///
    /// [`LineageError::Dangling`] when it is not there; those of the catalogue.
    pub fn expect(&self, id: NodeId) -> Result<Node, LineageError> {
        self.node(id)?.ok_or(LineageError::Dangling { node: id })
    }

    /// Every node, in the order of ids. Cost: all of them.
    ///
    /// # Errors
    ///
    /// Those of the catalogue.
    pub fn nodes(&self) -> Result<Vec<Node>, LineageError> {
        let mut nodes = Vec::new();
        self.0.scan(Table::Nodes, &[], &mut |key, value| {
            nodes.push(Node { id: id_from("node key", key)?, row: NodeRow::decode(value)? });
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(nodes)
    }

    /// The versions of a name, ascending.
    ///
    /// # Errors
    ///
    /// Those of the catalogue.
    pub fn versions(&self, name: &ModelName) -> Result<Vec<NodeId>, LineageError> {
        let mut ids = Vec::new();
        let prefix = keys::versions_of(name.as_str());
        self.0.scan(Table::Versions, &prefix, &mut |_, value| {
            ids.push(id_from("version value", value)?);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(ids)
    }

    /// The highest version of a name that is there. Cost: one row, however many there are.
    ///
    /// # Errors
    ///
    /// Those of the catalogue.
    pub fn latest(&self, name: &ModelName) -> Result<Option<NodeId>, LineageError> {
        let last = self.0.last(Table::Versions, &keys::versions_of(name.as_str()))?;
        Ok(last.map(|(_, value)| id_from("version value", &value)).transpose()?)
    }

    /// The highest version ever given to a name; 0 when it was never used.
    ///
    /// # Errors
    ///
    /// Those of the catalogue.
    pub fn highest_version(&self, name: &ModelName) -> Result<u32, LineageError> {
        let highest = self.0.get(Table::Names, name.as_str().as_bytes())?;
        match highest.as_deref().map(<[u8; 4]>::try_from) {
            None => Ok(0),
            Some(Ok(bytes)) => Ok(u32::from_le_bytes(bytes)),
            // Taken as 0, it would give versions a second time.
            Some(Err(_)) => {
                Err(FormatError::new("names value", 0, "4 bytes", "another length").into())
            }
        }
    }

    /// The node that a tag names.
    ///
    /// # Errors
    ///
    /// Those of the catalogue.
    pub fn tagged(&self, tag: &ModelName) -> Result<Option<NodeId>, LineageError> {
        let value = self.0.get(Table::Tags, tag.as_str().as_bytes())?;
        Ok(value.map(|value| id_from("tag value", &value)).transpose()?)
    }

    /// Every tag with its node, by tag.
    ///
    /// # Errors
    ///
    /// Those of the catalogue.
    pub fn tags(&self) -> Result<Vec<(String, NodeId)>, LineageError> {
        let mut tags = Vec::new();
        self.0.scan(Table::Tags, &[], &mut |key, value| {
            tags.push((String::from_utf8_lossy(key).into_owned(), id_from("tag value", value)?));
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(tags)
    }

    /// The tags of a node.
    ///
    /// # Errors
    ///
    /// Those of the catalogue.
    pub fn tags_of(&self, node: NodeId) -> Result<Vec<String>, LineageError> {
        let mut tags = Vec::new();
        self.0.scan(Table::TagsOf, &node.0, &mut |key, _| {
            tags.push(String::from_utf8_lossy(key.get(16..).unwrap_or_default()).into_owned());
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(tags)
    }

    /// The node that a reference names.
    ///
    /// # Errors
    ///
    /// [`LineageError::NoSuchModel`], with up to three names and tags that may have been meant;
    /// [`LineageError::InvalidName`]; those of the catalogue.
    pub fn find(&self, model: impl Into<ModelRef>) -> Result<Node, LineageError> {
        self.find_ref(&model.into())
    }

    fn find_ref(&self, model: &ModelRef) -> Result<Node, LineageError> {
        let id = match &model.read()? {
            ParsedRef::Id(id) => Some(*id),
            ParsedRef::Version(name, version) => self
                .0
                .get(Table::Versions, &keys::version(name.as_str(), *version))?
                .map(|value| id_from("version value", &value))
                .transpose()?,
            ParsedRef::Latest(name) => match self.latest(name)? {
                Some(id) => Some(id),
                None => match self.tagged(name)? {
                    Some(id) => Some(id),
                    None => NodeId::from_hex(name.as_str()),
                },
            },
        };
        match id.map(|id| self.node(id)).transpose()?.flatten() {
            Some(node) => Ok(node),
            None => Err(self.no_such_model(model)?),
        }
    }

    pub(super) fn no_such_model(&self, model: &ModelRef) -> Result<LineageError, LineageError> {
        let asked = model.to_string();
        let mut similar = Similar::to(asked.split('@').next().unwrap_or_default());
        // The versions of a name come one after the other: the last of them is told.
        let mut last: Option<(String, u32)> = None;
        self.0.scan(Table::Versions, &[], &mut |key, _| {
            let (name, version) = key.split_at(key.len().saturating_sub(5));
            let version = version.iter().skip(1).fold(0u32, |n, byte| n << 8 | u32::from(*byte));
            let name = String::from_utf8_lossy(name);
            if let Some((before, version)) = last.take_if(|(before, _)| *before != name) {
                similar.look_at(&before, || format!("{before}@{version}"));
            }
            last = Some((name.into_owned(), version));
            Ok(ControlFlow::Continue(()))
        })?;
        if let Some((name, version)) = last {
            similar.look_at(&name, || format!("{name}@{version}"));
        }
        self.0.scan(Table::Tags, &[], &mut |tag, _| {
            let tag = String::from_utf8_lossy(tag);
            similar.look_at(&tag, || format!("the tag {tag}"));
            Ok(ControlFlow::Continue(()))
        })?;
        let similar = similar.into_names();
        Ok(LineageError::NoSuchModel { asked, similar })
    }

    pub(super) fn edge_rows(
        &self,
        child: NodeId,
        kind: EdgeKind,
    ) -> Result<Vec<ParentRow>, LineageError> {
        let mut rows = Vec::new();
        self.0.scan(Table::Parents, &keys::edges(&child.0, kind), &mut |_, value| {
            rows.push(ParentRow::decode(value)?);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(rows)
    }

    /// The provenance parents of a node, in order.
    ///
    /// # Errors
    ///
    /// Those of the catalogue.
    pub fn parents(&self, child: NodeId) -> Result<Vec<Edge>, LineageError> {
        let rows = self.edge_rows(child, EdgeKind::Provenance)?;
        let edge = |row: ParentRow| Edge {
            parent: NodeId(row.parent),
            // A derivation that a newer program wrote is still an edge.
            how: row.how.parse().unwrap_or(How::Other),
        };
        Ok(rows.into_iter().map(edge).collect())
    }

    /// The version before a node.
    ///
    /// # Errors
    ///
    /// Those of the catalogue.
    pub fn previous(&self, node: NodeId) -> Result<Option<NodeId>, LineageError> {
        let rows = self.edge_rows(node, EdgeKind::Version)?;
        Ok(rows.first().map(|row| NodeId(row.parent)))
    }

    /// The nodes that edges of this kind lead to from `parent`, in the order of ids.
    ///
    /// # Errors
    ///
    /// Those of the catalogue.
    pub fn children(&self, parent: NodeId, kind: EdgeKind) -> Result<Vec<NodeId>, LineageError> {
        let prefix = keys::edges(&parent.0, kind);
        let mut ids = Vec::new();
        self.0.scan(Table::Children, &prefix, &mut |key, _| {
            ids.push(id_from("children key", key.get(prefix.len()..).unwrap_or_default())?);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(ids)
    }

    /// The versions of a name that no other version of it stands on: more than one when the name
    /// has diverged, until a merge joins them. Ascending. Cost: its versions; where there are
    /// several ends, for each about twice what descends from it, or the ancestors of the others
    /// where those are fewer, and memory for the ends.
    ///
    /// # Errors
    ///
    /// Those of the catalogue.
    pub fn tips(&self, name: &ModelName) -> Result<Vec<NodeId>, LineageError> {
        let mut tips = Vec::new();
        for id in self.versions(name)? {
            if self.children(id, EdgeKind::Version)?.is_empty() {
                tips.push(id);
            }
        }
        if tips.len() < 2 {
            return Ok(tips);
        }
        let mut own = Vec::new();
        for tip in &tips {
            let others: Vec<NodeId> = tips.iter().filter(|other| *other != tip).copied().collect();
            if !self.leads_to(*tip, &others)? {
                own.push(*tip);
            }
        }
        Ok(own)
    }

    /// Every name that has diverged, with its [`tips`](Self::tips), by name. Cost: all versions of
    /// all names.
    ///
    /// # Errors
    ///
    /// Those of the catalogue.
    pub fn diverged(&self) -> Result<Vec<(ModelName, Vec<NodeId>)>, LineageError> {
        let mut names: Vec<String> = Vec::new();
        self.0.scan(Table::Versions, &[], &mut |key, _| {
            let name = key.get(..key.len().saturating_sub(5)).unwrap_or_default();
            if names.last().is_none_or(|last| last.as_bytes() != name) {
                names.push(String::from_utf8_lossy(name).into_owned());
            } else {
                // Only a name of several versions can have diverged.
                names.extend(names.last().cloned());
            }
            Ok(ControlFlow::Continue(()))
        })?;
        let mut diverged = Vec::new();
        for same in names.chunk_by(|a, b| a == b).filter(|same| same.len() > 1) {
            let Some(name) = same.first() else { continue };
            let name: ModelName = name.parse()?;
            let tips = self.tips(&name)?;
            if tips.len() > 1 {
                diverged.push((name, tips));
            }
        }
        Ok(diverged)
    }

    /// The user metadata of a node.
    ///
    /// # Errors
    ///
    /// Those of the catalogue; a value that is not JSON.
    pub fn metadata(&self, node: NodeId) -> Result<Map<String, Value>, LineageError> {
        self.metadata_rows(Table::Metadata, &node.0)
    }

    /// What the store itself noted of a node under one of the [`OWN_KEYS`](super::OWN_KEYS).
    /// Cost: one row.
    ///
    /// # Errors
    ///
    /// Those of the catalogue; a value that is not JSON.
    pub fn own_metadata(&self, node: NodeId, key: &str) -> Result<Option<Value>, LineageError> {
        let value = self.0.get(Table::Metadata, &keys::metadata(&node.0, key))?;
        let value = value.map(|value| serde_json::from_slice(&value)).transpose();
        Ok(value.map_err(|error| FormatError::new("metadata value", 0, "JSON", error))?)
    }

    /// The user metadata of the edge of this kind between two nodes; empty when there is none.
    ///
    /// # Errors
    ///
    /// Those of the catalogue; a value that is not JSON.
    pub fn edge_metadata(
        &self,
        child: NodeId,
        kind: EdgeKind,
        parent: NodeId,
    ) -> Result<Map<String, Value>, LineageError> {
        self.metadata_rows(Table::EdgeMetadata, &keys::edge(&child.0, kind, &parent.0))
    }

    fn metadata_rows(
        &self,
        table: Table,
        owner: &[u8],
    ) -> Result<Map<String, Value>, LineageError> {
        let mut metadata = Map::new();
        self.0.scan(table, owner, &mut |key, value| {
            let name = key.get(owner.len()..).unwrap_or_default();
            let name = String::from_utf8_lossy(name).into_owned();
            let value = serde_json::from_slice(value)
                .map_err(|error| FormatError::new("metadata value", 0, "JSON", error))?;
            metadata.insert(name, value);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(metadata)
    }

    /// Refuses when the node has provenance children.
    ///
    /// # Errors
    ///
    /// [`LineageError::HasChildren`]; those of the catalogue.
    pub fn refuse_children(&self, node: &Node) -> Result<(), LineageError> {
        let children = self.children(node.id, EdgeKind::Provenance)?;
        if children.is_empty() {
            return Ok(());
        }
        let children = self.full_names(&children)?;
        Err(LineageError::HasChildren { model: node.full_name(), children })
    }

    /// `name@version` of every id, for messages.
    fn full_names(&self, ids: &[NodeId]) -> Result<Vec<String>, LineageError> {
        ids.iter().map(|id| Ok(self.expect(*id)?.full_name())).collect()
    }
}
