use std::path::PathBuf;
use std::{fmt, io};

use super::Finding;
use crate::catalog::CatalogError;
use crate::container::{ContainerError, DestinationError, Shortage, io_reason};
use crate::store::StoreError;

/// What can go wrong while a store is looked after.
#[derive(Debug)]
#[non_exhaustive]
pub enum UpkeepError {
    /// The store that is looked after, or the new one.
    Store(StoreError),
    /// The store is damaged: a copy of it would be so too. Nothing was written.
    Damaged {
        /// What a check of the copy found.
        findings: Vec<Finding>,
    },
    /// The file has other names, which would go on leading to the old one.
    Linked {
        /// The file.
        path: PathBuf,
        /// How many names it has.
        names: u64,
    },
    /// The operating system refused something about the new file.
    Target {
        /// The file, or its folder.
        path: PathBuf,
        /// Its answer.
        source: io::Error,
    },
    /// What is at the path of the new file is no file, or its folder is not there.
    Destination(DestinationError),
    /// Nothing that could be saved was found.
    NothingFound {
        /// What was found instead.
        reason: String,
    },
}

impl UpkeepError {
    /// A stable name of the kind of error, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            UpkeepError::Store(error) => error.code(),
            UpkeepError::Damaged { .. } => "damaged",
            UpkeepError::Linked { .. } => "linked",
            UpkeepError::Target { source, .. } => match source.kind() {
                io::ErrorKind::AlreadyExists => "already-exists",
                _ => Shortage::of(source).map_or("target", Shortage::code),
            },
            UpkeepError::Destination(error) => error.code(),
            UpkeepError::NothingFound { .. } => "nothing-found",
        }
    }

    pub(super) fn target(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| UpkeepError::Target { path, source }
    }
}

impl From<StoreError> for UpkeepError {
    fn from(error: StoreError) -> Self {
        UpkeepError::Store(error)
    }
}

impl From<DestinationError> for UpkeepError {
    fn from(error: DestinationError) -> Self {
        UpkeepError::Destination(error)
    }
}

impl From<ContainerError> for UpkeepError {
    fn from(error: ContainerError) -> Self {
        UpkeepError::Store(error.into())
    }
}

impl From<CatalogError> for UpkeepError {
    fn from(error: CatalogError) -> Self {
        UpkeepError::Store(error.into())
    }
}

impl fmt::Display for UpkeepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UpkeepError::Store(source) => source.fmt(f),
            UpkeepError::Damaged { findings } => {
                write!(f, "the store is damaged ({} found", findings.len())?;
                if let Some(first) = findings.first() {
                    write!(f, ", first: {}: {}", first.subject, first.message)?;
                }
                write!(f, "): verify lists the damage, salvage makes a store of what is whole")
            }
            UpkeepError::Linked { path, names } => write!(
                f,
                "{} has {names} names (hard links), and the others would keep the old file: \
                 remove them first",
                path.display()
            ),
            UpkeepError::Target { path, source }
                if source.kind() == io::ErrorKind::AlreadyExists =>
            {
                write!(f, "{} is already there: name another path", path.display())
            }
            UpkeepError::Target { path, source } => {
                write!(f, "cannot write {}: {}", path.display(), io_reason(source))
            }
            UpkeepError::Destination(error) => error.fmt(f),
            UpkeepError::NothingFound { reason } => {
                write!(f, "there is nothing to save: {reason}")
            }
        }
    }
}

impl std::error::Error for UpkeepError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            UpkeepError::Store(source) => Some(source),
            UpkeepError::Target { source, .. } => Some(source),
            UpkeepError::Destination(error) => Some(error),
            _ => None,
        }
    }
}
