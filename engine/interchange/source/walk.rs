//! The files of a folder.

use std::fs::{self, DirEntry, FileType, Metadata};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use super::faults::Faults;
use super::left_out::LeftOut;
use super::links::Inside;
use super::options::SourceOptions;
use super::passed_over;
use crate::container::is_store_at;
use crate::interchange::InterchangeError;
use crate::interchange::limits::{FILES_MAX, FOLDER_DEPTH_MAX, PATH_LEN_MAX};
use crate::interchange::weights_name::{is_training_state, is_weights_name};

/// A file of a folder.
#[derive(Debug)]
pub(super) struct Found {
    /// Its path in the folder.
    pub(super) path: String,
    /// Where it is, links followed.
    pub(super) real: PathBuf,
}

/// What is in a folder, by path.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) files: Vec<Found>,
    pub(super) left_out: Vec<LeftOut>,
}

/// Lists the files of a folder and of its folders. What cannot be taken is a fault.
pub(super) fn walk(
    folder: &Path,
    inside: &Inside,
    options: &SourceOptions,
    faults: &mut Faults,
) -> Result<Listing, InterchangeError> {
    let listing = Listing::default();
    let mut walk = Walk { folder, inside, options, faults, entries: 0, listing };
    let real = inside.resolve(folder)?;
    walk.list("", &real, &mut vec![real.clone()])?;
    let Listing { mut files, mut left_out } = walk.listing;
    files.sort_by(|a, b| a.path.cmp(&b.path));
    left_out.sort();
    Ok(Listing { files, left_out })
}

struct Walk<'w> {
    folder: &'w Path,
    inside: &'w Inside,
    options: &'w SourceOptions,
    faults: &'w mut Faults,
    /// Of all folders so far: links can make a few folders many.
    entries: usize,
    listing: Listing,
}

impl Walk<'_> {
    /// Lists the folder `real`, whose path in the model is `prefix`; `on_the_way` are the folders
    /// that it lies in, and it.
    fn list(
        &mut self,
        prefix: &str,
        real: &Path,
        on_the_way: &mut Vec<PathBuf>,
    ) -> Result<(), InterchangeError> {
        let shown = self.folder.join(prefix);
        if on_the_way.len() > FOLDER_DEPTH_MAX {
            return self.faults.add(InterchangeError::TooDeep { folder: shown });
        }
        let failed = |error| InterchangeError::io(&shown, "list", error);
        let Some(entries) = self.faults.take(fs::read_dir(real).map_err(failed))? else {
            return Ok(());
        };
        let mut is_empty = true;
        for entry in entries {
            let entry = entry.map_err(failed)?;
            is_empty = false;
            self.entries += 1;
            if self.entries > FILES_MAX {
                return Err(InterchangeError::TooManyFiles { folder: self.folder.to_owned() });
            }
            let name = entry.file_name();
            let shown_name = name.to_string_lossy();
            let path = match prefix {
                "" => shown_name.into_owned(),
                prefix => format!("{prefix}/{shown_name}"),
            };
            let taken = match name.to_str() {
                None => self.leave_out_not_utf8(&path, &entry),
                Some(name) => self.take(path, name, &entry.path(), on_the_way),
            };
            self.faults.take(taken)?;
        }
        if is_empty && !prefix.is_empty() {
            self.leave_out(prefix, true, "an empty folder");
        }
        Ok(())
    }

    /// Leaves out what has a name that is not UTF-8, where it is left out in any case.
    fn leave_out_not_utf8(&mut self, path: &str, entry: &DirEntry) -> Result<(), InterchangeError> {
        let real = entry.path();
        let found = real.symlink_metadata();
        let found = found.map_err(|error| InterchangeError::io(&real, "examine", error))?;
        let Some(reason) = reason(self.options, path, found.is_dir(), found.len()) else {
            let folder = self.folder.join(path);
            let folder = folder.parent().unwrap_or(self.folder);
            return Err(InterchangeError::PathNotUtf8 { path: folder.join(entry.file_name()) });
        };
        self.leave_out(path, found.is_dir(), reason);
        Ok(())
    }

    fn leave_out(&mut self, path: &str, is_folder: bool, reason: impl Into<String>) {
        let path = if is_folder { format!("{path}/") } else { path.to_owned() };
        self.listing.left_out.push(LeftOut { path, reason: reason.into() });
    }

    fn take(
        &mut self,
        path: String,
        name: &str,
        real: &Path,
        on_the_way: &mut Vec<PathBuf>,
    ) -> Result<(), InterchangeError> {
        let shown = self.folder.join(&path);
        let examine = |real: &Path| {
            real.symlink_metadata().map_err(|error| InterchangeError::io(&shown, "examine", error))
        };
        let mut found: Metadata = examine(real)?;
        let mut real = real.to_owned();
        // What is not taken in any case need not lead anywhere.
        if let Some(reason) = reason(self.options, &path, found.is_dir(), found.len()) {
            self.leave_out(&path, found.is_dir(), reason);
            return Ok(());
        }
        if path.len() > PATH_LEN_MAX {
            return Err(InterchangeError::PathTooLong { path: shown });
        }
        if found.is_symlink() {
            real = self.inside.resolve(&shown)?;
            found = examine(&real)?;
        }
        if found.is_dir() {
            return self.take_folder(&path, name, real, on_the_way);
        }
        if let Some(what) = special(found.file_type()) {
            self.leave_out(&path, false, what);
        } else if is_store_at(&real) {
            self.leave_out(&path, false, "a store of models");
        } else {
            self.listing.files.push(Found { path, real });
        }
        Ok(())
    }

    fn take_folder(
        &mut self,
        path: &str,
        name: &str,
        real: PathBuf,
        on_the_way: &mut Vec<PathBuf>,
    ) -> Result<(), InterchangeError> {
        // A link may be called so.
        if let Some(reason) = passed_over::folder(name) {
            self.leave_out(path, true, reason);
            return Ok(());
        }
        if on_the_way.contains(&real) {
            self.leave_out(path, true, "a link to a folder that it lies in");
            return Ok(());
        }
        if passed_over::is_checkpoint(name) && holds_weights(&real) {
            self.leave_out(path, true, passed_over::CHECKPOINT);
            return Ok(());
        }
        on_the_way.push(real.clone());
        self.list(path, &real, on_the_way)?;
        on_the_way.pop();
        Ok(())
    }
}

/// Why what has this path is not taken: by what was asked for, or by the name of a file.
pub(super) fn reason(
    options: &SourceOptions,
    path: &str,
    is_folder: bool,
    len: u64,
) -> Option<String> {
    let name = path.rsplit('/').next().unwrap_or_default();
    let by_name = || passed_over::file(name, len).filter(|_| !is_folder).map(str::to_owned);
    options.reason(path, is_folder).or_else(by_name)
}

/// What is neither a file nor a folder.
fn special(found: FileType) -> Option<&'static str> {
    match found {
        found if found.is_file() => None,
        found if found.is_fifo() => Some("a pipe"),
        found if found.is_socket() => Some("a socket"),
        _ => Some("a device"),
    }
}

/// Whether weights lie in a folder itself, by their names. One that cannot be listed holds none:
/// what is wrong with it is found when it is taken.
pub(super) fn holds_weights(folder: &Path) -> bool {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names = entries.map(|entry| PathBuf::from(entry.file_name()));
    names.any(|name| is_called_weights(&name))
}

/// Whether a file of this name holds weights, and not only the state of a training.
pub(super) fn is_called_weights(name: &Path) -> bool {
    is_weights_name(name) && !is_training_state(name)
}
