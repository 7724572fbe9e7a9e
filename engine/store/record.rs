//! Reading a record, and the chain of records that a delta stands on.

use rayon::prelude::*;

use super::error::damaged;
use super::open::{CheckedPlace, Shared};
use super::{Error, Result};
use crate::catalog::{CatalogError, ReadTables, RecordRow, Table};
use crate::codec::{self, Encoding, Lane};
use crate::format::{CHUNK_ENTRY_LEN, ChunkEntry, RECORD_HEADER_LEN, RecordHeader, RecordKind};
use crate::tensor::{AlignedBuffer, ContentId, Dtype};

/// One record of the file: its header and index checked, its payload as mapped.
#[derive(Debug)]
pub struct StoredRecord<'c> {
    shared: &'c Shared,
    header: RecordHeader,
    offset: u64,
    entries: Vec<ChunkEntry>,
    /// Where each chunk's stored bytes begin in the payload.
    starts: Vec<u64>,
    payload: &'c [u8],
    lane: Lane,
}

impl<'c> StoredRecord<'c> {
    /// Opens the record of `id` that a row names.
    ///
    /// # Errors
    ///
    /// [`Error::DamagedRecord`] when header or index are not what they must be.
    pub(super) fn open(
        shared: &'c Shared,
        kind: RecordKind,
        id: ContentId,
        row: &RecordRow,
    ) -> Result<Self> {
        let wrong = damaged(id, row.offset);
        let bytes = |offset: u64, len: u64| {
            shared.container.bytes(offset, len).map_err(|error| wrong(&error))
        };
        let header = bytes(row.offset, RECORD_HEADER_LEN as u64)?;
        let header = RecordHeader::decode(header).map_err(|error| wrong(&error))?;
        let promised = (kind, id, row.raw_len, row.stored_len, row.base_id, row.depth, row.len);
        let found = (
            header.kind,
            header.content_id,
            header.raw_len,
            header.stored_len,
            header.base_id,
            header.depth,
            header.record_len(),
        );
        if promised != found {
            return Err(wrong(&format!("the catalogue promises {promised:?}, found {found:?}")));
        }
        let index = bytes(row.offset + RECORD_HEADER_LEN as u64, header.index_len())?;
        let crc = crc32fast::hash(index);
        if crc != header.index_crc {
            let reason =
                format!("chunk index checksum {crc:#010x}, not {:#010x}", header.index_crc);
            return Err(wrong(&reason));
        }
        let (mut entries, mut starts, mut at) = (Vec::new(), Vec::new(), 0u64);
        let mut rest = header.raw_len;
        for entry in index.chunks(CHUNK_ENTRY_LEN) {
            let entry = ChunkEntry::decode(entry).map_err(|error| wrong(&error))?;
            let chunk_len = rest.min(header.chunk_len());
            rest -= chunk_len;
            let stored_len = u64::from(entry.stored_len);
            if entry.encoding == Encoding::Raw.code() && stored_len != chunk_len {
                return Err(wrong(&format!("a raw chunk of {chunk_len} bytes in {stored_len}")));
            }
            starts.push(at);
            at += u64::from(entry.stored_len);
            entries.push(entry);
        }
        if at != header.stored_len {
            return Err(wrong(&format!("chunks of {at} bytes in {}", header.stored_len)));
        }
        let payload = bytes(row.offset + u64::from(header.payload_offset), header.stored_len)?;
        let lane =
            Dtype::from_code(header.dtype_code).map_or(Lane::BYTES, |dtype| Lane::of(&dtype));
        Ok(StoredRecord { shared, header, offset: row.offset, entries, starts, payload, lane })
    }

    /// The header.
    pub fn header(&self) -> &RecordHeader {
        &self.header
    }

    /// The chunk index.
    pub fn chunks(&self) -> &[ChunkEntry] {
        &self.entries
    }

