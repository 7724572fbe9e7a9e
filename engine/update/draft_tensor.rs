//! A tensor of a model that a function has made.

use std::any::Any;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use super::UpdateError;
use crate::container::full_message;
use crate::interchange::{ModelSource, SourceFile};
use crate::store::{Tensor, TensorSource};
use crate::tensor::{ContentId, Dtype, Shape};

/// A tensor of a draft. Its bytes may be made only when they are asked for.
#[derive(Clone)]
#[must_use]
pub struct DraftTensor {
    of: Repr,
    /// What the report says of it.
    pub(super) note: Option<Box<str>>,
}

/// A model can have a million tensors, and often most are kept as they are.
#[derive(Clone)]
enum Repr {
    /// A tensor of the store, as it is.
    Kept(Stored),
    /// Another.
    Made(Arc<Made>),
}

struct Made {
    name: String,
    dtype: Dtype,
    shape: Shape,
    byte_len: u64,
    source: Box<dyn TensorSource>,
}

impl fmt::Debug for DraftTensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.name(), self.dtype(), self.shape())
    }
}

/// The bytes of a tensor that is made when it is first read, and forgotten when it was read to its
/// end: a long one is read twice, and made twice, and never are all tensors of a model in memory.
struct Lazy<F> {
    made: Mutex<Option<Arc<Vec<u8>>>>,
    byte_len: u64,
    make: F,
}

impl<F> TensorSource for Lazy<F>
where
    F: Fn() -> Result<Vec<u8>, UpdateError> + Send + Sync,
{
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let bytes = {
            let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
            let bytes = match made.take() {
                Some(bytes) => bytes,
                None => Arc::new((self.make)().map_err(as_io)?),
            };
            if offset.saturating_add(out.len() as u64) < self.byte_len {
                *made = Some(Arc::clone(&bytes));
            }
            bytes
        };
        bytes.read_at(offset, out)
    }
}

pub(super) fn as_io(error: UpdateError) -> io::Error {
    let kind = match &error {
        UpdateError::Store(error) if error.is_disk_full() => io::ErrorKind::StorageFull,
        UpdateError::Work { source, .. } => source.kind(),
        _ => io::ErrorKind::InvalidData,
    };
    io::Error::new(kind, error)
}

/// A tensor of the store as it is.
#[derive(Clone)]
struct Stored(Tensor);

impl TensorSource for Stored {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read_range_into(offset, out).map_err(|error| as_io(error.into()))
    }
}

/// Files that stay open.
#[derive(Debug)]
pub(super) struct Sourced {
    pub(super) source: ModelSource,
    /// What must outlive the reading: a temporary folder, for example.
    pub(super) _keep: Option<Arc<dyn Any + Send + Sync>>,
}

impl Sourced {
    /// The file, when there is one, and no folder.
    pub(super) fn only_file(&self) -> Option<&SourceFile> {
        match self.source.files() {
            [file] if self.source.is_single() => Some(file),
            _ => None,
        }
    }
}

/// A tensor of a file that stays open.
pub(super) struct OfFile {
    pub(super) sourced: Arc<Sourced>,
    pub(super) file: usize,
    pub(super) entry: usize,
}

impl TensorSource for OfFile {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let file = self.sourced.source.files().get(self.file).ok_or(io::ErrorKind::NotFound)?;
        file.read_tensor_at(self.entry, offset, out)
    }
}

impl DraftTensor {
    /// A tensor of these bytes.
    pub fn from_bytes(name: &str, dtype: Dtype, shape: Shape, bytes: Vec<u8>) -> Self {
        let byte_len = bytes.len() as u64;
        Self::from_source(name, dtype, shape, byte_len, bytes)
    }

