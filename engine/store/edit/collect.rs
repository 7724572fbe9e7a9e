//! Finding again who needs what, and freeing what nobody does.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use crate::catalog::{MissingRow, NodeRow, ReadTables, RecordRow, RecordRows, Table};
use crate::store::error::{Result, damaged};
use crate::store::exchange::incoming::release_incoming;
use crate::store::read::model::read_manifest;
use crate::store::write::transaction::Transaction;
use crate::tensor::ContentId;

/// What a collection found.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct CollectReport {
    /// Contents looked at: tensors and manifests.
    pub contents: u64,
    /// Tensors that no model has and that stay because deltas stand on them.
    #[serde(rename = "hidden_tensors")]
    pub hidden_bases: u64,
    /// Rows whose holders or dependents were not what models and deltas add up to, and tensors
    /// that were held for a transfer which did not end.
    #[serde(rename = "corrected_counts")]
    pub corrected: u64,
    /// Records that nothing needs and that are freed by the commit.
    pub freed_records: u64,
    /// Bytes of the file that they take.
    pub freed_bytes: u64,
}

fn count(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// See [`Transaction::collect`].
pub(in crate::store) fn collect(transaction: &mut Transaction) -> Result<CollectReport> {
    transaction.check_whole()?;
    transaction.change(|this| {
        let freed = this.references.freed.len();
        let released = release_incoming(this)?;
        let mut report = collect_all(this)?;
        let freed = this.references.freed.get(freed..).unwrap_or_default();
        report.freed_bytes = freed.iter().map(|extent| extent.len).sum();
        report.freed_records = freed.len() as u64;
        report.corrected += released;
        Ok(report)
    })
}

fn collect_all(transaction: &mut Transaction) -> Result<CollectReport> {
    let manifests = RecordRows::read(transaction.tables()?, Table::Manifests)?;
    let tensors = RecordRows::read(transaction.tables()?, Table::Tensors)?;
    let mut report = CollectReport {
        contents: (manifests.len() + tensors.len()) as u64,
        ..CollectReport::default()
    };
    let mut nodes: HashMap<ContentId, u64> = HashMap::new();
    transaction.tables()?.scan(Table::Nodes, &[], &mut |_, value| {
        *nodes.entry(NodeRow::decode(value)?.manifest).or_default() += 1;
        Ok(ControlFlow::Continue(()))
    })?;
    if let Some(missing) = nodes.keys().find(|id| !manifests.contains(id)) {
        return Err(damaged(*missing, 0)(&"the manifest is missing from the catalogue"));
    }
    for (id, row) in manifests.iter() {
        let held = nodes.get(&id).copied().unwrap_or(0);
        settle(transaction, Table::Manifests, id, row, held, 0, &mut report)?;
    }
    drop(manifests);
    let mut holders = vec![0u64; tensors.len()];
    // Contents that are named and have no record: each is missing content with a row, or lost.
    let mut elsewhere: HashMap<ContentId, u64> = HashMap::new();
    for id in nodes.into_keys() {
        for tensor in read_manifest(&transaction.shared, transaction.tables()?, id)?.contents() {
            let place = tensors.place(&tensor.content_id);
            match place.and_then(|place| holders.get_mut(place)) {
                Some(holders) => *holders += 1,
                None => *elsewhere.entry(tensor.content_id).or_default() += 1,
            }
        }
    }
    let promised = settle_promises(transaction, &tensors, &elsewhere, &mut report)?;
    if let Some(missing) = elsewhere.keys().find(|id| !promised.contains(id)) {
        return Err(damaged(*missing, 0)(&"the tensor is missing from the catalogue"));
    }
    settle_tensors(transaction, &tensors, &holders, &mut report)?;
    Ok(report)
}

/// Corrects the counts of missing contents, and removes rows of contents that are stored or not
/// named. Returns the missing contents.
fn settle_promises(
    transaction: &mut Transaction,
    tensors: &RecordRows,
    elsewhere: &HashMap<ContentId, u64>,
    report: &mut CollectReport,
) -> Result<HashSet<ContentId>> {
    let mut rows: Vec<(ContentId, MissingRow)> = Vec::new();
    transaction.tables()?.scan(Table::Promised, &[], &mut |key, value| {
        if let Ok(id) = <[u8; 32]>::try_from(key) {
            rows.push((ContentId::from_bytes(id), MissingRow::decode(value)?));
        }
        Ok(ControlFlow::Continue(()))
    })?;
    let mut promised = HashSet::new();
    for (id, row) in rows {
        let here = tensors.contains(&id);
        let named = if here { 0 } else { count(elsewhere.get(&id).copied().unwrap_or(0)) };
        if named > 0 {
            promised.insert(id);
        }
        if row.holders != named || named == 0 {
            report.corrected += 1;
            transaction.references.change_missing(id, |_| named)?;
        }
    }
    Ok(promised)
}

/// From the tips of the chains downwards, so that a base is looked at when it is known
/// whether what stands on it stays.
fn settle_tensors(
    transaction: &mut Transaction,
    tensors: &RecordRows,
    holders: &[u64],
    report: &mut CollectReport,
) -> Result<()> {
    let mut order: Vec<u32> = (0..tensors.len() as u32).collect();
    order.sort_unstable_by_key(|at| Reverse((tensors.depth(*at as usize), *at)));
    let mut dependents = vec![0u64; tensors.len()];
    let at = |counts: &[u64], place: usize| counts.get(place).copied().unwrap_or(0);
    for place in order {
        let place = place as usize;
        let Some((id, row)) = tensors.at(place) else { continue };
        let depth = row.depth;
        let (held, needed) = (at(holders, place), at(&dependents, place));
        if !settle(transaction, Table::Tensors, id, row, held, needed, report)? {
            continue;
        }
        report.hidden_bases += u64::from(held == 0);
        for base in tensors.bases_at(place) {
            // Shallower than what stands on it, or it was counted already.
            let base = tensors.place(&base).filter(|base| tensors.depth(*base) < depth);
            match base.and_then(|base| dependents.get_mut(base)) {
                Some(dependents) => *dependents += 1,
                None => {
                    return Err(damaged(id, 0)(&"its base is missing or as deep as itself"));
                }
            }
        }
    }
    Ok(())
}

/// Makes a row say what was counted, or frees its record; says whether it stays.
fn settle(
    transaction: &mut Transaction,
    table: Table,
    id: ContentId,
    mut row: RecordRow,
    holders: u64,
    dependents: u64,
    report: &mut CollectReport,
) -> Result<bool> {
    let (holders, dependents) = (count(holders), count(dependents));
    if (row.holders, row.dependents) == (holders, dependents) && row.is_needed() {
        return Ok(true);
    }
    report.corrected += u64::from((row.holders, row.dependents) != (holders, dependents));
    (row.holders, row.dependents) = (holders, dependents);
    if row.is_needed() {
        transaction.references.put_row(table, id, &row)?;
        return Ok(true);
    }
    report.freed_records += 1;
    report.freed_bytes += row.len;
    transaction.references.free_record(table, id, &row)?;
    Ok(false)
}

/// Commits also when no model has changed, if the collection has changed something.
pub(in crate::store) fn commit_collected(
    transaction: Transaction,
    report: &CollectReport,
) -> Result<()> {
    match report.corrected + report.freed_records {
        0 => Ok(()),
        _ => transaction.commit_changes(),
    }
}
