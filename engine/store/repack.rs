//! Bases chosen anew over a whole store: other bytes in the file, the same contents.
//!
//! Contents of one length are a group, which is planned as a whole from pieces of its contents and
//! then written. Everything is read as it was before, so that contents may change places as each
//! other's bases; rows are changed when a group has turned out smaller.

use std::collections::{HashMap, HashSet};
use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;

use rayon::prelude::*;

use super::basis::Basis;
use super::chain::{Chain, Checks};
use super::choice::encode_best;
use super::encode::{alone_chunks, delta_chunks, raw_entries};
use super::error::damaged;
use super::ingest::{for_slabs, slab_len};
use super::model::read_manifest;
use super::new_model::TensorSource;
use super::sketches::kept_sketch;
use super::transaction::Transaction;
use super::{Error, NewTensor, Result};
use crate::catalog::{CatalogError, ReadTables, RecordRow, Row, Table, Visitor};
use crate::codec::{self, Lane, Profile};
use crate::format::{FEATURE_DEPTH_GAPS, Operation, RecordKind};
use crate::planning::{BaseCosts, CHAIN_DEPTH_MAX, Sketch, plan_bases};
use crate::tensor::{ContentId, Dtype, Shape};

/// Of a content's kin by their sketches all are tried as its base, up to so many; of more, the
/// nearest and the most central: under a low bound many stand on one that is next to few of them.
const ALL_MAX: usize = 24;
const NEAR_MAX: usize = 6;
const CENTRAL_MAX: usize = 4;
/// So many kin are known of a content.
const KIN_MAX: usize = 64;
/// So many contents to either side, in the order of models, are compared by their sketches.
const WINDOW: usize = 512;
/// Bytes of a content by which differences are judged, in two pieces.
const SAMPLE_LEN: usize = 1 << 18;
/// Bytes of samples that are held at once.
const SAMPLES_MAX: usize = 256 << 20;

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
struct OldRows(HashMap<ContentId, RecordRow>);

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
struct Member<'c> {
    id: ContentId,
    row: RecordRow,
    dtype: Dtype,
    chain: Arc<Chain<'c>>,
    /// Whether it stays as it is.
    fixed: bool,
    sketch: Option<Sketch>,
    sample: Vec<u8>,
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

