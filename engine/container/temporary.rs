//! Files and folders that get their name when they are complete, and folders to work in.
//!
//! Each is called `.mgit-KIND-XXXXXXXXXX`, of ten letters and digits that nothing had, and has a
//! *lock file* beside it, `.mgit-KIND-XXXXXXXXXX.lock`, which is there first, goes last, and is
//! locked as long as its maker lives. So whoever finds one that is not locked knows that its maker
//! was killed, and removes both. A pid or an age would not tell.

use std::collections::HashSet;
use std::fs::{DirBuilder, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, PoisonError};

use rustix::fs::{CWD, OFlags, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::locks::{FileLocks, LockSpace, TEMPORARY_LOCK_BYTE, byte};
use crate::shutdown::{Registered, critical, note_written, register, remove};

/// What a temporary file or folder is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TemporaryKind {
    /// A new store.
    New,
    /// A store that a vacuum writes.
    Vacuum,
    /// A backup.
    Backup,
    /// A salvaged store.
    Salvage,
    /// A clone that has not begun.
    Clone,
    /// A file, or the folder of a sharded model, that is exported.
    Export,
    /// A file of a remote that is a folder.
    Put,
    /// A bundle, or the store that one is checked in.
    Bundle,
    /// What a command that makes a model works on.
    Make,
    /// What a command that tests a model works on.
    Test,
    /// What a quality gate works on.
    Gate,
    /// The store that a merged model is tried in.
    Merge,
    /// The store that a model is made again in.
    Remake,
    /// What the demonstration compares.
    Demo,
    /// What is too long for memory while it is worked on.
    Spool,
}

const KINDS: [(TemporaryKind, &str); 15] = [
    (TemporaryKind::New, "new"),
    (TemporaryKind::Vacuum, "vacuum"),
    (TemporaryKind::Backup, "backup"),
    (TemporaryKind::Salvage, "salvage"),
    (TemporaryKind::Clone, "clone"),
    (TemporaryKind::Export, "export"),
    (TemporaryKind::Put, "put"),
    (TemporaryKind::Bundle, "bundle"),
    (TemporaryKind::Make, "make"),
    (TemporaryKind::Test, "test"),
    (TemporaryKind::Gate, "gate"),
    (TemporaryKind::Merge, "merge"),
    (TemporaryKind::Remake, "remake"),
    (TemporaryKind::Demo, "demo"),
    (TemporaryKind::Spool, "spool"),
];

const PREFIX: &str = ".mgit-";
const LOCK_SUFFIX: &str = ".lock";
const RANDOM_LEN: usize = 10;
/// The most names of a folder that a sweep looks at.
const SWEPT_ENTRIES_MAX: usize = 1 << 16;
/// How many folders are remembered as swept.
const SWEPT_FOLDERS_MAX: usize = 256;
/// How often another name is tried.
const TRIES: usize = 100;

impl TemporaryKind {
    fn name(self) -> &'static str {
        KINDS.iter().find(|(kind, _)| *kind == self).map_or("new", |(_, name)| name)
    }
}

