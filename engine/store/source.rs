//! Where the bytes of new tensors come from.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, Read};
use std::sync::Mutex;

use crate::planning::TensorKey;
use crate::tensor::{Dtype, Element, IntoShape, Shape, ShapeError};

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

/// Bytes in memory.
impl TensorSource for [u8] {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        read_memory(self, offset, out)
    }
}

impl TensorSource for Vec<u8> {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        read_memory(self, offset, out)
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
            Source::Bytes(bytes) => read_memory(bytes, offset, out),
            Source::ReadAt(source) => source.read_at(offset, out),
            Source::Shared(source, at) => source.read_tensor_at(*at, offset, out),
            Source::Borrowed(source) => source.read_at(offset, out),
            // Readers are settled before anything is read.
            Source::Reader(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

/// A tensor of a model to be added: its name, what it is, and where its bytes come from. What is
/// wrong with it (a shape that cannot be, bytes that do not fill it) is an error of
/// [`add_model`](crate::Transaction::add_model), which names the tensor.
///
/// ```
/// use mgit::{Dtype, NewModel, NewTensor, Store, half::bf16};
/// # fn main() -> mgit::Result<()> {
/// # let folder = tempfile::tempdir()?;
/// # let store = Store::create(folder.path().join("models.mgit"))?;
/// let weights = [1f32, 2.0, 3.0, 4.0];
/// let bias = vec![bf16::ONE; 2];
/// let (raw, file) = ([0u8; 3], &[7u8; 10][..]); // anything that can be read
///
/// let model = NewModel::new("base")
///     .tensor(NewTensor::from_slice("weight", [2, 2], &weights))
///     .tensor(NewTensor::from_vec("bias", [2], bias))
///     .tensor(NewTensor::from_bytes("scales", Dtype::F8E8M0, [3], &raw))
///     .tensor(NewTensor::from_reader("table", Dtype::I8, [5, 2], 10, file))
///     .tensor(NewTensor::from_fn("ones", Dtype::U8, (), 1, |_, out| {
///         out.fill(1);
///         Ok(())
///     }));
/// let mut transaction = store.begin_write()?;
/// transaction.add_model(model)?;
/// transaction.commit()?;
///
/// let wrong = NewModel::new("wrong").tensor(NewTensor::from_slice("w", [3, 2], &weights));
/// let error = store.begin_write()?.add_model(wrong).unwrap_err();
/// assert!(error.to_string().contains("takes 24 bytes, 16 are given"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use]
pub struct NewTensor<'a> {
    pub(in crate::store) name: Cow<'a, str>,
    pub(in crate::store) dtype: Dtype,
    pub(in crate::store) shape: Shape,
    /// Why there is no shape.
    pub(in crate::store) shape_error: Option<ShapeError>,
    pub(in crate::store) byte_len: u64,
    pub(in crate::store) source: Source<'a>,
}

impl<'a> NewTensor<'a> {
    fn new(
        name: Cow<'a, str>,
        dtype: Dtype,
        shape: impl IntoShape,
        byte_len: u64,
        source: Source<'a>,
    ) -> Self {
        let (shape, shape_error) = match shape.into_shape() {
            Ok(shape) => (shape, None),
            Err(error) => (Shape::default(), Some(error)),
        };
        NewTensor { name, dtype, shape, shape_error, byte_len, source }
    }

    /// A tensor of these elements, whose type is that of `T`.
    pub fn from_slice<T: Element>(
        name: impl Into<String>,
        shape: impl IntoShape,
        elements: &'a [T],
    ) -> Self {
        Self::from_bytes(name, T::DTYPE, shape, bytemuck::cast_slice(elements))
    }

    /// As [`from_slice`](Self::from_slice), of elements that the tensor keeps.
    pub fn from_vec<T: Element>(
        name: impl Into<String>,
        shape: impl IntoShape,
        elements: Vec<T>,
    ) -> Self {
        let byte_len = size_of_val(&elements[..]) as u64;
        let source = Source::ReadAt(Box::new(Owned(elements)));
        Self::new(Cow::Owned(name.into()), T::DTYPE, shape, byte_len, source)
    }

    /// A tensor whose bytes are in memory, of any element type.
    pub fn from_bytes(
        name: impl Into<String>,
        dtype: Dtype,
        shape: impl IntoShape,
        bytes: &'a [u8],
    ) -> Self {
        let source = Source::Bytes(bytes);
        Self::new(Cow::Owned(name.into()), dtype, shape, bytes.len() as u64, source)
    }

