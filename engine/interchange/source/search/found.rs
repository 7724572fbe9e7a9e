//! What is found in a folder.

use std::path::PathBuf;

use crate::interchange::InterchangeError;
use crate::interchange::source::left_out::LeftOut;

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
    /// Where it is: [`ModelSource::open`](crate::interchange::ModelSource::open) opens it.
    pub path: PathBuf,
    /// The name that the place suggests; a legal one.
    pub name: String,
    /// Of a file: the name that the place would suggest with other files beside it, or without
    /// them. It ends as the file does where `name` does not, and the other way round.
    pub other_name: Option<String>,
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
