//! Which stored tensor a new one is coded against.
//!
//! Invariant: a plan names only bases whose elements have their places in the new tensor.

mod pairing;
mod sketch;

pub use pairing::{Relation, TensorKey, pair_tensors};
pub use sketch::{
    BANDED_TENSORS_MAX, Estimate, SKETCH_SAMPLES, SKETCH_VERSION, Sketch, Sketcher, model_bands,
};
pub(crate) use sketch::{Steps, element_bytes, number};

/// The longest chain of deltas that this code writes. A chain that would pass it starts again at
/// its root. `docs/measurements.md` has the curve this is chosen from.
pub const CHAIN_DEPTH_MAX: u8 = 4;

/// The most bases that are tried for one tensor.
pub const BASES_TRIED_MAX: usize = 4;
