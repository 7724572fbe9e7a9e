//! A content and everything it is decoded from.

use rayon::prelude::*;

use super::record::{ReadVia, StoredRecord, record_row};
use crate::catalog::{ReadTables, RecordRow, Table};
use crate::codec::formula::Formula;
use crate::codec::{self, Encoding};
use crate::format::RecordKind;
use crate::store::error::{Result, StoreError, damaged};
use crate::store::shared::Shared;
use crate::tensor::{AlignedBuffer, ContentId};

/// Whether a read looks at checksums first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Verify {
    /// Every chunk that is read, unless this handle has checked its record.
    Checksums,
    /// None.
    Nothing,
}

/// The most records that decoding one chunk may visit, each counted as often as it is visited.
pub(in crate::store) const VISITS_MAX: u64 = 256;

/// A content and everything it is decoded from: its record, the bases', and so on to the roots.
#[derive(Debug)]
pub struct Chain<'c> {
    records: Vec<StoredRecord<'c>>,
    /// For every record, the places of its bases among the records.
    bases: Vec<Vec<usize>>,
}

impl<'c> Chain<'c> {
    /// Opens the chain of a tensor or, with another table and kind, of a record without base.
    ///
    /// # Errors
    ///
    /// [`StoreError::DamagedRecord`], also when a base is missing or a chain does not end.
    pub(in crate::store) fn open(
        shared: &'c Shared,
        tables: &dyn ReadTables,
        kind: RecordKind,
        id: ContentId,
        row: RecordRow,
    ) -> Result<Self> {
        Self::open_via(shared, tables, kind, id, row, ReadVia::Either)
    }

    /// As [`open`](Self::open), with the records read through what one says.
    ///
    /// # Errors
    ///
    /// As there.
    pub(in crate::store) fn open_via(
        shared: &'c Shared,
        tables: &dyn ReadTables,
        kind: RecordKind,
        id: ContentId,
        row: RecordRow,
        via: ReadVia,
    ) -> Result<Self> {
        let mut records = vec![StoredRecord::open(shared, kind, id, &row, via)?];
        let mut bases: Vec<Vec<usize>> = Vec::new();
        while let Some(above) = records.get(bases.len()) {
            let (depth, raw_len, chunk_log2) =
                (above.header.depth, above.header.raw_len, above.header.chunk_log2);
            let plain = above.formula().is_none();
            let wrong = damaged(above.header.content_id, above.offset);
            let mut places = Vec::new();
            for base_id in above.base_ids() {
                let known = |record: &StoredRecord<'_>| record.header.content_id == base_id;
                let place = match records.iter().position(known) {
                    Some(place) => place,
                    None => {
                        let row = record_row(tables, Table::Tensors, base_id.as_bytes())?;
                        let row = row.ok_or_else(|| {
                            wrong(&format!("base {} is missing", base_id.short()))
                        })?;
                        records.push(StoredRecord::open(shared, kind, base_id, &row, via)?);
                        records.len() - 1
                    }
                };
                let base = &records[place].header;
                // Depth falls with every step, so every chain ends.
                if base.depth >= depth || (plain && base.raw_len != raw_len) {
                    let found = (depth, base.depth, raw_len, base.raw_len);
                    return Err(wrong(&format!("not a base of its delta: {found:?}")));
                }
                // A longer chunk of a base would be decoded again for every part of it.
                if base.chunk_log2 > chunk_log2 {
                    let found = (chunk_log2, base.chunk_log2);
                    return Err(wrong(&format!("chunks longer than its delta's: {found:?}")));
                }
                places.push(place);
            }
            bases.push(places);
            if records.len() as u64 > VISITS_MAX {
                return Err(damaged(id, row.offset)(&"too many bases"));
            }
        }
        let chain = Chain { records, bases };
        match chain.visits() {
            0..=VISITS_MAX => Ok(chain),
            visits => Err(damaged(id, row.offset)(&format!("{visits} bases to decode a chunk"))),
        }
    }

    /// How many records decoding a chunk visits.
    pub(in crate::store) fn visits(&self) -> u64 {
        let mut order: Vec<usize> = (0..self.records.len()).collect();
        order.sort_by_key(|place| self.records[*place].header.depth);
        let mut visits = vec![0u64; self.records.len()];
        for place in order {
            let below = self.bases[place].iter().map(|base| visits[*base]);
            visits[place] = below.fold(1, u64::saturating_add);
        }
        visits[0]
    }

