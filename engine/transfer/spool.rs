//! What comes from afar is kept aside until it is written, so that nobody is kept out of the store
//! while it comes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::source::RecordSource;
use super::{Result, TransferError};
use crate::container::{folder_of, unnamed_file};
use crate::store::{Store, StoreError, TensorSource};
use crate::tensor::ContentId;

/// Bytes that are copied at a time.
const PIECE_LEN: u64 = 1 << 20;

/// Where something lies in that file: offset and length.
pub(super) type KeptAt = (u64, u64);

/// What has come, in a file without a name beside the store.
#[derive(Debug)]
pub(super) struct Spool {
    file: File,
    len: u64,
}

/// A record in that file.
struct Kept<'a> {
    file: &'a File,
    offset: u64,
}

impl TensorSource for Kept<'_> {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(out, self.offset.saturating_add(offset))
    }
}

impl Spool {
    /// An empty one for this store. It is gone when it is dropped, whatever happens.
    ///
    /// # Errors
    ///
    /// Those of the disk.
    pub(super) fn new(store: &Store) -> Result<Self> {
        let folder = folder_of(store.path());
        let file = unnamed_file(folder);
        let file =
            file.map_err(TransferError::io("keep aside in", folder.display().to_string()))?;
        Ok(Spool { file, len: 0 })
    }

    /// Fetches a record.
    ///
    /// # Errors
    ///
    /// It cannot be had; those of the disk.
    pub(super) fn fetch(
        &mut self,
        source: &dyn RecordSource,
        id: ContentId,
        alone: bool,
    ) -> Result<KeptAt> {
        let (len, record) = source.open(id, alone)?;
        let (start, mut done) = (self.len, 0);
        let mut piece = vec![0; PIECE_LEN.min(len) as usize];
        while done < len {
            let part = piece.get_mut(..PIECE_LEN.min(len - done) as usize).unwrap_or_default();
            let failed = |source| StoreError::Source { tensor: id.to_string(), source };
            record.read_at(done, part).map_err(failed)?;
            let kept = self.file.write_all_at(part, start + done);
            kept.map_err(TransferError::io("keep aside", id.short().to_string()))?;
            done += part.len() as u64;
        }
        self.len += len;
        Ok((start, len))
    }

    /// Keeps these bytes.
    fn put(&mut self, bytes: &[u8]) -> Result<KeptAt> {
        let start = self.len;
        let kept = self.file.write_all_at(bytes, start);
        kept.map_err(TransferError::io("keep aside", "a manifest"))?;
        self.len += bytes.len() as u64;
        Ok((start, bytes.len() as u64))
    }

    /// A record that was fetched.
    pub(super) fn record(&self, (offset, _): KeptAt) -> impl TensorSource + '_ {
        Kept { file: &self.file, offset }
    }
}

/// Manifests between the plan of a transfer and its end: of what is near they are read again, and
/// what comes from afar is kept spool.
#[derive(Debug)]
pub(super) struct Manifests {
    spool: Option<Spool>,
    places: BTreeMap<ContentId, KeptAt>,
}

impl Manifests {
    /// None yet, of this source, for this store.
    pub(super) fn new(store: &Store, source: &dyn RecordSource) -> Result<Self> {
        let spool = source.is_far().then(|| Spool::new(store)).transpose()?;
        Ok(Manifests { spool, places: BTreeMap::new() })
    }

    pub(super) fn keep(&mut self, id: ContentId, bytes: &[u8]) -> Result<()> {
        if let Some(spool) = &mut self.spool {
            let place = spool.put(bytes)?;
            self.places.insert(id, place);
        }
        Ok(())
    }

    /// The bytes of one; their id is checked.
    pub(super) fn get(&self, source: &dyn RecordSource, id: ContentId) -> Result<Vec<u8>> {
        let Some((spool, place)) = self.spool.as_ref().zip(self.places.get(&id)) else {
            return source.manifest(id);
        };
        let mut bytes = vec![0; place.1 as usize];
        let what = || format!("manifest {}", id.short());
        let read = spool.record(*place).read_at(0, &mut bytes);
        read.map_err(TransferError::io("read what was kept aside of", what()))?;
        match ContentId::of(&bytes) == id {
            true => Ok(bytes),
            false => Err(TransferError::damaged(what(), "it was kept spool, and is another now")),
        }
    }
}
