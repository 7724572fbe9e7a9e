//! Tensors into records: hash, find what is there, choose a base, encode, write.
//!
//! Short tensors go in batches, each read once into memory; a long tensor goes slab by slab, read
//! once for its hash and once more when it is new. Memory is bounded by the batch, whatever the
//! model.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::sync::PoisonError;

use rayon::prelude::*;

use super::new_model::{ImportReport, NewTensor, Source};
use crate::catalog::{RecordRow, Table};
use crate::codec::Lane;
use crate::format::{ChunkEntry, RecordKind};
use crate::planning::{Sketch, Sketcher};
use crate::store::base::candidates::{Candidates, OpenCandidate};
use crate::store::base::encode::{CHUNK_LEN, alone_chunks, delta_chunks, raw_entries};
use crate::store::base::prediction::Basis;
use crate::store::base::select::{Encoded, best_by_sample, encode_best, first_chunk};
use crate::store::error::{Error, Result};
use crate::store::read::chain::Chain;
use crate::store::read::record::record_row;
use crate::store::write::records::RecordDraft;
use crate::store::write::transaction::Transaction;
use crate::tensor::ContentId;

/// A longer tensor goes slab by slab: two chunks for every core, at most 16 MiB. Small enough to
/// stay in the cache between reading, hashing and writing, and to be had without many page faults.
pub(in crate::store) fn slab_len() -> usize {
    (rayon::current_num_threads() * 2 * CHUNK_LEN).clamp(4 << 20, 16 << 20) / CHUNK_LEN * CHUNK_LEN
}

/// Short tensors are taken together up to this many bytes.
fn batch_len() -> usize {
    2 * slab_len()
}

/// Memory for [`batch_len`] bytes. It is zero without being touched, so that its pages are made
/// by the threads that fill it, and only as far as it is filled.
pub(in crate::store) fn fit_arena(arena: &mut Vec<u8>) {
    if arena.len() < batch_len() {
        *arena = vec![0; batch_len()];
    }
}

/// A longer stream is put into a temporary file.
const SETTLED_IN_MEMORY_MAX: u64 = 16 << 20;
/// Pieces in which bytes are read and hashed while they are in the cache.
const PIECE_LEN: usize = 1 << 18;

/// A tensor on its way in.
#[derive(Debug)]
pub(in crate::store) struct Incoming<'m, 'a> {
    pub(in crate::store) tensor: &'m NewTensor<'a>,
    /// Its place among the model's tensors.
    pub(in crate::store) at: usize,
}

/// Short tensors are taken together up to this many.
const BATCH_TENSORS_MAX: usize = 4096;

