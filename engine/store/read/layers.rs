//! The layers of a model: kept with it when they were given, else inferred.

use super::model::Model;
use crate::architecture::{Architecture, LAYERS_KEY, TensorInfo};
use crate::catalog::{ReadTables, Table, keys};
use crate::store::error::Result;

impl Model {
    /// The layers of the model's weights: those it was added with, or what the names of its tensors tell. Layers
    /// that cannot be read are taken as not given.
    ///
    /// # Errors
    ///
    /// Those of the catalogue.
    pub fn architecture(&self) -> Result<Architecture> {
        let manifest = self.manifest();
        let tensors = manifest.tensors.iter().take(manifest.weights()).map(|it| TensorInfo {
            name: it.name,
            dtype: it.dtype,
            shape: it.shape,
        });
        let tensors: Vec<TensorInfo<'_>> = tensors.collect();
        let key = keys::metadata(&self.node().id.0, LAYERS_KEY);
        let given = self.snapshot().tables().get(Table::Metadata, &key)?;
        let given = given.and_then(|text| serde_json::from_slice(&text).ok());
        let given = given.and_then(|value| Architecture::from_json(&value).ok());
        Ok(match given {
            Some(architecture) => architecture.complete(&tensors),
            None => Architecture::infer(&tensors),
        })
    }
}
