//! A pack: records one after the other, an index of them and of models' rows, and a trailer.

use serde::{Deserialize, Serialize};

use super::entry::{NodeEntry, Tests};
use super::records::{PackedRecord, Records};
use super::{Result, TransferError};
use crate::format::{
    ByteReader, ByteWriter, FORMULA_BASES_MAX, FormatError, READER_FLAGS_KNOWN, RECORD_ALIGN,
    RecordKind, WRITER_FLAGS_KNOWN,
};
use crate::tensor::ContentId;

/// The first bytes of a pack.
pub(super) const PACK_MAGIC: [u8; 8] = *b"MGITPACK";
/// The first bytes of an index.
const INDEX_MAGIC: [u8; 8] = *b"MGITPIDX";
/// The first bytes of a trailer.
pub(super) const TRAILER_MAGIC: [u8; 8] = *b"MGITPEND";
/// The version of the layout.
const VERSION: u16 = 1;
/// Where the first record begins.
pub(super) const HEAD_LEN: u64 = 64;
/// Bytes of the trailer.
pub(super) const TRAILER_LEN: u64 = 64;
/// The longest index that is read.
pub(super) const INDEX_LEN_MAX: u64 = 1 << 30;

/// What a pack holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct PackIndex {
    /// Features that a reader of the records must know.
    pub(super) reader_flags: u64,
    /// Features that a writer of the models must know.
    pub(super) writer_flags: u64,
    pub(super) records: Records,
    pub(super) rows: Rows,
}

/// The models' rows, one JSON object.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Rows {
    /// Models that came or changed.
    #[serde(default)]
    pub(super) models: Vec<NodeEntry>,
    /// Registered tests that came.
    #[serde(default, skip_serializing_if = "Tests::is_empty")]
    pub(super) tests: Tests,
}

/// The first 64 bytes of a pack.
pub(super) fn head() -> Vec<u8> {
    let mut out = ByteWriter::with_capacity(HEAD_LEN as usize);
    out.put(&PACK_MAGIC).u16(VERSION).pad_to(HEAD_LEN as usize);
    out.into_bytes()
}

/// The last 64 bytes of a pack: where its index is.
pub(super) fn trailer(index_offset: u64, index: &[u8]) -> Vec<u8> {
    let mut out = ByteWriter::with_capacity(TRAILER_LEN as usize);
    out.put(&TRAILER_MAGIC).u64(index_offset).u64(index.len() as u64);
    out.put(ContentId::of(index).as_bytes()).u32(0);
    let crc = crc32fast::hash(out.as_bytes());
    out.u32(crc);
    out.into_bytes()
}

/// Offset, length and id of the index that a trailer names.
pub(super) fn read_trailer(what: &str, bytes: &[u8]) -> Result<(u64, u64, ContentId)> {
    let read = || -> std::result::Result<_, FormatError> {
        let mut input = ByteReader::new("pack trailer", bytes);
        let magic: [u8; 8] = input.array()?;
        let (offset, len) = (input.u64()?, input.u64()?);
        let id = ContentId::from_bytes(input.array()?);
        input.reserved(4)?;
        let crc = input.u32()?;
        input.finish()?;
        let covered = bytes.get(..bytes.len().saturating_sub(4)).unwrap_or_default();
        if magic != TRAILER_MAGIC || crc != crc32fast::hash(covered) {
            return Err(FormatError::new("pack trailer", 0, "a whole one", "something else"));
        }
        Ok((offset, len, id))
    };
    read().map_err(|error| TransferError::damaged(what, error))
}

/// Where the record behind one that ends at `end` begins.
pub(super) fn next_offset(end: u64) -> u64 {
    end.next_multiple_of(RECORD_ALIGN)
}

impl PackIndex {
    pub(super) fn encode(&self) -> Result<Vec<u8>> {
        let rows = serde_json::to_vec(&self.rows)
            .map_err(|error| FormatError::new("pack rows", 0, "JSON values", error))?;
        let packed = lz4_flex::block::compress(&rows);
        let mut out = ByteWriter::with_capacity(48 + self.records.encoded_len() + packed.len());
        out.put(&INDEX_MAGIC).u16(VERSION).u16(0).u32(self.records.len() as u32);
        out.u64(self.reader_flags).u64(self.writer_flags);
        for record in self.records.iter() {
            out.u8(record.kind.code()).u8(record.bases.len() as u8).u16(0).u32(0);
            out.u64(record.offset).u64(record.len).u64(record.raw_len);
            out.put(record.id.as_bytes());
            record.bases.iter().for_each(|base| _ = out.put(base.as_bytes()));
        }
        out.u64(rows.len() as u64).u64(packed.len() as u64).put(&packed);
        Ok(out.into_bytes())
    }

    /// Reads an index. `end` is where the records end in the pack.
    pub(super) fn decode(what: &str, bytes: &[u8], end: u64) -> Result<Self> {
        let index = Self::read(bytes, end).map_err(|error| TransferError::damaged(what, error))?;
        let unknown = index.reader_flags & !READER_FLAGS_KNOWN;
        let unknown_writer = index.writer_flags & !WRITER_FLAGS_KNOWN;
        if unknown | unknown_writer != 0 {
            let (flags, writing_only) = (unknown | unknown_writer, unknown == 0);
            let error = crate::container::ContainerError::UnknownFeatures { flags, writing_only };
            return Err(error.into());
        }
        Ok(index)
    }

