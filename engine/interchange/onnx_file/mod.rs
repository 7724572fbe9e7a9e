//! ONNX files: their tensors, and the graph of their operators.
//!
//! What is read: the initialisers of the main graph and the values of its `Constant` operators
//! as tensors, and its operators with their plain settings. Weights are not read before they are
//! asked for. Left out: subgraphs (of `If`, `Loop`, `Scan`), sparse tensors, tensors of strings,
//! local functions. The file itself is not given back by an export: its tensors are, as
//! safetensors.
//!
//! The format: <https://github.com/onnx/onnx/blob/main/onnx/onnx.proto>, 2024-06.

mod graph;
mod tensor;
mod wire;

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::{InterchangeError, regular_file};
use crate::architecture::{Architecture, Operator};
use crate::store::{NewModel, NewPart, NewTensor, TensorSource};
use crate::tensor::{Dtype, Shape};
use tensor::Place;
use wire::{Reader, WireError};

/// A tensor of an ONNX file.
#[derive(Debug)]
pub struct OnnxTensor {
    /// Its name.
    pub name: String,
    /// Its element type.
    pub dtype: Dtype,
    /// Its dimensions.
    pub shape: Shape,
    /// Its length in bytes.
    pub byte_len: u64,
    place: Place,
}

/// An open ONNX file.
#[derive(Debug)]
pub struct OnnxFile {
    path: PathBuf,
    file: File,
    file_len: u64,
    beside: HashMap<String, (File, u64)>,
    tensors: Vec<OnnxTensor>,
    operators: Vec<Operator>,
}

