//! Making and opening a store.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::cache::Cache;
use super::{Error, Result, Snapshot, Transaction};
use crate::catalog::{Catalog, CatalogError, ReadTables, Table, meta};
use crate::container::{
    Container, ContainerError, Disk, FileId, TemporaryFile, TemporaryKind, folder_of,
};
use crate::tensor::{AlignedBuffer, ContentId};

/// How long a reader waits for a writer that is just opening or closing the store.
const OPENING_WAIT: Duration = Duration::from_secs(5);

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

/// An open store: one file of models and their lineage.
///
/// `Send` and `Sync`: share it between threads by reference or in an [`Arc`]. The file stays open,
/// and a writer's lock held, until the store and every snapshot and tensor view taken from it are
/// dropped.
///
/// ```
/// use mgit::{Dtype, NewModel, NewTensor, Shape, Store};
///
/// let folder = tempfile::tempdir()?;
/// let store = Store::create(folder.path().join("models.mgit"))?;
///
/// let weights = [1.0f32, 2.0, 3.0, 4.0];
/// let mut transaction = store.begin_write()?;
/// transaction.add_model(NewModel::new("base").tensor(NewTensor::from_bytes(
///     "w",
///     Dtype::F32,
///     Shape::new(&[2, 2])?,
///     mgit::bytemuck::cast_slice(&weights),
/// )))?;
/// transaction.commit()?;
///
/// let snapshot = store.snapshot()?;
/// let view = snapshot.model("base")?.tensor("w")?.view()?;
/// assert_eq!(view.as_slice::<f32>()?, &weights);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Store {
    pub(super) shared: Arc<Shared>,
}

/// A record that was checked: offset, content, commit that wrote it. A follower is not told when
/// a writer uses a place again, so the offset alone would not do.
pub(super) type CheckedPlace = (u64, ContentId, u64);

/// What a store, its snapshots and its views share. The catalogue is closed before the file.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) catalog: Catalog,
    pub(super) container: Arc<Container>,
    pub(super) access: Access,
    path: PathBuf,
    /// The file had been replaced before it was opened.
    opened_retired: bool,
    /// Records whose every chunk checksum this handle has found right.
    checked: Mutex<HashSet<CheckedPlace>>,
    /// Reconstructed tensors.
    buffers: Mutex<Cache>,
}

/// How often a file that was replaced while it was opened is opened again.
const REOPENINGS_MAX: usize = 100;

/// Whether the file of this id is the one at `path`; so it is, where files have no id.
fn is_at(path: &Path, id: Option<FileId>) -> Result<bool> {
    let there = std::fs::metadata(path).map_err(Error::open_file(path))?;
    Ok(id.is_none_or(|id| id == FileId::of(&there)))
}

pub(super) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(super) fn is_checked(&self, place: CheckedPlace) -> bool {
        locked(&self.checked).contains(&place)
    }

    pub(super) fn set_checked(&self, place: CheckedPlace) {
        locked(&self.checked).insert(place);
    }

    /// Forgets what was known of records whose places may be used again.
    pub(super) fn forget(&self, offsets: impl IntoIterator<Item = u64>) {
        let offsets: HashSet<u64> = offsets.into_iter().collect();
        if !offsets.is_empty() {
            locked(&self.checked).retain(|(offset, ..)| !offsets.contains(offset));
        }
    }

    /// The path the store was opened at.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The folder of the store, for temporary files.
    pub(super) fn folder(&self) -> Option<&Path> {
        self.path.parent().filter(|folder| folder.is_dir())
    }

    pub(super) fn shared_buffer(&self, id: ContentId) -> Option<Arc<AlignedBuffer>> {
        locked(&self.buffers).get(id)
    }

    /// Remembers a reconstructed tensor; gives back the one to use, should another thread have
    /// been faster.
    pub(super) fn share_buffer(&self, id: ContentId, buffer: AlignedBuffer) -> Arc<AlignedBuffer> {
        locked(&self.buffers).put(id, buffer)
    }
}

impl Store {
    fn new(catalog: Catalog, container: Arc<Container>, access: Access, path: PathBuf) -> Self {
        let opened_retired = container.is_retired();
        let shared = Shared {
            catalog,
            container,
            access,
            path,
            opened_retired,
            checked: Mutex::default(),
            buffers: Mutex::default(),
        };
        Store { shared: Arc::new(shared) }
    }

