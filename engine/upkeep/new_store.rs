//! A store that is made of another one's records, byte for byte, and of rows.
//!
//! It is built under a temporary name, in one transaction, checked, and then given its name.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{UpkeepError, VerifyDepth, verify};
use crate::catalog::{Catalog, CatalogWrite, RecordRow};
use crate::container::{
    Container, ContainerError, DestinationError, Disk, FileDisk, FileId, TemporaryFile,
    TemporaryKind, folder_of, what_is_at,
};
use crate::format::{Extent, RECORD_HEADER_LEN, RecordHeader, RecordKind, Superblock};
use crate::shutdown::critical;
use crate::store::{OpenOptions, Store, StoreError};

/// Bytes that are copied at a time.
const PIECE_LEN: u64 = 1 << 20;

/// A new store, which has no name yet.
#[derive(Debug)]
pub(super) struct NewStore {
    disk: Arc<dyn Disk>,
    catalog: Catalog,
    container: Arc<Container>,
    path: PathBuf,
}

/// What the new store's superblock is to say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Identity {
    pub(super) store_id: [u8; 16],
    pub(super) reader_flags: u64,
    pub(super) writer_flags: u64,
    /// Where the old superblock's last extent ends.
    pub(super) catalogue_end: Option<u64>,
}

impl Identity {
    pub(super) fn of(superblock: &Superblock) -> Self {
        Identity {
            store_id: superblock.store_id,
            reader_flags: superblock.reader_flags,
            writer_flags: superblock.writer_flags,
            catalogue_end: superblock.extents.iter().map(Extent::end).max(),
        }
    }
}

impl NewStore {
    /// An empty store on an empty disk, which will be at `path`.
    pub(super) fn create(
        disk: Arc<dyn Disk>,
        path: &Path,
        identity: Identity,
        created_ms: u64,
    ) -> Result<Self, UpkeepError> {
        let container = Arc::new(Container::create(Arc::clone(&disk), identity.store_id)?);
        container.require_features(identity.reader_flags, identity.writer_flags);
        let catalog = Catalog::create(&container, created_ms)?;
        container.set_used(Vec::new(), 0)?;
        container.release_space()?;
        Ok(NewStore { disk, catalog, container, path: path.to_owned() })
    }

    pub(super) fn begin_write(&self) -> Result<CatalogWrite, UpkeepError> {
        Ok(self.catalog.begin_write()?)
    }

    /// Copies the record that `row` names, whole and unchanged: what lies between its header and
    /// the end of its payload is nobody's business here. Gives its row in the new store.
    pub(super) fn copy(
        &self,
        from: &dyn Disk,
        row: &RecordRow,
        progress: &dyn Fn(u64),
    ) -> Result<RecordRow, UpkeepError> {
        let head = crate::container::read_disk(from, row.offset, RECORD_HEADER_LEN as u64)?;
        let damaged = |source| ContainerError::Format { offset: row.offset, source };
        let header = RecordHeader::decode(&head).map_err(damaged)?;
        let raw = header.kind == RecordKind::Tensor && header.depth == 0;
        let payload_offset = u64::from(header.payload_offset);
        let Some(payload_len) = row.len.checked_sub(payload_offset) else {
            let expected = format!("at least {payload_offset}");
            let source = crate::format::FormatError::new("record row length", 8, expected, row.len);
            return Err(damaged(source).into());
        };
        // The payload keeps its distance from the header, so it is aligned as it was.
        let place = self.container.reserve(payload_offset, payload_len, raw)?;
        let mut piece = vec![0; PIECE_LEN.min(row.len) as usize];
        let mut done = 0;
        while done < row.len {
            let len = PIECE_LEN.min(row.len - done);
            let part = piece.get_mut(..len as usize).unwrap_or_default();
            let at = row.offset.saturating_add(done);
            from.read_at(at, part).map_err(ContainerError::io("read", at))?;
            self.container.write(place.offset + done, part)?;
            done += len;
            progress(len);
        }
        Ok(RecordRow { offset: place.offset, ..row.clone() })
    }

    /// Closes what was built and opens it as a store.
    pub(super) fn open(self) -> Result<Store, UpkeepError> {
        let NewStore { disk, catalog, container, path } = self;
        // Closed first, so that what was written is what a reader finds.
        drop(catalog);
        drop(container);
        Ok(Store::open_on(disk, path)?)
    }

