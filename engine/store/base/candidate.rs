//! Contents that a new tensor may be coded against, and how it may have come from them.

use std::sync::Arc;

use crate::planning::Relation;
use crate::store::read::chain::Chain;
use crate::tensor::{ContentId, Dtype};

/// How a tensor may have come from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Derivation {
    /// From one, as types and shapes tell.
    Related(Relation),
    /// From one, as a formula that holds exactly and not as a difference: its chain is full.
    Made,
    /// As the mean of all of them.
    Mean,
    /// As the first and a multiple of the difference of the others.
    TaskVector,
    /// As the first and a multiple of the product of the others.
    Lora { rank: u32 },
}

/// Contents that a new tensor may be coded against.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::store) struct Candidate {
    /// Their ids, and the types that the models they are taken from see them as.
    pub(in crate::store) bases: Vec<(ContentId, Dtype)>,
    pub(in crate::store) derivation: Derivation,
}

/// A candidate, and the chains of its contents.
pub(in crate::store) type OpenCandidate<'c> = (Candidate, Vec<Arc<Chain<'c>>>);
