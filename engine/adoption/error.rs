use std::io;
use std::path::{Path, PathBuf};

use crate::container::io_code;
use crate::interchange::{InterchangeError, LeftOut};
use crate::lineage::LineageError;
use crate::store::StoreError;

/// What can go wrong with models that come.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdoptionError {
    /// A file or a folder is no model, or cannot be searched for models.
    #[error("{path:?} is not taken")]
    NotTaken {
        /// What was opened, or searched.
        path: PathBuf,
        /// Why.
        source: Box<InterchangeError>,
    },
    /// A path cannot be asked about, or the file of layers beside a model cannot be read.
    #[error("cannot read {path:?}")]
    Unreadable {
        /// The path.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The file of layers beside a model does not give layers.
    #[error("{path:?}: {reason}: mend it or move it away")]
    BadLayers {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The file of layers beside a model is too long to be read.
    #[error("{path:?} is longer than a description of layers can be")]
    LayersTooLong {
        /// The file.
        path: PathBuf,
    },
    /// A folder has no weights.
    #[error(
        "no models in {folder:?}: no weights are in it (.safetensors, .bin, .pt, .gguf, .onnx and \
         others){}", LeftOut::told(.left_out)
    )]
    NoModels {
        /// The folder.
        folder: PathBuf,
        /// What is there.
        left_out: Vec<LeftOut>,
    },
    /// One model is found at two of the paths.
    #[error("{}", given_twice(.first, .second))]
    GivenTwice {
        /// Where it was found first.
        first: PathBuf,
        /// And then: the same path, or another that leads there.
        second: PathBuf,
    },
    /// Two models that are no versions of one would have one name.
    #[error("two models would be called {name}, {first:?} and {second:?}: rename one")]
    NameTwice {
        /// The name.
        name: String,
        /// The one.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// The store cannot be read or changed, or a model's weights cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The import of a model failed in a way in which the next would fail too.
    #[error("the import of {path:?} failed{}", already_there(.added))]
    Stopped {
        /// The model.
        path: PathBuf,
        /// The models that were added before it: they stay.
        added: Vec<String>,
        /// Why.
        source: Box<AdoptionError>,
    },
}

impl AdoptionError {
    /// Of a path that is not taken.
    pub(super) fn not_taken(path: &Path) -> impl Fn(InterchangeError) -> Self {
        move |source| AdoptionError::NotTaken { path: path.to_owned(), source: Box::new(source) }
    }

    /// A stable name of the kind of error, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            AdoptionError::NotTaken { source, .. } => source.code(),
            AdoptionError::Unreadable { source, .. } => io_code(source),
            AdoptionError::BadLayers { .. } | AdoptionError::LayersTooLong { .. } => {
                "malformed-file"
            }
            AdoptionError::NoModels { .. } => "file-not-found",
            AdoptionError::GivenTwice { .. } | AdoptionError::NameTwice { .. } => "name-twice",
            AdoptionError::Store(error) => error.code(),
            AdoptionError::Stopped { source, .. } => source.code(),
        }
    }

    /// Whether it is about this one model: the next may go better.
    pub(super) fn is_of_one_model(&self) -> bool {
        const CODES: [&str; 9] = [
            "file-not-found",
            "malformed-file",
            "unreadable-file",
            "io",
            "name-taken",
            "invalid-name",
            "bad-tensor",
            "bad-file",
            "own-key",
        ];
        CODES.contains(&self.code())
    }
}

impl From<LineageError> for AdoptionError {
    fn from(error: LineageError) -> Self {
        AdoptionError::Store(error.into())
    }
}

fn given_twice(first: &PathBuf, second: &PathBuf) -> String {
    match first == second {
        true => format!("{first:?} is given twice, by its name or with its folder: give it once"),
        false => format!("{first:?} and {second:?} are the same file: give it once"),
    }
}

fn already_there(added: &[String]) -> String {
    match added {
        [] => String::new(),
        added => format!(", with {} in the store already", added.join(", ")),
    }
}