    /// Opens it, and checks it as it is read from its disk.
    pub(super) fn finish(self, progress: &(dyn Fn(u64) + Sync)) -> Result<Store, UpkeepError> {
        let store = self.open()?;
        // The catalogue grew while records were written behind it.
        store.give_back(0)?;
        let report = verify(&store, &store.snapshot()?, VerifyDepth::Quick, progress)?;
        match report.is_clean() {
            true => Ok(store),
            false => Err(UpkeepError::Damaged { findings: report.findings }),
        }
    }
}

/// The file of a new store, under a temporary name until it is published. It goes when this is
/// dropped before.
#[derive(Debug)]
pub(super) struct Unnamed {
    temporary: TemporaryFile,
    path: PathBuf,
}

impl Unnamed {
    /// An empty file in the folder of `path`, with `mode` less the umask.
    pub(super) fn create(path: &Path, kind: TemporaryKind, mode: u32) -> Result<Self, UpkeepError> {
        let folder = folder_of(path);
        let temporary = TemporaryFile::create(folder, kind, mode);
        let temporary = temporary.map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => DestinationError::io(path, source).into(),
            _ => UpkeepError::target(folder)(source),
        })?;
        Ok(Unnamed { temporary, path: path.to_owned() })
    }

    /// The file, to give it an owner or a mode.
    pub(super) fn file(&self) -> &File {
        self.temporary.as_file()
    }

    /// The name that it has until then: what is committed to it counts for nothing before.
    pub(super) fn temporary_path(&self) -> &Path {
        self.temporary.path()
    }

    /// The file as a disk.
    pub(super) fn disk(&self) -> Result<Arc<dyn Disk>, UpkeepError> {
        let file = self.file().try_clone().map_err(UpkeepError::target(&self.path))?;
        Ok(Arc::new(FileDisk::new(file)))
    }

    /// Syncs the file, gives it its name, in the place of what has it or, unless `replace` says
    /// so, only where nothing has, and syncs the folder.
    pub(super) fn publish(self, replace: bool) -> Result<(), UpkeepError> {
        let Unnamed { temporary, path } = self;
        temporary.as_file().sync_all().map_err(UpkeepError::target(&path))?;
        let named = match replace {
            true => temporary.persist(&path),
            false => temporary.persist_new(&path),
        };
        named.map_err(UpkeepError::target(&path))?;
        let folder = folder_of(&path);
        let sync_folder = || File::open(folder)?.sync_all();
        sync_folder().map_err(UpkeepError::target(folder))
    }
}

/// What is at the path of a new store, and may be replaced by it.
#[derive(Debug)]
pub(super) struct Replaced {
    /// Where the path leads.
    pub(super) path: PathBuf,
    /// What is there, open so that nobody else writes to it; `None` for what is no store.
    store: Option<Store>,
    is_there: bool,
    /// Other names go on leading to the old file.
    has_other_names: bool,
}

impl Replaced {
    /// Judges what is at `path`: nothing, or, where `replace` says so, any file but `source`,
    /// which the new store is made of.
    pub(super) fn at(
        path: &Path,
        replace: bool,
        source: Option<FileId>,
        options: &OpenOptions,
    ) -> Result<Self, UpkeepError> {
        let taken = || UpkeepError::from(StoreError::AlreadyExists { path: path.to_owned() });
        let Some(found) = what_is_at(path)? else {
            return Ok(Replaced {
                path: path.to_owned(),
                store: None,
                is_there: false,
                has_other_names: false,
            });
        };
        if !found.is_file() {
            let (path, what) = (path.to_owned(), "a pipe or a device");
            return Err(DestinationError::NotAFile { path, what }.into());
        }
        if !replace || Some(FileId::of(&found)) == source {
            return Err(taken());
        }
        let resolved = path.canonicalize().map_err(UpkeepError::target(path))?;
        let store = match options.clone().lock_per_transaction(false).open(&resolved) {
            Ok(store) => Some(store),
            Err(error @ StoreError::Container(ContainerError::Locked { .. })) => {
                return Err(error.into());
            }
            // Something else, or so damaged that nobody has it open.
            Err(_) => None,
        };
        let has_other_names = found.nlink() > 1;
        Ok(Replaced { path: resolved, store, is_there: true, has_other_names })
    }

    /// Gives the new store its name. Who has the old one open is told to open again.
    pub(super) fn by(self, unnamed: Unnamed) -> Result<(), UpkeepError> {
        critical(|| {
            unnamed.publish(self.is_there)?;
            if let Some(store) = self.store.as_ref().filter(|_| !self.has_other_names) {
                // A failure leaves readers of the old file with what they see.
                let _ = store.container().retire();
            }
            Ok(())
        })
    }
}
