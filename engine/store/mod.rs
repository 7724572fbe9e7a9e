//! Open, read, write: the heart of the engine.
//!
//! Invariants of this room:
//!
//! - A [`Snapshot`] sees one commit, for as long as it or anything taken from it lives.
//! - A [`Transaction`] is visible to nobody before it is committed, and leaves nothing behind when
//!   it is dropped.
//! - A content id is stored once; its record is needed while a manifest names it or a delta has it
//!   as base, and is freed by the commit that takes the last need away.
//! - A content that a manifest names has a record, or a row of missing content with its promisor.
//! - Chains of deltas are at most `planning::CHAIN_DEPTH_MAX` long when written here, may be
//!   longer when they come from another store, and are read chunk by chunk.
//! - What comes from another store stays until the transaction that brings it is committed.
//!
//! Its front is at the root of the crate: [`Store`], [`Snapshot`], [`Transaction`] and their kin.
//! Here are the small values beside them: reports, options, what errors say.
//!
//! ```
//! use mgit::store::{Advice, Repack};
//! use mgit::{NewModel, NewTensor, Profile, Store};
//! # fn main() -> mgit::Result<()> {
//! # let folder = tempfile::tempdir()?;
//! # let store = Store::create(folder.path().join("family.mgit"))?;
//! let mut transaction = store.begin_write()?;
//! let tensor = NewTensor::from_vec("w", [2], vec![1f32; 2]);
//! transaction.add_model(NewModel::new("served").advise(Advice::ReadOften).tensor(tensor))?;
//! let report = transaction.repack(&Repack::default().profile(Profile::Dense), &|_| ())?;
//! assert_eq!((report.tensors, report.changed), (1, 0));
//! transaction.commit()?;
//! # Ok(())
//! # }
//! ```

/// Methods that show the bytes of the file: public for tools that look at the format, which ask for
/// the feature `unstable-format`; else the crate's own.
macro_rules! format_tools {
    ($($(#[$about:meta])* fn $name:ident $arguments:tt -> $result:ty $body:block)*) => {
        $(
            $(#[$about])*
            #[cfg(feature = "unstable-format")]
            pub fn $name $arguments -> $result $body

            $(#[$about])*
            #[cfg(not(feature = "unstable-format"))]
            pub(crate) fn $name $arguments -> $result $body
        )*
    };
}

mod base;
mod cache;
mod edit;
mod error;
mod exchange;
mod info;
mod open;
mod options;
mod read;
mod shared;
mod slabs;
mod source;
mod turns;
mod write;

pub use crate::catalog::CatalogError;
pub use crate::codec::{Encoding, Lossy, Profile, UnknownLossy, UnknownProfile};
pub use crate::container::{ContainerError, LockHolder, Locked, Process, Shortage};
pub use crate::format::FormatError;
pub(crate) use base::relatives::look_alikes;
pub use edit::collect::CollectReport;
pub use edit::lossy::LossyRecodeReport;
pub use edit::lossy_plan::{Gate, LossyDraft, LossyReport, LossyTensor};
pub use edit::new_model::{Advice, ImportReport, NewModel, Note};
pub use edit::new_part::NewPart;
pub use edit::recode::RecodeReport;
pub use edit::remove::RemoveReport;
pub use edit::repack::options::{AroundReport, Repack, RepackReport};
pub use edit::test_results::TestResultRow;
pub(crate) use error::bad_tensor;
pub use error::{Result, StoreError};
pub(crate) use exchange::incoming::IncomingNode;
pub(crate) use exchange::packed_record::PackedHead;
pub use info::StoreInfo;
pub use open::Store;
pub use options::OpenOptions;
pub(crate) use options::is_at;
#[cfg(feature = "unstable-format")]
pub use read::chain::Chain;
pub(crate) use read::file::FilePart;
pub use read::file::{StoredFile, WriteToError};
#[cfg(feature = "unstable-format")]
pub use read::formula::StoredFormula;
pub use read::model::Model;
#[cfg(feature = "unstable-format")]
pub use read::record::StoredRecord;
pub use read::snapshot::Snapshot;
pub use read::strided::NamedView;
pub(crate) use read::tensor::OpenTensor;
pub use read::tensor::{StoredAs, Tensor};
pub use read::view::TensorView;
pub use read::writable::WritableView;
pub use shared::Access;
pub(crate) use source::TensorsSource;
pub use source::{NewTensor, NewView, TensorSource};
pub use write::give_back::GivenBack;
pub(crate) use write::records::features_of;
pub use write::transaction::Transaction;
