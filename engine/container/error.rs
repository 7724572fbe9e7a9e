use std::time::Duration;
use std::{fmt, io};

use super::process::Process;
use crate::format::FormatError;

/// What holds the lock that was wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LockHolder {
    /// A writer has the store open.
    Writer,
    /// A reader views a store that was not closed cleanly, and must not be disturbed.
    RecoveryView,
    /// A reader opens the store: it checks the catalogue, and is then out of the way.
    OpeningReader,
    /// A writer opens a store that was not closed cleanly: it cannot be read before it is repaired.
    RepairingWriter,
}

/// A lock that was not had.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Locked {
    /// What holds it.
    pub holder: LockHolder,
    /// The process of a writer, where the system tells which it is.
    pub process: Option<Process>,
    /// How long it was waited for so far.
    pub waited: Duration,
}

impl fmt::Display for Locked {
    /// Who does what, as a clause.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.process, self.holder) {
            (Some(process), LockHolder::Writer) => {
                write!(f, "{process} has the store open for writing")
            }
            (None, LockHolder::Writer) => {
                f.write_str("another process has the store open for writing")
            }
            (_, LockHolder::RecoveryView) => {
                f.write_str("a reader is looking at the store, which was not closed cleanly")
            }
            (_, LockHolder::OpeningReader) => {
                f.write_str("a reader is opening the store, and checks its catalogue")
            }
            (_, LockHolder::RepairingWriter) => {
                f.write_str("a writer is opening the store, which was not closed cleanly")
            }
        }
    }
}

impl Locked {
    /// Who does what, for how long that was waited for, and what to do.
    fn advice(&self) -> String {
        let waited = match self.waited.as_secs() {
            0 => String::new(),
            seconds => format!(", after {seconds} s of waiting"),
        };
        let instead = match self.holder {
            LockHolder::Writer => ", or open the store read-only",
            _ => "",
        };
        format!("{self}{waited}: wait until it is done{instead}")
    }
}

/// What is at a path in place of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoStore {
    /// A folder.
    Folder,
    /// A named pipe.
    Pipe,
    /// A socket.
    Socket,
    /// A device, or what else the system has.
    Device,
    /// A file without a byte.
    EmptyFile,
    /// A file that begins otherwise.
    Other {
        /// Its first bytes, at most 8.
        begins: Vec<u8>,
    },
}

impl fmt::Display for NoStore {
    /// As a clause.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoStore::Folder => f.write_str("it is a folder"),
            NoStore::Pipe => f.write_str("it is a pipe"),
            NoStore::Socket => f.write_str("it is a socket"),
            NoStore::Device => f.write_str("it is a device"),
            NoStore::EmptyFile => f.write_str("the file is empty"),
            NoStore::Other { begins } => {
                write!(f, "the file begins with {:?}", String::from_utf8_lossy(begins))
            }
        }
    }
}

/// What can go wrong with the file itself.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ContainerError {
    /// The operating system refused an operation on the file.
    #[error("{operation} at byte {offset} failed")]
    Io {
        /// What was tried, such as `write`.
        operation: &'static str,
        /// Where in the file.
        offset: u64,
        /// Its answer.
        source: io::Error,
    },
    /// What is there does not begin as a store does, or is not a file.
    #[error("not an mgit store: {found}")]
    NotAStore {
        /// What was found instead.
        found: NoStore,
    },
    /// The file ends before what it must hold.
    #[error(
        "the store is cut off: {expected} bytes are needed, the file has {found}; restore the file \
         from a copy"
    )]
    Truncated {
        /// Bytes that must be there.
        expected: u64,
        /// Length of the file.
        found: u64,
    },
    /// The file is of a format version that this code does not know.
    #[error(
        "the store has format version {found}, this program knows versions up to {supported}: use a \
         newer mgit"
    )]
    NewerVersion {
        /// The file's version.
        found: u64,
        /// The newest version known here.
        supported: u16,
    },
    /// The file uses features that this code does not know.
    #[error(
        "the store uses features ({flags:#x}) that this program {}use a newer mgit",
        if *.writing_only { "cannot write: open it read-only or " } else { "does not know: " }
    )]
    UnknownFeatures {
        /// The unknown flags.
        flags: u64,
        /// Whether they concern writing only; then the store can be opened for reading.
        writing_only: bool,
    },
    /// Bytes that are not what the format says.
    #[error("damaged store, in the structure at byte {offset}")]
    Format {
        /// Where the structure starts in the file.
        offset: u64,
        /// What is wrong in it.
        source: FormatError,
    },
    /// The lock that keeps writers apart is held, and was waited for as long as was allowed.
    #[error("{}", .0.advice())]
    Locked(Box<Locked>),
    /// The file system has no byte-range locks, so that two writers could not be kept apart.
    #[error("the file system has no byte-range locks: copy the store to one that has")]
    NoLocks,
    /// An earlier write or sync failed: this handle writes no more.
    #[error(
        "an earlier write to the store failed, this handle writes no more: open the store again"
    )]
    Poisoned,
    /// The store has been replaced by another file.
    #[error("the store has been replaced by another file: open it again")]
    Retired,
    /// The catalogue would need more extents than a superblock has room for.
    #[error("the catalogue is too scattered to grow: vacuum the store")]
    TooManyExtents,
}

impl ContainerError {
    /// For something at the path of a store that is not a regular file.
    pub(super) fn not_a_file(kind: std::fs::FileType) -> Self {
        use std::os::unix::fs::FileTypeExt;

        let found = match kind {
            kind if kind.is_dir() => NoStore::Folder,
            kind if kind.is_fifo() => NoStore::Pipe,
            kind if kind.is_socket() => NoStore::Socket,
            _ => NoStore::Device,
        };
        ContainerError::NotAStore { found }
    }

    /// For a lock that a writer holds, which was not waited for.
    pub(crate) fn locked_by_writer() -> Self {
        let (holder, process, waited) = (LockHolder::Writer, None, Duration::ZERO);
        ContainerError::Locked(Box::new(Locked { holder, process, waited }))
    }

    /// Wraps an error of the operating system.
    pub fn io(operation: &'static str, offset: u64) -> impl FnOnce(io::Error) -> Self {
        move |source| ContainerError::Io { operation, offset, source }
    }
}
