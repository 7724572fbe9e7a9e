//! Files that a model comes from, of every kind.

use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::error::AdoptionError;
use crate::architecture::Architecture;
use crate::infer::Member;
use crate::interchange::{InterchangeError, ModelSource, SourceOptions};
use crate::store::{NewModel, StoreError};

/// The longest description of layers that is read.
const LAYERS_LEN_MAX: u64 = 64 << 20;

/// How the file ends that gives a model's layers.
const LAYERS_EXTENSION: &str = "layers.json";

/// Open model files of any form, and the layers given beside a single one.
#[derive(Debug)]
pub struct ModelInput {
    source: ModelSource,
    layers: Option<Architecture>,
}

impl ModelInput {
    /// Opens what is at `path`, with a say in which files of a folder are taken. Layers are read
    /// from the file of the same name that ends in `.layers.json`, if it is there.
    ///
    /// Cost: that of [`ModelSource::open`]; the file of layers.
    ///
    /// # Errors
    ///
    /// [`AdoptionError::NotTaken`]; a file of layers that cannot be read, or gives none.
    pub fn open(path: impl AsRef<Path>, options: &SourceOptions) -> Result<Self, AdoptionError> {
        let path = path.as_ref();
        let not_taken = AdoptionError::not_taken(path);
        let source = ModelSource::open_with(path, options).map_err(not_taken)?;
        let beside = path.with_extension(LAYERS_EXTENSION);
        let layers = if beside.is_file() { Some(layers_of(&beside)?) } else { None };
        Ok(ModelInput { source, layers })
    }

    /// Refuses a path at which nothing is, before anything is read.
    ///
    /// # Errors
    ///
    /// There is nothing, or it cannot be asked about.
    pub fn check_there(path: impl AsRef<Path>) -> Result<(), AdoptionError> {
        let path = path.as_ref();
        match path.metadata() {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let error = InterchangeError::NotFound { path: path.to_owned() };
                Err(AdoptionError::not_taken(path)(error))
            }
            Err(source) => Err(AdoptionError::Unreadable { path: path.to_owned(), source }),
        }
    }

    /// The files, what is left out, and what is to be said of them.
    pub fn source(&self) -> &ModelSource {
        &self.source
    }

    /// The layers that are given beside it.
    pub fn layers(&self) -> Option<&Architecture> {
        self.layers.as_ref()
    }

    /// Bytes of the files.
    pub fn logical_bytes(&self) -> u64 {
        self.source.logical_bytes()
    }

    /// The paths of all files that are read for the model, and its own.
    pub(super) fn parts(&self) -> Vec<PathBuf> {
        let path = self.source.path();
        let folder = if path.is_dir() { path } else { path.parent().unwrap_or(path) };
        let files = self.source.files().iter().map(|file| folder.join(file.path()));
        let layers = self.layers.as_ref().map(|_| path.with_extension(LAYERS_EXTENSION));
        files.chain(layers).chain([path.to_owned()]).collect()
    }

    /// The model, to be added as `name`.
    pub fn model(&self, name: impl Into<String>) -> NewModel<'_> {
        let model = NewModel::new(name).source(&self.source);
        match &self.layers {
            Some(layers) => model.layers(layers),
            None => model,
        }
    }

    /// The model, to be compared with others, known as `label`. Cost: reads its weights once.
    ///
    /// # Errors
    ///
    /// The files cannot be read.
    pub fn member(&self, label: impl Into<String>) -> Result<Member<'_>, StoreError> {
        Member::source(label, &self.source)
    }
}

fn layers_of(path: &Path) -> Result<Architecture, AdoptionError> {
    let unreadable = |source| AdoptionError::Unreadable { path: path.to_owned(), source };
    if path.metadata().map_err(unreadable)?.len() > LAYERS_LEN_MAX {
        return Err(AdoptionError::LayersTooLong { path: path.to_owned() });
    }
    let malformed = |reason| AdoptionError::BadLayers { path: path.to_owned(), reason };
    let text = std::fs::read(path).map_err(unreadable)?;
    let value: Value =
        serde_json::from_slice(&text).map_err(|error| malformed(error.to_string()))?;
    Architecture::from_json(&value).map_err(|error| malformed(error.to_string()))
}
