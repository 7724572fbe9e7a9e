//! Opening what is to be a regular file.

use std::fs::{File, FileType, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use super::InterchangeError;

/// Opens `path` for reading, with its length in bytes.
///
/// The kind of file is asked of the opened file, so it cannot change in between, and the open
/// does not wait, so that a pipe without a writer is refused instead of blocking for ever.
///
/// # Errors
///
/// [`InterchangeError::NotFound`], [`InterchangeError::NotRegularFile`],
/// [`InterchangeError::Io`].
pub(super) fn open(path: &Path) -> Result<(File, u64), InterchangeError> {
    let no_wait = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(no_wait).open(path);
    let file = match file {
        Ok(file) => file,
        // A socket cannot be opened at all: say what it is, not "no such device".
        Err(source) => {
            return Err(match std::fs::metadata(path) {
                Ok(found) if !found.is_file() => not_regular(path, found.file_type()),
                _ => InterchangeError::io(path, "open", source),
            });
        }
    };
    let metadata = file.metadata().map_err(|e| InterchangeError::io(path, "examine", e))?;
    if !metadata.is_file() {
        return Err(not_regular(path, metadata.file_type()));
    }
    Ok((file, metadata.len()))
}

fn not_regular(path: &Path, found: FileType) -> InterchangeError {
    let found = match found {
        kind if kind.is_dir() => "a folder",
        kind if kind.is_fifo() => "a pipe",
        kind if kind.is_socket() => "a socket",
        _ => "a device",
    };
    InterchangeError::NotRegularFile { path: path.to_path_buf(), found }
}

/// A buffer of `len` zero bytes.
///
/// # Errors
///
/// [`InterchangeError::Io`] when the memory cannot be had.
pub(super) fn zeroed(path: &Path, len: u64) -> Result<Vec<u8>, InterchangeError> {
    let no_memory =
        || InterchangeError::io(path, "make room to read", io::ErrorKind::OutOfMemory.into());
    let len = usize::try_from(len).map_err(|_| no_memory())?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(len).map_err(|_| no_memory())?;
    bytes.resize(len, 0);
    Ok(bytes)
}
