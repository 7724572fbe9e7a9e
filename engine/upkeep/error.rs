use std::io;
use std::path::PathBuf;

use super::Finding;
use crate::catalog::CatalogError;
use crate::container::{ContainerError, DestinationError};
use crate::store::StoreError;

/// What can go wrong while a store is looked after.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UpkeepError {
    /// The store that is looked after, or the new one.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store is damaged: a copy of it would be so too. Nothing was written.
    #[error("the store is damaged ({})", found(.findings))]
    Damaged {
        /// What a check of the copy found.
        findings: Vec<Finding>,
    },
    /// The file has other names, which would go on leading to the old one.
    #[error(
        "{} has {names} names (hard links), and the others would keep the old file: remove them first",
        .path.display()
    )]
    Linked {
        /// The file.
        path: PathBuf,
        /// How many names it has.
        names: u64,
    },
    /// The new file cannot be written where it is to be.
    #[error(transparent)]
    Destination(#[from] DestinationError),
    /// Nothing that could be saved was found.
    #[error("there is nothing to save: {reason}")]
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
            UpkeepError::Destination(error) => error.code(),
            UpkeepError::NothingFound { .. } => "nothing-found",
        }
    }

    pub(super) fn target(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| match source.kind() {
            io::ErrorKind::AlreadyExists => StoreError::AlreadyExists { path }.into(),
            _ => DestinationError::Io { path, source }.into(),
        }
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

/// How many faults there are, and the first.
fn found(findings: &[Finding]) -> String {
    let first = findings.first();
    let first = first.map(|first| format!(", first: {}: {}", first.subject, first.message));
    format!("{} found{}", findings.len(), first.unwrap_or_default())
}
