//! The files of a model into the store.

use super::file::SourceFile;
use super::model_source::{ModelSource, Plain};
use crate::format::PackedBytes;
use crate::store::{NewModel, NewPart, NewTensor};

impl<'a> NewModel<'a> {
    /// Takes the files of a model, what they say of it (its kind and metadata, unless they are
    /// given already), and its layers where the files have them. Nothing of the tensors is read
    /// before the model is added.
    pub fn source(mut self, source: &'a ModelSource) -> Self {
        self = self.logical_bytes(source.logical_bytes());
        if let Some(kind) = source.kind() {
            self = self.kind_unless_given(kind);
        }
        for (key, value) in source.facts() {
            self = self.metadata_unless_given(key, value.clone());
        }
        if let Some(layers) = source.architecture() {
            self = self.layers(layers);
        }
        match &source.plain {
            Plain::Single(header) => {
                let files = source.files().iter().zip([header]);
                files.fold(self, |model, (file, header)| model.part(plain_part(file, "", header)))
            }
            Plain::Sharded(headers, index, bytes) => {
                let model = self.index(index.as_str(), bytes.clone());
                let files = source.files().iter().zip(headers);
                files.fold(model, |model, (file, header)| {
                    model.part(plain_part(file, file.path(), header))
                })
            }
            Plain::No => self,
        }
    }
}

/// A safetensors file as its header and its tensors.
fn plain_part<'a>(file: &'a SourceFile, name: &str, header: &PackedBytes) -> NewPart<'a> {
    NewPart {
        name: name.to_owned(),
        header: header.clone(),
        tensors: tensors_of(file).collect(),
    }
}

fn tensors_of(file: &SourceFile) -> impl Iterator<Item = NewTensor<'_>> {
    file.tensors().iter().enumerate().map(move |(at, tensor)| {
        let (dtype, shape) = (tensor.dtype.clone(), tensor.shape.clone());
        NewTensor::of_file(&tensor.name, dtype, shape, tensor.end - tensor.begin, (file, at))
    })
}