    /// The whole content, when it lies raw in the file.
    pub(super) fn raw(&self) -> Option<&'c [u8]> {
        let raw = |entry: &ChunkEntry| entry.encoding == Encoding::Raw.code();
        self.entries.iter().all(raw).then_some(self.payload)
    }

    /// What tells the record from any other that may come to lie in its place.
    fn place(&self) -> CheckedPlace {
        (self.offset, self.header.content_id, self.header.sequence)
    }

    /// Offset of the payload in the file.
    pub(super) fn payload_at(&self) -> u64 {
        self.offset + u64::from(self.header.payload_offset)
    }

    fn chunk(&self, at: usize) -> Option<(&ChunkEntry, &'c [u8])> {
        let (entry, start) = (self.entries.get(at)?, *self.starts.get(at)?);
        let start = usize::try_from(start).ok()?;
        let stored = self.payload.get(start..start + entry.stored_len as usize)?;
        Some((entry, stored))
    }

    fn check_chunk(&self, at: usize) -> Result<()> {
        let wrong = damaged(self.header.content_id, self.offset);
        let (entry, stored) = self.chunk(at).ok_or_else(|| wrong(&"a missing chunk"))?;
        let crc = crc32fast::hash(stored);
        if crc != entry.crc {
            let reason = format!("checksum of chunk {at} is {crc:#010x}, not {:#010x}", entry.crc);
            return Err(wrong(&reason));
        }
        Ok(())
    }

    /// Checks the checksums of the chunks that `start..start + len` lies in.
    pub(super) fn check_range(&self, start: u64, len: u64) -> Result<()> {
        if len == 0 || self.shared.is_checked(self.place()) {
            return Ok(());
        }
        let chunk_len = self.header.chunk_len();
        let last = (start + len - 1) / chunk_len;
        (start / chunk_len..=last).try_for_each(|at| self.check_chunk(at as usize))
    }

    /// Checks the checksum of every chunk; once a handle, whatever this is asked.
    pub(super) fn check(&self) -> Result<()> {
        if self.shared.is_checked(self.place()) {
            return Ok(());
        }
        (0..self.entries.len()).into_par_iter().try_for_each(|at| self.check_chunk(at))?;
        self.shared.set_checked(self.place());
        Ok(())
    }
}

/// For checking a store: nothing here asks, or changes, what the handle remembers.
impl StoredRecord<'_> {
    /// What is wrong with the chunks: every checksum is computed again.
    pub(crate) fn chunk_faults(&self) -> Vec<String> {
        let faults = (0..self.entries.len()).filter_map(|at| match self.chunk(at) {
            None => Some(format!("chunk {at} is missing")),
            Some((entry, stored)) => {
                let crc = crc32fast::hash(stored);
                let wrong = crc != entry.crc;
                wrong.then(|| {
                    format!("checksum of chunk {at} is {crc:#010x}, not {:#010x}", entry.crc)
                })
            }
        });
        faults.collect()
    }

    /// The stored bytes, when they are the content itself.
    pub(crate) fn raw_bytes(&self) -> Option<&[u8]> {
        self.raw()
    }
}

/// Whether a read looks at checksums first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Checks {
    /// Every chunk that is read, unless this handle has checked its record.
    First,
    /// None.
    Skipped,
}

/// A content and everything it is decoded from: its record, the base's, and so on to the root.
#[derive(Debug)]
pub struct Chain<'c> {
    records: Vec<StoredRecord<'c>>,
}

