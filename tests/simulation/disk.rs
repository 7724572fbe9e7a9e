//! The simulated disk: a file in memory that remembers every write, change of length and sync.

use std::fs::File;
use std::io;
use std::ops::Bound;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mgit::container::{Disk, FileDisk, LockSpace, Mapping, SNAPSHOT_LOCK_BASE};
use mgit::format::{DATA_START, Extent, SUPERBLOCK_LEN, Superblock};
use redb::BackendError;
use tempfile::NamedTempFile;

use super::faults::{Call, Dropped, Fault, Faults};
use super::plain::PlainStore;
use crate::common::Random;

/// A rule of `docs/architecture.md` that this disk can break, to see whether the tests notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// 1, broken: a new store has its name from the first byte on.
    MadeAside,
    /// 2, broken: the sync before a commit leaves the records to the sync behind it.
    RecordsFirst,
    /// 3, broken: both slots of the superblock lie in the same place.
    TwoSlots,
    /// 4, broken: a superblock is left to the second sync behind its own.
    SuperblockSynced,
    /// 5, broken: the sync that makes a commit durable leaves it to the next one, so that what the
    /// commit has freed is used again before.
    FreedWhenDurable,
    /// 5, broken: snapshots of other handles are not seen.
    FreedWhenUnread,
    /// 6, broken: what lies behind the end of the file is an error, and a file that is shorter than
    /// its superblock says stays so.
    ZeroBehindTheEnd,
    /// 7, broken: after each commit the file is cut off behind what that commit needs, whoever reads.
    CutWhenUnread,
}

impl Rule {
    /// Every rule.
    pub const ALL: [Rule; 8] = [
        Rule::MadeAside,
        Rule::RecordsFirst,
        Rule::TwoSlots,
        Rule::SuperblockSynced,
        Rule::FreedWhenDurable,
        Rule::FreedWhenUnread,
        Rule::ZeroBehindTheEnd,
        Rule::CutWhenUnread,
    ];

    /// Its number in the table.
    pub fn number(self) -> u8 {
        match self {
            Rule::MadeAside => 1,
            Rule::RecordsFirst => 2,
            Rule::TwoSlots => 3,
            Rule::SuperblockSynced => 4,
            Rule::FreedWhenDurable | Rule::FreedWhenUnread => 5,
            Rule::ZeroBehindTheEnd => 6,
            Rule::CutWhenUnread => 7,
        }
    }
}

/// What the test says between the calls: what a store must hold from here on.
#[derive(Clone, Debug)]
pub enum Mark {
    /// The store has its name.
    Visible(Arc<PlainStore>),
    /// A commit of this state has begun.
    Trying(Arc<PlainStore>),
    /// It has been promised.
    Promised,
    /// It failed, and this is what was found afterwards.
    Found(Arc<PlainStore>),
}

/// One call, or one thing said.
#[derive(Clone, Debug)]
pub enum Entry {
    /// Bytes written.
    Write {
        /// Where.
        offset: u64,
        /// What.
        data: Arc<[u8]>,
    },
    /// The length set.
    SetLen(u64),
    /// A range given back: zeros.
    Punch {
        /// Where.
        offset: u64,
        /// How much.
        len: u64,
    },
    /// Everything before is on the medium, but for these entries.
    Sync {
        /// Left to the next sync.
        left: Vec<usize>,
        /// Never to be written.
        lost: Vec<usize>,
    },
    /// What the test says.
    Mark(Mark),
}

/// What was there, and what was done to it.
#[derive(Clone, Debug)]
pub struct Recording {
    /// The medium before.
    pub start: Vec<u8>,
    /// What was done, in order.
    pub entries: Vec<Entry>,
}

#[derive(Debug)]
struct Log {
    recording: Recording,
    /// Writes and lengths that no sync has covered.
    unsynced: Vec<usize>,
    /// The catalogue's extents as the last superblock written says.
    extents: Vec<Extent>,
    faults: Faults,
    /// Chooses what a failed sync drops; without it, all.
    drops: Option<Random>,
}

/// A file in memory, as a store's disk. Reads show everything written; [`Recording`] tells what
/// the medium has of it.
#[derive(Debug)]
pub struct SimDisk {
    file: Arc<NamedTempFile>,
    disk: FileDisk,
    off: Option<Rule>,
    log: Mutex<Log>,
}

fn temporary() -> io::Result<NamedTempFile> {
    // Where there is such a folder, files in it are memory.
    let mut builder = tempfile::Builder::new();
    let builder = builder.prefix("mgit-sim-");
    builder.tempfile_in("/dev/shm").or_else(|_| builder.tempfile())
}

impl SimDisk {
    /// A disk with these bytes on it, that breaks a rule or none.
    pub fn new(start: Vec<u8>, off: Option<Rule>) -> Arc<Self> {
        let file = Arc::new(temporary().expect("a temporary file"));
        std::fs::write(file.path(), &start).expect("room in memory");
        Self::on(file, start, off)
    }

    /// The same disk for another handle, which is not to write: that would not be recorded.
    pub fn again(&self) -> Arc<Self> {
        Self::on(Arc::clone(&self.file), Vec::new(), self.off)
    }

