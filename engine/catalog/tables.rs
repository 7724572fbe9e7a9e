//! The tables as of one commit, and in a transaction.

use std::ops::{Bound, ControlFlow};
use std::sync::OnceLock;

use redb::{
    ReadTransaction, ReadableTable, ReadableTableMetadata, TableError, TableHandle,
    WriteTransaction,
};

use super::health::{Guarded, definition, guard};
use super::home::Home;
use super::{CatalogError, ReadTables, Row, Table, Visitor, WriteTables};
use crate::container::ContainerError;

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
    let mut last: Option<Vec<u8>> = None;
    for row in rows.map_err(CatalogError::from_redb)? {
        let (key, value) = row.map_err(CatalogError::from_redb)?;
        let key = key.value();
        in_order(&mut last, key)?;
        if !key.starts_with(&prefix) || visit(home.inner(key), value.value())?.is_break() {
            break;
        }
    }
    Ok(())
}

/// Refuses keys that are not in order: a hostile tree that leads to the same pages again and again
/// would have more rows than the file has bytes.
fn in_order(last: &mut Option<Vec<u8>>, key: &[u8]) -> Result<(), CatalogError> {
    if last.as_deref().is_some_and(|last| last >= key) {
        return Err(CatalogError::Damaged { message: "keys are not in order".to_owned() });
    }
    let last = last.get_or_insert_default();
    last.clear();
    last.extend_from_slice(key);
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
    pub(super) fn new(transaction: Guarded<ReadTransaction>) -> Self {
        CatalogRead { tables: std::array::from_fn(|_| OnceLock::new()), transaction }
    }

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
    /// Cost: visits every page and row.
    ///
    /// # Errors
    ///
    /// Those of the database.
    pub fn lengths(&self) -> Result<(u64, u64), CatalogError> {
        let (mut rows, mut pages) = (0u64, 0u64);
        for table in self.transaction.health.arrangement.apart() {
            let stats = self.with(table, |table, _| {
                // A tree that leads to a page twice would be visited for ever.
                let mut last = None;
                for row in table.iter().map_err(CatalogError::from_redb)? {
                    in_order(&mut last, row.map_err(CatalogError::from_redb)?.0.value())?;
                }
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
    pub(super) fn new(transaction: Guarded<WriteTransaction>) -> Self {
        CatalogWrite { transaction, changes: 0 }
    }

    pub(super) fn create_tables(&self) -> Result<(), CatalogError> {
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