impl<'c> Chain<'c> {
    /// Opens the chain of a tensor or, with another table and kind, of a record without base.
    ///
    /// # Errors
    ///
    /// [`Error::DamagedRecord`], also when a base is missing or a chain does not end.
    pub(super) fn open(
        shared: &'c Shared,
        tables: &dyn ReadTables,
        kind: RecordKind,
        id: ContentId,
        row: RecordRow,
    ) -> Result<Self> {
        let mut records: Vec<StoredRecord<'c>> = Vec::new();
        let (mut id, mut row) = (id, row);
        loop {
            let record = StoredRecord::open(shared, kind, id, &row)?;
            let wrong = damaged(id, row.offset);
            if let Some(above) = records.last() {
                // Depth falls by one a step, so every chain ends.
                let depths = (above.header.depth, record.header.depth);
                // A longer chunk of a base would be decoded again for every part of it.
                let chunks = (above.header.chunk_log2, record.header.chunk_log2);
                if chunks.1 > chunks.0 {
                    return Err(wrong(&format!("chunks longer than its delta's: {chunks:?}")));
                }
                if depths.1 + 1 != depths.0 || above.header.raw_len != record.header.raw_len {
                    return Err(wrong(&format!("not a base of its delta: depths {depths:?}")));
                }
            }
            let base_id = record.header.base_id;
            records.push(record);
            if base_id.is_none() {
                return Ok(Chain { records });
            }
            let base = tables.get(Table::Tensors, base_id.as_bytes())?;
            let base =
                base.ok_or_else(|| wrong(&format!("base {} is missing", base_id.short())))?;
            row = RecordRow::decode(&base).map_err(CatalogError::Row)?;
            id = base_id;
        }
    }

    /// The record of the content itself.
    pub fn record(&self) -> &StoredRecord<'c> {
        &self.records[0]
    }

    /// Every record, the content's first, the root's last.
    pub fn records(&self) -> &[StoredRecord<'c>] {
        &self.records
    }

    /// Decoded length in bytes.
    pub fn raw_len(&self) -> u64 {
        self.record().header.raw_len
    }

    /// Decodes a range without looking at checksums. Pieces of whole chunks decode each once.
    pub(crate) fn read_unchecked(&self, start: u64, out: &mut [u8]) -> Result<()> {
        self.read(start, out, Checks::Skipped)
    }

    /// Checks the checksums of every record of the chain, each once a handle.
    pub(super) fn check(&self) -> Result<()> {
        self.records.iter().try_for_each(StoredRecord::check)
    }

    /// Decodes `start..start + out.len()` into `out`, on all cores, each chunk in place through
    /// the whole chain.
    pub(super) fn read(&self, start: u64, out: &mut [u8], checks: Checks) -> Result<()> {
        if checks == Checks::First && start == 0 && out.len() as u64 == self.raw_len() {
            self.check()?;
        }
        let chunk_len = self.record().header.chunk_len();
        // The first part ends at a chunk boundary, the others are whole chunks.
        let head = (start.next_multiple_of(chunk_len) - start).min(out.len() as u64);
        let (first, rest) = out.split_at_mut(head as usize);
        self.read_at(0, start, first, checks)?;
        rest.par_chunks_mut(chunk_len as usize).enumerate().try_for_each(|(at, part)| {
            self.read_at(0, start + head + at as u64 * chunk_len, part, checks)
        })
    }

    /// Decodes a range of the content of record `level` of the chain.
    fn read_at(&self, level: usize, start: u64, out: &mut [u8], checks: Checks) -> Result<()> {
        let record = &self.records[level];
        let header = &record.header;
        if start.checked_add(out.len() as u64).is_none_or(|end| end > header.raw_len) {
            let reason = format!("bytes {start} and on of a base of {}", header.raw_len);
            return Err(damaged(header.content_id, record.offset)(&reason));
        }
        let chunk_len = header.chunk_len();
        let (mut at, mut rest) = (start, out);
        while !rest.is_empty() {
            let index = at / chunk_len;
            let chunk_start = index * chunk_len;
            let chunk_end = (chunk_start + chunk_len).min(header.raw_len);
            let part_len = (chunk_end - at).min(rest.len() as u64) as usize;
            let (part, behind) = rest.split_at_mut(part_len);
            if part_len as u64 == chunk_end - chunk_start {
                self.read_chunk(level, index as usize, chunk_start, part, checks)?;
            } else {
                self.read_chunk_part(level, index as usize, chunk_start, at, part, checks)?;
            }
            at += part_len as u64;
            rest = behind;
        }
        Ok(())
    }

    /// Decodes one whole chunk in place.
    fn read_chunk(
        &self,
        level: usize,
        index: usize,
        chunk_start: u64,
        out: &mut [u8],
        checks: Checks,
    ) -> Result<()> {
        let record = &self.records[level];
        let wrong = damaged(record.header.content_id, record.offset);
        let (entry, stored) = record.chunk(index).ok_or_else(|| wrong(&"a missing chunk"))?;
        let unchecked = || !record.shared.is_checked(record.place());
        if checks == Checks::First && unchecked() {
            record.check_chunk(index)?;
        }
        let encoding = Encoding::from_code(entry.encoding)
            .ok_or_else(|| wrong(&format!("unknown encoding {}", entry.encoding)))?;
        if encoding.needs_base() {
            if level + 1 >= self.records.len() {
                return Err(wrong(&"a delta without a base"));
            }
            self.read_at(level + 1, chunk_start, out, checks)?;
        }
        codec::decode(encoding, record.lane, stored, out).map_err(|error| wrong(&error))
    }

    /// Decodes a part of a chunk: from the map when it lies raw, else through a buffer.
    fn read_chunk_part(
        &self,
        level: usize,
        index: usize,
        chunk_start: u64,
        at: u64,
        out: &mut [u8],
        checks: Checks,
    ) -> Result<()> {
        let record = &self.records[level];
        let chunk_len =
            (record.header.raw_len - chunk_start).min(record.header.chunk_len()) as usize;
        let mut whole = vec![0; chunk_len];
        self.read_chunk(level, index, chunk_start, &mut whole, checks)?;
        let from = (at - chunk_start) as usize;
        out.copy_from_slice(&whole[from..from + out.len()]);
        Ok(())
    }

    /// The whole content in a new aligned buffer.
    pub(super) fn reconstruct(&self, checks: Checks) -> Result<AlignedBuffer> {
        let len = self.raw_len();
        let no_memory = || Error::OutOfMemory { bytes: len };
        // A chunk decodes to at most 255 times its stored bytes, or to its base's length, and the
        // root's chunks are stored: a length that is out of proportion is not believed.
        let stored: u64 = self.records.iter().map(|record| record.header.stored_len).sum();
        if len > stored.saturating_mul(256) {
            let record = self.record();
            let reason = format!("{len} bytes of content in {stored} stored");
            return Err(damaged(record.header.content_id, record.offset)(&reason));
        }
        let len = usize::try_from(len).map_err(|_| no_memory())?;
        let mut buffer = AlignedBuffer::zeroed(len).ok_or_else(no_memory)?;
        self.read(0, buffer.as_bytes_mut(), checks)?;
        Ok(buffer)
    }
}