    /// The record of the content itself.
    pub fn record(&self) -> &StoredRecord<'c> {
        &self.records[0]
    }

    /// Every record, the content's own first, each before its bases.
    #[cfg(feature = "unstable-format")]
    pub fn records(&self) -> &[StoredRecord<'c>] {
        &self.records
    }

    /// How many differences decoding passes, for every record: those below it and, where it stands
    /// on others and has bytes of its own, itself. A formula that holds exactly has none, unless
    /// what it adds to its base is stored.
    fn steps_of_all(&self) -> Vec<u8> {
        let mut order: Vec<usize> = (0..self.records.len()).collect();
        order.sort_by_key(|place| self.records[*place].header.depth);
        let mut steps = vec![0u8; self.records.len()];
        for place in order {
            let below = self.bases[place].iter().map(|base| steps[*base]).max();
            let record = &self.records[place];
            let own = record.header.stored_len > 0 || record.adds_stored();
            let own = below.is_some() && own;
            steps[place] = below.unwrap_or(0).saturating_add(own.into());
        }
        steps
    }

    /// How many differences decoding passes.
    pub(in crate::store) fn steps(&self) -> u8 {
        self.steps_of_all()[0]
    }

    /// The nearest content below this one that is of the same elements, fewer than `max` steps deep
    /// and less deep than `bound`; where there is none, the lowest of the same elements.
    pub(in crate::store) fn restart(&self, max: u8, bound: u8) -> Option<ContentId> {
        let steps = self.steps_of_all();
        let full = |place: usize| steps[place] >= max || self.records[place].header.depth >= bound;
        let mut place = 0;
        while let Some(base) = self.bases[place].first()
            && self.records[place].keeps_elements()
            && full(place)
        {
            place = *base;
        }
        (place > 0).then(|| self.records[place].header.content_id)
    }

    /// Decoded length in bytes.
    pub fn raw_len(&self) -> u64 {
        self.record().header.raw_len
    }

    /// Decodes a range without looking at checksums. Pieces of whole chunks decode each once.
    pub(crate) fn read_unchecked(&self, start: u64, out: &mut [u8]) -> Result<()> {
        self.read(start, out, Verify::Nothing)
    }

    /// Checks the checksums of every record of the chain, each once a handle.
    pub(in crate::store) fn check(&self) -> Result<()> {
        self.records.iter().try_for_each(StoredRecord::check)
    }

    /// Decodes `start..start + out.len()` into `out`, on all cores, each chunk in place through
    /// the whole chain.
    pub(in crate::store) fn read(&self, start: u64, out: &mut [u8], verify: Verify) -> Result<()> {
        if verify == Verify::Checksums && start == 0 && out.len() as u64 == self.raw_len() {
            self.check()?;
        }
        let chunk_len = self.record().header.chunk_len();
        // The first part ends at a chunk boundary, the others are whole chunks.
        let head = (start.next_multiple_of(chunk_len) - start).min(out.len() as u64);
        let (first, rest) = out.split_at_mut(head as usize);
        self.read_at(0, start, first, verify)?;
        rest.par_chunks_mut(chunk_len as usize).enumerate().try_for_each(|(at, part)| {
            self.read_at(0, start + head + at as u64 * chunk_len, part, verify)
        })
    }

    /// Decodes a range of the content of record `level` of the chain.
    fn read_at(&self, level: usize, start: u64, out: &mut [u8], verify: Verify) -> Result<()> {
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
                self.read_chunk(level, index as usize, chunk_start, part, verify)?;
            } else {
                self.read_chunk_part(level, index as usize, chunk_start, at, part, verify)?;
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
        verify: Verify,
    ) -> Result<()> {
        let record = &self.records[level];
        let wrong = damaged(record.header.content_id, record.offset);
        let (entry, stored) = record.chunk(index)?;
        let unchecked = || !record.shared.is_checked(record.place());
        if verify == Verify::Checksums && unchecked() {
            record.check_chunk(index)?;
        }
        let encoding = Encoding::from_code(entry.encoding)
            .ok_or_else(|| wrong(&format!("unknown encoding {}", entry.encoding)))?;
        if encoding.needs_base() {
            self.read_prediction(level, chunk_start, out, verify)?;
        }
        codec::decode(encoding, record.lane, &stored, out).map_err(|error| wrong(&error))
    }

    /// What the chunk at `chunk_start` is coded against: the base's bytes, or what the formula
    /// makes of the bases'.
    fn read_prediction(
        &self,
        level: usize,
        chunk_start: u64,
        out: &mut [u8],
        verify: Verify,
    ) -> Result<()> {
        let record = &self.records[level];
        let bases = &self.bases[level];
        if let Some(formula) = record.formula() {
            let lens: Vec<u64> =
                bases.iter().map(|base| self.records[*base].header.raw_len).collect();
            return predict(formula.formula(), chunk_start, out, &lens, &|base, start, bytes| {
                self.read_at(bases[base], start, bytes, verify)
            });
        }
        match bases.first() {
            Some(base) => self.read_at(*base, chunk_start, out, verify),
            None => {
                Err(damaged(record.header.content_id, record.offset)(&"a delta without a base"))
            }
        }
    }

    /// Decodes a part of a chunk: from the map when it lies raw, else through a buffer.
    fn read_chunk_part(
        &self,
        level: usize,
        index: usize,
        chunk_start: u64,
        at: u64,
        out: &mut [u8],
        verify: Verify,
    ) -> Result<()> {
        let record = &self.records[level];
        let chunk_len =
            (record.header.raw_len - chunk_start).min(record.header.chunk_len()) as usize;
        let mut whole = vec![0; chunk_len];
        self.read_chunk(level, index, chunk_start, &mut whole, verify)?;
        let from = (at - chunk_start) as usize;
        out.copy_from_slice(&whole[from..from + out.len()]);
        Ok(())
    }

    /// The whole content in a new aligned buffer.
    pub(in crate::store) fn reconstruct(&self, verify: Verify) -> Result<AlignedBuffer> {
        let len = self.believed_len()?;
        let no_memory = || StoreError::OutOfMemory { bytes: len as u64 };
        let mut buffer = AlignedBuffer::zeroed(len).ok_or_else(no_memory)?;
        self.read(0, buffer.as_bytes_mut(), verify)?;
        Ok(buffer)
    }

    /// The length of the content, for which memory may be asked.
    pub(in crate::store) fn believed_len(&self) -> Result<usize> {
        let len = self.raw_len();
        // A chunk decodes to at most 255 times its stored bytes, or to its base's length, and the
        // root's chunks are stored: a length that is out of proportion is not believed.
        let stored: u64 = self.records.iter().map(|record| record.header.stored_len).sum();
        if len > stored.saturating_mul(256) {
            let record = self.record();
            let reason = format!("{len} bytes of content in {stored} stored");
            return Err(damaged(record.header.content_id, record.offset)(&reason));
        }
        usize::try_from(len).map_err(|_| StoreError::OutOfMemory { bytes: len })
    }
}

