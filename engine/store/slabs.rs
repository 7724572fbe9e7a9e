//! Sources read into memory: short tensors whole, long ones slab by slab.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::sync::PoisonError;

use rayon::prelude::*;

use super::error::{Result, StoreError};
use super::source::{NewTensor, Source, TensorSource};
use crate::container::unnamed_file;
use crate::format::CHUNK_LEN;
use crate::tensor::ContentId;

/// A longer tensor is never whole in memory: two chunks for every core, at most 16 MiB, which are
/// had without many page faults.
pub(in crate::store) fn slab_len() -> usize {
    (rayon::current_num_threads() * 2 * CHUNK_LEN).clamp(4 << 20, 16 << 20) / CHUNK_LEN * CHUNK_LEN
}

/// What is read, decoded or checked at a time while the piece before it is written or hashed: a
/// chunk for every core, from 2 MiB to 8 MiB. Longer pieces leave the cache in between: with 8 MiB,
/// two cores exported a sixth more slowly, and with 4 MiB they cloned a quarter more slowly.
pub(in crate::store) fn piece_len() -> usize {
    (rayon::current_num_threads() * CHUNK_LEN).clamp(2 << 20, 8 << 20) / CHUNK_LEN * CHUNK_LEN
}

/// Short tensors are taken together up to this many bytes.
pub(in crate::store) fn batch_len() -> usize {
    2 * slab_len()
}

/// Memory for [`batch_len`] bytes. It is zero without being touched, so that its pages are made
/// by the threads that fill it, and only as far as it is filled.
pub(in crate::store) fn fit_arena(arena: &mut Vec<u8>) {
    if arena.len() < batch_len() {
        *arena = vec![0; batch_len()];
    }
}

/// A longer stream is put into a temporary file.
const SETTLED_IN_MEMORY_MAX: u64 = 16 << 20;

/// Pieces in which bytes are read and hashed while they are in the cache.
const PIECE_LEN: usize = 1 << 18;

