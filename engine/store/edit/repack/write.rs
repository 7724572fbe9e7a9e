//! A plan of bases written: new records for what it changes, then their rows.

use super::family::Kin;
use super::formulas::Before;
use super::member::Member;
use super::options::Repack;
use crate::catalog::{RecordRow, Table};
use crate::codec::Lane;
use crate::planning::{BasePlan, Stand};
use crate::store::base::chunks::standalone_chunks;
use crate::store::base::encode::delta_chunks;
use crate::store::base::prediction::Prediction;
use crate::store::base::select::select_encoding;
use crate::store::error::{Result, damaged};
use crate::store::read::chain::{VISITS_MAX, Verify};
use crate::store::slabs::slab_len;
use crate::store::source::NewTensor;
use crate::store::write::put::{survey, write_encoded};
use crate::store::write::records::RecordDraft;
use crate::store::write::transaction::Transaction;
use crate::tensor::{ContentId, Shape};

/// A record that takes another's place: the content's place in the family, and its new row.
pub(in crate::store) type Replacement = (usize, RecordRow);

/// The plan of connected members of a family.
pub(in crate::store) struct PartPlan<'p> {
    /// Their places, ascending.
    pub(in crate::store) part: &'p [usize],
    /// In the order of `part`.
    pub(in crate::store) plan: BasePlan,
}

impl PartPlan<'_> {
    /// The members that are kept, and how each is to be stored.
    fn kept(&self) -> impl Iterator<Item = (usize, Stand)> {
        let all = self.part.iter().zip(&self.plan.stand).zip(&self.plan.kept);
        all.filter(|(_, kept)| **kept).map(|((at, stand), _)| (*at, *stand))
    }

    /// The hidden members that go.
    pub(in crate::store) fn gone(&self) -> impl Iterator<Item = usize> {
        self.part.iter().zip(&self.plan.kept).filter(|(_, kept)| !**kept).map(|(at, _)| *at)
    }

    /// For each of the part its depth, and how many records decoding a chunk visits.
    fn heights(&self, kin: &Kin<'_>) -> Vec<(u8, u64)> {
        // What is connected is in the part.
        let place = |at: usize| self.part.binary_search(&at).unwrap_or_default();
        let bases_of = |here: usize| -> Vec<usize> {
            match self.plan.stand[here] {
                Stand::Alone => Vec::new(),
                Stand::On(base) => vec![place(base)],
                Stand::Made(which) => {
                    let bases = &kin.costs.made[self.part[here]][which].bases;
                    bases.iter().map(|base| place(*base)).collect()
                }
            }
        };
        let mut heights: Vec<Option<(u8, u64)>> = vec![None; self.part.len()];
        for start in 0..heights.len() {
            let mut open = vec![start];
            while let Some(here) = open.last().copied() {
                let member = &kin.members[self.part[here]];
                if member.fixed {
                    heights[here] = Some((member.row.depth, member.chain.visits()));
                }
                let bases = bases_of(here);
                let missing = bases.iter().find(|base| heights[**base].is_none());
                match missing.filter(|_| heights[here].is_none()) {
                    Some(base) => open.push(*base),
                    None => {
                        let below = bases.iter().filter_map(|base| heights[*base]);
                        let (depth, visits) = below.fold((None, 1u64), |(depth, sum), below| {
                            (depth.max(Some(below.0)), sum.saturating_add(below.1))
                        });
                        let depth = depth.map_or(0, |depth| depth.saturating_add(1));
                        heights[here].get_or_insert((depth, visits));
                        open.pop();
                    }
                }
            }
        }
        heights.into_iter().map(Option::unwrap_or_default).collect()
    }
}

