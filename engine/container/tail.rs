//! The end of the file given back: extents that the catalogue does not need, and the free tail.
//!
//! Who may still look there, and what keeps them right:
//!
//! - A snapshot of the last commit or of an older one, in any process, may have the list of extents
//!   from before. So what the catalogue gives up is free only when no such snapshot is left, as
//!   what the next commit would free (rule 5).
//! - A reader that is between two snapshots, or is just opening the file, has an old list. It reads
//!   the database's header next, in the first extent, which never moves, and then the list again.
//! - A map shows pages of records of its snapshots only, and asks for the file's length each time.
//! - A crash: the list without an extent is in both slots of the superblock, synced, before anybody
//!   may write there, and the file is cut only after that.

use super::error::ContainerError;
use super::open::Container;
use super::space::whole;
use crate::format::{Extent, PAGE_ALIGN, PAGE_ALIGN_FROM, PAYLOAD_ALIGN};

/// Bytes that are copied at a time.
const PIECE_LEN: u64 = 1 << 20;

/// The alignment of a record's payload, which begins at `inner`, to be kept where it is moved: that of
/// pages where it is so long that it may have been asked for.
fn alignment_of(record: Extent, inner: u64) -> u64 {
    let payload = record.offset.saturating_add(inner);
    match record.len.saturating_sub(inner) {
        PAGE_ALIGN_FROM.. if payload.is_multiple_of(PAGE_ALIGN) => PAGE_ALIGN,
        _ => PAYLOAD_ALIGN,
    }
}

impl Container {
    /// Takes from the catalogue what its address space does not reach, but for `spare` bytes that it
    /// is about to need. Two syncs, or nothing.
    ///
    /// # Errors
    ///
    /// Those of the disk; nothing is written any more then.
    pub(crate) fn give_up_extents(&self, spare: u64) -> Result<u64, ContainerError> {
        self.check_writable()?;
        let given = {
            let mut state = self.state();
            if !state.space_known {
                return Ok(0);
            }
            let len = state.superblock.catalog_len.saturating_add(spare);
            let given = state.extents.cut(len);
            state.superblock_dirty |= !given.is_empty();
            given
        };
        if given.is_empty() {
            return Ok(0);
        }
        let bytes = given.iter().map(|extent| extent.len).sum();
        self.settle_extents(given)?;
        Ok(bytes)
    }

    /// Writes the list of extents into both slots. What it names no more is free when nobody reads
    /// by an older list.
    fn settle_extents(&self, given: Vec<Extent>) -> Result<(), ContainerError> {
        self.sync()?;
        self.sync()?;
        let mut state = self.state();
        let next = state.last_commit + 1;
        state.space.free_after(next, given);
        Ok(())
    }

    /// Moves extents of the catalogue that lie last in the file into free space before them, as
    /// long as there is some. Nobody may write to the catalogue meanwhile. Cost: copies them; three
    /// syncs each.
    ///
    /// # Errors
    ///
    /// Those of the disk; the catalogue is then where it was.
    pub(crate) fn move_extents_down(&self) -> Result<(), ContainerError> {
        loop {
            self.check_writable()?;
            self.release_space()?;
            let moved = {
                let mut state = self.state();
                let Some((place, from)) = state.extents.last_in_file() else { return Ok(()) };
                if !state.space_known || from.end() < state.space.used_end() {
                    return Ok(());
                }
                let to = state.space.take_before(from.offset, from.len, 0, PAGE_ALIGN);
                to.map(|to| (place, from, to))
            };
            let Some((place, from, to)) = moved else { return Ok(()) };
            self.move_extent(place, from, to)?;
        }
    }

    /// Moves the catalogue's extents that lie behind `start`, but for the first one, to the lowest
    /// free places. As [`move_extents_down`](Self::move_extents_down) otherwise.
    ///
    /// # Errors
    ///
    /// As there.
    pub(crate) fn move_extents_to_lowest(&self, start: u64) -> Result<(), ContainerError> {
        let mut start = start;
        loop {
            self.check_writable()?;
            self.release_space()?;
            let (place, from, to) = {
                let mut state = self.state();
                let Some((place, from)) = state.extents.next_in_file(start) else { return Ok(()) };
                start = from.end();
                (place, from, state.space.take_lowest(from.offset, from.len, 0, PAGE_ALIGN))
            };
            if let Some(to) = to {
                self.move_extent(place, from, to)?;
            }
        }
    }

    /// Moves the extent at `place` of the list to what was taken for it.
    fn move_extent(&self, place: usize, from: Extent, to: u64) -> Result<(), ContainerError> {
        // The copy is on the medium before a superblock names it.
        let copied = self
            .copy_within(from, to)
            .and_then(|()| self.disk.sync().map_err(ContainerError::io("sync", to)));
        if let Err(error) = copied {
            self.give_back(Extent { offset: to, len: from.len });
            return Err(error);
        }
        {
            let mut state = self.state();
            state.extents.move_to(place, to);
            state.superblock_dirty = true;
        }
        self.settle_extents(vec![from])
    }

