//! The database behind the tables: redb, in the three ways a store is opened.

use std::ops::{Bound, ControlFlow};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use redb::{
    Builder, ConcurrencyMode, Database, Durability, ReadOnlyDatabase, ReadTransaction,
    ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition, TableError,
    TableHandle, WriteTransaction,
};

use super::home::{Arrangement, Home};
use super::{CatalogError, ReadTables, Row, Table, Visit, Visitor, WriteTables, meta};
use crate::container::{CatalogBackend, Container, ContainerError, OverlayBackend};
use crate::format::FEATURE_SHARED_TABLE;

/// Memory the database may use for its own cache, in bytes.
const CACHE_BYTES: usize = 4 << 20;

pub(super) const fn definition(name: &str) -> TableDefinition<'_, &'static [u8], &'static [u8]> {
    TableDefinition::new(name)
}

#[derive(Debug)]
pub(super) enum Engine {
    /// Writes, and reads its own commits. Also a view of the file through an overlay.
    Own(Box<RwLock<Guarded<Database>>>),
    /// Reads what a writer in any process commits.
    Follower(Guarded<ReadOnlyDatabaseDebug>),
}

/// `ReadOnlyDatabase` has no `Debug` of its own.
pub(super) struct ReadOnlyDatabaseDebug(ReadOnlyDatabase);

impl std::fmt::Debug for ReadOnlyDatabaseDebug {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ReadOnlyDatabase")
    }
}

/// Whether the database has panicked: its state is then unknown, and it is not asked again.
#[derive(Debug)]
pub(super) struct Health {
    pub(super) container: Arc<Container>,
    /// How its tables lie: a store never changes that.
    pub(super) arrangement: Arrangement,
    broken: AtomicBool,
    /// Rows that were asked for or shown.
    rows: AtomicU64,
}

impl Health {
    fn new(container: &Arc<Container>) -> Arc<Self> {
        let arrangement = match container.superblock().reader_flags & FEATURE_SHARED_TABLE {
            0 => Arrangement::Apart,
            _ => Arrangement::Shared,
        };
        let (container, rows) = (Arc::clone(container), AtomicU64::new(0));
        Arc::new(Health { container, arrangement, broken: AtomicBool::new(false), rows })
    }

    fn count_row(&self) {
        self.rows.fetch_add(1, Ordering::Relaxed);
    }

    /// `visit`, with what it is shown counted.
    fn counting<'v>(
        &'v self,
        visit: &'v mut Visitor<'_>,
    ) -> impl FnMut(&[u8], &[u8]) -> Result<Visit, CatalogError> + 'v {
        |key, value| {
            self.count_row();
            visit(key, value)
        }
    }

    /// Nothing is asked of the database any more, and nothing it does in closing is written.
    fn set_broken(&self) {
        self.broken.store(true, Ordering::Release);
        self.container.poison();
    }
}

/// A part of the database. A panic while it is dropped ends there.
#[derive(Debug)]
pub(super) struct Guarded<T> {
    /// `None` only while it is dropped.
    value: Option<T>,
    pub(super) health: Arc<Health>,
}

impl<T> Guarded<T> {
    fn new(value: T, health: &Arc<Health>) -> Self {
        Guarded { value: Some(value), health: Arc::clone(health) }
    }

    pub(super) fn get(&self) -> Result<&T, CatalogError> {
        self.value.as_ref().ok_or(ContainerError::Poisoned.into())
    }

    pub(super) fn get_mut(&mut self) -> Result<&mut T, CatalogError> {
        self.value.as_mut().ok_or(ContainerError::Poisoned.into())
    }
}

impl<T> Drop for Guarded<T> {
    fn drop(&mut self) {
        let value = self.value.take();
        if catch_unwind(AssertUnwindSafe(|| drop(value))).is_err() {
            self.health.set_broken();
        }
    }
}

