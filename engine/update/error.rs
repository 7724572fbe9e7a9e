use std::path::{Path, PathBuf};
use std::{fmt, io};

use crate::command::CommandError;
use crate::container::{ContainerError, Shortage, cannot_write, is_disk_full};
use crate::lineage::{LineageError, NodeId};
use crate::store::{StoreError, bad_tensor};

/// What can go wrong with making and updating models.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UpdateError {
    /// The store cannot give an input, or take what was made.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No function of this name is known here.
    #[error("no function {name:?} here: there are {}", .known.join(", "))]
    NoSuchFunction {
        /// The name.
        name: String,
        /// The names that are known.
        known: Vec<String>,
    },
    /// A parameter is missing, unknown, or of another kind.
    #[error("parameter {name}: {reason}")]
    Parameter {
        /// The parameter.
        name: String,
        /// What is wrong, and what may stand there.
        reason: String,
    },
    /// The inputs are not what the function takes.
    #[error("{reason}")]
    Inputs {
        /// What it takes.
        reason: String,
    },
    /// A tensor of the inputs that the function cannot work on.
    #[error("{}", bad_tensor(.tensor, .reason))]
    Tensor {
        /// The tensor.
        tensor: String,
        /// Why.
        reason: String,
    },
    /// A function of the caller's, or a command, has failed.
    #[error("{reason}")]
    Failed {
        /// What it said.
        reason: String,
    },
    /// A command could not be run, or is not trusted.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// The model has no recipe.
    #[error("{model} has no recipe: nobody has said how it was made")]
    NoRecipe {
        /// The model.
        model: String,
    },
    /// The recipe that is kept with a model cannot be read.
    #[error("the recipe of {model} cannot be read: {reason}")]
    BadRecipe {
        /// The model.
        model: String,
        /// What is wrong.
        reason: String,
    },
    /// An input of a recipe is no longer in the store.
    #[error("{model} was made of the model {input}, which is no longer there")]
    InputGone {
        /// The model that was made of it.
        model: String,
        /// The input's node.
        input: NodeId,
    },
    /// Some models of an update are made already, and the caller did not ask to continue it.
    #[error(
        "{made} models of this update are made already, {left} are not: resume it to make the rest"
    )]
    Begun {
        /// The number of models that are made.
        made: usize,
        /// The number of models that are not.
        left: usize,
    },
    /// Somebody has told the update to stop.
    #[error("told to stop")]
    Interrupted,
    /// A model that was given to the function was removed while it worked.
    #[error("{input}, which {model} was made from, was removed meanwhile: nothing was added")]
    InputRemoved {
        /// The model that was to be made.
        model: String,
        /// What was removed.
        input: String,
    },
    /// A temporary file or folder could not be made or written.
    #[error("{}", cannot_write(.path))]
    Work {
        /// Where.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A model was made, and could not be added to the store.
    #[error(
        "what was made is not in the store, and is kept, to be imported: {}", .kept.display()
    )]
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
            UpdateError::Command(error) => error.code(),
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
                | StoreError::RowsOutOfRange { .. }
                | StoreError::Lineage(LineageError::DuplicateParent { .. }) => false,
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

impl From<LineageError> for UpdateError {
    fn from(error: LineageError) -> Self {
        UpdateError::Store(error.into())
    }
}
