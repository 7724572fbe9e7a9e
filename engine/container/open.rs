//! The open file: superblock, catalogue extents, syncs.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::format::{
    DATA_START, Extent, FORMAT_VERSION, FormatError, PAGE_ALIGN, SUPERBLOCK_LEN, StoreState,
    Superblock, WRITER_FLAGS_KNOWN,
};

use super::disk::{Disk, FileDisk, read_disk, read_disk_into};
use super::error::ContainerError;
use super::extents::ExtentMap;
use super::locks::lock_error;
use super::locks::{LockSpace, WRITER_LOCK_BYTE, announce_view, byte};
use super::map::Mapping;
use super::pins::Pins;
use super::space::Space;
use super::superblock_slots::{Slots, other_slot_agrees, read_superblock, superblock_slots};
use super::waiting::{Waiting, lock_for_writing};

/// A longer extent is not taken from free space: zeros would have to be written over all of it.
const EXTENT_INSIDE_MAX: u64 = 1 << 20;

/// What a container is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Reading and writing; keeps other writers out.
    Write,
    /// Reading what a writer, if there is one, commits.
    Follow,
    /// Reading while no writer is let in.
    View,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) superblock: Superblock,
    pub(super) extents: ExtentMap,
    /// The superblock in memory says something else than the one in the file.
    pub(super) superblock_dirty: bool,
    /// The other slot says less than the current one.
    superblock_lonely: bool,
    /// The superblock as it was read, until it is written: the medium may not have it. Where a
    /// sync failed before, the system may show what it has not written and never will.
    superblock_unsure: Option<Superblock>,
    pub(super) space: Space,
    /// Whether `space` knows what the records leave free.
    pub(super) space_known: bool,
    /// Whether the catalogue grows behind everything, wherever there is room.
    pub(super) grow_behind: bool,
    /// The last commit, where `space` is known.
    pub(super) last_commit: u64,
}

/// The one file, open.
#[derive(Debug)]
pub struct Container {
    pub(super) disk: Arc<dyn Disk>,
    mapping: Arc<dyn Mapping>,
    pub(super) pins: Arc<Pins>,
    /// Holds the writer's byte in the modes that lock it.
    writer_lock: Box<dyn LockSpace>,
    access: Access,
    state: Mutex<State>,
    poisoned: AtomicBool,
    /// Length of the file before its extents were covered, where they had to be.
    pub(super) found_len: AtomicU64,
}

impl Container {
    /// Makes a new store of an empty disk. The caller creates the catalogue, and makes the file
    /// visible under its name only when that is synced (rule 1).
    ///
    /// # Errors
    ///
    /// Those of the disk.
    pub fn create(disk: Arc<dyn Disk>, store_id: [u8; 16]) -> Result<Self, ContainerError> {
        let superblock = Superblock {
            format_version: FORMAT_VERSION,
            state: StoreState::Live,
            store_id,
            generation: 0,
            reader_flags: 0,
            writer_flags: 0,
            catalog_len: 0,
            extents: Vec::new(),
        };
        disk.set_len(DATA_START).map_err(ContainerError::io("set length", 0))?;
        let lock = {
            let disk = Arc::clone(&disk);
            move |locks: &dyn LockSpace| lock_for_writing(locks, &*disk, &Waiting::default())
        };
        let container = Self::assemble(disk, Access::Write, lock, || Ok(superblock))?;
        {
            let mut state = container.state();
            (state.superblock_dirty, state.superblock_unsure) = (true, None);
        }
        Ok(container)
    }

    /// Opens a store to read and write it.
    ///
    /// # Errors
    ///
    /// [`ContainerError::Locked`] while another writer has it open; what is wrong with the file.
    pub fn open_writer(disk: Arc<dyn Disk>) -> Result<Self, ContainerError> {
        Self::open_writer_waiting(disk, &Waiting::default())
    }

