//! Models that come into a store together: which they are, where they belong, and how they go in.
//!
//! Invariants:
//!
//! - What cannot be read does not hide the rest: it is named, and the others go in.
//! - What the store has already, whichever version it is, makes no version.
//! - The files of a few models are open at a time, whatever the number of models.

mod bring;
mod comers;
mod lines;
mod plan;
mod standing;

pub use bring::{Brought, bring};
pub use comers::Comers;
pub use plan::{Findings, Plan};
