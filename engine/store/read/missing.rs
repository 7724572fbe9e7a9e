//! Tensors that models name and that are not here yet: a row says where they are.
//!
//! A content has a record's row or a promise, never both. A promise goes when its content comes,
//! however it comes, and when no manifest names it any more.

use super::model::Model;
use super::record::record_row;
use super::snapshot::Snapshot;
use crate::catalog::{CatalogError, PromiseRow, ReadTables, RecordRow, Table, WriteTables};
use crate::format::{FEATURE_PROMISED, ManifestTensor};
use crate::store::error::damaged;
use crate::store::error::{Error, Result};
use crate::store::write::transaction::Transaction;
use crate::tensor::ContentId;

pub(in crate::store) fn promise_row(
    tables: &dyn ReadTables,
    id: ContentId,
) -> Result<Option<PromiseRow>> {
    let row = tables.get(Table::Promised, id.as_bytes())?;
    Ok(row.map(|value| PromiseRow::decode(&value)).transpose().map_err(CatalogError::Row)?)
}

/// The row of a model's tensor, which is to be read.
///
/// # Errors
///
/// [`Error::Promised`] when it has not come yet; damage when it is neither here nor promised.
pub(in crate::store) fn tensor_row(
    tables: &dyn ReadTables,
    model: &str,
    tensor: ManifestTensor<'_>,
) -> Result<RecordRow> {
    let id = tensor.content_id;
    if let Some(row) = record_row(tables, Table::Tensors, id.as_bytes())? {
        return Ok(row);
    }
    match promise_row(tables, id)? {
        Some(promise) => Err(Error::Promised {
            model: model.to_owned(),
            tensor: tensor.name.to_owned(),
            place: promise.place,
        }),
        None => Err(damaged(id, 0)(&"the tensor is missing from the catalogue")),
    }
}

impl Snapshot {
    /// Where a tensor is that models name and that is not here. `None` for one that is here, and
    /// for one that no model names. Cost: one row.
    ///
    /// # Errors
    ///
    /// Those of the catalogue.
    pub fn promise(&self, id: ContentId) -> Result<Option<PromiseRow>> {
        promise_row(self.tables(), id)
    }
}

impl Model {
    /// How many of its tensors are not here yet. Cost: a row a tensor in a store that has such
    /// models.
    ///
    /// # Errors
    ///
    /// Those of the catalogue.
    pub fn promised(&self) -> Result<u64> {
        Ok(self.promises()?.len() as u64)
    }

    /// Its tensors that are not here yet, and where they are. Cost: as [`promised`](Self::promised).
    pub(crate) fn promises(&self) -> Result<Vec<(ManifestTensor<'_>, PromiseRow)>> {
        let tables = self.snapshot().tables();
        let mut promises = Vec::new();
        if tables.count(Table::Promised)? > 0 {
            for tensor in &self.manifest().tensors {
                let row = promise_row(tables, tensor.content_id)?;
                promises.extend(row.map(|row| (tensor, row)));
            }
        }
        Ok(promises)
    }
}

impl Transaction {
    /// Promises a tensor that a model is about to name, unless it is here or promised already.
    /// Says whether it was promised now.
    pub(crate) fn promise(&mut self, id: ContentId, raw_len: u64, place: &str) -> Result<bool> {
        self.check_whole()?;
        let here = record_row(self.tables()?, Table::Tensors, id.as_bytes())?.is_some();
        if here || promise_row(self.tables()?, id)?.is_some() {
            return Ok(false);
        }
        self.shared.container.require_features(FEATURE_PROMISED, 0);
        let row = PromiseRow { raw_len, holders: 0, place: place.to_owned() };
        self.change(|this| this.put_promise(id, &row))?;
        Ok(true)
    }

    fn put_promise(&mut self, id: ContentId, row: &PromiseRow) -> Result<()> {
        let value = row.encode()?;
        Ok(self.tables_mut()?.put(Table::Promised, id.as_bytes(), &value)?)
    }

    /// Changes how often manifests name a tensor that is promised; a promise that nobody needs
    /// goes. Says whether it is promised.
    pub(in crate::store) fn change_promise(
        &mut self,
        id: ContentId,
        change: impl FnOnce(u32) -> u32,
    ) -> Result<bool> {
        let Some(row) = promise_row(self.tables()?, id)? else { return Ok(false) };
        let holders = change(row.holders);
        match holders {
            0 => drop(self.tables_mut()?.delete(Table::Promised, id.as_bytes())?),
            _ => self.put_promise(id, &PromiseRow { holders, ..row })?,
        }
        Ok(true)
    }

    /// Takes the promise of a content that has come away, and gives back its holders.
    pub(in crate::store) fn keep_promise(&mut self, id: ContentId) -> Result<u32> {
        let Some(row) = promise_row(self.tables()?, id)? else { return Ok(0) };
        self.tables_mut()?.delete(Table::Promised, id.as_bytes())?;
        Ok(row.holders)
    }
}
