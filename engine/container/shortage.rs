//! Answers of the system that say nothing of the file: something has run out.

use std::{fmt, io};

/// What has run out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Shortage {
    /// Room on the disk, or what of it a user or a file may take.
    Disk,
    /// Files that a process, or the machine, may have open.
    OpenFiles,
    /// Memory, or address space for a map.
    Memory,
}

impl Shortage {
    /// What an answer of the system says has run out.
    pub fn of(error: &io::Error) -> Option<Self> {
        use rustix::io::Errno;
        match error.kind() {
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => return Some(Shortage::Disk),
            io::ErrorKind::OutOfMemory => return Some(Shortage::Memory),
            _ => {}
        }
        if let Some(errno) = Errno::from_io_error(error) {
            let is_files = matches!(errno, Errno::MFILE | Errno::NFILE);
            return is_files.then_some(Shortage::OpenFiles);
        }
        // A wrapped answer keeps its kind, which tells the others, but not its number.
        let mut source = error.get_ref().map(|inner| inner as &(dyn std::error::Error + 'static));
        while let Some(inner) = source {
            if let Some(shortage) = inner.downcast_ref().and_then(Shortage::of) {
                return Some(shortage);
            }
            source = inner.source();
        }
        None
    }

    /// A stable name, for programs.
    pub fn code(self) -> &'static str {
        match self {
            Shortage::Disk => "disk-full",
            Shortage::OpenFiles => "too-many-open-files",
            Shortage::Memory => "out-of-memory",
        }
    }
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Shortage::Disk => "the disk is full: free some room and try again",
            Shortage::OpenFiles => {
                "too many files are open: close some, or raise the limit (`ulimit -n`)"
            }
            Shortage::Memory => {
                "there is no memory or address space for it: free some, or raise the limit \
                 (`ulimit -v`)"
            }
        })
    }
}

/// The stable name of an answer of the system that is about a file of the program's own.
pub(crate) fn io_code(error: &io::Error) -> &'static str {
    match (Shortage::of(error), error.kind()) {
        (Some(shortage), _) => shortage.code(),
        (None, io::ErrorKind::NotFound) => "file-not-found",
        (None, _) => "io",
    }
}

/// Whether an answer of the system says that the disk is full.
pub fn is_disk_full(error: &io::Error) -> bool {
    Shortage::of(error) == Some(Shortage::Disk)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::full_message;

    #[test]
    fn what_has_run_out_is_told() {
        use rustix::io::Errno;
        for (errno, code) in [
            (Errno::NOSPC, "disk-full"),
            (Errno::DQUOT, "disk-full"),
            (Errno::FBIG, "disk-full"),
            (Errno::MFILE, "too-many-open-files"),
            (Errno::NFILE, "too-many-open-files"),
            (Errno::NOMEM, "out-of-memory"),
        ] {
            let error = io::Error::from(errno);
            assert_eq!(Shortage::of(&error).map(Shortage::code), Some(code), "{error}");
            let said = full_message(&error);
            assert!(said.starts_with(&error.to_string()), "{said}");
            assert_eq!(said.contains("try again"), code == "disk-full", "{said}");
            // Wrapped, it is said once.
            let wrapped = io::Error::new(error.kind(), said.clone());
            if Shortage::of(&wrapped).is_some() {
                assert_eq!(full_message(&wrapped), said);
            }
        }
        assert_eq!(Shortage::of(&io::Error::from(Errno::IO)), None);
        let wrapped = io::Error::other(io::Error::other(io::Error::from(Errno::MFILE)));
        assert_eq!(Shortage::of(&wrapped), Some(Shortage::OpenFiles));
    }
}
