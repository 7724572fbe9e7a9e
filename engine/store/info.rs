//! What a store says of itself.

use serde::Serialize;

use super::error::Result;
use super::open::Store;
use crate::catalog::{ReadTables, meta};

/// What a store says of itself, as of its last commit. [`Store::info`] reads it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct StoreInfo {
    /// The identity of the store, 32 hex digits: the same for its whole life, in its backups and
    /// behind a vacuum; another one in a clone.
    pub store_id: String,
    /// The version of the format that the file was written in.
    pub format_version: u16,
    /// Flags of the features that a reader of the file must know, as the format gives them.
    pub reader_flags: u64,
    /// Flags of the features that a writer of the file must know, as the format gives them.
    pub writer_flags: u64,
    /// The number of the last commit; 0 in a new store.
    pub commit: u64,
    /// When the store was made, in milliseconds since 1970.
    pub created_ms: u64,
    /// Length of the file.
    pub file_bytes: u64,
    /// Bytes of the medium that the file takes.
    pub allocated_bytes: u64,
    /// Whether another file has taken the place of the one that is open, as a vacuum does: what is
    /// read from it stays valid, and no later commit shows.
    pub is_replaced: bool,
}

impl Store {
    /// What the store says of itself. Cost: two rows.
    ///
    /// ```
    /// # fn main() -> mgit::Result<()> {
    /// # let folder = tempfile::tempdir()?;
    /// let store = mgit::Store::create(folder.path().join("models.mgit"))?;
    /// let info = store.info()?;
    /// assert_eq!((info.format_version, info.commit), (1, 0));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`snapshot`](Self::snapshot); those of the disk.
    pub fn info(&self) -> Result<StoreInfo> {
        let snapshot = self.snapshot()?;
        let container = &snapshot.shared().container;
        let superblock = container.superblock();
        Ok(StoreInfo {
            store_id: format!("{:032x}", u128::from_be_bytes(superblock.store_id)),
            format_version: superblock.format_version,
            reader_flags: superblock.reader_flags,
            writer_flags: superblock.writer_flags,
            commit: snapshot.sequence(),
            created_ms: snapshot.tables().meta_u64(meta::CREATED_MS)?,
            file_bytes: container.disk_len()?,
            allocated_bytes: container.allocated_len()?,
            is_replaced: container.is_retired(),
        })
    }
}
