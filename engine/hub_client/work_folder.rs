//! The folder that a model comes into, which the next run finds again.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::{HubError, HubModel};
use crate::container::make_folders;
use crate::shutdown::remove;

const LOCK: &str = "lock";
const PARTS: &str = "parts";
/// How often a folder is made again that another process has just removed.
const TRIES: usize = 100;

/// A folder of this user only, locked as long as this lives:
///
/// ```text
/// .mgit-hub-HASH/lock
/// .mgit-hub-HASH/parts/HASH.part, HASH.json          files that are not whole
/// .mgit-hub-HASH/models--ORG--NAME/snapshots/COMMIT  files that are, as in the Hub's own cache
/// ```
#[derive(Debug)]
pub(super) struct WorkFolder {
    path: PathBuf,
    _lock: File,
}

impl WorkFolder {
    /// Opens the folder, or makes it.
    pub(super) fn open(path: &Path) -> Result<Self, HubError> {
        for _ in 0..TRIES {
            make_folder(path)?;
            check_own(path)?;
            let lock_path = path.join(LOCK);
            let opened = OpenOptions::new()
                .create(true)
                .truncate(false)
                .write(true)
                .mode(0o600)
                .custom_flags(OFlags::NOFOLLOW.bits() as i32)
                .open(&lock_path);
            let lock = match opened {
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                opened => opened.map_err(failed("open", &lock_path))?,
            };
            match lock.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    return Err(HubError::UnderWay { folder: path.to_owned() });
                }
                Err(TryLockError::Error(source)) => {
                    return Err(failed("lock", &lock_path)(source));
                }
            }
            if is_still(&lock, &lock_path) {
                return Ok(WorkFolder { path: path.to_owned(), _lock: lock });
            }
        }
        Err(failed("make", path)(ErrorKind::AlreadyExists.into()))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The folder for the files of a commit. What came of another commit is removed.
    pub(super) fn snapshot(&self, model: &HubModel, commit: &str) -> Result<PathBuf, HubError> {
        let repository = model.repository().replace('/', "--");
        let repository = self.path.join(format!("models--{repository}"));
        let snapshot = repository.join("snapshots").join(commit);
        let parts = self.path.join(PARTS);
        if !snapshot.is_dir() {
            for old in [&repository, &parts] {
                remove(old).map_err(failed("remove", old))?;
            }
        }
        for folder in [&parts, &snapshot] {
            make_folders(folder).map_err(failed("make", folder))?;
        }
        Ok(snapshot)
    }

    /// Where a file of the model comes into until it is whole.
    pub(super) fn part(&self, path: &str) -> PathBuf {
        let hash = blake3::hash(path.as_bytes()).to_hex();
        self.path.join(PARTS).join(format!("{hash}.part"))
    }

    /// Removes the folder with all that is in it.
    pub(super) fn remove(self) -> Result<(), HubError> {
        remove(&self.path).map_err(failed("remove", &self.path))
    }
}

/// An error of the system at `path`.
pub(super) fn failed(action: &'static str, path: &Path) -> impl Fn(io::Error) -> HubError {
    let path = path.to_owned();
    move |source| HubError::Io { action, path: path.clone(), source }
}

fn make_folder(path: &Path) -> Result<(), HubError> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        made => made.map_err(failed("make", path)),
    }
}

/// Its name can be guessed: another user may have made it.
fn check_own(path: &Path) -> Result<(), HubError> {
    let found = match path.symlink_metadata() {
        // Another process has just removed it.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        found => found.map_err(failed("examine", path))?,
    };
    let is_own = found.is_dir() && found.uid() == rustix::process::geteuid().as_raw();
    let refused = || io::Error::other("it is not a folder of this user");
    if is_own { Ok(()) } else { Err(failed("use", path)(refused())) }
}

/// Whether the path still leads to the file.
fn is_still(file: &File, path: &Path) -> bool {
    let place = |found: fs::Metadata| (found.dev(), found.ino());
    match (file.metadata(), path.symlink_metadata()) {
        (Ok(file), Ok(path)) => place(file) == place(path),
        _ => false,
    }
}
