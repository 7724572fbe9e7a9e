//! Bases chosen anew over a whole store: other bytes in the file, the same contents.
//!
//! Contents of one length are a group; groups whose contents are made of each other's by formulas
//! are a family, which is planned as a whole from pieces of its contents and then written.
//! Everything is read as it was before, so that contents may change places as each other's bases;
//! rows are changed when a family has turned out smaller. Hidden contents, which no model names,
//! are there only for what stands on them: a plan does without those that cost more than they
//! save, and stores what was made of them in another way.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use super::Result;
use super::candidate::FORMULAS_OVER;
use super::repack_family::{Kin, Searched};
use super::transaction::Transaction;
use crate::catalog::{CatalogError, ReadTables, RecordRow, Row, Table, Visitor};
use crate::codec::Profile;
use crate::format::{CHAIN_DEPTH_LIMIT, FEATURE_DEPTH_GAPS, Operation};
use crate::planning::{BaseCosts, CHAIN_DEPTH_MAX, plan_bases, present_sum};
use crate::tensor::ContentId;

/// A family is written anew where that saves at least this part of what it takes: what is only a
/// little better by pieces need not be better, and a second run then leaves it as it is.
pub(super) const WORTH_ONE_IN: u64 = 256;

/// What repacking is to do.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Repack {
    /// The longest chain of deltas.
    pub depth_max: u8,
    /// How what is written anew is encoded.
    pub profile: Profile,
    /// Whether only to find out what it would save: nothing is written.
    pub dry_run: bool,
}

impl Default for Repack {
    fn default() -> Self {
        Repack { depth_max: CHAIN_DEPTH_MAX, profile: Profile::default(), dry_run: false }
    }
}

impl Repack {
    /// Bounds the chains by so many deltas, at most
    /// [`CHAIN_DEPTH_LIMIT`](crate::format::CHAIN_DEPTH_LIMIT).
    pub fn depth_max(mut self, depth: u8) -> Self {
        self.depth_max = depth.min(crate::format::CHAIN_DEPTH_LIMIT);
        self
    }

    /// Says how what is written anew is encoded.
    pub fn profile(mut self, profile: Profile) -> Self {
        self.profile = profile;
        self
    }

    /// Says whether only to find out what it would save.
    pub fn dry_run(mut self, dry_run: bool) -> Self {
        self.dry_run = dry_run;
        self
    }
}

/// What repacking did, or would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RepackReport {
    /// Distinct tensors.
    pub tensors: u64,
    /// Those that are stored in another way now.
    pub changed: u64,
    /// Those of no model that are gone, since nothing stands on them any more.
    pub freed: u64,
    /// Those of no model that stay, since something stands on them.
    pub hidden: u64,
    /// Bytes that the records of all of them took before.
    pub before_bytes: u64,
    /// Bytes that they take now, or would take.
    pub after_bytes: u64,
    /// The longest chain before.
    pub before_depth: u8,
    /// The longest chain now, or then.
    pub after_depth: u8,
}

type CatalogResult<T> = std::result::Result<T, CatalogError>;

/// The rows of all tensors as they were.
pub(super) struct OldRows(pub(super) HashMap<ContentId, RecordRow>);

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

    fn count(&self, _: Table) -> CatalogResult<u64> {
        Ok(self.0.len() as u64)
    }
}

/// What a family came to: its new rows, and `None` for what is gone.
#[derive(Debug, Default)]
struct Outcome {
    changed: u64,
    rows: Vec<(ContentId, Option<RecordRow>)>,
}

