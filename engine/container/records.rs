//! Where records go: free space given out, taken back, and punched.

use std::sync::atomic::Ordering;

use super::error::ContainerError;
use super::open::Container;
use super::space::{Space, whole};
use crate::format::{Extent, PAGE_ALIGN, PAGE_ALIGN_FROM, PAYLOAD_ALIGN, RECORD_ALIGN};

/// Where a record was put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordPlace {
    /// Offset of the record in the file.
    pub offset: u64,
    /// Offset of the payload from the record's start.
    pub payload_offset: u32,
    /// Bytes reserved, from the record's start.
    pub len: u64,
}

impl Container {
    /// Tells the container which ranges the records of the committed state cover, at the commit
    /// of this number; the rest may be reused when no snapshot is older.
    ///
    /// # Errors
    ///
    /// [`ContainerError::Truncated`] when the file ends before a range, [`ContainerError::Format`]
    /// when ranges overlap; those of the disk.
    pub(crate) fn set_used(
        &self,
        mut records: Vec<Extent>,
        sequence: u64,
    ) -> Result<(), ContainerError> {
        let file_len = self.disk_len()?;
        // What was committed was there before: the zeros that cover extents are no record.
        let found = self.found_len.load(Ordering::Relaxed);
        let expected = records.iter().map(Extent::end).max().unwrap_or(0);
        if found < expected {
            return Err(ContainerError::Truncated { expected, found });
        }
        let mut state = self.state();
        records.extend_from_slice(state.extents.as_slice());
        state.space = Space::new(records, file_len, sequence)?;
        (state.space_known, state.last_commit) = (true, sequence);
        Ok(())
    }

    /// Whether [`set_used`](Self::set_used) has been called.
    pub(crate) fn knows_used(&self) -> bool {
        self.state().space_known
    }

    /// Makes free what no snapshot in any process can still read.
    ///
    /// # Errors
    ///
    /// Lock calls that fail.
    pub(crate) fn release_space(&self) -> Result<(), ContainerError> {
        let sequences = self.state().space.pending_sequences();
        if sequences.is_empty() {
            return Ok(());
        }
        let needed = self.pins.first_needed(&sequences)?;
        self.state().space.release_before(needed);
        Ok(())
    }

    /// Reserves room for a record whose header and index take `head_len` bytes and whose payload
    /// takes up to `stored_len`. A raw payload of some size is page-aligned.
    ///
    /// # Errors
    ///
    /// [`ContainerError::Poisoned`]; a record of more than 2^63 bytes.
    pub(crate) fn reserve(
        &self,
        head_len: u64,
        stored_len: u64,
        raw: bool,
    ) -> Result<RecordPlace, ContainerError> {
        self.check_writable()?;
        let payload_offset = head_len.next_multiple_of(RECORD_ALIGN);
        let align = if raw && stored_len >= PAGE_ALIGN_FROM { PAGE_ALIGN } else { PAYLOAD_ALIGN };
        let too_long = |_| ContainerError::Io {
            operation: "reserve",
            offset: 0,
            source: std::io::ErrorKind::FileTooLarge.into(),
        };
        let short_offset = u32::try_from(payload_offset).map_err(too_long)?;
        let len = payload_offset.saturating_add(stored_len);
        i64::try_from(len).map_err(too_long)?;
        let offset = self.state().space.take(len, payload_offset, align);
        Ok(RecordPlace { offset, payload_offset: short_offset, len })
    }

    /// Writes `bytes` at `offset` of a reserved place. Durable only after the next commit.
    ///
    /// # Errors
    ///
    /// Those of the disk. The transaction must be dropped; the next one may write again.
    pub(crate) fn write(&self, offset: u64, bytes: &[u8]) -> Result<(), ContainerError> {
        self.check_writable()?;
        self.disk.write_at(offset, bytes).map_err(ContainerError::io("write", offset))
    }

    /// Releases a reserved place that was never committed.
    pub(crate) fn give_back(&self, place: Extent) {
        let file_len = self.disk.len();
        let mut state = self.state();
        state.space.give_back(whole(place));
        // Without the length the end stays where it is: the file may then become longer.
        if let Ok(file_len) = file_len {
            state.space.trim_unwritten(file_len);
        }
    }

    /// Notes that the commit of this number freed these ranges. Call it when that commit is
    /// durable (rule 5).
    pub(crate) fn free_after(&self, sequence: u64, extents: Vec<Extent>) {
        let mut state = self.state();
        state.last_commit = sequence;
        state.space.free_after(sequence, extents);
    }

    /// Gives free bytes back to the medium where the file system can do so: only those that may be
    /// written at once, in whole blocks (rule 5 holds for holes too). Returns how many it gave
    /// back now, with those that were holes already.
    ///
    /// # Errors
    ///
    /// Those of the disk. Nothing is lost by them.
    pub(crate) fn punch_free(&self) -> Result<u64, ContainerError> {
        self.check_writable()?;
        // Under the lock on the state, so that nobody takes a range meanwhile.
        let state = self.state();
        let file_len = self.disk_len()?;
        let mut punched = 0;
        for range in state.space.free_ranges() {
            let start = range.offset.next_multiple_of(PAGE_ALIGN);
            let end = range.end().min(file_len) / PAGE_ALIGN * PAGE_ALIGN;
            if start >= end {
                continue;
            }
            let done = self.disk.punch_hole(start, end - start);
            if !done.map_err(ContainerError::io("punch a hole", start))? {
                break;
            }
            punched += end - start;
        }
        Ok(punched)
    }

    /// Bytes free now, and bytes that wait for a snapshot.
    pub fn free_bytes(&self) -> (u64, u64) {
        let state = self.state();
        (state.space.free_bytes(), state.space.pending_bytes())
    }
}
