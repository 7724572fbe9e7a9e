//! Where a file is to be written, and what may be there already: one rule for everything that
//! writes one.
//!
//! - Nothing there: the file appears, complete and synced.
//! - A file: left alone, unless the caller may replace files. Then the new one takes its place by a
//!   rename, with its mode; other names of the old file keep the old one. A store is never
//!   replaced.
//! - A pipe, a terminal or another device of characters: written into.
//! - A folder, a socket, a device of blocks, a link that leads to nothing: left alone.
//!
//! A link is judged by what it leads to, and goes on leading there.

use std::fs::{File, Metadata};
use std::io::{self, BufWriter, ErrorKind, Read, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::Access;

use super::shortage::Shortage;
use super::temporary::{TemporaryFile, TemporaryKind, folder_of};
use super::writeback::{WRITEBACK_FROM, start_writeback};
use crate::format::{SUPERBLOCK_LEN, SUPERBLOCK_MAGIC};
use crate::shutdown::note_written;

/// Bytes at the head of a file in which a mark is looked for.
const MARK_WITHIN: usize = 512;

/// Which files that are there a new one may replace. Never a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Overwrite {
    /// None.
    #[default]
    Nothing,
    /// Those that have this mark in their first 512 bytes: they were made by the same means.
    Marked(&'static str),
    /// All.
    Files,
}

/// Why a file is not written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DestinationError {
    /// A file is there.
    #[error("{} is already there, and was not replaced", .path.display())]
    Exists {
        /// The path.
        path: PathBuf,
    },
    /// A store is there.
    #[error("{} is a store, which no other file replaces: name another file", .path.display())]
    Store {
        /// The path.
        path: PathBuf,
    },
    /// A folder is there.
    #[error("{}: it is a folder: name a file in it", cannot_write(.path))]
    Folder {
        /// The path.
        path: PathBuf,
    },
    /// What is there cannot be written into.
    #[error("{}: it is {what}: name a file", cannot_write(.path))]
    NotAFile {
        /// The path.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// The folder that the file is to be in is not there.
    #[error("{}: its folder does not exist: make it first", cannot_write(.path))]
    NoFolder {
        /// The path.
        path: PathBuf,
    },
    /// What the path names as the file's folder is none.
    #[error("{}: what it names as its folder is a file", cannot_write(.path))]
    FolderIsAFile {
        /// The path.
        path: PathBuf,
    },
    /// The path ends in a slash: it names a folder, and none is there.
    #[error("{}: there is no such folder: make it first, or name a file without the /", cannot_write(.path))]
    FolderNotThere {
        /// The path.
        path: PathBuf,
    },
    /// The operating system refused something.
    #[error("{}", cannot_write(.path))]
    Io {
        /// The path.
        path: PathBuf,
        /// Its answer.
        source: io::Error,
    },
}

/// How everything begins that is said of a file that cannot be written.
pub(crate) fn cannot_write(path: &Path) -> String {
    format!("cannot write {}", path.display())
}

impl DestinationError {
    /// What the operating system answered when the file at `path` was to be written.
    pub fn io(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            ErrorKind::NotFound => DestinationError::NoFolder { path },
            ErrorKind::NotADirectory => DestinationError::FolderIsAFile { path },
            _ => DestinationError::Io { path, source },
        }
    }

    /// A stable name of the kind of error, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            DestinationError::Exists { .. } => "already-exists",
            DestinationError::Store { .. } => "is-a-store",
            DestinationError::Folder { .. } => "is-a-folder",
            DestinationError::NotAFile { .. } => "not-a-file",
            DestinationError::NoFolder { .. } | DestinationError::FolderNotThere { .. } => {
                "file-not-found"
            }
            DestinationError::FolderIsAFile { .. } => "io",
            DestinationError::Io { source, .. } => {
                Shortage::of(source).map_or("io", Shortage::code)
            }
        }
    }
}

/// What is there.
#[derive(Debug)]
enum Place {
    Nothing,
    File(Metadata),
    Stream,
}

/// A path that may be written to.
#[derive(Debug)]
pub struct Destination {
    path: PathBuf,
    overwrite: Overwrite,
}

