use std::fmt::Debug;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::Arc;

use super::locks::{FileLocks, LockSpace};
use super::map::{FileMapping, Mapping};

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

    /// A view of the file that shows later appends too.
    fn map(&self) -> io::Result<Arc<dyn Mapping>>;

    /// A new set of locks on the file. Sets of one disk do not conflict with each other, sets of
    /// disks opened separately do, in any process.
    fn locks(&self) -> io::Result<Box<dyn LockSpace>>;
}

/// A real file.
#[derive(Debug)]
pub struct FileDisk {
    file: File,
}

impl FileDisk {
    /// Uses `file`, opened for reading, or for reading and writing.
    pub fn new(file: File) -> Self {
        FileDisk { file }
    }
}

impl Disk for FileDisk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn allocated_len(&self) -> io::Result<u64> {
        // The operating system counts in units of 512 bytes, whatever the blocks of the medium.
        Ok(self.file.metadata()?.blocks().saturating_mul(512))
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(out, offset)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write_all_at(data, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn map(&self) -> io::Result<Arc<dyn Mapping>> {
        Ok(Arc::new(FileMapping::new(self.file.try_clone()?)?))
    }

    fn locks(&self) -> io::Result<Box<dyn LockSpace>> {
        Ok(Box::new(FileLocks::new(self.file.try_clone()?)?))
    }
}
