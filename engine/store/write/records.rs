//! Records on their way into the file: reserve a place, write the payload, then header and index.

use std::io;
use std::sync::Arc;

use crate::catalog::RecordRow;
use crate::codec::formula::{
    ABSMAX_F8_CODE, CAST_F8_CODE, DECAY_CODE, INCREMENT_CODE, SCALED_F8_CODE,
};
use crate::codec::{Encoding, Lane, Profile};
use crate::container::RecordPlace;
use crate::format::{
    CHUNK_ENTRY_LEN, CHUNK_LEN, CHUNK_LOG2, ChunkEntry, Extent, FEATURE_ABSMAX_F8, FEATURE_CAST_F8,
    FEATURE_DECAY, FEATURE_ENTROPY, FEATURE_FACTOR_DELTA, FEATURE_FLOAT_DELTA,
    FEATURE_FLOAT_DELTA_2, FEATURE_FORMULA, FEATURE_INCREMENT, FEATURE_INT_DELTA,
    FEATURE_RICE_DELTA, FEATURE_SCALED_F8, FEATURE_SPARSE_DELTA, RECORD_ALIGN, RECORD_HEADER_LEN,
    RecordHeader, RecordKind,
};
use crate::store::base::chunks::{EncodedChunks, plain_chunk, raw_entries, standalone_chunks};
use crate::store::base::encode::delta_chunks;
use crate::store::base::prediction::Prediction;
use crate::store::error::{Result, StoreError};
use crate::store::read::formula::StoredFormula;
use crate::store::read::record::encodings_used;
use crate::store::shared::Shared;
use crate::store::slabs::for_slabs;
use crate::store::source::NewTensor;
use crate::tensor::{ContentId, Dtype};

/// What a reader must know to read a chunk of this encoding.
fn feature_of(encoding: Encoding) -> u64 {
    match encoding {
        Encoding::Raw | Encoding::Unchanged | Encoding::Lz4 | Encoding::XorPlanesLz4 => 0,
        Encoding::FloatDelta => FEATURE_FLOAT_DELTA,
        Encoding::RiceDelta => FEATURE_RICE_DELTA,
        Encoding::Entropy => FEATURE_ENTROPY,
        Encoding::IntDelta => FEATURE_INT_DELTA,
        Encoding::FactorDelta => FEATURE_FACTOR_DELTA,
        Encoding::SparseDelta => FEATURE_SPARSE_DELTA,
        Encoding::FloatDelta2 => FEATURE_FLOAT_DELTA_2,
    }
}

/// What a reader must know to read a record of these encodings and of a formula of this code.
pub(crate) fn features_of(encodings: u32, formula: Option<u8>) -> u64 {
    let of_formula = match formula {
        None => 0,
        Some(INCREMENT_CODE) => FEATURE_FORMULA | FEATURE_INCREMENT,
        Some(ABSMAX_F8_CODE) => FEATURE_FORMULA | FEATURE_ABSMAX_F8,
        Some(CAST_F8_CODE) => FEATURE_FORMULA | FEATURE_CAST_F8,
        Some(DECAY_CODE) => FEATURE_FORMULA | FEATURE_DECAY,
        Some(SCALED_F8_CODE) => FEATURE_FORMULA | FEATURE_SCALED_F8,
        Some(_) => FEATURE_FORMULA,
    };
    let used = Encoding::ALL.into_iter().filter(|one| encodings >> one.code() & 1 == 1);
    used.fold(of_formula, |features, one| features | feature_of(one))
}

/// What the header of a record to be written will say.
#[derive(Debug)]
pub(in crate::store) struct RecordDraft {
    kind: RecordKind,
    id: ContentId,
    dtype_code: u8,
    raw_len: u64,
    base_id: ContentId,
    more_bases: Vec<ContentId>,
    depth: u8,
    /// The formula's bytes; empty without one.
    formula: Vec<u8>,
}

impl RecordDraft {
    pub(in crate::store) fn tensor(
        id: ContentId,
        dtype: &Dtype,
        raw_len: u64,
        base: Option<&Prediction<'_>>,
    ) -> Self {
        let formula = base.and_then(|base| base.formula.as_ref()).map(StoredFormula::encode);
        RecordDraft {
            kind: RecordKind::Tensor,
            id,
            dtype_code: dtype.code(),
            raw_len,
            base_id: base.map_or(ContentId::NONE, Prediction::base_id),
            more_bases: base.map_or(Vec::new(), Prediction::more_bases),
            depth: base.map_or(0, Prediction::depth),
            formula: formula.unwrap_or_default(),
        }
    }

