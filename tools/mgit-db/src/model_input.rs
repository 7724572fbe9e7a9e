//! Files that models come from, of every kind.

use std::io;
use std::path::{Path, PathBuf};

use mgit::architecture::Architecture;
use mgit::infer::Member;
use mgit::interchange::{ModelSource, SourceOptions};
use mgit::store::{AroundReport, ImportReport, Repack};
use mgit::{NewModel, Store};
use serde_json::Value;

use crate::failure::Failure;
use crate::refusal::{excludes, refused, without_set};

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
    /// # Errors
    ///
    /// A file that cannot be read.
    pub fn open_with(path: &Path, options: &SourceOptions) -> Result<Self, Failure> {
        let source = ModelSource::open_with(path, options);
        Self::of(path, source.map_err(|error| refused(error, path))?)
    }

    /// As [`open_with`](Self::open_with), for a model that was named itself: of one whose shards are
    /// not all there it also says what leaves them out, where the rest is a model.
    ///
    /// # Errors
    ///
    /// As [`open_with`](Self::open_with).
    pub fn open_named(path: &Path, options: &SourceOptions) -> Result<Self, Failure> {
        let source = ModelSource::open_with(path, options).map_err(|error| {
            let without = without_set(&error, path, options);
            let failure = refused(error, path);
            match without {
                None => failure,
                Some(globs) => failure.and(&format!("or leave that set out: {}", excludes(&globs))),
            }
        });
        Self::of(path, source?)
    }

    fn of(path: &Path, source: ModelSource) -> Result<Self, Failure> {
        let beside = path.with_extension(LAYERS_EXTENSION);
        let layers = if beside.is_file() { Some(layers_of(&beside)?) } else { None };
        Ok(ModelInput { source, layers })
    }

    /// The files, what is left out, and what is to be said of them.
    pub fn source(&self) -> &ModelSource {
        &self.source
    }

    /// Bytes of the files.
    pub fn logical_bytes(&self) -> u64 {
        self.source.logical_bytes()
    }

    /// The paths of all files that are read for the model at `path`, and its own.
    pub fn parts(&self, path: &Path) -> Vec<PathBuf> {
        let folder = if path.is_dir() { path } else { path.parent().unwrap_or(path) };
        let files = self.source.files().iter().map(|file| folder.join(file.path()));
        let layers = self.layers.as_ref().map(|_| path.with_extension(LAYERS_EXTENSION));
        files.chain(layers).chain([path.to_owned()]).collect()
    }

    /// The model, to be added as `name`.
    pub fn model<'a>(&'a self, name: &str) -> NewModel<'a> {
        let model = NewModel::new(name).source(&self.source);
        match &self.layers {
            Some(layers) => model.layers(layers),
            None => model,
        }
    }

    /// The model, to be compared with others. Reads its weights.
    ///
    /// # Errors
    ///
    /// The files cannot be read.
    pub fn member(&self, label: &str) -> Result<Member<'_>, Failure> {
        Ok(Member::source(label, &self.source)?)
    }
}

/// Adds a model in a transaction of its own; with `repack`, models for which it is a better base
/// are stored anew with it.
///
/// # Errors
///
/// Those of the store, and of reading the model.
pub fn add(
    store: &Store,
    model: NewModel<'_>,
    repack: Option<&Repack>,
) -> Result<(ImportReport, AroundReport), Failure> {
    let mut transaction = store.begin_write()?;
    let report = transaction.add_model(model)?;
    let mut around = AroundReport::default();
    if let Some(repack) = repack.filter(|_| !report.already_there) {
        around = transaction.repack_around(&report.node, repack)?;
    }
    transaction.commit()?;
    Ok((report, around))
}

/// A failure, with what was imported before it.
pub fn with_imported(failure: Failure, imported: &[String]) -> Failure {
    match imported {
        [] => failure,
        imported => failure.and(&format!("already in the store: {}", imported.join(", "))),
    }
}

/// Refuses a path at which nothing is.
///
/// # Errors
///
/// There is nothing, or it cannot be asked about.
pub fn check_there(path: &Path) -> Result<(), Failure> {
    let unreadable = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => {
            Failure::failed("file-not-found", format!("{path:?} does not exist: check the path"))
        }
        _ => Failure::io(format!("read {path:?}"), &error),
    };
    path.metadata().map(|_| ()).map_err(unreadable)
}

fn layers_of(path: &Path) -> Result<Architecture, Failure> {
    let unreadable = |error| Failure::io(format!("read {path:?}"), &error);
    if path.metadata().map_err(unreadable)?.len() > LAYERS_LEN_MAX {
        let message = format!("{path:?} is longer than a description of layers can be");
        return Err(Failure::failed("malformed-file", message));
    }
    let malformed = |error: String| {
        Failure::failed("malformed-file", format!("{path:?}: {error}: mend it or move it away"))
    };
    let text = std::fs::read(path).map_err(unreadable)?;
    let value: Value =
        serde_json::from_slice(&text).map_err(|error| malformed(error.to_string()))?;
    Architecture::from_json(&value).map_err(|error| malformed(error.to_string()))
}
