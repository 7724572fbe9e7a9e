//! One safetensors file.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::limits::{HEADER_LEN_MAX, LENGTH_PREFIX_BYTES};
use super::{InterchangeError, SafetensorsHeader, regular_file};

/// An open safetensors file: its header in memory, its tensors read on demand.
///
/// Reads are positional on one file handle, so any number of threads may read at a time, and
/// a file that shrinks meanwhile gives an error. There is no memory map, where it would give a
/// signal that ends the program.
#[derive(Debug)]
pub struct SafetensorsFile {
    path: PathBuf,
    file: File,
    file_len: u64,
    header: SafetensorsHeader,
}

impl SafetensorsFile {
    /// Opens the file at `path` and checks its header.
    ///
    /// Cost: reads the header only, none of the tensors.
    ///
    /// # Errors
    ///
    /// [`InterchangeError::NotFound`], [`InterchangeError::NotRegularFile`] and
    /// [`InterchangeError::Io`] for what is at `path`; any other for what is in the file.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, InterchangeError> {
        let path = path.as_ref();
        let (file, file_len) = regular_file::open(path)?;
        let Some(after_prefix) = file_len.checked_sub(LENGTH_PREFIX_BYTES) else {
            return Err(InterchangeError::FileTooShort { file: path.into(), found: file_len });
        };
        let io_error = |source| InterchangeError::io(path, "read the header of", source);
        let mut prefix = [0; LENGTH_PREFIX_BYTES as usize];
        file.read_exact_at(&mut prefix, 0).map_err(io_error)?;
        let header_len = u64::from_le_bytes(prefix);
        if header_len > HEADER_LEN_MAX {
            return Err(InterchangeError::HeaderTooLarge { file: path.into(), found: header_len });
        }
        let Some(buffer_len) = after_prefix.checked_sub(header_len) else {
            let file = path.to_path_buf();
            return Err(InterchangeError::HeaderPastEnd { file, header_len, file_len });
        };
        let mut header = regular_file::zeroed(path, header_len)?;
        file.read_exact_at(&mut header, LENGTH_PREFIX_BYTES).map_err(io_error)?;
        let header = SafetensorsHeader::parse(path, header, buffer_len)?;
        Ok(SafetensorsFile { path: path.to_path_buf(), file, file_len, header })
    }

    /// The header.
    pub fn header(&self) -> &SafetensorsHeader {
        &self.header
    }

    /// The path the file was opened at.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The length of the whole file in bytes, when it was opened.
    pub fn file_len(&self) -> u64 {
        self.file_len
    }

    /// Fills `out` with the bytes of a tensor from `offset` on. `entry_index` counts as
    /// [`SafetensorsHeader::tensors`] does.
    ///
    /// # Errors
    ///
    /// Of kind `InvalidInput` when there is no such entry or the tensor has no such bytes, of
    /// kind `UnexpectedEof` when the file has shrunk since it was opened, and those of the
    /// operating system.
    pub fn read_tensor_at(
        &self,
        entry_index: usize,
        offset: u64,
        out: &mut [u8],
    ) -> io::Result<()> {
        let invalid = |message| io::Error::new(io::ErrorKind::InvalidInput, message);
        let tensors = self.header.tensors();
        let entry = tensors.get(entry_index).ok_or_else(|| {
            invalid(format!("{:?}: no tensor {entry_index} of {}", self.path, tensors.len()))
        })?;
        let (asked, byte_len) = (out.len() as u64, entry.byte_len());
        if offset.checked_add(asked).is_none_or(|end| end > byte_len) {
            return Err(invalid(format!(
                "{:?}: tensor {:?}: {asked} bytes from offset {offset} on asked for, it has \
                 {byte_len}",
                self.path, entry.name
            )));
        }
        let data_start = LENGTH_PREFIX_BYTES + self.header.packed().len() as u64;
        self.file.read_exact_at(out, data_start + entry.begin + offset).map_err(|error| {
            io::Error::new(
                error.kind(),
                format!(
                    "{:?}: tensor {:?}: cannot read {asked} bytes from its offset {offset} on: \
                     {error}",
                    self.path, entry.name
                ),
            )
        })
    }
}
