//! Files that models come from, of every kind.

use std::io;
use std::path::{Path, PathBuf};

use mgit::architecture::Architecture;
use mgit::infer::Member;
use mgit::interchange::{InterchangeError, ModelSource, SourceOptions};
use mgit::store::ImportReport;
use mgit::{NewModel, Store};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::text::{quoted, shown};

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

/// The options that globs and links are said with apply to folders alone.
///
/// # Errors
///
/// There are globs, and no folder.
pub fn check_globs<'g>(
    paths: &[PathBuf],
    mut globs: impl Iterator<Item = (&'static str, &'g String)>,
) -> Result<(), Failure> {
    match (globs.next(), paths.first()) {
        (Some((option, glob)), Some(path)) if !paths.iter().any(|path| path.is_dir()) => {
            let glob = quoted(Path::new(glob));
            Err(Failure::usage(format!(
                "{option} {glob} chooses among the files of a folder, and {path:?} is none: leave \
                 it out"
            )))
        }
        _ => Ok(()),
    }
}

/// The globs that have fitted nothing, with their options.
pub fn unused_globs(options: &SourceOptions) -> Vec<(&'static str, &str)> {
    let excludes = options.unused_excludes().map(|glob| ("--exclude", glob));
    excludes.chain(options.unused_includes().map(|glob| ("--include", glob))).collect()
}

/// The same in words, a line for each.
pub fn unused_globs_text(options: &SourceOptions, indent: &str) -> String {
    let line = |(option, glob): (&str, &str)| {
        format!("{indent}{option} {} fits no file and no folder\n", shown(&quoted(Path::new(glob))))
    };
    unused_globs(options).into_iter().map(line).collect()
}

/// The same for programs.
pub fn unused_globs_json(options: &SourceOptions) -> Value {
    let document = |(option, glob): (&str, &str)| json!({ "option": option, "glob": glob });
    unused_globs(options).into_iter().map(document).collect()
}

/// What is wrong with the files of the model at `path`, with the options that help.
pub fn refused(error: InterchangeError, path: &Path) -> Failure {
    let faults = match &error {
        InterchangeError::Several { faults, .. } => faults.as_slice(),
        error => std::slice::from_ref(error),
    };
    let mut advice = Vec::new();
    let globs: Vec<String> = match path.is_dir() {
        true => faults.iter().filter_map(|fault| glob_of(fault, path)).collect(),
        false => Vec::new(),
    };
    if !globs.is_empty() {
        let them = if globs.len() == 1 { "it" } else { "them" };
        advice.push(format!("{} leaves {them} out", excludes(&globs)));
    }
    if faults.iter().any(|fault| matches!(fault, InterchangeError::LinkLeadsOut { .. })) {
        advice.push("--follow-links follows links".to_owned());
    }
    let failure = Failure::from(error);
    if advice.is_empty() { failure } else { failure.and(&advice.join(", ")) }
}

/// A glob that leaves out what cannot be taken of the folder at `root`.
fn glob_of(fault: &InterchangeError, root: &Path) -> Option<String> {
    use InterchangeError as E;
    let path = match fault {
        E::LinkLeadsOut { link, .. } | E::LinkToNothing { link } => link,
        E::PathNotUtf8 { path } | E::PathTooLong { path } => path,
        E::TooDeep { folder } => folder,
        _ => return None,
    };
    let path = path.strip_prefix(root).ok().filter(|path| !path.as_os_str().is_empty())?;
    // What is not UTF-8 is one character each, which a glob has a sign for.
    Some(path.to_string_lossy().replace(char::REPLACEMENT_CHARACTER, "?"))
}

fn excludes(globs: &[String]) -> String {
    let option = |glob: &String| format!("--exclude {}", quoted(Path::new(glob)));
    globs.iter().map(option).collect::<Vec<_>>().join(" ")
}

/// Globs that leave out the numbered files of which some are missing, where the rest of the folder
/// is a model: that was tried.
fn without_set(
    error: &InterchangeError,
    path: &Path,
    options: &SourceOptions,
) -> Option<Vec<String>> {
    let (list, shard) = match error {
        InterchangeError::MissingShard { index, shard, .. } => (index, shard),
        InterchangeError::MissingFiles { file, missing } => (file, missing.first()?),
        _ => return None,
    };
    let folder = list.parent()?.strip_prefix(path).ok()?;
    let (before, count) = shard.rsplit_once("-of-")?;
    let stem = before.trim_end_matches(|digit: char| digit.is_ascii_digit());
    let mut globs = vec![folder.join(format!("{stem}*-of-{count}"))];
    if list.extension().is_some_and(|extension| extension == "json") {
        globs.push(folder.join(list.file_name()?));
    }
    let globs: Vec<String> = globs.iter().map(|glob| glob.to_string_lossy().into()).collect();
    let tried = globs.iter().fold(options.clone(), |options, glob| options.exclude(glob));
    ModelSource::open_with(path, &tried).ok().map(|_| globs)
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