/// The row of a record, if there is one.
pub(super) fn record_row(
    tables: &dyn ReadTables,
    table: Table,
    key: &[u8],
) -> Result<Option<RecordRow>> {
    let row = tables.get(table, key)?.map(|value| RecordRow::decode(&value));
    Ok(row.transpose().map_err(CatalogError::Row)?)
}

/// The whole content of a record that stands alone, its checksums and its id checked.
pub(super) fn read_plain(
    shared: &Shared,
    tables: &dyn ReadTables,
    kind: RecordKind,
    id: ContentId,
    row: RecordRow,
) -> Result<Vec<u8>> {
    let offset = row.offset;
    let chain = Chain::open(shared, tables, kind, id, row)?;
    let buffer = chain.reconstruct(Checks::First)?;
    let found = ContentId::of(buffer.as_bytes());
    if found != id {
        return Err(damaged(id, offset)(&format!("the content hashes to {}", found.short())));
    }
    Ok(buffer.as_bytes().to_vec())
}

/// How many chunks have which encoding.
pub(super) fn encodings_used(entries: &[ChunkEntry]) -> u32 {
    let bit = |entry: &ChunkEntry| 1u32.checked_shl(entry.encoding.into()).unwrap_or(0);
    entries.iter().fold(0, |used, entry| used | bit(entry))
}
