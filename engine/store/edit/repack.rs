//! Bases chosen anew over a whole store: other bytes in the file, the same contents.
//!
//! Contents of one length are a group, which is planned as a whole from pieces of its contents and
//! then written. Everything is read as it was before, so that contents may change places as each
//! other's bases; rows are changed when a group has turned out smaller. Hidden contents, which no
//! model names, are there only for what stands on them: a plan does without those that cost more
//! than they save.

use std::collections::{HashMap, HashSet};
use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;

use rayon::prelude::*;

use super::pinned::pinned_contents;
use super::repack_costs::{costs, sample};
use crate::catalog::{CatalogError, ReadTables, RecordRow, Row, Table, Visitor};
use crate::codec::{Lane, Profile};
use crate::format::{FEATURE_DEPTH_GAPS, Operation, RecordKind};
use crate::planning::{BaseCosts, BasePlan, CHAIN_DEPTH_MAX, Sketch, plan_bases, present_sum};
use crate::store::base::chunks::alone_chunks;
use crate::store::base::encode::delta_chunks;
use crate::store::base::prediction::Basis;
use crate::store::base::select::encode_best;
use crate::store::base::sketches::kept_sketch;
use crate::store::error::{Error, Result, damaged};
use crate::store::read::chain::{Chain, Checks};
use crate::store::read::model::read_manifest;
use crate::store::shared::Shared;
use crate::store::slabs::{for_slabs, slab_len};
use crate::store::source::{NewTensor, TensorSource};
use crate::store::write::put::{survey, write_encoded};
use crate::store::write::transaction::Transaction;
use crate::tensor::{ContentId, Dtype, Shape};

/// Bytes of a content by which differences are judged, in two pieces.
const SAMPLE_LEN: usize = 1 << 18;
/// Bytes of samples that are held at once.
const SAMPLES_MAX: usize = 256 << 20;

/// A group is written anew where that saves at least this part of what it takes: what is only a
/// little better by pieces need not be better, and a second run then leaves it as it is.
const WORTH_ONE_IN: u64 = 256;

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
    /// Bytes that the records of all of them took before.
    pub before_bytes: u64,
    /// Bytes that they take now.
    pub after_bytes: u64,
    /// The longest chain before.
    pub before_depth: u8,
    /// The longest chain now.
    pub after_depth: u8,
}

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

    fn count(&self, _: Table) -> CatalogResult<u64> {
        Ok(self.0.len() as u64)
    }
}

/// A content of a group.
pub(in crate::store) struct Member<'c> {
    pub(in crate::store) id: ContentId,
    pub(in crate::store) row: RecordRow,
    pub(in crate::store) dtype: Dtype,
    pub(in crate::store) chain: Arc<Chain<'c>>,
    /// Whether it stays as it is, or goes.
    pub(in crate::store) fixed: bool,
    /// Whether only contents of the group stand on it, and no model names it.
    pub(in crate::store) hidden: bool,
    pub(in crate::store) sketch: Option<Sketch>,
    pub(in crate::store) sample: Vec<u8>,
}

/// What a group came to.
#[derive(Clone, Copy, Debug, Default)]
struct Outcome {
    changed: u64,
    freed: u64,
    saved: u64,
}

/// A content read as it was before.
struct Before<'c>(Arc<Chain<'c>>);

impl TensorSource for Before<'_> {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out, Checks::First).map_err(io::Error::other)
    }
}

/// A record that takes another's place: the content's place in the group, and its new row.
type Replacement = (usize, RecordRow);

