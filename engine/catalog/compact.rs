//! The catalogue made as short as its rows allow.
//!
//! The database doubles its address space when it grows, and lets pages lie where they were written.
//! Pages that lie low let it cut its end, and the container then gives up the extents there.

use std::sync::PoisonError;

use redb::CompactionError;

use super::CatalogError;
use super::engine::{Catalog, Engine, guard};

impl Catalog {
    /// Bytes of the catalogue that are in no page in use; those that the next commit frees are in
    /// use. Cost: visits every page.
    ///
    /// # Errors
    ///
    /// Those of the database; a transaction that is open.
    pub(crate) fn spare_bytes(&self) -> Result<u64, CatalogError> {
        let Engine::Own(database) = &self.engine else { return Ok(0) };
        let used = guard(&self.health, || {
            let database = database.read().unwrap_or_else(PoisonError::into_inner);
            let transaction = database.get()?.try_begin_write().map_err(CatalogError::from_redb)?;
            let stats = transaction.stats().map_err(CatalogError::from_redb)?;
            transaction.abort().map_err(CatalogError::from_redb)?;
            Ok(stats.allocated_pages().saturating_mul(stats.page_size() as u64))
        })?;
        Ok(self.health.container.catalog_len().saturating_sub(used))
    }

    /// Moves pages to lower places and cuts off what is free behind them. Says whether it did: not
    /// while a snapshot in any process is read. No transaction may be open. Cost: visits every page;
    /// writes those that move, with a few syncs.
    ///
    /// # Errors
    ///
    /// Those of the database and of the disk.
    pub(crate) fn compact(&self) -> Result<bool, CatalogError> {
        let Engine::Own(database) = &self.engine else { return Ok(false) };
        guard(&self.health, || {
            let mut database = database.write().unwrap_or_else(PoisonError::into_inner);
            match database.get_mut()?.compact() {
                Err(CompactionError::TransactionInProgress) => Ok(false),
                result => result.map_err(CatalogError::from_redb),
            }
        })
    }
}
