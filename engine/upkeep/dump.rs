//! The format made visible: superblock slots, extents, records.

use super::record_rows;
use crate::container::Container;
use crate::format::{
    CHUNK_ENTRY_LEN, ChunkEntry, FormatError, RECORD_HEADER_LEN, RecordHeader, SUPERBLOCK_LEN,
    Superblock,
};
use crate::store::{Result, Snapshot, Store};

/// One slot of the superblock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotDump {
    /// Offset in the file.
    pub offset: u64,
    /// What it says, or what is wrong with it. The second slot of a new store may be empty.
    pub result: std::result::Result<Superblock, FormatError>,
}

/// One record that the catalogue names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordDump {
    /// Offset in the file.
    pub offset: u64,
    /// Length that the catalogue gives it, from its start to the end of its payload.
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
    /// The superblock that counts.
    pub superblock: Superblock,
    /// Length of the file.
    pub file_bytes: u64,
    /// Every record that the catalogue names, by offset.
    pub records: Vec<RecordDump>,
}

/// Reads the structures of a store, damaged ones too. Cost: every row, header and chunk index; no
/// payload.
///
/// # Errors
///
/// Those of the catalogue and of the disk.
pub fn dump(store: &Store, snapshot: &Snapshot) -> Result<Dump> {
    let container = store.container();
    let [first, second] = container.superblock_slots()?;
    let slots = [
        SlotDump { offset: 0, result: first },
        SlotDump { offset: SUPERBLOCK_LEN as u64, result: second },
    ];
    let mut records: Vec<RecordDump> = record_rows(snapshot.tables())?
        .into_iter()
        .map(|(_, row)| dump_record(container, row.offset, row.len))
        .collect();
    records.sort_unstable_by_key(|record| (record.offset, record.row_len));
    let (superblock, file_bytes) = (container.superblock(), container.disk_len()?);
    Ok(Dump { slots, superblock, file_bytes, records })
}

fn dump_record(container: &Container, offset: u64, row_len: u64) -> RecordDump {
    let header = container
        .read(offset, RECORD_HEADER_LEN as u64)
        .map_err(|error| error.to_string())
        .and_then(|bytes| RecordHeader::decode(&bytes).map_err(|error| error.to_string()));
    let mut chunks = Vec::new();
    if let Ok(header) = &header
        && let Ok(index) =
            container.read(offset.saturating_add(RECORD_HEADER_LEN as u64), header.index_len())
    {
        chunks.extend(index.chunks(CHUNK_ENTRY_LEN).map_while(|e| ChunkEntry::decode(e).ok()));
    }
    RecordDump { offset, row_len, header, chunks }
}
