//! Records on their way out to another store: as they are stored, without what is this store's
//! own.

use std::io;
use std::sync::{Mutex, PoisonError};

use crate::catalog::{RecordRow, Table};
use crate::codec::Encoding;
use crate::container::Container;
use crate::format::{ChunkEntry, PAYLOAD_ALIGN, RecordHeader, RecordKind};
use crate::store::error::Result;
use crate::store::read::chain::{Chain, Verify};
use crate::store::read::record::{StoredRecord, record_row};
use crate::store::read::snapshot::Snapshot;
use crate::store::source::TensorSource;
use crate::tensor::ContentId;

/// A record as it travels: header, chunk index and formula, padding to a multiple of 64, payload.
/// Its header names no store and no commit.
#[derive(Debug)]
pub(crate) struct OutgoingRecord<'s> {
    container: &'s Container,
    head: Vec<u8>,
    payload_at: u64,
    stored_len: u64,
}

/// Bytes of a travelling record before its payload.
pub(crate) fn packed_head_len(index_end: u64) -> u64 {
    index_end.next_multiple_of(PAYLOAD_ALIGN)
}

impl OutgoingRecord<'_> {
    /// Bytes of the record as it travels.
    pub(crate) fn len(&self) -> u64 {
        self.head.len() as u64 + self.stored_len
    }
}

impl TensorSource for OutgoingRecord<'_> {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if offset.saturating_add(out.len() as u64) > self.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let (start, payload) = read_head(&self.head, offset, out);
        if !payload.is_empty() {
            let at = self.payload_at + start;
            self.container.read_into(at, payload).map_err(io::Error::other)?;
        }
        Ok(())
    }
}

/// Fills `out` with what of `head` is there from `offset` on. Returns the rest of it, and where in
/// the payload that begins.
fn read_head<'o>(head: &[u8], offset: u64, out: &'o mut [u8]) -> (u64, &'o mut [u8]) {
    let head_len = head.len() as u64;
    let from_head = head_len.saturating_sub(offset).min(out.len() as u64) as usize;
    let (filled, payload) = out.split_at_mut(from_head);
    if let Some(part) = head.get(offset as usize..).and_then(|rest| rest.get(..from_head)) {
        filled.copy_from_slice(part);
    }
    ((offset + from_head as u64).saturating_sub(head_len), payload)
}

/// Chunks that are decoded at a time.
const WINDOW_CHUNKS: u64 = 16;

/// A tensor as a record that stands alone, raw, whatever it is coded against here.
#[derive(Debug)]
pub(crate) struct OutgoingAlone<'s> {
    chain: Chain<'s>,
    head: Vec<u8>,
    /// What was decoded last: where it begins, and its bytes.
    window: Mutex<(u64, Vec<u8>)>,
}

/// The header of a record, as it is when the content stands alone.
fn alone_header(own: &RecordHeader) -> RecordHeader {
    let header = RecordHeader {
        depth: 0,
        stored_len: own.raw_len,
        base_id: ContentId::NONE,
        sequence: 0,
        store_tag: [0; 4],
        formula_len: 0,
        formula_crc: 0,
        ..own.clone()
    };
    let head_len = packed_head_len(header.formula_at());
    RecordHeader { payload_offset: u32::try_from(head_len).unwrap_or(u32::MAX), ..header }
}

