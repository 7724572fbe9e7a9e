//! Free space. Never stored: computed when the first writer needs it, from what is not covered.

use std::collections::{BTreeMap, BTreeSet};

use crate::format::{DATA_START, Extent, RECORD_ALIGN};

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
    pub(super) fn new(mut used: Vec<Extent>, file_len: u64, sequence: u64) -> Self {
        used.sort_unstable();
        let mut space = Space::default();
        let mut gaps = Vec::new();
        let mut covered = DATA_START;
        for extent in used {
            if extent.offset > covered {
                gaps.push(Extent { offset: covered, len: extent.offset - covered });
            }
            covered = covered.max(extent.end());
        }
        if file_len > covered {
            gaps.push(Extent { offset: covered, len: file_len - covered });
        }
        space.end = covered.max(file_len);
        space.free_after(sequence, gaps);
        space
    }

    /// Marks ranges as free once no snapshot is older than commit `sequence`.
    pub(super) fn free_after(&mut self, sequence: u64, extents: Vec<Extent>) {
        if !extents.is_empty() {
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
        let fit = self.by_len.range((len, 0)..).copied().find(|(room, offset)| {
            let start = place(*offset);
            start + len <= offset + room
        });
        let (start, range_end) = match fit {
            Some((room, offset)) => {
                self.remove(offset, room);
                let start = place(offset);
                self.give_back_part(offset, start);
                (start, offset + room)
            }
            None => (self.take_end(len, place), self.end),
        };
        // The next record may only begin at a multiple of its alignment anyway.
        let end = (start + len).next_multiple_of(RECORD_ALIGN).min(range_end);
        self.give_back_part(end, range_end);
        start
    }

    /// Takes `len` bytes at a multiple of `align` behind everything ever written.
    pub(super) fn take_fresh(&mut self, len: u64, align: u64) -> u64 {
        self.take_end(len, |from| from.next_multiple_of(align))
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
        let mut space = Space::new(used, DATA_START + 640, 3);
        let a = space.take(128, 0, 64);
        assert_eq!(a, DATA_START + 640);
        space.free_after(5, vec![Extent { offset: a, len: 128 }]);
        assert_eq!((space.pending_sequences(), space.pending_bytes()), (vec![5], 128));
        space.release_before(Some(5));
        assert_eq!(space.take(128, 0, 64), a + 128);
        space.release_before(Some(6));
        assert_eq!(space.take(128, 0, 64), a);
    }

    proptest! {
        /// Ranges handed out are aligned, disjoint from each other and from what is used, and
        /// the bytes given back are found again.
        #[test]
        fn ranges_never_overlap(steps in proptest::collection::vec((1u64..9000, 0u64..4, 0u8..4), 1..60)) {
            let used = Extent { offset: DATA_START + 128, len: 1000 };
            let mut space = Space::new(vec![used], DATA_START + 5000, 1);
            space.release_before(None);
            let mut live: Vec<Extent> = vec![used];
            for (len, inner, kind) in steps {
                if kind == 0 && live.len() > 1 {
                    let gone = live.remove(1 + len as usize % (live.len() - 1));
                    // A record's tail up to the next boundary is its own.
                    space.give_back(Extent {
                        offset: gone.offset,
                        len: gone.len.next_multiple_of(RECORD_ALIGN),
                    });
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
