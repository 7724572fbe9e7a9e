//! Making and opening a store.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::error::{Result, StoreError};
use super::options::{OpenOptions, is_at};
use super::read::snapshot::Snapshot;
use super::shared::{Access, Shared, locked, now_ms};
use super::turns::Turns;
use super::write::give_back::{GivenBack, close, give_back};
use super::write::transaction::Transaction;
use crate::catalog::{Catalog, CatalogError};
use crate::container::{
    Container, ContainerError, DestinationError, Disk, FileDisk, LockHolder, TemporaryFile,
    TemporaryKind, folder_of,
};
use crate::format::WRITER_FLAGS_KNOWN;

/// An open store: one file of models and their lineage.
///
/// `Send` and `Sync`: share it between threads by reference or in an [`Arc`]. The file stays open,
/// and a writer's lock held, until the store and every snapshot and tensor view taken from it are
/// dropped; with [`OpenOptions::lock_per_transaction`], the lock is held by each transaction.
///
/// ```
/// use mgit::{NewModel, NewTensor, Store};
///
/// let folder = tempfile::tempdir()?;
/// let store = Store::create(folder.path().join("models.mgit"))?;
///
/// let weights = [1.0f32, 2.0, 3.0, 4.0];
/// let mut transaction = store.begin_write()?;
/// let tensor = NewTensor::from_slice("w", [2, 2], &weights);
/// transaction.add_model(NewModel::new("base").tensor(tensor))?;
/// transaction.commit()?;
///
/// let snapshot = store.snapshot()?;
/// let view = snapshot.model("base")?.tensor("w")?.view()?;
/// assert_eq!(view.as_slice::<f32>()?, &weights);
/// # Ok::<(), mgit::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Store {
    /// What it was opened as.
    shared: Arc<Shared>,
    handle: Arc<Handle>,
}

/// What the clones of a store share beside the file.
#[derive(Debug, Default)]
struct Handle {
    options: OpenOptions,
    turns: Arc<Turns>,
    /// Where the lock is taken for each transaction: what is read through, another one after a
    /// vacuum, and the path that is opened to write.
    per_transaction: Option<(Mutex<Arc<Shared>>, PathBuf)>,
}

/// How often a file that was replaced while it was opened is opened again.
const REOPENINGS_MAX: usize = 100;

impl Store {
    fn new(catalog: Catalog, container: Arc<Container>, access: Access, path: PathBuf) -> Self {
        let named = path.clone();
        Self::new_named(catalog, container, access, (path, named))
    }

    fn new_named(
        catalog: Catalog,
        container: Arc<Container>,
        access: Access,
        (path, named): (PathBuf, PathBuf),
    ) -> Self {
        let opened_retired = container.is_retired();
        let shared = Shared {
            catalog,
            container,
            access,
            path,
            named,
            opened_retired,
            checked: Mutex::default(),
            buffers: Arc::default(),
            on_close: |shared| {
                // Everything is committed; what fails here stays for the next writer.
                let _ = close(shared);
            },
        };
        Store { shared: Arc::new(shared), handle: Arc::default() }
    }

    fn with_options(mut self, options: &OpenOptions) -> Self {
        self.handle = Arc::new(Handle { options: options.clone(), ..Handle::default() });
        self
    }

    pub(in crate::store) fn disk_at(path: &Path, write: bool) -> Result<Arc<dyn Disk>> {
        Container::open_file(path, write).map_err(StoreError::open_file(path))
    }