impl OutgoingAlone<'_> {
    /// Bytes of the record as it travels.
    pub(crate) fn len(&self) -> u64 {
        self.head.len() as u64 + self.chain.raw_len()
    }

    fn window_len(&self) -> u64 {
        WINDOW_CHUNKS * self.chain.record().header().chunk_len()
    }

    /// Decodes the content from `start` on, a window of it.
    fn window(&self, start: u64, out: &mut Vec<u8>) -> Result<()> {
        let len = self.window_len().min(self.chain.raw_len().saturating_sub(start));
        out.resize(len as usize, 0);
        self.chain.read(start, out, Verify::Checksums)
    }

    /// The chunk index, of one pass over the content.
    fn entries(&self) -> Result<Vec<ChunkEntry>> {
        let chunk_len = self.chain.record().header().chunk_len() as usize;
        let (mut entries, mut start, mut bytes) = (Vec::new(), 0, Vec::new());
        while start < self.chain.raw_len() {
            self.window(start, &mut bytes)?;
            entries.extend(bytes.chunks(chunk_len).map(|chunk| ChunkEntry {
                stored_len: chunk.len() as u32,
                crc: crc32fast::hash(chunk),
                encoding: Encoding::Raw.code(),
            }));
            start += bytes.len() as u64;
        }
        Ok(entries)
    }

    /// Fills `out` with the content from `start` on.
    fn content(&self, mut start: u64, mut out: &mut [u8]) -> Result<()> {
        let window_len = self.window_len();
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        while !out.is_empty() {
            let begin = start / window_len * window_len;
            if window.0 != begin || window.1.is_empty() {
                let (at, bytes) = &mut *window;
                bytes.clear();
                *at = begin;
                self.window(begin, bytes)?;
            }
            let from = window.1.get((start - begin) as usize..).unwrap_or_default();
            let len = from.len().min(out.len());
            let (part, rest) = out.split_at_mut(len);
            part.copy_from_slice(&from[..len]);
            start += len as u64;
            out = rest;
        }
        Ok(())
    }
}

impl TensorSource for OutgoingAlone<'_> {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if offset.saturating_add(out.len() as u64) > self.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let (start, payload) = read_head(&self.head, offset, out);
        self.content(start, payload).map_err(io::Error::other)
    }
}

fn table_of(kind: RecordKind) -> Table {
    match kind {
        RecordKind::Tensor => Table::Tensors,
        RecordKind::Manifest => Table::Manifests,
        RecordKind::Change => Table::Changes,
    }
}

impl Snapshot {
    /// The row of a tensor or a manifest, if it is stored.
    pub(crate) fn stored(&self, kind: RecordKind, id: ContentId) -> Result<Option<RecordRow>> {
        record_row(self.tables(), table_of(kind), id.as_bytes())
    }

    /// Bytes of the record of a tensor that is to be sent so that it stands alone.
    ///
    /// # Errors
    ///
    /// A damaged record.
    pub(crate) fn alone_len(&self, id: ContentId, row: &RecordRow) -> Result<u64> {
        let record = self.open_record(RecordKind::Tensor, id, row)?;
        Ok(alone_header(record.header()).record_len())
    }

    /// A tensor as a record that stands alone. Cost: decodes it once now, and once as it is read.
    ///
    /// # Errors
    ///
    /// A damaged record.
    pub(crate) fn outgoing_alone(
        &self,
        id: ContentId,
        row: &RecordRow,
    ) -> Result<OutgoingAlone<'_>> {
        let chain = self.open_chain(id, row.clone())?;
        let header = alone_header(chain.record().header());
        let window = Mutex::default();
        let mut record = OutgoingAlone { chain, head: Vec::new(), window };
        let index = ChunkEntry::encode_all(&record.entries()?);
        let header = RecordHeader { index_crc: crc32fast::hash(&index), ..header };
        let mut head = header.encode();
        head.extend_from_slice(&index);
        head.resize(header.payload_offset as usize, 0);
        record.head = head;
        Ok(record)
    }

    /// The record of a row, to be sent. Its checksums are looked at first if one says so, once a
    /// handle.
    ///
    /// # Errors
    ///
    /// A damaged record.
    pub(crate) fn outgoing(
        &self,
        kind: RecordKind,
        id: ContentId,
        row: &RecordRow,
        checked: bool,
    ) -> Result<OutgoingRecord<'_>> {
        let record: StoredRecord<'_> = self.open_record(kind, id, row)?;
        if checked {
            record.check()?;
        }
        let index = ChunkEntry::encode_all(record.chunks());
        let formula = record
            .formula()
            .map(crate::store::read::formula::StoredFormula::encode)
            .unwrap_or_default();
        let own = record.header();
        let head_len = packed_head_len(own.formula_at() + formula.len() as u64);
        let header = RecordHeader {
            payload_offset: u32::try_from(head_len).unwrap_or(u32::MAX),
            sequence: 0,
            store_tag: [0; 4],
            ..own.clone()
        };
        let mut head = header.encode();
        head.extend_from_slice(&index);
        head.extend_from_slice(&formula);
        head.resize(head_len as usize, 0);
        let (payload_at, stored_len) = (record.payload_at(), own.stored_len);
        Ok(OutgoingRecord { container: &self.shared().container, head, payload_at, stored_len })
    }
}
