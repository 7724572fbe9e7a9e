//! The weights of a model as one safetensors file.

use std::collections::{BTreeMap, HashSet};
use std::io::{self, Write};
use std::path::Path;

use super::counted::counted;
use super::export_error::ExportError;
use super::export_options::ExportedFile;
use super::formats::read_layout;
use super::gguf::{Q8_0_BLOCK_BYTES, Q8_0_BLOCK_ELEMENTS, q8_0_as_f32};
use super::limits::{HEADER_LEN_MAX, LENGTH_PREFIX_BYTES, METADATA_KEY};
use super::open_file::OpenFile;
use super::weights_name::{is_training_state, is_weights_name};
use crate::format::{FileFormat, write_header};
use crate::store::{Model, StoreError, StoredFile, WriteToError};
use crate::tensor::{Dtype, Shape};

/// The type of tensors that can be dequantised.
const Q8_0: &str = "Q8_0";
/// Bytes that are copied at a time: whole chunks, so that each is decoded once, and whole blocks.
const PIECE_LEN: u64 = 8 << 20;
/// Tensors that a message names.
const NAMED_MAX: usize = 5;
/// How the name of a list of shards ends.
const INDEX_END: &str = ".index.json";

/// Writes one file of a model to `out`.
pub(super) fn write_file(
    file: &StoredFile,
    out: &mut dyn Write,
    path: &Path,
    progress: &dyn Fn(u64),
) -> Result<(), ExportError> {
    file.write_to(out, progress).map_err(|error| match error {
        WriteToError::Read(error) => error.into(),
        WriteToError::Write(error) => ExportError::target(path)(error),
    })
}

/// The files in the order in which they are to appear: the weights behind what is beside them, an
/// index last, so that a folder that has it is complete.
pub(super) fn in_order(model: &Model) -> Vec<StoredFile> {
    let mut files: Vec<StoredFile> = model.files().collect();
    files.sort_by_key(|file| (file.path().ends_with(".index.json"), file.is_weights()));
    files
}

/// The files of an export, in the order in which they are to appear.
pub(super) struct Outs {
    pub(super) files: Vec<Out>,
    /// What is to be said of them.
    pub(super) notes: Vec<String>,
}

/// A file of an export.
pub(super) enum Out {
    /// As it is in the store.
    Stored(StoredFile),
    /// Made of the weights.
    Made(Made),
}

impl Out {
    pub(super) fn path(&self) -> &str {
        match self {
            Out::Stored(file) => file.path(),
            Out::Made(made) => &made.path,
        }
    }

    /// Writes it; `path` is for messages.
    pub(super) fn write(
        &self,
        model: &Model,
        out: &mut dyn Write,
        path: &Path,
        progress: &dyn Fn(u64),
    ) -> Result<(), ExportError> {
        match self {
            Out::Stored(file) => write_file(file, out, path, progress),
            Out::Made(made) => made.write(model, out, path, progress),
        }
    }

    /// What is said of it when it is written to `path`.
    pub(super) fn report(&self, path: &Path) -> ExportedFile {
        let (bytes, is_converted) = match self {
            Out::Stored(file) => (file.byte_len(), false),
            Out::Made(made) => (made.byte_len(), true),
        };
        ExportedFile { path: path.to_owned(), bytes, is_converted }
    }
}

/// A safetensors file to be made.
pub(super) struct Made {
    path: String,
    header: Vec<u8>,
    entries: Vec<Entry>,
}

/// A tensor of it.
struct Entry {
    name: String,
    dtype: Dtype,
    shape: Shape,
    byte_len: u64,
    of: Of,
}

/// Where its bytes are, by places in the model.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    Tensor(usize),
    Dequantised(usize),
    View(usize),
}

impl Entry {
    fn width(&self) -> u64 {
        u64::from(self.dtype.bits().unwrap_or(8) / 8).max(1)
    }
}

impl Made {
    fn byte_len(&self) -> u64 {
        let tensors = self.entries.iter().fold(0u64, |sum, it| sum.saturating_add(it.byte_len));
        tensors.saturating_add(LENGTH_PREFIX_BYTES + self.header.len() as u64)
    }

