//! Model files into the store.

use std::io;

use super::{ModelFile, SafetensorsFile, TensorEntry};
use crate::store::{NewModel, NewPart, NewTensor, TensorSource, TensorsSource};

/// A tensor of an open file, as a source for the store.
pub(crate) struct FileTensor<'a> {
    pub(crate) file: &'a SafetensorsFile,
    pub(crate) entry: usize,
}

impl TensorsSource for SafetensorsFile {
    fn read_tensor_at(&self, at: usize, offset: u64, out: &mut [u8]) -> io::Result<()> {
        SafetensorsFile::read_tensor_at(self, at, offset, out)
    }
}

impl TensorSource for FileTensor<'_> {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read_tensor_at(self.entry, offset, out)
    }
}

impl<'a> NewModel<'a> {
    /// Takes the tensors, headers and index of a model file. Nothing is read before the model is
    /// added; the file stays open until then.
    pub fn file(mut self, file: &'a ModelFile) -> Self {
        if let ModelFile::Sharded(sharded) = file {
            self = self.index(sharded.index_name(), sharded.index_bytes().to_vec());
        }
        for (name, file) in file.files() {
            let tensor = |(entry, tensor): (usize, &'a TensorEntry)| {
                NewTensor::of_file(
                    &tensor.name,
                    tensor.dtype.clone(),
                    tensor.shape.clone(),
                    tensor.byte_len(),
                    (file, entry),
                )
            };
            let part = NewPart::new(name.unwrap_or_default());
            let part = part.packed_header(file.header().packed().clone());
            let tensors = file.header().tensors().iter().enumerate().map(tensor);
            self = self.part(tensors.fold(part, NewPart::tensor));
        }
        self.logical_bytes(file.logical_bytes())
    }
}