impl Destination {
    /// Judges what is at `path`, so that nothing is begun that could not be written.
    ///
    /// # Errors
    ///
    /// [`DestinationError`].
    pub fn new(path: &Path, overwrite: Overwrite) -> Result<Self, DestinationError> {
        judge(path, overwrite)?;
        Ok(Destination { path: path.to_owned(), overwrite })
    }

    /// The path, as it was named.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the file: under a temporary name beside its own, which it gets when it is complete
    /// and synced, unless what is at the path came there meanwhile and may not be replaced.
    ///
    /// # Errors
    ///
    /// [`DestinationError`]; those of `write`. What was there is then as it was; into a pipe or a
    /// device a part may be written.
    pub fn write<E: From<DestinationError>>(
        &self,
        write: impl FnOnce(&mut dyn Write) -> Result<(), E>,
    ) -> Result<(), E> {
        self.write_checked(write, |_| Ok(()))
    }

    /// As [`write`](Self::write); the file gets its name only if `check` finds it good. What was
    /// written into a pipe or a device cannot be checked.
    pub(crate) fn write_checked<E: From<DestinationError>>(
        &self,
        write: impl FnOnce(&mut dyn Write) -> Result<(), E>,
        check: impl FnOnce(&File) -> Result<(), E>,
    ) -> Result<(), E> {
        let failed = |source| DestinationError::io(&self.path, source);
        let (path, place) = judge(&self.path, self.overwrite)?;
        if let Place::Stream = place {
            return self.write_into(write);
        }
        let folder = folder_of(&path);
        let temporary =
            TemporaryFile::create(folder, TemporaryKind::Export, 0o666).map_err(failed)?;
        let mut out = BufWriter::new(EarlyWriter::new(temporary.as_file()));
        write(&mut out)?;
        out.flush().map_err(failed)?;
        drop(out);
        if let Place::File(old) = &place {
            keep_access(temporary.as_file(), old).map_err(failed)?;
        }
        temporary.as_file().sync_all().map_err(failed)?;
        check(temporary.as_file())?;
        match judge(&self.path, self.overwrite)? {
            (path, Place::File(_)) => temporary.persist(&path).map_err(failed)?,
            (path, _) => temporary.persist_new(&path).map_err(|error| match error.kind() {
                ErrorKind::AlreadyExists => DestinationError::Exists { path: self.path.clone() },
                _ => failed(error),
            })?,
        }
        let sync = File::open(folder).and_then(|folder| folder.sync_all());
        Ok(sync.map_err(failed)?)
    }

    fn write_into<E: From<DestinationError>>(
        &self,
        write: impl FnOnce(&mut dyn Write) -> Result<(), E>,
    ) -> Result<(), E> {
        let failed = |source| DestinationError::io(&self.path, source);
        let file = File::options().write(true).open(&self.path).map_err(failed)?;
        let found = file.metadata().map_err(failed)?;
        if !is_stream(&found) {
            return Err(DestinationError::Exists { path: self.path.clone() }.into());
        }
        let mut out = BufWriter::new(&file);
        write(&mut out)?;
        out.flush().map_err(failed)?;
        note_written(&self.path);
        Ok(())
    }
}

fn is_stream(found: &Metadata) -> bool {
    found.file_type().is_fifo() || found.file_type().is_char_device()
}

/// What `path` leads to: nothing, in a folder that is there and can be written into; a file; or a
/// pipe, a terminal or another device of characters.
///
/// # Errors
///
/// [`DestinationError`], for everything else.
pub(crate) fn what_is_at(path: &Path) -> Result<Option<Metadata>, DestinationError> {
    let owned = || path.to_owned();
    let failed = |source| DestinationError::io(path, source);
    let not_a_file = |what| DestinationError::NotAFile { path: owned(), what };
    let found = match std::fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            if path.symlink_metadata().is_ok() {
                return Err(not_a_file("a link that leads to nothing"));
            }
            if path.as_os_str().as_encoded_bytes().ends_with(b"/") {
                return Err(DestinationError::FolderNotThere { path: owned() });
            }
            check_folder(folder_of(path)).map_err(failed)?;
            return Ok(None);
        }
        found => found.map_err(failed)?,
    };
    if found.is_dir() {
        return Err(DestinationError::Folder { path: owned() });
    }
    if !found.is_file() && !is_stream(&found) {
        let is_socket = found.file_type().is_socket();
        return Err(not_a_file(if is_socket { "a socket" } else { "a device" }));
    }
    Ok(Some(found))
}

