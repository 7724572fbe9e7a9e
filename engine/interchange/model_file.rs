//! A model in safetensors files, single or sharded.

use std::path::Path;

use super::{InterchangeError, SafetensorsFile, ShardedModel};

/// A model as it lies on disk: one safetensors file, or several with an index.
#[derive(Debug)]
pub enum ModelFile {
    /// One file.
    Single(SafetensorsFile),
    /// Several files and their index.
    Sharded(ShardedModel),
}

impl ModelFile {
    /// Opens what is at `path`: a folder with an index in it, an index (a name that ends in
    /// `.index.json`), or else a safetensors file.
    ///
    /// Cost: reads index and headers only.
    ///
    /// # Errors
    ///
    /// Those of [`ShardedModel::open`] or [`SafetensorsFile::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, InterchangeError> {
        let path = path.as_ref();
        let is_index = || {
            path.file_name().is_some_and(|name| name.as_encoded_bytes().ends_with(b".index.json"))
        };
        if path.is_dir() || is_index() {
            Ok(ModelFile::Sharded(ShardedModel::open(path)?))
        } else {
            Ok(ModelFile::Single(SafetensorsFile::open(path)?))
        }
    }

    /// The safetensors files with their names in the index, in the order of these names; no
    /// name for a single file, which is known by its path alone.
    pub fn files(&self) -> impl Iterator<Item = (Option<&str>, &SafetensorsFile)> {
        let (single, shards) = match self {
            ModelFile::Single(file) => (Some((None, file)), [].as_slice()),
            ModelFile::Sharded(model) => (None, model.shards()),
        };
        let shards = shards.iter().map(|shard| (Some(shard.name.as_str()), &shard.file));
        single.into_iter().chain(shards)
    }

    /// The bytes of the model on disk: headers, tensors and index.
    pub fn logical_bytes(&self) -> u64 {
        let index = match self {
            ModelFile::Single(_) => 0,
            ModelFile::Sharded(model) => model.index_bytes().len() as u64,
        };
        self.files().fold(index, |sum, (_, file)| sum.saturating_add(file.file_len()))
    }
}
