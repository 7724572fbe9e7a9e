//! What a change record says of nodes and edges.

use serde_json::{Map, Value};

use crate::format::{Operation, ProvenanceEdge};
use crate::lineage::{Edge, Node, NodeId};

/// That a node was added, with its edges and its metadata.
pub(in crate::store) fn added_node(
    node: &Node,
    previous: Option<NodeId>,
    parents: &[Edge],
    metadata: Map<String, Value>,
) -> Operation {
    let row = &node.row;
    Operation::AddNode {
        id: node.id.to_string(),
        name: row.name.clone(),
        version: row.version,
        kind: row.kind.clone(),
        created_ms: row.created_ms,
        manifest: row.manifest.to_string(),
        logical_bytes: row.logical_bytes,
        previous: previous.map(|id| id.to_string()),
        parents: provenance(parents),
        metadata,
    }
}

pub(in crate::store) fn provenance(edges: &[Edge]) -> Vec<ProvenanceEdge> {
    let edge =
        |edge: &Edge| ProvenanceEdge { parent: edge.parent.to_string(), how: edge.how.to_string() };
    edges.iter().map(edge).collect()
}
