//! What two models have in common, layer by layer, and how far apart their weights are.
//!
//! Invariants of this room:
//!
//! - [`match_layers`] follows MGit: pairs of edges, the rarest first; then layers; then only what
//!   keeps the order.
//! - A [`divergence`] is between 0 and 1, 0 for equal models, and does not depend on which of two
//!   models is named first.
//! - [`diff`] reads the bytes of tensors that differ, and of no others.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod graph;
mod matching;
mod models;
mod outline;
mod tensors;

pub use graph::LayerGraph;
pub use matching::{Matching, Mode, divergence, match_layers};
pub(crate) use models::InTurn;
pub use models::{Change, LayerChange, ModelDiff, TensorChange, TensorFacts, diff};
pub(crate) use outline::{Kind, Outline};
pub use tensors::TensorDistance;