impl Transaction {
    /// Chooses the bases of all tensors anew, so that they take the least room under a bound on
    /// the depth of chains. Contents, models and the graph stay as they are, and so do tensors
    /// that belong to a pinned model. Tensors that no model has any more go where the rest is
    /// smaller without them; what is stored as a formula of them is then stored as a formula of
    /// others, as a difference or alone. Contents that formulas connect, or of one length, that
    /// would not become smaller by one part in 256 stay as they are, also where their chains are
    /// longer than asked for: nothing ever takes more room than before, and repacking again
    /// changes nothing unless it finds that much. A formula that is no difference makes a chain
    /// longer than the bound by at most four.
    ///
    /// `progress` is told the bytes of content done since it was last called.
    ///
    /// Cost: reads every content, encodes pieces of each against a few others, and what changes
    /// once; a dry run as well. Memory: a row a tensor, and at most 256 MiB of pieces.
    ///
    /// # Errors
    ///
    /// A damaged tensor; those of the disk. After an error the transaction must be dropped.
    pub fn repack(&mut self, how: &Repack, progress: &dyn Fn(u64)) -> Result<RepackReport> {
        self.check_whole()?;
        self.profile = how.profile;
        self.chain_depth_max = how.depth_max;
        let report = self.change(|this| {
            let old = OldRows(this.tensor_rows()?);
            let measure = |rows: &HashMap<ContentId, RecordRow>| {
                let bytes = rows.values().map(|row| row.len).sum();
                (bytes, rows.values().map(|row| row.depth).max().unwrap_or(0))
            };
            let mut report = RepackReport { tensors: old.0.len() as u64, ..Default::default() };
            (report.before_bytes, report.before_depth) = measure(&old.0);
            let (shared, pinned) = (this.shared_arc(), this.pinned_contents()?);
            let (families, searched) = this.families(&old)?;
            let mut after = if how.dry_run { old.0.clone() } else { HashMap::new() };
            for family in families {
                let ids = family.iter().flatten();
                let len = ids.filter_map(|id| old.0.get(id)).map(|row| row.raw_len).sum();
                let outcome =
                    this.repack_family(&shared, (&old, &pinned, &searched), &family, how)?;
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
                after = this.note_gaps()?;
                this.lightened.clear();
            }
            (report.after_bytes, report.after_depth) = measure(&after);
            report.freed = (old.0.len() - after.len()) as u64;
            report.hidden = after.values().filter(|row| row.holders == 0).count() as u64;
            Ok(report)
        })?;
        if report.changed + report.freed > 0 && !how.dry_run {
            let (profile, tensors) = (how.profile.to_string(), report.changed);
            self.note(Operation::Recode { profile, tensors });
        }
        Ok(report)
    }

    fn tensor_rows(&self) -> Result<HashMap<ContentId, RecordRow>> {
        let mut rows = HashMap::new();
        self.tables()?.scan(Table::Tensors, &[], &mut |key, value| {
            let row = RecordRow::decode(value)?;
            let id: Option<[u8; 32]> = key.try_into().ok();
            rows.extend(id.map(|id| (ContentId::from_bytes(id), row)));
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(rows)
    }

    fn repack_family(
        &mut self,
        shared: &super::open::Shared,
        (old, pinned, searched): (&OldRows, &HashSet<ContentId>, &Searched),
        family: &[Vec<ContentId>],
        how: &Repack,
    ) -> Result<Outcome> {
        if family.iter().map(Vec::len).sum::<usize>() < 2 {
            return Ok(Outcome::default());
        }
        let mut kin = self.kin_of(shared, (old, pinned), family, how)?;
        self.find_formulas_of(shared, &mut kin, searched, how)?;
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
                && let Some(replacements) = self.write_plan(&kin, &plan, worth, how)?
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
    fn note_gaps(&mut self) -> Result<HashMap<ContentId, RecordRow>> {
        let rows = self.tensor_rows()?;
        let gap = |row: &RecordRow| {
            let below = row.bases().filter_map(|base| rows.get(&base)).map(|base| base.depth).max();
            below.is_some_and(|below| below + 1 < row.depth)
        };
        if rows.values().any(gap) {
            self.shared.container.require_features(FEATURE_DEPTH_GAPS, 0);
        }
        Ok(rows)
    }
}
