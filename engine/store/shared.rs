//! What a store, its snapshots and its views share: the open file.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use super::cache::Cache;
use super::error::{Result, StoreError};
use crate::catalog::{Catalog, CatalogError, ReadTables, Table};
use crate::container::Container;
use crate::tensor::{AlignedBuffer, ContentId};

/// How a store is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Access {
    /// For reading and writing.
    Write,
    /// For reading; follows what a writer commits.
    Read,
    /// For reading a store that was not closed cleanly: repaired in memory, the file untouched.
    /// Keeps writers out.
    ReadRepaired,
}

/// A record that was checked: offset, content, commit that wrote it. A follower is not told when
/// a writer uses a place again, so the offset alone would not do.
pub(in crate::store) type CheckedPlace = (u64, ContentId, u64);

/// Payloads from this length on are remembered as checked; to check a shorter one again costs about
/// as much as to look it up, and there can be millions of them.
const REMEMBERED_FROM: u64 = 1 << 12;

/// What a store, its snapshots and its views share. The catalogue is closed before the file.
#[derive(Debug)]
pub(in crate::store) struct Shared {
    pub(in crate::store) catalog: Catalog,
    pub(in crate::store) container: Arc<Container>,
    pub(in crate::store) access: Access,
    pub(in crate::store) path: PathBuf,
    /// As the user named it, who is told of commits.
    pub(in crate::store) named: PathBuf,
    /// The file had been replaced before it was opened.
    pub(in crate::store) opened_retired: bool,
    /// Records whose every chunk checksum this handle has found right, in the file or while the
    /// record came from another store.
    pub(in crate::store) checked: Mutex<HashSet<CheckedPlace>>,
    /// Reconstructed tensors.
    pub(in crate::store) buffers: Arc<Mutex<Cache>>,
    /// The last that is done before the catalogue and the file are closed.
    pub(in crate::store) on_close: fn(&Shared),
}

pub(in crate::store) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

pub(in crate::store) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Shared {
    fn drop(&mut self) {
        (self.on_close)(self);
    }
}

impl Shared {
    pub(in crate::store) fn is_checked(&self, place: CheckedPlace) -> bool {
        locked(&self.checked).contains(&place)
    }

    /// Remembers a record whose payload of `stored_len` bytes is right.
    pub(in crate::store) fn set_checked(&self, place: CheckedPlace, stored_len: u64) {
        if stored_len >= REMEMBERED_FROM {
            locked(&self.checked).insert(place);
        }
    }

    /// Forgets what was known of records whose places may be used again.
    pub(in crate::store) fn forget(&self, offsets: impl IntoIterator<Item = u64>) {
        let offsets: HashSet<u64> = offsets.into_iter().collect();
        if !offsets.is_empty() {
            locked(&self.checked).retain(|(offset, ..)| !offsets.contains(offset));
        }
    }

    /// The path that the store was opened at by whoever is told of it.
    pub(in crate::store) fn named(&self) -> &Path {
        &self.named
    }

    /// The folder of the store, for temporary files.
    pub(in crate::store) fn folder(&self) -> Option<&Path> {
        self.path.parent().filter(|folder| folder.is_dir())
    }

    pub(in crate::store) fn shared_buffer(&self, id: ContentId) -> Option<Arc<AlignedBuffer>> {
        locked(&self.buffers).get(id)
    }

    /// Remembers a reconstructed tensor; returns the one to use, which may be that of a faster
    /// thread.
    pub(in crate::store) fn share_buffer(
        &self,
        id: ContentId,
        buffer: AlignedBuffer,
    ) -> Arc<AlignedBuffer> {
        locked(&self.buffers).put(id, buffer)
    }

    /// The rows of every record of the last commit, for the free space.
    pub(in crate::store) fn used_extents(
        tables: &dyn ReadTables,
    ) -> Result<Vec<crate::format::Extent>> {
        let mut used = Vec::new();
        for table in [Table::Tensors, Table::Manifests, Table::Changes] {
            tables.scan(table, &[], &mut |_, value| {
                used.push(crate::catalog::RecordRow::decode(value)?.extent());
                Ok(std::ops::ControlFlow::Continue(()))
            })?;
        }
        Ok(used)
    }

    /// What a commit that failed means for this handle: whether it happened is not known, and it
    /// writes no more.
    pub(in crate::store) fn refuse_after_failure(&self, error: CatalogError) -> StoreError {
        self.container.poison();
        StoreError::OutcomeUnknown { source: error }
    }
}
