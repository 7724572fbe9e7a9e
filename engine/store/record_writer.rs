//! Records on their way into the file: reserve a place, write the payload, then header and index.

use super::Result;
use super::basis::Basis;
use super::choice::Encoded;
use super::encode::{CHUNK_LEN, EncodedChunks, plain_chunk};
use super::formula::StoredFormula;
use super::record::{encodings_used, record_row};
use super::transaction::Transaction;
use crate::catalog::{RecordRow, Table};
use crate::codec::Encoding;
use crate::codec::formula::INCREMENT_CODE;
use crate::container::RecordPlace;
use crate::format::{
    CHUNK_ENTRY_LEN, CHUNK_LOG2, ChunkEntry, Extent, FEATURE_ALONE, FEATURE_FORMULA,
    FEATURE_INCREMENT, FEATURE_ORDERED, FEATURE_RICE, FEATURE_STEPPED, RECORD_ALIGN,
    RECORD_HEADER_LEN, RecordHeader, RecordKind,
};
use crate::tensor::{ContentId, Dtype};

/// What a reader must know to read a chunk of this encoding.
fn feature_of(encoding: Encoding) -> u64 {
    match encoding {
        Encoding::Raw | Encoding::Unchanged | Encoding::Lz4 | Encoding::XorPlanesLz4 => 0,
        Encoding::Ordered => FEATURE_ORDERED,
        Encoding::Rice => FEATURE_RICE,
        Encoding::Alone => FEATURE_ALONE,
        Encoding::Stepped => FEATURE_STEPPED,
    }
}

/// What a reader must know to read a record of these encodings and of a formula of this code.
pub(crate) fn features_of(encodings: u32, formula: Option<u8>) -> u64 {
    let of_formula = match formula {
        None => 0,
        Some(INCREMENT_CODE) => FEATURE_FORMULA | FEATURE_INCREMENT,
        Some(_) => FEATURE_FORMULA,
    };
    let used = Encoding::ALL.into_iter().filter(|one| encodings >> one.code() & 1 == 1);
    used.fold(of_formula, |features, one| features | feature_of(one))
}

/// What the header of a record to be written will say.
#[derive(Debug)]
pub(super) struct RecordDraft {
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
    pub(super) fn tensor(
        id: ContentId,
        dtype: &Dtype,
        raw_len: u64,
        base: Option<&Basis<'_>>,
    ) -> Self {
        let formula = base.and_then(|base| base.formula.as_ref()).map(StoredFormula::encode);
        RecordDraft {
            kind: RecordKind::Tensor,
            id,
            dtype_code: dtype.code(),
            raw_len,
            base_id: base.map_or(ContentId::NONE, Basis::base_id),
            more_bases: base.map_or(Vec::new(), Basis::more_bases),
            depth: base.map_or(0, Basis::depth),
            formula: formula.unwrap_or_default(),
        }
    }

    pub(super) fn plain(kind: RecordKind, id: ContentId, raw_len: u64) -> Self {
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

    /// The row of a record of so many stored bytes that is not written.
    pub(super) fn dry_row(&self, stored_len: u64) -> RecordRow {
        // Longer heads than a row can tell are refused where a place is reserved.
        let payload_offset = u32::try_from(self.head_len().next_multiple_of(RECORD_ALIGN));
        self.row(0, payload_offset.unwrap_or(u32::MAX), stored_len, 0)
    }
}

impl Transaction {
    pub(super) fn reserve(&mut self, draft: &RecordDraft, stored_len: u64) -> Result<RecordPlace> {
        let raw = draft.kind == RecordKind::Tensor
            && draft.base_id.is_none()
            && stored_len == draft.raw_len;
        let place = self.shared.container.reserve(draft.head_len(), stored_len, raw)?;
        self.reserved.push(Extent { offset: place.offset, len: place.len });
        Ok(place)
    }

    /// Gives back the place that was reserved last.
    pub(super) fn give_back_last(&mut self) {
        if let Some(extent) = self.reserved.pop() {
            self.shared.forget([extent.offset]);
            self.shared.container.give_back(extent);
        }
    }

    /// Writes header and index of a record whose payload is written, and gives back what was
    /// reserved behind it.
    pub(super) fn finish_record(
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
    pub(super) fn require_features_of(&self, encodings: u32, formula: Option<u8>) {
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
    pub(super) fn write_record(
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
    pub(super) fn write_plain(&mut self, draft: &RecordDraft, bytes: &[u8]) -> Result<RecordRow> {
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

    /// Writes an encoded tensor, and first the contents that it stands on and that are not in the
    /// store: hidden, as long as it needs them.
    pub(super) fn write_encoded(
        &mut self,
        id: ContentId,
        dtype: &Dtype,
        encoded: &Encoded<'_>,
        content: &[u8],
    ) -> Result<RecordRow> {
        for loose in encoded.basis.iter().flat_map(|basis| &basis.loose) {
            let key = loose.content_id;
            if record_row(self.tables()?, Table::Tensors, key.as_bytes())?.is_none() {
                let len = loose.bytes.len() as u64;
                let draft = RecordDraft::tensor(key, &Dtype::F32, len, None);
                let row = self.write_record(&draft, &loose.chunks, &loose.bytes)?;
                self.insert_tensor(key, row)?;
            }
        }
        let base = encoded.basis.as_ref();
        let draft = RecordDraft::tensor(id, dtype, content.len() as u64, base);
        self.write_record(&draft, &encoded.chunks, content)
    }
}
