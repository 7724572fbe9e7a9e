//! Who needs what: rows of records, how many hold and stand on each, and what is free then.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::formulas::Formulas;
use super::records::{RecordDraft, RecordWriter};
use super::sketches::remove_sketches;
use crate::catalog::{CatalogWrite, MissingRow, RecordRow, Table, WriteTables};
use crate::format::{Extent, FEATURE_DEPTH_GAPS, FEATURE_FILES, Manifest, RecordKind};
use crate::store::error::{Result, StoreError, damaged};
use crate::store::read::missing::missing_row;
use crate::store::read::plain::read_plain;
use crate::store::read::record::record_row;
use crate::store::shared::Shared;
use crate::tensor::ContentId;

/// The rows of a transaction, and the places that it frees.
#[derive(Debug)]
pub(in crate::store) struct References {
    /// `None` only while the transaction ends.
    tables: Option<CatalogWrite>,
    shared: Arc<Shared>,
    /// Places freed by this transaction: free when it is durable and no snapshot is older.
    pub(in crate::store) freed: Vec<Extent>,
    /// Tensors that have come from another store in this transaction: they stay until it is
    /// committed, whatever needs them by then.
    pub(in crate::store) incoming: BTreeSet<ContentId>,
    /// Once something was hidden: the formulas of the store.
    pub(in crate::store) formulas: Option<Formulas>,
    /// Hidden tensors on which less stands than before: to be settled.
    pub(in crate::store) lightened: BTreeSet<ContentId>,
}

impl References {
    pub(in crate::store) fn new(tables: CatalogWrite, shared: Arc<Shared>) -> Self {
        References {
            tables: Some(tables),
            shared,
            freed: Vec::new(),
            incoming: BTreeSet::new(),
            formulas: None,
            lightened: BTreeSet::new(),
        }
    }

    pub(in crate::store) fn tables(&self) -> Result<&CatalogWrite> {
        self.tables.as_ref().ok_or(StoreError::ReadOnly)
    }

    pub(in crate::store) fn tables_mut(&mut self) -> Result<&mut CatalogWrite> {
        self.tables.as_mut().ok_or(StoreError::ReadOnly)
    }

    pub(in crate::store) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// The tables, to be committed.
    pub(in crate::store) fn take_tables(&mut self) -> Result<CatalogWrite> {
        self.tables.take().ok_or(StoreError::ReadOnly)
    }

    pub(in crate::store) fn put_row(
        &mut self,
        table: Table,
        id: ContentId,
        row: &RecordRow,
    ) -> Result<()> {
        if let (Table::Tensors, Some(formulas)) = (table, &mut self.formulas) {
            formulas.note(id, row);
        }
        Ok(self.tables_mut()?.put(table, id.as_bytes(), &row.encode())?)
    }

    /// Changes the row of a record that must be there.
    pub(in crate::store) fn change_row(
        &mut self,
        table: Table,
        id: ContentId,
        change: impl FnOnce(&mut RecordRow),
    ) -> Result<RecordRow> {
        let mut row = record_row(self.tables()?, table, id.as_bytes())?
            .ok_or_else(|| damaged(id, 0)(&"missing from the catalogue"))?;
        change(&mut row);
        self.put_row(table, id, &row)?;
        Ok(row)
    }

    /// Stores a manifest, or finds it; it then holds its tensors. Returns the bytes of a record
    /// that was added.
    pub(in crate::store) fn hold(
        &mut self,
        manifest: &Manifest,
        records: &mut RecordWriter,
    ) -> Result<(ContentId, u64)> {
        if manifest.version() > 1 {
            self.shared.container.require_features(FEATURE_FILES, 0);
        }
        let bytes = manifest.encode()?;
        let id = ContentId::of(&bytes);
        if let Some(row) = record_row(self.tables()?, Table::Manifests, id.as_bytes())? {
            // Found equal only if it still is: the one at hand may be the only good one.
            read_plain(&self.shared, self.tables()?, RecordKind::Manifest, id, row)?;
            self.change_row(Table::Manifests, id, |row| {
                row.holders = row.holders.saturating_add(1)
            })?;
            return Ok((id, 0));
        }
        let draft = RecordDraft::plain(RecordKind::Manifest, id, bytes.len() as u64);
        let mut row = records.write_plain(&draft, &bytes)?;
        drop(bytes);
        row.holders = 1;
        let added = row.len;
        self.put_row(Table::Manifests, id, &row)?;
        for (id, count) in count_ids(manifest) {
            if !self.change_missing(id, |holders| holders.saturating_add(count))? {
                self.change_row(Table::Tensors, id, |row| {
                    row.holders = row.holders.saturating_add(count)
                })?;
            }
        }
        Ok((id, added))
    }

    /// A place that is free when this transaction is durable and no snapshot is older.
    pub(in crate::store) fn free_place(&mut self, extent: Extent) {
        self.freed.push(extent);
    }

