//! The lineage graph over the catalogue: nodes, provenance edges, version edges, tags, metadata.
//!
//! Invariants of this room:
//!
//! - A node's id is 128 random bits and never changes; a version number is never given twice.
//! - Both kinds of edge together have no cycle; an edge that would close one is refused.
//! - Every edge stands in both tables, by child and by parent, and so does every tag, by name and
//!   by node.
//! - A name belongs to models or to a tag, never to both.
//! - Walks end, and come to a node once, whatever the file says.
//!
//! ```
//! use mgit::lineage::{Direction, Edges};
//! use mgit::{How, NewModel, Store};
//! # fn main() -> mgit::Result<()> {
//! # let folder = tempfile::tempdir()?;
//! # let store = Store::create(folder.path().join("family.mgit"))?;
//! let mut transaction = store.begin_write()?;
//! transaction.add_model(NewModel::new("base"))?;
//! transaction.add_model(NewModel::new("tuned").parent("base", How::FineTune))?;
//! transaction.add_model(NewModel::new("small").parent("tuned", How::Prune))?;
//! transaction.set_tag("best", "small")?;
//! transaction.commit()?;
//!
//! let snapshot = store.snapshot()?;
//! let graph = snapshot.graph();
//! let start = graph.find("best")?.id();
//! let mut names = Vec::new();
//! for node in graph.walk([start], Direction::Up, Edges::Provenance) {
//!     names.push(node?.full_name());
//! }
//! assert_eq!(names, ["small@1", "tuned@1", "base@1"]);
//! assert_eq!(graph.parents(start)?[0].how, How::Prune);
//! # Ok(())
//! # }
//! ```

#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod ancestry;
mod depth;
mod error;
mod graph;
mod graph_mut;
mod id;
mod name;
mod node;
mod pattern;
mod random_id;
mod reference;
mod similar;
mod walk;

pub use crate::catalog::EdgeKind;
pub use ancestry::{PathStep, Via};
pub(crate) use depth::check_depth;
pub use error::LineageError;
pub use graph::{Edge, Graph};
pub use graph_mut::OnChildren;
pub(crate) use graph_mut::{GraphMut, NewNode, Relinked};
pub use id::NodeId;
pub use name::{How, ModelName, NAME_LEN_MAX};
pub use node::Node;
pub use pattern::glob_matches;
pub use reference::ModelRef;
pub use walk::{Direction, Edges, Ends, Neighbours, Nodes, Walk};

/// Metadata of a lossy node: how it was made so, and the content id of what it stands for.
pub const LOSSY_KEY: &str = "mgit.lossy";
/// Metadata of a pinned node.
pub const PINNED_KEY: &str = "mgit.pinned";
/// Keys of metadata that only the store itself writes.
pub const OWN_KEYS: [&str; 2] = [LOSSY_KEY, PINNED_KEY];