    fn read(bytes: &[u8], end: u64) -> std::result::Result<Self, FormatError> {
        let mut input = ByteReader::new("pack index", bytes);
        let wrong = |at: usize, expected: &str, found: String| {
            Err(FormatError::new("pack index", at, expected, found))
        };
        let magic: [u8; 8] = input.array()?;
        let version = input.u16()?;
        if magic != INDEX_MAGIC || version != VERSION {
            return wrong(0, "MGITPIDX of version 1", format!("{magic:02x?} {version}"));
        }
        input.reserved(2)?;
        let count = input.u32()?;
        let (reader_flags, writer_flags) = (input.u64()?, input.u64()?);
        // A record takes at least 64 bytes: what the count says is not believed.
        let mut records = Records::with_capacity((count as usize).min(bytes.len() / 64));
        let mut bases = Vec::new();
        let mut from = HEAD_LEN;
        for _ in 0..count {
            let at = input.position();
            let (kind, base_count) = (input.u8()?, input.u8()?);
            input.reserved(6)?;
            let (offset, len, raw_len) = (input.u64()?, input.u64()?, input.u64()?);
            let id = ContentId::from_bytes(input.array()?);
            let kind = match RecordKind::from_code(kind) {
                Some(kind @ (RecordKind::Tensor | RecordKind::Manifest)) => kind,
                _ => return wrong(at, "a tensor or a manifest", format!("kind {kind}")),
            };
            if usize::from(base_count) > FORMULA_BASES_MAX {
                return wrong(at + 1, "at most 8 bases", base_count.to_string());
            }
            bases.clear();
            for _ in 0..base_count {
                bases.push(ContentId::from_bytes(input.array()?));
            }
            let stop = offset.checked_add(len).filter(|stop| *stop <= end);
            let (true, Some(stop)) = (offset >= from, stop) else {
                let found = format!("{len} bytes at {offset} of {end}, the last ended at {from}");
                return wrong(at + 8, "records one behind the other", found);
            };
            from = stop;
            records.push(PackedRecord { kind, offset, len, raw_len, id, bases: &bases });
        }
        let (rows_len, packed_len) = (input.u64()?, input.u64()?);
        let at = input.position();
        let packed = input.take(usize::try_from(packed_len).unwrap_or(usize::MAX))?;
        input.finish()?;
        // A block decodes to at most 255 times its length.
        if rows_len > packed_len.saturating_mul(255) {
            return wrong(at - 16, "rows that the block can hold", rows_len.to_string());
        }
        let rows = lz4_flex::block::decompress(packed, rows_len as usize)
            .map_err(|error| FormatError::new("pack rows", at, "an LZ4 block", error))?;
        let rows = serde_json::from_slice(&rows)
            .map_err(|error| FormatError::new("pack rows", at, "JSON of models", error))?;
        Ok(PackIndex { reader_flags, writer_flags, records: records.shrunk(), rows })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    fn sample() -> PackIndex {
        let mut records = Records::default();
        let mut record = |kind, offset, bases: &[ContentId]| {
            records.push(PackedRecord {
                kind,
                offset,
                len: 200,
                raw_len: 500,
                id: ContentId::of(&[offset as u8]),
                bases,
            });
        };
        let tensor = RecordKind::Tensor;
        record(RecordKind::Manifest, 64, &[]);
        record(tensor, 320, &[]);
        record(tensor, 576, &[ContentId::of(b"a"), ContentId::of(b"b")]);
        let model = NodeEntry {
            id: "0".repeat(32),
            name: "base".into(),
            version: 1,
            kind: String::new(),
            created_ms: 7,
            manifest: ContentId::of(b"m").to_string(),
            logical_bytes: 5,
            previous: None,
            parents: Vec::new(),
            metadata: serde_json::Map::new(),
            tags: vec!["best".into()],
        };
        PackIndex {
            reader_flags: 1,
            writer_flags: 0,
            records,
            rows: Rows { models: vec![model], tests: Tests::new() },
        }
    }

    #[test]
    fn round_trip_and_every_cut_is_found() {
        let bytes = sample().encode().unwrap();
        assert_eq!(PackIndex::decode("p", &bytes, 776).unwrap(), sample());
        assert!(PackIndex::decode("p", &bytes, 775).is_err(), "a record behind the end");
        for len in 0..bytes.len() {
            assert!(PackIndex::decode("p", &bytes[..len], 776).is_err(), "{len}");
        }
        let newer = PackIndex { reader_flags: 1 << 40, ..sample() };
        assert!(PackIndex::decode("p", &newer.encode().unwrap(), 776).is_err());
    }

    #[test]
    fn trailers_lead_to_the_index_and_every_flip_is_found() {
        let bytes = trailer(640, b"index");
        assert_eq!(bytes.len() as u64, TRAILER_LEN);
        assert_eq!(read_trailer("p", &bytes).unwrap(), (640, 5, ContentId::of(b"index")));
        for at in 0..bytes.len() {
            let mut hurt = bytes.clone();
            hurt[at] ^= 1;
            assert!(read_trailer("p", &hurt).is_err(), "{at}");
        }
    }
}
