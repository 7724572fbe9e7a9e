//! The temporary files and folders that this process has, and how they are removed.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::fs::{AtFlags, Dir, Mode, OFlags};
use rustix::io::Errno;

/// How deep folders in a temporary folder may lie for it to be removed: more is no model.
const DEPTH_MAX: u32 = 64;
/// How often a folder that somebody still writes into is tried again, and after how long.
const TRIES: u32 = 50;
const PAUSE: Duration = Duration::from_millis(5);

/// The paths, absolute, by a number; for each a file that says that it is in use.
static LIVE: Mutex<(u64, BTreeMap<u64, Temporary>)> = Mutex::new((0, BTreeMap::new()));

#[derive(Debug)]
struct Temporary {
    body: PathBuf,
    lock: PathBuf,
}

/// A temporary file or folder that is known here until this is dropped.
#[derive(Debug)]
pub(crate) struct Registered(u64);

impl Drop for Registered {
    fn drop(&mut self) {
        live().1.remove(&self.0);
    }
}

fn live() -> MutexGuard<'static, (u64, BTreeMap<u64, Temporary>)> {
    LIVE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes a temporary file or folder and remembers it, without a moment between. `make` gives the
/// paths of the thing itself and of its lock file.
pub(crate) fn register<T>(
    make: impl FnOnce() -> io::Result<(PathBuf, PathBuf, T)>,
) -> io::Result<(Registered, T)> {
    let mut live = live();
    let (body, lock, made) = make()?;
    let number = live.0;
    live.0 += 1;
    live.1.insert(number, Temporary { body, lock });
    Ok((Registered(number), made))
}

/// Whether a path is that of a temporary file, or lies in a temporary folder.
pub(super) fn is_temporary(path: &Path) -> bool {
    live().1.values().any(|temporary| path.starts_with(&temporary.body))
}

/// Removes everything, for ever: nothing can be made behind this.
pub(super) fn remove_all() {
    let live = live();
    for temporary in live.1.values() {
        let mut removed = remove(&temporary.body);
        for _ in 0..TRIES {
            if removed.is_ok() {
                break;
            }
            // A thread of this process that has not noticed yet may be writing into it.
            std::thread::sleep(PAUSE);
            removed = remove(&temporary.body);
        }
        // What could not be removed keeps its lock file, by which the next one finds it.
        if removed.is_ok() {
            let _ = std::fs::remove_file(&temporary.lock);
        }
    }
    std::mem::forget(live);
}

/// Removes a file, a link, or a folder with everything in it. No link is followed. That there is
/// nothing is no error.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) if !is_of_folder(&error) => return Err(error),
        Err(_) => {}
        Ok(()) => return Ok(()),
    }
    let folder = rustix::fs::open(path, folder_flags(), Mode::empty())?;
    empty(folder.as_fd(), DEPTH_MAX)?;
    std::fs::remove_dir(path)
}

/// What the operating system says of a folder that is to be removed as a file.
fn is_of_folder(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::IsADirectory | io::ErrorKind::PermissionDenied)
}

fn folder_flags() -> OFlags {
    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC
}

fn empty(folder: BorrowedFd<'_>, depth: u32) -> io::Result<()> {
    let mut names: Vec<CString> = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        if ![c".", c".."].contains(&entry.file_name()) {
            names.push(entry.file_name().to_owned());
        }
    }
    for name in names {
        match rustix::fs::unlinkat(folder, &name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => continue,
            // As Linux and POSIX say of a folder.
            Err(Errno::ISDIR | Errno::PERM) if depth > 0 => {}
            Err(error) => return Err(error.into()),
        }
        let inner = rustix::fs::openat(folder, &name, folder_flags(), Mode::empty())?;
        empty(inner.as_fd(), depth - 1)?;
        rustix::fs::unlinkat(folder, &name, AtFlags::REMOVEDIR)?;
    }
    Ok(())
}
