//! Bases that no model names any more and that deltas still need.

use std::collections::BTreeSet;
use std::ops::{Bound, ControlFlow};

use super::Result;
use super::record::record_row;
use super::transaction::{Transaction, count_ids};
use crate::catalog::{ReadTables, RecordRow, Table};
use crate::format::{FEATURE_FORMULA, Manifest};
use crate::tensor::ContentId;

/// Formulas by their bases, as of one transaction: (base, what stands on it). What it lists may
/// have been stored in another way since; what is not listed is no formula.
#[derive(Debug, Default)]
pub(super) struct Formulas(BTreeSet<(ContentId, ContentId)>);

impl Formulas {
    /// Notes a row that was put.
    pub(super) fn note(&mut self, id: ContentId, row: &RecordRow) {
        if row.formula != 0 {
            self.0.extend(row.bases().map(|base| (base, id)));
        }
    }

    /// What may be a formula over `base`.
    fn over(&self, base: ContentId) -> Vec<ContentId> {
        let first = ContentId::from_bytes([0; 32]);
        let range = self.0.range((Bound::Included((base, first)), Bound::Unbounded));
        range.take_while(|(of, _)| *of == base).map(|(_, id)| *id).collect()
    }
}

impl Transaction {
    /// Takes a node's hold on its manifest, and frees what nothing needs then. Gives back how many
    /// tensors stay, hidden.
    pub(super) fn release(&mut self, manifest_id: ContentId, manifest: &Manifest) -> Result<u64> {
        let mut hidden = Vec::new();
        let row = self.change_row(Table::Manifests, manifest_id, |row| {
            row.holders = row.holders.saturating_sub(1);
        })?;
        if !row.is_needed() {
            self.free_record(Table::Manifests, manifest_id, &row)?;
            for (id, count) in count_ids(manifest) {
                if self.change_promise(id, |holders| holders.saturating_sub(count))? {
                    continue;
                }
                let row = self.change_row(Table::Tensors, id, |row| {
                    row.holders = row.holders.saturating_sub(count);
                })?;
                if row.holders == 0 && row.dependents > 0 {
                    hidden.push(id);
                }
                self.free_if_unneeded(id, row)?;
            }
        }
        let stay = self.settle_hidden(hidden)?;
        // What a difference that has gone left behind may now be there for formulas only.
        while !self.lightened.is_empty() {
            let lightened = std::mem::take(&mut self.lightened);
            self.settle_hidden(lightened.into_iter().collect())?;
        }
        Ok(stay)
    }

    /// Settles bases that have lost their last model: the formulas over one are stored alone, when
    /// that frees more than it takes. (Deltas keep their base: it would take more to store them
    /// alone.) Gives back how many of them stay, hidden.
    ///
    /// Cost: the rows of `hidden` and of the formulas over them; once a transaction, in a store
    /// that has formulas, every tensor's row.
    pub(super) fn settle_hidden(&mut self, hidden: Vec<ContentId>) -> Result<u64> {
        if !hidden.is_empty() {
            self.find_formulas()?;
        }
        let mut stay = 0;
        for id in hidden {
            self.free_of_formulas(id)?;
            stay += u64::from(record_row(self.tables()?, Table::Tensors, id.as_bytes())?.is_some());
        }
        Ok(stay)
    }

    fn find_formulas(&mut self) -> Result<()> {
        if self.formulas.is_some() {
            return Ok(());
        }
        let mut formulas = Formulas::default();
        if self.shared.container.superblock().reader_flags & FEATURE_FORMULA != 0 {
            self.tables()?.scan(Table::Tensors, &[], &mut |key, value| {
                let row = RecordRow::decode(value)?;
                if let Ok(id) = <[u8; 32]>::try_from(key) {
                    formulas.note(ContentId::from_bytes(id), &row);
                }
                Ok(ControlFlow::Continue(()))
            })?;
        }
        self.formulas = Some(formulas);
        Ok(())
    }

    fn free_of_formulas(&mut self, hidden: ContentId) -> Result<()> {
        let listed = self.formulas.as_ref().map(|formulas| formulas.over(hidden));
        let listed = listed.unwrap_or_default();
        if listed.is_empty() {
            return Ok(());
        }
        let mut over = Vec::new();
        let (mut counted, mut alone) = (0u64, 0u64);
        for id in listed {
            let row = record_row(self.tables()?, Table::Tensors, id.as_bytes())?;
            let Some(row) = row.filter(|row| row.formula != 0) else { continue };
            let named = row.bases().filter(|base| *base == hidden).count() as u64;
            if named > 0 {
                counted += named;
                alone = alone.saturating_add(row.raw_len.saturating_sub(row.stored_len));
                over.push(id);
            }
        }
        let base = record_row(self.tables()?, Table::Tensors, hidden.as_bytes())?;
        // What else stands on it are deltas.
        let frees =
            |base: &RecordRow| u64::from(base.dependents) == counted && base.stored_len >= alone;
        if over.is_empty() || !base.as_ref().is_some_and(frees) {
            return Ok(());
        }
        for id in over {
            // Again: it may stand on one that is stored alone by now.
            if let Some(row) = record_row(self.tables()?, Table::Tensors, id.as_bytes())? {
                self.store_raw(id, row)?;
            }
        }
        Ok(())
    }
}
