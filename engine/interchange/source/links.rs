//! Which links may be followed.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::interchange::InterchangeError;

/// Where files of a model may lie: in its folder, and in the blobs of the Hugging Face cache that
/// the folder belongs to.
#[derive(Debug)]
pub(super) struct Inside {
    folders: Vec<PathBuf>,
    facts: Map<String, Value>,
    everywhere: bool,
}

impl Inside {
    /// Of the model in this folder; `everywhere` takes whatever a link leads to.
    pub(super) fn of(folder: &Path, everywhere: bool) -> Result<Self, InterchangeError> {
        let real = real(folder)?;
        let cache = cache_of(&real);
        let facts = cache.as_ref().map(|(blobs, revision)| facts(blobs, revision));
        let folders = [real].into_iter().chain(cache.map(|(blobs, _)| blobs)).collect();
        Ok(Inside { folders, facts: facts.unwrap_or_default(), everywhere })
    }

    /// What the path says of where the model came from, in the cache: its repository and revision.
    pub(super) fn facts(&self) -> &Map<String, Value> {
        &self.facts
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

fn facts(blobs: &Path, revision: &str) -> Map<String, Value> {
    let repository = blobs.parent().and_then(Path::file_name).and_then(OsStr::to_str);
    let repository = repository.and_then(|name| name.strip_prefix("models--"));
    let repository = repository.map(|name| ("hub.repository", name.replace("--", "/")));
    let facts = repository.into_iter().chain([("hub.revision", revision.to_owned())]);
    facts.map(|(key, value)| (key.to_owned(), value.into())).collect()
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