/// Runs `work` on the database. A panic becomes an error, for ever.
pub(super) fn guard<T>(
    health: &Health,
    work: impl FnOnce() -> Result<T, CatalogError>,
) -> Result<T, CatalogError> {
    let damaged = |message: String| Err(CatalogError::Damaged { message });
    if health.broken.load(Ordering::Acquire) {
        return damaged("found earlier by this handle".to_owned());
    }
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        health.set_broken();
        let message = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        damaged(message.unwrap_or_else(|| "the database gave up".to_owned()))
    })
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
        let health = Health::new(container);
        let database = Guarded::new(guard(&health, make)?, &health);
        Ok(Catalog { engine: Engine::Own(Box::new(RwLock::new(database))), health })
    }

    /// Makes the catalogue of a new store, with every table.
    ///
    /// # Errors
    ///
    /// Those of the disk.
    pub fn create(container: &Arc<Container>, now_ms: u64) -> Result<Self, CatalogError> {
        container.require_features(FEATURE_SHARED_TABLE, 0);
        let backend = CatalogBackend::new(Arc::clone(container))?;
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

    /// Opens the catalogue to write it: repairs it after a crash, and checks every page. Cost:
    /// reads the catalogue once.
    ///
    /// # Errors
    ///
    /// Damage that cannot be repaired; those of the disk.
    pub fn open_writer(container: &Arc<Container>) -> Result<Self, CatalogError> {
        refuse_empty(container)?;
        let backend = CatalogBackend::new(Arc::clone(container))?;
        let catalog = Self::own(container, || {
            builder(ConcurrencyMode::SingleWriter, true)
                .create_with_backend(backend)
                .map_err(CatalogError::from_redb)
        });
        let catalog = catalog.map_err(|error| or_truncated(container, error))?;
        container.cover_extents()?;
        container.settle_superblock()?;
        Ok(catalog)
    }

    /// Opens the catalogue to read what a writer, if there is one, commits.
    ///
    /// # Errors
    ///
    /// [`CatalogError::NeedsRepair`] after a crash.
    pub fn open_follower(container: &Arc<Container>) -> Result<Self, CatalogError> {
        refuse_empty(container)?;
        let backend = CatalogBackend::new(Arc::clone(container))?;
        let health = Health::new(container);
        let database = guard(&health, || {
            builder(ConcurrencyMode::SingleWriter, false)
                .open_read_only_with_backend(backend)
                .map_err(CatalogError::from_redb)
        });
        let database = database.map_err(|error| or_truncated(container, error))?;
        let database = Guarded::new(ReadOnlyDatabaseDebug(database), &health);
        Ok(Catalog { engine: Engine::Follower(database), health })
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
        self.health.rows.load(Ordering::Relaxed)
    }

    /// Begins to read the last commit.
    ///
    /// # Errors
    ///
    /// Those of the database.
    pub fn begin_read(&self) -> Result<CatalogRead, CatalogError> {
        let transaction = guard(&self.health, || {
            match &self.engine {
                Engine::Own(database) => {
                    database.read().unwrap_or_else(PoisonError::into_inner).get()?.begin_read()
                }
                Engine::Follower(database) => database.get()?.0.begin_read(),
            }
            .map_err(CatalogError::from_redb)
        })?;
        let tables = std::array::from_fn(|_| OnceLock::new());
        Ok(CatalogRead { tables, transaction: Guarded::new(transaction, &self.health) })
    }

    /// Begins to write. Waits for the transaction before it.
    ///
    /// # Errors
    ///
    /// Those of the database.
    pub fn begin_write(&self) -> Result<CatalogWrite, CatalogError> {
        let Engine::Own(database) = &self.engine else {
            return Err(CatalogError::Database(Box::new(redb::Error::DatabaseAlreadyOpen)));
        };
        let transaction = guard(&self.health, || {
            let database = database.read().unwrap_or_else(PoisonError::into_inner);
            let mut transaction = database.get()?.begin_write().map_err(CatalogError::from_redb)?;
            transaction
                .set_durability(Durability::Immediate)
                .map_err(|error| CatalogError::Damaged { message: error.to_string() })?;
            // Two phases: the first sync brings the tensors to the medium before the commit can
            // be seen (rule 2).
            transaction.set_two_phase_commit(true);
            Ok(transaction)
        })?;
        Ok(CatalogWrite { transaction: Guarded::new(transaction, &self.health), changes: 0 })
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

fn value_of<T: ReadableTable<&'static [u8], &'static [u8]>>(
    table: &T,
    home: Home,
    key: &[u8],
) -> Result<Option<Vec<u8>>, CatalogError> {
    let value = table.get(&*home.key(key)).map_err(CatalogError::from_redb)?;
    Ok(value.map(|value| value.value().to_vec()))
}

fn visit_range<T: ReadableTable<&'static [u8], &'static [u8]>>(
    table: &T,
    home: Home,
    prefix: &[u8],
    after: Option<&[u8]>,
    visit: &mut Visitor<'_>,
) -> Result<(), CatalogError> {
    let (prefix, after) = (home.key(prefix), after.map(|after| home.key(after)));
    let start = match &after {
        Some(after) if *after >= prefix => Bound::Excluded(&**after),
        _ => Bound::Included(&*prefix),
    };
    let rows = table.range::<&[u8]>((start, Bound::Unbounded));
    for row in rows.map_err(CatalogError::from_redb)? {
        let (key, value) = row.map_err(CatalogError::from_redb)?;
        let key = key.value();
        if !key.starts_with(&prefix) || visit(home.inner(key), value.value())?.is_break() {
            break;
        }
    }
    Ok(())
}

fn last_of<T: ReadableTable<&'static [u8], &'static [u8]>>(
    table: &T,
    home: Home,
    prefix: &[u8],
) -> Result<Option<Row>, CatalogError> {
    let prefix = home.key(prefix);
    let next = successor(&prefix);
    let end = next.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
    let rows = table.range::<&[u8]>((Bound::Included(&*prefix), end));
    match rows.map_err(CatalogError::from_redb)?.next_back() {
        None => Ok(None),
        Some(row) => {
            let (key, value) = row.map_err(CatalogError::from_redb)?;
            Ok(Some((home.inner(key.value()).to_vec(), value.value().to_vec())))
        }
    }
}

/// How many rows there are, counted up to `limit`.
fn count_of<T: ReadableTable<&'static [u8], &'static [u8]>>(
    table: &T,
    home: Home,
    limit: u64,
) -> Result<u64, CatalogError> {
    if !home.is_shared() {
        return Ok(table.len().map_err(CatalogError::from_redb)?.min(limit));
    }
    let mut count = 0;
    visit_range(table, home, &[], None, &mut |_, _| {
        count += 1;
        Ok(if count < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    Ok(count.min(limit))
}

/// The lowest key above every key that begins with `prefix`; `None` when there is none.
fn successor(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut key = prefix.to_vec();
    while let Some(last) = key.pop() {
        if let Some(next) = last.checked_add(1) {
            key.push(next);
            return Some(key);
        }
    }
    None
}

type WriteTable<'t> = redb::Table<'t, &'static [u8], &'static [u8]>;
pub(super) type OpenTable = redb::ReadOnlyTable<&'static [u8], &'static [u8]>;

/// The tables as of one commit.
pub struct CatalogRead {
    /// Tables opened so far, in the order of [`Table::ALL`]: opening one costs as much as finding
    /// a row in it. Dropped before the transaction.
    tables: [OnceLock<OpenTable>; Table::ALL.len()],
    transaction: Guarded<ReadTransaction>,
}

impl std::fmt::Debug for CatalogRead {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CatalogRead")
    }
}

impl CatalogRead {
    /// Works on a table; what an empty one gives is the default.
    pub(super) fn with<T: Default>(
        &self,
        table: Table,
        work: impl FnOnce(&OpenTable, Home) -> Result<T, CatalogError>,
    ) -> Result<T, CatalogError> {
        let arrangement = self.transaction.health.arrangement;
        let (home, may_be_missing) =
            (arrangement.home(table), !arrangement.is_from_the_start(table));
        guard(&self.transaction.health, || {
            let open = || match self.transaction.get()?.open_table(definition(home.name)) {
                Err(TableError::TableDoesNotExist(_)) if may_be_missing => Ok(None),
                opened => opened.map(Some).map_err(CatalogError::from_redb),
            };
            match self.tables.get(arrangement.slot(table)) {
                Some(kept) => match kept.get() {
                    Some(table) => work(table, home),
                    None => match open()? {
                        Some(table) => work(kept.get_or_init(|| table), home),
                        None => Ok(T::default()),
                    },
                },
                None => open()?.map_or_else(|| Ok(T::default()), |table| work(&table, home)),
            }
        })
    }
}

impl CatalogRead {
    /// Bytes of all tables' rows, and of the pages that they and the trees above them lie in.
    /// Cost: visits every page.
    ///
    /// # Errors
    ///
    /// Those of the database.
    pub fn lengths(&self) -> Result<(u64, u64), CatalogError> {
        let (mut rows, mut pages) = (0u64, 0u64);
        for table in self.transaction.health.arrangement.apart() {
            let stats = self.with(table, |table, _| {
                let stats = table.stats().map_err(CatalogError::from_redb)?;
                let above = stats.metadata_bytes().saturating_add(stats.fragmented_bytes());
                Ok((stats.stored_bytes(), above))
            })?;
            rows = rows.saturating_add(stats.0);
            pages = pages.saturating_add(stats.0).saturating_add(stats.1);
        }
        Ok((rows, pages))
    }
}

impl ReadTables for CatalogRead {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, CatalogError> {
        self.transaction.health.count_row();
        self.with(table, |table, home| value_of(table, home, key))
    }

    fn scan_after(
        &self,
        table: Table,
        prefix: &[u8],
        after: Option<&[u8]>,
        visit: &mut Visitor<'_>,
    ) -> Result<(), CatalogError> {
        let mut visit = self.transaction.health.counting(visit);
        self.with(table, |table, home| visit_range(table, home, prefix, after, &mut visit))
    }

    fn last(&self, table: Table, prefix: &[u8]) -> Result<Option<Row>, CatalogError> {
        self.transaction.health.count_row();
        self.with(table, |table, home| last_of(table, home, prefix))
    }

    fn count_to(&self, table: Table, limit: u64) -> Result<u64, CatalogError> {
        self.with(table, |table, home| count_of(table, home, limit))
    }
}

/// A transaction over the tables. Dropped without [`commit`](CatalogWrite::commit), it changes
/// nothing.
pub struct CatalogWrite {
    pub(super) transaction: Guarded<WriteTransaction>,
    /// How often a row was put or deleted.
    pub(crate) changes: u64,
}

impl std::fmt::Debug for CatalogWrite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CatalogWrite")
    }
}

impl CatalogWrite {
    fn create_tables(&self) -> Result<(), CatalogError> {
        let mut tables = Table::ALL.into_iter().filter(|table| table.is_from_the_start());
        tables.try_for_each(|table| self.with(table, |_, _| Ok(())))
    }

    /// Reads a table. One that is not there is not made for that; what an empty one gives is the
    /// default.
    fn read<T: Default>(
        &self,
        table: Table,
        work: impl FnOnce(&mut WriteTable<'_>, Home) -> Result<T, CatalogError>,
    ) -> Result<T, CatalogError> {
        let arrangement = self.transaction.health.arrangement;
        if !arrangement.is_from_the_start(table) {
            let name = arrangement.home(table).name;
            let exists = guard(&self.transaction.health, || {
                let mut tables =
                    self.transaction.get()?.list_tables().map_err(CatalogError::from_redb)?;
                Ok(tables.any(|there| there.name() == name))
            })?;
            if !exists {
                return Ok(T::default());
            }
        }
        self.with(table, work)
    }

    fn with<T>(
        &self,
        table: Table,
        work: impl FnOnce(&mut WriteTable<'_>, Home) -> Result<T, CatalogError>,
    ) -> Result<T, CatalogError> {
        let home = self.transaction.health.arrangement.home(table);
        guard(&self.transaction.health, || {
            let table = self.transaction.get()?.open_table(definition(home.name));
            work(&mut table.map_err(CatalogError::from_redb)?, home)
        })
    }

    /// Makes all changes durable, together. The first of its two syncs covers the records written
    /// before.
    ///
    /// # Errors
    ///
    /// Those of the database. Whether the commit happened is then unknown until the store is
    /// opened again.
    pub fn commit(self) -> Result<(), CatalogError> {
        let mut guarded = self.transaction;
        let Some(transaction) = guarded.value.take() else {
            return Err(ContainerError::Poisoned.into());
        };
        guard(&guarded.health, || transaction.commit().map_err(CatalogError::from_redb))
    }
}

impl ReadTables for CatalogWrite {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, CatalogError> {
        self.transaction.health.count_row();
        self.read(table, |table, home| value_of(table, home, key))
    }

    fn scan_after(
        &self,
        table: Table,
        prefix: &[u8],
        after: Option<&[u8]>,
        visit: &mut Visitor<'_>,
    ) -> Result<(), CatalogError> {
        let mut visit = self.transaction.health.counting(visit);
        self.read(table, |table, home| visit_range(table, home, prefix, after, &mut visit))
    }

    fn last(&self, table: Table, prefix: &[u8]) -> Result<Option<Row>, CatalogError> {
        self.transaction.health.count_row();
        self.read(table, |table, home| last_of(table, home, prefix))
    }

    fn count_to(&self, table: Table, limit: u64) -> Result<u64, CatalogError> {
        self.read(table, |table, home| count_of(table, home, limit))
    }
}

impl WriteTables for CatalogWrite {
    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<(), CatalogError> {
        self.changes += 1;
        self.with(table, |table, home| {
            table.insert(&*home.key(key), value).map_err(CatalogError::from_redb)?;
            Ok(())
        })
    }

    fn delete(&mut self, table: Table, key: &[u8]) -> Result<bool, CatalogError> {
        self.changes += 1;
        self.read(table, |table, home| {
            Ok(table.remove(&*home.key(key)).map_err(CatalogError::from_redb)?.is_some())
        })
    }
}