    fn write(
        &self,
        model: &Model,
        out: &mut dyn Write,
        path: &Path,
        progress: &dyn Fn(u64),
    ) -> Result<(), ExportError> {
        let failed = ExportError::target(path);
        out.write_all(&(self.header.len() as u64).to_le_bytes()).map_err(&failed)?;
        out.write_all(&self.header).map_err(&failed)?;
        let mut piece = Vec::new();
        for entry in &self.entries {
            let reader = Reader::new(model, entry)?;
            let mut offset = 0;
            while offset < entry.byte_len {
                piece.resize((entry.byte_len - offset).min(PIECE_LEN) as usize, 0);
                reader.read(offset, &mut piece)?;
                out.write_all(&piece).map_err(&failed)?;
                offset += piece.len() as u64;
                progress(piece.len() as u64);
            }
        }
        Ok(())
    }
}

/// Reads the bytes of an entry.
enum Reader {
    Tensor(crate::store::Tensor),
    Dequantised(crate::store::Tensor),
    View(crate::store::NamedView),
}

impl Reader {
    fn new(model: &Model, entry: &Entry) -> Result<Self, ExportError> {
        let found = match entry.of {
            Of::Tensor(at) => model.tensor_at(at).map(Reader::Tensor),
            Of::Dequantised(at) => model.tensor_at(at).map(Reader::Dequantised),
            Of::View(at) => model.named_view_at(at).map(Reader::View),
        };
        let (model, tensor) = (model.full_name(), entry.name.clone());
        found.ok_or_else(|| StoreError::NoSuchTensor { model, tensor }.into())
    }

    /// `offset` is a multiple of [`PIECE_LEN`].
    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), ExportError> {
        match self {
            Reader::Tensor(tensor) => Ok(tensor.read_range_into(offset, out)?),
            Reader::View(view) => Ok(view.read_range_into(offset, out)?),
            Reader::Dequantised(tensor) => {
                let block = (Q8_0_BLOCK_ELEMENTS * size_of::<f32>()) as u64;
                let first = offset / block * Q8_0_BLOCK_BYTES as u64;
                let count = out.len().div_ceil(block as usize);
                // All of them at once: a chunk is decoded whole whatever is asked of it.
                let mut blocks = vec![0; count * Q8_0_BLOCK_BYTES];
                tensor.read_range_into(first, &mut blocks)?;
                let read = |from: u64, to: &mut [u8]| {
                    let from = from as usize;
                    let part = blocks.get(from..).and_then(|rest| rest.get(..to.len()));
                    to.copy_from_slice(part.ok_or(io::ErrorKind::UnexpectedEof)?);
                    Ok(())
                };
                let source = |source| {
                    let tensor = tensor.name().to_owned();
                    StoreError::Source { tensor, source }.into()
                };
                q8_0_as_f32(read, 0, out).map_err(source)
            }
        }
    }
}

/// The files of a model whose weights become a safetensors file.
pub(super) fn converted(model: &Model, dequantise: bool) -> Result<Outs, ExportError> {
    let (weights, beside): (Vec<_>, Vec<_>) =
        in_order(model).into_iter().partition(StoredFile::is_weights);
    let mut outs = Outs { files: Vec::new(), notes: Vec::new() };
    let is_one = |file: &StoredFile| file.format() == FileFormat::Safetensors;
    let weights_out = match weights.as_slice() {
        [file] if is_one(file) => {
            outs.notes.push("the weights are a safetensors file already: as it was".to_owned());
            Out::Stored(file.clone())
        }
        weights => Out::Made(made(model, weights, dequantise, &mut outs.notes)?),
    };
    let folder = folder_of(first_described(&weights).map_or("", StoredFile::path));
    let names: HashSet<String> = match &weights_out {
        Out::Stored(file) => file.tensors().map(|(tensor, _)| tensor.name().to_owned()).collect(),
        Out::Made(made) => made.entries.iter().map(|entry| entry.name.clone()).collect(),
    };
    for file in beside {
        let path = file.path();
        if folder_of(path) == folder && path.ends_with(INDEX_END) {
            outs.notes.push(format!("{path}: left out: it lists files that are not here"));
        } else if folder_of(path) == folder && is_copy(&file, &names) {
            outs.notes.push(format!("{path}: left out: it is another copy of the weights"));
        } else {
            outs.files.push(Out::Stored(file));
        }
    }
    outs.files.push(weights_out);
    Ok(outs)
}

/// The files that describe tensors: not the data that ONNX files have beside them, or below.
fn described(weights: &[StoredFile]) -> impl Iterator<Item = &StoredFile> {
    weights.iter().filter(|file| file.format() != FileFormat::OnnxData)
}

fn first_described(weights: &[StoredFile]) -> Option<&StoredFile> {
    described(weights).next().or(weights.first())
}

