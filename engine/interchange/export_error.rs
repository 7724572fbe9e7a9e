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
    #[error("{} is not empty: {}", .path.display(), what_it_holds(.foreign, *.more))]
    FolderNotEmpty {
        /// The folder.
        path: PathBuf,
        /// What it holds that is no file of the model's, by path; not all of it where it is much.
        /// Empty where the files of the model alone are there.
        foreign: Vec<String>,
        /// How many more there are.
        more: u64,
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
    /// A stream takes one file, and several are asked for.
    #[error("{model}: a stream takes one file, and these fit: {}", shown(.files))]
    SeveralFiles {
        /// The model.
        model: String,
        /// The paths of those that fit.
        files: Vec<String>,
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

fn what_it_holds(foreign: &[String], more: u64) -> String {
    if foreign.is_empty() {
        return "it holds files of the model's names, which were not replaced".to_owned();
    }
    let foreign = foreign.iter().map(|path| format!("{path:?}")).collect::<Vec<_>>().join(", ");
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!(
        "it holds what is not the model's, {foreign}{more}: nothing was written; move that away, or \
         name another folder"
    )
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
            ExportError::SeveralFiles { .. } => "several-files",
            ExportError::NoFileFits { .. } => "no-such-file",
            ExportError::LooksLikeAnother { .. } => "wrong-extension",
            ExportError::NotConvertible { .. } => "not-convertible",
        }
    }

    pub(super) fn target(path: &Path) -> impl Fn(io::Error) -> Self + '_ {
        |source| DestinationError::io(path, source).into()
    }
}
