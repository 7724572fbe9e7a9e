//! ONNX files as models to be compared.

use std::collections::BTreeMap;

use super::Member;
use crate::interchange::{OnnxFile, OnnxTensor};
use crate::store::{Result, TensorSource};

impl<'a> Member<'a> {
    /// An ONNX file, known as `label`. Cost: reads its tensors once, to hash them.
    ///
    /// # Errors
    ///
    /// [`StoreError::Source`](crate::store::StoreError::Source).
    pub fn onnx(label: impl Into<String>, file: &'a OnnxFile) -> Result<Self> {
        let places = 0..file.tensors().len();
        let sources = places.map(|at| Box::new(file.source(at)) as Box<dyn TensorSource + 'a>);
        let facts = file.tensors().iter().map(|tensor| {
            let OnnxTensor { name, dtype, shape, byte_len, .. } = tensor;
            (name.clone(), dtype.clone(), shape.clone(), *byte_len)
        });
        Self::from_sources(label.into(), BTreeMap::new(), sources.collect(), facts.collect())
    }
}
