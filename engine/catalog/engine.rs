//! The database behind the tables: redb, in the three ways a store is opened.

use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use redb::{Builder, ConcurrencyMode, Database, Durability, ReadOnlyDatabase, ReadableDatabase};

use super::health::{Guarded, Health, guard};
use super::tables::{CatalogRead, CatalogWrite};
use super::{CatalogError, Table, WriteTables, meta};
use crate::container::{CatalogBackend, Container, ContainerError, OverlayBackend};
use crate::format::FEATURE_SHARED_TABLE;

/// Memory the database may use for its own cache, in bytes.
const CACHE_BYTES: usize = 4 << 20;

/// The database, as far as it was needed.
#[derive(Debug, Default)]
pub(super) struct Engine {
    /// Reads what a writer in any process commits, and checks each page that it reads. A writer
    /// reads through it until it first writes; what was read through it stays valid then.
    follower: Option<Guarded<ReadOnlyDatabaseDebug>>,
    /// Writes, and reads its own commits; every page was checked. Also a view of the file through
    /// an overlay.
    own: OnceLock<Box<RwLock<Guarded<Database>>>>,
    /// Held while `own` is opened.
    opening: Mutex<()>,
}

impl Engine {
    /// The database that writes, where it was opened.
    pub(super) fn own(&self) -> Option<&RwLock<Guarded<Database>>> {
        self.own.get().map(|own| &**own)
    }
}

/// `ReadOnlyDatabase` has no `Debug` of its own.
pub(super) struct ReadOnlyDatabaseDebug(ReadOnlyDatabase);

impl std::fmt::Debug for ReadOnlyDatabaseDebug {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ReadOnlyDatabase")
    }
}

fn builder(mode: ConcurrencyMode, check: bool) -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_BYTES).set_concurrency_mode(mode);
    builder.set_check_integrity_on_open(check);
    builder
}

/// The catalogue of an open store.
#[derive(Debug)]
pub struct Catalog {
    pub(super) engine: Engine,
    pub(super) health: Arc<Health>,
}

impl Catalog {
    fn own(
        container: &Arc<Container>,
        make: impl FnOnce() -> Result<Database, CatalogError>,
    ) -> Result<Self, CatalogError> {
        let catalog = Catalog { engine: Engine::default(), health: Health::new(container) };
        catalog.open_own(make)?;
        Ok(catalog)
    }

    /// Opens the database that writes, unless it is open.
    fn open_own(
        &self,
        make: impl FnOnce() -> Result<Database, CatalogError>,
    ) -> Result<&RwLock<Guarded<Database>>, CatalogError> {
        let _opening = self.engine.opening.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = self.engine.own() {
            return Ok(own);
        }
        let database = Guarded::new(guard(&self.health, make)?, &self.health);
        Ok(self.engine.own.get_or_init(|| Box::new(RwLock::new(database))))
    }

    /// Makes the catalogue of a new store, with every table.
    ///
    /// # Errors
    ///
    /// Those of the disk.
    pub fn create(container: &Arc<Container>, now_ms: u64) -> Result<Self, CatalogError> {
        container.require_features(FEATURE_SHARED_TABLE, 0);
        let backend = CatalogBackend::to_write(Arc::clone(container))?;
        let catalog = Self::own(container, || {
            builder(ConcurrencyMode::SingleWriter, false)
                .create_with_backend(backend)
                .map_err(CatalogError::from_redb)
        })?;
        let mut write = catalog.begin_write()?;
        write.create_tables()?;
        write.put(Table::Meta, meta::COMMIT.as_bytes(), &0u64.to_le_bytes())?;
        write.put(Table::Meta, meta::LAST_CHANGE.as_bytes(), &[0; 32])?;
        write.put(Table::Meta, meta::CREATED_MS.as_bytes(), &now_ms.to_le_bytes())?;
        write.commit()?;
        Ok(catalog)
    }

    /// Opens the catalogue to write it. After a crash this repairs it, and checks every page; else
    /// that is done when it is first written, and until then each page is checked when it is read.
    /// Cost: a few pages; after a crash, reads the catalogue once.
    ///
    /// # Errors
    ///
    /// Damage that is found; those of the disk.
    pub fn open_writer(container: &Arc<Container>) -> Result<Self, CatalogError> {
        if container.ended_well() {
            match Self::open_follower(container) {
                Err(CatalogError::NeedsRepair) => {}
                opened => return opened,
            }
        }
        let catalog = Catalog { engine: Engine::default(), health: Health::new(container) };
        catalog.writing()?;
        Ok(catalog)
    }

    /// The database that writes. Cost: reads the catalogue once where it was not opened before.
    fn writing(&self) -> Result<&RwLock<Guarded<Database>>, CatalogError> {
        if let Some(own) = self.engine.own() {
            return Ok(own);
        }
        let container = &self.health.container;
        if !container.is_writer() {
            return Err(CatalogError::Database(Box::new(redb::Error::DatabaseAlreadyOpen)));
        }
        refuse_empty(container)?;
        let backend = CatalogBackend::to_write(Arc::clone(container))?;
        let own = self.open_own(|| {
            builder(ConcurrencyMode::SingleWriter, true)
                .create_with_backend(backend)
                .map_err(CatalogError::from_redb)
        });
        let own = own.map_err(|error| or_truncated(container, error))?;
        container.cover_extents()?;
        container.settle_superblock()?;
        Ok(own)
    }

