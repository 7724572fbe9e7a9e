//! Bases that no model names any more and that deltas still need.

use std::ops::ControlFlow;

use super::formulas::Formulas;
use super::put::store_raw;
use super::references::count_ids;
use super::transaction::Transaction;
use crate::catalog::{ReadTables, RecordRow, Table};
use crate::format::{FEATURE_FORMULA, Manifest};
use crate::store::error::Result;
use crate::store::read::record::record_row;
use crate::tensor::ContentId;

/// Releases a node's hold on its manifest, and frees what nothing needs then. Returns the number of
/// tensors that stay, hidden.
pub(in crate::store) fn release(
    transaction: &mut Transaction,
    manifest_id: ContentId,
    manifest: &Manifest,
) -> Result<u64> {
    let mut hidden = Vec::new();
    let row = transaction.references.change_row(Table::Manifests, manifest_id, |row| {
        row.holders = row.holders.saturating_sub(1);
    })?;
    if !row.is_needed() {
        transaction.references.free_record(Table::Manifests, manifest_id, &row)?;
        for (id, count) in count_ids(manifest) {
            if transaction.references.change_missing(id, |holders| holders.saturating_sub(count))? {
                continue;
            }
            let row = transaction.references.change_row(Table::Tensors, id, |row| {
                row.holders = row.holders.saturating_sub(count);
            })?;
            if row.holders == 0 && row.dependents > 0 {
                hidden.push(id);
            }
            transaction.references.free_if_unneeded(id, row)?;
        }
    }
    let stay = settle_hidden(transaction, hidden)?;
    // What a difference that has gone left behind may now be there for formulas only.
    while !transaction.references.lightened.is_empty() {
        let lightened = std::mem::take(&mut transaction.references.lightened);
        settle_hidden(transaction, lightened.into_iter().collect())?;
    }
    Ok(stay)
}

/// Settles bases that have lost their last model: the formulas over one are stored alone, when that
/// frees more than it takes. (Deltas keep their base: it would take more to store them alone.)
/// Returns the number of bases that stay, hidden.
///
/// Cost: the rows of `hidden` and of the formulas over them; once a transaction, in a store
/// that has formulas, every tensor's row.
pub(in crate::store) fn settle_hidden(
    transaction: &mut Transaction,
    hidden: Vec<ContentId>,
) -> Result<u64> {
    if !hidden.is_empty() {
        find_formulas(transaction)?;
    }
    let mut stay = 0;
    for id in hidden {
        free_of_formulas(transaction, id)?;
        stay +=
            u64::from(record_row(transaction.tables()?, Table::Tensors, id.as_bytes())?.is_some());
    }
    Ok(stay)
}

fn find_formulas(transaction: &mut Transaction) -> Result<()> {
    if transaction.references.formulas.is_some() {
        return Ok(());
    }
    let mut formulas = Formulas::default();
    if transaction.shared.container.superblock().reader_flags & FEATURE_FORMULA != 0 {
        transaction.tables()?.scan(Table::Tensors, &[], &mut |key, value| {
            let row = RecordRow::decode(value)?;
            if let Ok(id) = <[u8; 32]>::try_from(key) {
                formulas.note(ContentId::from_bytes(id), &row);
            }
            Ok(ControlFlow::Continue(()))
        })?;
    }
    transaction.references.formulas = Some(formulas);
    Ok(())
}

fn free_of_formulas(transaction: &mut Transaction, hidden: ContentId) -> Result<()> {
    let listed = transaction.references.formulas.as_ref().map(|formulas| formulas.over(hidden));
    let listed = listed.unwrap_or_default();
    if listed.is_empty() {
        return Ok(());
    }
    let mut over = Vec::new();
    let (mut counted, mut alone) = (0u64, 0u64);
    for id in listed {
        let row = record_row(transaction.tables()?, Table::Tensors, id.as_bytes())?;
        let Some(row) = row.filter(|row| row.formula != 0) else { continue };
        let named = row.bases().filter(|base| *base == hidden).count() as u64;
        if named > 0 {
            counted += named;
            alone = alone.saturating_add(row.raw_len.saturating_sub(row.stored_len));
            over.push(id);
        }
    }
    let base = record_row(transaction.tables()?, Table::Tensors, hidden.as_bytes())?;
    // What else stands on it are deltas.
    let frees =
        |base: &RecordRow| u64::from(base.dependents) == counted && base.stored_len >= alone;
    if over.is_empty() || !base.as_ref().is_some_and(frees) {
        return Ok(());
    }
    for id in over {
        // Again: it may stand on one that is stored alone by now.
        if let Some(row) = record_row(transaction.tables()?, Table::Tensors, id.as_bytes())? {
            store_raw(transaction, id, row)?;
        }
    }
    Ok(())
}