/// Chooses the bases of all tensors anew, so that they take the least room under a bound on
pub(in crate::store) fn repack(
    transaction: &mut Transaction,
    how: &Repack,
    progress: &dyn Fn(u64),
) -> Result<RepackReport> {
    transaction.check_whole()?;
    let report = transaction.change(|this| {
        let old = OldRows(tensor_rows(this)?);
        let mut report = RepackReport::default();
        let measure = |rows: &HashMap<ContentId, RecordRow>| {
            let bytes = rows.values().map(|row| row.len).sum();
            (bytes, rows.values().map(|row| row.depth).max().unwrap_or(0))
        };
        report.tensors = old.0.len() as u64;
        (report.before_bytes, report.before_depth) = measure(&old.0);
        let (shared, pinned) = (this.shared_arc(), pinned_contents(this)?);
        let over = over_formulas(&old);
        let mut sum = Outcome::default();
        for mut ids in groups(this, &old)? {
            let len = ids.iter().filter_map(|id| old.0.get(id)).map(|row| row.raw_len).sum();
            // Hidden ones that only a formula of another group stood on may have gone with it.
            let tables = this.tables()?;
            let mut here = Vec::with_capacity(ids.len());
            for id in ids.drain(..) {
                if tables.get(Table::Tensors, id.as_bytes())?.is_some() {
                    here.push(id);
                }
            }
            let ids = here;
            if ids.len() > 1 {
                let whole = (&old, &over, &pinned);
                let outcome = repack_group(this, &shared, whole, &ids, how)?;
                sum.changed += outcome.changed;
                sum.freed += outcome.freed;
                sum.saved += outcome.saved;
            }
            progress(len);
        }
        (report.changed, report.freed) = (sum.changed, sum.freed);
        if how.dry_run {
            report.after_bytes = report.before_bytes.saturating_sub(sum.saved);
            report.after_depth = report.before_depth.min(how.depth_max);
        } else {
            let rows = note_gaps(this)?;
            (report.after_bytes, report.after_depth) = measure(&rows);
            report.freed = (old.0.len() - rows.len()) as u64;
        }
        Ok(report)
    })?;
    if report.changed + report.freed > 0 && !how.dry_run {
        let (profile, tensors) = (how.profile.to_string(), report.changed);
        transaction.note(Operation::Recode { profile, tensors });
    }
    Ok(report)
}

/// Tensors that no model has and that stay because others stand on them. Cost: every row.
pub(in crate::store) fn hidden_tensors(transaction: &Transaction) -> Result<u64> {
    let rows = tensor_rows(transaction)?;
    Ok(rows.values().filter(|row| row.holders == 0).count() as u64)
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

/// The contents of each length, in the order in which models name them; hidden ones last.
fn groups(transaction: &Transaction, old: &OldRows) -> Result<Vec<Vec<ContentId>>> {
    let mut place: HashMap<u64, usize> = HashMap::new();
    let mut groups: Vec<Vec<ContentId>> = Vec::new();
    let mut named = HashSet::new();
    for node in transaction.graph()?.nodes()? {
        let manifest =
            read_manifest(&transaction.shared, transaction.tables()?, node.row.manifest)?;
        for id in manifest.tensors.iter().map(|tensor| tensor.content_id) {
            let Some(row) = old.0.get(&id).filter(|_| named.insert(id)) else { continue };
            let at = *place.entry(row.raw_len).or_insert_with(|| {
                groups.push(Vec::new());
                groups.len() - 1
            });
            groups[at].push(id);
        }
    }
    let mut hidden: Vec<_> = old.0.iter().filter(|(id, _)| !named.contains(id)).collect();
    hidden.sort_unstable_by_key(|(id, _)| **id);
    for (id, row) in hidden {
        if let Some(at) = place.get(&row.raw_len) {
            groups[*at].push(*id);
        }
    }
    Ok(groups)
}

fn repack_group(
    transaction: &mut Transaction,
    shared: &Shared,
    (old, over, pinned): (&OldRows, &HashSet<ContentId>, &HashSet<ContentId>),
    ids: &[ContentId],
    how: &Repack,
) -> Result<Outcome> {
    let mut members = members(transaction, shared, old, ids)?;
    for member in &mut members {
        member.fixed |= pinned.contains(&member.id);
        member.hidden = member.row.holders == 0 && !over.contains(&member.id);
    }
    let mut costs = costs(&members, old, how);
    let limits = costs.depth_max.clone();
    let deepest = members.iter().map(|member| member.row.depth).max().unwrap_or(0);
    let present = present_sum(&BaseCosts { depth_max: vec![u8::MAX; ids.len()], ..costs.clone() });
    let total: u64 = members.iter().map(|member| member.row.len).sum();
    let mut bound = how.depth_max;
    loop {
        costs.depth_max = limits.iter().map(|limit| bound.min(*limit)).collect();
        let plan = plan_bases(&costs);
        let mut outcome = Outcome::default();
        if plan.sum + total / WORTH_ONE_IN < present {
            outcome = write_plan(transaction, &members, &plan, total / WORTH_ONE_IN, how)?;
        }
        if outcome.saved > 0 || deepest <= bound {
            return Ok(outcome);
        }
        // Not within the bound without taking more: within what there is, then.
        bound = deepest;
    }
}

fn members<'c>(
    transaction: &Transaction,
    shared: &'c Shared,
    old: &OldRows,
    ids: &[ContentId],
) -> Result<Vec<Member<'c>>> {
    let room = (SAMPLES_MAX / ids.len().max(1)).min(SAMPLE_LEN) / 16 * 16;
    let open = |id: &ContentId| -> Result<Member<'c>> {
        let row = old.0.get(id).cloned();
        let row = row.ok_or_else(|| damaged(*id, 0)(&"missing from the catalogue"))?;
        let chain = Chain::open(shared, old, RecordKind::Tensor, *id, row.clone())?;
        let code = chain.record().header().dtype_code;
        let dtype = Dtype::from_code(code).unwrap_or(Dtype::Unknown("".into()));
        let (id, chain, fixed) = (*id, Arc::new(chain), row.formula != 0);
        let (sketch, sample, hidden) = (None, Vec::new(), false);
        Ok(Member { id, row, dtype, chain, fixed, hidden, sketch, sample })
    };
    let mut members = ids.iter().map(open).collect::<Result<Vec<_>>>()?;
    for member in &mut members {
        member.sketch = kept_sketch(transaction.tables()?, member.id, &member.dtype)?;
    }
    members.par_iter_mut().try_for_each(|member| {
        member.chain.check()?;
        member.sample = sample(&member.chain, room)?;
        Ok::<_, Error>(())
    })?;
    Ok(members)
}

