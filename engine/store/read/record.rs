//! Reading a record: its header, index and formula checked.

use std::borrow::Cow;
use std::fmt::Display;
use std::io::ErrorKind;

use rayon::prelude::*;

use super::formula::{StoredFormula, base_ids};
use crate::catalog::{CatalogError, ReadTables, RecordRow, Table};
use crate::codec::formula::Formula;
use crate::codec::{Encoding, Lane};
use crate::container::{ContainerError, full_message};
use crate::format::{CHUNK_ENTRY_LEN, ChunkEntry, RECORD_HEADER_LEN, RecordHeader, RecordKind};
use crate::store::error::{Result, StoreError, damaged};
use crate::store::shared::{CheckedPlace, Shared};
use crate::tensor::{ContentId, Dtype};

/// The longest record that is read at once: most manifests, and many small tensors.
const SHORT_MAX: u64 = 1 << 14;

/// What a failed read of a record is: the medium's error, or damage where the record is not.
fn unreadable(id: ContentId, offset: u64) -> impl Fn(ContainerError) -> StoreError {
    move |error| match &error {
        ContainerError::Io { source, .. } if source.kind() != ErrorKind::UnexpectedEof => {
            error.into()
        }
        _ => damaged(id, offset)(&full_message(&error)),
    }
}

/// What a record's bytes are read through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadVia {
    /// The map: no copy, but what the medium cannot read is a signal.
    Map,
    /// Reads: a copy, and what the medium cannot read is an error.
    Disk,
    /// Reads for short records, of which there can be millions and which would have a page of the
    /// map each; the map for others.
    Either,
}

/// One record of the file: its header and index checked.
#[derive(Debug)]
pub struct StoredRecord<'c> {
    pub(in crate::store) shared: &'c Shared,
    pub(in crate::store) header: RecordHeader,
    pub(in crate::store) offset: u64,
    entries: Vec<ChunkEntry>,
    /// Where each chunk's stored bytes begin in the payload.
    starts: Vec<u64>,
    /// The payload as mapped; `None` when every chunk is read by itself.
    payload: Option<&'c [u8]>,
    /// The payload of a short record that was read at once.
    copied: Vec<u8>,
    pub(in crate::store) lane: Lane,
    formula: Option<StoredFormula>,
}

/// The bytes of a record that is being opened.
struct RecordBytes<'c> {
    shared: &'c Shared,
    id: ContentId,
    /// Where the record begins in the file.
    offset: u64,
    /// The map or the disk.
    via: ReadVia,
    /// All of it, through the map, or of a short record: one call has read it.
    whole: Cow<'c, [u8]>,
}

impl<'c> RecordBytes<'c> {
    fn open(shared: &'c Shared, id: ContentId, row: &RecordRow, via: ReadVia) -> Result<Self> {
        let is_short = row.len <= SHORT_MAX && via != ReadVia::Map;
        let via = match via {
            ReadVia::Either if !is_short => ReadVia::Map,
            ReadVia::Either => ReadVia::Disk,
            via => via,
        };
        let whole = Cow::default();
        let mut bytes = RecordBytes { shared, id, offset: row.offset, via, whole };
        if via == ReadVia::Map {
            bytes.whole = Cow::Borrowed(bytes.mapped(0, row.len)?);
        } else if is_short {
            bytes.whole = Cow::Owned(bytes.read(0, row.len)?);
        }
        Ok(bytes)
    }

    fn wrong(&self, reason: &dyn Display) -> StoreError {
        damaged(self.id, self.offset)(reason)
    }

