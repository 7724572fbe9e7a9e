//! A record: header, chunk index, payload. Tensors, manifests and change records share it.

use super::{ByteReader, ByteWriter, CHAIN_DEPTH_LIMIT, FormatError};
use crate::tensor::{ContentId, Dtype};

/// The first eight bytes of every record.
pub const RECORD_MAGIC: [u8; 8] = *b"MGITREC1";
/// Length of a record header in bytes; the chunk index follows it.
pub const RECORD_HEADER_LEN: usize = 128;
/// Length of one entry of the chunk index in bytes.
pub const CHUNK_ENTRY_LEN: usize = 12;
/// Records start at multiples of this.
pub const RECORD_ALIGN: u64 = 64;
/// Payloads start at multiples of this in the file.
pub const PAYLOAD_ALIGN: u64 = 64;
/// Payloads of [`PAGE_ALIGN_FROM`] bytes or more that lie raw start at multiples of this.
pub const PAGE_ALIGN: u64 = 4096;
/// From this length a raw payload is page-aligned.
pub const PAGE_ALIGN_FROM: u64 = 65_536;
/// Decoded length of a chunk that this code writes, as a power of two: 1 MiB.
pub const CHUNK_LOG2: u8 = 20;
/// Decoded length of a chunk that is written.
pub const CHUNK_LEN: usize = 1 << CHUNK_LOG2;
/// The shortest chunk a reader accepts: 4 KiB.
pub const CHUNK_LOG2_MIN: u8 = 12;
/// The longest chunk a reader accepts: 64 MiB.
pub const CHUNK_LOG2_MAX: u8 = 26;

/// Byte offsets of the record header's fields.
pub mod record_field {
    /// Magic bytes, 8.
    pub const MAGIC: usize = 0;
    /// Kind, u8.
    pub const KIND: usize = MAGIC + 8;
    /// Element type the content was coded as, u8.
    pub const DTYPE: usize = KIND + 1;
    /// Decoded chunk length as a power of two, u8.
    pub const CHUNK_LOG2: usize = DTYPE + 1;
    /// Depth of the delta chain, u8: 0 without a base.
    pub const DEPTH: usize = CHUNK_LOG2 + 1;
    /// Offset of the payload from the record's start, u32.
    pub const PAYLOAD_OFFSET: usize = DEPTH + 1;
    /// Decoded length, u64.
    pub const RAW_LEN: usize = PAYLOAD_OFFSET + 4;
    /// Payload length, u64.
    pub const STORED_LEN: usize = RAW_LEN + 8;
    /// BLAKE3 of the decoded bytes, 32 bytes.
    pub const CONTENT_ID: usize = STORED_LEN + 8;
    /// Content id of the base, 32 bytes; zero without one.
    pub const BASE_ID: usize = CONTENT_ID + 32;
    /// Sequence number of the commit that wrote the record, u64.
    pub const SEQUENCE: usize = BASE_ID + 32;
    /// Reserved flags, u32.
    pub const FLAGS: usize = SEQUENCE + 8;
    /// The first 4 bytes of the store's id.
    pub const STORE_TAG: usize = FLAGS + 4;
    /// CRC-32 of the chunk index, u32.
    pub const INDEX_CRC: usize = STORE_TAG + 4;
    /// Length of the formula behind the chunk index, u32: 0 without one.
    pub const FORMULA_LEN: usize = INDEX_CRC + 4;
    /// CRC-32 of the formula, u32: 0 without one.
    pub const FORMULA_CRC: usize = FORMULA_LEN + 4;
    /// CRC-32 of the header before it, u32.
    pub const HEADER_CRC: usize = FORMULA_CRC + 4;
}
use record_field as field;
const _: () = assert!(field::HEADER_CRC + 4 == RECORD_HEADER_LEN);

/// The longest formula a reader accepts: 64 MiB.
pub const FORMULA_LEN_MAX: u32 = 1 << 26;

