//! Where the bytes of new tensors come from.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, Read};
use std::sync::Mutex;

use crate::planning::TensorKey;
use crate::tensor::{Dtype, Shape};

/// Bytes of a tensor that can be read more than once, from several threads.
pub trait TensorSource: Send + Sync {
    /// Fills `out` with the tensor's bytes from `offset` on.
    ///
    /// # Errors
    ///
    /// Those of the medium; fewer bytes than the tensor has.
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()>;
}

impl<S: TensorSource + ?Sized> TensorSource for &S {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        (**self).read_at(offset, out)
    }
}

impl<S: TensorSource + ?Sized> TensorSource for std::sync::Arc<S> {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        (**self).read_at(offset, out)
    }
}

/// The tensors of one file, which can be read more than once, from several threads.
pub(crate) trait TensorsSource: Send + Sync {
    /// Fills `out` with the bytes of the tensor at a place from `offset` on.
    fn read_tensor_at(&self, at: usize, offset: u64, out: &mut [u8]) -> io::Result<()>;
}

/// Where a new tensor's bytes come from.
pub(in crate::store) enum Source<'a> {
    /// They are in memory.
    Bytes(&'a [u8]),
    /// They can be read again and again.
    ReadAt(Box<dyn TensorSource + 'a>),
    /// They are those of one of a file's tensors.
    Shared(&'a dyn TensorsSource, usize),
    /// They can be read again and again, from somewhere else.
    Borrowed(&'a dyn TensorSource),
    /// They can be read once.
    Reader(Mutex<Box<dyn Read + Send + 'a>>),
}

impl fmt::Debug for Source<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Bytes(bytes) => write!(f, "{} bytes", bytes.len()),
            Source::ReadAt(_) | Source::Shared(..) | Source::Borrowed(_) => f.write_str("source"),
            Source::Reader(_) => f.write_str("reader"),
        }
    }
}

impl TensorSource for NewTensor<'_> {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        match &self.source {
            Source::Bytes(bytes) => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX);
                let part = start.checked_add(out.len()).and_then(|end| bytes.get(start..end));
                out.copy_from_slice(part.ok_or(io::ErrorKind::UnexpectedEof)?);
                Ok(())
            }
            Source::ReadAt(source) => source.read_at(offset, out),
            Source::Shared(source, at) => source.read_tensor_at(*at, offset, out),
            Source::Borrowed(source) => source.read_at(offset, out),
            // Readers are settled before anything is read.
            Source::Reader(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

/// A tensor of a model to be added.
#[derive(Debug)]
pub struct NewTensor<'a> {
    pub(in crate::store) name: Cow<'a, str>,
    pub(in crate::store) dtype: Dtype,
    pub(in crate::store) shape: Shape,
    pub(in crate::store) byte_len: u64,
    pub(in crate::store) source: Source<'a>,
}

impl<'a> NewTensor<'a> {
    /// A tensor whose bytes are in memory.
    pub fn from_bytes(
        name: impl Into<String>,
        dtype: Dtype,
        shape: Shape,
        bytes: &'a [u8],
    ) -> Self {
        let source = Source::Bytes(bytes);
        NewTensor {
            name: Cow::Owned(name.into()),
            dtype,
            shape,
            byte_len: bytes.len() as u64,
            source,
        }
    }

    /// A tensor of `byte_len` bytes that are read when the model is added: twice when there are
    /// many, never all into memory at once.
    pub fn from_source(
        name: impl Into<String>,
        dtype: Dtype,
        shape: Shape,
        byte_len: u64,
        source: impl TensorSource + 'a,
    ) -> Self {
        let source = Source::ReadAt(Box::new(source));
        NewTensor { name: Cow::Owned(name.into()), dtype, shape, byte_len, source }
    }

    /// One of the tensors of a file, by its place there: nothing is copied of what it is called.
    pub(crate) fn of_file(
        name: &'a str,
        dtype: Dtype,
        shape: Shape,
        byte_len: u64,
        (file, at): (&'a dyn TensorsSource, usize),
    ) -> Self {
        let source = Source::Shared(file, at);
        NewTensor { name: Cow::Borrowed(name), dtype, shape, byte_len, source }
    }

    /// A tensor that something else has and gives the bytes of.
    pub(crate) fn borrowed(
        name: &'a str,
        dtype: Dtype,
        shape: Shape,
        byte_len: u64,
        source: &'a dyn TensorSource,
    ) -> Self {
        let source = Source::Borrowed(source);
        NewTensor { name: Cow::Borrowed(name), dtype, shape, byte_len, source }
    }

    /// A tensor of `byte_len` bytes from a stream that can be read once. A long one is put into a
    /// temporary file beside the store first.
    pub fn from_reader(
        name: impl Into<String>,
        dtype: Dtype,
        shape: Shape,
        byte_len: u64,
        reader: impl Read + Send + 'a,
    ) -> Self {
        let source = Source::Reader(Mutex::new(Box::new(reader)));
        NewTensor { name: Cow::Owned(name.into()), dtype, shape, byte_len, source }
    }
}

impl<'k> From<&'k NewTensor<'_>> for TensorKey<'k> {
    fn from(tensor: &'k NewTensor<'_>) -> Self {
        let NewTensor { name, dtype, shape, byte_len, .. } = tensor;
        TensorKey { name, dtype, shape, byte_len: *byte_len }
    }
}
