use std::fmt;

use crate::container::{ContainerError, is_disk_full};
use crate::format::FormatError;

/// What can go wrong with the catalogue.
#[derive(Debug)]
#[non_exhaustive]
pub enum CatalogError {
    /// The file below it.
    Container(ContainerError),
    /// A row that is not what the format says.
    Row(FormatError),
    /// The database refused.
    Database(redb::Error),
    /// The database found its pages damaged.
    Damaged {
        /// What it said.
        message: String,
    },
    /// The store was not closed cleanly, and only a writer can repair it.
    NeedsRepair,
}

impl CatalogError {
    /// From an error of the database; an error of the container below it is taken out again.
    pub(super) fn from_redb(error: impl Into<redb::Error>) -> Self {
        match error.into() {
            redb::Error::Io(source) => {
                CatalogError::Container(match source.downcast::<ContainerError>() {
                    Ok(container) => container,
                    Err(source) => {
                        ContainerError::Io { operation: "catalogue access", offset: 0, source }
                    }
                })
            }
            redb::Error::PreviousIo => CatalogError::Container(ContainerError::Poisoned),
            redb::Error::RepairAborted => CatalogError::NeedsRepair,
            redb::Error::Corrupted(message) => CatalogError::Damaged { message },
            redb::Error::DatabaseAlreadyOpen => {
                CatalogError::Container(ContainerError::locked_by_writer())
            }
            other => CatalogError::Database(other),
        }
    }

    /// Whether the operating system said that the disk is full.
    pub fn is_disk_full(&self) -> bool {
        matches!(self, CatalogError::Container(ContainerError::Io { source, .. })
            if is_disk_full(source))
    }
}

impl From<FormatError> for CatalogError {
    fn from(source: FormatError) -> Self {
        CatalogError::Row(source)
    }
}

impl From<ContainerError> for CatalogError {
    fn from(source: ContainerError) -> Self {
        CatalogError::Container(source)
    }
}

impl fmt::Display for CatalogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CatalogError::Container(source) => source.fmt(f),
            CatalogError::Row(source) => write!(f, "damaged catalogue row: {source}"),
            CatalogError::Database(source) => write!(f, "catalogue: {source}"),
            CatalogError::Damaged { message } => {
                write!(f, "the catalogue is damaged ({message}): restore the store from a copy")
            }
            CatalogError::NeedsRepair => {
                write!(f, "the store was not closed cleanly: open it once for writing")
            }
        }
    }
}

impl std::error::Error for CatalogError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            CatalogError::Container(source) => Some(source),
            CatalogError::Row(source) => Some(source),
            CatalogError::Database(source) => Some(source),
            _ => None,
        }
    }
}
