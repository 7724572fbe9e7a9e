//! Records on their way into the file: reserve a place, write the payload, then header and index.

use super::Result;
use super::encode::{CHUNK_LEN, EncodedChunks};
use super::record::{Chain, encodings_used};
use super::transaction::Transaction;
use crate::catalog::RecordRow;
use crate::codec::Encoding;
use crate::container::RecordPlace;
use crate::format::{
    CHUNK_ENTRY_LEN, CHUNK_LOG2, ChunkEntry, Extent, FEATURE_ORDERED, RECORD_ALIGN,
    RECORD_HEADER_LEN, RecordHeader, RecordKind,
};
use crate::tensor::{ContentId, Dtype};

/// What the header of a record to be written will say.
#[derive(Debug)]
pub(super) struct RecordDraft {
    kind: RecordKind,
    id: ContentId,
    dtype_code: u8,
    raw_len: u64,
    base_id: ContentId,
    depth: u8,
}

impl RecordDraft {
    pub(super) fn tensor(
        id: ContentId,
        dtype: &Dtype,
        raw_len: u64,
        base: Option<&Chain<'_>>,
    ) -> Self {
        let header = base.map(|chain| chain.record().header());
        RecordDraft {
            kind: RecordKind::Tensor,
            id,
            dtype_code: dtype.code(),
            raw_len,
            base_id: header.map_or(ContentId::NONE, |header| header.content_id),
            depth: header.map_or(0, |header| header.depth + 1),
        }
    }

    pub(super) fn plain(kind: RecordKind, id: ContentId, raw_len: u64) -> Self {
        let dtype_code = Dtype::UNKNOWN_CODE;
        RecordDraft { kind, id, dtype_code, raw_len, base_id: ContentId::NONE, depth: 0 }
    }

    /// Bytes of header and chunk index.
    fn head_len(&self) -> u64 {
        let chunks = self.raw_len.div_ceil(CHUNK_LEN as u64);
        RECORD_HEADER_LEN as u64 + chunks * CHUNK_ENTRY_LEN as u64
    }
}

impl Transaction {
    pub(super) fn reserve(&mut self, draft: &RecordDraft, stored_len: u64) -> Result<RecordPlace> {
        let raw = draft.kind == RecordKind::Tensor && draft.base_id.is_none();
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
        if encodings >> Encoding::Ordered.code() & 1 == 1 {
            // In the superblock with the first sync of the commit, before it can be seen.
            self.shared.container.require_features(FEATURE_ORDERED, 0);
        }
        Ok(RecordRow {
            offset: place.offset,
            len,
            raw_len: draft.raw_len,
            stored_len,
            base_id: draft.base_id,
            depth: draft.depth,
            encodings,
            holders: 0,
            dependents: 0,
        })
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
        };
        let mut head = header.encode();
        head.extend_from_slice(&index);
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
}
