//! What a transaction does to models: one file a verb.

pub(in crate::store) mod add;
pub(in crate::store) mod collect;
mod content;
pub(in crate::store) mod graph;
pub(in crate::store) mod ingest;
pub(in crate::store) mod lossy;
pub(in crate::store) mod lossy_plan;
pub(in crate::store) mod new_model;
pub(in crate::store) mod new_part;
pub(in crate::store) mod pin;
pub(in crate::store) mod pinned;
pub(in crate::store) mod recode;
pub(in crate::store) mod remove;
pub(in crate::store) mod repack;
pub(in crate::store) mod test_results;
pub(in crate::store) mod verbs;
pub(in crate::store) mod weave;
