//! The catalogue's address space laid over extents of the file.

use crate::format::{DATA_START, Extent, PAGE_ALIGN, SUPERBLOCK_EXTENTS_MAX};

use super::error::ContainerError;

/// The last extents that stay may be longer than needed by this part of those before them: each is
/// then at least so long, and their number stays small however often the catalogue grows.
const SPARE_PART: u64 = 8;

/// Extents in the order of the address space they carry. The first one never moves: whoever has an
/// old list reads the database's header there, and then the list again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ExtentMap {
    extents: Vec<Extent>,
}

impl ExtentMap {
    pub(super) fn new(extents: Vec<Extent>) -> Self {
        ExtentMap { extents }
    }

    pub(super) fn as_slice(&self) -> &[Extent] {
        &self.extents
    }

    /// How many bytes of address space the extents carry.
    pub(super) fn capacity(&self) -> u64 {
        self.extents.iter().map(|extent| extent.len).sum()
    }

    /// Where in the file the last of them ends.
    pub(super) fn end(&self) -> u64 {
        self.extents.iter().map(Extent::end).max().unwrap_or(DATA_START)
    }

    /// Adds an extent at the end of the address space; a neighbour of the last one merges with it.
    pub(super) fn push(&mut self, extent: Extent) -> Result<(), ContainerError> {
        if let Some(last) = self.extents.last_mut()
            && last.end() == extent.offset
        {
            last.len += extent.len;
            return Ok(());
        }
        if self.extents.len() >= SUPERBLOCK_EXTENTS_MAX {
            return Err(ContainerError::TooManyExtents);
        }
        self.extents.push(extent);
        Ok(())
    }

    /// Gives up what lies behind `len` bytes of address space, but for a little of the last extent.
    /// Says what it was.
    pub(super) fn cut(&mut self, len: u64) -> Vec<Extent> {
        let (mut start, mut given) = (0u64, Vec::new());
        self.extents.retain_mut(|extent| {
            let needed = len.saturating_sub(start);
            let kept = match needed {
                0 if start > 0 => 0,
                _ => needed.max(start / SPARE_PART).next_multiple_of(PAGE_ALIGN).min(extent.len),
            };
            start += extent.len;
            if kept < extent.len {
                given.push(Extent { offset: extent.offset + kept, len: extent.len - kept });
            }
            extent.len = kept;
            kept > 0
        });
        given
    }

    /// The extent that lies last in the file, where it is not the first one: its place in the list.
    pub(super) fn last_in_file(&self) -> Option<(usize, Extent)> {
        let (at, extent) = self.extents.iter().enumerate().max_by_key(|(_, it)| it.offset)?;
        (at > 0).then_some((at, *extent))
    }

    /// The extent that begins first in the file from `start` on, where it is not the first one of the
    /// list: its place there.
    pub(super) fn next_in_file(&self, start: u64) -> Option<(usize, Extent)> {
        let behind = self.extents.iter().enumerate().skip(1).filter(|(_, it)| it.offset >= start);
        behind.min_by_key(|(_, extent)| extent.offset).map(|(at, extent)| (at, *extent))
    }

    /// Lets the extent at `place` of the list lie at `offset`.
    pub(super) fn move_to(&mut self, place: usize, offset: u64) {
        if let Some(extent) = self.extents.get_mut(place) {
            extent.offset = offset;
        }
        let mut merged: Vec<Extent> = Vec::with_capacity(self.extents.len());
        for extent in self.extents.drain(..) {
            match merged.last_mut() {
                Some(last) if last.end() == extent.offset => last.len += extent.len,
                _ => merged.push(extent),
            }
        }
        self.extents = merged;
    }

