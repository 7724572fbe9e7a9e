//! The catalogue's storage: redb's `StorageBackend` over the extents of the file.

use std::io;
use std::ops::Bound;
use std::sync::Arc;

use redb::{BackendError, StorageBackend};

use super::error::ContainerError;
use super::locks::LockSpace;
use super::open::Container;
use super::page_checks::{HEADER_LEN, PageChecks};

/// redb's view of the container. Of a writer's: reads and writes. Of a follower's: reads, and
/// knows the extents that a writer adds.
#[derive(Debug)]
pub(crate) struct CatalogBackend {
    container: Arc<Container>,
    /// redb's own locks, apart from the container's, so that closing one leaves the other.
    locks: Box<dyn LockSpace>,
    /// Of a follower's: the pages are checked as they are read, and nothing is written.
    checks: Option<PageChecks>,
}

impl CatalogBackend {
    /// A backend over `container`, to write. Whoever opens the database has it check every page.
    ///
    /// # Errors
    ///
    /// Those of the disk.
    pub(crate) fn to_write(container: Arc<Container>) -> Result<Self, ContainerError> {
        Self::new(container, None)
    }

    /// A backend over `container`, to read. What is read is checked: damage is a [`FormatError`]
    /// below the error of the system.
    ///
    /// # Errors
    ///
    /// Those of the disk.
    ///
    /// [`FormatError`]: crate::format::FormatError
    pub(crate) fn to_read(container: Arc<Container>) -> Result<Self, ContainerError> {
        Self::new(container, Some(PageChecks::default()))
    }

    fn new(container: Arc<Container>, checks: Option<PageChecks>) -> Result<Self, ContainerError> {
        let locks = container.disk().locks().map_err(ContainerError::io("lock", 0))?;
        Ok(CatalogBackend { container, locks, checks })
    }

    /// Refuses to write where the pages are only read, or where an earlier write has failed.
    fn check_writable(&self) -> io::Result<()> {
        match self.checks {
            Some(_) => Err(io::ErrorKind::PermissionDenied.into()),
            None => self.container.check_writable().map_err(to_io),
        }
    }

    /// Reads as of the last list of extents.
    fn read_current(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if self.container.is_writer() {
            return read_catalog(&self.container, offset, out);
        }
        if offset == 0 && out.len() >= HEADER_LEN {
            // redb's header is read at the start of every snapshot. The extents of what it names
            // were in the superblock before it was written, so read them after it.
            read_catalog(&self.container, offset, out)?;
            return self.container.reload().map_err(to_io);
        }
        read_catalog(&self.container, offset, out).or_else(|_| {
            self.container.reload().map_err(to_io)?;
            read_catalog(&self.container, offset, out)
        })
    }
}

/// The operating system's own error where there is one.
fn to_io(error: ContainerError) -> io::Error {
    match error {
        ContainerError::Io { source, .. } => source,
        other => io::Error::other(other),
    }
}

/// Reads a range of the catalogue. Where the file ends inside an extent, nothing was ever
/// committed: it reads as zero (rule 6).
pub(super) fn read_catalog(container: &Container, offset: u64, out: &mut [u8]) -> io::Result<()> {
    let pieces = container.catalog_pieces(offset, out.len() as u64);
    let mut rest = out;
    for piece in pieces {
        let (part, behind) = rest
            .split_at_mut_checked(piece.len as usize)
            .ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        rest = behind;
        match container.disk().read_at(piece.offset, part) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                read_up_to_end(container, piece.offset, part)?;
            }
            result => result?,
        }
    }
    if rest.is_empty() {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::UnexpectedEof,
        format!("catalogue range at {offset} ends {} bytes behind its extents", rest.len()),
    ))
}

fn read_up_to_end(container: &Container, offset: u64, out: &mut [u8]) -> io::Result<()> {
    let there = container.disk().len()?.saturating_sub(offset).min(out.len() as u64);
    let (head, tail) = out.split_at_mut(there as usize);
    container.disk().read_at(offset, head)?;
    tail.fill(0);
    Ok(())
}

impl StorageBackend for CatalogBackend {
    fn len(&self) -> io::Result<u64> {
        if !self.container.is_writer() {
            self.container.reload().map_err(to_io)?;
        }
        Ok(self.container.catalog_len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.read_current(offset, out)?;
        let Some(checks) = &self.checks else { return Ok(()) };
        let checked = checks.check(offset, out, self.container.catalog_len());
        checked.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.check_writable()?;
        self.container.set_catalog_len(len).map_err(to_io)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.check_writable()?;
        self.container.sync().map_err(to_io)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let container = &self.container;
        self.check_writable()?;
        let mut rest = data;
        for piece in container.catalog_pieces(offset, data.len() as u64) {
            let (part, behind) = rest
                .split_at_checked(piece.len as usize)
                .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
            rest = behind;
            let written = container.disk().write_at(piece.offset, part);
            let written = written.map_err(ContainerError::io("write", piece.offset));
            container.poison_on_error(written).map_err(to_io)?;
        }
        if rest.is_empty() {
            return Ok(());
        }
        Err(io::Error::new(io::ErrorKind::InvalidInput, "a write behind the catalogue's end"))
    }

    fn close(&self) -> io::Result<()> {
        if self.checks.is_none() {
            // The last that the database writes is written. What fails now stays for the next
            // writer.
            let _ = self.container.give_back_end();
        }
        self.locks.unlock_all()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.locks.try_lock((start, end), false)
    }

    fn try_lock_shared_range(
        &self,
        start: Bound<u64>,
        end: Bound<u64>,
    ) -> Result<bool, BackendError> {
        self.locks.try_lock((start, end), true)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.locks.lock((start, end), false)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.locks.lock((start, end), true)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.locks.unlock((start, end))
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.locks.is_locked((start, end))
    }
}
