//! How much memory reading a file may take.

use super::{InterchangeError, OpenFile};
use crate::format::FileFormat;

/// What is left of the memory that a reader may take, whatever the file claims.
#[derive(Debug)]
pub(super) struct Budget<'f> {
    file: &'f OpenFile,
    format: FileFormat,
    left: u64,
    limit: u64,
}

impl<'f> Budget<'f> {
    /// `limit` bytes for a file that is read as `format`.
    pub(super) fn new(file: &'f OpenFile, format: FileFormat, limit: u64) -> Self {
        Budget { file, format, left: limit, limit }
    }

    /// Takes `bytes` for what stands at `offset`.
    ///
    /// # Errors
    ///
    /// [`InterchangeError::LayoutTooLarge`].
    pub(super) fn take(&mut self, bytes: u64, offset: u64) -> Result<(), InterchangeError> {
        let Some(left) = self.left.checked_sub(bytes) else {
            return Err(InterchangeError::LayoutTooLarge {
                file: self.file.path().to_path_buf(),
                format: self.format,
                offset,
                limit: self.limit,
            });
        };
        self.left = left;
        Ok(())
    }
}
