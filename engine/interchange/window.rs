//! Small reads of a file, one after the other, through a window that is read ahead.

use super::{InterchangeError, OpenFile};

/// Bytes that are read ahead.
const WINDOW_LEN: u64 = 1 << 14;

/// A part of a file in memory. Whoever asks has checked that the file has the bytes.
#[derive(Debug)]
pub(super) struct Window<'f> {
    file: &'f OpenFile,
    bytes: Vec<u8>,
    start: u64,
}

impl<'f> Window<'f> {
    pub(super) fn new(file: &'f OpenFile) -> Self {
        Window { file, bytes: Vec::new(), start: 0 }
    }

    /// The `N` bytes at `at`.
    ///
    /// # Errors
    ///
    /// [`InterchangeError::Io`].
    pub(super) fn array<const N: usize>(&mut self, at: u64) -> Result<[u8; N], InterchangeError> {
        const { assert!(N as u64 <= WINDOW_LEN) };
        if let Some(bytes) = self.held(at) {
            return Ok(bytes);
        }
        let len = self.file.len().saturating_sub(at).min(WINDOW_LEN);
        // Nothing is held until the read has succeeded.
        self.bytes.clear();
        self.bytes = self.file.bytes(at, len.max(N as u64))?;
        self.start = at;
        Ok(self.held(at).unwrap_or([0; N]))
    }

    fn held<const N: usize>(&self, at: u64) -> Option<[u8; N]> {
        let skip = usize::try_from(at.checked_sub(self.start)?).ok()?;
        self.bytes.get(skip..)?.first_chunk().copied()
    }
}
