//! Contents into the store: looked for, encoded against the best of their bases, written.

use super::records::RecordDraft;
use super::transaction::Transaction;
use crate::catalog::{RecordRow, Table};
use crate::format::{ChunkEntry, RecordKind};
use crate::planning::{Sketch, Sketcher};
use crate::store::base::chunks::raw_entries;
use crate::store::base::policy::EncodePolicy;
use crate::store::base::prediction::Prediction;
use crate::store::base::select::{Encoded, best_by_sample, first_chunk, select_encoding};
use crate::store::error::{Result, StoreError, damaged};
use crate::store::read::chain::{Chain, Verify};
use crate::store::read::record::record_row;
use crate::store::shared::Shared;
use crate::store::slabs::{for_slabs, slab_len};
use crate::store::source::{NewTensor, TensorSource};
use crate::tensor::{ContentId, Dtype};

/// The chain of a content that is in the store; its length agrees. Its checksums are still to
/// be checked, all along the chain: the bytes at hand may be the only good ones.
pub(in crate::store) fn known_content<'c>(
    transaction: &Transaction,
    shared: &'c Shared,
    id: ContentId,
    len: u64,
) -> Result<Option<Chain<'c>>> {
    let Some(row) = record_row(transaction.tables()?, Table::Tensors, id.as_bytes())? else {
        return Ok(None);
    };
    if row.raw_len != len {
        let reason = format!("{} bytes stored of a content of {len}", row.raw_len);
        return Err(damaged(id, row.offset)(&reason));
    }
    Chain::open(shared, transaction.tables()?, RecordKind::Tensor, id, row).map(Some)
}

/// Writes an encoded tensor, and first the contents that it stands on and that are not in the
/// store: hidden, as long as it needs them.
pub(in crate::store) fn write_encoded(
    transaction: &mut Transaction,
    id: ContentId,
    dtype: &Dtype,
    encoded: &Encoded<'_>,
    content: &[u8],
) -> Result<RecordRow> {
    for loose in encoded.prediction.iter().flat_map(|prediction| &prediction.unstored) {
        let key = loose.content_id;
        if record_row(transaction.tables()?, Table::Tensors, key.as_bytes())?.is_none() {
            let len = loose.bytes.len() as u64;
            let draft = RecordDraft::tensor(key, &Dtype::F32, len, None);
            let row = transaction.records.write_record(&draft, &loose.chunks, &loose.bytes)?;
            transaction.references.insert_tensor(key, row)?;
        }
    }
    let base = encoded.prediction.as_ref();
    let draft = RecordDraft::tensor(id, dtype, content.len() as u64, base);
    transaction.records.write_record(&draft, &encoded.chunks, content)
}

/// Stores a content raw, which is stored as `old`.
pub(in crate::store) fn store_raw(
    transaction: &mut Transaction,
    id: ContentId,
    old: RecordRow,
) -> Result<RecordRow> {
    let shared = transaction.shared_arc();
    let missing = || damaged(id, old.offset)(&"an unknown element type");
    let chain = Chain::open(&shared, transaction.tables()?, RecordKind::Tensor, id, old.clone())?;
    chain.check()?;
    let code = chain.record().header().dtype_code;
    let unknown = Dtype::from_name("unknown");
    let dtype = match code {
        Dtype::UNKNOWN_CODE => unknown,
        code => Dtype::from_code(code).ok_or_else(missing)?,
    };
    let draft = RecordDraft::tensor(id, &dtype, old.raw_len, None);
    let mut bytes = vec![0; slab_len().min(old.raw_len as usize)];
    let place = transaction.records.reserve(&draft, old.raw_len)?;
    let (mut start, mut entries) = (0, Vec::new());
    let mut hasher = blake3::Hasher::new();
    while start < old.raw_len {
        let len = (old.raw_len - start).min(bytes.len() as u64);
        let part = &mut bytes[..len as usize];
        chain.read(start, part, Verify::Checksums)?;
        hasher.update_rayon(part);
        entries.extend(raw_entries(part));
        let at = place.offset + u64::from(place.payload_offset) + start;
        shared.container.write(at, part)?;
        start += len;
    }
    if ContentId::from(hasher.finalize()) != id {
        return Err(damaged(id, old.offset)(&"the content hashes to another id"));
    }
    let row = transaction.records.finish_record(&draft, place, &entries, old.raw_len)?;
    transaction.references.replace_record(id, old, row.clone())?;
    Ok(row)
}

/// What one pass over a long tensor tells.
pub(in crate::store) struct Survey {
    pub(in crate::store) id: ContentId,
    /// The checksums of its chunks: they tell, in a second pass, whether the source is still the
    /// same.
    pub(in crate::store) sums: Vec<ChunkEntry>,
    pub(in crate::store) sketch: Sketch,
}

