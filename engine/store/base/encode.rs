//! A tensor's bytes to the chunks of a record, as differences from a base.

use rayon::prelude::*;

use super::chunks::{EncodedChunks, chunk_entry};
use super::prediction::Prediction;
use crate::codec::{self, Lane, Profile};
use crate::format::{CHUNK_LEN, ChunkEntry};
use crate::store::error::Result;
use crate::store::read::chain::Verify;

/// `bytes`, which begin at `start` of their tensor (a multiple of the chunk length), as
/// differences from `base`, on all cores.
pub(in crate::store) fn delta_chunks(
    profile: Profile,
    lane: Lane,
    bytes: &[u8],
    start: u64,
    base: &Prediction<'_>,
) -> Result<EncodedChunks> {
    let encode = |(at, chunk): (usize, &[u8])| -> Result<(ChunkEntry, Vec<u8>)> {
        let mut base_chunk = vec![0; chunk.len()];
        let chunk_start = start + (at * CHUNK_LEN) as u64;
        base.read(chunk_start, &mut base_chunk, Verify::Checksums)?;
        let mut stored = Vec::new();
        let encoding = codec::encode_delta(profile, lane, chunk, &base_chunk, &mut stored);
        Ok((chunk_entry(encoding, &stored), stored))
    };
    let chunks: Vec<_> =
        bytes.par_chunks(CHUNK_LEN).enumerate().map(encode).collect::<Result<_>>()?;
    let (entries, stored) = chunks.into_iter().unzip();
    Ok(EncodedChunks { entries, stored })
}
