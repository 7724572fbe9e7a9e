//! Which base a tensor is coded against, and what it takes then. Reads, writes nothing.

pub(in crate::store) mod candidate;
pub(in crate::store) mod candidates;
pub(in crate::store) mod chunks;
pub(in crate::store) mod encode;
pub(in crate::store) mod policy;
pub(in crate::store) mod prediction;
pub(in crate::store) mod relatives;
pub(in crate::store) mod remaking;
pub(in crate::store) mod select;
pub(in crate::store) mod sketches;
