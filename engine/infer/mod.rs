//! Who descends from whom, found from the weights.
//!
//! Three steps, each cheaper than the next is exact: [sketches](crate::planning::Sketch) tell
//! relatives from strangers without reading a weight; a [comparison](Comparison) reads samples of
//! the weights of the few that are left and says how much of one model is in the other; the tree
//! of the strongest such ties is then hung up by the root that the evidence for each tie's
//! direction favours.
//!
//! Invariants of this room:
//!
//! - What two models share is symmetric: it never says which came first. Only [`Evidence`] does,
//!   and every piece of it has a name and a weight.
//! - A direction is claimed from [`CLAIMED_FROM`] on. What is less sure is reported as a kinship.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod compare;
mod evidence;
mod family;
mod member;
mod placement;
mod samples;
mod tree;

pub use compare::{Comparison, Resemblance, resemble};
pub use evidence::{Evidence, Reason};
pub use family::{Kinship, arrange};
pub use member::{Member, MemberTensor};
pub use placement::{Placement, place};

/// The confidence from which on a direction is claimed.
pub const CLAIMED_FROM: f64 = 0.9;