/// What a record holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum RecordKind {
    /// The bytes of a tensor.
    Tensor,
    /// The manifest of a model: its tensors in order, and its files' own headers.
    Manifest,
    /// What one commit changed in the graph.
    Change,
}

impl RecordKind {
    /// The code in the file.
    pub fn code(self) -> u8 {
        match self {
            RecordKind::Tensor => 1,
            RecordKind::Manifest => 2,
            RecordKind::Change => 3,
        }
    }

    /// The kind of this code.
    pub fn from_code(code: u8) -> Option<Self> {
        [RecordKind::Tensor, RecordKind::Manifest, RecordKind::Change]
            .into_iter()
            .find(|kind| kind.code() == code)
    }
}

/// One entry of the chunk index: how a chunk is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkEntry {
    /// Length of the stored bytes.
    pub stored_len: u32,
    /// CRC-32 of the stored bytes.
    pub crc: u32,
    /// Code of the encoding.
    pub encoding: u16,
}

impl ChunkEntry {
    /// The bytes of an index of these entries.
    pub fn encode_all(entries: &[ChunkEntry]) -> Vec<u8> {
        let mut out = ByteWriter::with_capacity(entries.len() * CHUNK_ENTRY_LEN);
        for entry in entries {
            out.u32(entry.stored_len).u32(entry.crc).u16(entry.encoding).u16(0);
        }
        out.into_bytes()
    }

    /// Reads one entry.
    ///
    /// # Errors
    ///
    /// Too few bytes, or a reserved byte that is not zero.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut input = ByteReader::new("chunk index entry", bytes);
        let entry =
            ChunkEntry { stored_len: input.u32()?, crc: input.u32()?, encoding: input.u16()? };
        input.reserved(2)?;
        input.finish()?;
        Ok(entry)
    }
}

/// The self-describing head of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordHeader {
    /// What the record holds.
    pub kind: RecordKind,
    /// Code of the element type that the content was coded as; 0 for opaque bytes.
    pub dtype_code: u8,
    /// Decoded chunk length as a power of two.
    pub chunk_log2: u8,
    /// Depth of the delta chain: 0 without a base, else one more than the base's.
    pub depth: u8,
    /// Offset of the payload from the record's start.
    pub payload_offset: u32,
    /// Decoded length in bytes.
    pub raw_len: u64,
    /// Payload length in bytes.
    pub stored_len: u64,
    /// BLAKE3 of the decoded bytes.
    pub content_id: ContentId,
    /// The base's content id, or [`ContentId::NONE`].
    pub base_id: ContentId,
    /// The commit that wrote the record.
    pub sequence: u64,
    /// The first bytes of the store's id, so that a stray block of another store is told apart.
    pub store_tag: [u8; 4],
    /// CRC-32 of the chunk index.
    pub index_crc: u32,
    /// Length of the formula behind the chunk index; 0 without one.
    pub formula_len: u32,
    /// CRC-32 of the formula; 0 without one.
    pub formula_crc: u32,
}

impl RecordHeader {
    /// Decoded length of every chunk but the last.
    pub fn chunk_len(&self) -> u64 {
        1 << self.chunk_log2
    }

    /// The number of chunks.
    pub fn chunk_count(&self) -> u64 {
        self.raw_len.div_ceil(self.chunk_len())
    }

    /// Length of the chunk index in bytes.
    pub fn index_len(&self) -> u64 {
        self.chunk_count().saturating_mul(CHUNK_ENTRY_LEN as u64)
    }

    /// Offset of the formula from the record's start.
    pub fn formula_at(&self) -> u64 {
        (RECORD_HEADER_LEN as u64).saturating_add(self.index_len())
    }

    /// Length of the record, from its start to the end of its payload.
    pub fn record_len(&self) -> u64 {
        u64::from(self.payload_offset).saturating_add(self.stored_len)
    }

