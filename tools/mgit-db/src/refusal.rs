//! What is wrong with the files of a model, with the options of this command line that help.

use std::path::Path;

use mgit::Error;
use mgit::adoption::{AdoptionError, ModelInput};
use mgit::interchange::{InterchangeError, ModelSource, SourceOptions};

use crate::failure::Failure;
use crate::text::{quoted, shown};

impl From<AdoptionError> for Failure {
    fn from(error: AdoptionError) -> Self {
        match error {
            AdoptionError::NotTaken { path, source } => refused(*source, &path),
            AdoptionError::Stopped { path, added, source } => {
                let path = shown(&path.display().to_string());
                Failure::from(*source).of(path).after(&added)
            }
            error => Error::from(error).into(),
        }
    }
}

/// Opens a model that was named itself: of one whose shards are not all there it also says what
/// leaves them out, where the rest is a model.
///
/// # Errors
///
/// A file that cannot be read.
pub fn open_named(path: &Path, options: &SourceOptions) -> Result<ModelInput, Failure> {
    ModelInput::open(path, options).map_err(|error| {
        let without = match &error {
            AdoptionError::NotTaken { source, .. } => without_set(source, path, options),
            _ => None,
        };
        let failure = Failure::from(error);
        match without {
            None => failure,
            Some(globs) => failure.and(&format!("or leave that set out: {}", excludes(&globs))),
        }
    })
}

/// What is wrong with the files of the model at `path`, with the options that help.
fn refused(error: InterchangeError, path: &Path) -> Failure {
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
    if faults.iter().any(|fault| matches!(fault, InterchangeError::TooManyFiles { .. })) {
        advice.push("--exclude leaves files and folders out".to_owned());
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

/// The options that leave out what fits these.
fn excludes(globs: &[String]) -> String {
    let option = |glob: &String| {
        // Behind a space it would be an option of its own.
        let to = if glob.starts_with('-') { '=' } else { ' ' };
        format!("--exclude{to}{}", quoted(Path::new(glob)))
    };
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
        InterchangeError::FilesLeftOut { file, left_out, .. } => (file, left_out.first()?),
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
