//! Which stored tensor a new one is coded against.
//!
//! Invariant: a plan names only bases whose elements have their places in the new tensor.

mod arborescence;
mod base_costs;
mod pairing;
mod ranking;
mod sketch;
#[cfg(test)]
mod tests;

pub use arborescence::{BasePlan, SHAKES_MAX, plan_bases, plan_part, present_sum};
pub use base_costs::{BaseCosts, Making, Stand};
pub use pairing::{Relation, TensorKey, pair_tensors};
pub use ranking::{INHERITED_FROM, Likeness, RANKED_MAX, Ranking, level};
pub(crate) use sketch::Steps;
pub use sketch::{
    BANDED_TENSORS_MAX, Estimate, SKETCH_SAMPLES, SKETCH_VERSION, SKETCH_VERSION_F64, Sketch,
    Sketcher, model_bands,
};

/// The longest chain of deltas that this code writes. Where the chain of the best base is full, one
/// further down takes its [place](level). `docs/measurements.md` has the curve this is chosen from.
pub const CHAIN_DEPTH_MAX: u8 = 2;

/// The most bases that are tried for one tensor.
pub const BASES_TRIED_MAX: usize = 4;
