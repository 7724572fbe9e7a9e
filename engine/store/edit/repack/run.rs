//! The way through it: families, plans, records, rows.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use super::family::{Kin, families, kin_of};
use super::formulas::find_formulas_of;
use super::member::Searched;
use super::options::{Repack, RepackReport, WORTH_ONE_IN};
use super::rows::OldRows;
use super::write::write_plan;
use crate::catalog::{ReadTables, RecordRow, Table};
use crate::format::{CHAIN_DEPTH_LIMIT, FEATURE_DEPTH_GAPS, Operation};
use crate::planning::{BaseCosts, plan_bases, present_sum};
use crate::store::base::candidates::FORMULAS_OVER;
use crate::store::edit::pinned::pinned_contents;
use crate::store::error::Result;
use crate::store::shared::Shared;
use crate::store::write::transaction::Transaction;
use crate::tensor::ContentId;

/// What a family came to: its new rows, and `None` for what is gone.
#[derive(Debug, Default)]
struct Outcome {
    changed: u64,
    rows: Vec<(ContentId, Option<RecordRow>)>,
}

/// See [`Transaction::repack`].
pub(in crate::store) fn repack(
    transaction: &mut Transaction,
    how: &Repack,
    progress: &dyn Fn(u64),
) -> Result<RepackReport> {
    transaction.check_whole()?;
    let report = transaction.change(|this| {
        let old = OldRows(tensor_rows(this)?);
        let measure = |rows: &HashMap<ContentId, RecordRow>| {
            let bytes = rows.values().map(|row| row.len).sum();
            (bytes, rows.values().map(|row| row.depth).max().unwrap_or(0))
        };
        let mut report = RepackReport { tensors: old.0.len() as u64, ..Default::default() };
        (report.before_bytes, report.before_depth) = measure(&old.0);
        let (shared, pinned) = (this.shared_arc(), pinned_contents(this)?);
        let (families, searched) = families(this, &old, how.policy())?;
        let mut after = if how.dry_run { old.0.clone() } else { HashMap::new() };
        for family in families {
            let ids = family.iter().flatten();
            let len = ids.filter_map(|id| old.0.get(id)).map(|row| row.raw_len).sum();
            let outcome = repack_family(this, &shared, (&old, &pinned, &searched), &family, how)?;
            report.changed += outcome.changed;
            for (id, row) in outcome.rows.into_iter().filter(|_| how.dry_run) {
                match row {
                    Some(row) => {
                        let holders = old.0.get(&id).map_or(0, |old| old.holders);
                        after.insert(id, RecordRow { holders, ..row })
                    }
                    None => after.remove(&id),
                };
            }
            progress(len);
        }
        if !how.dry_run {
            after = note_gaps(this)?;
            this.references.lightened.clear();
        }
        (report.after_bytes, report.after_depth) = measure(&after);
        report.freed = (old.0.len() - after.len()) as u64;
        report.hidden = after.values().filter(|row| row.holders == 0).count() as u64;
        Ok(report)
    })?;
    if report.changed + report.freed > 0 && !how.dry_run {
        let (profile, tensors) = (how.profile.to_string(), report.changed);
        transaction.note(Operation::Recode { profile, tensors });
    }
    Ok(report)
}

fn tensor_rows(transaction: &Transaction) -> Result<HashMap<ContentId, RecordRow>> {
    let mut rows = HashMap::new();
    transaction.tables()?.scan(Table::Tensors, &[], &mut |key, value| {
        let row = RecordRow::decode(value)?;
        let id: Option<[u8; 32]> = key.try_into().ok();
        rows.extend(id.map(|id| (ContentId::from_bytes(id), row)));
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(rows)
}

fn repack_family(
    transaction: &mut Transaction,
    shared: &Shared,
    (old, pinned, searched): (&OldRows, &HashSet<ContentId>, &Searched),
    family: &[Vec<ContentId>],
    how: &Repack,
) -> Result<Outcome> {
    if family.iter().map(Vec::len).sum::<usize>() < 2 {
        return Ok(Outcome::default());
    }
    let mut kin = kin_of(transaction, shared, (old, pinned), family, how)?;
    find_formulas_of(transaction, shared, &mut kin, searched, how)?;
    let Kin { members, costs, .. } = &kin;
    let unbounded = BaseCosts { steps_max: u8::MAX, depth_max: u8::MAX, ..costs.clone() };
    let slack: u64 = (0..members.len()).map(|at| kin.saved_alone(at)).sum();
    let present = present_sum(&unbounded) + slack;
    let worth = members.iter().map(|member| member.row.len).sum::<u64>() / WORTH_ONE_IN;
    let deepest = members.iter().map(|member| member.row.depth).max().unwrap_or(0);
    let depth = how.depth_max.saturating_add(FORMULAS_OVER).min(CHAIN_DEPTH_LIMIT);
    // Not within the bound without taking more: within what there is, then.
    for (steps_max, depth_max) in [(how.depth_max, depth), (deepest, depth.max(deepest))] {
        let costs = BaseCosts { steps_max, depth_max, ..costs.clone() };
        let plan = plan_bases(&costs);
        if plan.sum + worth < present
            && let Some(replacements) = write_plan(transaction, &kin, &plan, worth, how)?
        {
            let gone = (0..members.len()).filter(|at| !plan.kept[*at]);
            let gone: Vec<_> = gone.map(|at| (members[at].id, None)).collect();
            let changed = replacements.len() as u64;
            let rows = replacements.into_iter().map(|(at, row)| (members[at].id, Some(row)));
            return Ok(Outcome { changed, rows: rows.chain(gone).collect() });
        }
        if present_sum(&costs) + slack <= present {
            break;
        }
    }
    Ok(Outcome::default())
}

/// The rows as they are now. Says in the file when what some stand on is less deep than they
/// count.
fn note_gaps(transaction: &mut Transaction) -> Result<HashMap<ContentId, RecordRow>> {
    let rows = tensor_rows(transaction)?;
    let gap = |row: &RecordRow| {
        let below = row.bases().filter_map(|base| rows.get(&base)).map(|base| base.depth).max();
        below.is_some_and(|below| below + 1 < row.depth)
    };
    if rows.values().any(gap) {
        transaction.shared.container.require_features(FEATURE_DEPTH_GAPS, 0);
    }
    Ok(rows)
}