/// Writes what a plan changes. Keeps it when that saves more than `worth`, and else returns
/// nothing; also where decoding would visit too many records.
pub(in crate::store) fn write_plan(
    transaction: &mut Transaction,
    kin: &Kin<'_>,
    planned: &PartPlan<'_>,
    worth: u64,
    how: &Repack,
) -> Result<Option<Vec<Replacement>>> {
    let members = &kin.members;
    let heights = planned.heights(kin);
    let height = |at: usize| planned.part.binary_search(&at).map_or((0, 0), |here| heights[here]);
    if planned.kept().any(|(at, _)| height(at).1 > VISITS_MAX) {
        return Ok(None);
    }
    // One that counts more than it need be deep could not be stood on at its depth.
    let stays = |at: usize, stand: Stand| {
        let here = stand == kin.costs.present[at] && kin.saved_alone(at) == 0;
        members[at].fixed || (here && height(at).0 == members[at].row.depth)
    };
    let reserved = transaction.records.reserved.len();
    let mut replacements: Vec<Replacement> = Vec::new();
    let mut before: u64 = planned.gone().map(|at| members[at].row.len).sum();
    let mut after = 0;
    for (at, stand) in planned.kept().filter(|(at, stand)| !stays(*at, *stand)) {
        let depth = Some(height(at).0);
        let prediction = match stand {
            Stand::Alone => None,
            Stand::On(base) => Some(Prediction::plain(vec![members[base].chain.clone()], depth)),
            Stand::Made(place) => Some(kin.prediction(&kin.formulas[at][place], depth)),
        };
        let row = write_member(transaction, &members[at], prediction, how)?;
        before += members[at].row.len;
        after += row.len;
        replacements.push((at, row));
    }
    if after + worth >= before {
        while transaction.records.reserved.len() > reserved {
            transaction.records.give_back_last();
        }
        return Ok(None);
    }
    if !how.dry_run {
        replace(transaction, members, &replacements)?;
    }
    Ok(Some(replacements))
}

/// Encodes a content against `prediction` or alone, whichever is shorter.
fn write_member(
    transaction: &mut Transaction,
    member: &Member<'_>,
    prediction: Option<Prediction<'_>>,
    how: &Repack,
) -> Result<RecordRow> {
    let (id, len) = (member.id, member.row.raw_len);
    let wrong = || damaged(id, member.row.offset)(&"the content hashes to another id");
    // What the row would be, without a place.
    let dry = |stored_len: u64, prediction: Option<&Prediction<'_>>| {
        RecordDraft::tensor(id, &member.dtype, len, prediction).dry_row(stored_len)
    };
    let source = Before(member);
    let shape = Shape::new(&[len]).map_err(|error| damaged(id, 0)(&error))?;
    if len <= slab_len() as u64 {
        let mut bytes = vec![0; len as usize];
        member.chain.read(0, &mut bytes, Verify::Checksums)?;
        if ContentId::of(&bytes) != id {
            return Err(wrong());
        }
        let tensor = NewTensor::from_bytes("", member.dtype.clone(), shape, &bytes);
        let bases = prediction.into_iter().collect();
        let encoded = select_encoding(how.profile, &tensor, &bytes, bases)?;
        if how.dry_run {
            return Ok(dry(encoded.chunks.stored_len(), encoded.prediction.as_ref()));
        }
        return write_encoded(transaction, id, &member.dtype, &encoded, &bytes);
    }
    let tensor = NewTensor::from_source("", member.dtype.clone(), shape, len, &source);
    let mut arena = std::mem::take(&mut transaction.records.arena);
    let (lane, mut dry_len) = (Lane::of(&member.dtype), 0);
    let survey = survey(&tensor, &mut arena, &mut |start, slab| {
        if how.dry_run {
            dry_len += match &prediction {
                Some(prediction) => delta_chunks(how.profile, lane, slab, start, prediction)?,
                None => standalone_chunks(how.profile, lane, slab),
            }
            .stored_len();
        }
        Ok(())
    })?;
    transaction.records.arena = arena;
    if survey.id != id {
        return Err(wrong());
    }
    if how.dry_run {
        let prediction = prediction.as_ref().filter(|_| dry_len < len);
        return Ok(dry(dry_len.min(len), prediction));
    }
    transaction.records.stream(&tensor, id, prediction.as_ref(), &survey.sums, how.profile)
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
