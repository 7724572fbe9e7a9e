//! Missing content: tensors that a manifest names and the store does not have. A row names the
//! promisor.
//!
//! A content has a record's row or a row of missing content, never both. The latter is removed when
//! the content is stored, by whatever operation, and when no manifest names it any more.

use super::record::record_row;
use super::snapshot::Snapshot;
use crate::catalog::{CatalogError, MissingRow, ReadTables, RecordRow, Table};
use crate::format::ManifestTensor;
use crate::store::error::{Result, StoreError, damaged};
use crate::tensor::ContentId;

pub(in crate::store) fn missing_row(
    tables: &dyn ReadTables,
    id: ContentId,
) -> Result<Option<MissingRow>> {
    let row = tables.get(Table::Promised, id.as_bytes())?;
    Ok(row.map(|value| MissingRow::decode(&value)).transpose().map_err(CatalogError::Row)?)
}

/// The row of a model's tensor, which is to be read.
///
/// # Errors
///
/// [`StoreError::MissingContent`] when it is recorded as missing; damage when it has no row at all.
pub(in crate::store) fn tensor_row(
    tables: &dyn ReadTables,
    model: &str,
    tensor: ManifestTensor<'_>,
) -> Result<RecordRow> {
    let id = tensor.content_id;
    if let Some(row) = record_row(tables, Table::Tensors, id.as_bytes())? {
        return Ok(row);
    }
    match missing_row(tables, id)? {
        Some(row) => Err(StoreError::MissingContent {
            model: model.to_owned(),
            tensor: tensor.name.to_owned(),
            promisor: row.promisor,
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
    pub fn promisor(&self, id: ContentId) -> Result<Option<String>> {
        Ok(missing_row(self.tables(), id)?.map(|row| row.promisor))
    }
}
