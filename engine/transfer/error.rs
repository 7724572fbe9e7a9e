use std::{fmt, io};

use crate::catalog::CatalogError;
use crate::container::{ContainerError, DestinationError, Shortage};
use crate::format::FormatError;
use crate::lineage::LineageError;
use crate::store::StoreError;

/// A name that has diverged: each side has versions that the other does not have.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Diverged {
    /// The name.
    pub name: String,
    /// The versions that only this side has, `name@version`, ascending.
    pub ours: Vec<String>,
    /// The versions that only the other side has.
    pub theirs: Vec<String>,
    /// The highest version that both have.
    pub common: Option<String>,
}

impl fmt::Display for Diverged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |names: &[String]| match names {
            [] => "nothing".to_owned(),
            [one] => one.clone(),
            [first, .., last] => format!("{first} to {last}"),
        };
        write!(f, "{}: here {}, there {}", self.name, list(&self.ours), list(&self.theirs))?;
        match &self.common {
            Some(common) => write!(f, ", both since {common}"),
            None => write!(f, ", nothing in common"),
        }
    }
}

/// What can go wrong while models travel.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransferError {
    /// One of the stores.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A bundle cannot be written where it was to be.
    #[error(transparent)]
    Destination(#[from] DestinationError),
    /// A remote, or a file, could not be read or written.
    #[error("cannot {operation} {place}")]
    Io {
        /// What was to be done.
        operation: &'static str,
        /// Where.
        place: String,
        /// The answer.
        source: io::Error,
    },
    /// Something of a remote or a bundle is not what it must be.
    #[error("{what} is damaged: {reason}")]
    Damaged {
        /// The file.
        what: String,
        /// What is wrong.
        reason: String,
    },
    /// What was written cannot be read back, so that it was given no name.
    #[error(
        "what was written to {place} cannot be read back, and does not count: {reason}; verify the \
         store, and the medium there"
    )]
    NotReadable {
        /// Where it was written.
        place: String,
        /// What was found.
        reason: String,
    },
    /// Packs that a remote's refs name are not there, and this store cannot write them again.
    #[error(
        "packs that the refs of {place} name are not there: {}; a store that has pushed or pulled \
         there and still has all that they held writes them again with a push; if there is none, \
         push to another place",
        .packs.join(", ")
    )]
    Lost {
        /// The remote.
        place: String,
        /// The packs, each with what is wrong.
        packs: Vec<String>,
    },
    /// There is nothing to transfer from at this place.
    #[error("no store, remote or bundle at {place}")]
    NotFound {
        /// The place.
        place: String,
    },
    /// The folder that is to become a remote holds something, and nothing of a remote.
    #[error(
        "{place} is not empty and is no remote: it holds {}: nothing was written; name another \
         folder, which may not be there yet",
        some(.held, *.more)
    )]
    FolderNotEmpty {
        /// The folder.
        place: String,
        /// What it holds, by path; not all of it where it is much.
        held: Vec<String>,
        /// How many more there are.
        more: u64,
    },
    /// The other side has versions of these names that this one does not know.
    #[error(
        "the other side has versions that are not here: pull first{}",
        .names.iter().map(|name| format!("; {name}")).collect::<String>()
    )]
    Diverged {
        /// The names.
        names: Vec<Diverged>,
    },
    /// Somebody else has pushed to the remote meanwhile.
    #[error("somebody else has pushed to {place} meanwhile (ref {number}): pull first")]
    PushRaced {
        /// The place.
        place: String,
        /// The number of the ref that was to be made.
        number: u64,
    },
    /// Missing tensors cannot be fetched from their promisor.
    #[error(
        "{} cannot be read: the tensors were not pulled yet, and {place:?} does not give them",
        .models.join(", ")
    )]
    OutOfReach {
        /// The models, `name@version`, that need them.
        models: Vec<String>,
        /// Where they are.
        place: String,
        /// Why not.
        source: Box<TransferError>,
    },
    /// No model fits the selection.
    #[error("no model fits the selection")]
    NothingSelected,
    /// No remote of this name is kept in the store.
    #[error("no remote {name:?} is kept in this store{}", those_there(.known))]
    NoSuchRemote {
        /// The name.
        name: String,
        /// Those that are.
        known: Vec<String>,
    },
    /// What was named as a bundle is none.
    #[error(
        "{place} is {}",
        if *.is_store { "a store, not a bundle" } else { "no bundle: check the path" }
    )]
    NotABundle {
        /// The path.
        place: String,
        /// Whether it is a store.
        is_store: bool,
    },
    /// Nothing is pushed to a bundle.
    #[error("{place:?}: a bundle is written once: make another")]
    WrittenOnce {
        /// The bundle.
        place: String,
    },
    /// The name of a remote, or the place it is to stand for, cannot be used.
    #[error("{what:?}: {reason}")]
    BadRemote {
        /// The name or place.
        what: String,
        /// Why not.
        reason: &'static str,
    },
}

impl TransferError {
    /// A stable name of the kind of error, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            TransferError::Store(error) => error.code(),
            TransferError::Destination(error) => error.code(),
            TransferError::Io { source, .. } => {
                Shortage::of(source).map_or("remote-io", Shortage::code)
            }
            TransferError::Damaged { .. } => "remote-damaged",
            TransferError::NotReadable { .. } => "not-readable",
            TransferError::Lost { .. } => "packs-lost",
            TransferError::NotFound { .. } => "remote-not-found",
            TransferError::FolderNotEmpty { .. } => "folder-not-empty",
            TransferError::Diverged { .. } => "diverged",
            TransferError::PushRaced { .. } => "push-raced",
            TransferError::OutOfReach { .. } => "out-of-reach",
            TransferError::NothingSelected => "nothing-selected",
            TransferError::NoSuchRemote { .. } => "no-such-remote",
            TransferError::NotABundle { .. }
            | TransferError::WrittenOnce { .. }
            | TransferError::BadRemote { .. } => "bad-remote",
        }
    }

    pub(super) fn io(
        operation: &'static str,
        place: impl Into<String>,
    ) -> impl FnOnce(io::Error) -> Self {
        let place = place.into();
        move |source| TransferError::Io { operation, place, source }
    }

    pub(super) fn damaged(what: impl Into<String>, reason: impl fmt::Display) -> Self {
        TransferError::Damaged { what: what.into(), reason: reason.to_string() }
    }
}

impl From<LineageError> for TransferError {
    fn from(error: LineageError) -> Self {
        TransferError::Store(error.into())
    }
}

impl From<CatalogError> for TransferError {
    fn from(error: CatalogError) -> Self {
        TransferError::Store(error.into())
    }
}

impl From<ContainerError> for TransferError {
    fn from(error: ContainerError) -> Self {
        TransferError::Store(error.into())
    }
}

impl From<FormatError> for TransferError {
    fn from(error: FormatError) -> Self {
        TransferError::Store(error.into())
    }
}

fn those_there(known: &[String]) -> String {
    match known {
        [] => String::new(),
        known => format!(": there are {}", known.join(", ")),
    }
}

fn some(names: &[String], more: u64) -> String {
    let names = names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ");
    if more > 0 { format!("{names} and {more} more") } else { names }
}