    /// The 128 bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = ByteWriter::with_capacity(RECORD_HEADER_LEN);
        out.put(&RECORD_MAGIC).u8(self.kind.code()).u8(self.dtype_code);
        out.u8(self.chunk_log2).u8(self.depth).u32(self.payload_offset);
        out.u64(self.raw_len).u64(self.stored_len);
        out.put(self.content_id.as_bytes()).put(self.base_id.as_bytes());
        out.u64(self.sequence).u32(0).put(&self.store_tag).u32(self.index_crc);
        out.u32(self.formula_len).u32(self.formula_crc);
        let crc = crc32fast::hash(out.as_bytes());
        out.u32(crc);
        out.into_bytes()
    }

    /// Reads a header; `bytes` begin at the record's start and may go on behind the header.
    ///
    /// # Errors
    ///
    /// Says which field is wrong: magic, checksum, kind, chunk length, depth, lengths that
    /// contradict each other, a reserved bit.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut input = ByteReader::new("record header", bytes);
        let magic: [u8; 8] = input.array()?;
        if magic != RECORD_MAGIC {
            return wrong("record magic", field::MAGIC, "MGITREC1", format!("{magic:02x?}"));
        }
        let covered = bytes.get(..field::HEADER_CRC).unwrap_or_default();
        let crc = crc32fast::hash(covered);
        let kind_code = input.u8()?;
        let dtype_code = input.u8()?;
        let chunk_log2 = input.u8()?;
        let depth = input.u8()?;
        let payload_offset = input.u32()?;
        let raw_len = input.u64()?;
        let stored_len = input.u64()?;
        let content_id = ContentId::from_bytes(input.array()?);
        let base_id = ContentId::from_bytes(input.array()?);
        let sequence = input.u64()?;
        let flags = input.u32()?;
        let store_tag = input.array()?;
        let index_crc = input.u32()?;
        let (formula_len, formula_crc) = (input.u32()?, input.u32()?);
        let found_crc = input.u32()?;
        if crc != found_crc {
            let found = format!("{found_crc:#010x}");
            return wrong(
                "record header checksum",
                field::HEADER_CRC,
                &format!("{crc:#010x}"),
                found,
            );
        }
        if flags != 0 {
            return wrong("record flags", field::FLAGS, "0", format!("{flags:#x}"));
        }
        let Some(kind) = RecordKind::from_code(kind_code) else {
            return wrong("record kind", field::KIND, "1 to 3", kind_code.to_string());
        };
        let header = RecordHeader {
            kind,
            dtype_code,
            chunk_log2,
            depth,
            payload_offset,
            raw_len,
            stored_len,
            content_id,
            base_id,
            sequence,
            store_tag,
            index_crc,
            formula_len,
            formula_crc,
        };
        header.check_coding()?;
        header.check_lengths()?;
        Ok(header)
    }

    /// How its content is coded: chunk length, depth and base, element type.
    fn check_coding(&self) -> Result<(), FormatError> {
        let &RecordHeader { kind, dtype_code, chunk_log2, depth, base_id, .. } = self;
        if !(CHUNK_LOG2_MIN..=CHUNK_LOG2_MAX).contains(&chunk_log2) {
            return wrong("chunk length", field::CHUNK_LOG2, "12 to 26", chunk_log2.to_string());
        }
        if depth > CHAIN_DEPTH_LIMIT || (depth == 0) != base_id.is_none() {
            let found = format!("depth {depth} with base {}", base_id.short());
            return wrong("record depth", field::DEPTH, "0 without a base, 1 to 64 with", found);
        }
        if kind != RecordKind::Tensor && depth > 0 {
            return wrong("record depth", field::DEPTH, "0 unless a tensor", depth.to_string());
        }
        // The type decides how a delta's planes are cut: with the wrong one it decodes to other
        // bytes.
        if dtype_code != Dtype::UNKNOWN_CODE && Dtype::from_code(dtype_code).is_none() {
            return wrong("record dtype", field::DTYPE, "a known code", dtype_code.to_string());
        }
        Ok(())
    }

    /// Formula, payload and content are as long as they can be.
    fn check_lengths(&self) -> Result<(), FormatError> {
        let &RecordHeader { depth, payload_offset, raw_len, stored_len, .. } = self;
        let &RecordHeader { formula_len, formula_crc, .. } = self;
        if formula_len > FORMULA_LEN_MAX || (formula_len > 0 && depth == 0) {
            let found = format!("{formula_len} at depth {depth}");
            return wrong("formula length", field::FORMULA_LEN, "0 without a base", found);
        }
        if formula_len == 0 && formula_crc != 0 {
            let found = format!("{formula_crc:#x}");
            return wrong("formula checksum", field::FORMULA_CRC, "0 without a formula", found);
        }
        let index_end = self.formula_at().saturating_add(u64::from(formula_len));
        let aligned = u64::from(payload_offset).is_multiple_of(PAYLOAD_ALIGN);
        if u64::from(payload_offset) < index_end || !aligned || raw_len > i64::MAX as u64 {
            let found = format!("{payload_offset} for a content of {raw_len} bytes");
            let expected = "a multiple of 64 behind chunk index and formula";
            return wrong("payload offset", field::PAYLOAD_OFFSET, expected, found);
        }
        if stored_len > raw_len {
            let found = format!("{stored_len} stored for {raw_len} raw");
            return wrong("stored length", field::STORED_LEN, "at most the raw length", found);
        }
        Ok(())
    }
}

