//! Free space. Never stored: computed when the first writer needs it, from what is not covered.

use std::collections::{BTreeMap, BTreeSet};

use crate::format::{DATA_START, Extent, FormatError, RECORD_ALIGN};

use super::error::ContainerError;

/// A record's range with its tail: the next record begins at a multiple of its alignment anyway,
/// so that neighbours that are freed become one range.
pub(super) fn whole(extent: Extent) -> Extent {
    let end = extent.end().next_multiple_of(RECORD_ALIGN);
    Extent { offset: extent.offset, len: end - extent.offset }
}

/// How many of the shortest ranges that are long enough are tried at an alignment.
const FITS_TRIED_MAX: usize = 64;
/// How many of the lowest ranges are tried for the lowest one that is long enough.
const LOWEST_TRIED_MAX: usize = 4096;

/// The range, and where in it a record of `len` bytes begins whose byte at `inner` is aligned, if it
/// ends there and before `limit`.
fn start_in(
    range: Extent,
    limit: u64,
    len: u64,
    (inner, align): (u64, u64),
) -> Option<(Extent, u64)> {
    let start = (range.offset + inner).next_multiple_of(align) - inner;
    (start + len <= range.end().min(limit)).then_some((range, start))
}

/// Which bytes of the file may be written.
#[derive(Debug, Default)]
pub(super) struct Space {
    /// Free ranges by offset; neighbours are merged.
    free: BTreeMap<u64, u64>,
    /// The same ranges by length, for the best fit.
    by_len: BTreeSet<(u64, u64)>,
    /// Freed by the commit of this number: free once no snapshot is older than it.
    pending: BTreeMap<u64, Vec<Extent>>,
    /// Where nothing has ever been written: the end of the file or beyond.
    end: u64,
}

impl Space {
    /// Computes what `used` leaves uncovered in a file of `file_len` bytes. It may still be read
    /// by a snapshot of a commit before `sequence`, so it is pending at that commit.
    ///
    /// # Errors
    ///
    /// Ranges that the file does not have, or that overlap: the file is damaged, and nothing may
    /// be written to it.
    pub(super) fn new(
        mut used: Vec<Extent>,
        file_len: u64,
        sequence: u64,
    ) -> Result<Self, ContainerError> {
        used.sort_unstable();
        let mut space = Space::default();
        let mut gaps = Vec::new();
        let mut covered = DATA_START;
        for extent in used {
            if extent.end() > file_len {
                return Err(ContainerError::Truncated { expected: extent.end(), found: file_len });
            }
            if extent.offset < covered || !extent.offset.is_multiple_of(RECORD_ALIGN) {
                let expected = format!("a multiple of {RECORD_ALIGN} from {covered} on");
                let source = FormatError::new("used ranges", 0, expected, extent.offset);
                return Err(ContainerError::Format { offset: extent.offset, source });
            }
            if extent.offset > covered {
                gaps.push(Extent { offset: covered, len: extent.offset - covered });
            }
            covered = whole(extent).end();
        }
        let file_len = file_len.next_multiple_of(RECORD_ALIGN);
        if file_len > covered {
            gaps.push(Extent { offset: covered, len: file_len - covered });
        }
        space.end = covered.max(file_len);
        space.free_after(sequence, gaps);
        Ok(space)
    }

    /// Marks ranges as free once no snapshot is older than commit `sequence`.
    pub(super) fn free_after(&mut self, sequence: u64, extents: Vec<Extent>) {
        if !extents.is_empty() {
            let extents = extents.into_iter().map(whole);
            self.pending.entry(sequence).or_default().extend(extents);
        }
    }

    /// The commits that freed something not yet free, ascending.
    pub(super) fn pending_sequences(&self) -> Vec<u64> {
        self.pending.keys().copied().collect()
    }

    /// Frees what commits before `bound` freed; without a bound, all.
    pub(super) fn release_before(&mut self, bound: Option<u64>) {
        let kept = bound.map_or_else(BTreeMap::new, |bound| self.pending.split_off(&bound));
        for extent in std::mem::replace(&mut self.pending, kept).into_values().flatten() {
            self.give_back(extent);
        }
    }