/// Reads the streams of a model's tensors, which can be read only once, to memory or to a
/// temporary file in `folder`.
pub(in crate::store) fn settle_readers(
    tensors: &mut [&mut NewTensor<'_>],
    folder: &std::path::Path,
) -> Result<()> {
    for tensor in tensors {
        let Source::Reader(reader) = &mut tensor.source else { continue };
        let len = tensor.byte_len;
        let reader = reader.get_mut().unwrap_or_else(PoisonError::into_inner);
        let settled = settle(reader, len, folder)
            .map_err(|source| StoreError::Source { tensor: tensor.name.to_string(), source })?;
        tensor.source = Source::ReadAt(settled);
    }
    Ok(())
}

struct InMemory(Vec<u8>);
struct InFile(File);

impl TensorSource for InMemory {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let part = start.checked_add(out.len()).and_then(|end| self.0.get(start..end));
        out.copy_from_slice(part.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

impl TensorSource for InFile {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(out, offset)
    }
}

fn settle(
    reader: &mut dyn Read,
    len: u64,
    folder: &std::path::Path,
) -> io::Result<Box<dyn TensorSource>> {
    // One byte more than there must be, to notice that there are more.
    let mut reader = reader.take(len.saturating_add(1));
    let wrong = |found: u64| {
        let message = format!("the stream has {found} bytes or more, {len} were announced");
        Err(io::Error::new(io::ErrorKind::InvalidData, message))
    };
    if len <= SETTLED_IN_MEMORY_MAX {
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes)?;
        return match bytes.len() as u64 {
            found if found == len => Ok(Box::new(InMemory(bytes))),
            found => wrong(found),
        };
    }
    let mut file = unnamed_file(folder)?;
    let found = io::copy(&mut reader, &mut file)?;
    file.flush()?;
    if found == len { Ok(Box::new(InFile(file))) } else { wrong(found) }
}

/// Fills `out` with the bytes of `tensor` from `offset` on.
pub(in crate::store) fn read_source(
    tensor: &NewTensor<'_>,
    offset: u64,
    out: &mut [u8],
) -> Result<()> {
    let failed = |source| StoreError::Source { tensor: tensor.name.to_string(), source };
    match &tensor.source {
        Source::ReadAt(source) => source.read_at(offset, out).map_err(failed),
        Source::Shared(source, at) => source.read_tensor_at(*at, offset, out).map_err(failed),
        Source::Borrowed(source) => source.read_at(offset, out).map_err(failed),
        // Bytes are at hand, readers are settled: neither comes here.
        Source::Bytes(_) | Source::Reader(_) => Err(failed(io::ErrorKind::Unsupported.into())),
    }
}

/// The id of a tensor whose bytes are read into `out` meanwhile.
pub(in crate::store) fn read_and_hash(tensor: &NewTensor<'_>, out: &mut [u8]) -> Result<ContentId> {
    let mut hasher = blake3::Hasher::new();
    for (at, piece) in out.chunks_mut(PIECE_LEN).enumerate() {
        read_source(tensor, (at * PIECE_LEN) as u64, piece)?;
        hasher.update(piece);
    }
    Ok(hasher.finalize().into())
}

/// Calls `work` with every piece of a tensor and its offset.
pub(in crate::store) fn for_slabs(
    tensor: &NewTensor<'_>,
    arena: &mut Vec<u8>,
    work: &mut dyn FnMut(u64, &[u8]) -> Result<()>,
) -> Result<()> {
    if let Source::Bytes(bytes) = tensor.source {
        let mut slabs = bytes.chunks(slab_len()).enumerate();
        return slabs.try_for_each(|(at, slab)| work((at * slab_len()) as u64, slab));
    }
    fit_arena(arena);
    let fill = |start: u64, slab: &mut [u8]| {
        // On all cores: copying out of the page cache takes as long as hashing does.
        slab.par_chunks_mut(CHUNK_LEN)
            .enumerate()
            .try_for_each(|(at, piece)| read_source(tensor, start + (at * CHUNK_LEN) as u64, piece))
    };
    ahead(tensor.byte_len, &mut arena[..batch_len()], &fill, work)
}

/// Fills piece after piece of `len` bytes, each while `work` has the one before. Memory: `arena`,
/// which has room for two.
pub(in crate::store) fn ahead(
    len: u64,
    arena: &mut [u8],
    fill: &(dyn Fn(u64, &mut [u8]) -> Result<()> + Sync),
    work: &mut dyn FnMut(u64, &[u8]) -> Result<()>,
) -> Result<()> {
    let piece_len = piece_len().min(arena.len() / 2);
    let (mut now, mut next) = arena[..2 * piece_len].split_at_mut(piece_len);
    let len_at = |start: u64| len.saturating_sub(start).min(piece_len as u64) as usize;
    let mut filled = fill(0, &mut now[..len_at(0)]);
    let mut start = 0;
    while start < len {
        filled?;
        let behind = start + piece_len as u64;
        let (piece, room) = (&now[..len_at(start)], &mut next[..len_at(behind)]);
        filled = Ok(());
        let worked = rayon::in_place_scope(|scope| {
            if !room.is_empty() {
                scope.spawn(|_| filled = fill(behind, room));
            }
            work(start, piece)
        });
        worked?;
        (start, now, next) = (behind, next, now);
    }
    filled
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn byte(at: u64) -> u8 {
        (at * 7 % 251) as u8
    }

    fn fill(start: u64, slab: &mut [u8]) -> Result<()> {
        (start..).zip(slab).for_each(|(at, out)| *out = byte(at));
        Ok(())
    }

    #[test]
    fn every_byte_is_seen_once_and_in_order() {
        for (len, room) in [(0, 2), (1, 2), (5, 10), (6, 6), (7, 6), (9, 6), (1000, 64)] {
            let mut seen = Vec::new();
            ahead(len, &mut vec![0; room], &fill, &mut |start, slab| {
                assert_eq!(start, seen.len() as u64);
                seen.extend_from_slice(slab);
                Ok(())
            })
            .unwrap();
            assert_eq!(seen, (0..len).map(byte).collect::<Vec<u8>>(), "{len} by {room}");
        }
    }

    #[test]
    fn what_fails_ends_it_before_more_is_seen() {
        let failed = || StoreError::OutOfMemory { bytes: 1 };
        for bad in [0, 4, 12] {
            let mut seen = 0;
            let fill = |start: u64, slab: &mut [u8]| match start == bad {
                true => Err(failed()),
                false => fill(start, slab),
            };
            let work = &mut |_: u64, slab: &[u8]| {
                seen += slab.len() as u64;
                Ok(())
            };
            assert!(ahead(20, &mut [0; 8], &fill, work).is_err());
            assert_eq!(seen, bad);
        }
        let mut calls = 0;
        let work = &mut |_: u64, _: &[u8]| {
            calls += 1;
            Err(failed())
        };
        assert!(ahead(20, &mut [0; 8], &fill, work).is_err());
        assert_eq!(calls, 1);
    }
}