fn wrong<T>(
    what: &'static str,
    at: usize,
    expected: &str,
    found: String,
) -> Result<T, FormatError> {
    Err(FormatError::new(what, at, expected, found))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    fn sample() -> RecordHeader {
        RecordHeader {
            kind: RecordKind::Tensor,
            dtype_code: 18,
            chunk_log2: CHUNK_LOG2,
            depth: 0,
            payload_offset: 192,
            raw_len: 3_000_000,
            stored_len: 3_000_000,
            content_id: ContentId::of(b"x"),
            base_id: ContentId::NONE,
            sequence: 4,
            store_tag: [1, 2, 3, 4],
            index_crc: 5,
            formula_len: 0,
            formula_crc: 0,
        }
    }

    #[test]
    fn round_trip_and_every_flipped_byte_is_found() {
        let bytes = sample().encode();
        assert_eq!(RecordHeader::decode(&bytes), Ok(sample()));
        for at in 0..bytes.len() {
            let mut hurt = bytes.clone();
            hurt[at] ^= 1;
            assert!(RecordHeader::decode(&hurt).is_err(), "byte {at}");
            assert!(RecordHeader::decode(&bytes[..at]).is_err(), "length {at}");
        }
    }

    #[test]
    fn contradictions_are_refused() {
        for spoil in [
            |h: &mut RecordHeader| h.depth = 1,
            |h: &mut RecordHeader| h.chunk_log2 = 40,
            |h: &mut RecordHeader| h.payload_offset = 128,
            |h: &mut RecordHeader| h.payload_offset = 200,
            |h: &mut RecordHeader| h.dtype_code = 23,
            |h: &mut RecordHeader| h.stored_len = h.raw_len + 1,
            |h: &mut RecordHeader| h.raw_len = u64::MAX,
            |h: &mut RecordHeader| h.formula_len = 9,
            |h: &mut RecordHeader| h.formula_crc = 9,
            |h: &mut RecordHeader| {
                (h.kind, h.depth, h.base_id) = (RecordKind::Change, 1, ContentId::of(b"y"));
            },
        ] {
            let mut header = sample();
            spoil(&mut header);
            assert!(RecordHeader::decode(&header.encode()).is_err(), "{header:?}");
        }
    }

    #[test]
    fn chunk_entries_round_trip() {
        let entries = [
            ChunkEntry { stored_len: 1, crc: 2, encoding: 3 },
            ChunkEntry { stored_len: 4, crc: 5, encoding: 0 },
        ];
        let bytes = ChunkEntry::encode_all(&entries);
        assert_eq!(bytes.len(), 2 * CHUNK_ENTRY_LEN);
        assert_eq!(ChunkEntry::decode(&bytes[12..]), Ok(entries[1]));
        assert!(ChunkEntry::decode(&bytes[..11]).is_err());
    }
}