fn folder_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// Whether a file in the folder of the weights holds them too.
fn is_copy(file: &StoredFile, names: &HashSet<String>) -> bool {
    let path = Path::new(file.path());
    if is_training_state(path) || !is_weights_name(path) {
        return false;
    }
    let formats = [FileFormat::Gguf, FileFormat::Onnx, FileFormat::OnnxData];
    let prefix = format!("{}:", file.path());
    let is_known = |name: &str| name.strip_prefix(&prefix).is_some_and(|own| names.contains(own));
    file.tensors().len() == 0
        || formats.contains(&file.format())
        || file.tensors().any(|(tensor, _)| is_known(tensor.name()))
}

/// The safetensors file of all weights.
fn made(
    model: &Model,
    weights: &[StoredFile],
    dequantise: bool,
    notes: &mut Vec<String>,
) -> Result<Made, ExportError> {
    let folder = folder_of(first_described(weights).map_or("", StoredFile::path));
    if described(weights).any(|file| folder_of(file.path()) != folder) {
        let reason = "its weights lie in several folders".to_owned();
        return Err(refused(model, reason, false));
    }
    for file in described(weights) {
        note_unseen(model, file, weights, notes)?;
    }
    let mut entries = entries_of(model, dequantise, notes)?;
    // A view can name one element as often as it says.
    let total = entries.iter().try_fold(0u64, |sum, entry| sum.checked_add(entry.byte_len));
    if total.is_none_or(|total| total > i64::MAX as u64) {
        let reason = "its tensors and views would be longer than a file can be".to_owned();
        return Err(refused(model, reason, false));
    }
    let mut begin = 0u64;
    let is_aligned = entries.iter().all(|entry| {
        let at = begin;
        begin = begin.saturating_add(entry.byte_len);
        at.is_multiple_of(entry.width())
    });
    if !is_aligned {
        // Readers that map the file ask for elements at multiples of their size.
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.width()));
    }
    // What transformers asks for.
    let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
    let header = entries.iter().map(|it| (it.name.as_str(), &it.dtype, &it.shape, it.byte_len));
    let header = write_header(header, Some(&metadata));
    if header.len() as u64 > HEADER_LEN_MAX {
        let reason = format!("its header would be longer than {HEADER_LEN_MAX} bytes");
        return Err(refused(model, reason, false));
    }
    let first = first_described(weights).map_or("", StoredFile::path);
    let name = first.rsplit('/').next().unwrap_or_default();
    let name = if name.starts_with("adapter_model") { "adapter_model" } else { "model" };
    let path = match folder_of(first) {
        "" => format!("{name}.safetensors"),
        folder => format!("{folder}/{name}.safetensors"),
    };
    let mut formats: Vec<&str> = weights.iter().map(|file| file.format().name()).collect();
    formats.dedup();
    let what = match weights {
        [_] => format!("the weights ({})", formats.join(", ")),
        _ => {
            format!("{} of weights ({})", counted(weights.len() as u64, "file"), formats.join(", "))
        }
    };
    let tensors = counted(entries.len() as u64, "tensor");
    notes
        .insert(0, format!("{what} became a safetensors file of {tensors}: not what was imported"));
    if formats.contains(&FileFormat::Onnx.name()) {
        notes.push("the graph of operators is not in it".to_owned());
    }
    Ok(Made { path, header, entries })
}

fn refused(model: &Model, reason: String, is_quantised: bool) -> ExportError {
    ExportError::NotConvertible { model: model.full_name(), reason, is_quantised }
}

/// Says what of a file is not seen, and is therefore lost.
fn note_unseen(
    model: &Model,
    file: &StoredFile,
    weights: &[StoredFile],
    notes: &mut Vec<String>,
) -> Result<(), ExportError> {
    if file.format() == FileFormat::Safetensors {
        return Ok(());
    }
    let path = file.path();
    if matches!(file.format(), FileFormat::Bytes | FileFormat::Unknown(_)) {
        let reason = format!("the tensors of {path:?} are not seen");
        return Err(refused(model, reason, false));
    }
    // What was said when it was imported is said again.
    let Ok(layout) = read_layout(&OpenFile::of_stored(file)) else { return Ok(()) };
    notes.extend(layout.notes.iter().map(|note| format!("{path}: {note}")));
    for beside in layout.beside {
        let path = match folder_of(path) {
            "" => beside.path.clone(),
            folder => format!("{folder}/{}", beside.path),
        };
        let Some(data) = weights.iter().find(|file| file.path() == path) else { continue };
        let laid = beside.check(&OpenFile::of_stored(data));
        let said = laid.into_iter().flat_map(|laid| laid.notes);
        notes.extend(said.map(|note| format!("{path}: {note}")));
    }
    Ok(())
}