    fn on(file: Arc<NamedTempFile>, start: Vec<u8>, off: Option<Rule>) -> Arc<Self> {
        let disk = FileDisk::new(file.reopen().expect("the temporary file"));
        let slots = start.chunks(SUPERBLOCK_LEN).take(2).filter_map(|s| Superblock::decode(s).ok());
        let newest = slots.max_by_key(|superblock| superblock.generation);
        let log = Log {
            recording: Recording { start, entries: Vec::new() },
            unsynced: Vec::new(),
            extents: newest.map(|superblock| superblock.extents).unwrap_or_default(),
            faults: Faults::default(),
            drops: None,
        };
        Arc::new(SimDisk { file, disk, off, log: Mutex::new(log) })
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// The rule it breaks.
    pub fn off(&self) -> Option<Rule> {
        self.off
    }

    /// Says something in the recording.
    pub fn mark(&self, mark: Mark) {
        self.log().recording.entries.push(Entry::Mark(mark));
    }

    /// Counts calls from here on, and fails as planned. `seed` chooses what a failed sync drops; 0
    /// chooses all.
    pub fn arm(&self, fault: Fault, seed: u64) {
        let mut log = self.log();
        log.faults.arm(Some(fault));
        log.drops = (seed > 0).then_some(Random(seed));
    }

    /// Fails no more.
    pub fn heal(&self) {
        self.log().faults.heal();
    }

    /// How many calls have failed since it was armed.
    pub fn failed(&self) -> u64 {
        self.log().faults.failed
    }

    /// What was done so far.
    pub fn recording(&self) -> Recording {
        self.log().recording.clone()
    }

    /// Everything that can be read.
    pub fn bytes(&self) -> Vec<u8> {
        std::fs::read(self.path()).expect("the file in memory")
    }

    /// Where a superblock goes, and every other write.
    fn place(&self, offset: u64) -> u64 {
        match self.off {
            Some(Rule::TwoSlots) if offset == SUPERBLOCK_LEN as u64 => 0,
            _ => offset,
        }
    }

    /// The unsynced entries that a sync leaves alone because a rule is broken.
    fn left_alone(&self, log: &Log) -> Vec<usize> {
        let writes = |what: &dyn Fn(u64, usize) -> bool| {
            let is = |at: &usize| match &log.recording.entries[*at] {
                Entry::Write { offset, data } => what(*offset, data.len()),
                _ => false,
            };
            log.unsynced.iter().copied().filter(is).collect::<Vec<_>>()
        };
        let in_catalog = |offset| {
            log.extents.iter().any(|extent| (extent.offset..extent.end()).contains(&offset))
        };
        let is_record = |offset, _| offset >= DATA_START && !in_catalog(offset);
        let is_superblock = |offset, _| offset < DATA_START;
        match self.off {
            Some(Rule::RecordsFirst) => writes(&is_record),
            Some(Rule::SuperblockSynced) => writes(&is_superblock),
            Some(Rule::FreedWhenDurable) => {
                // The second sync of a commit has the catalogue's first page to write, alone.
                let first = log.extents.first().map(|extent| extent.offset);
                let header = writes(&|offset, _| Some(offset) == first);
                let others = writes(&|offset, _| offset >= DATA_START && Some(offset) != first);
                if others.is_empty() { header } else { Vec::new() }
            }
            _ => Vec::new(),
        }
    }

    /// Shows again what was there before some unsynced writes.
    fn take_back(&self, log: &Log, lost: &[usize]) {
        let mut medium = super::power_cut::Medium::new(&log.recording);
        medium.advance(log.recording.entries.len());
        let mut bytes = medium.durable().to_vec();
        for at in log.unsynced.iter().filter(|at| !lost.contains(at)) {
            super::power_cut::apply(&log.recording.entries[*at], &mut bytes);
        }
        let len = self.disk.len().expect("the file in memory") as usize;
        bytes.resize(bytes.len().max(len), 0);
        self.disk.write_at(0, &bytes).expect("room in memory");
    }
}

impl Disk for SimDisk {
    fn len(&self) -> io::Result<u64> {
        self.disk.len()
    }