    /// Makes a new, empty store at `path` and opens it for writing. The file appears under its
    /// name when it is complete (two syncs, then one of the folder).
    ///
    /// # Errors
    ///
    /// [`Error::AlreadyExists`] when there is something at `path`; [`Error::NotFound`] when its
    /// folder is missing; those of the disk.
    pub fn create(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        if path.symlink_metadata().is_ok() {
            return Err(Error::AlreadyExists { path: path.to_owned() });
        }
        let folder = folder_of(path);
        let temporary = TemporaryFile::create(folder, TemporaryKind::New, 0o666);
        let temporary = temporary.map_err(Error::open_file(folder))?;
        let file = temporary.as_file().try_clone().map_err(Error::open_file(path))?;
        let store = Self::create_on(Arc::new(crate::container::FileDisk::new(file)), path)?;
        temporary.persist_new(path).map_err(Error::open_file(path))?;
        let sync_folder = || std::fs::File::open(folder)?.sync_all();
        sync_folder().map_err(Error::open_file(folder))?;
        Ok(store)
    }

    /// Makes a new store on an empty disk. `path` is only remembered.
    ///
    /// # Errors
    ///
    /// Those of the disk.
    pub fn create_on(disk: Arc<dyn Disk>, path: impl Into<PathBuf>) -> Result<Self> {
        let mut store_id = [0; 16];
        getrandom::fill(&mut store_id).map_err(|_| crate::lineage::LineageError::NoRandomness)?;
        let container = Arc::new(Container::create(disk, store_id)?);
        let catalog = Catalog::create(&container, now_ms())?;
        Ok(Self::new(catalog, container, Access::Write, path.into()))
    }

    /// Opens a store for reading and writing. After a crash this repairs it. Cost: reads the
    /// catalogue once, to check it.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`]; [`Locked`](crate::container::ContainerError::Locked) while another
    /// process has it open for writing; what is wrong with the file.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        // Whoever held the lock may have put another file in the place of this one meanwhile.
        for _ in 0..REOPENINGS_MAX {
            let disk = Container::open_file(path, true).map_err(Error::open_file(path))?;
            let id = disk.file_id().map_err(Error::open_file(path))?;
            match Container::open_writer(disk) {
                Ok(container) if is_at(path, id)? => {
                    let container = Arc::new(container);
                    let catalog = Catalog::open_writer(&container)?;
                    return Ok(Self::new(catalog, container, Access::Write, path.to_owned()));
                }
                Ok(_) => {}
                Err(ContainerError::Retired) if !is_at(path, id)? => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(ContainerError::Retired.into())
    }

    /// Opens the store on `disk` for reading and writing. `path` is only remembered.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn open_on(disk: Arc<dyn Disk>, path: impl Into<PathBuf>) -> Result<Self> {
        let container = Arc::new(Container::open_writer(disk)?);
        let catalog = Catalog::open_writer(&container)?;
        Ok(Self::new(catalog, container, Access::Write, path.into()))
    }

    /// Opens a store for reading. Snapshots taken later see what a writer, in this process or
    /// another, has committed by then. Works on read-only files and folders. Should the store
    /// not have been closed cleanly, it is repaired in memory and writers are kept out as long as
    /// this handle lives. Cost: reads the catalogue once, to check it, unless a writer has it
    /// open, which has checked it.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`]; what is wrong with the file.
    pub fn open_read_only(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let disk = || Container::open_file(path, false).map_err(Error::open_file(path));
        Self::open_read_only_on(disk, path)
    }

    /// Opens the store on a disk for reading. `disk` opens that disk, once more each time: the
    /// locks of two handles must conflict. `path` is only remembered.
    ///
    /// # Errors
    ///
    /// As [`open_read_only`](Self::open_read_only); those of `disk`.
    pub fn open_read_only_on(
        disk: impl Fn() -> Result<Arc<dyn Disk>>,
        path: impl AsRef<Path>,
    ) -> Result<Self> {
        let path = path.as_ref();
        let start = Instant::now();
        loop {
            let (checking, following) = (disk()?, disk()?);
            let ids = (checking.file_id(), following.file_id());
            let (a, b) = (ids.0.map_err(Error::open_file(path))?, ids.1.ok().flatten());
            // Another file has taken the name between the two.
            let replaced = a != b;
            let opened = match replaced {
                true => None,
                false => Self::try_open_read_only(checking, following, path)?,
            };
            match opened {
                Some(store) => return Ok(store),
                None if start.elapsed() > OPENING_WAIT => {
                    return Err(CatalogError::NeedsRepair.into());
                }
                None => std::thread::sleep(Duration::from_millis(2)),
            }
        }
    }