    /// Copies a range of the file to a place that is reserved.
    ///
    /// # Errors
    ///
    /// Those of the disk.
    pub(crate) fn copy_within(&self, from: Extent, to: u64) -> Result<(), ContainerError> {
        let mut piece = vec![0; PIECE_LEN.min(from.len) as usize];
        let mut done = 0;
        while done < from.len {
            let len = PIECE_LEN.min(from.len - done);
            let part = piece.get_mut(..len as usize).unwrap_or_default();
            let at = from.offset + done;
            self.disk.read_at(at, part).map_err(ContainerError::io("read", at))?;
            self.write(to + done, part)?;
            done += len;
        }
        Ok(())
    }

    /// Reserves room for a record that lies at `from`, wholly before `limit`, with its payload, which
    /// begins at `inner`, aligned as it is now. `None` where there is none.
    pub(crate) fn reserve_before(&self, limit: u64, from: Extent, inner: u64) -> Option<Extent> {
        let (len, align) = (from.len, alignment_of(from, inner));
        let offset = self.state().space.take_before(limit, len, inner, align)?;
        Some(Extent { offset, len })
    }

    /// As [`reserve_before`](Self::reserve_before), wholly before where it lies, at the lowest place
    /// that there is.
    pub(crate) fn reserve_lowest(&self, from: Extent, inner: u64) -> Option<Extent> {
        let (len, align) = (from.len, alignment_of(from, inner));
        let offset = self.state().space.take_lowest(from.offset, len, inner, align)?;
        Some(Extent { offset, len })
    }

    /// As [`reserve_before`](Self::reserve_before), behind everything.
    pub(crate) fn reserve_behind(&self, from: Extent, inner: u64) -> Extent {
        let align = alignment_of(from, inner);
        let offset = self.state().space.take_behind(from.len, inner, align);
        Extent { offset, len: from.len }
    }

    /// Lets the catalogue grow behind everything, or again where there is room. Whoever makes the
    /// file shorter fills the free ranges with records: what the catalogue needs meanwhile is cut
    /// off afterwards.
    pub(crate) fn grow_behind(&self, behind: bool) {
        self.state().grow_behind = behind;
    }

    /// Reserves room for a record as [`reserve_before`](Self::reserve_before), wherever there is any:
    /// at the end of the file, if need be.
    pub(crate) fn reserve_elsewhere(&self, from: Extent, inner: u64) -> Extent {
        let align = alignment_of(from, inner);
        let offset = self.state().space.take(from.len, inner, align);
        Extent { offset, len: from.len }
    }

    /// The ranges before `limit` that may be written at once, by offset.
    pub(crate) fn free_before(&self, limit: u64) -> Vec<Extent> {
        let state = self.state();
        state.space.free_ranges().take_while(|range| range.end() <= limit).collect()
    }

    /// Keeps free ranges for whoever calls this; none, and `false`, where one of them is not free.
    /// [`give_back`](Self::give_back) lets them go.
    pub(crate) fn keep_free(&self, ranges: &[Extent]) -> bool {
        let mut state = self.state();
        let taken = ranges.iter().take_while(|range| state.space.take_exact(**range)).count();
        if taken < ranges.len() {
            ranges.iter().take(taken).for_each(|range| state.space.give_back(*range));
        }
        taken == ranges.len()
    }

    /// Cuts off what is free at the end of the file, where nobody may read it any more. Says how
    /// many bytes.
    ///
    /// # Errors
    ///
    /// Lock calls that fail; those of the disk. Nothing is lost by them.
    pub(crate) fn cut_free_end(&self) -> Result<u64, ContainerError> {
        self.check_writable()?;
        self.release_space()?;
        // Under the lock on the state, so that nobody takes a range meanwhile.
        let mut state = self.state();
        if !state.space_known {
            return Ok(0);
        }
        let (end, file_len) = (state.space.used_end(), self.disk_len()?);
        if end < file_len {
            self.disk.set_len(end).map_err(ContainerError::io("set length", end))?;
        }
        state.space.cut_end();
        Ok(file_len.saturating_sub(end))
    }

    /// What a writer that closes the file gives back: what the catalogue grew too much by, and the
    /// free end.
    pub(super) fn give_back_end(&self) -> Result<(), ContainerError> {
        if self.is_writer() && self.knows_used() {
            self.give_up_extents(0)?;
            self.cut_free_end()?;
        }
        Ok(())
    }

    /// Notes that records were moved: their old places are free when nobody reads by the old rows.
    pub(crate) fn free_moved(&self, places: Vec<Extent>) {
        let mut state = self.state();
        let next = state.last_commit + 1;
        state.space.free_after(next, places.into_iter().map(whole).collect());
    }

    /// Where the last byte of the file that is needed, or may still be read, ends; and how many bytes
    /// before it are free.
    pub(crate) fn used_end(&self) -> (u64, u64) {
        let state = self.state();
        let (end, free) = (state.space.used_end(), state.space.free_ranges());
        (end, free.filter(|range| range.offset < end).map(|range| range.len).sum())
    }

    /// The last commit, where it is known what is free.
    pub(crate) fn last_commit(&self) -> u64 {
        self.state().last_commit
    }
}
