//! One safetensors file.

use std::io;
use std::path::Path;

use serde_json::{Map, Value};

use super::file_layout::{FileLayout, LaidTensor};
use super::limits::{HEADER_LEN_MAX, LENGTH_PREFIX_BYTES, METADATA_KEY};
use super::{InterchangeError, OpenFile, SafetensorsHeader};
use crate::format::FileFormat;
use crate::store::StoredFile;

/// An open safetensors file: its header in memory, its tensors read on demand.
///
/// Reads are positional on one file handle, so any number of threads may read at a time, and
/// a file that shrinks meanwhile gives an error. There is no memory map, where it would give a
/// signal that ends the program.
#[derive(Debug)]
pub struct SafetensorsFile {
    file: OpenFile,
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
        let file = OpenFile::open(path)?;
        let header = read_header(&file)?;
        Ok(SafetensorsFile { file, header })
    }

    /// The header.
    pub fn header(&self) -> &SafetensorsHeader {
        &self.header
    }

    /// The path the file was opened at.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// The length of the whole file in bytes, when it was opened.
    pub fn file_len(&self) -> u64 {
        self.file.len()
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
            invalid(format!("{:?}: no tensor {entry_index} of {}", self.path(), tensors.len()))
        })?;
        let (asked, byte_len) = (out.len() as u64, entry.byte_len());
        if offset.checked_add(asked).is_none_or(|end| end > byte_len) {
            return Err(invalid(format!(
                "{:?}: tensor {:?}: {asked} bytes from offset {offset} on asked for, it has \
                 {byte_len}",
                self.path(),
                entry.name
            )));
        }
        let data_start = LENGTH_PREFIX_BYTES + self.header.packed().len() as u64;
        self.file.read_exact_at(data_start + entry.begin + offset, out).map_err(|error| {
            io::Error::new(
                error.kind(),
                format!(
                    "{:?}: tensor {:?}: cannot read {asked} bytes from its offset {offset} on: \
                     {error}",
                    self.path(),
                    entry.name
                ),
            )
        })
    }
}

/// The checked header of a file.
pub(super) fn read_header(file: &OpenFile) -> Result<SafetensorsHeader, InterchangeError> {
    let bytes = read_header_bytes(file)?;
    let buffer_len = file.len() - LENGTH_PREFIX_BYTES - bytes.len() as u64;
    SafetensorsHeader::parse(file.path(), bytes, buffer_len)
}

/// The bytes of a header, which lie in the file.
pub(super) fn read_header_bytes(file: &OpenFile) -> Result<Vec<u8>, InterchangeError> {
    let (path, file_len) = (file.path(), file.len());
    let Some(after_prefix) = file_len.checked_sub(LENGTH_PREFIX_BYTES) else {
        return Err(InterchangeError::FileTooShort { file: path.into(), found: file_len });
    };
    let mut prefix = [0; LENGTH_PREFIX_BYTES as usize];
    file.fill(0, &mut prefix)?;
    let header_len = u64::from_le_bytes(prefix);
    if header_len > HEADER_LEN_MAX {
        return Err(InterchangeError::HeaderTooLarge { file: path.into(), found: header_len });
    }
    if after_prefix < header_len {
        let file = path.to_path_buf();
        return Err(InterchangeError::HeaderPastEnd { file, header_len, file_len });
    }
    file.bytes(LENGTH_PREFIX_BYTES, header_len)
}

/// The header of a stored safetensors file; `None` of another file, or of what is longer than a
/// header can be.
pub(crate) fn stored_header(file: &StoredFile) -> crate::store::Result<Option<Vec<u8>>> {
    let mut prefix = [0; LENGTH_PREFIX_BYTES as usize];
    if file.format() != FileFormat::Safetensors {
        return Ok(None);
    }
    file.read_at(0, &mut prefix)?;
    let len = u64::from_le_bytes(prefix);
    if len > HEADER_LEN_MAX {
        return Ok(None);
    }
    let mut header = vec![0; len as usize];
    file.read_at(LENGTH_PREFIX_BYTES, &mut header)?;
    Ok(Some(header))
}

/// Whether a file is one: by its length and its first byte of JSON, or else by its name.
pub(super) fn recognises(head: &[u8], path: &Path) -> bool {
    let (len, rest) = head.split_at_checked(LENGTH_PREFIX_BYTES as usize).unwrap_or_default();
    let len = len.try_into().map(u64::from_le_bytes).unwrap_or_default();
    let is_one = (2..=HEADER_LEN_MAX).contains(&len) && rest.first() == Some(&b'{');
    is_one || path.extension().is_some_and(|extension| extension == "safetensors")
}

/// What is in a file. The strings of its header are the fact `__metadata__`.
pub(super) fn read(file: &OpenFile) -> Result<FileLayout, InterchangeError> {
    let (header_len, tensors, metadata) = read_header(file)?.into_parts();
    let start = LENGTH_PREFIX_BYTES + header_len as u64;
    let laid = |entry: super::TensorEntry| LaidTensor {
        name: entry.name,
        dtype: entry.dtype,
        shape: entry.shape,
        begin: start + entry.begin,
        end: start + entry.end,
    };
    let mut layout = FileLayout::new(FileFormat::Safetensors);
    layout.tensors = tensors.into_iter().map(laid).collect();
    if !metadata.is_empty() {
        let strings: Map<String, Value> =
            metadata.into_iter().map(|(key, value)| (key, value.into())).collect();
        layout.facts.insert(METADATA_KEY.to_owned(), strings.into());
    }
    Ok(layout)
}
