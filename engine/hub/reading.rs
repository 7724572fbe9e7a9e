//! A range of a file, read piece by piece.

use std::ops::Range;

use super::piece::Piece;
use super::piece_cache::PieceCache;
use crate::format::CHUNK_LEN;
use crate::store::{FilePart, StoreError, StoredFile, Tensor};

/// Decoded at a time: what a chunk is, so that each is decoded once.
const BLOCK_LEN: u64 = CHUNK_LEN as u64;
/// Bytes of a decoded block that one piece copies. A slow download holds no more.
const COPY_LEN: u64 = 256 << 10;
/// Parts below this length are read together.
const SMALL_LEN: u64 = 64 << 10;

/// A range of a file, read piece by piece: [`next`](Self::next) decodes no more than a chunk, and
/// holds nothing of the piece before.
#[derive(Debug)]
pub struct FileReader {
    file: StoredFile,
    at: u64,
    end: u64,
}

impl FileReader {
    pub(super) fn new(file: StoredFile, range: Range<u64>) -> Self {
        FileReader { at: range.start, end: range.end.min(file.byte_len()), file }
    }

    /// Bytes that were not read yet.
    pub fn left(&self) -> u64 {
        self.end.saturating_sub(self.at)
    }

    /// The next piece, of at most a mebibyte; `None` behind the last one. Blocks while a chunk is
    /// decoded.
    ///
    /// # Errors
    ///
    /// As [`StoredFile::read_at`]. The same piece may be asked for again.
    pub fn next(&mut self, cache: &PieceCache) -> Result<Option<Piece>, StoreError> {
        if self.left() == 0 {
            return Ok(None);
        }
        let piece = match self.file.part_at(self.at) {
            FilePart::Content { content, start, len } if len >= SMALL_LEN => {
                piece_of(&content, start, len.min(self.left()), cache)?
            }
            _ => self.small_parts()?,
        };
        if piece.is_empty() {
            return Err(StoreError::BufferLength { expected: self.left(), found: 0 });
        }
        self.at += piece.len() as u64;
        Ok(Some(piece))
    }

    /// Short parts that follow each other, and what is not stored as a content.
    fn small_parts(&self) -> Result<Piece, StoreError> {
        let most = self.left().min(COPY_LEN);
        let mut len = 0;
        while len < most {
            match self.file.part_at(self.at + len) {
                FilePart::Content { len: next, .. } if next >= SMALL_LEN && len > 0 => break,
                FilePart::Content { len: next, .. } | FilePart::Memory { len: next } => {
                    len += next.max(1);
                }
            }
        }
        let mut bytes = vec![0; len.min(most) as usize];
        let read = self.file.read_at(self.at, &mut bytes);
        self.file.forget_window();
        read?;
        Ok(Piece::owned(bytes))
    }
}

/// The beginning of a range of a content: mapped, or copied from a decoded block.
fn piece_of(
    content: &Tensor,
    start: u64,
    len: u64,
    cache: &PieceCache,
) -> Result<Piece, StoreError> {
    let block = start / BLOCK_LEN;
    let begin = block * BLOCK_LEN;
    let inner = start - begin;
    let len = len.min(BLOCK_LEN - inner);
    if let Some(view) = content.raw_range(start, len as usize)? {
        return Ok(Piece::mapped(view));
    }
    let block = cache.block((content.content_id(), block), || {
        let len = BLOCK_LEN.min(content.byte_len().saturating_sub(begin));
        let mut bytes = vec![0; len as usize];
        content.read_range_into(begin, &mut bytes)?;
        Ok(bytes)
    })?;
    let len = len.min(COPY_LEN);
    let bytes = block.get(inner as usize..(inner + len) as usize);
    Ok(Piece::owned(bytes.unwrap_or_default().to_vec()))
}
