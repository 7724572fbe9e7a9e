//! Where models are in a folder: found by names, before any is opened.
//!
//! Invariants:
//!
//! - What is in the folder is part of a model that is found, or left out with a reason, or failed.
//! - Models of one name are versions, oldest first; two that are no versions have two names.
//! - A folder that cannot be listed does not hide the others.

mod folder;
mod found;
mod hub;
mod naming;
mod walk;

use std::path::Path;

use super::links::Inside;
use super::options::SourceOptions;
use crate::interchange::InterchangeError;

pub use found::{FoundForm, FoundModel, FoundModels};
pub use naming::name_of_file;

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
        let other_name = naming::with_ending(path, &name);
        let form = FoundForm::File;
        let model = FoundModel { path: path.to_owned(), name, other_name, form };
        return Ok(FoundModels { models: vec![model], ..FoundModels::default() });
    }
    let inside = Inside::of(path, options.follow_links)?;
    let real = path.canonicalize().map_err(failed)?;
    let mut search = walk::Search::new(path, &inside, options);
    search.root(&real)?;
    Ok(search.finish())
}
