//! Why a model cannot be exported.

use std::io;
use std::path::{Path, PathBuf};

use super::counted::counted;
use crate::container::DestinationError;
use crate::format::FileFormat;
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
    /// Only some files are asked for, of a model that is one file.
    #[error("{model} is one file: there is nothing to choose")]
    OneFile {
        /// The model.
        model: String,
    },
    /// No file of the model fits what is asked for.
    #[error("no file of {model} fits {glob:?}: it has {}", shown(.files))]
    NoFileFits {
        /// The model.
        model: String,
        /// What was asked for.
        glob: String,
        /// The paths of its files.
        files: Vec<String>,
    },
    /// The file would have the name of another format.
    #[error(
        "{} would look like what it is not: {model} is kept as {}; name it {}",
        .path.display(), what(*.format), .better.display()
    )]
    LooksLikeAnother {
        /// The model.
        model: String,
        /// The path.
        path: PathBuf,
        /// What the model's file is.
        format: FileFormat,
        /// A name for it.
        better: PathBuf,
    },
    /// A model's tensors cannot be in a safetensors file.
    #[error("{model} cannot become a safetensors file: {reason}")]
    NotConvertible {
        /// The model.
        model: String,
        /// Why.
        reason: String,
        /// Whether its numbers can be written as plain ones when that is asked for, see
        /// [`ExportOptions::dequantise`](super::ExportOptions::dequantise).
        is_quantised: bool,
    },
}

/// Names of files that a message has.
const SHOWN_MAX: usize = 20;

fn shown(files: &[String]) -> String {
    let mut text = files.iter().take(SHOWN_MAX).cloned().collect::<Vec<_>>().join(", ");
    if let Some(more) = files.len().checked_sub(SHOWN_MAX).filter(|more| *more > 0) {
        text += &format!(" and {}", counted(more as u64, "more file"));
    }
    text
}

fn what(format: FileFormat) -> String {
    match format {
        FileFormat::Bytes | FileFormat::Unknown(_) => "bytes whose format is not seen".to_owned(),
        format => format!("a file of format {format}"),
    }
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
            ExportError::OneFile { .. } => "one-file",
            ExportError::NoFileFits { .. } => "no-such-file",
            ExportError::LooksLikeAnother { .. } => "wrong-extension",
            ExportError::NotConvertible { .. } => "not-convertible",
        }
    }

    pub(super) fn target(path: &Path) -> impl Fn(io::Error) -> Self + '_ {
        |source| DestinationError::io(path, source).into()
    }
}
