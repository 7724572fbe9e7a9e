//! Open, read, write: the heart of the engine.
//!
//! Invariants of this room:
//!
//! - A [`Snapshot`] sees one commit, for as long as it or anything taken from it lives.
//! - A [`Transaction`] is visible to nobody before it is committed, and leaves nothing behind when
//!   it is dropped.
//! - A content id is stored once; its record is needed while a manifest names it or a delta has it
//!   as base, and is freed by the commit that takes the last need away.
//! - A content that a model names has a record, or a promise that says where it is.
//! - Chains of deltas are at most [`crate::planning::CHAIN_DEPTH_MAX`] long when written here, may be
//!   longer when they come from another store, and are read chunk by chunk.
//! - What comes from another store stays until the transaction that brings it is committed.

mod arrive;
mod basis;
mod cache;
mod candidate;
mod chain;
mod checks;
mod choice;
mod collect;
mod encode;
mod error;
mod fold;
mod formula;
mod hidden;
mod ingest;
mod layers;
mod lineage;
mod lossy;
mod lossy_write;
mod manifests;
mod model;
mod new_model;
mod open;
mod options;
mod pin;
mod promise;
mod recode;
mod record;
mod record_writer;
mod relatives;
mod removal;
mod repack;
mod repack_costs;
mod repack_family;
mod repack_formulas;
mod repack_write;
mod send;
mod sketches;
mod snapshot;
mod tensor;
mod transaction;
mod travelling;
mod turns;

pub(crate) use arrive::ArrivingNode;
pub use chain::Chain;
pub use checks::TestResultRow;
pub use collect::CollectReport;
pub use error::{Error, Result};
pub use formula::StoredFormula;
pub use lossy::{DraftTensor, Gate, LossyDraft, LossyReport};
pub use lossy_write::LossyRecodeReport;
pub use model::Model;
pub(crate) use new_model::TensorsSource;
pub use new_model::{Advice, ImportReport, NewModel, NewPart, NewTensor, Note, TensorSource};
pub use open::{Access, Store};
pub use options::OpenOptions;
pub(crate) use options::is_at;
pub use recode::RecodeReport;
pub use record::StoredRecord;
pub(crate) use record_writer::features_of;
pub(crate) use relatives::look_alikes;
pub use removal::RemoveReport;
pub use repack::{Repack, RepackReport};
pub use snapshot::Snapshot;
pub use tensor::{MappedTensor, ReconstructedTensor, StoredAs, Tensor, TensorView};
pub use transaction::Transaction;
pub(crate) use travelling::TravellingHead;
