//! A file that a reader looks into.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{InterchangeError, regular_file};
use crate::format::FileFormat;
use crate::store::{StoredFile, TensorSource};

/// An open file: read at places, from any number of threads, never through a memory map. A file
/// that shrinks meanwhile gives an error.
#[derive(Clone, Debug)]
pub struct OpenFile {
    path: PathBuf,
    bytes: Bytes,
    len: u64,
}

#[derive(Clone, Debug)]
enum Bytes {
    File(Arc<File>),
    /// Opened for each reading: there are more files than handles.
    Reopened(Arc<Reopened>),
    Memory(Arc<[u8]>),
    /// It lies in a store.
    Stored(Box<StoredFile>),
}

/// Which file is to be found at a path.
#[derive(Debug)]
struct Reopened {
    path: PathBuf,
    identity: (u64, u64, u64),
}

impl Reopened {
    fn open(&self) -> io::Result<File> {
        let file = File::open(&self.path)?;
        if identity(&file.metadata()?) != self.identity {
            return Err(io::Error::other("the file was replaced or changed meanwhile"));
        }
        Ok(file)
    }
}

fn identity(found: &Metadata) -> (u64, u64, u64) {
    (found.dev(), found.ino(), found.len())
}

impl OpenFile {
    /// Opens the regular file at `path`.
    ///
    /// # Errors
    ///
    /// [`InterchangeError::NotFound`], [`InterchangeError::NotRegularFile`],
    /// [`InterchangeError::Io`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, InterchangeError> {
        let path = path.as_ref();
        let (file, len) = regular_file::open(path)?;
        Ok(OpenFile { path: path.to_owned(), bytes: Bytes::File(Arc::new(file)), len })
    }

    /// Opens the regular file at `real`, to be known as `path`: a link whose target was looked at.
    pub(super) fn open_as(path: &Path, real: &Path) -> Result<Self, InterchangeError> {
        let (file, len) = regular_file::open(real)?;
        Ok(OpenFile { path: path.to_owned(), bytes: Bytes::File(Arc::new(file)), len })
    }

    /// Gives its handle back; from now on the file at `real` is opened for each reading, and must
    /// be the same one.
    pub(super) fn close(&mut self, real: &Path) -> Result<(), InterchangeError> {
        if let Bytes::File(file) = &self.bytes {
            let found = file.metadata();
            let found = found.map_err(|e| InterchangeError::io(&self.path, "examine", e))?;
            let reopened = Reopened { path: real.to_owned(), identity: identity(&found) };
            self.bytes = Bytes::Reopened(Arc::new(reopened));
        }
        Ok(())
    }

    /// Bytes in memory, as a file of this path: `path` is for messages only.
    pub fn of_bytes(path: impl Into<PathBuf>, bytes: impl Into<Arc<[u8]>>) -> Self {
        let bytes = bytes.into();
        OpenFile { path: path.into(), len: bytes.len() as u64, bytes: Bytes::Memory(bytes) }
    }

    /// A file of a stored model.
    pub(super) fn of_stored(file: &StoredFile) -> Self {
        let (path, len) = (file.path().into(), file.byte_len());
        OpenFile { path, len, bytes: Bytes::Stored(Box::new(file.clone())) }
    }

    /// The path it was opened at.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its length in bytes, when it was opened.
    #[allow(clippy::len_without_is_empty, reason = "a length, not a collection")]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Fills `out` with the bytes from `offset` on.
    ///
    /// # Errors
    ///
    /// Of kind `UnexpectedEof` when there are fewer; those of the operating system.
    pub fn read_exact_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        match &self.bytes {
            Bytes::File(file) => file.read_exact_at(out, offset),
            Bytes::Reopened(file) => file.open()?.read_exact_at(out, offset),
            Bytes::Memory(bytes) => TensorSource::read_at(bytes, offset, out),
            Bytes::Stored(file) => file.read_at(offset, out).map_err(io::Error::other),
        }
    }

    /// As [`read_exact_at`](Self::read_exact_at), with an error that names the file.
    ///
    /// # Errors
    ///
    /// [`InterchangeError::Io`].
    pub fn fill(&self, offset: u64, out: &mut [u8]) -> Result<(), InterchangeError> {
        self.read_exact_at(offset, out)
            .map_err(|error| InterchangeError::io(&self.path, "read", error))
    }

    /// `len` bytes from `offset` on, where the file has them. Whoever asks has bounded `len`.
    ///
    /// # Errors
    ///
    /// [`InterchangeError::Io`], also when the memory cannot be had.
    pub fn bytes(&self, offset: u64, len: u64) -> Result<Vec<u8>, InterchangeError> {
        if offset.checked_add(len).is_none_or(|end| end > self.len) {
            let error = io::ErrorKind::UnexpectedEof.into();
            return Err(InterchangeError::io(&self.path, "read", error));
        }
        let mut bytes = regular_file::zeroed(&self.path, len)?;
        self.fill(offset, &mut bytes)?;
        Ok(bytes)
    }

    /// Up to `len` bytes from the file's beginning.
    ///
    /// # Errors
    ///
    /// [`InterchangeError::Io`].
    pub fn head(&self, len: u64) -> Result<Vec<u8>, InterchangeError> {
        self.bytes(0, len.min(self.len))
    }

    /// An error about a file that breaks the rules of `format`.
    pub fn malformed(
        &self,
        format: FileFormat,
        offset: u64,
        detail: impl Into<String>,
    ) -> InterchangeError {
        InterchangeError::Malformed {
            file: self.path.clone(),
            format,
            offset,
            detail: detail.into(),
        }
    }
}
