//! What comes from afar is kept aside until it is written, so that nobody is kept out of the store
//! while it comes.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::source::Source;
use super::{Result, TransferError};
use crate::container::folder_of;
use crate::store::{Error, Store, TensorSource};
use crate::tensor::ContentId;

/// Bytes that are copied at a time.
const PIECE_LEN: u64 = 1 << 20;

/// Records that have come, in a file without a name beside the store.
#[derive(Debug)]
pub(super) struct Aside {
    file: File,
    /// Offset and length of each record.
    places: HashMap<ContentId, (u64, u64)>,
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

impl Aside {
    /// An empty one for this store. It is gone when it is dropped, whatever happens.
    ///
    /// # Errors
    ///
    /// Those of the disk.
    pub(super) fn new(store: &Store) -> Result<Self> {
        let folder = folder_of(store.path());
        let file = tempfile::tempfile_in(folder);
        let file =
            file.map_err(TransferError::io("keep aside in", folder.display().to_string()))?;
        Ok(Aside { file, places: HashMap::new(), len: 0 })
    }

    /// Fetches a record. Says how long it is.
    ///
    /// # Errors
    ///
    /// It cannot be had; those of the disk.
    pub(super) fn fetch(&mut self, source: &dyn Source, id: ContentId, alone: bool) -> Result<u64> {
        let (len, record) = source.open(id, alone)?;
        let (start, mut done) = (self.len, 0);
        let mut piece = vec![0; PIECE_LEN.min(len) as usize];
        while done < len {
            let part = piece.get_mut(..PIECE_LEN.min(len - done) as usize).unwrap_or_default();
            let failed = |source| Error::Source { tensor: id.to_string(), source };
            record.read_at(done, part).map_err(failed)?;
            let kept = self.file.write_all_at(part, start + done);
            kept.map_err(TransferError::io("keep aside", id.short().to_string()))?;
            done += part.len() as u64;
        }
        self.places.insert(id, (start, len));
        self.len += len;
        Ok(len)
    }

    /// A record that was fetched, and its length.
    pub(super) fn record(&self, id: ContentId) -> Option<(u64, impl TensorSource + '_)> {
        let (offset, len) = *self.places.get(&id)?;
        Some((len, Kept { file: &self.file, offset }))
    }
}