    /// Frees a range at once: nobody can have seen it.
    pub(super) fn give_back(&mut self, extent: Extent) {
        if extent.len == 0 {
            return;
        }
        let (mut offset, mut end) = (extent.offset, extent.end());
        let before = self.free.range(..offset).next_back().map(|(o, l)| (*o, *l));
        if let Some((o, l)) = before
            && o + l == offset
        {
            self.remove(o, l);
            offset = o;
        }
        if let Some(l) = self.free.get(&end).copied() {
            self.remove(end, l);
            end += l;
        }
        self.insert(offset, end - offset);
    }

    /// Moves the end back over free bytes that a file of `file_len` bytes does not have yet, so
    /// that what was reserved too long does not make the file longer.
    pub(super) fn trim_unwritten(&mut self, file_len: u64) {
        let last = self.free.last_key_value().map(|(offset, len)| (*offset, *len));
        if let Some((offset, len)) = last
            && offset + len == self.end
        {
            let end = file_len.next_multiple_of(RECORD_ALIGN).clamp(offset, self.end);
            self.remove(offset, len);
            self.give_back_part(offset, end);
            self.end = end;
        }
    }

    fn insert(&mut self, offset: u64, len: u64) {
        self.free.insert(offset, len);
        self.by_len.insert((len, offset));
    }

    fn remove(&mut self, offset: u64, len: u64) {
        self.free.remove(&offset);
        self.by_len.remove(&(len, offset));
    }

    /// Takes `len` bytes at a multiple of [`RECORD_ALIGN`] such that the byte at `inner` behind
    /// the start is a multiple of `align`: the best fit among the free ranges, else the end of
    /// the file. `inner` is a multiple of [`RECORD_ALIGN`] and `align` of it too.
    pub(super) fn take(&mut self, len: u64, inner: u64, align: u64) -> u64 {
        let place = |from: u64| (from + inner).next_multiple_of(align) - inner;
        let fits = |(room, offset): &(u64, u64)| place(*offset) + len <= offset + room;
        let fit = self.by_len.range((len, 0)..).take(FITS_TRIED_MAX).find(|range| fits(range));
        // Any range that is longer by the alignment fits, wherever it begins.
        let fit = fit.or_else(|| self.by_len.range((len + align, 0)..).next()).copied();
        let (start, range_end) = match fit {
            Some((room, offset)) => {
                self.remove(offset, room);
                let start = place(offset);
                self.give_back_part(offset, start);
                (start, offset + room)
            }
            None => (self.take_end(len, place), self.end),
        };
        let end = whole(Extent { offset: start, len }).end().min(range_end);
        self.give_back_part(end, range_end);
        start
    }

    /// As [`take`](Self::take), wholly before `limit`; `None` where no free range there is long
    /// enough.
    pub(super) fn take_before(
        &mut self,
        limit: u64,
        len: u64,
        inner: u64,
        align: u64,
    ) -> Option<u64> {
        let start = |(room, offset): &(u64, u64)| {
            start_in(Extent { offset: *offset, len: *room }, limit, len, (inner, align))
        };
        let near = self.by_len.range((len, 0)..).take(FITS_TRIED_MAX).find_map(start);
        let longer = || self.by_len.range((len + align, 0)..).take(FITS_TRIED_MAX).find_map(start);
        let (range, start) = near.or_else(longer)?;
        self.take_part(range, start, whole(Extent { offset: start, len }).end());
        Some(start)
    }

    /// As [`take_before`](Self::take_before), but at the lowest place that there is.
    pub(super) fn take_lowest(
        &mut self,
        limit: u64,
        len: u64,
        inner: u64,
        align: u64,
    ) -> Option<u64> {
        let ranges = self.free.iter().map(|(offset, room)| Extent { offset: *offset, len: *room });
        let mut ranges = ranges.take_while(|range| range.offset < limit).take(LOWEST_TRIED_MAX);
        let (range, start) =
            ranges.find_map(|range| start_in(range, limit, len, (inner, align)))?;
        self.take_part(range, start, whole(Extent { offset: start, len }).end());
        Some(start)
    }

    /// Takes a part of a free range.
    fn take_part(&mut self, range: Extent, start: u64, end: u64) {
        self.remove(range.offset, range.len);
        self.give_back_part(range.offset, start);
        self.give_back_part(end, range.end());
    }

    /// Takes exactly these bytes; `false`, and nothing, where one of them is not free.
    pub(super) fn take_exact(&mut self, extent: Extent) -> bool {
        let before = self.free.range(..=extent.offset).next_back().map(|(o, l)| (*o, *l));
        let Some((offset, room)) = before.filter(|(o, l)| o + l >= extent.end()) else {
            return false;
        };
        self.take_part(Extent { offset, len: room }, extent.offset, extent.end());
        true
    }

