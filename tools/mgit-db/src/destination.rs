//! Files that commands write: what is there is replaced only when the user says so.

use std::path::{Path, PathBuf};

use mgit::container::{Destination, DestinationError, Overwrite};

use crate::failure::Failure;

/// Whether a file that is there may be replaced.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Force {
    /// Replace a file that is there. A store, a folder and a device never are
    #[arg(long)]
    force: bool,
}

impl Force {
    /// Which files may be replaced.
    pub fn overwrite(self) -> Overwrite {
        if self.force { Overwrite::Files } else { Overwrite::Nothing }
    }

    /// Which files may be replaced, by a command whose files have this mark.
    pub fn overwrite_marked(self, mark: &'static str) -> Overwrite {
        if self.force { Overwrite::Files } else { Overwrite::Marked(mark) }
    }
}

/// Judges the path of a store that is to be made where nothing is.
///
/// # Errors
///
/// Something is there; its folder is not, or may not be written into.
pub fn check_new(path: &Path) -> Result<(), Failure> {
    match Destination::new(path, Overwrite::Nothing) {
        Err(DestinationError::Exists { path } | DestinationError::Store { path }) => {
            Err(mgit::store::StoreError::AlreadyExists { path }.into())
        }
        Err(error) => Err(error.into()),
        Ok(_) => Ok(()),
    }
}

/// Writes text to a file.
///
/// # Errors
///
/// Those of the file. What was there is then as it was.
pub fn write_text(destination: &Destination, text: &str) -> Result<(), Failure> {
    let written = destination.write(|out| {
        let failed = |source| DestinationError::io(destination.path(), source);
        out.write_all(text.as_bytes()).map_err(failed)
    });
    written.map_err(Failure::from)
}

/// The folder that a path names its file in.
pub fn folder_of(path: &Path) -> PathBuf {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new(".")).to_owned()
}