/// The tensors and views of the weights, as tensors of their own.
fn entries_of(
    model: &Model,
    dequantise: bool,
    notes: &mut Vec<String>,
) -> Result<Vec<Entry>, ExportError> {
    let count = model.weights().len();
    let views = &model.manifest().views;
    let views = || views.iter().enumerate().filter(|(_, view)| (view.tensor as usize) < count);
    let viewed: HashSet<usize> = views().map(|(_, view)| view.tensor as usize).collect();
    let (mut entries, mut unknown) = (Vec::with_capacity(count), Unknown::default());
    let mut holders = 0u64;
    let mut dequantised = 0u64;
    for (at, tensor) in model.weights().enumerate() {
        let (name, dtype, shape) = (tensor.name(), tensor.dtype(), tensor.shape());
        if viewed.contains(&at) && is_holder(name, shape) {
            holders += 1;
            continue;
        }
        let mut entry = Entry {
            name: name.to_owned(),
            dtype: dtype.clone(),
            shape: shape.clone(),
            byte_len: tensor.byte_len(),
            of: Of::Tensor(at),
        };
        if dequantise && is_whole_q8_0(&entry) {
            dequantised += 1;
            entry.dtype = Dtype::F32;
            entry.byte_len = shape.elements().saturating_mul(4);
            entry.of = Of::Dequantised(at);
        }
        unknown.look_at(&entry);
        entries.push(entry);
    }
    let own = entries.len();
    for (at, view) in views() {
        let (dtype, shape) = (view.dtype.clone(), view.shape.clone());
        let byte_len = dtype.byte_len(&shape).ok().flatten().unwrap_or(0);
        let entry = Entry { name: view.name.clone(), dtype, shape, byte_len, of: Of::View(at) };
        unknown.look_at(&entry);
        entries.push(entry);
    }
    unknown.refuse(model)?;
    if entries.is_empty() {
        return Err(refused(model, "no tensor is seen in its weights".to_owned(), false));
    }
    if let Some(entry) = entries.iter().find(|entry| entry.name == METADATA_KEY) {
        let reason = format!("a tensor is called {:?}", entry.name);
        return Err(refused(model, reason, false));
    }
    let written = (entries.len() - own) as u64;
    if let Some(shared) = written.checked_sub(holders).filter(|shared| *shared > 0) {
        let names = counted(shared, "tensor");
        notes.push(format!(
            "{names} that shared the bytes of others (tied weights) are written out"
        ));
    }
    if dequantised > 0 {
        let tensors = counted(dequantised, "tensor");
        notes.push(format!("{tensors} of {Q8_0} became F32: larger, and of the same values"));
    }
    Ok(entries)
}

/// Whether nobody calls this tensor so: it is the storage of a PyTorch file, or an array in Fortran's
/// order, of which views have the names.
fn is_holder(name: &str, shape: &Shape) -> bool {
    let is_key = |key: &str| !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_digit());
    let is_storage = name.rsplit_once('/').is_some_and(|(_, key)| is_key(key));
    (is_storage && shape.dims().len() == 1) || name.ends_with("^T")
}

/// Whether these are as many blocks as there are elements for.
fn is_whole_q8_0(entry: &Entry) -> bool {
    let elements = entry.shape.elements();
    let blocks = elements / Q8_0_BLOCK_ELEMENTS as u64;
    entry.dtype.name() == Q8_0
        && elements.is_multiple_of(Q8_0_BLOCK_ELEMENTS as u64)
        && blocks.checked_mul(Q8_0_BLOCK_BYTES as u64) == Some(entry.byte_len)
}

/// Tensors of types that safetensors has no names for.
#[derive(Default)]
struct Unknown {
    named: Vec<String>,
    more: u64,
    is_quantised: bool,
}

impl Unknown {
    fn look_at(&mut self, entry: &Entry) {
        if entry.dtype.bits().is_some() {
            return;
        }
        self.is_quantised |= entry.dtype.name() == Q8_0;
        match self.named.len() < NAMED_MAX {
            true => self.named.push(format!("{:?} ({})", entry.name, entry.dtype)),
            false => self.more += 1,
        }
    }

    fn refuse(self, model: &Model) -> Result<(), ExportError> {
        if self.named.is_empty() {
            return Ok(());
        }
        let more = match self.more {
            0 => String::new(),
            more => format!(" and {}", counted(more, "more tensor")),
        };
        let named = self.named.join(", ");
        let reason = format!("it has no type for {named}{more}");
        Err(refused(model, reason, self.is_quantised))
    }
}