    /// Makes a new, empty store at `path` and opens it for writing. The file appears under its
    /// name when it is complete (two syncs, then one of the folder).
    ///
    /// # Errors
    ///
    /// [`StoreError::AlreadyExists`] when there is something at `path`; [`StoreError::Destination`]
    /// when its folder is missing; those of the disk.
    pub fn create(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        if path.symlink_metadata().is_ok() {
            return Err(StoreError::AlreadyExists { path: path.to_owned() });
        }
        let folder = folder_of(path);
        let temporary = TemporaryFile::create(folder, TemporaryKind::New, 0o666);
        let temporary = temporary.map_err(|error| match error.kind() {
            ErrorKind::NotFound => DestinationError::io(path, error).into(),
            _ => StoreError::open_file(folder)(error),
        })?;
        let file = temporary.as_file().try_clone().map_err(StoreError::open_file(path))?;
        let store = Self::make_on(Arc::new(FileDisk::new(file)), path.to_owned())?;
        temporary.persist_new(path).map_err(StoreError::open_file(path))?;
        let sync_folder = || std::fs::File::open(folder)?.sync_all();
        sync_folder().map_err(StoreError::open_file(folder))?;
        Ok(store)
    }

    /// Makes a new store on an empty disk. `path` is only remembered.
    ///
    /// # Errors
    ///
    /// Those of the disk.
    #[cfg(feature = "unstable-format")]
    pub fn create_on(disk: Arc<dyn Disk>, path: impl Into<PathBuf>) -> Result<Self> {
        Self::make_on(disk, path.into())
    }

    fn make_on(disk: Arc<dyn Disk>, path: PathBuf) -> Result<Self> {
        let mut store_id = [0; 16];
        getrandom::fill(&mut store_id).map_err(|_| crate::lineage::LineageError::NoRandomness)?;
        let container = Arc::new(Container::create(disk, store_id)?);
        let catalog = Catalog::create(&container, now_ms())?;
        Ok(Self::new(catalog, container, Access::Write, path))
    }

