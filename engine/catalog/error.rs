use crate::container::{ContainerError, is_disk_full};
use crate::format::FormatError;

/// What can go wrong with the catalogue.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CatalogError {
    /// The file below it.
    #[error(transparent)]
    Container(#[from] ContainerError),
    /// A row that is not what the format says.
    #[error("damaged catalogue row")]
    Row(#[from] FormatError),
    /// The database refused.
    #[error("the catalogue's database refused")]
    Database(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The database found its pages damaged.
    #[error("the catalogue is damaged ({message}): restore the store from a copy")]
    Damaged {
        /// What it said.
        message: String,
    },
    /// The store was not closed cleanly, and only a writer can repair it.
    #[error("the store was not closed cleanly: open it once for writing")]
    NeedsRepair,
}

impl CatalogError {
    /// From an error of the database; an error of the container below it is taken out again.
    pub(super) fn from_redb(error: impl Into<redb::Error>) -> Self {
        match error.into() {
            redb::Error::Io(source) => Self::from_io(source),
            redb::Error::PreviousIo => CatalogError::Container(ContainerError::Poisoned),
            redb::Error::RepairAborted => CatalogError::NeedsRepair,
            redb::Error::Corrupted(message) => CatalogError::Damaged { message },
            redb::Error::DatabaseAlreadyOpen => {
                CatalogError::Container(ContainerError::locked_by_writer())
            }
            other => CatalogError::Database(Box::new(other)),
        }
    }

    /// From an error of the backend, which says what it is.
    fn from_io(source: std::io::Error) -> Self {
        match source.downcast::<ContainerError>().map_err(|s| s.downcast::<FormatError>()) {
            Ok(container) => container.into(),
            Err(Ok(page)) => CatalogError::Damaged { message: page.to_string() },
            Err(Err(source)) => {
                ContainerError::Io { operation: "catalogue access", offset: 0, source }.into()
            }
        }
    }

    /// Whether the operating system said that the disk is full.
    pub fn is_disk_full(&self) -> bool {
        matches!(self, CatalogError::Container(ContainerError::Io { source, .. })
            if is_disk_full(source))
    }
}
