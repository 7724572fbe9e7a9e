//! Models in files as models to be compared.

use std::io;

use super::Member;
use crate::interchange::{FileRole, ModelSource, SourceFile};
use crate::store::{Result, TensorSource};

/// A tensor of a file, by its place.
struct FileTensor<'a>(&'a SourceFile, usize);

impl TensorSource for FileTensor<'_> {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read_tensor_at(self.1, offset, out)
    }
}

impl<'a> Member<'a> {
    /// A model in files, known as `label`: its weights, and what the files say of it. Cost: reads
    /// the weights once, to hash them.
    ///
    /// # Errors
    ///
    /// [`StoreError::Source`](crate::store::StoreError::Source).
    pub fn source(label: impl Into<String>, source: &'a ModelSource) -> Result<Self> {
        let mut metadata = source.header_strings().clone();
        for (key, value) in source.facts() {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            metadata.insert(key.clone(), text);
        }
        let (mut sources, mut facts) = (Vec::<Box<dyn TensorSource + 'a>>::new(), Vec::new());
        for file in source.files().iter().filter(|file| file.role() == FileRole::Weights) {
            for (at, tensor) in file.tensors().iter().enumerate() {
                sources.push(Box::new(FileTensor(file, at)));
                let (name, dtype, shape) =
                    (tensor.name.clone(), tensor.dtype.clone(), tensor.shape.clone());
                facts.push((name, dtype, shape, tensor.end - tensor.begin));
            }
        }
        Self::from_sources(label.into(), metadata, sources, facts)
    }
}
