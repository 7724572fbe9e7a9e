//! How a store is to be opened.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::error::{Result, StoreError};
use crate::container::{FileId, Locked, Waiting};

/// How a store is to be opened: how long to wait for others, and when to keep others out.
///
/// ```
/// use std::time::Duration;
/// use mgit::{Store, store::OpenOptions};
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("models.mgit");
/// drop(Store::create(&path)?);
///
/// // Keeps other writers out only while a transaction is open, and waits a minute for theirs.
/// let options = OpenOptions::new().lock_per_transaction(true).wait(Duration::from_secs(60));
/// let (one, other) = (options.open(&path)?, options.open(&path)?);
/// one.begin_write()?.commit()?;
/// other.begin_write()?.commit()?;
/// # Ok::<(), mgit::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct OpenOptions {
    pub(in crate::store) waiting: Waiting,
    pub(in crate::store) per_transaction: bool,
}

impl OpenOptions {
    /// Those of [`Store::open`](crate::Store::open): another writer is not waited for, readers that
    /// are just opening the store are for at most five seconds, and the writer's lock is held for
    /// the handle's life.
    pub fn new() -> Self {
        OpenOptions::default()
    }

    /// Waits at most so long for whoever keeps a writer out, or the repair of a store that was not
    /// closed cleanly; zero refuses at once.
    pub fn wait(mut self, limit: Duration) -> Self {
        self.waiting.limit = Some(limit);
        self
    }

    /// Calls `told` once in every wait that takes more than a moment, with what is known of whoever
    /// is waited for.
    pub fn on_wait(mut self, told: impl Fn(&Locked) + Send + Sync + 'static) -> Self {
        self.waiting.told = Some(Arc::new(told));
        self
    }

    /// Holds the writer's lock only while a transaction is open, so that others can write between
    /// two. For programs that work for long beside few commits; a program with many small commits
    /// holds the lock better: every transaction opens the file anew, which reads the catalogue to
    /// check it.
    ///
    /// Such a handle reads as [`Store::open_read_only`](crate::Store::open_read_only) does, and
    /// sees what others commit. It follows a vacuum to the new file. That the store can be written
    /// is looked at when it is opened; a store that was not closed cleanly is repaired then.
    pub fn lock_per_transaction(mut self, yes: bool) -> Self {
        self.per_transaction = yes;
        self
    }

    /// How long others are waited for.
    pub(crate) fn waiting(&self) -> &Waiting {
        &self.waiting
    }

    pub(in crate::store) fn resolved(path: &Path) -> PathBuf {
        path.canonicalize().unwrap_or_else(|_| path.to_owned())
    }
}

/// Whether the file of this id is the one at `path`; so it is, where files have no id.
pub(crate) fn is_at(path: &Path, id: Option<FileId>) -> Result<bool> {
    let there = std::fs::metadata(path).map_err(StoreError::open_file(path))?;
    Ok(id.is_none_or(|id| id == FileId::of(&there)))
}