    /// Bytes of the record through the map; `at` counts from its beginning.
    fn mapped(&self, at: u64, len: u64) -> Result<&'c [u8]> {
        self.shared
            .container
            .bytes(self.offset + at, len)
            .map_err(|error| self.wrong(&full_message(&error)))
    }

    fn read(&self, at: u64, len: u64) -> Result<Vec<u8>> {
        let read = self.shared.container.read(self.offset + at, len);
        read.map_err(unreadable(self.id, self.offset))
    }

    fn bytes(&self, at: u64, len: u64) -> Result<Cow<'_, [u8]>> {
        let start = at as usize;
        match self.whole.get(start..start.saturating_add(len as usize)) {
            Some(part) => Ok(Cow::Borrowed(part)),
            None if self.via == ReadVia::Map => self.mapped(at, len).map(Cow::Borrowed),
            None => self.read(at, len).map(Cow::Owned),
        }
    }

    /// The header; it is what the catalogue's row promises.
    fn header(&self, kind: RecordKind, row: &RecordRow) -> Result<RecordHeader> {
        let header = self.bytes(0, RECORD_HEADER_LEN as u64)?;
        let header = RecordHeader::decode(&header).map_err(|error| self.wrong(&error))?;
        let promised =
            (kind, self.id, row.raw_len, row.stored_len, row.base_id, row.depth, row.len);
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
            let reason = format!("the catalogue promises {promised:?}, found {found:?}");
            return Err(self.wrong(&reason));
        }
        Ok(header)
    }

    /// The bytes of the chunk index, their checksum checked.
    fn index(&self, header: &RecordHeader) -> Result<Cow<'_, [u8]>> {
        let index = self.bytes(RECORD_HEADER_LEN as u64, header.index_len())?;
        let crc = crc32fast::hash(&index);
        if crc != header.index_crc {
            let reason =
                format!("chunk index checksum {crc:#010x}, not {:#010x}", header.index_crc);
            return Err(self.wrong(&reason));
        }
        Ok(index)
    }

    /// The formula, if there is one; it is what the catalogue's row promises.
    fn formula(&self, header: &RecordHeader, row: &RecordRow) -> Result<Option<StoredFormula>> {
        let formula = match header.formula_len {
            0 => None,
            len => {
                let block = self.bytes(header.formula_at(), len.into())?;
                let formula = StoredFormula::read(header, &block);
                Some(formula.map_err(|reason| self.wrong(&reason))?)
            }
        };
        let more_bases: Vec<ContentId> =
            formula.iter().flat_map(|formula| formula.base_ids().skip(1)).collect();
        let code = formula.as_ref().map_or(0, |formula| formula.formula().code());
        if (row.formula, &row.more_bases) != (code, &more_bases) {
            return Err(self.wrong(&"the catalogue promises another formula, or other bases"));
        }
        Ok(formula)
    }

    /// The entries of the index, and where each chunk's stored bytes begin in the payload.
    fn chunks(&self, index: &[u8], header: &RecordHeader) -> Result<(Vec<ChunkEntry>, Vec<u64>)> {
        let (mut entries, mut starts, mut at) = (Vec::new(), Vec::new(), 0u64);
        let mut rest = header.raw_len;
        for entry in index.chunks(CHUNK_ENTRY_LEN) {
            let entry = ChunkEntry::decode(entry).map_err(|error| self.wrong(&error))?;
            let chunk_len = rest.min(header.chunk_len());
            rest -= chunk_len;
            let stored_len = u64::from(entry.stored_len);
            if entry.encoding == Encoding::Raw.code() && stored_len != chunk_len {
                let reason = format!("a raw chunk of {chunk_len} bytes in {stored_len}");
                return Err(self.wrong(&reason));
            }
            starts.push(at);
            at += stored_len;
            entries.push(entry);
        }
        if at != header.stored_len {
            return Err(self.wrong(&format!("chunks of {at} bytes in {}", header.stored_len)));
        }
        Ok((entries, starts))
    }
}

impl<'c> StoredRecord<'c> {
    /// Opens the record of `id` that a row names.
    ///
    /// # Errors
    ///
    /// [`StoreError::DamagedRecord`] when header or index are not what they must be.
    pub(in crate::store) fn open(
        shared: &'c Shared,
        kind: RecordKind,
        id: ContentId,
        row: &RecordRow,
        via: ReadVia,
    ) -> Result<Self> {
        let bytes = RecordBytes::open(shared, id, row, via)?;
        let header = bytes.header(kind, row)?;
        let index = bytes.index(&header)?;
        let formula = bytes.formula(&header, row)?;
        let (entries, starts) = bytes.chunks(&index, &header)?;
        let payload_at = header.payload_offset as usize;
        // The row's length is that of the header: what is behind is the payload, and no more.
        let (payload, copied) = match bytes.whole {
            Cow::Borrowed(whole) if bytes.via == ReadVia::Map => (whole.get(payload_at..), vec![]),
            whole => (None, whole.get(payload_at..).unwrap_or_default().to_vec()),
        };
        let lane =
            Dtype::from_code(header.dtype_code).map_or(Lane::BYTES, |dtype| Lane::of(&dtype));
        let offset = row.offset;
        Ok(StoredRecord { shared, header, offset, entries, starts, payload, copied, lane, formula })
    }