/// The folder that a path names its file in.
pub(crate) fn folder_of(path: &Path) -> &Path {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

/// Makes a folder, and those that it lies in. Never behind an interruption: a thread that goes on
/// writing would make a temporary folder again that has just been removed.
pub(crate) fn make_folders(path: &Path) -> io::Result<()> {
    critical(|| std::fs::create_dir_all(path))
}

/// A name that holds a temporary file or folder, until this is dropped.
#[derive(Debug)]
struct Name {
    body: PathBuf,
    lock: PathBuf,
    /// Where locks do not work nobody finds that the file is not locked, either.
    _held: Option<FileLocks>,
    registered: Option<Registered>,
}

impl Name {
    /// A new name in `folder`, of which `make` makes the file or folder itself.
    fn new<T>(
        folder: &Path,
        kind: TemporaryKind,
        make: impl Fn(&Path) -> io::Result<T>,
    ) -> io::Result<(Self, T)> {
        let folder = std::path::absolute(folder)?;
        sweep_once(&folder);
        let (registered, (body, lock, held, made)) = register(|| {
            for _ in 0..TRIES {
                let name = format!("{PREFIX}{}-{}", kind.name(), random()?);
                let body = folder.join(&name);
                let lock = folder.join(name + LOCK_SUFFIX);
                let Some(held) = hold_new(&lock)? else { continue };
                match make(&body) {
                    Ok(made) => {
                        return Ok((body.clone(), lock.clone(), (body, lock, held, made)));
                    }
                    Err(error) => {
                        let _ = std::fs::remove_file(&lock);
                        if error.kind() != ErrorKind::AlreadyExists {
                            return Err(error);
                        }
                    }
                }
            }
            Err(ErrorKind::AlreadyExists.into())
        })?;
        Ok((Name { body, lock, _held: held, registered: Some(registered) }, made))
    }

    /// Gives it the name `to`, in the place of what has it or only where nothing has, and lets go
    /// of it. An interruption comes before all of this or after it.
    fn give(mut self, to: &Path, replace: bool) -> io::Result<()> {
        critical(|| {
            match replace {
                true => std::fs::rename(&self.body, to)?,
                false => rename_new(&self.body, to)?,
            }
            let _ = std::fs::remove_file(&self.lock);
            self.registered = None;
            note_written(to);
            Ok(())
        })
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        // Not when it has got its own name.
        if self.registered.is_some() && remove(&self.body).is_ok() {
            let _ = std::fs::remove_file(&self.lock);
        }
    }
}

/// Renames where nothing has the name.
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // As file systems say that cannot do it.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) if from.is_dir() => {
            // A folder is not replaced by another one unless it is empty.
            match to.symlink_metadata() {
                Ok(_) => Err(ErrorKind::AlreadyExists.into()),
                Err(_) => std::fs::rename(from, to),
            }
        }
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
            std::fs::hard_link(from, to)?;
            std::fs::remove_file(from)
        }
        renamed => Ok(renamed?),
    }
}

/// A new folder in `folder`, of this user only, that stays; its name begins with `prefix`.
pub(crate) fn new_folder(folder: &Path, prefix: &str) -> io::Result<PathBuf> {
    for _ in 0..TRIES {
        let path = folder.join(format!("{prefix}{}", random()?));
        match DirBuilder::new().mode(0o700).create(&path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            made => return made.map(|()| path),
        }
    }
    Err(ErrorKind::AlreadyExists.into())
}

fn random() -> io::Result<String> {
    const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut bytes = [0; RANDOM_LEN];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    let letter = |byte: u8| LETTERS.get(usize::from(byte % 32)).map_or('a', |it| char::from(*it));
    Ok(bytes.into_iter().map(letter).collect())
}

