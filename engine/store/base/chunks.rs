//! A tensor's bytes to the chunks of a record, without a base.

use rayon::prelude::*;

use crate::codec::{self, Encoding, Lane, Profile};
use crate::format::{CHUNK_LEN, ChunkEntry};

/// Chunks ready to be written.
#[derive(Debug, Default)]
pub(in crate::store) struct EncodedChunks {
    pub(in crate::store) entries: Vec<ChunkEntry>,
    /// The stored bytes of each chunk; empty where they are the chunk's own.
    pub(in crate::store) stored: Vec<Vec<u8>>,
}

impl EncodedChunks {
    /// Bytes that the chunks take.
    pub(in crate::store) fn stored_len(&self) -> u64 {
        self.entries.iter().map(|entry| u64::from(entry.stored_len)).sum()
    }

    /// Whether any chunk stands on a base.
    pub(in crate::store) fn needs_base(&self) -> bool {
        self.entries
            .iter()
            .filter_map(|entry| Encoding::from_code(entry.encoding))
            .any(Encoding::needs_base)
    }
}

pub(in crate::store) fn chunk_entry(encoding: Encoding, stored: &[u8]) -> ChunkEntry {
    ChunkEntry {
        stored_len: stored.len() as u32,
        crc: crc32fast::hash(stored),
        encoding: encoding.code(),
    }
}

/// The index of `bytes` stored raw, on all cores.
pub(in crate::store) fn raw_entries(bytes: &[u8]) -> Vec<ChunkEntry> {
    bytes.par_chunks(CHUNK_LEN).map(|chunk| chunk_entry(Encoding::Raw, chunk)).collect()
}

/// `bytes` without a base, as `profile` allows, on all cores. Without stored bytes when all of
/// them are raw.
pub(in crate::store) fn standalone_chunks(
    profile: Profile,
    lane: Lane,
    bytes: &[u8],
) -> EncodedChunks {
    if profile != Profile::Dense {
        return EncodedChunks { entries: raw_entries(bytes), stored: Vec::new() };
    }
    let encode = |chunk: &[u8]| {
        let mut stored = Vec::new();
        let encoding = codec::encode_standalone(profile, lane, chunk, &mut stored);
        (chunk_entry(encoding, &stored), stored)
    };
    let (entries, mut stored): (Vec<_>, Vec<_>) = bytes.par_chunks(CHUNK_LEN).map(encode).unzip();
    if entries.iter().all(|entry: &ChunkEntry| entry.encoding == Encoding::Raw.code()) {
        stored.clear();
    }
    EncodedChunks { entries, stored }
}

/// A chunk of text-like bytes, compressed where that helps.
pub(in crate::store) fn plain_chunk(chunk: &[u8]) -> (ChunkEntry, Vec<u8>) {
    let mut stored = Vec::new();
    let encoding = codec::encode_plain(chunk, &mut stored);
    (chunk_entry(encoding, &stored), stored)
}

/// How many bytes text-like bytes take when they are stored.
pub(in crate::store) fn plain_len(bytes: &[u8]) -> u64 {
    bytes.chunks(CHUNK_LEN).map(|chunk| plain_chunk(chunk).1.len() as u64).sum()
}
