//! What two models have in common, layer by layer, and how far apart their weights are.
//!
//! Invariants of this room:
//!
//! - [`match_layers`] follows MGit: pairs of edges, the rarest first; then layers; then only what
//!   keeps the order.
//! - A [`divergence`] is between 0 and 1, 0 for equal models, and does not depend on which of two
//!   models is named first.
//! - [`diff`] reads the bytes of tensors that differ, and of no others; [`diff_contents`] reads none.
//!
//! ```
//! use mgit::{NewModel, NewTensor, Store};
//! # fn main() -> mgit::Result<()> {
//! # let folder = tempfile::tempdir()?;
//! # let store = Store::create(folder.path().join("family.mgit"))?;
//! # let mut transaction = store.begin_write()?;
//! for (name, last) in [("a", 3f32), ("b", 4.0)] {
//!     let weights = vec![1f32, 2.0, last];
//!     let tensor = NewTensor::from_vec("head.weight", [1, 3], weights);
//!     transaction.add_model(NewModel::new(name).tensor(tensor))?;
//! }
//! # transaction.commit()?;
//! let snapshot = store.snapshot()?;
//! let diff = mgit::diff::diff(&snapshot.model("a")?, &snapshot.model("b")?)?;
//! for layer in diff.layers() {
//!     let distance = layer.tensors[0].distance.expect("both have it");
//!     assert_eq!((distance.changed, distance.max), (1, 1.0));
//! }
//! # Ok(())
//! # }
//! ```
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod files;
mod graph;
mod matching;
mod models;
mod outline;
mod tensors;

pub use files::{FileChange, diff_files};
pub use graph::LayerGraph;
pub use matching::{Matching, Mode, divergence, match_layers};
pub(crate) use models::InTurn;
pub use models::{Change, LayerChange, ModelDiff, TensorChange, TensorFacts, diff, diff_contents};
pub(crate) use outline::{Kind, Outline};
pub use tensors::TensorDistance;
