//! A model of a hub as a folder.

use std::path::{Path, PathBuf};

#[cfg(feature = "remote")]
use super::work_folder::WorkFolder;
use super::{HubError, HubModel, HubOptions};
use crate::interchange::{LeftOut, SourceOptions};

/// How far a download is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HubAdvance {
    /// The bytes that are here, with those of an earlier run. They become fewer where a file has to
    /// begin again.
    pub bytes: u64,
    /// The bytes of all files.
    pub of: u64,
}

/// A model of a hub that is here as a folder, whole but for what was left out. No other process
/// touches the folder as long as this lives; it stays until [`remove`](Self::remove).
#[derive(Debug)]
pub struct HubFolder {
    pub(super) path: PathBuf,
    pub(super) commit: String,
    pub(super) left_out: Vec<LeftOut>,
    #[cfg(feature = "remote")]
    pub(super) work: WorkFolder,
}

impl HubFolder {
    /// Where [`download`](super::download) keeps what comes until [`remove`](Self::remove): a
    /// folder in `beside`, which need not be there yet.
    pub fn place(model: &HubModel, hub: &HubOptions, beside: impl AsRef<Path>) -> PathBuf {
        // As those of other temporary files of this crate.
        const PREFIX: &str = ".mgit-hub-";
        const HASH_LEN: usize = 24;
        let hash = blake3::hash(format!("{}\n{model}", hub.endpoint).as_bytes()).to_hex();
        let hash = hash.get(..HASH_LEN).unwrap_or_default();
        beside.as_ref().join(format!("{PREFIX}{hash}"))
    }

    /// The model's folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The commit that the files are of.
    pub fn commit(&self) -> &str {
        &self.commit
    }

    /// What was not downloaded, and why, by path.
    pub fn left_out(&self) -> &[LeftOut] {
        &self.left_out
    }

    /// How the folder is opened as a model: as it was downloaded, and with what was left out.
    pub fn source_options(&self, options: &SourceOptions) -> SourceOptions {
        options.clone().left_out_before(self.left_out.iter().cloned())
    }

    /// Removes the folder, and what it lies in.
    ///
    /// # Errors
    ///
    /// [`HubError::Io`]: it cannot be removed.
    pub fn remove(self) -> Result<(), HubError> {
        #[cfg(feature = "remote")]
        self.work.remove()?;
        Ok(())
    }
}
