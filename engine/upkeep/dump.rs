//! The format made visible: superblock slots, extents, records.

use std::path::Path;

use super::each_record;
use super::salvage::scan;
use crate::container::{
    Container, ContainerError, Disk, Slots, full_message, read_disk, superblock_slots,
};
use crate::format::{
    CHUNK_ENTRY_LEN, ChunkEntry, FormatError, RECORD_HEADER_LEN, RecordHeader, SUPERBLOCK_LEN,
    Superblock,
};
use crate::store::{OpenOptions, Result, Snapshot, Store, StoreError};

/// One slot of the superblock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotDump {
    /// Offset in the file.
    pub offset: u64,
    /// What it says, or what is wrong with it. The second slot of a new store may be empty.
    pub result: std::result::Result<Superblock, FormatError>,
}

/// One record that the catalogue names, or that was found without it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordDump {
    /// Offset in the file.
    pub offset: u64,
    /// Length that the catalogue, or else its header, gives it, from its start to the end of its
    /// payload.
    pub row_len: u64,
    /// Its header, or what is wrong with it.
    pub header: std::result::Result<RecordHeader, String>,
    /// Its chunk index, as far as it can be read; its checksum is not looked at.
    pub chunks: Vec<ChunkEntry>,
}

/// A file, structure by structure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dump {
    /// Both slots, as they are in the file now.
    pub slots: [SlotDump; 2],
    /// The superblock that counts, if one does.
    pub superblock: Option<Superblock>,
    /// Length of the file.
    pub file_bytes: u64,
    /// Every record that the catalogue names or, without one, that was found, by offset.
    pub records: Vec<RecordDump>,
    /// Why the catalogue could not be read, when it could not.
    pub catalogue_error: Option<String>,
}

/// Reads the structures of a store, damaged ones too. Cost: every row, header and chunk index; no
/// payload.
///
/// # Errors
///
/// Those of the catalogue and of the disk.
pub fn dump(store: &Store, snapshot: &Snapshot) -> Result<Dump> {
    let container = store.container();
    let mut places: Vec<(u64, u64)> = Vec::new();
    each_record(snapshot.tables(), &mut |_, row| places.push((row.offset, row.len)))?;
    places.sort_unstable();
    let disk = &**container.disk();
    let records = places.into_iter().map(|(offset, len)| dump_record(disk, offset, len)).collect();
    let superblock = Some(container.superblock());
    let (slots, file_bytes) = (slots(container.superblock_slots()?), container.disk_len()?);
    Ok(Dump { slots, superblock, file_bytes, records, catalogue_error: None })
}

/// As [`dump`], of the last commit of the store at `path`. Where its catalogue cannot be read, the
/// records are those that a scan finds, the ones that nothing needs any more among them.
///
/// # Errors
///
/// A file that cannot be opened, or is no store; those of the disk.
pub fn dump_path(path: impl AsRef<Path>) -> Result<Dump> {
    let path = path.as_ref();
    dump_path_with(path, &OpenOptions::new())
}

/// As [`dump_path`], waiting for a writer that repairs the store as the options say.
///
/// # Errors
///
/// As there.
pub fn dump_path_with(path: impl AsRef<Path>, options: &OpenOptions) -> Result<Dump> {
    let path = path.as_ref();
    let error = match options.open_read_only(path).and_then(|s| dump(&s, &s.snapshot()?)) {
        Err(error) if error.is_damage() => error,
        result => return result,
    };
    let disk = Container::open_file(path, false).map_err(StoreError::open_file(path))?;
    let slots = slots(superblock_slots(&*disk)?);
    let valid = slots.iter().filter_map(|slot| slot.result.as_ref().ok());
    let superblock = valid.max_by_key(|superblock| superblock.generation).cloned();
    let scanned = scan(&*disk, &|_| ())?;
    let whole = scanned.records.iter().map(|found| (found.offset, found.header.record_len()));
    let headless = scanned.headless.iter().map(|(offset, _)| (*offset, 0));
    let mut places: Vec<(u64, u64)> = whole.chain(headless).collect();
    places.sort_unstable();
    let records = places.into_iter().map(|(offset, len)| dump_record(&*disk, offset, len));
    Ok(Dump {
        slots,
        superblock,
        file_bytes: disk.len().map_err(ContainerError::io("read length", 0))?,
        records: records.collect(),
        catalogue_error: Some(full_message(&error)),
    })
}

fn slots([first, second]: Slots) -> [SlotDump; 2] {
    [
        SlotDump { offset: 0, result: first },
        SlotDump { offset: SUPERBLOCK_LEN as u64, result: second },
    ]
}

fn dump_record(disk: &dyn Disk, offset: u64, row_len: u64) -> RecordDump {
    let header = read_disk(disk, offset, RECORD_HEADER_LEN as u64)
        .map_err(|error| full_message(&error))
        .and_then(|bytes| RecordHeader::decode(&bytes).map_err(|error| error.to_string()));
    let mut chunks = Vec::new();
    if let Ok(header) = &header
        && let Ok(index) =
            read_disk(disk, offset.saturating_add(RECORD_HEADER_LEN as u64), header.index_len())
    {
        chunks.extend(index.chunks(CHUNK_ENTRY_LEN).map_while(|e| ChunkEntry::decode(e).ok()));
    }
    RecordDump { offset, row_len, header, chunks }
}
