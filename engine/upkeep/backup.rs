//! A copy of a store as of one commit, while writers go on.

use std::path::Path;

use super::UpkeepError;
use super::copy::{Copied, copy_onto, refuse_unknown_features};
use super::new_store::{Replaced, Unnamed};
use crate::container::TemporaryKind;
use crate::store::{Snapshot, Store};

/// What a backup or a vacuum made.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct CopyReport {
    /// The commit that the copy is of.
    pub commit: u64,
    /// Models copied.
    pub models: u64,
    /// Records copied.
    pub records: u64,
    /// Length of the store's file before.
    pub old_bytes: u64,
    /// Length of the new file.
    pub new_bytes: u64,
}

/// Copies what `snapshot` sees to a new store at `to`, which has the same store id and commit
/// number. Writers go on meanwhile; the snapshot keeps what it sees. Every checksum of the copy is
/// computed again from its file before it gets its name, which nothing may have. Its mode is that
/// of the store's file, less the umask. Cost: reads every record once, writes it once and reads it
/// again; two syncs.
///
/// # Errors
///
/// [`UpkeepError::Damaged`] when a record is damaged; those of the store and of the new file.
/// Nothing is then at `to`.
pub fn backup(
    store: &Store,
    snapshot: &Snapshot,
    to: impl AsRef<Path>,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<CopyReport, UpkeepError> {
    let to = to.as_ref();
    backup_to(store, snapshot, to, false, progress)
}

/// As [`backup`], in the place of a file or store that is there, which must not be the one that is
/// copied. Who has that store open for reading keeps what it sees; who writes to it is waited for as
/// long as the options say that `store` was opened with.
///
/// # Errors
///
/// Those of [`backup`]; a lock, when somebody writes to what is there. It is then as it was.
pub fn backup_replacing(
    store: &Store,
    snapshot: &Snapshot,
    to: impl AsRef<Path>,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<CopyReport, UpkeepError> {
    let to = to.as_ref();
    backup_to(store, snapshot, to, true, progress)
}

fn backup_to(
    store: &Store,
    snapshot: &Snapshot,
    to: &Path,
    replace: bool,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<CopyReport, UpkeepError> {
    let source = store.container().disk().file_id().map_err(UpkeepError::target(to))?;
    let replaced = Replaced::at(to, replace, source, store.options())?;
    let to = replaced.path.clone();
    refuse_unknown_features(store)?;
    let mode = store.container().mode()?;
    let unnamed = Unnamed::create(&to, TemporaryKind::Backup, mode)?;
    let (made, copied) = copy_onto(unnamed.disk()?, &to, store, snapshot, progress)?;
    replaced.by(unnamed)?;
    // Closing it is the last that is written to it.
    drop(made);
    let new_bytes = std::fs::metadata(&to).map_err(UpkeepError::target(&to))?.len();
    let (commit, old_bytes) = (snapshot.sequence(), store.container().disk_len()?);
    let Copied { models, records } = copied;
    Ok(CopyReport { commit, models, records, old_bytes, new_bytes })
}