    pub(in crate::store) fn plain(kind: RecordKind, id: ContentId, raw_len: u64) -> Self {
        RecordDraft {
            kind,
            id,
            dtype_code: Dtype::UNKNOWN_CODE,
            raw_len,
            base_id: ContentId::NONE,
            more_bases: Vec::new(),
            depth: 0,
            formula: Vec::new(),
        }
    }

    /// Bytes of header, chunk index and formula.
    fn head_len(&self) -> u64 {
        let chunks = self.raw_len.div_ceil(CHUNK_LEN as u64);
        let formula = self.formula.len() as u64;
        RECORD_HEADER_LEN as u64 + chunks * CHUNK_ENTRY_LEN as u64 + formula
    }

    /// The row of a record at this place, which nothing needs yet.
    fn row(&self, offset: u64, payload_offset: u32, stored_len: u64, encodings: u32) -> RecordRow {
        RecordRow {
            offset,
            len: u64::from(payload_offset) + stored_len,
            raw_len: self.raw_len,
            stored_len,
            base_id: self.base_id,
            depth: self.depth,
            formula: self.formula.first().copied().unwrap_or(0),
            encodings,
            holders: 0,
            dependents: 0,
            more_bases: self.more_bases.clone(),
        }
    }

    /// The row of a record with this number of stored bytes that is not written.
    pub(in crate::store) fn dry_row(&self, stored_len: u64) -> RecordRow {
        // Longer heads than a row can tell are refused where a place is reserved.
        let payload_offset = u32::try_from(self.head_len().next_multiple_of(RECORD_ALIGN));
        self.row(0, payload_offset.unwrap_or(u32::MAX), stored_len, 0)
    }
}

/// Writes records: reserves a place, writes the payload, then header and index; releases reserved
/// bytes that are not needed.
#[derive(Debug)]
pub(in crate::store) struct RecordWriter {
    shared: Arc<Shared>,
    /// The commit that the records are of.
    sequence: u64,
    /// Places written in this transaction: free again if it is dropped.
    pub(in crate::store) reserved: Vec<Extent>,
    /// Memory for reading sources into, kept from batch to batch.
    pub(in crate::store) arena: Vec<u8>,
}

impl RecordWriter {
    pub(in crate::store) fn new(shared: Arc<Shared>, sequence: u64) -> Self {
        RecordWriter { shared, sequence, reserved: Vec::new(), arena: Vec::new() }
    }

    /// Releases every reserved place.
    pub(in crate::store) fn give_back_all(&mut self) {
        self.shared.forget(self.reserved.iter().map(|extent| extent.offset));
        for extent in self.reserved.drain(..) {
            self.shared.container.give_back(extent);
        }
    }

    pub(in crate::store) fn reserve(
        &mut self,
        draft: &RecordDraft,
        stored_len: u64,
    ) -> Result<RecordPlace> {
        let raw = draft.kind == RecordKind::Tensor
            && draft.base_id.is_none()
            && stored_len == draft.raw_len;
        let place = self.shared.container.reserve(draft.head_len(), stored_len, raw)?;
        self.reserved.push(Extent { offset: place.offset, len: place.len });
        Ok(place)
    }

    /// Releases the place that was reserved last.
    pub(in crate::store) fn give_back_last(&mut self) {
        if let Some(extent) = self.reserved.pop() {
            self.shared.forget([extent.offset]);
            self.shared.container.give_back(extent);
        }
    }

    /// Writes header and index of a record whose payload is written, and releases the reserved
    /// bytes after it.
    pub(in crate::store) fn finish_record(
        &mut self,
        draft: &RecordDraft,
        place: RecordPlace,
        entries: &[ChunkEntry],
        stored_len: u64,
    ) -> Result<RecordRow> {
        let head = self.record_head(draft, place, entries, stored_len);
        self.shared.container.write(place.offset, &head)?;
        let len = u64::from(place.payload_offset) + stored_len;
        let used = len.next_multiple_of(RECORD_ALIGN);
        if let Some(extent) = self.reserved.last_mut()
            && extent.len > used
        {
            let tail = Extent { offset: extent.offset + used, len: extent.len - used };
            extent.len = len;
            self.shared.container.give_back(tail);
        }
        let encodings = encodings_used(entries);
        self.require_features_of(encodings, draft.formula.first().copied());
        Ok(draft.row(place.offset, place.payload_offset, stored_len, encodings))
    }

    /// Flags what a reader must know to read a record.
    pub(in crate::store) fn require_features_of(&self, encodings: u32, formula: Option<u8>) {
        let features = features_of(encodings, formula);
        if features != 0 {
            // In the superblock with the first sync of the commit, before it can be seen.
            self.shared.container.require_features(features, 0);
        }
    }

