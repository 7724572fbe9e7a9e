//! Which links may be followed.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::interchange::InterchangeError;

/// Where files of a model may lie: in its folder, and in the blobs of the Hugging Face cache that
/// the folder belongs to.
#[derive(Debug)]
pub(super) struct Inside {
    folders: Vec<PathBuf>,
    revision: Option<String>,
    everywhere: bool,
}

impl Inside {
    /// Of the model in this folder; `everywhere` takes whatever a link leads to.
    pub(super) fn of(folder: &Path, everywhere: bool) -> Result<Self, InterchangeError> {
        let real = real(folder)?;
        let cache = cache_of(&real);
        let (blobs, revision) = cache.unzip();
        let folders = [real].into_iter().chain(blobs).collect();
        Ok(Inside { folders, revision, everywhere })
    }

    /// The revision of the cache that the folder is a snapshot of.
    pub(super) fn revision(&self) -> Option<&str> {
        self.revision.as_deref()
    }

    /// Where `path` leads to, which may be a link or lie behind one.
    pub(super) fn resolve(&self, path: &Path) -> Result<PathBuf, InterchangeError> {
        let target = real(path)?;
        if self.everywhere || self.folders.iter().any(|folder| target.starts_with(folder)) {
            return Ok(target);
        }
        Err(InterchangeError::LinkLeadsOut { link: path.to_owned(), target })
    }
}

fn real(path: &Path) -> Result<PathBuf, InterchangeError> {
    path.canonicalize().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound if path.symlink_metadata().is_ok() => {
            InterchangeError::LinkToNothing { link: path.to_owned() }
        }
        _ => InterchangeError::io(path, "follow", error),
    })
}

/// The blobs and the revision, of a folder in `models--ORG--NAME/snapshots/REVISION`.
pub(super) fn cache_of(folder: &Path) -> Option<(PathBuf, String)> {
    let mut inside = folder;
    loop {
        let snapshots = inside.parent()?;
        if snapshots.file_name() == Some(OsStr::new("snapshots")) {
            let repository = snapshots.parent()?;
            let name = repository.file_name()?.to_str()?;
            let revision = inside.file_name()?.to_str()?.to_owned();
            let is_one =
                ["models--", "datasets--", "spaces--"].iter().any(|it| name.starts_with(it));
            return is_one.then(|| (repository.join("blobs"), revision));
        }
        inside = snapshots;
    }
}