    fn allocated_len(&self) -> io::Result<u64> {
        self.disk.allocated_len()
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if let Some((error, _)) = self.log().faults.meet(Call::Read) {
            let half = out.len() / 2;
            self.disk.read_at(offset, &mut out[..half])?;
            return Err(error);
        }
        match self.disk.read_at(self.place(offset), out) {
            Ok(())
                if self.off == Some(Rule::TwoSlots)
                    && offset == 0
                    && out.len() > SUPERBLOCK_LEN =>
            {
                let (first, second) = out.split_at_mut(SUPERBLOCK_LEN);
                let both = first.len().min(second.len());
                second[..both].copy_from_slice(&first[..both]);
                Ok(())
            }
            Err(_) if self.off == Some(Rule::ZeroBehindTheEnd) => {
                Err(io::Error::other("behind the end of the file"))
            }
            result => result,
        }
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut log = self.log();
        let fault = log.faults.meet(Call::Write);
        let data = if fault.is_some() { &data[..data.len() / 2] } else { data };
        if offset < DATA_START
            && let Ok(superblock) = Superblock::decode(data)
        {
            log.extents = superblock.extents;
        }
        let offset = self.place(offset);
        self.disk.write_at(offset, data)?;
        let at = log.recording.entries.len();
        log.recording.entries.push(Entry::Write { offset, data: data.into() });
        log.unsynced.push(at);
        fault.map_or(Ok(()), |(error, _)| Err(error))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut log = self.log();
        if let Some((error, _)) = log.faults.meet(Call::SetLen) {
            return Err(error);
        }
        let end = log.extents.iter().map(Extent::end).max().unwrap_or_default();
        if self.off == Some(Rule::ZeroBehindTheEnd) && self.disk.len()? < end {
            return Ok(());
        }
        self.disk.set_len(len)?;
        let at = log.recording.entries.len();
        log.recording.entries.push(Entry::SetLen(len));
        log.unsynced.push(at);
        Ok(())
    }

    fn punch_hole(&self, offset: u64, len: u64) -> io::Result<bool> {
        let mut log = self.log();
        if !self.disk.punch_hole(offset, len)? {
            return Ok(false);
        }
        let at = log.recording.entries.len();
        log.recording.entries.push(Entry::Punch { offset, len });
        log.unsynced.push(at);
        Ok(true)
    }

    fn sync(&self) -> io::Result<()> {
        let mut log = self.log();
        if let Some((error, dropped)) = log.faults.meet(Call::Sync) {
            if dropped != Dropped::Nothing {
                let mut drops = log.drops.take();
                let is_lost = |_: &usize| drops.as_mut().is_none_or(|random| random.below(2) == 0);
                let lost: Vec<usize> = log.unsynced.iter().copied().filter(is_lost).collect();
                log.drops = drops;
                if dropped == Dropped::Visibly {
                    self.take_back(&log, &lost);
                }
                log.unsynced.retain(|at| !lost.contains(at));
                let left = log.unsynced.clone();
                log.recording.entries.push(Entry::Sync { left, lost });
            }
            return Err(error);
        }
        // Not what the syncs before have left as often as they may.
        let times = if self.off == Some(Rule::SuperblockSynced) { 2 } else { 1 };
        let syncs = log.recording.entries.iter().enumerate().rev();
        let mut syncs = syncs.filter(|(_, entry)| matches!(entry, Entry::Sync { .. }));
        let since = syncs.nth(times - 1).map_or(0, |(at, _)| at + 1);
        let mut left = self.left_alone(&log);
        left.retain(|at| *at >= since);
        log.unsynced.clone_from(&left);
        log.recording.entries.push(Entry::Sync { left, lost: Vec::new() });
        Ok(())
    }

    fn map(&self) -> io::Result<Arc<dyn Mapping>> {
        let file = File::open(self.path())?;
        Ok(Arc::new(SimMapping { file, inner: self.disk.map()? }))
    }

    fn locks(&self) -> io::Result<Box<dyn LockSpace>> {
        let is_blind = self.off == Some(Rule::FreedWhenUnread);
        Ok(Box::new(SimLocks { inner: self.disk.locks()?, is_blind }))
    }
}

/// A map that refuses what lies behind the end of the file, where a real one gives a signal.
#[derive(Debug)]
struct SimMapping {
    file: File,
    inner: Arc<dyn Mapping>,
}

impl Mapping for SimMapping {
    unsafe fn bytes(&self, offset: u64, len: u64) -> Option<&[u8]> {
        let there = self.file.metadata().ok()?.len();
        let end = offset.checked_add(len).filter(|end| *end <= there)?;
        // SAFETY: the caller has the same duty.
        unsafe { self.inner.bytes(offset, end - offset) }
    }
}

/// The locks of a real file; blind ones see no snapshot of another handle.
#[derive(Debug)]
struct SimLocks {
    inner: Box<dyn LockSpace>,
    is_blind: bool,
}

type Range = (Bound<u64>, Bound<u64>);

impl LockSpace for SimLocks {
    fn try_lock(&self, range: Range, shared: bool) -> Result<bool, BackendError> {
        self.inner.try_lock(range, shared)
    }

    fn lock(&self, range: Range, shared: bool) -> Result<(), BackendError> {
        self.inner.lock(range, shared)
    }

    fn unlock(&self, range: Range) -> Result<(), BackendError> {
        self.inner.unlock(range)
    }

    fn is_locked(&self, range: Range) -> Result<bool, BackendError> {
        let from = match range.0 {
            Bound::Included(from) | Bound::Excluded(from) => from,
            Bound::Unbounded => 0,
        };
        // The catalogue's own lock bytes begin at 2^62.
        if self.is_blind && (SNAPSHOT_LOCK_BASE..1 << 62).contains(&from) {
            return Ok(false);
        }
        self.inner.is_locked(range)
    }

    fn unlock_all(&self) -> io::Result<()> {
        self.inner.unlock_all()
    }
}