    /// A tensor whose bytes are made when they are asked for: the same every time.
    pub fn lazy(
        name: &str,
        dtype: Dtype,
        shape: Shape,
        byte_len: u64,
        make: impl Fn() -> Result<Vec<u8>, UpdateError> + Send + Sync + 'static,
    ) -> Self {
        let source = Lazy { made: Mutex::new(None), byte_len, make };
        Self::from_source(name, dtype, shape, byte_len, source)
    }

    /// A tensor whose bytes `source` gives in whatever pieces are asked for.
    pub fn from_source(
        name: &str,
        dtype: Dtype,
        shape: Shape,
        byte_len: u64,
        source: impl TensorSource + 'static,
    ) -> Self {
        let (name, source) = (name.to_owned(), Box::new(source));
        let made = Arc::new(Made { name, dtype, shape, byte_len, source });
        DraftTensor { of: Repr::Made(made), note: None }
    }

    /// Says something of how it was made, for the report.
    pub fn noted(mut self, text: impl Into<String>) -> Self {
        self.note = Some(text.into().into_boxed_str());
        self
    }

    /// The same tensor under another name.
    pub fn named(self, name: &str) -> Self {
        if self.name() == name {
            return self;
        }
        let (dtype, shape, len) = (self.dtype().clone(), self.shape().clone(), self.byte_len());
        Self::from_source(name, dtype, shape, len, Renamed(self))
    }

    /// A tensor of the store, as it is.
    pub fn keep(tensor: &Tensor) -> Self {
        DraftTensor { of: Repr::Kept(Stored(tensor.clone())), note: None }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        match &self.of {
            Repr::Kept(tensor) => tensor.0.name(),
            Repr::Made(made) => &made.name,
        }
    }

    pub(super) fn dtype(&self) -> &Dtype {
        match &self.of {
            Repr::Kept(tensor) => tensor.0.dtype(),
            Repr::Made(made) => &made.dtype,
        }
    }

    pub(super) fn shape(&self) -> &Shape {
        match &self.of {
            Repr::Kept(tensor) => tensor.0.shape(),
            Repr::Made(made) => &made.shape,
        }
    }

    pub(super) fn byte_len(&self) -> u64 {
        match &self.of {
            Repr::Kept(tensor) => tensor.0.byte_len(),
            Repr::Made(made) => made.byte_len,
        }
    }

    pub(super) fn source(&self) -> &dyn TensorSource {
        match &self.of {
            Repr::Kept(tensor) => tensor,
            Repr::Made(made) => &*made.source,
        }
    }

    /// Whether it is this tensor of the store, as it is.
    pub(super) fn is_kept(&self, tensor: &Tensor) -> bool {
        matches!(&self.of, Repr::Kept(kept) if kept.0.is_same(tensor))
    }

    /// Whether its type and shape are those of a tensor of the store.
    pub(crate) fn is_like(&self, tensor: &Tensor) -> bool {
        self.dtype() == tensor.dtype() && self.shape() == tensor.shape()
    }

    /// The id of its bytes. Cost: makes and hashes them.
    ///
    /// # Errors
    ///
    /// Those of the function that makes them.
    pub fn content_id(&self) -> Result<ContentId, UpdateError> {
        let mut hasher = blake3::Hasher::new();
        let byte_len = self.byte_len();
        let mut piece = vec![0; PIECE_LEN.min(usize::try_from(byte_len).unwrap_or(PIECE_LEN))];
        let mut offset = 0;
        while offset < byte_len {
            let len = (byte_len - offset).min(PIECE_LEN as u64) as usize;
            let Some(part) = piece.get_mut(..len) else { break };
            let failed = |error: io::Error| UpdateError::tensor(self.name(), full_message(&error));
            self.source().read_at(offset, part).map_err(failed)?;
            hasher.update(part);
            offset += len as u64;
        }
        Ok(hasher.finalize().into())
    }
}

/// A tensor under another name.
struct Renamed(DraftTensor);

impl TensorSource for Renamed {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.source().read_at(offset, out)
    }
}

/// Bytes that are hashed at a time.
const PIECE_LEN: usize = 1 << 20;
