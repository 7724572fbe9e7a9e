//! Where models are in a folder: found by names, before any is opened.
//!
//! Invariants:
//!
//! - What is in the folder is part of a model that is found, or left out with a reason, or failed.
//! - Models of one name are versions, oldest first; two that are no versions have two names.
//! - A folder that cannot be listed does not hide the others.

mod folder;
mod hub;
mod naming;
mod walk;

use std::path::{Path, PathBuf};

use super::links::Inside;
use super::options::SourceOptions;
use super::walk::LeftOut;
use crate::interchange::InterchangeError;

pub use naming::name_of_file;

/// Entries of folders that are looked at: links can make a few folders many.
pub(super) const ENTRIES_MAX: usize = 1 << 20;

/// What a model that was found is, as far as names say.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(tag = "form", rename_all = "lowercase")]
#[non_exhaustive]
pub enum FoundForm {
    /// A file, or the first of several that belong together.
    File,
    /// A folder.
    Folder,
    /// A folder of a training run: `checkpoint-500`.
    Checkpoint {
        /// The number in its name.
        step: u64,
    },
    /// The folder of a revision in a Hugging Face cache.
    Snapshot {
        /// The revision.
        revision: String,
    },
}

/// A model that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FoundModel {
    /// Where it is: [`ModelSource::open`](super::ModelSource::open) opens it.
    pub path: PathBuf,
    /// The name that the place suggests; a legal one.
    pub name: String,
    /// What it is.
    pub form: FoundForm,
}

/// The models of a folder, and what else is there.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct FoundModels {
    /// In the order of their paths; versions of a name next to each other, oldest first.
    pub models: Vec<FoundModel>,
    /// What is no part of a model. Paths begin with that of the folder.
    pub left_out: Vec<LeftOut>,
    /// What could not be looked at.
    pub failed: Vec<(PathBuf, InterchangeError)>,
}

/// Finds the models at `path`: a file is one; a folder is one, or is searched with all its folders.
///
/// A folder is a model where weights lie in it together with what belongs to a model
/// (`config.json`, a tokenizer, an index), or under the name that libraries give a model's weights;
/// other files of weights in a folder are a model each. `checkpoint-500` and the like are versions
/// of one model, by their numbers, and what lies in the folder above them is the last version. Of a
/// Hugging Face cache the revisions of a repository are versions of one model, `ORG/NAME`: in the
/// order in which they came, the one of `refs/main` last.
///
/// Names are paths relative to the folder; the folder's own model has the folder's name.
///
/// Cost: lists folders; of files of weights outside of model folders reads what they say of
/// themselves.
///
/// # Errors
///
/// [`InterchangeError`]: the path itself cannot be looked at.
pub fn models_in(
    path: impl AsRef<Path>,
    options: &SourceOptions,
) -> Result<FoundModels, InterchangeError> {
    let path = path.as_ref();
    let failed = |error| InterchangeError::io(path, "look at", error);
    let found = path.metadata().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => InterchangeError::NotFound { path: path.to_owned() },
        _ => failed(error),
    })?;
    if !found.is_dir() {
        let name = naming::name_of_file(path);
        let model = FoundModel { path: path.to_owned(), name, form: FoundForm::File };
        return Ok(FoundModels { models: vec![model], ..FoundModels::default() });
    }
    let inside = Inside::of(path, options.follow_links)?;
    let real = path.canonicalize().map_err(failed)?;
    let mut search = walk::Search::new(path, &inside, options);
    search.root(&real)?;
    Ok(search.finish())
}