/// Gives bytes of one of several bases, from an offset on.
pub(in crate::store) type ReadBase<'r> = dyn Fn(usize, u64, &mut [u8]) -> Result<()> + 'r;

/// Makes the bytes from `start` on of what a formula predicts, into `out`. `lens` are the lengths
/// of the bases.
pub(in crate::store) fn predict(
    formula: &Formula,
    start: u64,
    out: &mut [u8],
    lens: &[u64],
    read: &ReadBase<'_>,
) -> Result<()> {
    let range = start..start + out.len() as u64;
    let mut bases: Vec<Vec<u8>> = Vec::with_capacity(lens.len());
    for (at, (need, len)) in formula.needs(&range).into_iter().zip(lens).enumerate() {
        let (from, end) = (need.start.min(*len), need.end.min(*len));
        let no_memory = |_| StoreError::OutOfMemory { bytes: end - from };
        let mut bytes = Vec::new();
        bytes.try_reserve_exact((end - from) as usize).map_err(no_memory)?;
        bytes.resize((end - from) as usize, 0);
        read(at, from, &mut bytes)?;
        bases.push(bytes);
    }
    let bases: Vec<&[u8]> = bases.iter().map(Vec::as_slice).collect();
    formula.predict(&range, &bases, out);
    Ok(())
}