    /// As [`from_bytes`](Self::from_bytes), of bytes that the tensor keeps.
    pub fn from_byte_vec(
        name: impl Into<String>,
        dtype: Dtype,
        shape: impl IntoShape,
        bytes: Vec<u8>,
    ) -> Self {
        let byte_len = bytes.len() as u64;
        Self::from_source(name, dtype, shape, byte_len, bytes)
    }

    /// A tensor of `byte_len` bytes that are read when the model is added: twice when there are
    /// many, never all into memory at once.
    pub fn from_source(
        name: impl Into<String>,
        dtype: Dtype,
        shape: impl IntoShape,
        byte_len: u64,
        source: impl TensorSource + 'a,
    ) -> Self {
        let source = Source::ReadAt(Box::new(source));
        Self::new(Cow::Owned(name.into()), dtype, shape, byte_len, source)
    }

    /// A tensor of `byte_len` bytes that `fill` makes: it is given an offset and what to fill with
    /// the bytes from there on, and gives the same bytes each time. Otherwise as
    /// [`from_source`](Self::from_source).
    pub fn from_fn(
        name: impl Into<String>,
        dtype: Dtype,
        shape: impl IntoShape,
        byte_len: u64,
        fill: impl Fn(u64, &mut [u8]) -> io::Result<()> + Send + Sync + 'a,
    ) -> Self {
        Self::from_source(name, dtype, shape, byte_len, Filled(fill))
    }

    /// One of the tensors of a file, by its place there: nothing is copied of what it is called.
    pub(crate) fn of_file(
        name: &'a str,
        dtype: Dtype,
        shape: Shape,
        byte_len: u64,
        (file, at): (&'a dyn TensorsSource, usize),
    ) -> Self {
        Self::new(Cow::Borrowed(name), dtype, shape, byte_len, Source::Shared(file, at))
    }

    /// A tensor that something else has and gives the bytes of.
    pub(crate) fn borrowed(
        name: &'a str,
        dtype: Dtype,
        shape: Shape,
        byte_len: u64,
        source: &'a dyn TensorSource,
    ) -> Self {
        Self::new(Cow::Borrowed(name), dtype, shape, byte_len, Source::Borrowed(source))
    }

    /// A tensor of `byte_len` bytes from a stream that can be read once, such as a file or a
    /// socket. A long one is put into a temporary file beside the store first.
    pub fn from_reader(
        name: impl Into<String>,
        dtype: Dtype,
        shape: impl IntoShape,
        byte_len: u64,
        reader: impl Read + Send + 'a,
    ) -> Self {
        let source = Source::Reader(Mutex::new(Box::new(reader)));
        Self::new(Cow::Owned(name.into()), dtype, shape, byte_len, source)
    }
}

/// Another name for elements of a tensor of the same part: tied weights, a transposed view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewView {
    /// Its name, unique among the model's tensors and views.
    pub name: String,
    /// The place of the tensor in the part.
    pub tensor: usize,
    /// Where its first element is in the tensor, in bytes.
    pub offset: u64,
    /// The element type.
    pub dtype: Dtype,
    /// The dimensions.
    pub shape: Shape,
    /// Elements from one to the next, for each dimension.
    pub strides: Vec<u64>,
}

/// Elements that a tensor keeps.
struct Owned<T>(Vec<T>);

impl<T: Element> TensorSource for Owned<T> {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        read_memory(bytemuck::cast_slice(&self.0), offset, out)
    }
}

/// Bytes that a function makes.
struct Filled<F>(F);

impl<F: Fn(u64, &mut [u8]) -> io::Result<()> + Send + Sync> TensorSource for Filled<F> {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        (self.0)(offset, out)
    }
}

fn read_memory(bytes: &[u8], offset: u64, out: &mut [u8]) -> io::Result<()> {
    let start = usize::try_from(offset).unwrap_or(usize::MAX);
    let part = start.checked_add(out.len()).and_then(|end| bytes.get(start..end));
    out.copy_from_slice(part.ok_or(io::ErrorKind::UnexpectedEof)?);
    Ok(())
}

impl<'k> From<&'k NewTensor<'_>> for TensorKey<'k> {
    fn from(tensor: &'k NewTensor<'_>) -> Self {
        let NewTensor { name, dtype, shape, byte_len, .. } = tensor;
        TensorKey { name, dtype, shape, byte_len: *byte_len }
    }
}
