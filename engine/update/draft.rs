//! A model that a function has made, on its way into the store.

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value};

use super::UpdateError;
use crate::container::{full_message, new_folder};
use crate::format::PackedBytes;
use crate::interchange::{ModelFile, SafetensorsHeader, write_header};
use crate::lineage::{Graph, NodeId};
use crate::store::{Model, NewModel, NewPart, NewTensor, Note, Snapshot, Tensor, TensorSource};
use crate::tensor::{ContentId, Dtype, IntoShape, Shape};

/// A tensor of a draft. Its bytes may be made only when they are asked for.
#[derive(Clone)]
#[must_use]
pub struct DraftTensor {
    of: Repr,
    /// What the report says of it.
    note: Option<Box<str>>,
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
        copy_part(&bytes, offset, out)
    }
}

/// Bytes that are at hand.
struct InMemory(Vec<u8>);

impl TensorSource for InMemory {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        copy_part(&self.0, offset, out)
    }
}

fn copy_part(bytes: &[u8], offset: u64, out: &mut [u8]) -> io::Result<()> {
    let start = usize::try_from(offset).unwrap_or(usize::MAX);
    let part = start.checked_add(out.len()).and_then(|end| bytes.get(start..end));
    out.copy_from_slice(part.ok_or(io::ErrorKind::UnexpectedEof)?);
    Ok(())
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

/// A tensor of a file that stays open.
struct OfFile {
    file: Arc<ModelFile>,
    part: usize,
    entry: usize,
    /// What must outlive the reading: a temporary folder, for example.
    _keep: Option<Arc<dyn Any + Send + Sync>>,
}

impl TensorSource for OfFile {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let (_, file) = self.file.files().nth(self.part).ok_or(io::ErrorKind::NotFound)?;
        file.read_tensor_at(self.entry, offset, out)
    }
}