    /// The header.
    pub fn header(&self) -> &RecordHeader {
        &self.header
    }

    /// The chunk index.
    pub fn chunks(&self) -> &[ChunkEntry] {
        &self.entries
    }

    /// Whether its formula adds another base's numbers to the first: a difference in a record of
    /// its own.
    pub(in crate::store) fn adds_stored(&self) -> bool {
        self.formula().is_some_and(StoredFormula::adds_stored)
    }

    /// Whether its first base has the same type and length.
    pub(in crate::store) fn keeps_elements(&self) -> bool {
        self.formula().is_none_or(|formula| Formula::keeps_elements(formula.formula().code()))
    }

    /// The formula that its chunks are coded against, when that is not simply the base.
    pub fn formula(&self) -> Option<&StoredFormula> {
        self.formula.as_ref()
    }

    /// The content ids of its bases.
    pub(in crate::store) fn base_ids(&self) -> Vec<ContentId> {
        base_ids(&self.header, self.formula())
    }

    /// The whole content, when it lies raw in the file and is seen through the map.
    pub(in crate::store) fn raw(&self) -> Option<&'c [u8]> {
        let raw = |entry: &ChunkEntry| entry.encoding == Encoding::Raw.code();
        self.payload.filter(|_| self.entries.iter().all(raw))
    }

    /// What tells the record from any other that may come to lie in its place.
    pub(in crate::store) fn place(&self) -> CheckedPlace {
        (self.offset, self.header.content_id, self.header.sequence)
    }

    /// Offset of the payload in the file.
    pub(in crate::store) fn payload_at(&self) -> u64 {
        self.offset + u64::from(self.header.payload_offset)
    }

    /// A chunk's entry and its stored bytes.
    pub(in crate::store) fn chunk(&self, at: usize) -> Result<(&ChunkEntry, Cow<'c, [u8]>)> {
        let wrong = damaged(self.header.content_id, self.offset);
        let missing = || wrong(&"a missing chunk");
        let entry = self.entries.get(at).ok_or_else(missing)?;
        let start = *self.starts.get(at).ok_or_else(missing)?;
        let len = entry.stored_len as usize;
        let Some(payload) = self.payload else {
            // No writer stores a chunk in more than its length: memory is not asked for on the
            // word of an entry alone.
            if u64::from(entry.stored_len) > 2 * self.header.chunk_len() {
                return Err(wrong(&format!("chunk {at} is stored in {len} bytes")));
            }
            let copied = usize::try_from(start).ok();
            let copied = copied.and_then(|start| self.copied.get(start..start + len));
            if let Some(stored) = copied.filter(|stored| !stored.is_empty()) {
                return Ok((entry, Cow::Owned(stored.to_vec())));
            }
            let stored = self.shared.container.read(self.payload_at() + start, len as u64);
            let unreadable = unreadable(self.header.content_id, self.offset);
            return Ok((entry, Cow::Owned(stored.map_err(unreadable)?)));
        };
        let start = usize::try_from(start).ok();
        let stored = start.and_then(|start| payload.get(start..start + len));
        Ok((entry, Cow::Borrowed(stored.ok_or_else(missing)?)))
    }

    pub(in crate::store) fn check_chunk(&self, at: usize) -> Result<()> {
        let (entry, stored) = self.chunk(at)?;
        self.check_bytes(at, entry, &stored)
    }

    fn check_bytes(&self, at: usize, entry: &ChunkEntry, stored: &[u8]) -> Result<()> {
        let crc = crc32fast::hash(stored);
        if crc != entry.crc {
            let reason = format!("checksum of chunk {at} is {crc:#010x}, not {:#010x}", entry.crc);
            return Err(damaged(self.header.content_id, self.offset)(&reason));
        }
        Ok(())
    }

    /// Checks the checksums of the chunks that `start..start + len` lies in.
    pub(in crate::store) fn check_range(&self, start: u64, len: u64) -> Result<()> {
        if len == 0 || self.shared.is_checked(self.place()) {
            return Ok(());
        }
        let chunk_len = self.header.chunk_len();
        let last = (start + len - 1) / chunk_len;
        let chunks = (start / chunk_len) as usize..last as usize + 1;
        chunks.into_par_iter().try_for_each(|at| self.check_chunk(at))
    }

    /// Checks the checksum of every chunk; of a longer record once a handle, whatever this is
    /// asked.
    pub(in crate::store) fn check(&self) -> Result<()> {
        self.check_each(&|at| self.check_chunk(at))
    }

    /// As [`check`](Self::check), of a raw record whose payload is seen at another address.
    pub(in crate::store) fn check_at(&self, payload: &[u8]) -> Result<()> {
        let missing = || damaged(self.header.content_id, self.offset)(&"a missing chunk");
        self.check_each(&|at| {
            let (entry, start) =
                self.entries.get(at).zip(self.starts.get(at)).ok_or_else(missing)?;
            let rest = usize::try_from(*start).ok().and_then(|start| payload.get(start..));
            let stored = rest.and_then(|rest| rest.get(..entry.stored_len as usize));
            self.check_bytes(at, entry, stored.ok_or_else(missing)?)
        })
    }

    fn check_each(&self, check: &(dyn Fn(usize) -> Result<()> + Sync)) -> Result<()> {
        if self.shared.is_checked(self.place()) {
            return Ok(());
        }
        (0..self.entries.len()).into_par_iter().try_for_each(check)?;
        self.shared.set_checked(self.place(), self.header.stored_len);
        Ok(())
    }
}

