//! What a store lies on: a file, or something that behaves as one.

use std::fmt::Debug;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;

use super::error::ContainerError;
use super::locks::{FileLocks, LockSpace};
use super::map::{FileMapping, Mapping, file_len};
use super::writeback::{WRITEBACK_FROM, start_writeback};

/// The file as the container uses it. Every access goes through here, so that a test can put a
/// faulty disk in its place.
///
/// Writes reach the medium in any order until [`sync`](Disk::sync) returns.
pub trait Disk: Debug + Send + Sync + 'static {
    /// Length in bytes.
    fn len(&self) -> io::Result<u64>;

    /// Whether the file is empty.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Bytes of the medium that the file takes: less than its length where it has holes. A disk
    /// that cannot tell says its length.
    fn allocated_len(&self) -> io::Result<u64> {
        self.len()
    }

    /// Fills `out` from `offset`; past the end is an error of kind `UnexpectedEof`.
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()>;

    /// Writes all of `data` at `offset`; past the end makes the file longer.
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()>;

    /// Makes the file `len` bytes long; new bytes are zero.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Returns when everything written and the length are on the medium.
    fn sync(&self) -> io::Result<()>;

    /// Gives the bytes of a range back to the medium; they read as zero from then on, and the
    /// length stays. Says whether this disk can do so: one that cannot leaves them as they are.
    fn punch_hole(&self, _offset: u64, _len: u64) -> io::Result<bool> {
        Ok(false)
    }

    /// What tells the file from every other of this machine; `None` where nothing does.
    fn file_id(&self) -> io::Result<Option<FileId>> {
        Ok(None)
    }

    /// The mode of the file, as a new one is to have it; the umask takes its bits.
    fn mode(&self) -> io::Result<u32> {
        Ok(0o666)
    }

    /// A view of the file that shows later appends too.
    fn map(&self) -> io::Result<Arc<dyn Mapping>>;

    /// A new set of locks on the file. Sets of one disk do not conflict with each other, sets of
    /// disks opened separately do, in any process.
    fn locks(&self) -> io::Result<Box<dyn LockSpace>>;
}

/// Device and number of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileId {
    device: u64,
    number: u64,
}

impl FileId {
    /// That of the file with this metadata.
    pub fn of(metadata: &std::fs::Metadata) -> Self {
        FileId { device: metadata.dev(), number: metadata.ino() }
    }
}

/// A real file.
#[derive(Debug)]
pub struct FileDisk {
    file: File,
}

impl FileDisk {
    /// Uses `file`, opened for reading, or for reading and writing. Its position is moved.
    pub fn new(file: File) -> Self {
        FileDisk { file }
    }

    /// Opens the regular file at `path`, which is resolved once.
    pub(super) fn open(path: &Path, write: bool) -> io::Result<Self> {
        open_regular(path, write).map(FileDisk::new)
    }
}

/// Opens the regular file at `path`, which is resolved once. Never waits: a pipe that nobody
/// writes to would be waited for for ever.
///
/// # Errors
///
/// Those of the operating system; one that holds a [`ContainerError::NotAStore`] for a folder, a
/// pipe, a socket or a device.
pub(crate) fn open_regular(path: &Path, write: bool) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;

    let mut flags = rustix::fs::OFlags::NONBLOCK;
    // A descriptor's path in /proc leads to what may have no name.
    let resolved = path.canonicalize();
    let path = resolved.as_deref().unwrap_or(path);
    if resolved.is_ok() {
        flags |= rustix::fs::OFlags::NOFOLLOW;
    }
    let flags = flags.bits().cast_signed();
    let file = File::options().read(true).write(write).custom_flags(flags).open(path);
    // What cannot be opened, such as a folder for writing, is still to be called what it is.
    let found = file.as_ref().map_or_else(|_| std::fs::metadata(path), File::metadata);
    match found {
        Ok(found) if !found.is_file() => {
            Err(io::Error::other(ContainerError::not_a_file(found.file_type())))
        }
        _ => file,
    }
}

impl Disk for FileDisk {
    fn len(&self) -> io::Result<u64> {
        file_len(&self.file)
    }

    fn allocated_len(&self) -> io::Result<u64> {
        // The operating system counts in units of 512 bytes, whatever the blocks of the medium.
        Ok(self.file.metadata()?.blocks().saturating_mul(512))
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(out, offset)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write_all_at(data, offset)?;
        if data.len() >= WRITEBACK_FROM {
            start_writeback(&self.file, offset, data.len() as u64);
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn punch_hole(&self, offset: u64, len: u64) -> io::Result<bool> {
        use rustix::fs::{FallocateFlags, fallocate};
        use rustix::io::Errno;

        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        match fallocate(&self.file, flags, offset, len) {
            Ok(()) => Ok(true),
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn file_id(&self) -> io::Result<Option<FileId>> {
        Ok(Some(FileId::of(&self.file.metadata()?)))
    }

    fn mode(&self) -> io::Result<u32> {
        Ok(self.file.metadata()?.mode() & 0o777)
    }

    fn map(&self) -> io::Result<Arc<dyn Mapping>> {
        Ok(Arc::new(FileMapping::new(self.file.try_clone()?)?))
    }

    fn locks(&self) -> io::Result<Box<dyn LockSpace>> {
        Ok(Box::new(FileLocks::new(self.file.try_clone()?)?))
    }
}

/// A copy of a range of a disk. A length that the file does not have is refused before memory is
/// asked for.
pub(crate) fn read_disk(disk: &dyn Disk, offset: u64, len: u64) -> Result<Vec<u8>, ContainerError> {
    check_inside(disk, offset, len)?;
    let mut bytes = vec![0; len as usize];
    disk.read_at(offset, &mut bytes).map_err(ContainerError::io("read", offset))?;
    Ok(bytes)
}

/// As [`read_disk`], into the caller's buffer.
pub(super) fn read_disk_into(
    disk: &dyn Disk,
    offset: u64,
    out: &mut [u8],
) -> Result<(), ContainerError> {
    check_inside(disk, offset, out.len() as u64)?;
    disk.read_at(offset, out).map_err(ContainerError::io("read", offset))
}

/// [`ContainerError::Truncated`] where the file ends before the range does: no memory is asked for.
fn check_inside(disk: &dyn Disk, offset: u64, len: u64) -> Result<(), ContainerError> {
    let found = disk.len().map_err(ContainerError::io("read length", 0))?;
    match offset.checked_add(len) {
        Some(end) if end <= found => Ok(()),
        end => Err(ContainerError::Truncated { expected: end.unwrap_or(u64::MAX), found }),
    }
}
