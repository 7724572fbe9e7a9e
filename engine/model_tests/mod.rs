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

#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod bisect;
mod bound;
mod builtin;
mod compare;
mod error;
mod external;
mod finding;
mod metric;
mod open_models;
mod runner;
mod selector;
mod side_by_side;
mod summaries;
mod summary;
mod test;

pub use crate::command::{
    Bounds, Captured, CommandError, Exit, Outcome as CommandOutcome, Stream, Template, TrustFile,
    run,
};
pub use bisect::{Bisection, bisect, path_between};
pub use bound::Bound;
pub use builtin::Builtin;
pub use compare::{MetricChange, compare};
pub use error::TestError;
pub use external::CommandTrust;
pub use finding::Finding;
pub use metric::{Better, Metric};
pub(crate) use runner::as_text;
pub use runner::{ModelTest, RunOptions, RunReport, Runner, Status, TestResult, Watch};
pub use selector::Selector;
pub use summaries::Unkept;
pub use summary::Summary;
pub use test::{Test, What};