    /// The pieces of the file that carry `offset..offset + len`, in order; shorter in all than
    /// `len` where the extents end.
    pub(super) fn pieces(&self, offset: u64, len: u64) -> impl Iterator<Item = Extent> + '_ {
        let end = offset.saturating_add(len);
        let mut start = 0u64;
        self.extents.iter().filter_map(move |extent| {
            let (first, last) = (start, start.saturating_add(extent.len));
            start = last;
            let (from, to) = (first.max(offset), last.min(end));
            (from < to).then(|| Extent { offset: extent.offset + (from - first), len: to - from })
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn pieces_follow_the_address_space() {
        let mut map = ExtentMap::default();
        map.push(Extent { offset: 100, len: 10 }).unwrap();
        map.push(Extent { offset: 110, len: 10 }).unwrap();
        map.push(Extent { offset: 500, len: 5 }).unwrap();
        assert_eq!(map.as_slice().len(), 2);
        assert_eq!(map.capacity(), 25);
        let pieces: Vec<_> = map.pieces(15, 8).collect();
        assert_eq!(pieces, [Extent { offset: 115, len: 5 }, Extent { offset: 500, len: 3 }]);
        assert_eq!(map.pieces(25, 4).count(), 0);
        assert_eq!(map.pieces(u64::MAX, 4).count(), 0);
    }

    #[test]
    fn what_is_cut_off_is_given_up_and_the_first_stays() {
        let mut map = ExtentMap::default();
        for (offset, pages) in [(2, 16), (40, 16), (90, 64)] {
            map.push(Extent { offset: offset * 4096, len: pages * 4096 }).unwrap();
        }
        // A page of the third is needed: an eighth of what is before it stays.
        let given = map.cut(33 * 4096 - 100);
        assert_eq!(given, [Extent { offset: 94 * 4096, len: 60 * 4096 }]);
        assert_eq!(map.capacity(), 36 * 4096);
        assert_eq!(map.cut(33 * 4096), []);
        let given = map.cut(1);
        assert_eq!(given.iter().map(|extent| extent.len).sum::<u64>(), 35 * 4096);
        assert_eq!(map.as_slice(), [Extent { offset: 2 * 4096, len: 4096 }]);
        assert_eq!(map.last_in_file(), None);
    }

    #[test]
    fn a_moved_extent_joins_the_one_before_it() {
        let mut map = ExtentMap::default();
        for offset in [2, 40, 90] {
            map.push(Extent { offset: offset * 4096, len: 4096 }).unwrap();
        }
        let last = map.last_in_file().unwrap();
        assert_eq!(last, (2, Extent { offset: 90 * 4096, len: 4096 }));
        assert_eq!(map.next_in_file(0).map(|(place, _)| place), Some(1));
        assert_eq!(map.next_in_file(41 * 4096), Some(last));
        assert_eq!(map.next_in_file(91 * 4096), None);
        map.move_to(last.0, 41 * 4096);
        assert_eq!(map.as_slice().len(), 2);
        let pieces: Vec<_> = map.pieces(4096, 8192).collect();
        assert_eq!(pieces, [Extent { offset: 40 * 4096, len: 8192 }]);
    }

    /// A catalogue that becomes longer and shorter for ever keeps a list that fits.
    #[test]
    fn however_often_it_grows_the_list_is_short() {
        let mut map = ExtentMap::default();
        let mut end = 2u64;
        for step in 1..4000u64 {
            // As the database does: twice as long, then cut to what is needed.
            let wanted = 2 * 4096 * (16 + step);
            if wanted > map.capacity() {
                end += 100;
                let len = wanted - map.capacity();
                map.push(Extent { offset: end * 4096, len }).unwrap();
                end += len / 4096;
            }
            map.cut(4096 * (16 + step));
            assert!(map.as_slice().len() < 100, "{step}");
        }
    }

    #[test]
    fn the_superblock_bounds_the_number() {
        let mut map = ExtentMap::default();
        for i in 0..SUPERBLOCK_EXTENTS_MAX as u64 {
            map.push(Extent { offset: i * 10, len: 1 }).unwrap();
        }
        assert!(map.push(Extent { offset: 1 << 20, len: 1 }).is_err());
    }
}
