//! Structures of the store's own file.

use mgit::format::{
    CHUNK_ENTRY_LEN, ChangeRecord, ChunkEntry, Manifest, RECORD_HEADER_LEN, RecordHeader,
    SUPERBLOCK_LEN, Superblock,
};

/// Invariants checked:
///
/// - Decoding arbitrary bytes gives an error or a superblock, and never panics.
/// - What decodes is written again as the same 4,096 bytes.
pub fn superblock(data: &[u8]) {
    let Ok(superblock) = Superblock::decode(data) else { return };
    let bytes = superblock.encode().expect("what was read fits");
    assert!(bytes[..] == data[..SUPERBLOCK_LEN], "not the only way to write {superblock:?}");
}

/// Invariants checked:
///
/// - Decoding arbitrary bytes gives an error or a header, or chunk entries, and never panics.
/// - What decodes is written again as the same bytes.
/// - Lengths derived from a header neither overflow nor contradict it.
pub fn record_header(data: &[u8]) {
    if let Ok(header) = RecordHeader::decode(data) {
        assert_eq!(header.encode(), data[..RECORD_HEADER_LEN]);
        assert!(header.chunk_count() * header.chunk_len() >= header.raw_len);
        assert!(header.record_len() >= header.stored_len);
        assert!(header.index_len() <= u64::from(header.payload_offset));
    }
    for bytes in data.chunks(CHUNK_ENTRY_LEN) {
        if let Ok(entry) = ChunkEntry::decode(bytes) {
            assert_eq!(ChunkEntry::encode_all(&[entry]), bytes);
        }
    }
}

/// Invariants checked:
///
/// - Decoding arbitrary bytes gives an error or a manifest, never panics, and allocates in
///   proportion to the bytes.
/// - What decodes is written again as the same bytes, so equal manifests have equal ids.
/// - The tensors are exactly those of the parts.
pub fn manifest(data: &[u8]) {
    let Ok(manifest) = Manifest::decode(data) else { return };
    assert_eq!(manifest.encode().expect("what was read fits"), data);
    let counted: u64 = manifest.parts.iter().map(|part| u64::from(part.tensor_count)).sum();
    assert_eq!(counted, manifest.tensors.len() as u64);
}

/// Invariants checked:
///
/// - Decoding arbitrary bytes gives an error or a change record, and never panics.
/// - What decodes, written again, decodes to the same.
pub fn change_record(data: &[u8]) {
    let Ok(change) = ChangeRecord::decode(data) else { return };
    let bytes = change.encode().expect("what was read can be written");
    assert_eq!(ChangeRecord::decode(&bytes), Ok(change));
}
