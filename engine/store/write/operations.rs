//! What a change record says of edges.

use crate::format::ProvenanceEdge;
use crate::lineage::Edge;

pub(in crate::store) fn provenance(edges: &[Edge]) -> Vec<ProvenanceEdge> {
    let edge =
        |edge: &Edge| ProvenanceEdge { parent: edge.parent.to_string(), how: edge.how.to_string() };
    edges.iter().map(edge).collect()
}
