//! A record as it travels, in a pack or out of another store: nothing it says is believed.

use super::outgoing::packed_head_len;
use crate::codec::{self, Encoding, Lane};
use crate::format::{CHUNK_ENTRY_LEN, ChunkEntry, RECORD_HEADER_LEN, RecordHeader, RecordKind};
use crate::store::error::{Result, StoreError, damaged};
use crate::store::read::formula::{StoredFormula, base_ids};
use crate::store::source::TensorSource;
use crate::tensor::{ContentId, Dtype};

/// The longest header, index and formula that are believed: the index of a tensor of 8 TiB.
const HEAD_LEN_MAX: u64 = 1 << 27;

/// What stands before the payload of a record, checked.
#[derive(Debug)]
pub(crate) struct PackedHead {
    pub(crate) header: RecordHeader,
    /// What follows the header, up to the payload.
    pub(in crate::store) index: Vec<u8>,
    pub(in crate::store) entries: Vec<ChunkEntry>,
    pub(in crate::store) formula: Option<StoredFormula>,
}

fn read(id: ContentId, source: &dyn TensorSource, offset: u64, out: &mut [u8]) -> Result<()> {
    let failed = |source| StoreError::Source { tensor: id.to_string(), source };
    source.read_at(offset, out).map_err(failed)
}

fn wrong(id: ContentId, reason: &dyn std::fmt::Display) -> StoreError {
    damaged(id, 0)(&format!("as it came: {reason}"))
}

impl PackedHead {
    /// Reads the head of a record of `len` bytes that is to hold this content.
    ///
    /// # Errors
    ///
    /// [`StoreError::DamagedRecord`] when it is not what it must be; [`StoreError::Source`].
    pub(crate) fn read(
        kind: RecordKind,
        id: ContentId,
        len: u64,
        source: &dyn TensorSource,
    ) -> Result<Self> {
        let wrong = |reason: &str| wrong(id, &reason);
        let mut head = vec![0; RECORD_HEADER_LEN];
        read(id, source, 0, &mut head)?;
        let header = RecordHeader::decode(&head).map_err(|error| wrong(&error.to_string()))?;
        let head_len = u64::from(header.payload_offset);
        let index_end = header.formula_at().saturating_add(header.formula_len.into());
        if (header.kind, header.content_id) != (kind, id) {
            return Err(wrong("another content"));
        }
        if header.record_len() != len || head_len > HEAD_LEN_MAX {
            return Err(wrong(&format!("{} bytes in {len}", header.record_len())));
        }
        if head_len != packed_head_len(index_end) {
            return Err(wrong(&format!("its payload begins at {head_len}")));
        }
        let mut index = vec![0; head_len as usize - RECORD_HEADER_LEN];
        read(id, source, RECORD_HEADER_LEN as u64, &mut index)?;
        let (entries, formula) = index.split_at(header.index_len() as usize);
        if crc32fast::hash(entries) != header.index_crc {
            return Err(wrong("checksum of the chunk index"));
        }
        let formula = match header.formula_len {
            0 => None,
            len => {
                let read = StoredFormula::read(&header, &formula[..len as usize]);
                Some(read.map_err(|reason| wrong(&reason))?)
            }
        };
        let entries: Vec<ChunkEntry> = entries
            .chunks(CHUNK_ENTRY_LEN)
            .map(|entry| ChunkEntry::decode(entry).map_err(|error| wrong(&error.to_string())))
            .collect::<Result<_>>()?;
        Ok(PackedHead { header, index, entries, formula })
    }

    /// What the record is decoded from.
    pub(crate) fn bases(&self) -> Vec<ContentId> {
        base_ids(&self.header, self.formula.as_ref())
    }

    /// Checks the payload: every checksum, and of a record that stands alone its content's id.
    /// `content` is given the bytes of that, chunk by chunk. Memory: two chunks.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub(crate) fn check_payload(
        &self,
        source: &dyn TensorSource,
        content: &mut dyn FnMut(&[u8]),
    ) -> Result<()> {
        let header = &self.header;
        let id = header.content_id;
        let lane =
            Dtype::from_code(header.dtype_code).map_or(Lane::BYTES, |dtype| Lane::of(&dtype));
        let alone = self.bases().is_empty();
        let mut hasher = blake3::Hasher::new();
        let (mut at, mut left) = (u64::from(header.payload_offset), header.raw_len);
        let (mut stored, mut out) = (Vec::new(), Vec::new());
        for (number, entry) in self.entries.iter().enumerate() {
            let wrong = |reason: String| wrong(id, &format!("chunk {number}: {reason}"));
            let len = u64::from(entry.stored_len);
            let end = at.saturating_add(len);
            if len > 2 * header.chunk_len() || end > header.record_len() {
                return Err(wrong(format!("{len} bytes at {at}")));
            }
            stored.resize(len as usize, 0);
            read(id, source, at, &mut stored)?;
            if crc32fast::hash(&stored) != entry.crc {
                return Err(wrong("its checksum".to_owned()));
            }
            let encoding = Encoding::from_code(entry.encoding)
                .ok_or_else(|| wrong(format!("encoding {}", entry.encoding)))?;
            let chunk_len = left.min(header.chunk_len());
            if alone {
                if encoding.needs_base() {
                    return Err(wrong("a difference without a base".to_owned()));
                }
                out.clear();
                out.resize(chunk_len as usize, 0);
                codec::decode(encoding, lane, &stored, &mut out)
                    .map_err(|error| wrong(error.to_string()))?;
                hasher.update(&out);
                content(&out);
            }
            (at, left) = (end, left - chunk_len);
        }
        if at != header.record_len() {
            return Err(wrong(id, &format!("chunks up to {at} in {}", header.record_len())));
        }
        if alone && ContentId::from(hasher.finalize()) != id {
            return Err(wrong(id, &"the content hashes to another id"));
        }
        Ok(())
    }
}
