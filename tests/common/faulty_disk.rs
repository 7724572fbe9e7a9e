//! A disk that fails its Nth change, once or for ever.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use mgit::container::{Disk, FileDisk, LockSpace, Mapping};

/// What kind of change is counted and fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Write,
    Sync,
    SetLen,
    Any,
}

/// When a disk fails.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Which changes count.
    pub change: Change,
    /// The number, from 1, of the one that fails.
    pub at: u64,
    /// Whether all behind it fail too.
    pub for_ever: bool,
    /// The error.
    pub kind: io::ErrorKind,
}

/// A file whose changes fail as planned. A failing write leaves half of its bytes.
#[derive(Debug)]
pub struct FaultyDisk {
    inner: FileDisk,
    plan: Plan,
    armed: AtomicBool,
    count: AtomicU64,
    failed: AtomicU64,
}

impl FaultyDisk {
    pub fn open(path: &Path, plan: Plan) -> Arc<Self> {
        let file = File::options().read(true).write(true).open(path).expect("the store's file");
        Arc::new(FaultyDisk {
            inner: FileDisk::new(file),
            plan,
            armed: AtomicBool::new(true),
            count: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        })
    }

    /// How many changes have failed.
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::SeqCst)
    }

    /// Counts from here on, and fails as planned.
    pub fn arm(&self) {
        self.count.store(0, Ordering::SeqCst);
        self.armed.store(true, Ordering::SeqCst);
    }

    /// Fails no more.
    pub fn heal(&self) {
        self.armed.store(false, Ordering::SeqCst);
    }

    fn change(&self, change: Change) -> io::Result<()> {
        if !self.armed.load(Ordering::SeqCst)
            || (self.plan.change != Change::Any && self.plan.change != change)
        {
            return Ok(());
        }
        let count = self.count.fetch_add(1, Ordering::SeqCst) + 1;
        if count == self.plan.at || (self.plan.for_ever && count > self.plan.at) {
            self.failed.fetch_add(1, Ordering::SeqCst);
            return Err(io::Error::new(self.plan.kind, "planned fault"));
        }
        Ok(())
    }
}

impl Disk for FaultyDisk {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.inner.read_at(offset, out)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        if let Err(error) = self.change(Change::Write) {
            self.inner.write_at(offset, &data[..data.len() / 2])?;
            return Err(error);
        }
        self.inner.write_at(offset, data)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change(Change::SetLen)?;
        self.inner.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.change(Change::Sync)?;
        self.inner.sync()
    }

    fn map(&self) -> io::Result<Arc<dyn Mapping>> {
        self.inner.map()
    }

    fn locks(&self) -> io::Result<Box<dyn LockSpace>> {
        self.inner.locks()
    }
}
