//! Why a model cannot be exported.

use std::io;
use std::path::{Path, PathBuf};

use crate::container::DestinationError;
use crate::store::StoreError;

/// The failure to write what is exported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The store cannot give the model.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file or folder cannot be written where it is to be.
    #[error(transparent)]
    Destination(#[from] DestinationError),
    /// A model of several files goes to a folder, not to a stream or over a file.
    #[error("{model} is several files: name a folder that is not there yet or is empty")]
    NeedsFolder {
        /// The model.
        model: String,
    },
    /// The folder is there and holds something.
    #[error("{} is not empty: name another folder", .path.display())]
    FolderNotEmpty {
        /// The folder.
        path: PathBuf,
    },
    /// A file's path in the store leads out of the model's folder.
    #[error("the store names a file {name:?}, which is no path inside of a folder")]
    BadShardName {
        /// The name.
        name: String,
    },
}

impl ExportError {
    /// A stable name of the kind of error, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            ExportError::Store(error) => error.code(),
            ExportError::Destination(error) => error.code(),
            ExportError::NeedsFolder { .. } => "needs-folder",
            ExportError::FolderNotEmpty { .. } => "folder-not-empty",
            ExportError::BadShardName { .. } => "damaged",
        }
    }

    pub(super) fn target(path: &Path) -> impl Fn(io::Error) -> Self + '_ {
        |source| DestinationError::io(path, source).into()
    }
}
