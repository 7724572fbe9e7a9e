//! Tensors into records: hash, find what is there, choose a base, encode, write.
//!
//! Short tensors go in batches, each read once into memory; a long tensor goes slab by slab, read
//! once for its hash and once more when it is new. Memory is bounded by the batch, whatever the
//! model.

use std::collections::HashSet;

use rayon::prelude::*;

use super::new_model::ImportReport;
use crate::catalog::RecordRow;
use crate::planning::Sketch;
use crate::store::base::candidate::OpenCandidate;
use crate::store::base::candidates::Candidates;
use crate::store::base::policy::EncodePolicy;
use crate::store::base::prediction::Prediction;
use crate::store::base::select::{Encoded, select_encoding};
use crate::store::error::Result;
use crate::store::read::chain::Chain;
use crate::store::shared::Shared;
use crate::store::slabs::{batch_len, fit_arena, read_and_hash, slab_len};
use crate::store::source::{NewTensor, Source};
use crate::store::write::put::{Put, known_content, put, write_encoded};
use crate::store::write::sketches::put_sketch;
use crate::store::write::transaction::Transaction;
use crate::tensor::ContentId;

/// A tensor on its way in.
#[derive(Debug)]
pub(in crate::store) struct Incoming<'m, 'a> {
    pub(in crate::store) tensor: &'m NewTensor<'a>,
    /// Its place among the model's tensors.
    pub(in crate::store) at: usize,
}

/// How tensors are brought in.
pub(in crate::store) struct Intake<'h> {
    /// What they may be coded against; nothing where they are to be raw.
    pub(in crate::store) bases: Option<&'h Candidates>,
    pub(in crate::store) policy: EncodePolicy,
    /// Is told the bytes that are done.
    pub(in crate::store) progress: &'h (dyn Fn(u64) + Sync),
}

/// Short tensors are taken together up to this many.
const BATCH_TENSORS_MAX: usize = 4096;

/// Brings every tensor into the store, coded against what is at hand where there is
/// anything. Returns their ids, in order.
pub(in crate::store) fn ingest<'m, 'a: 'm>(
    transaction: &mut Transaction,
    incoming: impl Iterator<Item = Incoming<'m, 'a>>,
    how: &Intake<'_>,
    report: &mut ImportReport,
) -> Result<Vec<ContentId>> {
    let mut ids = Vec::with_capacity(incoming.size_hint().0);
    let mut incoming = incoming.peekable();
    let mut batch = Vec::new();
    while let Some(first) = incoming.next() {
        if first.tensor.byte_len > slab_len() as u64 {
            ids.push(ingest_long(transaction, &first, how, report)?);
            continue;
        }
        let mut total = first.tensor.byte_len;
        batch.push(first);
        while batch.len() < BATCH_TENSORS_MAX
            && let Some(next) = incoming.next_if(|next| {
                let len = next.tensor.byte_len;
                len <= slab_len() as u64 && total + len <= batch_len() as u64
            })
        {
            total += next.tensor.byte_len;
            batch.push(next);
        }
        ids.extend(ingest_batch(transaction, &batch, how, report)?);
        batch.clear();
    }
    Ok(ids)
}

fn ingest_batch(
    transaction: &mut Transaction,
    batch: &[Incoming<'_, '_>],
    how: &Intake<'_>,
    report: &mut ImportReport,
) -> Result<Vec<ContentId>> {
    let mut arena = std::mem::take(&mut transaction.records.arena);
    let in_arena =
        |incoming: &&Incoming<'_, '_>| !matches!(incoming.tensor.source, Source::Bytes(_));
    fit_arena(&mut arena);
    let mut room = arena.as_mut_slice();
    let mut slots: Vec<(&Incoming<'_, '_>, &mut [u8])> = Vec::new();
    for incoming in batch {
        let len = if in_arena(&incoming) { incoming.tensor.byte_len as usize } else { 0 };
        let (slot, behind) = room.split_at_mut(len);
        room = behind;
        slots.push((incoming, slot));
    }
    let loaded: Vec<(ContentId, &[u8])> = slots
        .into_par_iter()
        .map(|(incoming, slot)| match incoming.tensor.source {
            Source::Bytes(bytes) => Ok((ContentId::of(bytes), bytes)),
            _ => Ok((read_and_hash(incoming.tensor, slot)?, &*slot)),
        })
        .collect::<Result<_>>()?;
    let ids = store_loaded(transaction, batch, how, &loaded, report)?;
    transaction.records.arena = arena;
    Ok(ids)
}

