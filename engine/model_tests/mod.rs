//! Tests of models: registered, run, their results kept by content; and bisection.
//!
//! Invariants of this room:
//!
//! - A result is kept under the hash of what was run and the id of what it was run on, never
//!   under a name: it is found again for equal content only, and is never stale. Whether it meets
//!   a test's bounds is judged anew each time.
//! - What may be otherwise the next time (a time limit that was met, a signal, a full disk) is
//!   told and not kept.
//! - Built-in tests read each distinct tensor once, over however many models; what was found of
//!   it is kept by its content.
//! - A command runs only when it is trusted, on a copy of the model in a folder of its own.
//!
//! ```
//! use mgit::model_tests::{Builtin, RunOptions, Runner, Status, Test, What};
//! use mgit::{NewModel, NewTensor, Store};
//! # fn main() -> mgit::Result<()> {
//! # let folder = tempfile::tempdir()?;
//! # let store = Store::create(folder.path().join("family.mgit"))?;
//! # let mut transaction = store.begin_write()?;
//! for (name, value) in [("sound", 1f32), ("broken", f32::NAN)] {
//!     let tensor = NewTensor::from_vec("w", [1], vec![value]);
//!     transaction.add_model(NewModel::new(name).tensor(tensor))?;
//! }
//! let finite = Test::new("finite", What::Builtin(Builtin::Finite));
//! finite.register(&mut transaction)?;
//! transaction.commit()?;
//!
//! let snapshot = store.snapshot()?;
//! let runner = Runner::new(&snapshot, RunOptions::default());
//! let report = runner.run(Some(&store), &Test::all(&snapshot)?, &snapshot.nodes()?)?;
//! let failed: Vec<&str> = report
//!     .results
//!     .iter()
//!     .filter(|result| result.status == Status::Failed)
//!     .map(|result| result.node.name())
//!     .collect();
//! assert_eq!(failed, ["broken"]);
//! # Ok(())
//! # }
//! ```

#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod bisect;
mod bound;
mod builtin;
mod compare;
mod error;
mod external;
mod failure;
mod finding;
mod metric;
mod open_models;
mod report;
mod runner;
mod selector;
mod side_by_side;
mod summaries;
mod summary;
mod test;

pub use bisect::{Bisection, bisect, path_between};
pub use bound::Bound;
pub use builtin::Builtin;
pub use compare::{MetricChange, compare};
pub use error::TestError;
pub use external::CommandTrust;
pub use failure::TestFailure;
pub use finding::Finding;
pub use metric::{Better, Metric};
pub(crate) use report::as_text;
pub use report::{RunReport, Status, TestResult};
pub use runner::{ModelTest, RunOptions, Runner, Watch};
pub use selector::Selector;
pub use summaries::Unkept;
pub use summary::Summary;
pub use test::{Test, What};