/// Reads the streams of a model's tensors, which can be read only once, to memory or to a
/// temporary file in `folder`.
pub(in crate::store) fn settle_readers(
    tensors: &mut [&mut NewTensor<'_>],
    folder: &std::path::Path,
) -> Result<()> {
    for tensor in tensors {
        let Source::Reader(reader) = &mut tensor.source else { continue };
        let len = tensor.byte_len;
        let reader = reader.get_mut().unwrap_or_else(PoisonError::into_inner);
        let settled = settle(reader, len, folder)
            .map_err(|source| Error::Source { tensor: tensor.name.to_string(), source })?;
        tensor.source = Source::ReadAt(settled);
    }
    Ok(())
}

struct InMemory(Vec<u8>);
struct InFile(File);

impl super::new_model::TensorSource for InMemory {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let part = start.checked_add(out.len()).and_then(|end| self.0.get(start..end));
        out.copy_from_slice(part.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

impl super::new_model::TensorSource for InFile {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(out, offset)
    }
}

fn settle(
    reader: &mut dyn Read,
    len: u64,
    folder: &std::path::Path,
) -> io::Result<Box<dyn super::new_model::TensorSource>> {
    // One byte more than there must be, to notice that there are more.
    let mut reader = reader.take(len.saturating_add(1));
    let wrong = |found: u64| {
        let message = format!("the stream has {found} bytes or more, {len} were announced");
        Err(io::Error::new(io::ErrorKind::InvalidData, message))
    };
    if len <= SETTLED_IN_MEMORY_MAX {
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes)?;
        return match bytes.len() as u64 {
            found if found == len => Ok(Box::new(InMemory(bytes))),
            found => wrong(found),
        };
    }
    let mut file = tempfile::tempfile_in(folder)?;
    let found = io::copy(&mut reader, &mut file)?;
    file.flush()?;
    if found == len { Ok(Box::new(InFile(file))) } else { wrong(found) }
}

/// Fills `out` with the bytes of `tensor` from `offset` on.
pub(in crate::store) fn read_source(
    tensor: &NewTensor<'_>,
    offset: u64,
    out: &mut [u8],
) -> Result<()> {
    let failed = |source| Error::Source { tensor: tensor.name.to_string(), source };
    match &tensor.source {
        Source::ReadAt(source) => source.read_at(offset, out).map_err(failed),
        Source::Shared(source, at) => source.read_tensor_at(*at, offset, out).map_err(failed),
        Source::Borrowed(source) => source.read_at(offset, out).map_err(failed),
        // Bytes are at hand, readers are settled: neither comes here.
        Source::Bytes(_) | Source::Reader(_) => Err(failed(io::ErrorKind::Unsupported.into())),
    }
}

/// The id of a tensor whose bytes are read into `out` meanwhile.
fn read_and_hash(tensor: &NewTensor<'_>, out: &mut [u8]) -> Result<ContentId> {
    let mut hasher = blake3::Hasher::new();
    for (at, piece) in out.chunks_mut(PIECE_LEN).enumerate() {
        read_source(tensor, (at * PIECE_LEN) as u64, piece)?;
        hasher.update(piece);
    }
    Ok(hasher.finalize().into())
}

impl Transaction {
    /// Brings every tensor into the store, coded against one of `bases` where there are any, and
    /// gives their ids back, in order.
    pub(in crate::store) fn ingest<'m, 'a: 'm>(
        &mut self,
        incoming: impl Iterator<Item = Incoming<'m, 'a>>,
        bases: Option<&Candidates>,
        report: &mut ImportReport,
        progress: &dyn Fn(u64),
    ) -> Result<Vec<ContentId>> {
        let mut ids = Vec::with_capacity(incoming.size_hint().0);
        let mut incoming = incoming.peekable();
        let mut batch = Vec::new();
        while let Some(first) = incoming.next() {
            if first.tensor.byte_len > slab_len() as u64 {
                ids.push(self.ingest_long(&first, bases, report, progress)?);
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
            ids.extend(self.ingest_batch(&batch, bases, report)?);
            progress(total);
            batch.clear();
        }
        Ok(ids)
    }

    fn ingest_batch(
        &mut self,
        batch: &[Incoming<'_, '_>],
        bases: Option<&Candidates>,
        report: &mut ImportReport,
    ) -> Result<Vec<ContentId>> {
        let mut arena = std::mem::take(&mut self.arena);
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
        let ids = self.store_loaded(batch, bases, &loaded, report)?;
        self.arena = arena;
        Ok(ids)
    }

    /// Stores what is new among tensors that are in memory.
    fn store_loaded(
        &mut self,
        batch: &[Incoming<'_, '_>],
        bases: Option<&Candidates>,
        loaded: &[(ContentId, &[u8])],
        report: &mut ImportReport,
    ) -> Result<Vec<ContentId>> {
        let shared = self.shared_arc();
        let mut fresh = Vec::new();
        let mut fresh_ids = HashSet::new();
        let mut known = Vec::new();
        for (incoming, (id, bytes)) in batch.iter().zip(loaded) {
            if !fresh_ids.contains(id) {
                match self.known_content(&shared, *id, bytes.len() as u64)? {
                    Some(chain) => known.push(chain),
                    None => {
                        fresh_ids.insert(*id);
                        let chains = self.open_all(&shared, *id, incoming, bases)?;
                        fresh.push((incoming.tensor, *id, *bytes, chains));
                        continue;
                    }
                }
            }
            report.deduplicated += 1;
            report.deduplicated_bytes += bytes.len() as u64;
        }
        known.par_iter().try_for_each(Chain::check)?;
        let profile = self.profile;
        let encoded: Vec<Encoded<'_>> = fresh
            .par_iter()
            .map(|(tensor, _, bytes, chains)| {
                encode_best(profile, tensor, bytes, Basis::of_candidates(tensor, bytes, chains)?)
            })
            .collect::<Result<_>>()?;
        for ((tensor, id, bytes, _), encoded) in fresh.iter().zip(encoded) {
            let row = self.write_encoded(*id, &tensor.dtype, &encoded, bytes)?;
            self.note_stored(report, &row, encoded.len())?;
            self.insert_tensor(*id, row)?;
            self.put_sketch(*id, &Sketch::of(&tensor.dtype, bytes))?;
        }
        Ok(loaded.iter().map(|(id, _)| *id).collect())
    }

    /// What a tensor of `id` may be coded against, opened.
    fn open_all<'c>(
        &self,
        shared: &'c crate::store::open::Shared,
        id: ContentId,
        incoming: &Incoming<'_, '_>,
        bases: Option<&Candidates>,
    ) -> Result<Vec<OpenCandidate<'c>>> {
        let Some(bases) = bases else { return Ok(Vec::new()) };
        let candidates = self.candidates_of(bases, incoming.at, &incoming.tensor.name)?;
        self.open_candidates(shared, id, &candidates)
    }

    /// The chain of a content that is in the store; its length agrees. Its checksums are still to
    /// be checked, all along the chain: the bytes at hand may be the only good ones.
    pub(in crate::store) fn known_content<'c>(
        &self,
        shared: &'c crate::store::open::Shared,
        id: ContentId,
        len: u64,
    ) -> Result<Option<Chain<'c>>> {
        let Some(row) = record_row(self.tables()?, Table::Tensors, id.as_bytes())? else {
            return Ok(None);
        };
        if row.raw_len != len {
            let reason = format!("{} bytes stored of a content of {len}", row.raw_len);
            return Err(crate::store::error::damaged(id, row.offset)(&reason));
        }
        Chain::open(shared, self.tables()?, RecordKind::Tensor, id, row).map(Some)
    }

    fn note_stored(
        &mut self,
        report: &mut ImportReport,
        row: &RecordRow,
        stored_len: u64,
    ) -> Result<()> {
        if row.base_id.is_none() {
            report.raw += 1;
            report.raw_bytes += row.raw_len;
        } else {
            report.delta += 1;
            report.delta_bytes += row.raw_len;
            report.delta_stored_bytes += stored_len;
        }
        report.added_bytes += row.len;
        Ok(())
    }

    /// Adds a row of a content, which keeps its promise, if there is one. Gives back the row as it
    /// is then.
    pub(in crate::store) fn insert_tensor(
        &mut self,
        id: ContentId,
        mut row: RecordRow,
    ) -> Result<RecordRow> {
        row.holders = row.holders.saturating_add(self.keep_promise(id)?);
        for base in row.bases() {
            self.change_row(Table::Tensors, base, |base| base.dependents += 1)?;
        }
        self.put_row(Table::Tensors, id, &row)?;
        Ok(row)
    }

    /// Stores a tensor that is not taken into memory at once.
    fn ingest_long(
        &mut self,
        incoming: &Incoming<'_, '_>,
        bases: Option<&Candidates>,
        report: &mut ImportReport,
        progress: &dyn Fn(u64),
    ) -> Result<ContentId> {
        let tensor = incoming.tensor;
        let shared = self.shared_arc();
        let mut arena = std::mem::take(&mut self.arena);
        let mut hasher = blake3::Hasher::new();
        // The checksums tell, in the second pass, whether the source is still the same.
        let mut sums: Vec<ChunkEntry> = Vec::new();
        let mut sketcher = Sketcher::new(&tensor.dtype, tensor.byte_len);
        for_slabs(tensor, &mut arena, &mut |start, slab| {
            sketcher.feed(start, slab);
            let (_, entries) = rayon::join(|| hasher.update_rayon(slab), || raw_entries(slab));
            sums.extend(entries);
            progress(slab.len() as u64);
            Ok(())
        })?;
        let id: ContentId = hasher.finalize().into();
        if let Some(known) = self.known_content(&shared, id, tensor.byte_len)? {
            known.check()?;
            report.deduplicated += 1;
            report.deduplicated_bytes += tensor.byte_len;
            self.arena = arena;
            return Ok(id);
        }
        let chains = self.open_all(&shared, id, incoming, bases)?;
        let sample = first_chunk(tensor, &mut arena)?;
        let bases = Basis::of_candidates(tensor, sample, &chains)?;
        let best = best_by_sample(self.profile, tensor, bases, &mut arena)?;
        // Alone in any case, when the difference turns out no shorter.
        let mut row = None;
        if let Some(basis) = &best {
            row = self.stream_record(tensor, id, Some(basis), &sums, &mut arena)?;
        }
        if row.is_none() {
            row = self.stream_record(tensor, id, None, &sums, &mut arena)?;
        }
        self.arena = arena;
        let row = row.ok_or(Error::OutOfMemory { bytes: tensor.byte_len })?;
        let stored_len = row.stored_len;
        self.note_stored(report, &row, stored_len)?;
        self.insert_tensor(id, row)?;
        self.put_sketch(id, &sketcher.finish())?;
        Ok(id)
    }

    /// Writes a record slab by slab: as a difference from `base`, or alone. `None` when the
    /// difference turns out no shorter than the tensor.
    pub(in crate::store) fn stream_record(
        &mut self,
        tensor: &NewTensor<'_>,
        id: ContentId,
        base: Option<&Basis<'_>>,
        sums: &[ChunkEntry],
        arena: &mut Vec<u8>,
    ) -> Result<Option<RecordRow>> {
        let mut draft = RecordDraft::tensor(id, &tensor.dtype, tensor.byte_len, base);
        let place = self.reserve(&draft, tensor.byte_len)?;
        let payload_at = place.offset + u64::from(place.payload_offset);
        let mut entries: Vec<ChunkEntry> = Vec::new();
        let mut stored_len = 0u64;
        let mut needs_base = false;
        let (profile, lane) = (self.profile, Lane::of(&tensor.dtype));
        let container = std::sync::Arc::clone(&self.shared_arc().container);
        for_slabs(tensor, arena, &mut |start, slab| {
            let now = raw_entries(slab);
            let first = start as usize / CHUNK_LEN;
            if sums.get(first..first + now.len()) != Some(now.as_slice()) {
                let changed = io::Error::other("the source has changed while it was read");
                return Err(Error::Source { tensor: tensor.name.to_string(), source: changed });
            }
            let chunks = match base {
                Some(base) => delta_chunks(profile, lane, slab, start, base)?,
                None => alone_chunks(profile, lane, slab),
            };
            needs_base |= chunks.needs_base();
            if chunks.stored.is_empty() {
                container.write(payload_at + stored_len, slab)?;
            } else {
                container.write(payload_at + stored_len, &chunks.stored.concat())?;
            }
            stored_len += chunks.stored_len();
            entries.extend(chunks.entries);
            Ok(())
        })?;
        if base.is_some() && stored_len >= tensor.byte_len {
            self.give_back_last();
            return Ok(None);
        }
        if !needs_base {
            draft = RecordDraft::tensor(id, &tensor.dtype, tensor.byte_len, None);
        }
        self.finish_record(&draft, place, &entries, stored_len).map(Some)
    }
}

/// Calls `work` with every slab of a tensor and its offset.
pub(in crate::store) fn for_slabs(
    tensor: &NewTensor<'_>,
    arena: &mut Vec<u8>,
    work: &mut dyn FnMut(u64, &[u8]) -> Result<()>,
) -> Result<()> {
    if let Source::Bytes(bytes) = tensor.source {
        let mut slabs = bytes.chunks(slab_len()).enumerate();
        return slabs.try_for_each(|(at, slab)| work((at * slab_len()) as u64, slab));
    }
    fit_arena(arena);
    let mut start = 0;
    while start < tensor.byte_len {
        let len = (tensor.byte_len - start).min(slab_len() as u64);
        let slab = &mut arena[..len as usize];
        // On all cores: copying out of the page cache takes as long as hashing does.
        slab.par_chunks_mut(CHUNK_LEN).enumerate().try_for_each(|(at, piece)| {
            read_source(tensor, start + (at * CHUNK_LEN) as u64, piece)
        })?;
        work(start, slab)?;
        start += len;
    }
    Ok(())
}
