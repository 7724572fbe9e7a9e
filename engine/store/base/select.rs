//! The shortest of the ways to store a tensor.

use super::chunks::{EncodedChunks, standalone_chunks};
use super::encode::delta_chunks;
use super::prediction::Prediction;
use crate::codec::{Lane, Profile};
use crate::format::CHUNK_LEN;
use crate::store::error::Result;
use crate::store::slabs::{fit_arena, read_source};
use crate::store::source::{NewTensor, Source};

/// Bytes by which several bases of a longer tensor are told apart.
const PIECE_LEN: usize = 1 << 16;

/// A tensor ready to be written.
pub(in crate::store) struct Encoded<'c> {
    pub(in crate::store) chunks: EncodedChunks,
    /// What its chunks stand on.
    pub(in crate::store) prediction: Option<Prediction<'c>>,
}

impl Encoded<'_> {
    /// Bytes that chunks and formula take.
    pub(in crate::store) fn len(&self) -> u64 {
        self.chunks.stored_len() + self.prediction.as_ref().map_or(0, Prediction::own_len)
    }
}

/// Of several plain bases the one against which a piece of `bytes` is shortest, and every other
/// prediction.
fn prune<'c>(
    profile: Profile,
    lane: Lane,
    bytes: &[u8],
    bases: Vec<Prediction<'c>>,
) -> Result<Vec<Prediction<'c>>> {
    let (plain, mut kept): (Vec<_>, Vec<_>) =
        bases.into_iter().partition(|prediction| prediction.formula.is_none());
    if plain.len() < 2 || bytes.len() < 4 * PIECE_LEN {
        return Ok(plain.into_iter().chain(kept).collect());
    }
    let start = bytes.len() / 2 / PIECE_LEN * PIECE_LEN;
    let piece = &bytes[start..start + PIECE_LEN];
    let mut best: Option<(u64, Prediction<'c>)> = None;
    for prediction in plain {
        let len = delta_chunks(profile, lane, piece, start as u64, &prediction)?.stored_len();
        if best.as_ref().is_none_or(|(least, _)| len < *least) {
            best = Some((len, prediction));
        }
    }
    kept.extend(best.map(|(_, prediction)| prediction));
    Ok(kept)
}

/// The shortest way to store `bytes` that `profile` allows: against one of `bases`, or alone.
pub(in crate::store) fn select_encoding<'c>(
    profile: Profile,
    tensor: &NewTensor<'_>,
    bytes: &[u8],
    mut bases: Vec<Prediction<'c>>,
) -> Result<Encoded<'c>> {
    let lane = Lane::of(&tensor.dtype);
    bases.retain(|prediction| prediction.is_for(&tensor.dtype));
    let mut best = Encoded { chunks: standalone_chunks(profile, lane, bytes), prediction: None };
    let bases = prune(profile, lane, bytes, bases)?;
    let plain = bases.iter().find(|prediction| prediction.formula.is_none()).cloned();
    let mut consider = |prediction: Prediction<'c>| -> Result<()> {
        let chunks = delta_chunks(profile, lane, bytes, 0, &prediction)?;
        if !prediction.accepts(chunks.stored_len()) {
            return Ok(());
        }
        let prediction = chunks.needs_base().then_some(prediction);
        let encoded = Encoded { chunks, prediction };
        if encoded.len() < best.len() {
            best = encoded;
        }
        Ok(())
    };
    bases.into_iter().try_for_each(&mut consider)?;
    if let Some(plain) = plain.filter(|_| profile == Profile::Dense)
        && let Some(prediction) = plain.low_rank(tensor, bytes)?
    {
        consider(prediction)?;
    }
    Ok(best)
}

/// The first chunk of a long tensor.
pub(in crate::store) fn first_chunk<'t>(
    tensor: &'t NewTensor<'_>,
    arena: &'t mut Vec<u8>,
) -> Result<&'t [u8]> {
    chunk_at(tensor, 0, arena)
}

fn chunk_at<'t>(tensor: &'t NewTensor<'_>, start: u64, arena: &'t mut Vec<u8>) -> Result<&'t [u8]> {
    if let Source::Bytes(bytes) = tensor.source {
        return Ok(&bytes[start as usize..start as usize + CHUNK_LEN]);
    }
    fit_arena(arena);
    read_source(tensor, start, &mut arena[..CHUNK_LEN])?;
    Ok(&arena[..CHUNK_LEN])
}

/// The prediction against which three chunks of a long tensor are shortest, if any is worth it.
pub(in crate::store) fn best_by_sample<'c>(
    profile: Profile,
    tensor: &NewTensor<'_>,
    bases: Vec<Prediction<'c>>,
    arena: &mut Vec<u8>,
) -> Result<Option<Prediction<'c>>> {
    let lane = Lane::of(&tensor.dtype);
    let chunks = tensor.byte_len / CHUNK_LEN as u64;
    let places = [0, chunks / 2, chunks.saturating_sub(1)].map(|at| at * CHUNK_LEN as u64);
    let fitting = bases.into_iter().filter(|prediction| prediction.is_for(&tensor.dtype));
    let mut bases: Vec<(u64, Prediction<'c>)> = fitting.map(|prediction| (0, prediction)).collect();
    for start in places {
        if bases.is_empty() {
            return Ok(None);
        }
        let sample = chunk_at(tensor, start, arena)?;
        for (sum, prediction) in &mut bases {
            *sum += delta_chunks(profile, lane, sample, start, prediction)?.stored_len();
        }
    }
    let worth = places.len() as u64 * CHUNK_LEN as u64;
    let bearable = bases.into_iter().filter(|(sum, prediction)| prediction.accepts(*sum));
    let best = bearable.min_by_key(|(sum, _)| *sum);
    Ok(best.filter(|(sum, _)| *sum < worth).map(|(_, prediction)| prediction))
}
