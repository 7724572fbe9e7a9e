use std::{fmt, io};

use crate::catalog::CatalogError;
use crate::container::{ContainerError, DestinationError, Shortage, io_reason};
use crate::format::FormatError;
use crate::lineage::LineageError;
use crate::store::StoreError;

/// A name that has diverged: each side has versions that the other does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
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
#[derive(Debug)]
#[non_exhaustive]
pub enum TransferError {
    /// One of the stores.
    Store(StoreError),
    /// A bundle cannot be written where it was to be.
    Destination(DestinationError),
    /// A remote, or a file, could not be read or written.
    Io {
        /// What was to be done.
        operation: &'static str,
        /// Where.
        place: String,
        /// The answer.
        source: io::Error,
    },
    /// Something of a remote or a bundle is not what it must be.
    Damaged {
        /// The file.
        what: String,
        /// What is wrong.
        reason: String,
    },
    /// What was written cannot be read back, so that it was given no name.
    NotReadable {
        /// Where it was written.
        place: String,
        /// What was found.
        reason: String,
    },
    /// Packs that a remote's refs name are not there, and this store cannot write them again.
    Lost {
        /// The remote.
        place: String,
        /// The packs, each with what is wrong.
        packs: Vec<String>,
    },
    /// There is nothing to transfer from at this place.
    NotFound {
        /// The place.
        place: String,
    },
    /// The other side has versions of these names that this one does not know.
    Diverged {
        /// The names.
        names: Vec<Diverged>,
    },
    /// Somebody else has pushed to the remote meanwhile.
    PushRaced {
        /// The place.
        place: String,
        /// The number of the ref that was to be made.
        number: u64,
    },
    /// Missing tensors cannot be fetched from their promisor.
    OutOfReach {
        /// The models, `name@version`, that need them.
        models: Vec<String>,
        /// Where they are.
        place: String,
        /// Why not.
        source: Box<TransferError>,
    },
    /// No model fits the selection.
    NothingSelected,
    /// No remote of this name is kept in the store.
    NoSuchRemote {
        /// The name.
        name: String,
        /// Those that are.
        known: Vec<String>,
    },
    /// The name of a remote, or the place it is to stand for, cannot be used.
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
            TransferError::Diverged { .. } => "diverged",
            TransferError::PushRaced { .. } => "push-raced",
            TransferError::OutOfReach { .. } => "out-of-reach",
            TransferError::NothingSelected => "nothing-selected",
            TransferError::NoSuchRemote { .. } => "no-such-remote",
            TransferError::BadRemote { .. } => "bad-remote",
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

impl From<StoreError> for TransferError {
    fn from(error: StoreError) -> Self {
        TransferError::Store(error)
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

impl From<DestinationError> for TransferError {
    fn from(error: DestinationError) -> Self {
        TransferError::Destination(error)
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

impl fmt::Display for TransferError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TransferError::Store(source) => source.fmt(f),
            TransferError::Destination(source) => source.fmt(f),
            TransferError::Io { operation, place, source } => {
                write!(f, "cannot {operation} {place}: {}", io_reason(source))
            }
            TransferError::Damaged { what, reason } => write!(f, "{what} is damaged: {reason}"),
            TransferError::NotReadable { place, reason } => write!(
                f,
                "what was written to {place} cannot be read back, and does not count: {reason}; \
                 verify the store, and the medium there"
            ),
            TransferError::Lost { place, packs } => write!(
                f,
                "packs that the refs of {place} name are not there: {}; a store that has pushed or \
                 pulled there and still has all that they held writes them again with a push; if \
                 there is none, push to another place",
                packs.join(", ")
            ),
            TransferError::NotFound { place } => {
                write!(f, "no store, remote or bundle at {place}")
            }
            TransferError::Diverged { names } => {
                write!(f, "the other side has versions that are not here: pull first")?;
                names.iter().try_for_each(|name| write!(f, "; {name}"))
            }
            TransferError::PushRaced { place, number } => {
                write!(
                    f,
                    "somebody else has pushed to {place} meanwhile (ref {number}): pull first"
                )
            }
            TransferError::OutOfReach { models, place, source } => write!(
                f,
                "{} cannot be read: the tensors were not pulled yet, and {place:?} does not give \
                 them ({source}); try again when it can be reached, or fetch them from another \
                 place that has them",
                models.join(", ")
            ),
            TransferError::NothingSelected => write!(f, "no model fits the selection"),
            TransferError::NoSuchRemote { name, known } => {
                write!(f, "no remote {name:?} is kept in this store")?;
                match known.as_slice() {
                    [] => write!(f, ": remote add keeps one"),
                    known => write!(f, ": there are {}", known.join(", ")),
                }
            }
            TransferError::BadRemote { what, reason } => write!(f, "{what:?}: {reason}"),
        }
    }
}

impl std::error::Error for TransferError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            TransferError::Store(source) => Some(source),
            TransferError::Destination(source) => Some(source),
            TransferError::Io { source, .. } => Some(source),
            TransferError::OutOfReach { source, .. } => Some(source),
            _ => None,
        }
    }
}
