//! Why a model cannot be exported.

use std::io;
use std::path::{Path, PathBuf};

use crate::container::{DestinationError, io_reason};
use crate::store::StoreError;

/// The failure to write what is exported.
#[derive(Debug)]
#[non_exhaustive]
pub enum ExportError {
    /// The store cannot give the model.
    Store(StoreError),
    /// The target cannot be written.
    Target {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system answered.
        source: io::Error,
    },
    /// What is at the path may not be replaced, or cannot be.
    Destination(DestinationError),
    /// A sharded model goes to a folder, not to a stream or over a file.
    NeedsFolder {
        /// The model.
        model: String,
    },
    /// The folder is there and holds something.
    FolderNotEmpty {
        /// The folder.
        path: PathBuf,
    },
    /// A shard's name in the store is not a plain file name.
    BadShardName {
        /// The name.
        name: String,
    },
}

impl std::fmt::Display for ExportError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ExportError::Store(source) => source.fmt(f),
            ExportError::Destination(source) => source.fmt(f),
            ExportError::Target { path, source } => {
                write!(f, "cannot write {}: {}", path.display(), io_reason(source))
            }
            ExportError::NeedsFolder { model } => {
                write!(f, "{model} is sharded: name a folder that is not there yet or is empty")
            }
            ExportError::FolderNotEmpty { path } => {
                write!(f, "{} is not empty: name another folder", path.display())
            }
            ExportError::BadShardName { name } => {
                write!(f, "the store names a shard {name:?}, which is not a plain file name")
            }
        }
    }
}

impl std::error::Error for ExportError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ExportError::Store(source) => Some(source),
            ExportError::Destination(source) => Some(source),
            ExportError::Target { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl From<StoreError> for ExportError {
    fn from(error: StoreError) -> Self {
        ExportError::Store(error)
    }
}

impl From<DestinationError> for ExportError {
    fn from(error: DestinationError) -> Self {
        match error {
            DestinationError::Io { path, source } => ExportError::Target { path, source },
            error => ExportError::Destination(error),
        }
    }
}

impl ExportError {
    pub(super) fn target(path: &Path) -> impl Fn(io::Error) -> Self + '_ {
        |source| ExportError::Target { path: path.to_owned(), source }
    }
}
