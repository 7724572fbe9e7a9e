//! What is asked for of an export, and what it did.

use std::path::PathBuf;

use crate::container::Overwrite;

/// What is asked for of an export.
///
/// ```
/// use mgit::interchange::{ExportOptions, Overwrite};
///
/// let weights = ExportOptions::new().as_safetensors(true).overwrite(Overwrite::Files);
/// let texts = ExportOptions::new().only("*.json").only("README.md");
/// # let _ = (weights, texts);
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct ExportOptions {
    pub(super) overwrite: Overwrite,
    pub(super) only: Vec<String>,
    pub(super) as_safetensors: bool,
    pub(super) dequantise: bool,
}

impl ExportOptions {
    /// All files as they were, over nothing that is there.
    pub fn new() -> Self {
        ExportOptions::default()
    }

    /// Says which files that are there may be replaced.
    pub fn overwrite(mut self, overwrite: Overwrite) -> Self {
        self.overwrite = overwrite;
        self
    }

    /// Takes only the files of a folder that fit `glob`, or another glob that is given so. A glob is
    /// held against a file's path, its name, and the folders that it lies in.
    pub fn only(mut self, glob: impl Into<String>) -> Self {
        self.only.push(glob.into());
        self
    }

    /// Writes the weights as one safetensors file, whatever they were.
    pub fn as_safetensors(mut self, is_so: bool) -> Self {
        self.as_safetensors = is_so;
        self
    }

    /// Writes numbers that are quantised in blocks as plain ones, where the weights become a
    /// safetensors file: `Q8_0` of GGUF becomes `F32`.
    pub fn dequantise(mut self, is_so: bool) -> Self {
        self.dequantise = is_so;
        self
    }
}

/// What an export did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExportReport {
    /// The file, or the folder.
    pub path: PathBuf,
    /// The files that were written, in the order in which they were.
    pub files: Vec<ExportedFile>,
    /// What was converted or left out, and what of it is to be known: for people.
    pub notes: Vec<String>,
}

/// A file that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExportedFile {
    /// Its path in the folder; of a single file, its own path.
    pub path: PathBuf,
    /// Its length in bytes.
    pub bytes: u64,
    /// Whether it is not the imported file but one that was made of it.
    pub is_converted: bool,
}