fn no_follow() -> i32 {
    (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed()
}

/// A new lock file, held. `None` when somebody was faster: another maker, or one that swept.
fn hold_new(path: &Path) -> io::Result<Option<Option<FileLocks>>> {
    let mut options = File::options();
    // `create_new` is O_EXCL.
    options.read(true).write(true).create_new(true).mode(0o600).custom_flags(no_follow());
    let file = match options.open(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(None),
        file => file?,
    };
    let locks = FileLocks::new(file.try_clone()?)?;
    Ok(match locks.try_lock(byte(TEMPORARY_LOCK_BYTE), false) {
        // Between the two a sweep may have held it, and removed it.
        Ok(false) => None,
        Ok(true) if file.metadata()?.nlink() == 0 => None,
        Ok(true) => Some(Some(locks)),
        Err(_) => Some(None),
    })
}

/// A new file under a temporary name, which is removed when it is dropped before it has its own.
/// What is there already, a link too, is never opened.
#[derive(Debug)]
pub(crate) struct TemporaryFile {
    file: File,
    name: Name,
}

impl TemporaryFile {
    /// An empty file in `folder`, of `mode`, from which the umask takes its bits.
    pub(crate) fn create(folder: &Path, kind: TemporaryKind, mode: u32) -> io::Result<Self> {
        let (name, file) = Name::new(folder, kind, |path| {
            let mut options = File::options();
            options.read(true).write(true).create_new(true).mode(mode).custom_flags(no_follow());
            options.open(path)
        })?;
        Ok(TemporaryFile { file, name })
    }

    /// A file of this user only that loses its name at once, and its bytes when it is closed.
    pub(super) fn without_name(folder: &Path) -> io::Result<File> {
        let TemporaryFile { file, name } = Self::create(folder, TemporaryKind::Spool, 0o600)?;
        drop(name);
        Ok(file)
    }

    pub(crate) fn as_file(&self) -> &File {
        &self.file
    }

    /// Where it is, from the root.
    pub(crate) fn path(&self) -> &Path {
        &self.name.body
    }

    /// Gives the file its name, in the place of what has it.
    pub(crate) fn persist(self, path: &Path) -> io::Result<()> {
        self.name.give(path, true)
    }

    /// Gives the file its name, which nothing may have.
    pub(crate) fn persist_new(self, path: &Path) -> io::Result<()> {
        self.name.give(path, false)
    }
}

/// A new folder under a temporary name, removed with everything in it when this is dropped, when
/// [`interrupt`](crate::shutdown::interrupt) is called, and by the next of its kind when this process
/// was killed.
#[derive(Debug)]
pub struct TemporaryFolder {
    name: Name,
}

impl TemporaryFolder {
    /// An empty folder in `folder`, of this user only.
    ///
    /// # Errors
    ///
    /// Those of the operating system.
    pub fn create(folder: &Path, kind: TemporaryKind) -> io::Result<Self> {
        Self::create_with(folder, kind, 0o700)
    }

    /// As [`create`](Self::create), with a mode from which the umask takes its bits.
    pub(crate) fn create_with(folder: &Path, kind: TemporaryKind, mode: u32) -> io::Result<Self> {
        let (name, ()) = Name::new(folder, kind, |path| DirBuilder::new().mode(mode).create(path))?;
        Ok(TemporaryFolder { name })
    }

    /// Where it is, from the root.
    pub fn path(&self) -> &Path {
        &self.name.body
    }

    /// Gives the folder the name `path`, which nothing may have.
    pub(crate) fn persist_new(self, path: &Path) -> io::Result<()> {
        self.name.give(path, false)
    }

    /// Gives the file `name` of this folder the name `path`, which nothing may have, and syncs the
    /// folder that it is in then.
    ///
    /// # Errors
    ///
    /// Those of the operating system; something is at `path`.
    pub fn give_file(&self, name: &str, path: &Path) -> io::Result<()> {
        critical(|| {
            rename_new(&self.path().join(name), path)?;
            note_written(path);
            Ok::<_, io::Error>(())
        })?;
        File::open(folder_of(path))?.sync_all()
    }
}

/// Removes the temporary files and folders in `folder` whose makers were killed, and says how
/// many. Only what belongs to this user is looked at, no link is followed, and what cannot be
/// removed stays. Cost: reads the names in the folder, at most 65,536 of them.
pub fn sweep(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let names = entries.flatten().take(SWEPT_ENTRIES_MAX).map(|entry| entry.file_name());
    let ours = names.filter_map(|name| Some(body_of(name.to_str()?)?.to_owned()));
    ours.filter(|body| sweep_one(folder, body).unwrap_or(false)).count() as u64
}

/// Sweeps a folder when this process has not done so before.
pub(crate) fn sweep_once(folder: &Path) {
    static SWEPT: LazyLock<Mutex<HashSet<PathBuf>>> = LazyLock::new(Mutex::default);
    let mut swept = SWEPT.lock().unwrap_or_else(PoisonError::into_inner);
    if swept.len() >= SWEPT_FOLDERS_MAX {
        swept.clear();
    }
    if swept.insert(folder.to_owned()) {
        drop(swept);
        sweep(folder);
    }
}

/// The name that a lock file's name is the lock of.
fn body_of(name: &str) -> Option<&str> {
    let body = name.strip_suffix(LOCK_SUFFIX)?;
    let (kind, random) = body.strip_prefix(PREFIX)?.split_once('-')?;
    let is_random = random.len() == RANDOM_LEN && random.bytes().all(|b| b.is_ascii_alphanumeric());
    (is_random && KINDS.iter().any(|(_, known)| *known == kind)).then_some(body)
}

/// Removes a temporary file or folder and its lock, unless it is in use.
fn sweep_one(folder: &Path, body: &str) -> io::Result<bool> {
    let me = rustix::process::geteuid().as_raw();
    let lock = folder.join(format!("{body}{LOCK_SUFFIX}"));
    let file = File::options().read(true).write(true).custom_flags(no_follow()).open(&lock)?;
    let found = file.metadata()?;
    if !found.is_file() || found.uid() != me {
        return Ok(false);
    }
    let locks = FileLocks::new(file)?;
    if !locks.try_lock(byte(TEMPORARY_LOCK_BYTE), false).map_err(io::Error::other)? {
        return Ok(false);
    }
    let body = folder.join(body);
    let is_mine = |found: std::fs::Metadata| found.uid() == me;
    if body.symlink_metadata().is_ok_and(|found| !is_mine(found)) {
        return Ok(false);
    }
    remove(&body)?;
    std::fs::remove_file(&lock)?;
    Ok(true)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn names(folder: &Path) -> usize {
        std::fs::read_dir(folder).unwrap().count()
    }

    /// What a killed maker leaves behind.
    fn leave_behind(folder: &Path, temporary: TemporaryFolder) {
        let name = temporary.path().file_name().unwrap().to_owned();
        let lock = format!("{}{LOCK_SUFFIX}", name.to_str().unwrap());
        drop(temporary);
        std::fs::create_dir(folder.join(name)).unwrap();
        std::fs::write(folder.join(lock), "").unwrap();
    }

    #[test]
    fn a_sweep_takes_what_nobody_holds_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let living = TemporaryFolder::create(path, TemporaryKind::Make).unwrap();
        std::fs::write(living.path().join("model"), "in use").unwrap();
        let file = TemporaryFile::create(path, TemporaryKind::Export, 0o400).unwrap();
        let dead = TemporaryFolder::create(path, TemporaryKind::Test).unwrap();
        let dead_path = dead.path().to_owned();
        leave_behind(path, dead);
        std::fs::create_dir(dead_path.join("deep")).unwrap();
        std::fs::write(dead_path.join("deep/model"), "of nobody").unwrap();
        let kept = path.join("kept");
        std::fs::write(&kept, "another's").unwrap();
        std::os::unix::fs::symlink(&kept, dead_path.join("link")).unwrap();
        for foreign in
            [".mgit-make-abc.lock", ".mgit-other-abcdefghij.lock", ".mgit-make-abcdefghij"]
        {
            std::fs::write(path.join(foreign), "").unwrap();
        }
        assert_eq!(sweep(path), 1);
        assert!(!dead_path.exists() && living.path().join("model").exists());
        assert_eq!(std::fs::read(&kept).unwrap(), b"another's");
        assert_eq!(names(path), 2 + 2 + 1 + 3);
        assert_eq!(sweep(path), 0);
        drop((living, file));
        assert_eq!(names(path), 1 + 3);
    }

    #[test]
    fn a_link_in_the_place_of_a_dead_folder_goes_and_what_it_leads_to_stays() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("target");
        std::fs::create_dir(&target).unwrap();
        std::fs::write(target.join("kept"), "").unwrap();
        let name = folder.path().join(".mgit-merge-aaaaaaaaaa");
        std::os::unix::fs::symlink(&target, &name).unwrap();
        std::fs::write(folder.path().join(".mgit-merge-aaaaaaaaaa.lock"), "").unwrap();
        assert_eq!(sweep(folder.path()), 1);
        assert!(name.symlink_metadata().is_err() && target.join("kept").exists());
    }

    #[test]
    fn folders_that_stay_have_names_of_their_own() {
        let folder = tempfile::tempdir().unwrap();
        let made = [0; 3].map(|_| new_folder(folder.path(), "kept-").unwrap());
        assert!(made.iter().all(|path| path.is_dir()));
        assert_eq!((names(folder.path()), sweep(folder.path())), (3, 0));
        let missing = new_folder(&folder.path().join("none"), "kept-").unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
    }

    #[test]
    fn names_are_given_once_or_in_the_place_of_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let make = || TemporaryFile::create(folder.path(), TemporaryKind::New, 0o600).unwrap();
        make().persist_new(&path).unwrap();
        let error = make().persist_new(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        make().persist(&path).unwrap();
        assert_eq!(names(folder.path()), 1);
    }
}