    /// Where the last byte that is used, or may still be read, ends.
    pub(super) fn used_end(&self) -> u64 {
        match self.free.last_key_value() {
            Some((offset, len)) if offset + len == self.end => *offset,
            _ => self.end,
        }
    }

    /// Notes that the file ends where what is used does.
    pub(super) fn cut_end(&mut self) {
        let end = self.used_end();
        if end < self.end {
            self.remove(end, self.end - end);
            self.end = end;
        }
    }

    /// Takes `len` bytes at a multiple of `align` behind everything ever written.
    pub(super) fn take_fresh(&mut self, len: u64, align: u64) -> u64 {
        self.take_end(len, |from| from.next_multiple_of(align))
    }

    /// As [`take`](Self::take), behind everything ever written.
    pub(super) fn take_behind(&mut self, len: u64, inner: u64, align: u64) -> u64 {
        self.take_end(len, |from| (from + inner).next_multiple_of(align) - inner)
    }

    fn take_end(&mut self, len: u64, place: impl Fn(u64) -> u64) -> u64 {
        let start = place(self.end);
        let gap = self.end;
        self.end = (start + len).next_multiple_of(RECORD_ALIGN);
        self.give_back_part(gap, start);
        start
    }

    fn give_back_part(&mut self, from: u64, to: u64) {
        self.give_back(Extent { offset: from, len: to.saturating_sub(from) });
    }