    /// Opens the catalogue to read what a writer, if there is one, commits; each page is checked
    /// when it is read. Cost: a few pages.
    ///
    /// # Errors
    ///
    /// [`CatalogError::NeedsRepair`] after a crash.
    pub fn open_follower(container: &Arc<Container>) -> Result<Self, CatalogError> {
        refuse_empty(container)?;
        let backend = CatalogBackend::to_read(Arc::clone(container))?;
        let health = Health::new(container);
        let database = guard(&health, || {
            builder(ConcurrencyMode::SingleWriter, false)
                .open_read_only_with_backend(backend)
                .map_err(CatalogError::from_redb)
        });
        let database = database.map_err(|error| or_truncated(container, error))?;
        let follower = Some(Guarded::new(ReadOnlyDatabaseDebug(database), &health));
        Ok(Catalog { engine: Engine { follower, ..Engine::default() }, health })
    }

    /// Checks every page, those among them that no reader asks for; of another writer's catalogue,
    /// which it has checked before it wrote, none. Cost: reads the catalogue once, unless that was
    /// done when it was opened.
    ///
    /// # Errors
    ///
    /// Damage that is found.
    pub(crate) fn check_every_page(&self) -> Result<(), CatalogError> {
        if self.engine.own().is_some() {
            return Ok(());
        }
        let container = &self.health.container;
        container.without_writers(|| Self::open_view(container).map(drop)).map(drop)
    }

    /// Opens the catalogue of a container that no writer can open, checks every page and repairs
    /// it, all in memory. Cost: reads the catalogue once.
    ///
    /// # Errors
    ///
    /// Damage that cannot be repaired.
    pub fn open_view(container: &Arc<Container>) -> Result<Self, CatalogError> {
        let backend = OverlayBackend::new(Arc::clone(container))?;
        Self::own(container, || {
            builder(ConcurrencyMode::ExclusiveWriter, true)
                .create_with_backend(backend)
                .map_err(CatalogError::from_redb)
        })
        .map_err(|error| or_truncated(container, error))
    }

    /// How many rows were read by this handle so far: a measure of work that does not depend on
    /// the machine.
    pub fn rows_read(&self) -> u64 {
        self.health.rows()
    }

    /// Begins to read the last commit.
    ///
    /// # Errors
    ///
    /// Those of the database.
    pub fn begin_read(&self) -> Result<CatalogRead, CatalogError> {
        let transaction = guard(&self.health, || {
            match (self.engine.own(), &self.engine.follower) {
                (Some(own), _) => {
                    own.read().unwrap_or_else(PoisonError::into_inner).get()?.begin_read()
                }
                (None, Some(follower)) => {
                    // Of a writer whose database could not be opened, nothing is shown any more.
                    self.health.container.check_writable()?;
                    follower.get()?.0.begin_read()
                }
                (None, None) => return Err(ContainerError::Poisoned.into()),
            }
            .map_err(CatalogError::from_redb)
        })?;
        Ok(CatalogRead::new(Guarded::new(transaction, &self.health)))
    }

    /// Begins to write. Waits for the transaction before it. Cost: the first time, reads the
    /// catalogue once to check it.
    ///
    /// # Errors
    ///
    /// Those of the database.
    pub fn begin_write(&self) -> Result<CatalogWrite, CatalogError> {
        let own = self.writing()?;
        let transaction = guard(&self.health, || {
            let database = own.read().unwrap_or_else(PoisonError::into_inner);
            let mut transaction = database.get()?.begin_write().map_err(CatalogError::from_redb)?;
            transaction
                .set_durability(Durability::Immediate)
                .map_err(|error| CatalogError::Damaged { message: error.to_string() })?;
            // Two phases: the first sync brings the tensors to the medium before the commit can
            // be seen (rule 2).
            transaction.set_two_phase_commit(true);
            Ok(transaction)
        })?;
        Ok(CatalogWrite::new(Guarded::new(transaction, &self.health)))
    }
}

/// redb would silently make an empty database of nothing (rule 1).
fn refuse_empty(container: &Container) -> Result<(), CatalogError> {
    match container.superblock().catalog_len {
        0 => Err(ContainerError::Truncated { expected: 1, found: 0 }.into()),
        _ => Ok(()),
    }
}

/// A damaged catalogue in a file that is too short is damaged because it was cut off.
fn or_truncated(container: &Container, error: CatalogError) -> CatalogError {
    match (&error, container.check_extents()) {
        (CatalogError::Damaged { .. } | CatalogError::Database(_), Err(truncated)) => {
            truncated.into()
        }
        _ => error,
    }
}
