//! A model as it travels: everything about it but its manifest and tensors.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Result, TransferError};
use crate::catalog::{EdgeKind, ReadTables, Table};
use crate::lineage::{Edge, Graph, How, Node, NodeId, PINNED_KEY};
use crate::store::IncomingNode;
use crate::tensor::ContentId;

/// An edge to a parent, or to the version before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct EdgeEntry {
    pub(super) parent: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) how: String,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub(super) metadata: Map<String, Value>,
}

/// A node of the graph.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct NodeEntry {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) version: u32,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) kind: String,
    pub(super) created_ms: u64,
    pub(super) manifest: String,
    pub(super) logical_bytes: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) previous: Option<EdgeEntry>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) parents: Vec<EdgeEntry>,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub(super) metadata: Map<String, Value>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) tags: Vec<String>,
}

/// The beginning of the hash of a model's row.
pub(super) type Marker = [u8; 16];

/// The registered tests of one side, by name.
pub(super) type Tests = BTreeMap<String, Map<String, Value>>;

/// The nodes of one side.
pub(super) type Nodes = BTreeMap<NodeId, NodeEntry>;

pub(super) fn node_id(text: &str) -> Result<NodeId> {
    let wrong = || TransferError::damaged("a model's row", format!("{text:?} is no node id"));
    NodeId::from_hex(text).ok_or_else(wrong)
}

impl NodeEntry {
    /// `name@version`.
    pub(super) fn full_name(&self) -> String {
        format!("{}@{}", self.name, self.version)
    }

    pub(super) fn manifest_id(&self) -> Result<ContentId> {
        let wrong = || TransferError::damaged("a model's row", "its manifest is no content id");
        ContentId::from_hex(&self.manifest).ok_or_else(wrong)
    }

    /// Tells this row from every other that the model may have.
    pub(super) fn marker(&self) -> Marker {
        let bytes = serde_json::to_vec(self).unwrap_or_default();
        let id = ContentId::of(&bytes);
        let mut marker = Marker::default();
        marker.iter_mut().zip(id.as_bytes()).for_each(|(to, from)| *to = *from);
        marker
    }

    /// The nodes that it descends from directly.
    pub(super) fn upward(&self) -> Result<Vec<NodeId>> {
        let edges = self.previous.iter().chain(&self.parents);
        edges.map(|edge| node_id(&edge.parent)).collect()
    }

    fn read(graph: Graph<'_>, node: Node) -> Result<Self> {
        let Node { id, row } = node;
        let entry = |kind, parent, how: String| -> Result<EdgeEntry> {
            let metadata = graph.edge_metadata(id, kind, parent)?;
            Ok(EdgeEntry { parent: parent.to_string(), how, metadata })
        };
        let mut parents = Vec::new();
        for edge in graph.parents(id)? {
            parents.push(entry(EdgeKind::Provenance, edge.parent, edge.how.to_string())?);
        }
        let mut metadata = graph.metadata(id)?;
        // How a store keeps a model is its own affair. The others stay in their order: a mark is
        // made of them.
        metadata.shift_remove(PINNED_KEY);
        let previous = graph.previous(id)?;
        let previous = previous.map(|older| entry(EdgeKind::Version, older, String::new()));
        Ok(NodeEntry {
            id: id.to_string(),
            name: row.name,
            version: row.version,
            kind: row.kind,
            created_ms: row.created_ms,
            manifest: row.manifest.to_string(),
            logical_bytes: row.logical_bytes,
            previous: previous.transpose()?,
            parents,
            metadata,
            tags: graph.tags_of(id)?,
        })
    }

    /// Every node of a store. Cost: all rows of the graph.
    pub(super) fn read_all(tables: &dyn ReadTables) -> Result<Nodes> {
        let graph = Graph(tables);
        let mut ids = Vec::new();
        tables.scan(Table::Nodes, &[], &mut |key, _| {
            ids.extend(<[u8; 16]>::try_from(key).ok().map(NodeId));
            Ok(ControlFlow::Continue(()))
        })?;
        let entry = |id| Ok((id, Self::read(graph, graph.expect(id)?)?));
        ids.into_iter().map(entry).collect()
    }

    /// What a store is to take in.
    pub(super) fn incoming(&self) -> Result<IncomingNode> {
        let parents = self.parents.iter().map(|edge| {
            // A derivation that a newer program wrote is still an edge.
            let how = edge.how.parse().unwrap_or(How::Other);
            Ok((Edge { parent: node_id(&edge.parent)?, how }, edge.metadata.clone()))
        });
        let previous = self.previous.as_ref();
        let previous = previous
            .map(|edge| -> Result<_> { Ok((node_id(&edge.parent)?, edge.metadata.clone())) });
        let mut metadata = self.metadata.clone();
        metadata.remove(PINNED_KEY);
        Ok(IncomingNode {
            id: node_id(&self.id)?,
            name: self.name.clone(),
            version: self.version,
            kind: self.kind.clone(),
            created_ms: self.created_ms,
            logical_bytes: self.logical_bytes,
            parents: parents.collect::<Result<_>>()?,
            previous: previous.transpose()?,
            metadata,
        })
    }
}

/// `name@version` of these nodes.
pub(super) fn full_names(nodes: &Nodes, ids: &[NodeId]) -> Vec<String> {
    ids.iter().filter_map(|id| nodes.get(id)).map(NodeEntry::full_name).collect()
}
