//! Byte-range locks on the file, far behind its data.
//!
//! They are open-file-description locks, taken through redb's own file backend: one well-tested
//! implementation for the catalogue's locks and for ours. The catalogue uses bytes from 2^62 up.

use std::fmt::Debug;
use std::fs::File;
use std::io;
use std::ops::{Bound, Range};

use redb::backends::FileBackend;
use redb::{BackendError, StorageBackend};

use super::error::ContainerError;

/// An error of the lock calls.
pub(super) fn lock_error(error: BackendError) -> ContainerError {
    match error {
        BackendError::Io(source) => ContainerError::Io { operation: "lock", offset: 0, source },
        _ => ContainerError::NoLocks,
    }
}

/// Held exclusively by the writer, shared by a view of a store that was not closed cleanly.
pub const WRITER_LOCK_BYTE: u64 = 1 << 61;
/// Held shared while a reader registers a snapshot, exclusively while the writer looks for them.
pub const REGISTER_LOCK_BYTE: u64 = WRITER_LOCK_BYTE + 1;
/// Held shared by whoever holds the writer's byte shared for longer than it takes to open a store,
/// so that a writer knows for whom it waits.
pub const VIEW_LOCK_BYTE: u64 = WRITER_LOCK_BYTE + 2;
/// Held exclusively, in the lock file of a temporary file or folder, by whoever made it.
pub(super) const TEMPORARY_LOCK_BYTE: u64 = WRITER_LOCK_BYTE + 2;
/// A snapshot of commit `n` holds byte `SNAPSHOT_LOCK_BASE + n` shared, for as long as it lives.
pub const SNAPSHOT_LOCK_BASE: u64 = WRITER_LOCK_BYTE + 1024;
/// The catalogue's own lock bytes begin here.
pub(super) const SNAPSHOT_LOCK_END: u64 = 1 << 62;

/// A set of locks on byte ranges of the file, for one owner.
pub trait LockSpace: Debug + Send + Sync {
    /// Takes a lock if nobody else holds a conflicting one.
    fn try_lock(&self, range: (Bound<u64>, Bound<u64>), shared: bool)
    -> Result<bool, BackendError>;
    /// Takes a lock, waiting for it.
    fn lock(&self, range: (Bound<u64>, Bound<u64>), shared: bool) -> Result<(), BackendError>;
    /// Releases a lock on exactly this range.
    fn unlock(&self, range: (Bound<u64>, Bound<u64>)) -> Result<(), BackendError>;
    /// Whether somebody else holds any lock in the range.
    fn is_locked(&self, range: (Bound<u64>, Bound<u64>)) -> Result<bool, BackendError>;
    /// Releases every lock of this set.
    fn unlock_all(&self) -> io::Result<()>;
}

/// The range of one byte.
pub(super) fn byte(at: u64) -> (Bound<u64>, Bound<u64>) {
    (Bound::Included(at), Bound::Included(at))
}

/// A half-open range.
pub(super) fn bytes(range: Range<u64>) -> (Bound<u64>, Bound<u64>) {
    (Bound::Included(range.start), Bound::Excluded(range.end))
}

/// Says that the writer's byte stays held shared.
pub(super) fn announce_view(locks: &dyn LockSpace) -> Result<(), ContainerError> {
    // Nobody ever holds it exclusively.
    locks.try_lock(byte(VIEW_LOCK_BYTE), true).map_err(lock_error).map(drop)
}

/// Locks on a real file.
#[derive(Debug)]
pub(super) struct FileLocks(FileBackend);

impl FileLocks {
    pub(super) fn new(file: File) -> io::Result<Self> {
        FileBackend::new(file).map(FileLocks).map_err(io::Error::other)
    }
}

impl LockSpace for FileLocks {
    fn try_lock(
        &self,
        (start, end): (Bound<u64>, Bound<u64>),
        shared: bool,
    ) -> Result<bool, BackendError> {
        if shared {
            self.0.try_lock_shared_range(start, end)
        } else {
            self.0.try_lock_range(start, end)
        }
    }

    fn lock(
        &self,
        (start, end): (Bound<u64>, Bound<u64>),
        shared: bool,
    ) -> Result<(), BackendError> {
        if shared { self.0.lock_shared_range(start, end) } else { self.0.lock_range(start, end) }
    }

    fn unlock(&self, (start, end): (Bound<u64>, Bound<u64>)) -> Result<(), BackendError> {
        self.0.unlock_range(start, end)
    }

    fn is_locked(&self, (start, end): (Bound<u64>, Bound<u64>)) -> Result<bool, BackendError> {
        self.0.query_lock_range(start, end)
    }

    fn unlock_all(&self) -> io::Result<()> {
        self.0.close()
    }
}

impl Drop for FileLocks {
    fn drop(&mut self) {
        // The descriptor is shared with the disk's, so the locks would outlive this set. An error
        // leaves them to the closing of the file.
        let _ = self.0.close();
    }
}