    /// As [`open_writer`](Self::open_writer), waiting for whoever holds the writer's lock.
    ///
    /// # Errors
    ///
    /// As there, at the limit.
    pub fn open_writer_waiting(
        disk: Arc<dyn Disk>,
        waiting: &Waiting,
    ) -> Result<Self, ContainerError> {
        let reading = Arc::clone(&disk);
        let lock = |locks: &dyn LockSpace| lock_for_writing(locks, &*reading, waiting);
        let superblock = || read_superblock(&*reading);
        let container = Self::assemble(disk, Access::Write, lock, superblock)?;
        let superblock = container.superblock();
        if superblock.state == StoreState::Retired {
            return Err(ContainerError::Retired);
        }
        let unknown = superblock.writer_flags & !WRITER_FLAGS_KNOWN;
        if unknown != 0 {
            return Err(ContainerError::UnknownFeatures { flags: unknown, writing_only: true });
        }
        let is_lonely = !other_slot_agrees(&*container.disk, &superblock)?;
        container.state().superblock_lonely = is_lonely;
        Ok(container)
    }

    /// [`ContainerError::Truncated`] when the file ends before the end of the catalogue's extents.
    /// That alone is no damage: see [`cover_extents`](Self::cover_extents).
    pub(crate) fn check_extents(&self) -> Result<(), ContainerError> {
        let expected = self.state().extents.end();
        match self.disk_len()? {
            found if found < expected => Err(ContainerError::Truncated { expected, found }),
            _ => Ok(()),
        }
    }

    /// Makes the file as long as the catalogue's extents. A superblock that outlived a power cut
    /// may name extents that the file's length did not outlive. Nothing was committed there: they
    /// are new and zero (rule 6). The catalogue has been found sound before.
    pub(crate) fn cover_extents(&self) -> Result<(), ContainerError> {
        if self.check_extents().is_ok() {
            return Ok(());
        }
        self.check_writable()?;
        let end = self.state().extents.end();
        self.found_len.store(self.disk_len()?, Ordering::Relaxed);
        let result = self.disk.set_len(end).map_err(ContainerError::io("set length", end));
        self.poison_on_error(result)
    }

    /// Whether nothing shows that the last writer did not end well, so far as the superblock tells.
    pub(crate) fn ended_well(&self) -> bool {
        self.check_extents().is_ok() && !self.state().superblock_lonely
    }

    /// Runs `work` while no writer is let in; `None` while there is another one.
    ///
    /// # Errors
    ///
    /// Those of `work`; lock calls that fail.
    pub(crate) fn without_writers<T, E: From<ContainerError>>(
        &self,
        work: impl FnOnce() -> Result<T, E>,
    ) -> Result<Option<T>, E> {
        if self.access != Access::Follow {
            return work().map(Some);
        }
        let writer = byte(WRITER_LOCK_BYTE);
        if !self.writer_lock.try_lock(writer, true).map_err(lock_error)? {
            return Ok(None);
        }
        let result = work();
        self.writer_lock.unlock(writer).map_err(lock_error)?;
        result.map(Some)
    }

    /// Makes the other slot of the superblock say what the current one says, where a crash has
    /// left it torn or behind. The catalogue has been found sound before.
    pub(crate) fn settle_superblock(&self) -> Result<(), ContainerError> {
        let is_lonely = self.state().superblock_lonely;
        if is_lonely { self.sync() } else { Ok(()) }
    }

    /// Opens a store to read what a writer, if there is one, commits.
    ///
    /// # Errors
    ///
    /// What is wrong with the file.
    pub fn open_follower(disk: Arc<dyn Disk>) -> Result<Self, ContainerError> {
        let reading = Arc::clone(&disk);
        Self::assemble(disk, Access::Follow, |_| Ok(()), || read_superblock(&*reading))
    }

    /// Opens a store to read it while no writer is let in; `None` while there is one.
    ///
    /// # Errors
    ///
    /// What is wrong with the file.
    pub fn open_view(disk: Arc<dyn Disk>) -> Result<Option<Self>, ContainerError> {
        let reading = Arc::clone(&disk);
        let lock = |locks: &dyn LockSpace| match locks
            .try_lock(byte(WRITER_LOCK_BYTE), true)
            .map_err(lock_error)?
        {
            true => Ok(()),
            false => Err(ContainerError::locked_by_writer()),
        };
        match Self::assemble(disk, Access::View, lock, || read_superblock(&*reading)) {
            Err(ContainerError::Locked(_)) => Ok(None),
            result => result.map(Some),
        }
    }

