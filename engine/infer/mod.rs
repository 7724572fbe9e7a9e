//! Who descends from whom, found from the weights.
//!
//! Three steps, each cheaper than the next is exact: sketches tell
//! relatives from strangers without reading a weight; a [comparison](Comparison) reads samples of
//! the weights of the few that are left and says how much of one model is in the other; the tree
//! of the strongest such ties is then hung up by the root that the evidence for each tie's
//! direction favours.
//!
//! The words: a *member* is a model that is compared, in a file or stored; a *candidate* is a model
//! of a store that may be the parent of one that comes; *evidence* is what speaks for a direction,
//! reason by reason; a *kinship* is what is decided of two members: which is the parent, how the
//! other was made of it, and with what *confidence*. [`place`] finds the kinship of one model with a
//! store's, [`arrange`] those of any models with each other, and [`arrange_in`] is both: all that
//! come together. [`arrange_lines`] is the same where some are versions of one name: a *line*.
//!
//! Invariants of this room:
//!
//! - What two models share is symmetric: it never says which came first. Only [`Evidence`] does,
//!   and every piece of it has a name and a weight.
//! - A direction is claimed from [`CLAIMED_FROM`] on. What is less sure is reported as a kinship.
//!
//! ```
//! use mgit::infer::{Member, arrange};
//! use mgit::{NewModel, NewTensor, Store};
//! # fn main() -> mgit::Result<()> {
//! # let folder = tempfile::tempdir()?;
//! # let store = Store::create(folder.path().join("family.mgit"))?;
//! # let mut transaction = store.begin_write()?;
//! # let mut seed = 1u32;
//! # let mut random = || {
//! #     seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
//! #     (f64::from(seed) / 4_294_967_296.0 - 0.5) as f32
//! # };
//! # let base: Vec<f32> = (0..4096).map(|_| random()).collect();
//! # let tuned: Vec<f32> = base.iter().map(|weight| weight + 0.001 * random()).collect();
//! # let other: Vec<f32> = (0..4096).map(|_| random()).collect();
//! # for (name, weights) in [("base", base), ("tuned", tuned), ("other", other)] {
//! #     let tensor = NewTensor::from_vec("w", [64, 64], weights);
//! #     transaction.add_model(NewModel::new(name).tensor(tensor))?;
//! # }
//! # transaction.commit()?;
//! // Three models of which nothing was declared: two of them are kin.
//! let snapshot = store.snapshot()?;
//! let mut members = Vec::new();
//! for node in snapshot.nodes()? {
//!     members.push(Member::stored(snapshot.model(&node)?)?);
//! }
//! let kin = arrange(&members)?;
//! assert_eq!(kin.len(), 1);
//! # Ok(())
//! # }
//! ```
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod adapter;
mod arrangement;
mod belief;
mod compare;
mod declared;
mod evidence;
mod family;
mod geometry;
mod lines;
mod means;
mod member;
mod placement;
mod pruned;
mod samples;
mod source;
mod tree;
mod triple;

pub use arrangement::{Arrangement, Origin, Parent, arrange_in};
pub use compare::{Comparison, Resemblance, resemble};
pub use evidence::{Evidence, Reason};
pub use family::{Kinship, arrange};
#[cfg(feature = "unstable-format")]
pub use family::{Neighbours, Three, neighbours};
pub use lines::{BaseVerdict, DeclaredBase, Line, arrange_lines};
pub use member::{Member, MemberTensor};
pub use placement::{Placement, place};

/// The confidence from which on a direction is claimed.
pub const CLAIMED_FROM: f64 = 0.9;

/// The probability that neither of two relatives comes from the other, from which on they are told as
/// siblings whose parent is not there.
pub const SIBLINGS_FROM: f64 = 0.2;