/// Stores what is new among tensors that are in memory.
fn store_loaded(
    transaction: &mut Transaction,
    batch: &[Incoming<'_, '_>],
    how: &Intake<'_>,
    loaded: &[(ContentId, &[u8])],
    report: &mut ImportReport,
) -> Result<Vec<ContentId>> {
    let shared = transaction.shared_arc();
    let mut fresh = Vec::new();
    let mut fresh_ids = HashSet::new();
    let mut known = Vec::new();
    for (incoming, (id, bytes)) in batch.iter().zip(loaded) {
        if !fresh_ids.contains(id) {
            match known_content(transaction, &shared, *id, bytes.len() as u64)? {
                Some(chain) => known.push(chain),
                None => {
                    fresh_ids.insert(*id);
                    let chains = open_all(transaction, &shared, *id, incoming, how)?;
                    fresh.push((incoming.tensor, *id, *bytes, chains));
                    continue;
                }
            }
        }
        report.deduplicated += 1;
        report.deduplicated_bytes += bytes.len() as u64;
        (how.progress)(bytes.len() as u64);
    }
    known.par_iter().try_for_each(Chain::check)?;
    let profile = how.policy.profile;
    let encoded: Vec<Encoded<'_>> = fresh
        .par_iter()
        .map(|(tensor, _, bytes, chains)| {
            let predictions = Prediction::of_candidates(tensor, bytes, chains)?;
            let encoded = select_encoding(profile, tensor, bytes, predictions)?;
            (how.progress)(bytes.len() as u64);
            Ok(encoded)
        })
        .collect::<Result<_>>()?;
    for ((tensor, id, bytes, _), encoded) in fresh.iter().zip(encoded) {
        let row = write_encoded(transaction, *id, &tensor.dtype, &encoded, bytes)?;
        note_stored(report, &row, encoded.len());
        transaction.references.insert_tensor(*id, row)?;
        put_sketch(transaction.tables_mut()?, *id, &Sketch::of(&tensor.dtype, bytes))?;
    }
    Ok(loaded.iter().map(|(id, _)| *id).collect())
}

/// What a tensor of `id` may be coded against, opened.
fn open_all<'c>(
    transaction: &Transaction,
    shared: &'c Shared,
    id: ContentId,
    incoming: &Incoming<'_, '_>,
    how: &Intake<'_>,
) -> Result<Vec<OpenCandidate<'c>>> {
    let Some(bases) = how.bases else { return Ok(Vec::new()) };
    let finder = transaction.finder(shared, how.policy)?;
    let candidates = finder.candidates_of(bases, incoming.at, &incoming.tensor.name)?;
    finder.open_candidates(id, &candidates)
}

fn note_stored(report: &mut ImportReport, row: &RecordRow, stored_len: u64) {
    if row.base_id.is_none() {
        report.raw += 1;
        report.raw_bytes += row.raw_len;
    } else {
        report.delta += 1;
        report.delta_bytes += row.raw_len;
        report.delta_stored_bytes += stored_len;
    }
    report.added_bytes += row.len;
}

/// Stores a tensor that is not taken into memory at once.
fn ingest_long(
    transaction: &mut Transaction,
    incoming: &Incoming<'_, '_>,
    how: &Intake<'_>,
    report: &mut ImportReport,
) -> Result<ContentId> {
    let shared = transaction.shared_arc();
    let tensor = incoming.tensor;
    let mut bases = |transaction: &Transaction, id: ContentId, sample: &[u8]| {
        let chains = open_all(transaction, &shared, id, incoming, how)?;
        Prediction::of_candidates(tensor, sample, &chains)
    };
    let Put { id, row, sketch } = put(transaction, tensor, &mut bases, how.policy, how.progress)?;
    let Some((row, stored_len)) = row else {
        report.deduplicated += 1;
        report.deduplicated_bytes += tensor.byte_len;
        return Ok(id);
    };
    note_stored(report, &row, stored_len);
    transaction.references.insert_tensor(id, row)?;
    put_sketch(transaction.tables_mut()?, id, &sketch)?;
    Ok(id)
}
