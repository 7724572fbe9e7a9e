use std::path::{Path, PathBuf};
use std::{fmt, io};

use crate::container::{ContainerError, Shortage, io_reason, is_disk_full};
use crate::lineage::{LineageError, NodeId};
use crate::store::StoreError;

/// What can go wrong with making and updating models.
#[derive(Debug)]
#[non_exhaustive]
pub enum UpdateError {
    /// The store cannot give an input, or take what was made.
    Store(StoreError),
    /// No function of this name is known here.
    NoSuchFunction {
        /// The name.
        name: String,
        /// The names that are known.
        known: Vec<String>,
    },
    /// A parameter is missing, unknown, or of another kind.
    Parameter {
        /// The parameter.
        name: String,
        /// What is wrong, and what may stand there.
        reason: String,
    },
    /// The inputs are not what the function takes.
    Inputs {
        /// What it takes.
        reason: String,
    },
    /// A tensor of the inputs that the function cannot work on.
    Tensor {
        /// The tensor.
        tensor: String,
        /// Why.
        reason: String,
    },
    /// A function of the caller's, or a command, has failed.
    Failed {
        /// What it said.
        reason: String,
    },
    /// A command could not be run, or is not trusted.
    Command {
        /// The stable name of what went wrong.
        code: &'static str,
        /// What went wrong.
        reason: String,
    },
    /// The model has no recipe.
    NoRecipe {
        /// The model.
        model: String,
    },
    /// The recipe that is kept with a model cannot be read.
    BadRecipe {
        /// The model.
        model: String,
        /// What is wrong.
        reason: String,
    },
    /// An input of a recipe is no longer in the store.
    InputGone {
        /// The model that was made of it.
        model: String,
        /// The input's node.
        input: NodeId,
    },
    /// Some models of an update are made already, and the caller did not ask to continue it.
    Begun {
        /// The number of models that are made.
        made: usize,
        /// The number of models that are not.
        left: usize,
    },
    /// Somebody has told the update to stop.
    Interrupted,
    /// A model that was given to the function was removed while it worked.
    InputRemoved {
        /// The model that was to be made.
        model: String,
        /// What was removed.
        input: String,
    },
    /// A temporary file or folder could not be made or written.
    Work {
        /// Where.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A model was made, and could not be added to the store.
    NotAdded {
        /// Why not.
        source: Box<UpdateError>,
        /// The file, or folder, with what was made.
        kept: PathBuf,
    },
}

impl UpdateError {
    /// A failure of a function of the caller's.
    pub fn failed(reason: impl fmt::Display) -> Self {
        UpdateError::Failed { reason: reason.to_string() }
    }

    pub(crate) fn work(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| UpdateError::Work { path, source }
    }

    pub(super) fn parameter(name: &str, reason: impl Into<String>) -> Self {
        UpdateError::Parameter { name: name.to_owned(), reason: reason.into() }
    }

    pub(super) fn inputs(reason: impl Into<String>) -> Self {
        UpdateError::Inputs { reason: reason.into() }
    }

    pub(super) fn tensor(tensor: &str, reason: impl Into<String>) -> Self {
        UpdateError::Tensor { tensor: tensor.to_owned(), reason: reason.into() }
    }

    /// A stable name of the kind of error, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            UpdateError::Store(error) => error.code(),
            UpdateError::NoSuchFunction { .. } => "no-such-function",
            UpdateError::Parameter { .. } => "bad-parameter",
            UpdateError::Inputs { .. } => "bad-inputs",
            UpdateError::Tensor { .. } => "bad-tensor",
            UpdateError::Failed { .. } => "function-failed",
            UpdateError::Command { code, .. } => code,
            UpdateError::NoRecipe { .. } => "no-recipe",
            UpdateError::BadRecipe { .. } => "bad-recipe",
            UpdateError::InputGone { .. } => "input-gone",
            UpdateError::Begun { .. } => "update-begun",
            UpdateError::Interrupted => "interrupted",
            UpdateError::InputRemoved { .. } => "input-removed",
            UpdateError::Work { source, .. } => {
                Shortage::of(source).map_or("temporary-file", Shortage::code)
            }
            UpdateError::NotAdded { source, .. } => source.code(),
        }
    }

    /// Whether it is the store that failed, and not this one model: nothing else will go better.
    pub(super) fn is_fatal(&self) -> bool {
        match self {
            UpdateError::Store(error) => match error {
                StoreError::Source { source, .. } => is_disk_full(source),
                StoreError::BadTensor { .. }
                | StoreError::NoSuchTensor { .. }
                | StoreError::View(_)
                | StoreError::DamagedRecord { .. }
                | StoreError::BufferLength { .. }
                | StoreError::RowsOutOfRange { .. } => false,
                // Others may have their turn, and what they have made is not to be lost.
                StoreError::Container(ContainerError::Locked(_)) => false,
                _ => true,
            },
            UpdateError::Work { source, .. } => is_disk_full(source),
            UpdateError::NotAdded { source, .. } => source.is_fatal(),
            UpdateError::Interrupted => true,
            _ => false,
        }
    }
}

impl From<StoreError> for UpdateError {
    fn from(error: StoreError) -> Self {
        UpdateError::Store(error)
    }
}

impl From<LineageError> for UpdateError {
    fn from(error: LineageError) -> Self {
        UpdateError::Store(error.into())
    }
}

impl fmt::Display for UpdateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UpdateError::Store(source) => source.fmt(f),
            UpdateError::NoSuchFunction { name, known } => {
                write!(f, "no function {name:?} here: there are {}", known.join(", "))
            }
            UpdateError::Parameter { name, reason } => write!(f, "parameter {name}: {reason}"),
            UpdateError::Inputs { reason } => f.write_str(reason),
            UpdateError::Tensor { tensor, reason } => write!(f, "tensor {tensor:?}: {reason}"),
            UpdateError::Failed { reason } | UpdateError::Command { reason, .. } => {
                f.write_str(reason)
            }
            UpdateError::NoRecipe { model } => {
                write!(f, "{model} has no recipe: nobody has said how it was made")
            }
            UpdateError::BadRecipe { model, reason } => {
                write!(f, "the recipe of {model} cannot be read: {reason}")
            }
            UpdateError::InputGone { model, input } => {
                write!(f, "{model} was made of the model {input}, which is no longer there")
            }
            UpdateError::Begun { made, left } => write!(
                f,
                "{made} models of this update are made already, {left} are not: resume it to make \
                 the rest"
            ),
            UpdateError::Interrupted => f.write_str("told to stop"),
            UpdateError::InputRemoved { model, input } => write!(
                f,
                "{input}, which {model} was made from, was removed meanwhile: nothing was added"
            ),
            UpdateError::Work { path, source } => {
                write!(f, "cannot write {}: {}", path.display(), io_reason(source))
            }
            UpdateError::NotAdded { source, kept } => {
                write!(f, "{source}; what was made is kept, to be imported: {}", kept.display())
            }
        }
    }
}

impl std::error::Error for UpdateError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            UpdateError::Store(source) => Some(source),
            UpdateError::Work { source, .. } => Some(source),
            UpdateError::NotAdded { source, .. } => Some(source),
            _ => None,
        }
    }
}