    /// Opens a store for reading and writing. After a crash this repairs it. Other writers are kept
    /// out as long as the handle lives, and not waited for: [`OpenOptions`] can do otherwise. Cost:
    /// a few pages of the catalogue; its first transaction, or the repair, reads all of it once, to
    /// check it.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`]; [`Locked`](crate::container::ContainerError::Locked) while another
    /// process has it open for writing; what is wrong with the file.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        OpenOptions::new().open(path)
    }

    pub(in crate::store) fn open_held(path: &Path, options: &OpenOptions) -> Result<Self> {
        Self::open_held_named(path, path, options)
    }

    /// As [`open_held`](Self::open_held), of what is called `named` in errors and told of commits.
    fn open_held_named(path: &Path, named: &Path, options: &OpenOptions) -> Result<Self> {
        // Whoever held the lock may have put another file in the place of this one meanwhile.
        for _ in 0..REOPENINGS_MAX {
            let disk = Container::open_file(path, true).map_err(StoreError::open_file(named))?;
            let id = disk.file_id().map_err(StoreError::open_file(named))?;
            match Container::open_writer_waiting(disk, &options.waiting) {
                Ok(container) if is_at(path, id)? => {
                    let container = Arc::new(container);
                    let catalog = Catalog::open_writer(&container)?;
                    let paths = (path.to_owned(), named.to_owned());
                    let store = Self::new_named(catalog, container, Access::Write, paths);
                    return Ok(store.with_options(options));
                }
                Ok(_) => {}
                Err(ContainerError::Retired) if !is_at(path, id)? => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(ContainerError::Retired.into())
    }

    /// Opens a store to read it, and to write it transaction by transaction.
    pub(in crate::store) fn open_per_transaction(
        path: &Path,
        options: &OpenOptions,
    ) -> Result<Self> {
        let resolved = OpenOptions::resolved(path);
        let open = || options.open_read_only(path);
        // Who may not write is told so now, and not when the work is done.
        drop(Container::open_file(&resolved, true).map_err(StoreError::open_file(path))?);
        let mut store = open()?;
        let unknown = store.shared.container.superblock().writer_flags & !WRITER_FLAGS_KNOWN;
        if unknown != 0 {
            let writing_only = true;
            return Err(ContainerError::UnknownFeatures { flags: unknown, writing_only }.into());
        }
        if store.access() == Access::ReadRepaired {
            // A view of it would keep its own transactions out: repair the file.
            drop(store);
            drop(Self::open_held_named(&resolved, path, options)?);
            store = open()?;
        }
        if store.shared.opened_retired {
            return Err(ContainerError::Retired.into());
        }
        let reader = Mutex::new(Arc::clone(&store.shared));
        store.handle = Arc::new(Handle {
            options: options.clone(),
            turns: Arc::default(),
            per_transaction: Some((reader, resolved)),
        });
        Ok(store)
    }

    format_tools! {
        /// Opens the store on `disk` for reading and writing. `path` is only remembered.
        ///
        /// # Errors
        ///
        /// As [`open`](Self::open).
        fn open_on(disk: Arc<dyn Disk>, path: impl Into<PathBuf>) -> Result<Self> {
            let container = Arc::new(Container::open_writer(disk)?);
            let catalog = Catalog::open_writer(&container)?;
            Ok(Self::new(catalog, container, Access::Write, path.into()))
        }
    }

    /// Opens a store for reading. Snapshots taken later see what a writer, in this process or
    /// another, has committed by then. Works on read-only files and folders. Should the store
    /// not have been closed cleanly, it is repaired in memory and writers are kept out as long as
    /// this handle lives. Each page of the catalogue is checked when it is read: damage is found by
    /// what asks for it. Cost: a few pages; where it was not closed cleanly, reads the catalogue
    /// once.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`]; what is wrong with the file.
    pub fn open_read_only(path: impl AsRef<Path>) -> Result<Self> {
        OpenOptions::new().open_read_only(path)
    }

    /// Opens the store on a disk for reading. `disk` opens that disk, once more each time: the
    /// locks of two handles must conflict. `path` is only remembered.
    ///
    /// # Errors
    ///
    /// As [`open_read_only`](Self::open_read_only); those of `disk`.
    #[cfg(feature = "unstable-format")]
    pub fn open_read_only_on(
        disk: impl Fn() -> Result<Arc<dyn Disk>>,
        path: impl AsRef<Path>,
    ) -> Result<Self> {
        Self::open_reader(&disk, path.as_ref(), &OpenOptions::new())
    }

    pub(in crate::store) fn open_reader(
        disk: &dyn Fn() -> Result<Arc<dyn Disk>>,
        path: &Path,
        options: &OpenOptions,
    ) -> Result<Self> {
        let mut wait = options.waiting.begin();
        loop {
            match Self::try_open_read_only(disk, disk()?, path)? {
                Some(store) => return Ok(store.with_options(options)),
                None => wait.go_on(LockHolder::RepairingWriter, None)?,
            }
        }
    }

    /// `None` when a writer is just opening or closing the store.
    fn try_open_read_only(
        checking: &dyn Fn() -> Result<Arc<dyn Disk>>,
        following: Arc<dyn Disk>,
        path: &Path,
    ) -> Result<Option<Self>> {
        let id = following.file_id().map_err(StoreError::open_file(path))?;
        let follower = Arc::new(Container::open_follower(following)?);
        // A file that was replaced can be read, but only by whoever asks for it by its name.
        if follower.is_retired() && !is_at(path, id)? {
            return Ok(None);
        }
        if follower.check_extents().is_ok() {
            match Catalog::open_follower(&follower) {
                Err(CatalogError::NeedsRepair) => {}
                opened => {
                    let store = Self::new(opened?, follower, Access::Read, path.to_owned());
                    return Ok(Some(store));
                }
            }
        }
        // It did not end well: while no writer is there, keep it so, check every page, and repair
        // what is in memory.
        let disk = checking()?;
        if disk.file_id().map_err(StoreError::open_file(path))? != id {
            return Ok(None);
        }
        let view = Container::open_view(disk)?.map(Arc::new);
        let checked = view.as_ref().map(Catalog::open_view).transpose()?;
        match Catalog::open_follower(&follower) {
            Ok(catalog) => Ok(Some(Self::new(catalog, follower, Access::Read, path.to_owned()))),
            Err(CatalogError::NeedsRepair) => match checked.zip(view) {
                None => Ok(None),
                Some((catalog, container)) => {
                    container.stay()?;
                    let access = Access::ReadRepaired;
                    Ok(Some(Self::new(catalog, container, access, path.to_owned())))
                }
            },
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
        match self.handle.per_transaction {
            Some(_) => Access::Write,
            None => self.shared.access,
        }
    }

    /// How it was opened.
    pub fn options(&self) -> &OpenOptions {
        &self.handle.options
    }

    /// The path the store was opened at.
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    format_tools! {
        /// The file behind the store. With [`OpenOptions::lock_per_transaction`], the one that was
        /// opened first, for reading. Nothing of it can be written, nor seen other than as a copy:
        ///
        /// ```compile_fail
        /// # fn write_under_a_view(store: &mgit::Store) {
        /// store.container().write(0, &[0]).unwrap();
        /// # }
        /// ```
        ///
        /// ```compile_fail
        /// # fn see_what_changes(store: &mgit::Store) {
        /// let superblock: &[u8] = store.container().bytes(0, 4096).unwrap();
        /// # }
        /// ```
        fn container(&self) -> &Container {
            &self.shared.container
        }
    }

    /// How many rows of the catalogue this handle has read so far, but for transactions that take
    /// the lock themselves: a measure of work that does not depend on the machine.
    pub fn rows_read(&self) -> u64 {
        self.shared.catalog.rows_read()
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
        let Some((reader, path)) = &self.handle.per_transaction else {
            return Snapshot::begin(&self.shared);
        };
        for _ in 0..REOPENINGS_MAX {
            let shared = Arc::clone(&locked(reader));
            match Snapshot::begin(&shared) {
                Err(StoreError::Container(ContainerError::Retired)) => {}
                // Whoever wrote last has crashed.
                Err(StoreError::Catalog(CatalogError::NeedsRepair)) => {
                    let options = &self.handle.options;
                    drop(Self::open_held_named(path, &self.shared.named, options)?);
                }
                taken => return taken,
            }
            self.reopen_reader()?;
        }
        Err(ContainerError::Retired.into())
    }

    /// Reads through the file that has the store's name now, which is to be the same store.
    fn reopen_reader(&self) -> Result<()> {
        let Some((reader, path)) = &self.handle.per_transaction else { return Ok(()) };
        let store = self.handle.options.open_read_only(path)?;
        self.check_same(&store.shared)?;
        let Some(mut shared) = Arc::into_inner(store.shared) else { return Ok(()) };
        shared.buffers = Arc::clone(&self.shared.buffers);
        *locked(reader) = Arc::new(shared);
        Ok(())
    }

    fn check_same(&self, other: &Shared) -> Result<()> {
        let id = |shared: &Shared| shared.container.superblock().store_id;
        match id(&self.shared) == id(other) {
            true => Ok(()),
            false => Err(ContainerError::Retired.into()),
        }
    }

    /// Begins a transaction. Waits as long as it takes for one that another thread has open, and
    /// for whoever keeps writers out as long as [`OpenOptions::wait`] says, where the lock is taken
    /// for each transaction.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let store = mgit::Store::create(folder.path().join("models.mgit"))?;
    /// let first = store.begin_write()?;
    /// // It would wait for itself.
    /// let refused = store.begin_write().unwrap_err();
    /// assert!(matches!(refused, mgit::error::StoreError::AlreadyWriting));
    /// drop(first);
    /// store.begin_write()?.commit()?;
    /// # Ok::<(), mgit::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`StoreError::AlreadyWriting`] while a transaction is open that this thread has begun;
    /// [`StoreError::ReadOnly`]; [`Poisoned`](crate::container::ContainerError::Poisoned) after a
    /// failed commit; [`Locked`](crate::container::ContainerError::Locked); those of the catalogue.
    pub fn begin_write(&self) -> Result<Transaction> {
        self.begin(None)
    }

    /// Begins a transaction, unless another one is open.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let store = mgit::Store::create(folder.path().join("models.mgit"))?;
    /// let first = store.begin_write()?;
    /// std::thread::scope(|scope| {
    ///     let other = scope.spawn(|| store.try_begin_write().map(drop));
    ///     let refused = other.join().unwrap().unwrap_err();
    ///     assert!(matches!(refused, mgit::error::StoreError::Busy { .. }));
    /// });
    /// # Ok::<(), mgit::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`StoreError::Busy`] while another thread has a transaction open; otherwise as
    /// [`begin_write`](Self::begin_write).
    pub fn try_begin_write(&self) -> Result<Transaction> {
        self.begin(Some(Duration::ZERO))
    }

    /// Begins a transaction, waiting at most so long.
    ///
    /// ```
    /// use std::time::Duration;
    /// # let folder = tempfile::tempdir()?;
    /// # let store = mgit::Store::create(folder.path().join("models.mgit"))?;
    /// let transaction = store.begin_write_timeout(Duration::from_secs(1))?;
    /// # transaction.commit()?;
    /// # Ok::<(), mgit::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`StoreError::Busy`] when another thread has a transaction open for longer; otherwise as
    /// [`begin_write`](Self::begin_write).
    pub fn begin_write_timeout(&self, limit: Duration) -> Result<Transaction> {
        self.begin(Some(limit))
    }

    fn begin(&self, limit: Option<Duration>) -> Result<Transaction> {
        if self.access() != Access::Write {
            return Err(StoreError::ReadOnly);
        }
        let start = Instant::now();
        let turn = self.handle.turns.take(limit)?;
        let Some((reader, path)) = &self.handle.per_transaction else {
            return Transaction::begin(Arc::clone(&self.shared), turn);
        };
        let mut options = self.handle.options.clone();
        if let Some(limit) = limit {
            options.waiting.limit = Some(limit.saturating_sub(start.elapsed()));
        }
        let writer = Self::open_held_named(path, &self.shared.named, &options)?;
        self.check_same(&writer.shared)?;
        let id = |shared: &Shared| shared.container.disk().file_id().ok().flatten();
        // A vacuum that could not say so to the readers of the old file.
        if id(&writer.shared) != id(&locked(reader)) {
            self.reopen_reader()?;
        }
        Transaction::begin(writer.shared, turn)
    }

    /// Makes the file as short as it can be without writing the store anew, as
    /// [`upkeep::give_back`](crate::upkeep::give_back) says.
    pub(crate) fn give_back(&self, down_to: u64) -> Result<GivenBack> {
        let store = self.held()?;
        // What is free is known from the first transaction on.
        drop(store.begin_write()?);
        let _turn = store.handle.turns.take(None)?;
        give_back(&store.shared, down_to)
    }

    /// The same store, held for writing as long as what is returned lives.
    pub(crate) fn held(&self) -> Result<Self> {
        match &self.handle.per_transaction {
            None => Ok(self.clone()),
            Some((_, path)) => {
                Self::open_held_named(path, &self.shared.named, &self.handle.options)
            }
        }
    }
}

impl OpenOptions {
    /// Opens a store for reading and writing.
    ///
    /// # Errors
    ///
    /// Those of [`Store::open`]; [`Locked`](crate::container::ContainerError::Locked) when the wait
    /// was too short.
    pub fn open(&self, path: impl AsRef<Path>) -> Result<Store> {
        match self.per_transaction {
            true => Store::open_per_transaction(path.as_ref(), self),
            false => Store::open_held(path.as_ref(), self),
        }
    }

    /// Opens a store for reading.
    ///
    /// # Errors
    ///
    /// Those of [`Store::open_read_only`].
    pub fn open_read_only(&self, path: impl AsRef<Path>) -> Result<Store> {
        let path = path.as_ref();
        Store::open_reader(&|| Store::disk_at(path, false), path, self)
    }
}
