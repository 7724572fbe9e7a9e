//! The catalogue made as short as its rows allow.
//!
//! The database doubles its address space when it grows, and lets pages lie where they were
//! written. Pages that lie low let it cut its end, and the container then gives up the extents
//! there. Rows that come in any order, as content ids do, leave pages two thirds full; in the
//! order of their keys they fill them.

use std::sync::PoisonError;

use redb::{CompactionError, ReadableTable, ReadableTableMetadata, TableHandle};

use super::engine::Catalog;
use super::health::{definition, guard};
use super::tables::CatalogWrite;
use super::{CatalogError, Row, Table};
use crate::format::PAGE_ALIGN;

/// A longer catalogue is not written anew: its rows are held in memory meanwhile.
const REFILLED_MAX: u64 = 2 << 20;
/// What well filled pages take, to the bytes of their rows: nine tenths of each are rows.
const FILLED: (u64, u64) = (10, 9);
/// Pages that have to be saved, and the part of all pages, for it to be worth the syncs.
const SAVES_PAGES: u64 = 2;
const SAVES_ONE_IN: u64 = 16;

impl Catalog {
    /// Bytes of the catalogue that are in no page in use; those that the next commit frees are in
    /// use. Cost: visits every page.
    ///
    /// # Errors
    ///
    /// Those of the database; a transaction that is open.
    fn spare_bytes(&self) -> Result<u64, CatalogError> {
        let Some(database) = self.engine.own() else { return Ok(0) };
        let used = guard(&self.health, || {
            let database = database.read().unwrap_or_else(PoisonError::into_inner);
            let transaction = database.get()?.try_begin_write().map_err(CatalogError::from_redb)?;
            let stats = transaction.stats().map_err(CatalogError::from_redb)?;
            transaction.abort().map_err(CatalogError::from_redb)?;
            Ok(stats.allocated_pages().saturating_mul(stats.page_size() as u64))
        })?;
        Ok(self.health.container.catalog_len().saturating_sub(used))
    }

    /// Bytes that [`compact`](Self::compact) would take from the catalogue, about. Cost: visits
    /// every page.
    ///
    /// # Errors
    ///
    /// As [`spare_bytes`](Self::spare_bytes).
    pub(crate) fn could_save(&self) -> Result<u64, CatalogError> {
        Ok(self.spare_bytes()?.saturating_add(self.refill_saves()?))
    }

    /// Bytes of pages that filling them would save; 0 where that is not worth it.
    fn refill_saves(&self) -> Result<u64, CatalogError> {
        if self.health.container.catalog_len() > REFILLED_MAX {
            return Ok(0);
        }
        let read = self.begin_read()?;
        let (mut all, mut saved) = (0, 0);
        for table in self.health.arrangement.apart() {
            let (rows, pages) = read.with(table, |table, _| {
                let stats = table.stats().map_err(CatalogError::from_redb)?;
                Ok((stats.stored_bytes(), stats.leaf_pages().saturating_mul(PAGE_ALIGN)))
            })?;
            let filled = (rows / FILLED.1 * FILLED.0).next_multiple_of(PAGE_ALIGN);
            all += pages;
            saved += pages.saturating_sub(filled);
        }
        let is_worth_it = saved >= SAVES_PAGES * PAGE_ALIGN && saved >= all / SAVES_ONE_IN;
        Ok(if is_worth_it { saved } else { 0 })
    }

    /// Moves pages to lower places and cuts off what is free behind them; of a short catalogue with
    /// pages that are ill filled, writes the rows anew, in the order of their keys. Says whether it
    /// did: not while a snapshot in any process is read. No transaction may be open. Cost: visits
    /// every page; writes those that move, with a few syncs.
    ///
    /// # Errors
    ///
    /// Those of the database and of the disk.
    pub(crate) fn compact(&self) -> Result<bool, CatalogError> {
        if !self.move_pages_down()? {
            return Ok(false);
        }
        if self.refill_saves()? > 0 {
            let mut write = self.begin_write()?;
            for table in self.health.arrangement.apart() {
                write.refill(table)?;
            }
            write.commit()?;
            self.move_pages_down()?;
        }
        Ok(true)
    }

    fn move_pages_down(&self) -> Result<bool, CatalogError> {
        let Some(database) = self.engine.own() else { return Ok(false) };
        guard(&self.health, || {
            let mut database = database.write().unwrap_or_else(PoisonError::into_inner);
            match database.get_mut()?.compact() {
                Err(CompactionError::TransactionInProgress) => Ok(false),
                result => result.map(|_| true).map_err(CatalogError::from_redb),
            }
        })
    }
}

impl CatalogWrite {
    /// Writes the rows of a table of the database anew. Memory: that of its rows.
    fn refill(&mut self, table: Table) -> Result<(), CatalogError> {
        let health = &self.transaction.health;
        let definition = definition(health.arrangement.home(table).name);
        guard(health, || {
            let transaction = self.transaction.get()?;
            let mut there = transaction.list_tables().map_err(CatalogError::from_redb)?;
            if !there.any(|table| table.name() == definition.name()) {
                return Ok(());
            }
            let mut rows: Vec<Row> = Vec::new();
            {
                let table = transaction.open_table(definition).map_err(CatalogError::from_redb)?;
                for row in table.iter().map_err(CatalogError::from_redb)? {
                    let (key, value) = row.map_err(CatalogError::from_redb)?;
                    rows.push((key.value().to_vec(), value.value().to_vec()));
                }
            }
            transaction.delete_table(definition).map_err(CatalogError::from_redb)?;
            let mut table = transaction.open_table(definition).map_err(CatalogError::from_redb)?;
            for (key, value) in &rows {
                table.insert(&**key, &**value).map_err(CatalogError::from_redb)?;
            }
            Ok(())
        })
    }
}