/// Writes what a plan changes. Keeps it when that saves more than `worth`.
fn write_plan(
    transaction: &mut Transaction,
    members: &[Member<'_>],
    BasePlan { base: plan, kept, .. }: &BasePlan,
    worth: u64,
    how: &Repack,
) -> Result<Outcome> {
    let depths: Vec<u8> = (0..plan.len()).map(|at| depth(members, plan, at)).collect();
    let present = |at: usize| plan[at].map(|base| members[base].id);
    let changed = |at: &usize| {
        if !kept[*at] {
            return false;
        }
        let row = &members[*at].row;
        let base = Some(row.base_id).filter(|id| !id.is_none());
        // One that counts more than it need be deep could not be stood on at its depth.
        !members[*at].fixed && (base != present(*at) || depths[*at] != row.depth)
    };
    let changed: Vec<usize> = (0..plan.len()).filter(changed).collect();
    let reserved = transaction.records.reserved.len();
    let mut replacements: Vec<Replacement> = Vec::new();
    let gone = || (0..plan.len()).filter(|at| !kept[*at]);
    let mut before: u64 = gone().map(|at| members[at].row.len).sum();
    let mut after = 0;
    for at in changed {
        let base = plan[at].map(|base| (&members[base], depths[at]));
        let row = write_member(transaction, &members[at], base, how)?;
        before += members[at].row.len;
        after += row.len;
        replacements.push((at, row));
    }
    if after + worth >= before {
        while transaction.records.reserved.len() > reserved {
            transaction.records.give_back_last();
        }
        return Ok(Outcome::default());
    }
    if !how.dry_run {
        replace(transaction, members, &replacements)?;
    }
    let (changed, freed) = (replacements.len() as u64, gone().count() as u64);
    Ok(Outcome { changed, freed, saved: before - after })
}

/// Encodes a content against `base`, at this depth, or alone, whichever is shorter.
fn write_member(
    transaction: &mut Transaction,
    member: &Member<'_>,
    base: Option<(&Member<'_>, u8)>,
    how: &Repack,
) -> Result<RecordRow> {
    let (id, len) = (member.id, member.row.raw_len);
    let basis = base.map(|(base, depth)| Basis::plain(vec![Arc::clone(&base.chain)], Some(depth)));
    let wrong = || damaged(id, member.row.offset)(&"the content hashes to another id");
    // What a row of so many stored bytes would be, without its place.
    let dry = |stored_len: u64, alone: bool| RecordRow {
        len: member.row.len - member.row.stored_len + stored_len,
        stored_len,
        depth: if alone { 0 } else { member.row.depth },
        ..member.row.clone()
    };
    let source = Before(Arc::clone(&member.chain));
    let shape = Shape::new(&[len]).map_err(|error| damaged(id, 0)(&error))?;
    if len <= slab_len() as u64 {
        let mut bytes = vec![0; len as usize];
        member.chain.read(0, &mut bytes, Checks::First)?;
        if ContentId::of(&bytes) != id {
            return Err(wrong());
        }
        let tensor = NewTensor::from_bytes("", member.dtype.clone(), shape, &bytes);
        let bases = basis.into_iter().collect();
        let encoded = encode_best(how.profile, &tensor, &bytes, bases)?;
        if how.dry_run {
            return Ok(dry(encoded.len(), encoded.basis.is_none()));
        }
        return write_encoded(transaction, id, &member.dtype, &encoded, &bytes);
    }
    let tensor = NewTensor::from_source("", member.dtype.clone(), shape, len, &source);
    let mut arena = std::mem::take(&mut transaction.records.arena);
    if how.dry_run {
        let len = dry_len(&tensor, basis.as_ref(), how.profile, &mut arena)?;
        transaction.records.arena = arena;
        return Ok(dry(len, basis.is_none()));
    }
    let survey = survey(&tensor, &mut arena, &|_| ())?;
    transaction.records.arena = arena;
    if survey.id != id {
        return Err(wrong());
    }
    transaction.records.stream(&tensor, id, basis.as_ref(), &survey.sums, how.profile)
}

/// Puts new records in the place of the old ones. What something new stands on is counted
/// first, so that nothing is freed that is still needed.
fn replace(
    transaction: &mut Transaction,
    members: &[Member<'_>],
    replacements: &[Replacement],
) -> Result<()> {
    for (at, new) in replacements {
        for base in new.bases() {
            transaction.references.change_row(Table::Tensors, base, |base| base.dependents += 1)?;
        }
        transaction.references.change_row(Table::Tensors, members[*at].id, |row| {
            let (holders, dependents) = (row.holders, row.dependents);
            *row = RecordRow { holders, dependents, ..new.clone() };
        })?;
        transaction.references.free_place(members[*at].row.extent());
    }
    for (at, _) in replacements {
        for base in members[*at].row.bases() {
            let row = transaction.references.change_row(Table::Tensors, base, |base| {
                base.dependents = base.dependents.saturating_sub(1);
            })?;
            transaction.references.free_if_unneeded(base, row)?;
        }
    }
    Ok(())
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

/// What formulas stand on.
fn over_formulas(old: &OldRows) -> HashSet<ContentId> {
    old.0.values().filter(|row| row.formula != 0).flat_map(RecordRow::bases).collect()
}

/// Depth of a content under a plan.
fn depth(members: &[Member<'_>], plan: &[Option<usize>], mut at: usize) -> u8 {
    let mut depth = 0u8;
    loop {
        if members[at].fixed {
            return depth.saturating_add(members[at].row.depth);
        }
        let Some(base) = plan[at] else { return depth };
        (at, depth) = (base, depth.saturating_add(1));
    }
}

/// How many bytes a long tensor would take against `basis`, or alone.
fn dry_len(
    tensor: &NewTensor<'_>,
    basis: Option<&Basis<'_>>,
    profile: Profile,
    arena: &mut Vec<u8>,
) -> Result<u64> {
    let (lane, mut len) = (Lane::of(&tensor.dtype), 0);
    for_slabs(tensor, arena, &mut |start, slab| {
        len += match basis {
            Some(basis) => delta_chunks(profile, lane, slab, start, basis)?,
            None => alone_chunks(profile, lane, slab),
        }
        .stored_len();
        Ok(())
    })?;
    Ok(len)
}
