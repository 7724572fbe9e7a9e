//! Whether a file's tensors fill it, one behind the other.

use std::path::Path;

use super::InterchangeError;
use super::entry::TensorEntry;
use crate::tensor::{ShapeError, first_duplicate};

/// The ranges of a header's entries while it is read.
pub(super) struct Layout<'a> {
    file: &'a Path,
    buffer_len: u64,
    /// Bytes that the entries so far claim together; never more than `buffer_len`.
    claimed: u64,
    entries: Vec<TensorEntry>,
}

impl<'a> Layout<'a> {
    pub(super) fn new(file: &'a Path, buffer_len: u64) -> Self {
        Layout { file, buffer_len, claimed: 0, entries: Vec::new() }
    }

    /// Takes one more entry.
    ///
    /// Ranges within a buffer that add up to more than the buffer must overlap somewhere, so
    /// the running total refuses a header of a million entries on one range at the second one.
    pub(super) fn push(&mut self, entry: TensorEntry) -> Result<(), InterchangeError> {
        let TensorEntry { begin, end, .. } = entry;
        let refused = |tensor: String| (self.file.to_path_buf(), tensor, begin, end);
        let buffer_len = self.buffer_len;
        if end < begin {
            let (file, tensor, begin, end) = refused(entry.name);
            return Err(InterchangeError::OffsetsReversed { file, tensor, begin, end });
        }
        if end > buffer_len {
            let (file, tensor, begin, end) = refused(entry.name);
            return Err(InterchangeError::PastEnd { file, tensor, begin, end, buffer_len });
        }
        self.check_length(&entry)?;
        match self.claimed.checked_add(end - begin).filter(|claimed| *claimed <= buffer_len) {
            Some(claimed) => self.claimed = claimed,
            None => return Err(self.overcommitted(entry)),
        }
        self.entries.push(entry);
        Ok(())
    }

    fn check_length(&self, entry: &TensorEntry) -> Result<(), InterchangeError> {
        let found = entry.byte_len();
        let expected = match entry.dtype.byte_len(&entry.shape) {
            // Opaque bytes: only the file tells how many.
            Ok(None) => return Ok(()),
            Ok(Some(expected)) if expected == found => return Ok(()),
            other => other,
        };
        let file = self.file.to_path_buf();
        let TensorEntry { name: tensor, dtype, shape, begin, .. } = entry.clone();
        Err(match expected {
            Ok(expected) => InterchangeError::LengthMismatch {
                file,
                tensor,
                dtype,
                shape,
                begin,
                expected: expected.unwrap_or(found),
                found,
            },
            Err(ShapeError::PartialByte { bits }) => {
                InterchangeError::PartialByte { file, tensor, dtype, shape, bits }
            }
            Err(
                ShapeError::TooLarge | ShapeError::Negative | ShapeError::TooManyDimensions { .. },
            ) => {
                let dims = shape.dims().to_vec();
                InterchangeError::ShapeOverflow { file, tensor, dtype, dims }
            }
        })
    }

    /// Says why `newest` claims more than is left, by the most telling reason there is.
    #[cold]
    fn overcommitted(&self, newest: TensorEntry) -> InterchangeError {
        let file = self.file.to_path_buf();
        let TensorEntry { name: tensor, begin, end, .. } = newest;
        if self.entries.iter().any(|entry| entry.name == tensor) {
            return InterchangeError::DuplicateName { file, tensor };
        }
        let overlaps = |entry: &&TensorEntry| entry.begin < end && begin < entry.end;
        match self.entries.iter().find(overlaps) {
            Some(entry) if entry.begin <= begin => {
                let (other, other_end) = (entry.name.clone(), entry.end);
                InterchangeError::Overlap { file, tensor, begin, other, other_end }
            }
            Some(entry) => InterchangeError::Overlap {
                file,
                tensor: entry.name.clone(),
                begin: entry.begin,
                other: tensor,
                other_end: end,
            },
            // Two older entries overlap each other.
            None => {
                let buffer_len = self.buffer_len;
                InterchangeError::Overcommitted { file, tensor, begin, end, buffer_len }
            }
        }
    }

    /// The entries in the order of their bytes, once all are known.
    pub(super) fn finish(mut self) -> Result<Vec<TensorEntry>, InterchangeError> {
        let file = || self.file.to_path_buf();
        if let Some(tensor) = first_duplicate(self.entries.iter().map(|it| it.name.as_str())) {
            return Err(InterchangeError::DuplicateName { file: file(), tensor: tensor.into() });
        }
        self.entries.sort_by_key(|entry| (entry.begin, entry.end));
        let mut previous: Option<&TensorEntry> = None;
        for entry in &self.entries {
            let expected = previous.map_or(0, |previous| previous.end);
            let (tensor, begin) = (|| entry.name.clone(), entry.begin);
            match previous {
                _ if begin == expected => {}
                Some(previous) if begin < expected => {
                    return Err(InterchangeError::Overlap {
                        file: file(),
                        tensor: tensor(),
                        begin,
                        other: previous.name.clone(),
                        other_end: expected,
                    });
                }
                _ => {
                    let (file, tensor) = (file(), tensor());
                    return Err(InterchangeError::Hole { file, tensor, begin, expected });
                }
            }
            previous = Some(entry);
        }
        let covered = previous.map_or(0, |previous| previous.end);
        let buffer_len = self.buffer_len;
        if covered != buffer_len {
            return Err(InterchangeError::TrailingBytes { file: file(), covered, buffer_len });
        }
        Ok(self.entries)
    }
}
