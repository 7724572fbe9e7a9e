use std::time::Duration;
use std::{fmt, io};

use super::process::Process;
use super::shortage::io_reason;
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

/// What can go wrong with the file itself.
#[derive(Debug)]
#[non_exhaustive]
pub enum ContainerError {
    /// The operating system refused an operation on the file.
    Io {
        /// What was tried, such as `write`.
        operation: &'static str,
        /// Where in the file.
        offset: u64,
        /// Its answer.
        source: io::Error,
    },
    /// What is there does not begin as a store does, or is not a file.
    NotAStore {
        /// What was found instead, as a clause.
        found: String,
    },
    /// The file ends before what it must hold.
    Truncated {
        /// Bytes that must be there.
        expected: u64,
        /// Length of the file.
        found: u64,
    },
    /// The file is of a format version that this code does not know.
    NewerVersion {
        /// The file's version.
        found: u64,
        /// The newest version known here.
        supported: u16,
    },
    /// The file uses features that this code does not know.
    UnknownFeatures {
        /// The unknown flags.
        flags: u64,
        /// Whether they concern writing only; then the store can be opened for reading.
        writing_only: bool,
    },
    /// Bytes that are not what the format says.
    Format {
        /// Where the structure starts in the file.
        offset: u64,
        /// What is wrong in it.
        source: FormatError,
    },
    /// The lock that keeps writers apart is held, and was waited for as long as was allowed.
    Locked(Box<Locked>),
    /// The file system has no byte-range locks, so that two writers could not be kept apart.
    NoLocks,
    /// An earlier write or sync failed: this handle writes no more.
    Poisoned,
    /// The store has been replaced by another file.
    Retired,
    /// The catalogue would need more extents than a superblock has room for.
    TooManyExtents,
}

impl ContainerError {
    /// For something at the path of a store that is not a regular file.
    pub(super) fn not_a_file(kind: std::fs::FileType) -> Self {
        use std::os::unix::fs::FileTypeExt;

        let found = match kind {
            kind if kind.is_dir() => "it is a folder",
            kind if kind.is_fifo() => "it is a pipe",
            kind if kind.is_socket() => "it is a socket",
            _ => "it is a device",
        };
        ContainerError::NotAStore { found: found.to_owned() }
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

impl fmt::Display for ContainerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ContainerError::Io { operation, offset, source } => {
                write!(f, "{operation} at byte {offset} failed: {}", io_reason(source))
            }
            ContainerError::NotAStore { found } => {
                write!(f, "not an mgit store: {found}")
            }
            ContainerError::Truncated { expected, found } => write!(
                f,
                "the store is cut off: {expected} bytes are needed, the file has {found}; \
                 restore the file from a copy"
            ),
            ContainerError::NewerVersion { found, supported } => write!(
                f,
                "the store has format version {found}, this program knows versions up to \
                 {supported}: use a newer mgit"
            ),
            ContainerError::UnknownFeatures { flags, writing_only: true } => write!(
                f,
                "the store uses features ({flags:#x}) that this program cannot write: \
                 open it read-only or use a newer mgit"
            ),
            ContainerError::UnknownFeatures { flags, .. } => write!(
                f,
                "the store uses features ({flags:#x}) that this program does not know: \
                 use a newer mgit"
            ),
            ContainerError::Format { offset, source } => {
                write!(f, "damaged store, in the structure at byte {offset}: {source}")
            }
            ContainerError::Locked(locked) => {
                write!(f, "{locked}")?;
                if locked.waited >= Duration::from_secs(1) {
                    write!(f, ", after {} s of waiting", locked.waited.as_secs())?;
                }
                f.write_str(match locked.holder {
                    LockHolder::Writer => ": wait until it is done, or open the store read-only",
                    _ => ": wait until it is done",
                })
            }
            ContainerError::NoLocks => {
                write!(f, "the file system has no byte-range locks: copy the store to one that has")
            }
            ContainerError::Poisoned => write!(
                f,
                "an earlier write to the store failed, this handle writes no more: \
                 open the store again"
            ),
            ContainerError::Retired => {
                write!(f, "the store has been replaced by another file: open it again")
            }
            ContainerError::TooManyExtents => {
                write!(f, "the catalogue is too scattered to grow: vacuum the store")
            }
        }
    }
}

impl std::error::Error for ContainerError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ContainerError::Io { source, .. } => Some(source),
            ContainerError::Format { source, .. } => Some(source),
            _ => None,
        }
    }
}
