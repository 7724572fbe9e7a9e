//! Models between stores: push, pull, fetch, bundles. A clone is a new store and a pull into it.
//!
//! Invariants of this room:
//!
//! - Only missing records are sent, found by content id; they are sent as they are stored.
//! - An incoming record is used only after its content was decoded and hashed, and no model is
//!   visible before everything it needs is stored.
//! - Files of a remote are written once and never changed; a ref is made only where there was
//!   none, so that of two simultaneous pushes one fails and has to pull first.
//! - A model with missing content has a promisor for each missing tensor; tensors that are fetched
//!   later are checked like all others.
//! - A model that both sides have is never replaced, and none is lost: if a name has diverged, both
//!   ends of it stay.
//!
//! ```
//! use mgit::transfer::{Place, Selection, pull, push};
//! use mgit::{NewModel, Store};
//! # fn main() -> mgit::Result<()> {
//! # let folder = tempfile::tempdir()?;
//! # let path = |name: &str| folder.path().join(name);
//! let ours = Store::create(path("ours.mgit"))?;
//! let mut transaction = ours.begin_write()?;
//! transaction.add_model(NewModel::new("base"))?;
//! transaction.commit()?;
//!
//! let shared = Place::Folder(path("shared"));
//! push(&ours, &shared, Selection::ALL)?;
//! let theirs = Store::create(path("theirs.mgit"))?;
//! let report = pull(&theirs, &shared, Selection::ALL)?;
//! assert_eq!(report.models, ["base@1"]);
//! # Ok(())
//! # }
//! ```

#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod bundle;
mod check;
mod drafts;
mod entry;
mod error;
mod folder;
mod incoming;
mod lost_packs;
mod missing;
mod naming;
#[cfg(feature = "remote")]
mod object;
mod order;
mod pack;
mod packed;
mod place;
mod plan;
mod push;
mod receive;
mod records;
mod refs;
mod remote;
mod remotes;
mod report;
mod source;
mod spool;
mod sync_markers;
mod sync_state;
mod verify;

pub use bundle::{BundleReport, bundle_create, bundle_import, bundle_verify, bundle_write};
pub use error::{Diverged, TransferError};
pub use folder::FolderRemote;
pub use missing::{fetch_contents, fetch_missing};
#[cfg(feature = "remote")]
pub use object::ObjectRemote;
pub use place::{Place, fetch, open_remote, pull, push};
pub use push::push_to_remote;
pub use receive::{fetch_from_remote, pull_from_remote, pull_from_store};
pub use remote::Remote;
pub use remotes::{NamedRemote, add_remote, remotes, remove_remote};
pub use report::{PullReport, Renumbered};
pub use verify::{RemoteFinding, RemoteReport, verify_place, verify_remote};

/// Which models travel, and who is told how far they are.
#[derive(Clone, Copy)]
pub struct Selection<'a> {
    /// Whether models of a name are wanted; what they descend from comes along.
    pub wants: &'a (dyn Fn(&str) -> bool + Sync),
    /// Whether a pull leaves the tensors where they are, for a later fetch. Others do not heed it:
    /// a fetch brings tensors, and what is given away is whole.
    pub graph_only: bool,
    /// Called with the bytes of records moved since the last call.
    pub progress: &'a (dyn Fn(u64) + Sync),
}

impl std::fmt::Debug for Selection<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Selection")
    }
}

impl Selection<'_> {
    /// Everything, and nobody is told.
    pub const ALL: Selection<'static> =
        Selection { wants: &|_| true, graph_only: false, progress: &|_| () };

    /// The same, with the tensors.
    fn whole(self) -> Self {
        Selection { graph_only: false, ..self }
    }
}

/// The result of a transfer.
pub type Result<T> = std::result::Result<T, TransferError>;