    /// The ranges that may be written at once, by offset.
    pub(super) fn free_ranges(&self) -> impl Iterator<Item = Extent> + '_ {
        self.free.iter().map(|(offset, len)| Extent { offset: *offset, len: *len })
    }

    /// Bytes that may be written at once, behind [`DATA_START`] and before the end.
    pub(super) fn free_bytes(&self) -> u64 {
        self.free.values().sum()
    }

    /// Bytes that are free once the snapshots that may read them are gone.
    pub(super) fn pending_bytes(&self) -> u64 {
        self.pending.values().flatten().map(|extent| extent.len).sum()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_freed_waits_for_its_snapshots() {
        let used = vec![Extent { offset: DATA_START, len: 640 }];
        let mut space = Space::new(used, DATA_START + 640, 3).unwrap();
        let a = space.take(128, 0, 64);
        assert_eq!(a, DATA_START + 640);
        space.free_after(5, vec![Extent { offset: a, len: 128 }]);
        assert_eq!((space.pending_sequences(), space.pending_bytes()), (vec![5], 128));
        space.release_before(Some(5));
        assert_eq!(space.take(128, 0, 64), a + 128);
        space.release_before(Some(6));
        assert_eq!(space.take(128, 0, 64), a);
    }

    #[test]
    fn neighbours_of_odd_lengths_become_one_range() {
        let record = |offset, len| Extent { offset: DATA_START + offset, len };
        let used = vec![record(0, 130), record(192, 70), record(320, 1)];
        let mut space = Space::new(used.clone(), DATA_START + 321, 1).unwrap();
        space.free_after(2, used);
        space.release_before(None);
        assert_eq!(space.take(384, 0, 64), DATA_START);
        assert_eq!((space.free_bytes(), space.end), (0, DATA_START + 384));
    }

    #[test]
    fn the_end_moves_back_over_what_was_never_written() {
        let used = vec![Extent { offset: DATA_START, len: 64 }];
        let mut space = Space::new(used, DATA_START + 64, 1).unwrap();
        let start = space.take(1000, 0, 64);
        space.give_back(Extent { offset: start + 128, len: 896 });
        space.trim_unwritten(start + 100);
        assert_eq!((space.free_bytes(), space.end), (0, start + 128));
        // What was written stays free, and is not fresh.
        space.give_back(Extent { offset: start, len: 128 });
        space.trim_unwritten(start + 100);
        assert_eq!((space.free_bytes(), space.end), (128, start + 128));
        assert_eq!(space.take_fresh(4096, 4096), (start + 128).next_multiple_of(4096));
    }

    #[test]
    fn what_lies_last_finds_room_before_it() {
        let used = |offset, len| Extent { offset: DATA_START + offset, len };
        let records = vec![used(0, 64), used(256, 64), used(640, 128)];
        let mut space = Space::new(records, DATA_START + 1000, 1).unwrap();
        space.release_before(None);
        assert_eq!(space.take_before(DATA_START + 640, 512, 0, 64), None);
        // The best fit, and not behind the limit.
        let place = space.take_before(DATA_START + 640, 128, 0, 64);
        assert_eq!(place, Some(DATA_START + 64));
        assert_eq!(space.used_end(), DATA_START + 768);
        space.give_back(used(640, 128));
        assert_eq!(space.used_end(), DATA_START + 320);
        space.cut_end();
        assert_eq!((space.end, space.free_bytes()), (DATA_START + 320, 64));
        assert_eq!(space.take_fresh(64, 64), DATA_START + 320);
    }

    #[test]
    fn the_lowest_place_is_not_the_best_fit() {
        let used = |offset, len| Extent { offset: DATA_START + offset, len };
        let records = vec![used(256, 64), used(448, 128)];
        let mut space = Space::new(records, DATA_START + 576, 1).unwrap();
        space.release_before(None);
        assert_eq!(space.take_lowest(DATA_START + 448, 320, 0, 64), None);
        assert_eq!(space.take_lowest(DATA_START + 448, 128, 64, 128), Some(DATA_START + 64));
        assert_eq!(space.take_lowest(DATA_START + 320, 128, 0, 64), None, "not behind the limit");
        assert_eq!(space.take_lowest(DATA_START + 448, 128, 0, 64), Some(DATA_START + 320));
        assert_eq!(space.free_bytes(), 64 + 64);
    }

    #[test]
    fn exact_ranges_are_taken_only_where_all_is_free() {
        let used = vec![Extent { offset: DATA_START + 640, len: 64 }];
        let mut space = Space::new(used, DATA_START + 1000, 1).unwrap();
        space.release_before(None);
        let range = |offset, len| Extent { offset: DATA_START + offset, len };
        assert!(!space.take_exact(range(576, 128)));
        assert!(space.take_exact(range(128, 256)));
        assert!(!space.take_exact(range(128, 64)));
        let free: Vec<Extent> = space.free_ranges().take(2).collect();
        assert_eq!(free, [range(0, 128), range(384, 256)]);
        space.give_back(range(128, 256));
        assert_eq!(space.free_ranges().next(), Some(range(0, 640)));
    }

    #[test]
    fn ranges_that_a_file_cannot_have_are_refused() {
        let new = |used: &[(u64, u64)]| {
            let extent = |&(offset, len): &(u64, u64)| Extent { offset, len };
            Space::new(used.iter().map(extent).collect(), DATA_START + 640, 1)
        };
        for used in [[(DATA_START, 641)], [(u64::MAX - 63, 200)], [(DATA_START + 64, u64::MAX)]] {
            assert!(matches!(new(&used), Err(ContainerError::Truncated { .. })), "{used:?}");
        }
        for used in
            [&[(64, 64)][..], &[(DATA_START + 8, 8)], &[(DATA_START, 65), (DATA_START + 64, 1)]]
        {
            assert!(matches!(new(used), Err(ContainerError::Format { .. })), "{used:?}");
        }
    }

    proptest! {
        /// Ranges handed out are aligned, disjoint from each other and from what is used, and
        /// the bytes given back are found again.
        #[test]
        fn ranges_never_overlap(
            steps in proptest::collection::vec((1u64..9000, 0u64..4, 0u8..4), 1..60),
        ) {
            let used = Extent { offset: DATA_START + 128, len: 1000 };
            let mut space = Space::new(vec![used], DATA_START + 5000, 1).unwrap();
            space.release_before(None);
            let mut live: Vec<Extent> = vec![used];
            for (len, inner, kind) in steps {
                if kind == 0 && live.len() > 1 {
                    let gone = live.remove(1 + len as usize % (live.len() - 1));
                    space.give_back(whole(gone));
                    continue;
                }
                let align = if kind == 1 { 4096 } else { 64 };
                let start = space.take(len, inner * 64, align);
                prop_assert_eq!(start % 64, 0);
                prop_assert_eq!((start + inner * 64) % align, 0);
                let taken = Extent { offset: start, len };
                for other in &live {
                    prop_assert!(taken.end() <= other.offset || other.end() <= taken.offset);
                }
                live.push(taken);
            }
            let total: u64 = space.free_bytes();
            prop_assert!(total <= space.end);
        }
    }
}
