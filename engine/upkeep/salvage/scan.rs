//! Finding records by what they say of themselves, wherever they lie.

use crate::catalog::RecordRow;
use crate::codec::{self, Encoding, Lane};
use crate::container::{ContainerError, Disk, full_message, read_disk};
use crate::format::{
    CHUNK_ENTRY_LEN, ChunkEntry, Extent, FormulaBlock, RECORD_ALIGN, RECORD_HEADER_LEN,
    RECORD_MAGIC, RecordHeader,
};
use crate::tensor::{ContentId, Dtype};

/// Bytes that are looked through at a time.
const WINDOW_LEN: u64 = 1 << 20;
/// What is read by itself where a window cannot be read.
const BLOCK_LEN: u64 = 4096;
/// How many times the file's length may be read again: whole records are passed over, but damaged
/// ones may lie in each other.
const READS_MAX: u64 = 16;

/// A record that begins somewhere, and what became of it.
#[derive(Clone, Debug)]
pub(in crate::upkeep) struct Found {
    pub(in crate::upkeep) offset: u64,
    pub(in crate::upkeep) header: RecordHeader,
    /// Bit `n` is set when a chunk has the encoding of code `n`.
    pub(in crate::upkeep) encodings: u32,
    /// Code of its formula; 0 without one.
    pub(in crate::upkeep) formula: u8,
    /// The bases of its formula behind the first.
    pub(in crate::upkeep) more_bases: Vec<ContentId>,
    /// What is wrong with it: nothing, when every checksum is right.
    pub(in crate::upkeep) fault: Option<String>,
}

impl Found {
    pub(in crate::upkeep) fn is_whole(&self) -> bool {
        self.fault.is_none()
    }

    /// The row that a catalogue has for it, needed by nobody yet.
    pub(in crate::upkeep) fn row(&self) -> RecordRow {
        let header = &self.header;
        RecordRow {
            offset: self.offset,
            len: header.record_len(),
            raw_len: header.raw_len,
            stored_len: header.stored_len,
            base_id: header.base_id,
            depth: header.depth,
            encodings: self.encodings,
            formula: self.formula,
            holders: 0,
            dependents: 0,
            more_bases: self.more_bases.clone(),
        }
    }
}

/// Everything that a file says of itself.
#[derive(Debug, Default)]
pub(in crate::upkeep) struct Scan {
    /// The records whose header can be read, in the order of the file.
    pub(in crate::upkeep) records: Vec<Found>,
    /// Where a record begins whose header cannot be read, and why.
    pub(in crate::upkeep) headless: Vec<(u64, String)>,
    /// What the medium does not give.
    pub(in crate::upkeep) unreadable: Vec<Extent>,
}