impl DraftTensor {
    /// A tensor of these bytes.
    pub fn from_bytes(name: &str, dtype: Dtype, shape: Shape, bytes: Vec<u8>) -> Self {
        let byte_len = bytes.len() as u64;
        Self::from_source(name, dtype, shape, byte_len, InMemory(bytes))
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

    fn dtype(&self) -> &Dtype {
        match &self.of {
            Repr::Kept(tensor) => tensor.0.dtype(),
            Repr::Made(made) => &made.dtype,
        }
    }

    fn shape(&self) -> &Shape {
        match &self.of {
            Repr::Kept(tensor) => tensor.0.shape(),
            Repr::Made(made) => &made.shape,
        }
    }

    fn byte_len(&self) -> u64 {
        match &self.of {
            Repr::Kept(tensor) => tensor.0.byte_len(),
            Repr::Made(made) => made.byte_len,
        }
    }

    fn source(&self) -> &dyn TensorSource {
        match &self.of {
            Repr::Kept(tensor) => tensor,
            Repr::Made(made) => &*made.source,
        }
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

/// One file of a draft.
#[derive(Clone, Debug, Default)]
struct DraftPart {
    name: String,
    header: PackedBytes,
    tensors: Vec<DraftTensor>,
}

impl DraftPart {
    /// Brings the tensors into an order in which each begins at a multiple of its elements' size,
    /// which readers that map files ask for: the widest elements first, where it is not so.
    fn align(&mut self) {
        let width = |tensor: &DraftTensor| u64::from(tensor.dtype().bits().unwrap_or(8) / 8).max(1);
        let mut begin = 0u64;
        let is_aligned = self.tensors.iter().all(|tensor| {
            let at = begin;
            begin = begin.saturating_add(tensor.byte_len());
            at.is_multiple_of(width(tensor))
        });
        if !is_aligned {
            self.tensors.sort_by_key(|tensor| std::cmp::Reverse(width(tensor)));
        }
    }
}

/// A model that a function has made: tensors, in the order of the files it is exported as.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Draft {
    index: (String, Vec<u8>),
    parts: Vec<DraftPart>,
    made_of: Vec<NodeId>,
    /// Where a program has written it, in a folder of its own in the folder of temporary files.
    output: Option<PathBuf>,
}

impl Draft {
    /// A model without tensors.
    pub fn new() -> Self {
        Draft::default()
    }

    /// Adds a tensor.
    pub fn tensor(mut self, tensor: DraftTensor) -> Self {
        if self.parts.is_empty() {
            self.parts.push(DraftPart::default());
        }
        if let Some(part) = self.parts.last_mut() {
            part.tensors.push(tensor);
        }
        self
    }

    /// Adds a tensor of single-precision numbers.
    ///
    /// # Errors
    ///
    /// The product of the dimensions is not the number of values.
    pub fn floats(
        self,
        name: &str,
        shape: impl IntoShape,
        values: Vec<f32>,
    ) -> Result<Self, UpdateError> {
        let shape =
            shape.into_shape().map_err(|error| UpdateError::tensor(name, error.to_string()));
        let bytes = bytemuck::cast_slice(&values).to_vec();
        Ok(self.tensor(DraftTensor::from_bytes(name, Dtype::F32, shape?, bytes)))
    }

    /// A model whose tensors `tensor` makes of those of `model`, one of each, in the same files.
    /// Where types, shapes and names stay, so do the files' headers: it is exported as `model` is.
    /// Else the headers are written anew, with the metadata that they had, and the index with them.
    ///
    /// # Errors
    ///
    /// Those of `tensor`; a header or an index of `model` that cannot be read.
    pub fn like(
        model: &Model,
        mut tensor: impl FnMut(&Tensor) -> Result<DraftTensor, UpdateError>,
    ) -> Result<Self, UpdateError> {
        let manifest = model.manifest();
        let mut tensors = model.tensors();
        let mut same = true;
        let mut draft =
            Draft { index: (manifest.index_name.clone(), manifest.index.clone()), ..Draft::new() };
        for part in &manifest.parts {
            let mut made = DraftPart {
                name: part.name.clone(),
                header: part.header.clone(),
                tensors: Vec::with_capacity(part.tensor_count as usize),
            };
            for old in tensors.by_ref().take(part.tensor_count as usize) {
                let new = tensor(&old)?;
                same &= new.name() == old.name() && new.is_like(&old);
                made.tensors.push(new);
            }
            draft.parts.push(made);
        }
        if !same {
            draft.renew_headers(model)?;
        }
        Ok(draft)
    }

    /// A model of these tensors in the files of `model`, each where `model` has one of its name, the
    /// others behind those of the last; with the files' metadata.
    ///
    /// # Errors
    ///
    /// A header or an index of `model` that cannot be read.
    pub(crate) fn in_files_of(
        model: &Model,
        tensors: Vec<DraftTensor>,
    ) -> Result<Self, UpdateError> {
        let manifest = model.manifest();
        let mut draft =
            Draft { index: (manifest.index_name.clone(), manifest.index.clone()), ..Draft::new() };
        let mut places = HashMap::new();
        let mut names = manifest.tensors.iter().map(|tensor| tensor.name);
        for (at, part) in manifest.parts.iter().enumerate() {
            let (name, header) = (part.name.clone(), part.header.clone());
            draft.parts.push(DraftPart { name, header, tensors: Vec::new() });
            places.extend(names.by_ref().take(part.tensor_count as usize).map(|name| (name, at)));
        }
        if draft.parts.is_empty() {
            draft.parts.push(DraftPart::default());
        }
        let last = draft.parts.len() - 1;
        for tensor in tensors {
            let place = places.get(tensor.name()).copied().unwrap_or(last);
            if let Some(part) = draft.parts.get_mut(place) {
                part.tensors.push(tensor);
            }
        }
        draft.renew_headers(model)?;
        Ok(draft)
    }

    /// Writes the headers that came from the files of `model`, and the index, for the tensors that
    /// are there now.
    fn renew_headers(&mut self, model: &Model) -> Result<(), UpdateError> {
        let failed = |what: &str, error: &dyn fmt::Display| {
            UpdateError::failed(format!("{what} of {}: {error}", model.full_name()))
        };
        let mut old = model.tensors();
        for (part, known) in self.parts.iter_mut().zip(&model.manifest().parts) {
            let lens = old.by_ref().take(known.tensor_count as usize).map(|it| it.byte_len());
            let len = lens.sum();
            if part.header.is_empty() {
                continue;
            }
            let header = SafetensorsHeader::parse(Path::new(&part.name), part.header.to_vec(), len)
                .map_err(|error| failed("a header", &error))?;
            part.align();
            let metadata = Some(header.metadata()).filter(|metadata| !metadata.is_empty());
            let entries = part.tensors.iter();
            let entries = entries.map(|it| (it.name(), it.dtype(), it.shape(), it.byte_len()));
            part.header = write_header(entries, metadata).into();
        }
        if self.index.0.is_empty() {
            return Ok(());
        }
        self.parts.retain(|part| !part.tensors.is_empty());
        let mut index: Value =
            serde_json::from_slice(&self.index.1).map_err(|error| failed("the index", &error))?;
        let of = |part: &DraftPart| -> Vec<(String, Value)> {
            let names = part.tensors.iter().map(|tensor| tensor.name().to_owned());
            names.map(|tensor| (tensor, part.name.clone().into())).collect()
        };
        let weights: Map<String, Value> = self.parts.iter().flat_map(of).collect();
        let Some(object) = index.as_object_mut() else {
            return Err(failed("the index", &"no object"));
        };
        object.insert("weight_map".to_owned(), weights.into());
        let total = object.get_mut("metadata").and_then(|metadata| metadata.get_mut("total_size"));
        if let Some(total) = total {
            *total = self.byte_len().into();
        }
        self.index.1 = format!("{index:#}\n").into_bytes();
        Ok(())
    }

    /// A model as it lies in files; `keep` lives until the model is in the store.
    pub fn file(file: ModelFile, keep: Option<Arc<dyn Any + Send + Sync>>) -> Self {
        let file = Arc::new(file);
        let mut draft = Draft::new();
        if let ModelFile::Sharded(sharded) = &*file {
            draft.index = (sharded.index_name().to_owned(), sharded.index_bytes().to_vec());
        }
        for (at, (name, part)) in file.files().enumerate() {
            let header = part.header();
            let tensor = |(entry, tensor): (usize, &crate::interchange::TensorEntry)| {
                let (dtype, shape) = (tensor.dtype.clone(), tensor.shape.clone());
                let (file, keep) = (Arc::clone(&file), keep.clone());
                let source = OfFile { file, part: at, entry, _keep: keep };
                DraftTensor::from_source(&tensor.name, dtype, shape, tensor.byte_len(), source)
            };
            draft.parts.push(DraftPart {
                name: name.unwrap_or_default().to_owned(),
                header: header.packed().clone(),
                tensors: header.tensors().iter().enumerate().map(tensor).collect(),
            });
        }
        draft
    }

    /// Says which models it was computed from together, where these are not its parents: see
    /// [`NewModel::made_of`].
    pub fn made_of<'m>(mut self, models: impl IntoIterator<Item = &'m Model>) -> Self {
        self.made_of = models.into_iter().map(|model| model.node().id).collect();
        self
    }

    /// What is to be said of its tensors, in order.
    pub fn notes(&self) -> Vec<Note> {
        let note = |tensor: &DraftTensor| {
            let (tensor, text) = (tensor.name().to_owned(), tensor.note.as_deref()?.to_owned());
            Some(Note { tensor, text })
        };
        self.tensors().filter_map(note).collect()
    }

    /// Says where a program has written it: a file or folder in a temporary folder of its own.
    pub(super) fn written_to(mut self, output: PathBuf) -> Self {
        self.output = Some(output);
        self
    }

    /// Moves what a program has written out of the folder that is removed. Says where it is then;
    /// `None` where no program has written it, or it cannot be moved.
    fn keep_output(&self) -> Option<PathBuf> {
        let output = self.output.as_deref()?;
        let beside = output.parent()?.parent()?;
        let name = output.file_name()?;
        let folder = new_folder(beside, "mgit-kept-").ok()?;
        let kept = folder.join(name);
        if std::fs::rename(output, &kept).is_err() {
            let _ = std::fs::remove_dir(&folder);
            return None;
        }
        Some(kept)
    }

    /// For what was made and could not be added: a program's work of hours is not to be lost.
    pub(super) fn not_added(&self, error: UpdateError) -> UpdateError {
        match self.keep_output() {
            Some(kept) => UpdateError::NotAdded { source: Box::new(error), kept },
            None => error,
        }
    }

    /// Says which of these models and of those it was computed from is no longer there.
    pub(super) fn check_inputs(
        &self,
        name: &str,
        inputs: impl IntoIterator<Item = NodeId>,
        graph: &Graph<'_>,
        before: &Snapshot,
    ) -> Result<(), UpdateError> {
        for id in inputs.into_iter().chain(self.made_of.iter().copied()) {
            if graph.node(id)?.is_none() {
                let node = before.graph().node(id)?;
                let input = node.map_or_else(|| id.to_string(), |node| node.full_name());
                return Err(UpdateError::InputRemoved { model: name.to_owned(), input });
            }
        }
        Ok(())
    }

    /// The tensors, in order.
    pub fn tensors(&self) -> impl Iterator<Item = &DraftTensor> {
        self.parts.iter().flat_map(|part| &part.tensors)
    }

    /// Bytes of its tensors.
    pub fn byte_len(&self) -> u64 {
        self.tensors().map(DraftTensor::byte_len).sum()
    }

    /// The model, to be added as `name`.
    pub fn model<'d>(&'d self, name: &str) -> NewModel<'d> {
        let mut model = NewModel::new(name);
        let files = self.parts.iter().any(|part| !part.header.is_empty());
        if files {
            let header = |part: &DraftPart| 8 + part.header.len() as u64;
            let headers: u64 = self.parts.iter().map(header).sum();
            model = model.logical_bytes(self.byte_len() + headers + self.index.1.len() as u64);
        }
        if !self.index.0.is_empty() {
            model = model.index(self.index.0.clone(), self.index.1.clone());
        }
        for part in &self.parts {
            let tensor = |tensor: &'d DraftTensor| {
                NewTensor::borrowed(
                    tensor.name(),
                    tensor.dtype().clone(),
                    tensor.shape().clone(),
                    tensor.byte_len(),
                    tensor.source(),
                )
            };
            model = model.part(NewPart {
                name: part.name.clone(),
                header: part.header.clone(),
                tensors: part.tensors.iter().map(tensor).collect(),
            });
        }
        model.made_of(&self.made_of)
    }
}
