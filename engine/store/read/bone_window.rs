//! The piece of a skeleton that was read last.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::tensor::Tensor;
use crate::format::CHUNK_LEN;
use crate::store::error::{Result, StoreError};

/// A piece of a file's skeleton, decoded. The gaps between tensors are short, so that many of them
/// lie in one chunk, which would be decoded for each.
#[derive(Debug, Default)]
pub(super) struct BoneWindow(Mutex<(u64, Vec<u8>)>);

impl Clone for BoneWindow {
    /// Without the piece.
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl BoneWindow {
    /// Bytes of a piece, where the skeleton has as many.
    pub(super) const LEN: u64 = CHUNK_LEN as u64;

    fn piece(&self) -> MutexGuard<'_, (u64, Vec<u8>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets the piece.
    pub(super) fn clear(&self) {
        *self.piece() = Default::default();
    }

    /// Fills `out` with the bytes of a skeleton from `start` on. Cost: each piece is decoded once
    /// where they are read in order.
    ///
    /// # Errors
    ///
    /// As [`Tensor::read_range_into`].
    pub(super) fn read(&self, skeleton: &Tensor, mut start: u64, out: &mut [u8]) -> Result<()> {
        let len = skeleton.byte_len();
        let end = start.saturating_add(out.len() as u64);
        if end > len {
            return Err(StoreError::BufferLength { expected: len, found: end });
        }
        let mut rest = out;
        while !rest.is_empty() {
            let begin = start - start % Self::LEN;
            let piece_len = Self::LEN.min(len - begin);
            let inner = (start - begin) as usize;
            let (part, behind) = rest.split_at_mut(rest.len().min(piece_len as usize - inner));
            if part.len() as u64 == piece_len {
                skeleton.read_range_into(start, part)?;
            } else {
                let mut piece = self.piece();
                if piece.0 != begin || piece.1.is_empty() {
                    let mut bytes = std::mem::take(&mut piece.1);
                    bytes.resize(piece_len as usize, 0);
                    skeleton.read_range_into(begin, &mut bytes)?;
                    *piece = (begin, bytes);
                }
                let from = piece.1.get(inner..inner + part.len());
                part.copy_from_slice(from.unwrap_or_default());
            }
            start += part.len() as u64;
            rest = behind;
        }
        Ok(())
    }
}
