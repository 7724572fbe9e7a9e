//! Moments that are not cut in two, and what this process has done that stays.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError, RwLock};

use super::temporaries::is_temporary;

/// The most paths of either kind that are remembered.
const PATHS_MAX: usize = 16;

pub(super) static INTERRUPTED: AtomicBool = AtomicBool::new(false);
/// Held shared in [`critical`], and exclusively for ever behind an interruption.
pub(super) static GATE: RwLock<()> = RwLock::new(());
static DONE: Mutex<Done> = Mutex::new(Done { commits: Vec::new(), written: Vec::new(), more: 0 });

thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// What this process has done that stays when it ends. Temporary files do not count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Done {
    /// Stores, as they were named when they were opened, and the commits made to each.
    pub commits: Vec<(PathBuf, u64)>,
    /// Files and folders that got their names.
    pub written: Vec<PathBuf>,
    /// How many more commits and files there were than are remembered by their paths.
    pub more: u64,
}

impl Done {
    /// Whether nothing was changed.
    pub fn is_nothing(&self) -> bool {
        self.commits.is_empty() && self.written.is_empty() && self.more == 0
    }

    /// The commits made to the store at this path.
    pub fn commits_to(&self, path: &Path) -> u64 {
        self.commits.iter().find(|(known, _)| known == path).map_or(0, |(_, count)| *count)
    }
}

/// What this process has done so far.
pub fn done() -> Done {
    DONE.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

struct Leave;

impl Drop for Leave {
    fn drop(&mut self) {
        INSIDE.set(false);
    }
}

/// Does what an interruption must not cut in two. Once there was one, this does nothing and never
/// returns. May be nested.
pub(crate) fn critical<T>(work: impl FnOnce() -> T) -> T {
    if INSIDE.get() {
        return work();
    }
    let inside = GATE.read().unwrap_or_else(PoisonError::into_inner);
    if INTERRUPTED.load(Ordering::SeqCst) {
        drop(inside);
        loop {
            std::thread::park();
        }
    }
    INSIDE.set(true);
    let _leave = Leave;
    work()
}

/// Remembers a commit to the store at `path`.
pub(crate) fn note_commit(path: &Path) {
    if is_temporary(path) {
        return;
    }
    let mut done = DONE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, count)) = done.commits.iter_mut().find(|(known, _)| known == path) {
        *count += 1;
    } else if done.commits.len() < PATHS_MAX {
        done.commits.push((path.to_owned(), 1));
    } else {
        done.more += 1;
    }
}

/// Remembers a file or folder that has its name now.
pub(crate) fn note_written(path: &Path) {
    if is_temporary(path) {
        return;
    }
    let mut done = DONE.lock().unwrap_or_else(PoisonError::into_inner);
    if done.written.iter().any(|known| known == path) {
        return;
    }
    match done.written.len() < PATHS_MAX {
        true => done.written.push(path.to_owned()),
        false => done.more += 1,
    }
}