    /// Says to writers that this view stays, and they have to wait for it.
    ///
    /// # Errors
    ///
    /// Lock calls that fail.
    pub(crate) fn stay(&self) -> Result<(), ContainerError> {
        announce_view(&*self.writer_lock)
    }

    fn assemble(
        disk: Arc<dyn Disk>,
        access: Access,
        lock: impl FnOnce(&dyn LockSpace) -> Result<(), ContainerError>,
        superblock: impl FnOnce() -> Result<Superblock, ContainerError>,
    ) -> Result<Self, ContainerError> {
        let lock_space = || disk.locks().map_err(ContainerError::io("lock", 0));
        let writer_lock = lock_space()?;
        lock(&*writer_lock)?;
        let superblock = superblock()?;
        let extents = ExtentMap::new(superblock.extents.clone());
        let pins = Pins::new(lock_space()?);
        let mapping = disk.map().map_err(ContainerError::io("map", 0))?;
        let state = State {
            superblock_unsure: (access == Access::Write).then(|| superblock.clone()),
            superblock,
            extents,
            superblock_dirty: false,
            superblock_lonely: false,
            space: Space::default(),
            space_known: false,
            grow_behind: false,
            last_commit: 0,
        };
        let poisoned = AtomicBool::new(false);
        let state = Mutex::new(state);
        let found_len = AtomicU64::new(u64::MAX);
        Ok(Container { disk, mapping, pins, writer_lock, access, state, poisoned, found_len })
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        // A panic while the state was held is a bug of ours; the state itself is only plain data.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The disk below, for what reads past the map.
    pub(crate) fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    pub(crate) fn is_writer(&self) -> bool {
        self.access == Access::Write
    }

    /// Length of the file.
    ///
    /// # Errors
    ///
    /// Those of the disk.
    pub fn disk_len(&self) -> Result<u64, ContainerError> {
        self.disk.len().map_err(ContainerError::io("read length", 0))
    }

    /// Bytes of the medium that the file takes.
    ///
    /// # Errors
    ///
    /// Those of the disk.
    pub fn allocated_len(&self) -> Result<u64, ContainerError> {
        self.disk.allocated_len().map_err(ContainerError::io("read length", 0))
    }

    /// What each slot of the superblock says in the file now.
    ///
    /// # Errors
    ///
    /// Those of the disk. What is wrong with a slot is in the result.
    pub fn superblock_slots(&self) -> Result<Slots, ContainerError> {
        superblock_slots(&*self.disk)
    }

    /// The superblock as this handle sees it now.
    pub fn superblock(&self) -> Superblock {
        let state = self.state();
        let mut superblock = state.superblock.clone();
        superblock.extents = state.extents.as_slice().to_vec();
        superblock
    }

    /// Whether another file has taken this one's place.
    pub fn is_retired(&self) -> bool {
        self.state().superblock.state == StoreState::Retired
    }

    /// The snapshots of this store.
    pub(crate) fn pins(&self) -> &Arc<Pins> {
        &self.pins
    }

    /// The bytes `offset..offset + len` of a record that snapshots keep as long as the map lives,
    /// for the caller alone to write to; `None` where they have to be copied.
    pub(crate) fn private(&self, offset: u64, len: u64) -> Option<memmap2::MmapMut> {
        // SAFETY: as of `bytes`; the caller holds a snapshot that names the record.
        unsafe { self.mapping.private(offset, len) }
    }

    /// The bytes `offset..offset + len` of a record, through the map.
    ///
    /// # Errors
    ///
    /// [`ContainerError::Truncated`] when the file ends before; that there is no room for a map.
    pub(crate) fn bytes(&self, offset: u64, len: u64) -> Result<&[u8], ContainerError> {
        // SAFETY: records are written before they are named, their bytes do not change then, and
        // their places are used again only when every snapshot that could name them is gone. That
        // only such ranges are asked for is this crate's own business: no other can.
        let bytes = unsafe { self.mapping.bytes(offset, len) };
        bytes.ok_or_else(|| {
            let (expected, len) = (offset.saturating_add(len), self.disk.len());
            match len {
                // The file has grown, and there was no address space for another map.
                Ok(len) if len >= expected => {
                    let source = std::io::ErrorKind::OutOfMemory.into();
                    ContainerError::Io { operation: "map", offset, source }
                }
                len => ContainerError::Truncated { expected, found: len.unwrap_or(0) },
            }
        })
    }

    /// A copy of the bytes `offset..offset + len`, read from the disk: what the medium cannot read
    /// is an error, where the map would be a signal.
    ///
    /// # Errors
    ///
    /// [`ContainerError::Truncated`] when the file ends before; those of the disk.
    pub(crate) fn read(&self, offset: u64, len: u64) -> Result<Vec<u8>, ContainerError> {
        read_disk(&*self.disk, offset, len)
    }

    /// As [`read`](Self::read), into the caller's buffer.
    ///
    /// # Errors
    ///
    /// As there.
    pub(crate) fn read_into(&self, offset: u64, out: &mut [u8]) -> Result<(), ContainerError> {
        read_disk_into(&*self.disk, offset, out)
    }

    /// Reads the superblock again: a writer may have added extents.
    pub(super) fn reload(&self) -> Result<(), ContainerError> {
        let superblock = read_superblock(&*self.disk)?;
        let mut state = self.state();
        if superblock.generation > state.superblock.generation {
            state.extents = ExtentMap::new(superblock.extents.clone());
            state.superblock = superblock;
        }
        Ok(())
    }

    /// Length of the catalogue's address space.
    pub(crate) fn catalog_len(&self) -> u64 {
        self.state().superblock.catalog_len
    }

    /// The pieces of the file that carry this range of the catalogue.
    pub(super) fn catalog_pieces(&self, offset: u64, len: u64) -> Vec<Extent> {
        self.state().extents.pieces(offset, len).collect()
    }

    /// Makes the catalogue's address space `len` bytes long; new bytes are zero.
    pub(super) fn set_catalog_len(&self, len: u64) -> Result<(), ContainerError> {
        self.check_writable()?;
        let result = self.try_set_catalog_len(len);
        self.poison_on_error(result)
    }

    fn try_set_catalog_len(&self, len: u64) -> Result<(), ContainerError> {
        let mut state = self.state();
        let (old, capacity) = (state.superblock.catalog_len, state.extents.capacity());
        if len > capacity {
            let extent_len = (len - capacity).next_multiple_of(PAGE_ALIGN);
            if !state.space_known {
                state.space = Space::new(Vec::new(), self.disk_len()?, 0)?;
            }
            let inside = extent_len <= EXTENT_INSIDE_MAX && !state.grow_behind;
            let extent = self.extent_for_growth(&mut state.space, extent_len, inside)?;
            state.extents.push(extent)?;
        }
        // What was given up earlier keeps its extents and must read as zero when it comes back.
        if len > old {
            for piece in state.extents.pieces(old, capacity.min(len).saturating_sub(old)) {
                self.write_zeros(piece)?;
            }
        }
        state.superblock.catalog_len = len;
        state.superblock_dirty = true;
        Ok(())
    }

    /// Room for the catalogue: a short piece in free space, so that the file does not grow where it
    /// has room, else behind everything.
    fn extent_for_growth(
        &self,
        space: &mut Space,
        len: u64,
        inside: bool,
    ) -> Result<Extent, ContainerError> {
        let inside = match inside {
            true => space.take_before(space.used_end(), len, 0, PAGE_ALIGN),
            false => None,
        };
        if let Some(offset) = inside {
            let extent = Extent { offset, len };
            self.write_zeros(extent)?;
            return Ok(extent);
        }
        let offset = space.take_fresh(len, PAGE_ALIGN);
        let end = offset + len;
        if self.disk_len()? < end {
            self.disk.set_len(end).map_err(ContainerError::io("set length", end))?;
        }
        Ok(Extent { offset, len })
    }

    fn write_zeros(&self, extent: Extent) -> Result<(), ContainerError> {
        let zeros = [0; 1 << 16];
        let mut at = extent.offset;
        while at < extent.end() {
            let len = (extent.end() - at).min(zeros.len() as u64);
            let part = zeros.get(..len as usize).unwrap_or_default();
            self.disk.write_at(at, part).map_err(ContainerError::io("write", at))?;
            at += len;
        }
        Ok(())
    }

    /// Marks the file as replaced by another one, in both slots of the superblock. This handle
    /// writes no more.
    ///
    /// # Errors
    ///
    /// Those of the disk.
    pub fn retire(&self) -> Result<(), ContainerError> {
        {
            let mut state = self.state();
            state.superblock.state = StoreState::Retired;
            state.superblock_dirty = true;
        }
        // The second sync writes the other slot.
        let result = self.sync().and_then(|()| self.sync());
        self.poison();
        result
    }

    /// Who may do what with the file.
    pub(crate) fn mode(&self) -> Result<u32, ContainerError> {
        self.disk.mode().map_err(ContainerError::io("look at the file", 0))
    }

    /// Sets flags of features that readers and writers of this store must know. They are written
    /// with the first sync of the next commit.
    pub(crate) fn require_features(&self, reader_flags: u64, writer_flags: u64) {
        let mut state = self.state();
        let superblock = &mut state.superblock;
        let before = (superblock.reader_flags, superblock.writer_flags);
        superblock.reader_flags |= reader_flags;
        superblock.writer_flags |= writer_flags;
        if (superblock.reader_flags, superblock.writer_flags) != before {
            state.superblock_dirty = true;
        }
    }

    /// Brings everything written to the medium, with the superblock when it has changed.
    pub(super) fn sync(&self) -> Result<(), ContainerError> {
        self.check_writable()?;
        let result = self.try_sync();
        self.poison_on_error(result)
    }

    fn try_sync(&self) -> Result<(), ContainerError> {
        let mut state = self.state();
        if let Some(read) = state.superblock_unsure.take() {
            // The same bytes in the same place: torn, they are what was there before.
            self.write_superblock(&read)?;
            if state.superblock_dirty || state.superblock_lonely {
                self.disk.sync().map_err(ContainerError::io("sync", 0))?;
            }
        }
        // Once more in the next sync, into the other slot: then either slot alone will do.
        if state.superblock_dirty || state.superblock_lonely {
            state.superblock_lonely = state.superblock_dirty;
            let mut next = state.superblock.clone();
            next.generation += 1;
            next.extents = state.extents.as_slice().to_vec();
            self.write_superblock(&next)?;
            state.superblock = next;
            state.superblock_dirty = false;
        }
        // Under the lock on the state, so that no second superblock is written before this sync.
        self.disk.sync().map_err(ContainerError::io("sync", 0))
    }

    fn write_superblock(&self, superblock: &Superblock) -> Result<(), ContainerError> {
        let bytes = superblock.encode().map_err(|_| ContainerError::TooManyExtents)?;
        let slot = (superblock.generation % 2) * SUPERBLOCK_LEN as u64;
        self.disk.write_at(slot, &bytes).map_err(ContainerError::io("write", slot))
    }

    /// Refuses when an earlier write or sync has failed.
    ///
    /// # Errors
    ///
    /// [`ContainerError::Poisoned`].
    pub(crate) fn check_writable(&self) -> Result<(), ContainerError> {
        if self.poisoned.load(Ordering::Acquire) {
            return Err(ContainerError::Poisoned);
        }
        Ok(())
    }

    pub(super) fn poison_on_error<T>(
        &self,
        result: Result<T, ContainerError>,
    ) -> Result<T, ContainerError> {
        if result.is_err() {
            self.poison();
        }
        result
    }

    /// Refuses all further writes through this handle.
    pub(crate) fn poison(&self) {
        self.poisoned.store(true, Ordering::Release);
    }

    /// Opens the file at `path` as a disk. The path is resolved once: what takes the place of the
    /// resolved file's name between that and the opening is not followed should it be a link.
    ///
    /// # Errors
    ///
    /// Those of the operating system; one that holds a [`ContainerError::NotAStore`] for a folder,
    /// a pipe or a device.
    pub fn open_file(path: &Path, write: bool) -> std::io::Result<Arc<dyn Disk>> {
        Ok(Arc::new(FileDisk::open(path, write)?))
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // The descriptor closes anyway; an error here leaves the lock to that.
        let _ = self.writer_lock.unlock_all();
    }
}

impl From<FormatError> for ContainerError {
    fn from(source: FormatError) -> Self {
        ContainerError::Format { offset: 0, source }
    }
}
