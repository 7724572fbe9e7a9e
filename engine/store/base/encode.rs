//! A tensor's bytes to the chunks of a record.

use rayon::prelude::*;

use super::prediction::Basis;
use crate::codec::{self, Encoding, Lane, Profile};
use crate::format::{CHUNK_LOG2, ChunkEntry};
use crate::store::error::Result;
use crate::store::read::chain::Checks;

/// Decoded length of a chunk that is written.
pub(in crate::store) const CHUNK_LEN: usize = 1 << CHUNK_LOG2;

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

fn entry(encoding: Encoding, stored: &[u8]) -> ChunkEntry {
    ChunkEntry {
        stored_len: stored.len() as u32,
        crc: crc32fast::hash(stored),
        encoding: encoding.code(),
    }
}

/// The index of `bytes` stored raw, on all cores.
pub(in crate::store) fn raw_entries(bytes: &[u8]) -> Vec<ChunkEntry> {
    bytes.par_chunks(CHUNK_LEN).map(|chunk| entry(Encoding::Raw, chunk)).collect()
}

/// `bytes`, which begin at `start` of their tensor (a multiple of the chunk length), as
/// differences from `base`, on all cores.
pub(in crate::store) fn delta_chunks(
    profile: Profile,
    lane: Lane,
    bytes: &[u8],
    start: u64,
    base: &Basis<'_>,
) -> Result<EncodedChunks> {
    let encode = |(at, chunk): (usize, &[u8])| -> Result<(ChunkEntry, Vec<u8>)> {
        let mut base_chunk = vec![0; chunk.len()];
        let chunk_start = start + (at * CHUNK_LEN) as u64;
        base.read(chunk_start, &mut base_chunk, Checks::First)?;
        let mut stored = Vec::new();
        let encoding = codec::encode_delta(profile, lane, chunk, &base_chunk, &mut stored);
        Ok((entry(encoding, &stored), stored))
    };
    let chunks: Vec<_> =
        bytes.par_chunks(CHUNK_LEN).enumerate().map(encode).collect::<Result<_>>()?;
    let (entries, stored) = chunks.into_iter().unzip();
    Ok(EncodedChunks { entries, stored })
}

/// `bytes` without a base, as `profile` allows, on all cores. Without stored bytes when all of
/// them are raw.
pub(in crate::store) fn alone_chunks(profile: Profile, lane: Lane, bytes: &[u8]) -> EncodedChunks {
    if profile != Profile::Dense {
        return EncodedChunks { entries: raw_entries(bytes), stored: Vec::new() };
    }
    let encode = |chunk: &[u8]| {
        let mut stored = Vec::new();
        let encoding = codec::encode_alone(profile, lane, chunk, &mut stored);
        (entry(encoding, &stored), stored)
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
    (entry(encoding, &stored), stored)
}

/// How many bytes text-like bytes take when they are stored.
pub(in crate::store) fn plain_len(bytes: &[u8]) -> u64 {
    bytes.chunks(CHUNK_LEN).map(|chunk| plain_chunk(chunk).1.len() as u64).sum()
}
