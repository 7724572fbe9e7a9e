//! Pickles, read for the tensors in them.
//!
//! Invariants of this room:
//!
//! - Nothing is imported and nothing is run. A global is a name; what is called on it is made only
//!   where [`globals`] knows what that gives, and else is an *object* that keeps its parts.
//! - Nothing recurses, whatever the nesting; what contains itself is walked once.
//! - Memory is in proportion to the number of values, which is at most [`VALUES_MAX`], and of
//!   operations that put one on the stack, at most [`PUSHES_MAX`]. Texts stay in the pickle's bytes,
//!   of which there are at most [`PICKLE_LEN_MAX`].
//!
//! What is understood is what the unpickler of `torch.load(weights_only=True)` allows, and the
//! objects of TorchScript. The operations: CPython's `Lib/pickletools.py`.

mod globals;
mod machine;
mod opcode;
mod value;
mod walk;

pub(super) use globals::Element;
pub(super) use machine::Pickle;
pub(super) use value::{Id, Storage, Value};
pub(super) use walk::FoundTensor;

/// The most bytes of a pickle that is read.
pub(super) const PICKLE_LEN_MAX: u64 = 64 << 20;
/// The most values that a pickle may make: some 200,000 tensors.
pub(super) const VALUES_MAX: usize = 1 << 22;
/// The most values that may be put on the stack, made anew or not.
pub(super) const PUSHES_MAX: u32 = 1 << 23;
/// The most values that are looked at on the way to tensors: one that has several names is looked at
/// by each.
pub(super) const VISITS_MAX: usize = 1 << 22;
/// The most bytes of names and shapes of the tensors that are found.
pub(super) const FOUND_LEN_MAX: usize = 128 << 20;
/// The most globals that are kept by name.
pub(super) const UNKNOWN_GLOBALS_MAX: usize = 1_000;