    /// Header and chunk index, up to where the payload begins.
    fn record_head(
        &self,
        draft: &RecordDraft,
        place: RecordPlace,
        entries: &[ChunkEntry],
        stored_len: u64,
    ) -> Vec<u8> {
        let index = ChunkEntry::encode_all(entries);
        let [a, b, c, d, ..] = self.shared.container.superblock().store_id;
        let header = RecordHeader {
            kind: draft.kind,
            dtype_code: draft.dtype_code,
            chunk_log2: CHUNK_LOG2,
            depth: draft.depth,
            payload_offset: place.payload_offset,
            raw_len: draft.raw_len,
            stored_len,
            content_id: draft.id,
            base_id: draft.base_id,
            sequence: self.sequence,
            store_tag: [a, b, c, d],
            index_crc: crc32fast::hash(&index),
            formula_len: draft.formula.len() as u32,
            formula_crc: crc32fast::hash(&draft.formula),
        };
        let mut head = header.encode();
        head.extend_from_slice(&index);
        head.extend_from_slice(&draft.formula);
        head.resize(place.payload_offset as usize, 0);
        head
    }

    /// Writes a whole record. `content` stands for chunks that are stored as they are.
    pub(in crate::store) fn write_record(
        &mut self,
        draft: &RecordDraft,
        chunks: &EncodedChunks,
        content: &[u8],
    ) -> Result<RecordRow> {
        let stored_len = chunks.stored_len();
        let place = self.reserve(draft, stored_len)?;
        let joined;
        let payload = if chunks.stored.is_empty() {
            content
        } else {
            joined = chunks.stored.concat();
            &joined
        };
        let container = &self.shared.container;
        container.write(place.offset + u64::from(place.payload_offset), payload)?;
        self.finish_record(draft, place, &chunks.entries, stored_len)
    }

    /// Writes a whole record of text, compressed where that helps, piece by piece.
    pub(in crate::store) fn write_plain(
        &mut self,
        draft: &RecordDraft,
        bytes: &[u8],
    ) -> Result<RecordRow> {
        let place = self.reserve(draft, bytes.len() as u64)?;
        let payload_at = place.offset + u64::from(place.payload_offset);
        let (mut entries, mut stored_len) = (Vec::new(), 0);
        for chunk in bytes.chunks(CHUNK_LEN) {
            let (entry, stored) = plain_chunk(chunk);
            self.shared.container.write(payload_at + stored_len, &stored)?;
            stored_len += stored.len() as u64;
            entries.push(entry);
        }
        self.finish_record(draft, place, &entries, stored_len)
    }

    /// Writes the record of a long tensor slab by slab: as a difference from `prediction`, or alone
    /// where there is none or the difference turns out no shorter. `sums` tell whether the source
    /// is still what it was when they were taken.
    pub(in crate::store) fn stream(
        &mut self,
        tensor: &NewTensor<'_>,
        id: ContentId,
        prediction: Option<&Prediction<'_>>,
        sums: &[ChunkEntry],
        profile: Profile,
    ) -> Result<RecordRow> {
        let mut arena = std::mem::take(&mut self.arena);
        let mut row = None;
        if prediction.is_some() {
            row = self.stream_record(tensor, id, prediction, sums, (profile, &mut arena))?;
        }
        if row.is_none() {
            row = self.stream_record(tensor, id, None, sums, (profile, &mut arena))?;
        }
        self.arena = arena;
        row.ok_or(StoreError::OutOfMemory { bytes: tensor.byte_len })
    }

    /// Writes a record slab by slab: as a difference from `base`, or alone. `None` when the
    /// difference turns out no shorter than the tensor.
    fn stream_record(
        &mut self,
        tensor: &NewTensor<'_>,
        id: ContentId,
        base: Option<&Prediction<'_>>,
        sums: &[ChunkEntry],
        (profile, arena): (Profile, &mut Vec<u8>),
    ) -> Result<Option<RecordRow>> {
        let mut draft = RecordDraft::tensor(id, &tensor.dtype, tensor.byte_len, base);
        let place = self.reserve(&draft, tensor.byte_len)?;
        let payload_at = place.offset + u64::from(place.payload_offset);
        let mut entries: Vec<ChunkEntry> = Vec::new();
        let mut stored_len = 0u64;
        let mut needs_base = false;
        let lane = Lane::of(&tensor.dtype);
        let container = Arc::clone(&self.shared.container);
        for_slabs(tensor, arena, &mut |start, slab| {
            let now = raw_entries(slab);
            let first = start as usize / CHUNK_LEN;
            if sums.get(first..first + now.len()) != Some(now.as_slice()) {
                let changed = io::Error::other("the source has changed while it was read");
                return Err(StoreError::Source {
                    tensor: tensor.name.to_string(),
                    source: changed,
                });
            }
            let chunks = match base {
                Some(base) => delta_chunks(profile, lane, slab, start, base)?,
                None => standalone_chunks(profile, lane, slab),
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
