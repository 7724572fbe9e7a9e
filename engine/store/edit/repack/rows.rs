//! The rows of all tensors as they were before.

use std::collections::HashMap;

use crate::catalog::{CatalogError, ReadTables, RecordRow, Row, Table, Visitor};
use crate::tensor::ContentId;

type CatalogResult<T> = std::result::Result<T, CatalogError>;

/// The rows of all tensors as they were.
pub(in crate::store) struct OldRows(pub(in crate::store) HashMap<ContentId, RecordRow>);

impl ReadTables for OldRows {
    fn get(&self, table: Table, key: &[u8]) -> CatalogResult<Option<Vec<u8>>> {
        let id = <[u8; 32]>::try_from(key).ok().filter(|_| table == Table::Tensors);
        let row = id.and_then(|id| self.0.get(&ContentId::from_bytes(id)));
        Ok(row.map(RecordRow::encode))
    }

    fn scan_after(
        &self,
        _: Table,
        _: &[u8],
        _: Option<&[u8]>,
        _: &mut Visitor<'_>,
    ) -> CatalogResult<()> {
        Ok(())
    }

    fn last(&self, _: Table, _: &[u8]) -> CatalogResult<Option<Row>> {
        Ok(None)
    }

    fn count_to(&self, _: Table, limit: u64) -> CatalogResult<u64> {
        Ok(limit.min(self.0.len() as u64))
    }
}
