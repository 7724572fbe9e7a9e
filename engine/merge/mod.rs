//! Two models of one family made into one: a three-way merge against their nearest common ancestor.
//!
//! Layers are what is merged. A layer that one side has changed is taken from that side; one that
//! both have changed alike is no conflict. What both have changed differently is a *conflict*, which
//! somebody must settle: by a side, or by a [`Strategy`](crate::update::Strategy) that mixes them.
//! A layer that one side has changed, and that is joined by a path of the layers' graph to one that
//! the other side has changed, is a *possible conflict*: nobody has seen these two work together, so
//! the merged model must pass the tests of both sides before it is kept.
//!
//! Invariants of this room:
//!
//! - A merge is a function of three models and its settings: it is kept as a recipe, and made again
//!   bit for bit.
//! - The merged model becomes visible in one commit, with both sides as its parents and the tests it
//!   inherits; a merge that is refused changes nothing.
//!
//! ```
//! use mgit::merge::Merge;
//! use mgit::model_tests::RunOptions;
//! use mgit::{How, NewModel, NewTensor, Store};
//! # fn main() -> mgit::Result<()> {
//! # let folder = tempfile::tempdir()?;
//! # let store = Store::create(folder.path().join("family.mgit"))?;
//! # let mut transaction = store.begin_write()?;
//! for (name, a, b) in [("base", 1f32, 1f32), ("left", 2.0, 1.0), ("right", 1.0, 2.0)] {
//!     let mut model = NewModel::new(name)
//!         .tensor(NewTensor::from_vec("a.weight", [1, 2], vec![a; 2]))
//!         .tensor(NewTensor::from_vec("b.weight", [1, 2], vec![b; 2]));
//!     if name != "base" {
//!         model = model.parent("base", How::FineTune);
//!     }
//!     transaction.add_model(model)?;
//! }
//! transaction.commit()?;
//!
//! let merge = Merge::new("left", "right", "both");
//! let merged = merge.run(&store, RunOptions::default())?;
//! let both = store.snapshot()?.model(&merged.report.node)?;
//! assert_eq!(both.tensor("a.weight")?.view()?.to_f32()?, [2.0, 2.0]);
//! assert_eq!(both.tensor("b.weight")?.view()?.to_f32()?, [2.0, 2.0]);
//! # Ok(())
//! # }
//! ```
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod build;
mod class;
mod error;
mod function;
mod layers;
mod options;
mod plan;
mod run;
mod tests_of;
mod trial;
mod values;

pub use class::{Class, Touched};
pub use error::MergeError;
pub use function::{MERGE_FUNCTION, MergeFunction, functions};
pub use options::{MergeOptions, Resolution, Take};
pub use plan::{LayerMerge, MergePlan, Touch};
pub use run::{Merge, Merged};
pub use tests_of::TestConflict;
pub use values::ValueConflict;
