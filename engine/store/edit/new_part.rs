//! A file of a model to be added.

use std::io;

use crate::format::{FileFormat, PackedBytes};
use crate::store::read::file::StoredFile;
use crate::store::source::{NewTensor, NewView, TensorSource};
use crate::tensor::Dtype;

/// One file of a model to be added: a whole model, a shard, or another file beside the weights.
///
/// A file is a skeleton (the bytes that belong to no tensor, in order) with tensors woven in; it is
/// given back byte for byte.
///
/// ```
/// use mgit::interchange::FileFormat;
/// use mgit::{NewModel, NewPart, NewTensor, Store};
/// # fn main() -> mgit::Result<()> {
/// # let folder = tempfile::tempdir()?;
/// # let store = Store::create(folder.path().join("models.mgit"))?;
/// // A file of a format of one's own: "DATA", two numbers, "END".
/// let weights = NewPart::file("weights.own", FileFormat::Bytes)
///     .woven(vec![4], 7, &b"DATAEND"[..])
///     .tensor(NewTensor::from_vec("w", [2], vec![1f32, 2.0]));
/// let config = NewPart::file("config.json", FileFormat::Bytes).woven(vec![], 2, &b"{}"[..]).aside();
/// let mut transaction = store.begin_write()?;
/// transaction.add_model(NewModel::new("base").part(weights).part(config))?;
/// transaction.commit()?;
///
/// let files: Vec<_> = store.snapshot()?.model("base")?.files().collect();
/// let paths: Vec<_> = files.iter().map(|file| file.path()).collect();
/// assert_eq!(paths, ["weights.own", "config.json"]);
/// let mut bytes = [0; 15];
/// files[0].read_at(0, &mut bytes)?;
/// assert_eq!(&bytes[..4], b"DATA");
/// assert_eq!(&bytes[12..], b"END");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use]
pub struct NewPart<'a> {
    pub(crate) path: String,
    pub(crate) format: FileFormat,
    pub(crate) is_weights: bool,
    pub(crate) skeleton: NewSkeleton<'a>,
    pub(crate) tensors: Vec<NewTensor<'a>>,
    pub(crate) views: Vec<NewView>,
}

impl Default for NewPart<'_> {
    fn default() -> Self {
        NewPart {
            path: String::new(),
            format: FileFormat::Safetensors,
            is_weights: true,
            skeleton: NewSkeleton::Header(PackedBytes::default()),
            tensors: Vec::new(),
            views: Vec::new(),
        }
    }
}

/// The bytes of a new file that belong to no tensor.
#[derive(Debug)]
pub(crate) enum NewSkeleton<'a> {
    /// A safetensors header; empty where one is to be made.
    Header(PackedBytes),
    /// Bytes, and how many of them are between each tensor and what is before it.
    Woven { gaps: Vec<u64>, bytes: NewTensor<'a> },
}

impl<'a> NewSkeleton<'a> {
    pub(crate) fn woven(gaps: Vec<u64>, len: u64, source: impl TensorSource + 'a) -> Self {
        let bytes = NewTensor::from_source("", Dtype::U8, [len], len, source);
        NewSkeleton::Woven { gaps, bytes }
    }
}

/// The bytes of a stored file that belong to no tensor.
struct StoredSkeleton<'a>(&'a StoredFile);

impl TensorSource for StoredSkeleton<'_> {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read_skeleton(offset, out).map_err(io::Error::other)
    }
}

impl<'a> NewPart<'a> {
    /// Adds what its bytes are read from: its tensors, and its skeleton.
    pub(super) fn sources_mut<'p>(&'p mut self, sources: &mut Vec<&'p mut NewTensor<'a>>) {
        sources.extend(&mut self.tensors);
        if let NewSkeleton::Woven { bytes, .. } = &mut self.skeleton {
            sources.push(bytes);
        }
    }

    /// A safetensors file without tensors. Of a shard or of a file in a folder, `path` is its path
    /// there; of a model of one file, empty.
    pub fn new(path: impl Into<String>) -> Self {
        NewPart { path: path.into(), ..NewPart::default() }
    }

    /// A file of any format at `path` in the model's folder, its parts joined by `/`.
    /// [`woven`](Self::woven) gives its bytes.
    pub fn file(path: impl Into<String>, format: FileFormat) -> Self {
        NewPart { path: path.into(), format, ..NewPart::default() }
    }

    /// The file's own safetensors header, so that export gives the same file back; without one, a
    /// header is made.
    pub fn header(mut self, header: impl Into<Vec<u8>>) -> Self {
        self.skeleton = NewSkeleton::Header(PackedBytes::from(header.into()));
        self
    }

    /// The bytes of the file that belong to no tensor: `len` of them, one behind the other. `gaps`
    /// says for each tensor how many of them are between it and the tensor before it (of the first,
    /// before it); what is left comes behind the last tensor.
    pub fn woven(mut self, gaps: Vec<u64>, len: u64, source: impl TensorSource + 'a) -> Self {
        self.skeleton = NewSkeleton::woven(gaps, len, source);
        self
    }

    /// Says that the file is not one of weights: its tensors are not the model's own.
    pub fn aside(mut self) -> Self {
        self.is_weights = false;
        self
    }

    /// Adds a tensor, in the order of the bytes.
    pub fn tensor(mut self, tensor: NewTensor<'a>) -> Self {
        self.tensors.push(tensor);
        self
    }

    /// Adds another name for elements of a tensor.
    pub fn view(mut self, view: NewView) -> Self {
        self.views.push(view);
        self
    }

    /// As [`header`](Self::header), of bytes that are kept packed.
    pub(crate) fn packed_header(mut self, header: PackedBytes) -> Self {
        self.skeleton = NewSkeleton::Header(header);
        self
    }

    /// A file of a stored model once more, as it is.
    pub(crate) fn stored(file: &'a StoredFile) -> Self {
        let mut part = Self::skeleton_of(file);
        for (tensor, _) in file.tensors() {
            let (name, dtype, shape) =
                (tensor.name().to_owned(), tensor.dtype().clone(), tensor.shape().clone());
            let len = tensor.byte_len();
            part = part.tensor(NewTensor::from_source(name, dtype, shape, len, tensor));
        }
        part
    }

    /// A file like a stored one, with its other bytes and its views, without its tensors.
    pub(crate) fn skeleton_of(file: &'a StoredFile) -> Self {
        let mut part = NewPart::file(file.path(), file.format());
        part.is_weights = file.is_weights();
        part.views = file.views();
        let (gaps, len) = file.gaps();
        part.woven(gaps, len, StoredSkeleton(file))
    }

    /// Bytes of the file, as far as they are known: a header that is to be made is not counted.
    pub(crate) fn byte_len(&self) -> u64 {
        let skeleton = match &self.skeleton {
            NewSkeleton::Header(header) if header.is_empty() => 0,
            NewSkeleton::Header(header) => crate::format::HEADER_PREFIX_LEN + header.len() as u64,
            NewSkeleton::Woven { bytes, .. } => bytes.byte_len,
        };
        self.tensors.iter().fold(skeleton, |sum, tensor| sum.saturating_add(tensor.byte_len))
    }
}