/// Looks through the whole file. Damage is noted and passed over. Cost: reads the file once.
pub(in crate::upkeep) fn scan(
    disk: &dyn Disk,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Scan, ContainerError> {
    let file_len = disk.len().map_err(ContainerError::io("read length", 0))?;
    let mut scan = Scan::default();
    let mut budget = file_len.saturating_mul(READS_MAX).saturating_add(WINDOW_LEN);
    let mut window = vec![0; WINDOW_LEN.min(file_len) as usize];
    let mut at = 0;
    while at < file_len {
        let len = WINDOW_LEN.min(file_len - at);
        let bytes = window.get_mut(..len as usize).unwrap_or_default();
        read_what_can_be(disk, at, bytes, &mut scan.unreadable);
        progress(len);
        // Where the next record may begin: behind a whole one that began in this window.
        let mut next = at;
        for (place, start) in bytes.chunks(RECORD_ALIGN as usize).zip(0u64..) {
            let offset = at + start * RECORD_ALIGN;
            if offset < next || !place.starts_with(&RECORD_MAGIC) {
                continue;
            }
            match look_at(disk, offset, file_len, &mut budget) {
                Err(reason) => scan.headless.push((offset, reason)),
                Ok(found) => {
                    if found.is_whole() {
                        next = offset.saturating_add(found.header.record_len());
                    }
                    scan.records.push(found);
                }
            }
        }
        let behind = next.next_multiple_of(RECORD_ALIGN);
        if behind > at + len {
            progress(behind.min(file_len) - at - len);
        }
        at = behind.max(at + len);
    }
    Ok(scan)
}

/// Fills `bytes`; blocks that cannot be read become zeros and are noted.
fn read_what_can_be(disk: &dyn Disk, at: u64, bytes: &mut [u8], unreadable: &mut Vec<Extent>) {
    if disk.read_at(at, bytes).is_ok() {
        return;
    }
    for (block, number) in bytes.chunks_mut(BLOCK_LEN as usize).zip(0u64..) {
        let offset = at + number * BLOCK_LEN;
        if disk.read_at(offset, block).is_ok() {
            continue;
        }
        block.fill(0);
        let len = block.len() as u64;
        match unreadable.last_mut() {
            Some(last) if last.end() == offset => last.len += len,
            _ => unreadable.push(Extent { offset, len }),
        }
    }
}

/// Reads a record's header, and then whatever else it has.
fn look_at(disk: &dyn Disk, offset: u64, file_len: u64, budget: &mut u64) -> Result<Found, String> {
    let head = read_disk(disk, offset, RECORD_HEADER_LEN as u64).map_err(|e| full_message(&e))?;
    let header = RecordHeader::decode(&head).map_err(|error| error.to_string())?;
    let (formula, more_bases) = (0, Vec::new());
    let mut found = Found { offset, header, encodings: 0, formula, more_bases, fault: None };
    found.fault = check(disk, &mut found, file_len, budget).err();
    Ok(found)
}

fn index_of(disk: &dyn Disk, found: &Found) -> Result<Vec<ChunkEntry>, String> {
    let header = &found.header;
    let at = found.offset + RECORD_HEADER_LEN as u64;
    let index = read_disk(disk, at, header.index_len()).map_err(|error| full_message(&error))?;
    let crc = crc32fast::hash(&index);
    if crc != header.index_crc {
        return Err(format!("chunk index checksum {crc:#010x}, not {:#010x}", header.index_crc));
    }
    let entries = index.chunks(CHUNK_ENTRY_LEN).map(ChunkEntry::decode);
    let entries: Vec<ChunkEntry> = entries.collect::<Result<_, _>>().map_err(|e| e.to_string())?;
    let sum: u64 = entries.iter().map(|entry| u64::from(entry.stored_len)).sum();
    match sum == header.stored_len {
        true => Ok(entries),
        false => Err(format!("chunks of {sum} bytes in {}", header.stored_len)),
    }
}

fn check(
    disk: &dyn Disk,
    found: &mut Found,
    file_len: u64,
    budget: &mut u64,
) -> Result<(), String> {
    let end = found.offset.saturating_add(found.header.record_len());
    if end > file_len {
        return Err(format!("it ends at byte {end} of a file of {file_len}"));
    }
    let left = budget.checked_sub(found.header.record_len());
    *budget = left.ok_or("too many records lie in each other here")?;
    let entries = index_of(disk, found)?;
    read_formula(disk, found)?;
    let mut at = found.offset + u64::from(found.header.payload_offset);
    let mut piece = vec![0; WINDOW_LEN.min(found.header.stored_len) as usize];
    for (entry, number) in entries.iter().zip(0u64..) {
        found.encodings |= 1u32.checked_shl(entry.encoding.into()).unwrap_or(0);
        let mut hasher = crc32fast::Hasher::new();
        let mut rest = u64::from(entry.stored_len);
        while rest > 0 {
            let len = rest.min(WINDOW_LEN);
            let part = piece.get_mut(..len as usize).unwrap_or_default();
            disk.read_at(at, part)
                .map_err(|error| format!("chunk {number}: {}", full_message(&error)))?;
            hasher.update(part);
            (at, rest) = (at + len, rest - len);
        }
        let crc = hasher.finalize();
        if crc != entry.crc {
            return Err(format!(
                "checksum of chunk {number} is {crc:#010x}, not {:#010x}",
                entry.crc
            ));
        }
    }
    Ok(())
}

/// Takes the bases out of the formula. What it computes is looked at when the new store is checked.
fn read_formula(disk: &dyn Disk, found: &mut Found) -> Result<(), String> {
    let header = &found.header;
    if header.formula_len == 0 {
        return Ok(());
    }
    let at = found.offset.saturating_add(header.formula_at());
    let block = read_disk(disk, at, header.formula_len.into()).map_err(|e| full_message(&e))?;
    let crc = crc32fast::hash(&block);
    if crc != header.formula_crc {
        return Err(format!("formula checksum {crc:#010x}, not {:#010x}", header.formula_crc));
    }
    let block = FormulaBlock::decode(&block).map_err(|error| error.to_string())?;
    let mut bases = block.bases.iter().map(|base| base.content_id);
    if bases.next() != Some(header.base_id) {
        return Err("the formula's first base is not the record's".to_owned());
    }
    found.more_bases = bases.collect();
    found.formula = block.code;
    Ok(())
}

/// The content of a whole record that stands alone; its id is checked.
pub(in crate::upkeep) fn content(disk: &dyn Disk, found: &Found) -> Result<Vec<u8>, String> {
    let header = &found.header;
    // As in the store: a length that is out of proportion is not believed.
    if header.raw_len > header.stored_len.saturating_mul(256) {
        return Err(format!("{} bytes of content in {}", header.raw_len, header.stored_len));
    }
    let entries = index_of(disk, found)?;
    let lane = Dtype::from_code(header.dtype_code).map_or(Lane::BYTES, |dtype| Lane::of(&dtype));
    let mut bytes = vec![0; header.raw_len as usize];
    let mut at = found.offset + u64::from(header.payload_offset);
    for (chunk, entry) in bytes.chunks_mut(header.chunk_len() as usize).zip(entries) {
        let stored = read_disk(disk, at, entry.stored_len.into()).map_err(|e| full_message(&e))?;
        at += u64::from(entry.stored_len);
        let encoding = Encoding::from_code(entry.encoding).filter(|known| !known.needs_base());
        let encoding = encoding.ok_or_else(|| format!("encoding {}", entry.encoding))?;
        codec::decode(encoding, lane, &stored, chunk).map_err(|error| error.to_string())?;
    }
    let id = ContentId::of(&bytes);
    match id == header.content_id {
        true => Ok(bytes),
        false => Err(format!("the content hashes to {}", id.short())),
    }
}