/// For checking a store: nothing here asks, or changes, what the handle remembers.
impl StoredRecord<'_> {
    /// What is wrong with the chunks: every checksum is computed again.
    pub(crate) fn chunk_faults(&self) -> Vec<String> {
        let faults = (0..self.entries.len()).filter_map(|at| match self.chunk(at) {
            Err(error) => Some(format!("chunk {at}: {}", error.reason())),
            Ok((entry, stored)) => {
                let crc = crc32fast::hash(&stored);
                let wrong = crc != entry.crc;
                wrong.then(|| {
                    format!("checksum of chunk {at} is {crc:#010x}, not {:#010x}", entry.crc)
                })
            }
        });
        faults.collect()
    }
}

/// The row of a record, if there is one.
pub(in crate::store) fn record_row(
    tables: &dyn ReadTables,
    table: Table,
    key: &[u8],
) -> Result<Option<RecordRow>> {
    let row = tables.get(table, key)?.map(|value| RecordRow::decode(&value));
    Ok(row.transpose().map_err(CatalogError::Row)?)
}

/// How many chunks have which encoding.
pub(in crate::store) fn encodings_used(entries: &[ChunkEntry]) -> u32 {
    let bit = |entry: &ChunkEntry| 1u32.checked_shl(entry.encoding.into()).unwrap_or(0);
    entries.iter().fold(0, |used, entry| used | bit(entry))
}

/// Whether all chunks of a record are raw.
pub(in crate::store) fn is_raw(row: &RecordRow) -> bool {
    let raw = 1u32 << Encoding::Raw.code();
    row.base_id.is_none() && row.encodings & !raw == 0
}

/// Where the content lies in the file by its row alone, if it lies raw in it.
pub(in crate::store) fn raw_at(row: &RecordRow) -> Option<u64> {
    let is_whole = is_raw(row) && row.stored_len == row.raw_len;
    let payload_at = row.len.checked_sub(row.stored_len).filter(|_| is_whole)?;
    row.offset.checked_add(payload_at)
}