impl Transaction {
    /// Chooses the bases of all tensors anew, so that they take the least room under a bound on
    /// the depth of chains. Contents, models and the graph stay as they are, and so do tensors
    /// that are stored as a formula of others or belong to a pinned model. What would not become
    /// smaller stays as it is, also where its chains are longer than asked for: nothing ever takes
    /// more room than before.
    ///
    /// `progress` is told the bytes of content done since it was last called.
    ///
    /// Cost: reads every content, encodes pieces of each against a few others, and what changes
    /// once. Memory: a row a tensor, and at most 256 MiB of pieces.
    ///
    /// # Errors
    ///
    /// A damaged tensor; those of the disk. After an error the transaction must be dropped.
    pub fn repack(&mut self, how: &Repack, progress: &dyn Fn(u64)) -> Result<RepackReport> {
        self.check_whole()?;
        self.profile = how.profile;
        let report = self.change(|this| {
            let old = OldRows(this.tensor_rows()?);
            let mut report = RepackReport::default();
            let measure = |rows: &HashMap<ContentId, RecordRow>| {
                let bytes = rows.values().map(|row| row.len).sum();
                (bytes, rows.values().map(|row| row.depth).max().unwrap_or(0))
            };
            report.tensors = old.0.len() as u64;
            (report.before_bytes, report.before_depth) = measure(&old.0);
            let (shared, pinned) = (this.shared_arc(), this.pinned_contents()?);
            let mut saved = 0;
            for ids in this.groups(&old)? {
                let len = ids.iter().filter_map(|id| old.0.get(id)).map(|row| row.raw_len).sum();
                if ids.len() > 1 {
                    let replaced = this.repack_group(&shared, (&old, &pinned), &ids, how)?;
                    report.changed += replaced.0;
                    saved += replaced.1;
                }
                progress(len);
            }
            (report.after_bytes, report.after_depth) = match how.dry_run {
                true => (report.before_bytes - saved, report.before_depth.min(how.depth_max)),
                false => measure(&this.note_gaps()?),
            };
            Ok(report)
        })?;
        if report.changed > 0 && !how.dry_run {
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

    /// The contents of each length, in the order in which models name them; hidden ones last.
    fn groups(&self, old: &OldRows) -> Result<Vec<Vec<ContentId>>> {
        let mut place: HashMap<u64, usize> = HashMap::new();
        let mut groups: Vec<Vec<ContentId>> = Vec::new();
        let mut named = HashSet::new();
        for node in self.graph()?.nodes()? {
            let manifest = read_manifest(&self.shared, self.tables()?, node.row.manifest)?;
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

    /// How many contents were changed, and how many bytes that saves.
    fn repack_group(
        &mut self,
        shared: &super::open::Shared,
        (old, pinned): (&OldRows, &HashSet<ContentId>),
        ids: &[ContentId],
        how: &Repack,
    ) -> Result<(u64, u64)> {
        let mut members = self.members(shared, old, ids)?;
        for member in &mut members {
            member.fixed |= pinned.contains(&member.id);
        }
        let mut costs = costs(&members, old, how);
        let limits = costs.depth_max.clone();
        let deepest = members.iter().map(|member| member.row.depth).max().unwrap_or(0);
        let mut bound = how.depth_max;
        loop {
            costs.depth_max = limits.iter().map(|limit| bound.min(*limit)).collect();
            let plan = plan_bases(&costs);
            let replaced = self.write_plan(&members, &plan, how)?;
            if replaced.0 > 0 || deepest <= bound {
                return Ok(replaced);
            }
            // Not within the bound without taking more: within what there is, then.
            bound = deepest;
        }
    }

    fn members<'c>(
        &self,
        shared: &'c super::open::Shared,
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
            Ok(Member { id, row, dtype, chain, fixed, sketch: None, sample: Vec::new() })
        };
        let mut members = ids.iter().map(open).collect::<Result<Vec<_>>>()?;
        for member in &mut members {
            member.sketch = kept_sketch(self.tables()?, member.id, &member.dtype)?;
        }
        members.par_iter_mut().try_for_each(|member| {
            member.chain.check()?;
            member.sample = sample(&member.chain, room)?;
            Ok::<_, Error>(())
        })?;
        Ok(members)
    }

    /// Writes what a plan changes. Keeps it when that is smaller.
    fn write_plan(
        &mut self,
        members: &[Member<'_>],
        plan: &[Option<usize>],
        how: &Repack,
    ) -> Result<(u64, u64)> {
        let depths: Vec<u8> = (0..plan.len()).map(|at| depth(members, plan, at)).collect();
        let present = |at: usize| plan[at].map(|base| members[base].id);
        let changed = |at: &usize| {
            let row = &members[*at].row;
            let base = Some(row.base_id).filter(|id| !id.is_none());
            // One that counts more than it need be deep could not be stood on at its depth.
            !members[*at].fixed && (base != present(*at) || depths[*at] != row.depth)
        };
        let changed: Vec<usize> = (0..plan.len()).filter(changed).collect();
        let reserved = self.reserved.len();
        let mut replacements: Vec<Replacement> = Vec::new();
        let (mut before, mut after) = (0, 0);
        for at in changed {
            let base = plan[at].map(|base| (&members[base], depths[at]));
            let row = self.write_member(&members[at], base, how)?;
            before += members[at].row.len;
            after += row.len;
            replacements.push((at, row));
        }
        if after >= before {
            while self.reserved.len() > reserved {
                self.give_back_last();
            }
            return Ok((0, 0));
        }
        if !how.dry_run {
            self.replace(members, &replacements)?;
        }
        Ok((replacements.len() as u64, before - after))
    }

    /// Encodes a content against `base`, at this depth, or alone, whichever is shorter.
    fn write_member(
        &mut self,
        member: &Member<'_>,
        base: Option<(&Member<'_>, u8)>,
        how: &Repack,
    ) -> Result<RecordRow> {
        let (id, len) = (member.id, member.row.raw_len);
        let basis =
            base.map(|(base, depth)| Basis::plain(vec![Arc::clone(&base.chain)], Some(depth)));
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
            return self.write_encoded(id, &member.dtype, &encoded, &bytes);
        }
        let tensor = NewTensor::from_source("", member.dtype.clone(), shape, len, &source);
        let mut arena = std::mem::take(&mut self.arena);
        let (mut hasher, mut sums, mut dry_len) = (blake3::Hasher::new(), Vec::new(), 0);
        let lane = Lane::of(&member.dtype);
        for_slabs(&tensor, &mut arena, &mut |start, slab| {
            hasher.update_rayon(slab);
            sums.extend(raw_entries(slab));
            if how.dry_run {
                dry_len += match &basis {
                    Some(basis) => delta_chunks(how.profile, lane, slab, start, basis)?,
                    None => alone_chunks(how.profile, lane, slab),
                }
                .stored_len();
            }
            Ok(())
        })?;
        if ContentId::from(hasher.finalize()) != id {
            return Err(wrong());
        }
        let mut row = None;
        if how.dry_run {
            row = Some(dry(dry_len, basis.is_none()));
        } else if basis.is_some() {
            row = self.stream_record(&tensor, id, basis.as_ref(), &sums, &mut arena)?;
        }
        if row.is_none() {
            row = self.stream_record(&tensor, id, None, &sums, &mut arena)?;
        }
        self.arena = arena;
        row.ok_or(Error::OutOfMemory { bytes: len })
    }

    /// Puts new records in the place of the old ones. What something new stands on is counted
    /// first, so that nothing is freed that is still needed.
    fn replace(&mut self, members: &[Member<'_>], replacements: &[Replacement]) -> Result<()> {
        for (at, new) in replacements {
            for base in new.bases() {
                self.change_row(Table::Tensors, base, |base| base.dependents += 1)?;
            }
            self.change_row(Table::Tensors, members[*at].id, |row| {
                let (holders, dependents) = (row.holders, row.dependents);
                *row = RecordRow { holders, dependents, ..new.clone() };
            })?;
            self.free_place(members[*at].row.extent());
        }
        for (at, _) in replacements {
            for base in members[*at].row.bases() {
                let row = self.change_row(Table::Tensors, base, |base| {
                    base.dependents = base.dependents.saturating_sub(1);
                })?;
                self.free_if_unneeded(base, row)?;
            }
        }
        Ok(())
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

/// Two pieces of a content, `room` bytes together; all of a short one.
fn sample(chain: &Chain<'_>, room: usize) -> Result<Vec<u8>> {
    let len = chain.raw_len();
    if len <= room as u64 {
        let mut bytes = vec![0; len as usize];
        chain.read(0, &mut bytes, Checks::First)?;
        return Ok(bytes);
    }
    let mut bytes = vec![0; room];
    let half = room / 2;
    let (first, second) = bytes.split_at_mut(half);
    chain.read(len / 4 / 16 * 16, first, Checks::First)?;
    chain.read((len - len / 4 - half as u64) / 16 * 16, second, Checks::First)?;
    Ok(bytes)
}

/// What the contents of a group take alone and against each other, as far as it is tried.
fn costs(members: &[Member<'_>], old: &OldRows, how: &Repack) -> BaseCosts {
    let places: HashMap<ContentId, usize> =
        members.iter().enumerate().map(|(at, member)| (member.id, at)).collect();
    let scaled = |member: &Member<'_>, len: usize| {
        let sample = member.sample.len().max(1) as u128;
        (len as u128 * u128::from(member.row.raw_len) / sample) as u64
    };
    let mut near = near(members);
    for at in 0..members.len() {
        for other in near[at].clone() {
            if !near[other].contains(&at) {
                near[other].push(at);
            }
        }
    }
    let present: Vec<Option<usize>> = members
        .iter()
        .map(|member| places.get(&member.row.base_id).copied().filter(|_| !member.fixed))
        .collect();
    let measure = |at: usize| -> (u64, Vec<(usize, u64)>) {
        let member = &members[at];
        let lane = Lane::of(&member.dtype);
        let mut out = Vec::new();
        codec::encode_alone(how.profile, lane, &member.sample, &mut out);
        let mut alone = scaled(member, out.len());
        if member.row.base_id.is_none() {
            alone = alone.min(member.row.stored_len);
        }
        let mut edges = Vec::new();
        if member.fixed {
            return (alone, edges);
        }
        for base in near[at].iter().chain(present[at].iter()) {
            let now = present[at] == Some(*base);
            if edges.iter().any(|(known, _)| known == base) {
                continue;
            }
            out.clear();
            let cost = if now {
                member.row.stored_len
            } else {
                codec::encode_delta(
                    how.profile,
                    lane,
                    &member.sample,
                    &members[*base].sample,
                    &mut out,
                );
                scaled(member, out.len())
            };
            edges.push((*base, cost));
        }
        (alone, edges)
    };
    let (alone, edges) = (0..members.len()).into_par_iter().map(measure).unzip();
    let fixed = members.iter().map(|member| member.fixed.then_some(member.row.depth)).collect();
    let mut depth_max = vec![u8::MAX; members.len()];
    for row in old.0.values().filter(|row| row.formula != 0) {
        // What stands on a formula's base keeps its header.
        for at in row.bases().filter_map(|base| places.get(&base)) {
            depth_max[*at] = depth_max[*at].min(row.depth.saturating_sub(1));
        }
    }
    BaseCosts { alone, edges, present, fixed, depth_max }
}

/// For each content those that are worth trying as its base, by their sketches.
fn near(members: &[Member<'_>]) -> Vec<Vec<usize>> {
    let kin: Vec<Vec<(f64, usize)>> =
        (0..members.len()).into_par_iter().map(|at| kin(members, at)).collect();
    let central: Vec<f64> =
        kin.iter().map(|kin| kin.iter().map(|(saved, _)| saved).sum()).collect();
    let some = |kin: &Vec<(f64, usize)>| -> Vec<usize> {
        let mut kin: Vec<usize> = kin.iter().map(|(_, other)| *other).collect();
        if kin.len() > ALL_MAX {
            kin[NEAR_MAX..].sort_by(|a, b| central[*b].total_cmp(&central[*a]).then(a.cmp(b)));
            kin.truncate(NEAR_MAX + CENTRAL_MAX);
        }
        kin
    };
    kin.iter().map(some).collect()
}

/// The contents that one resembles, the nearest first, and the bits an element that each saves.
fn kin(members: &[Member<'_>], at: usize) -> Vec<(f64, usize)> {
    let Some(sketch) = &members[at].sketch else { return Vec::new() };
    let window = at.saturating_sub(WINDOW)..members.len().min(at + WINDOW + 1);
    let saved = |other: usize| {
        let there = members[other].sketch.as_ref().filter(|there| there.dtype() == sketch.dtype());
        let estimate = there.filter(|_| other != at)?.estimate(sketch)?;
        let saved = sketch.alone_bits() - estimate.bits;
        (saved > 0.0).then_some((saved, other))
    };
    let mut kin: Vec<(f64, usize)> = window.filter_map(saved).collect();
    kin.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.abs_diff(at).cmp(&b.1.abs_diff(at))));
    kin.truncate(KIN_MAX);
    kin
}
