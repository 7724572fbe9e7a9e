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

/// A longer tensor goes slab by slab: two chunks for every core, at most 16 MiB. Small enough to
/// stay in the cache between reading, hashing and writing, and to be had without many page faults.
pub(in crate::store) fn slab_len() -> usize {
    (rayon::current_num_threads() * 2 * CHUNK_LEN).clamp(4 << 20, 16 << 20) / CHUNK_LEN * CHUNK_LEN
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

/// Calls `work` with every slab of a tensor and its offset.
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
    let mut start = 0;
    while start < tensor.byte_len {
        let len = (tensor.byte_len - start).min(slab_len() as u64);
        let slab = &mut arena[..len as usize];
        // On all cores: copying out of the page cache takes as long as hashing does.
        slab.par_chunks_mut(CHUNK_LEN).enumerate().try_for_each(|(at, piece)| {
            read_source(tensor, start + (at * CHUNK_LEN) as u64, piece)
        })?;
        work(start, slab)?;
        start += len;
    }
    Ok(())
}