/// A pass over a content under way.
pub(in crate::store) struct Surveyor {
    hasher: blake3::Hasher,
    sums: Vec<ChunkEntry>,
    sketcher: Sketcher,
}

impl Surveyor {
    pub(in crate::store) fn new(dtype: &Dtype, byte_len: u64) -> Self {
        let sketcher = Sketcher::new(dtype, byte_len);
        Surveyor { hasher: blake3::Hasher::new(), sums: Vec::new(), sketcher }
    }

    /// Takes the bytes from `start` on, where the last ended: whole chunks, but for the last. On
    /// all cores.
    pub(in crate::store) fn feed(&mut self, start: u64, slab: &[u8]) {
        self.sketcher.feed(start, slab);
        let hasher = &mut self.hasher;
        let (_, entries) = rayon::join(|| hasher.update_rayon(slab), || raw_entries(slab));
        self.sums.extend(entries);
    }

    pub(in crate::store) fn finish(self) -> Survey {
        let (id, sketch) = (self.hasher.finalize().into(), self.sketcher.finish());
        Survey { id, sums: self.sums, sketch }
    }
}

/// Reads a long tensor once, and shows each slab with its offset to `each`. Memory: `arena`.
pub(in crate::store) fn survey(
    tensor: &NewTensor<'_>,
    arena: &mut Vec<u8>,
    each: &mut dyn FnMut(u64, &[u8]) -> Result<()>,
) -> Result<Survey> {
    let mut surveyor = Surveyor::new(&tensor.dtype, tensor.byte_len);
    for_slabs(tensor, arena, &mut |start, slab| {
        surveyor.feed(start, slab);
        each(start, slab)
    })?;
    Ok(surveyor.finish())
}

/// A content that was brought into the store.
pub(in crate::store) struct Put {
    pub(in crate::store) id: ContentId,
    /// Its row, not inserted yet, and the bytes that its chunks and formula take; `None` when the
    /// content was there before.
    pub(in crate::store) row: Option<(RecordRow, u64)>,
    pub(in crate::store) sketch: Sketch,
}

/// What a content may be coded against, once its id and its beginning are known.
pub(in crate::store) type Bases<'b, 'c> =
    dyn FnMut(&Transaction, ContentId, &[u8]) -> Result<Vec<Prediction<'c>>> + 'b;

/// Brings one content into the store: against the best of `bases`, or alone. What is there already
/// is checked, all along its chain: the bytes at hand may be the only good ones.
pub(in crate::store) fn put(
    transaction: &mut Transaction,
    tensor: &NewTensor<'_>,
    bases: &mut Bases<'_, '_>,
    policy: EncodePolicy,
    progress: &dyn Fn(u64),
) -> Result<Put> {
    let shared = transaction.shared_arc();
    if tensor.byte_len <= slab_len() as u64 {
        let mut bytes = vec![0; tensor.byte_len as usize];
        let failed = |source| StoreError::Source { tensor: tensor.name.to_string(), source };
        tensor.read_at(0, &mut bytes).map_err(failed)?;
        let (id, sketch) = (ContentId::of(&bytes), Sketch::of(&tensor.dtype, &bytes));
        progress(tensor.byte_len);
        if let Some(known) = known_content(transaction, &shared, id, tensor.byte_len)? {
            known.check()?;
            return Ok(Put { id, row: None, sketch });
        }
        let bases = bases(transaction, id, &bytes)?;
        let encoded = select_encoding(policy.profile, tensor, &bytes, bases)?;
        let row = write_encoded(transaction, id, &tensor.dtype, &encoded, &bytes)?;
        return Ok(Put { id, row: Some((row, encoded.len())), sketch });
    }
    let mut told = |_, slab: &[u8]| {
        progress(slab.len() as u64);
        Ok(())
    };
    let Survey { id, sums, sketch } = survey(tensor, &mut transaction.records.arena, &mut told)?;
    if let Some(known) = known_content(transaction, &shared, id, tensor.byte_len)? {
        known.check()?;
        return Ok(Put { id, row: None, sketch });
    }
    let mut arena = std::mem::take(&mut transaction.records.arena);
    let sample = first_chunk(tensor, &mut arena)?;
    let bases = bases(transaction, id, sample)?;
    let best = best_by_sample(policy.profile, tensor, bases, &mut arena)?;
    transaction.records.arena = arena;
    let records = &mut transaction.records;
    let row = records.stream(tensor, id, best.as_ref(), &sums, policy.profile)?;
    let stored_len = row.stored_len;
    Ok(Put { id, row: Some((row, stored_len)), sketch })
}
