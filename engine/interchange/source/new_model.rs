//! The files of a model into the store.

use super::file::{FileRole, SourceFile};
use super::model_source::{ModelSource, Plain};
use crate::format::PackedBytes;
use crate::interchange::LaidView;
use crate::store::{NewModel, NewPart, NewTensor, NewView};

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
            Plain::No => {
                let model = if source.is_single() { self.single_file() } else { self };
                source.files().iter().fold(model, |model, file| model.part(woven_part(file)))
            }
        }
    }
}

impl<'a> NewModel<'a> {
    /// Takes a model that is one file as a file at `path` of a folder, and what it says of itself.
    /// Of a model that is more, nothing is taken.
    pub(crate) fn source_at(mut self, source: &'a ModelSource, path: &str) -> Self {
        for (key, value) in source.facts() {
            self = self.metadata_unless_given(key, value.clone());
        }
        if let Some(layers) = source.architecture() {
            self = self.layers(layers);
        }
        match (&source.plain, source.files()) {
            (Plain::Single(header), [file]) => self.part(plain_part(file, path, header)),
            (_, [file]) => self.part(NewPart { path: path.to_owned(), ..woven_part(file) }),
            _ => self,
        }
    }
}

/// A safetensors file as its header and its tensors.
fn plain_part<'a>(file: &'a SourceFile, path: &str, header: &PackedBytes) -> NewPart<'a> {
    let part = NewPart::new(path).packed_header(header.clone());
    tensors_of(file).fold(part, NewPart::tensor)
}

/// A file as its skeleton and its tensors.
fn woven_part(file: &SourceFile) -> NewPart<'_> {
    let skeleton = file.skeleton();
    let part = NewPart::file(file.path(), file.format());
    let part = part.woven(file.gaps(), skeleton.len(), skeleton);
    let part = if file.role() == FileRole::Aside { part.aside() } else { part };
    let part = tensors_of(file).fold(part, NewPart::tensor);
    let view = |view: &LaidView| NewView {
        name: view.name.clone(),
        tensor: view.tensor,
        offset: view.offset,
        dtype: view.dtype.clone(),
        shape: view.shape.clone(),
        strides: view.strides.clone(),
    };
    file.views().iter().map(view).fold(part, NewPart::view)
}

fn tensors_of(file: &SourceFile) -> impl Iterator<Item = NewTensor<'_>> {
    file.tensors().iter().enumerate().map(move |(at, tensor)| {
        let (dtype, shape) = (tensor.dtype.clone(), tensor.shape.clone());
        NewTensor::of_file(&tensor.name, dtype, shape, tensor.end - tensor.begin, (file, at))
    })
}
