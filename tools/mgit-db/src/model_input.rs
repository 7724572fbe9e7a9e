//! Files that models come from, of every kind.

use std::io;
use std::path::{Path, PathBuf};

use mgit::architecture::Architecture;
use mgit::infer::Member;
use mgit::interchange::{ModelSource, SourceOptions};
use mgit::lineage::ModelName;
use mgit::store::ImportReport;
use mgit::{NewModel, Store};
use serde_json::Value;

use crate::failure::Failure;

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
    /// Opens what is at `path`. Layers are read from the file of the same name that ends in
    /// `.layers.json`, if it is there.
    ///
    /// # Errors
    ///
    /// A file that cannot be read.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        Self::open_with(path, &SourceOptions::new())
    }

    /// As [`open`](Self::open), with a say in which files of a folder are taken.
    ///
    /// # Errors
    ///
    /// A file that cannot be read.
    pub fn open_with(path: &Path, options: &SourceOptions) -> Result<Self, Failure> {
        let source = ModelSource::open_with(path, options)?;
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

/// Adds a model in a transaction of its own.
///
/// # Errors
///
/// Those of the store, and of reading the model.
pub fn add(store: &Store, model: NewModel<'_>) -> Result<ImportReport, Failure> {
    let mut transaction = store.begin_write()?;
    let report = transaction.add_model(model)?;
    transaction.commit()?;
    Ok(report)
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

/// The name of a model that a path suggests: its file's, without the ending, with `-` for what
/// names do not have. `model-` stands before what would be no name for a new model.
pub fn name_of(path: &Path) -> String {
    let stem = if path.is_dir() { path.file_name() } else { path.file_stem() };
    let stem = stem.unwrap_or_default().to_string_lossy();
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let name: String = stem.chars().map(|c| if allowed(c) { c } else { '-' }).collect();
    let name = name.trim_matches('.').trim_start_matches('-');
    let is_name = name.parse::<ModelName>().is_ok_and(|name| name.check_new().is_ok());
    if is_name { name.to_owned() } else { format!("model-{name}") }
}

/// What is in a folder.
#[derive(Debug, Default)]
pub struct FolderFiles {
    /// Model files and folders, by name.
    pub models: Vec<PathBuf>,
    /// All else. Some of it may belong to the models: [`ModelInput::parts`].
    pub others: Vec<LeftOut>,
}

/// Something in a folder that is no model to read.
#[derive(Clone, Debug)]
pub struct LeftOut {
    /// Where it is.
    pub path: PathBuf,
    /// Why it is left out.
    pub reason: &'static str,
}

/// What a folder holds: safetensors and ONNX files, and folders with an index, are models; a folder
/// that has an index itself is one.
///
/// # Errors
///
/// The folder, or one in it, cannot be read.
pub fn model_files(folder: &Path) -> Result<FolderFiles, Failure> {
    let unreadable =
        |folder: &Path, error| Failure::io(format!("read the folder {folder:?}"), &error);
    let list = |folder: &Path| -> std::io::Result<Vec<PathBuf>> {
        folder.read_dir()?.map(|entry| Ok(entry?.path())).collect()
    };
    let ends = |path: &Path, end: &str| {
        path.file_name().is_some_and(|name| name.as_encoded_bytes().ends_with(end.as_bytes()))
    };
    let is_index = |path: &Path| ends(path, ".safetensors.index.json");
    let has_index = |entries: &[PathBuf]| entries.iter().any(|entry| is_index(entry));
    let mut entries = list(folder).map_err(|error| unreadable(folder, error))?;
    entries.sort();
    let mut files = FolderFiles::default();
    if has_index(&entries) {
        files.models.push(folder.to_owned());
        let others = entries.into_iter().filter(|path| !is_index(path));
        let reason = "no part of the model that the folder's index describes";
        files.others.extend(others.map(|path| LeftOut { path, reason }));
        return Ok(files);
    }
    for path in entries {
        let is_model = ends(&path, ".safetensors") || ends(&path, ".onnx");
        let reason = if path.is_dir() {
            if has_index(&list(&path).map_err(|error| unreadable(&path, error))?) {
                files.models.push(path);
                continue;
            }
            "sub-folders without an index are not searched"
        } else if !path.is_file() {
            "neither a file nor a folder"
        } else if is_model {
            files.models.push(path);
            continue;
        } else {
            "not a format that is read (.safetensors, .onnx)"
        };
        files.others.push(LeftOut { path, reason });
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_files() {
        assert_eq!(name_of(Path::new("a/b c@2.safetensors")), "b-c-2");
        assert_eq!(name_of(Path::new("auto.onnx")), "model-auto");
        assert_eq!(name_of(Path::new("llama-3.1.safetensors")), "llama-3.1");
        assert_eq!(name_of(Path::new("-rf.safetensors")), "rf");
        let id = "0123456789abcdef0123456789abcdef";
        assert_eq!(name_of(Path::new(id)), format!("model-{id}"));
        assert!(name_of(Path::new("..")).parse::<ModelName>().is_ok());
    }
}
