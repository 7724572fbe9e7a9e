//! The way through it: families, plans, records, rows.

use std::collections::HashMap;

use rayon::prelude::*;

use super::family::{Kin, families, kin_of};
use super::formulas::find_formulas_of;
use super::member::Searched;
use super::options::{Repack, RepackReport, WORTH_ONE_IN};
use super::scope::Scope;
use super::write::{PartPlan, write_plan};
use crate::catalog::RecordRow;
use crate::format::{CHAIN_DEPTH_LIMIT, FEATURE_DEPTH_GAPS, Operation};
use crate::planning::{BaseCosts, BasePlan, plan_part, present_sum};
use crate::store::base::candidates::FORMULAS_OVER;
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
        let scope = Scope::whole(this)?;
        repack_scope(this, &scope, how, progress)
    })?;
    if !how.dry_run {
        note(transaction, how, &report);
    }
    Ok(report)
}

/// Lets the change record say what was repacked.
pub(in crate::store) fn note(transaction: &mut Transaction, how: &Repack, report: &RepackReport) {
    if report.changed + report.freed > 0 {
        let (profile, tensors) = (how.profile.to_string(), report.changed);
        transaction.note(Operation::Recode { profile, tensors });
    }
}

/// Repacks what is in scope.
pub(in crate::store) fn repack_scope(
    transaction: &mut Transaction,
    scope: &Scope,
    how: &Repack,
    progress: &dyn Fn(u64),
) -> Result<RepackReport> {
    let old = &scope.old;
    let measure = |rows: &HashMap<ContentId, RecordRow>| {
        let bytes = rows.values().map(|row| row.len).sum();
        (bytes, rows.values().map(|row| row.depth).max().unwrap_or(0))
    };
    let mut report = RepackReport { tensors: old.0.len() as u64, ..Default::default() };
    (report.before_bytes, report.before_depth) = measure(&old.0);
    let shared = transaction.shared_arc();
    let (families, searched) = families(transaction, scope, how.policy())?;
    let mut after = if how.dry_run { old.0.clone() } else { HashMap::new() };
    for family in families {
        let found = (scope, &searched);
        let outcome = repack_family(transaction, &shared, found, &family, (how, progress))?;
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
    }
    if !how.dry_run {
        after = scope.rows_now(transaction)?;
        note_gaps(transaction, &after);
        transaction.references.lightened.clear();
    }
    (report.after_bytes, report.after_depth) = measure(&after);
    report.freed = (old.0.len() - after.len()) as u64;
    report.hidden = after.values().filter(|row| row.holders == 0).count() as u64;
    Ok(report)
}

fn repack_family(
    transaction: &mut Transaction,
    shared: &Shared,
    (scope, searched): (&Scope, &Searched),
    family: &[Vec<ContentId>],
    (how, progress): (&Repack, &dyn Fn(u64)),
) -> Result<Outcome> {
    if family.iter().map(Vec::len).sum::<usize>() < 2 {
        let ids = family.iter().flatten();
        progress(ids.filter_map(|id| scope.old.0.get(id)).map(|row| row.raw_len).sum());
        return Ok(Outcome::default());
    }
    let mut kin = kin_of(transaction, shared, scope, family, (how, progress))?;
    find_formulas_of(transaction, shared, &mut kin, searched, how)?;
    let parts = kin.costs.connected();
    (kin.costs.steps_max, kin.costs.depth_max) = bounds(how);
    let plan = |part: &Vec<usize>| plan_part(&kin.costs.of_part(part), part, how.shakes);
    let plans: Vec<BasePlan> = parts.par_iter().map(plan).collect();
    let mut outcome = Outcome::default();
    for (part, plan) in parts.iter().zip(plans) {
        let written = repack_part(transaction, &kin, PartPlan { part, plan }, how)?;
        outcome.changed += written.changed;
        outcome.rows.extend(written.rows);
        let len: u64 = part.iter().map(|at| kin.members[*at].row.raw_len).sum();
        progress(len - len / 2);
    }
    Ok(outcome)
}

/// Writes the plan of a part of a family where that saves enough.
fn repack_part(
    transaction: &mut Transaction,
    kin: &Kin<'_>,
    planned: PartPlan<'_>,
    how: &Repack,
) -> Result<Outcome> {
    let (members, part) = (&kin.members, planned.part);
    let bounded = kin.costs.of_part(part);
    let unbounded = BaseCosts { steps_max: u8::MAX, depth_max: u8::MAX, ..bounded.clone() };
    let slack: u64 = part.iter().map(|at| kin.saved_alone(*at)).sum();
    let present = present_sum(&unbounded) + slack;
    let worth = part.iter().map(|at| members[*at].row.len).sum::<u64>() / WORTH_ONE_IN;
    let mut write = |planned: &PartPlan<'_>| -> Result<Option<Outcome>> {
        if planned.plan.sum + worth >= present {
            return Ok(None);
        }
        let written = write_plan(transaction, kin, planned, worth, how)?;
        Ok(written.map(|replacements| {
            let changed = replacements.len() as u64;
            let rows = replacements.into_iter().map(|(at, row)| (members[at].id, Some(row)));
            let gone = planned.gone().map(|at| (members[at].id, None));
            Outcome { changed, rows: rows.chain(gone).collect() }
        }))
    };
    if let Some(outcome) = write(&planned)? {
        return Ok(outcome);
    }
    if present_sum(&bounded) + slack <= present {
        return Ok(Outcome::default());
    }
    // Not within the bound without taking more: within what there is, then.
    let deepest = part.iter().map(|at| members[*at].row.depth).max().unwrap_or(0);
    let depth_max = bounded.depth_max.max(deepest);
    let bounded = BaseCosts { steps_max: deepest, depth_max, ..bounded };
    let plan = plan_part(&bounded, part, how.shakes);
    Ok(write(&PartPlan { part, plan })?.unwrap_or_default())
}

/// The most differences on the way to a content, and the most records.
fn bounds(how: &Repack) -> (u8, u8) {
    (how.depth_max, how.depth_max.saturating_add(FORMULAS_OVER).min(CHAIN_DEPTH_LIMIT))
}

/// Says in the file when what some stand on is less deep than they count.
fn note_gaps(transaction: &Transaction, rows: &HashMap<ContentId, RecordRow>) {
    let gap = |row: &RecordRow| {
        let below = row.bases().filter_map(|base| rows.get(&base)).map(|base| base.depth).max();
        below.is_some_and(|below| below + 1 < row.depth)
    };
    if rows.values().any(gap) {
        transaction.shared.container.require_features(FEATURE_DEPTH_GAPS, 0);
    }
}
