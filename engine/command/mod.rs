//! External commands: a line of words with placeholders, run without a shell and within bounds.
//!
//! Invariants of this room:
//!
//! - No shell ever sees a command. Its line is cut into words before anything is filled in, so
//!   that a path or a name cannot become a second word.
//! - A run ends: at its time limit, or when it is cancelled, the command and everything in its
//!   process group is killed. Nothing of the group is left when a run returns.
//! - What is kept of a command's output is bounded; its beginning and its end are kept.
//! - Whether a command may run is asked of a file of this user, never of a store.

#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod captured;
mod error;
mod run;
mod template;
mod trust;

pub use captured::Captured;
pub use error::CommandError;
pub use run::{Bounds, Exit, Outcome, Stream, Watch, run};
pub use template::{TEMPLATE_LEN_MAX, Template};
pub use trust::{TrustFile, check_trust};

#[cfg(test)]
mod tests;