    /// `None` when a writer is just opening or closing the store.
    fn try_open_read_only(
        checking: Arc<dyn Disk>,
        following: Arc<dyn Disk>,
        path: &Path,
    ) -> Result<Option<Self>> {
        let id = following.file_id().map_err(Error::open_file(path))?;
        let follower = Arc::new(Container::open_follower(following)?);
        // A file that was replaced can be read, but only by whoever asks for it by its name.
        if follower.is_retired() && !is_at(path, id)? {
            return Ok(None);
        }
        // While no writer is there, keep it so and check every page: the database itself trusts
        // them.
        let view = Container::open_view(checking)?.map(Arc::new);
        let checked = view.as_ref().map(Catalog::open_view).transpose()?;
        match Catalog::open_follower(&follower) {
            Ok(catalog) => Ok(Some(Self::new(catalog, follower, Access::Read, path.to_owned()))),
            Err(CatalogError::NeedsRepair) => Ok(checked.zip(view).map(|(catalog, container)| {
                Self::new(catalog, container, Access::ReadRepaired, path.to_owned())
            })),
            Err(error) => Err(error.into()),
        }
    }

    /// Sets how many bytes of reconstructed tensors are kept for later views, those that were asked
    /// for last: 32 MiB unless this is called, none with 0. Views of one content share its buffer
    /// whatever the bound, while any of them lives. Raw tensors are never kept: they are mapped.
    pub fn set_cache_bytes(&self, bytes: u64) {
        locked(&self.shared.buffers).set_bound(bytes);
    }

    /// How many bytes of reconstructed tensors are kept now.
    pub fn cached_bytes(&self) -> u64 {
        locked(&self.shared.buffers).kept_bytes()
    }

    /// How the store is open.
    pub fn access(&self) -> Access {
        self.shared.access
    }

    /// The path the store was opened at.
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    /// The file below, for tools that look at the format itself.
    pub fn container(&self) -> &Container {
        &self.shared.container
    }

    /// A consistent view of the last commit. It stays valid while a writer goes on, also when its
    /// models are removed meanwhile.
    ///
    /// # Errors
    ///
    /// [`CatalogError::NeedsRepair`] when the writer that was followed has crashed;
    /// [`ContainerError::Retired`] when a vacuum has put another file in the place of this one:
    /// open the store again, what was read from this one stays valid; those of the catalogue.
    pub fn snapshot(&self) -> Result<Snapshot> {
        let shared = &self.shared;
        let (pin, tables) = shared.container.pins().register(|| -> Result<_> {
            let tables = shared.catalog.begin_read()?;
            Ok((tables.meta_u64(meta::COMMIT)?, tables))
        })?;
        if shared.container.is_retired() && !shared.opened_retired {
            return Err(ContainerError::Retired.into());
        }
        Ok(Snapshot::new(Arc::clone(shared), tables, pin))
    }

    /// Begins a transaction. Waits for the one before it, if there is one in this process.
    ///
    /// # Errors
    ///
    /// [`Error::ReadOnly`]; [`Poisoned`](crate::container::ContainerError::Poisoned) after a failed
    /// commit; those of the catalogue.
    pub fn begin_write(&self) -> Result<Transaction> {
        if self.shared.access != Access::Write {
            return Err(Error::ReadOnly);
        }
        Transaction::begin(Arc::clone(&self.shared))
    }

    /// Checks that this handle may still write.
    pub(super) fn refuse_after_failure(shared: &Shared, error: CatalogError) -> Error {
        shared.container.poison();
        Error::OutcomeUnknown { source: error }
    }
}

impl Shared {
    /// The rows of every record of the last commit, for the free space.
    pub(super) fn used_extents(tables: &dyn ReadTables) -> Result<Vec<crate::format::Extent>> {
        let mut used = Vec::new();
        for table in [Table::Tensors, Table::Manifests, Table::Changes] {
            tables.scan(table, &[], &mut |_, value| {
                used.push(crate::catalog::RecordRow::decode(value)?.extent());
                Ok(std::ops::ControlFlow::Continue(()))
            })?;
        }
        Ok(used)
    }
}