    pub(in crate::store) fn free_record(
        &mut self,
        table: Table,
        id: ContentId,
        row: &RecordRow,
    ) -> Result<()> {
        self.tables_mut()?.delete(table, id.as_bytes())?;
        self.freed.push(row.extent());
        Ok(())
    }

    /// Frees a tensor that nothing needs, and the bases that only it needed.
    pub(in crate::store) fn free_if_unneeded(
        &mut self,
        id: ContentId,
        row: RecordRow,
    ) -> Result<()> {
        let mut rows = vec![(id, row)];
        while let Some((id, row)) = rows.pop() {
            if row.is_needed() || self.incoming.contains(&id) {
                continue;
            }
            self.free_record(Table::Tensors, id, &row)?;
            remove_sketches(self.tables_mut()?, id)?;
            for base in row.bases() {
                let row = self.change_row(Table::Tensors, base, |base| {
                    base.dependents = base.dependents.saturating_sub(1);
                })?;
                if row.holders == 0 && row.dependents > 0 {
                    self.lightened.insert(base);
                }
                rows.push((base, row));
            }
        }
        Ok(())
    }

    /// Bytes that this transaction has freed so far.
    pub(in crate::store) fn freed_bytes(&self) -> u64 {
        self.freed.iter().map(|extent| extent.len).sum()
    }

    /// Adds a row of a content, which takes over the holders of a missing one. Returns the row as
    /// it is then.
    pub(in crate::store) fn insert_tensor(
        &mut self,
        id: ContentId,
        mut row: RecordRow,
    ) -> Result<RecordRow> {
        row.holders = row.holders.saturating_add(self.keep_missing(id)?);
        for base in row.bases() {
            self.change_row(Table::Tensors, base, |base| base.dependents += 1)?;
        }
        self.put_row(Table::Tensors, id, &row)?;
        Ok(row)
    }

    /// Puts a new record of a content in the place of its old one.
    pub(in crate::store) fn replace_record(
        &mut self,
        id: ContentId,
        old: RecordRow,
        new: RecordRow,
    ) -> Result<()> {
        if old.dependents > 0 && old.depth != new.depth {
            self.shared.container.require_features(FEATURE_DEPTH_GAPS, 0);
        }
        let row = RecordRow { holders: old.holders, dependents: old.dependents, ..new };
        self.insert_tensor(id, row)?;
        self.free_place(old.extent());
        for base in old.bases() {
            let row = self.change_row(Table::Tensors, base, |base| {
                base.dependents = base.dependents.saturating_sub(1);
            })?;
            self.free_if_unneeded(base, row)?;
        }
        Ok(())
    }

    /// Frees what has come in this transaction and nothing needs.
    pub(in crate::store) fn settle_incoming(&mut self) -> Result<()> {
        for id in std::mem::take(&mut self.incoming) {
            if let Some(row) = record_row(self.tables()?, Table::Tensors, id.as_bytes())? {
                self.free_if_unneeded(id, row)?;
            }
        }
        Ok(())
    }

    /// Changes the number of times that manifests name a missing tensor; a row that nobody needs is
    /// removed. Returns whether the tensor is missing.
    pub(in crate::store) fn change_missing(
        &mut self,
        id: ContentId,
        change: impl FnOnce(u32) -> u32,
    ) -> Result<bool> {
        let Some(row) = missing_row(self.tables()?, id)? else { return Ok(false) };
        let holders = change(row.holders);
        match holders {
            0 => drop(self.tables_mut()?.delete(Table::Promised, id.as_bytes())?),
            _ => self.put_missing(id, &MissingRow { holders, ..row })?,
        }
        Ok(true)
    }

    /// Removes the row of a missing content that is now stored, and returns its holders.
    pub(in crate::store) fn keep_missing(&mut self, id: ContentId) -> Result<u32> {
        let Some(row) = missing_row(self.tables()?, id)? else { return Ok(0) };
        self.tables_mut()?.delete(Table::Promised, id.as_bytes())?;
        Ok(row.holders)
    }

    pub(in crate::store) fn put_missing(&mut self, id: ContentId, row: &MissingRow) -> Result<()> {
        let value = row.encode()?;
        Ok(self.tables_mut()?.put(Table::Promised, id.as_bytes(), &value)?)
    }
}

/// How often a manifest names each content.
pub(in crate::store) fn count_ids(manifest: &Manifest) -> Vec<(ContentId, u32)> {
    let mut ids: Vec<ContentId> = manifest.contents().map(|it| it.content_id).collect();
    ids.sort_unstable();
    let mut counts: Vec<(ContentId, u32)> = Vec::new();
    for id in ids {
        match counts.last_mut() {
            Some((last, count)) if *last == id => *count += 1,
            _ => counts.push((id, 1)),
        }
    }
    counts
}
