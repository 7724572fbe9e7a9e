//! The lineage graph over the catalogue: nodes, provenance edges, version edges.
//!
//! Invariants of this room:
//!
//! - A node's id is 128 random bits and never changes; a version number is never given twice.
//! - Both kinds of edge together have no cycle; an edge that would close one is refused.
//! - Every edge stands in both tables, by child and by parent.

mod error;
mod graph;
mod name;

pub use error::LineageError;
pub use graph::{Edge, Graph, GraphMut, NewNode, Node, OnChildren};
pub use name::{How, ModelName, ModelRef, NAME_LEN_MAX, NodeId};