/// A file is made beside its place first: its folder must be there, and be one that this user may
/// write into.
fn check_folder(folder: &Path) -> io::Result<()> {
    if !std::fs::metadata(folder)?.is_dir() {
        return Err(ErrorKind::NotADirectory.into());
    }
    Ok(rustix::fs::access(folder, Access::WRITE_OK | Access::EXEC_OK)?)
}

/// Where `path` leads, and what is there, if it may be written.
fn judge(path: &Path, overwrite: Overwrite) -> Result<(PathBuf, Place), DestinationError> {
    let owned = || path.to_owned();
    let failed = |source| DestinationError::io(path, source);
    let found = match what_is_at(path)? {
        None => return Ok((owned(), Place::Nothing)),
        Some(found) if is_stream(&found) => return Ok((owned(), Place::Stream)),
        Some(found) => found,
    };
    let resolved = path.canonicalize().map_err(failed)?;
    let head = match (head(&resolved), overwrite) {
        // What cannot be looked at is not replaced.
        (Err(_), Overwrite::Nothing) => return Err(DestinationError::Exists { path: owned() }),
        (head, _) => head.map_err(failed)?,
    };
    if is_store(&head) {
        return Err(DestinationError::Store { path: owned() });
    }
    let may = match overwrite {
        Overwrite::Nothing => false,
        Overwrite::Files => true,
        Overwrite::Marked(mark) => {
            let head = head.get(..head.len().min(MARK_WITHIN)).unwrap_or_default();
            head.windows(mark.len().max(1)).any(|part| part == mark.as_bytes())
        }
    };
    match may {
        true => {
            check_folder(folder_of(&resolved)).map_err(failed)?;
            Ok((resolved, Place::File(found)))
        }
        false => Err(DestinationError::Exists { path: owned() }),
    }
}

fn head(path: &Path) -> io::Result<Vec<u8>> {
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    let mut head = Vec::new();
    file.take((SUPERBLOCK_LEN + SUPERBLOCK_MAGIC.len()) as u64).read_to_end(&mut head)?;
    Ok(head)
}

/// Whether one of the superblock's two slots begins as that of a store, also of a damaged one.
fn is_store(head: &[u8]) -> bool {
    let second = head.get(SUPERBLOCK_LEN..).unwrap_or_default();
    head.starts_with(&SUPERBLOCK_MAGIC) || second.starts_with(&SUPERBLOCK_MAGIC)
}

/// Whether a store lies at `path`, also a damaged one. What cannot be read is none.
pub fn is_store_at(path: &Path) -> bool {
    head(path).is_ok_and(|head| is_store(&head))
}

/// Gives a file the mode of the one that it replaces, and the owner and group where that is
/// allowed.
fn keep_access(new: &File, old: &Metadata) -> io::Result<()> {
    let now = new.metadata()?;
    if (now.uid(), now.gid()) != (old.uid(), old.gid()) {
        // As for whoever copies over a file of another's.
        let _ = std::os::unix::fs::fchown(new, Some(old.uid()), Some(old.gid()));
    }
    new.set_permissions(std::fs::Permissions::from_mode(old.mode() & 0o777))
}

/// A file that is written from its start and whose bytes go to the medium meanwhile.
pub(crate) struct EarlyWriter<'a> {
    file: &'a File,
    written: u64,
}

impl<'a> EarlyWriter<'a> {
    /// Writes `file`, which is empty.
    pub(crate) fn new(file: &'a File) -> Self {
        EarlyWriter { file, written: 0 }
    }
}

impl Write for EarlyWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = self.file.write(bytes)?;
        if len >= WRITEBACK_FROM {
            start_writeback(self.file, self.written, len as u64);
        }
        self.written += len as u64;
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
