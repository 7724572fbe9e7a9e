//! Making checksums and lengths of a mutated input right again.

use mgit::format::{
    CHUNK_ENTRY_LEN, RECORD_HEADER_LEN, RECORD_MAGIC, SUPERBLOCK_LEN, record_field,
    superblock_field,
};

/// Leaves the input as it is.
pub fn nothing(_: &mut [u8]) {}

/// Sets the header length to what ends at the last `}`.
pub fn safetensors_length(data: &mut [u8]) {
    let Some(last) = data.iter().rposition(|byte| *byte == b'}') else { return };
    if let Some(len) = (last + 1).checked_sub(8) {
        data[..8].copy_from_slice(&(len as u64).to_le_bytes());
    }
}

/// The checksum of one superblock.
pub fn superblock(data: &mut [u8]) {
    let Some(slot) = data.get_mut(..SUPERBLOCK_LEN) else { return };
    let (covered, checksum) = slot.split_at_mut(superblock_field::CHECKSUM);
    checksum.copy_from_slice(&blake3::hash(covered).as_bytes()[..checksum.len()]);
}

/// The checksum of one record header.
pub fn record_header(data: &mut [u8]) {
    let Some(header) = data.get_mut(..RECORD_HEADER_LEN) else { return };
    let (covered, crc) = header.split_at_mut(record_field::HEADER_CRC);
    crc.copy_from_slice(&crc32fast::hash(covered).to_le_bytes());
}

/// Both superblocks, and the index and header checksums of every record.
pub fn store(data: &mut [u8]) {
    superblock(data);
    if let Some(second) = data.get_mut(SUPERBLOCK_LEN..) {
        superblock(second);
    }
    for start in (2 * SUPERBLOCK_LEN..data.len()).step_by(64) {
        let record = &mut data[start..];
        if !record.starts_with(&RECORD_MAGIC) || record.len() < RECORD_HEADER_LEN {
            continue;
        }
        let field = |at: usize| u64::from_le_bytes(record[at..at + 8].try_into().unwrap());
        let chunk_log2 = record[record_field::CHUNK_LOG2].clamp(12, 26);
        let chunks = field(record_field::RAW_LEN).div_ceil(1 << chunk_log2);
        let index_len = (chunks as usize).saturating_mul(CHUNK_ENTRY_LEN);
        let index_end = RECORD_HEADER_LEN.saturating_add(index_len);
        if let Some(index) = record.get(RECORD_HEADER_LEN..index_end) {
            let crc = crc32fast::hash(index).to_le_bytes();
            record[record_field::INDEX_CRC..][..4].copy_from_slice(&crc);
        }
        record_header(record);
    }
}

/// The places, lengths and counts that a zip archive's directory and ends give.
pub fn zip(data: &mut [u8]) {
    let places = |magic: &[u8]| -> Vec<usize> {
        let windows = data.windows(magic.len()).enumerate();
        windows.filter(|(_, window)| *window == magic).map(|(at, _)| at).collect()
    };
    let (local, central) = (places(b"PK\x03\x04"), places(b"PK\x01\x02"));
    let (record, end) = (places(b"PK\x06\x06"), places(b"PK\x05\x06"));
    let (Some(begin), Some(end)) = (central.first().copied(), end.last().copied()) else { return };
    let mut put = |at: usize, bytes: &[u8]| {
        if let Some(place) = data.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
    };
    for (central, local) in central.iter().zip(&local) {
        put(central + 42, &(*local as u32).to_le_bytes());
    }
    let record = record.last().copied().filter(|record| *record > begin && *record + 76 == end);
    let len = record.unwrap_or(end).saturating_sub(begin);
    let count = central.len();
    if let Some(record) = record {
        for (at, number) in [(24, count), (32, count), (40, len), (48, begin)] {
            put(record + at, &(number as u64).to_le_bytes());
        }
        put(record + 56 + 8, &(record as u64).to_le_bytes());
    }
    for at in [8, 10] {
        put(end + at, &(count as u16).to_le_bytes());
    }
    put(end + 12, &(len as u32).to_le_bytes());
    put(end + 16, &(begin as u32).to_le_bytes());
}