impl OnnxFile {
    /// Opens the ONNX file at `path`. Cost: reads the graph, skips the weights; memory in
    /// proportion to the graph. Weights may lie in other files of the same folder.
    ///
    /// # Errors
    ///
    /// [`InterchangeError::MalformedOnnx`]; those of opening a file.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, InterchangeError> {
        let path = path.as_ref();
        let (file, file_len) = regular_file::open(path)?;
        let failed = |error: WireError| match error {
            WireError::Io(source) => InterchangeError::io(path, "read", source),
            WireError::Malformed { offset, detail } => InterchangeError::MalformedOnnx {
                file: path.to_path_buf(),
                offset,
                detail: detail.to_owned(),
            },
        };
        let mut reader = Reader::new(&file, file_len);
        let graph = graph::read(&mut reader, file_len).map_err(failed)?;
        let mut onnx = OnnxFile {
            path: path.to_path_buf(),
            file,
            file_len,
            beside: HashMap::new(),
            tensors: Vec::new(),
            operators: graph.operators,
        };
        let mut names = HashSet::new();
        for tensor in graph.tensors {
            let offset = tensor.offset;
            let malformed = |detail: String| InterchangeError::MalformedOnnx {
                file: path.to_path_buf(),
                offset,
                detail,
            };
            let Some(dtype) = tensor.dtype() else { continue };
            let place = tensor.place(&dtype).map_err(malformed)?;
            if tensor.name.is_empty() {
                return Err(malformed("a tensor without a name".to_owned()));
            }
            if !names.insert(tensor.name.clone()) {
                return Err(malformed(format!("the tensor {:?} stands twice", tensor.name)));
            }
            let shape = Shape::new(&tensor.dims).map_err(|error| malformed(error.to_string()))?;
            let byte_len = onnx.length(&place, &malformed)?;
            let expected = dtype.byte_len(&shape).map_err(|error| malformed(error.to_string()))?;
            if expected.is_some_and(|expected| expected != byte_len) {
                let expected = expected.unwrap_or_default();
                return Err(malformed(format!(
                    "the tensor {:?} has {byte_len} bytes, {dtype} {shape} takes {expected}",
                    tensor.name
                )));
            }
            onnx.tensors.push(OnnxTensor { name: tensor.name, dtype, shape, byte_len, place });
        }
        Ok(onnx)
    }

    /// The length of a tensor's data. Opens the file that it is in.
    fn length(
        &mut self,
        place: &Place,
        malformed: &dyn Fn(String) -> InterchangeError,
    ) -> Result<u64, InterchangeError> {
        match place {
            Place::Here(span) => Ok(span.len()),
            Place::Decoded(bytes) => Ok(bytes.len() as u64),
            Place::Beside { name, offset, len } => {
                if !self.beside.contains_key(name) {
                    let folder = self.path.parent().unwrap_or(Path::new(""));
                    let file = regular_file::open(&folder.join(name))?;
                    self.beside.insert(name.clone(), file);
                }
                let file_len = self.beside.get(name).map_or(0, |(_, len)| *len);
                let rest = file_len.checked_sub(*offset);
                let rest =
                    rest.ok_or_else(|| malformed(format!("{name:?} ends before {offset}")))?;
                match len {
                    Some(len) if *len > rest => {
                        Err(malformed(format!("{name:?} ends before {offset} + {len}")))
                    }
                    Some(len) => Ok(*len),
                    None => Ok(rest),
                }
            }
        }
    }

    /// The path the file was opened at.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The names of the files of the same folder that hold data of its tensors, in any order.
    pub fn files_beside(&self) -> impl Iterator<Item = &str> {
        self.beside.keys().map(String::as_str)
    }

    /// Bytes of the file, and of those beside it with its weights.
    pub fn logical_bytes(&self) -> u64 {
        self.beside.values().fold(self.file_len, |sum, (_, len)| sum.saturating_add(*len))
    }

    /// The tensors, in the order of the file.
    pub fn tensors(&self) -> &[OnnxTensor] {
        &self.tensors
    }

    /// The operators, in the order of the file.
    pub fn operators(&self) -> &[Operator] {
        &self.operators
    }

    /// The layers: a layer an operator, with the edges of the graph.
    ///
    /// # Errors
    ///
    /// [`InterchangeError::MalformedOnnx`] when the graph has a cycle.
    pub fn architecture(&self) -> Result<Architecture, InterchangeError> {
        let names: HashSet<&str> = self.tensors.iter().map(|tensor| tensor.name.as_str()).collect();
        Architecture::from_operators(&self.operators, &|name| names.contains(name)).map_err(
            |error| InterchangeError::MalformedOnnx {
                file: self.path.clone(),
                offset: 0,
                detail: error.to_string(),
            },
        )
    }

    /// Fills `out` with the bytes of tensor `at` from `offset` on.
    ///
    /// # Errors
    ///
    /// Of kind `InvalidInput` when there are no such bytes; those of the operating system.
    pub fn read_tensor_at(&self, at: usize, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let invalid = || io::Error::new(io::ErrorKind::InvalidInput, "no such bytes");
        let tensor = self.tensors.get(at).ok_or_else(invalid)?;
        let end = offset.checked_add(out.len() as u64);
        if end.is_none_or(|end| end > tensor.byte_len) {
            return Err(invalid());
        }
        match &tensor.place {
            Place::Here(span) => self.file.read_exact_at(out, span.start + offset),
            Place::Beside { name, offset: start, .. } => {
                let (file, _) = self.beside.get(name).ok_or_else(invalid)?;
                file.read_exact_at(out, start + offset)
            }
            Place::Decoded(bytes) => {
                let start = usize::try_from(offset).map_err(|_| invalid())?;
                let part = bytes.get(start..start + out.len()).ok_or_else(invalid)?;
                out.copy_from_slice(part);
                Ok(())
            }
        }
    }

    /// A tensor as a source for the store.
    pub(crate) fn source(&self, at: usize) -> impl TensorSource + '_ {
        OnnxSource { file: self, at }
    }
}

struct OnnxSource<'a> {
    file: &'a OnnxFile,
    at: usize,
}

impl TensorSource for OnnxSource<'_> {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read_tensor_at(self.at, offset, out)
    }
}

impl<'a> NewModel<'a> {
    /// Takes the tensors of an ONNX file, and its graph as the model's layers. Nothing is read
    /// before the model is added.
    ///
    /// # Errors
    ///
    /// As [`OnnxFile::architecture`].
    pub fn onnx(self, file: &'a OnnxFile) -> Result<Self, InterchangeError> {
        let tensor = |(at, tensor): (usize, &'a OnnxTensor)| {
            NewTensor::from_source(
                &tensor.name,
                tensor.dtype.clone(),
                tensor.shape.clone(),
                tensor.byte_len,
                file.source(at),
            )
        };
        let tensors = file.tensors().iter().enumerate().map(tensor);
        let part = tensors.fold(NewPart::new(""), NewPart::tensor);
        let model = self.layers(&file.architecture()?).part(part);
        Ok(model.logical_bytes(file.logical_bytes()))
    }
}
