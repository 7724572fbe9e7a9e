//! The catalogue's address space laid over extents of the file.

use crate::format::{DATA_START, Extent, SUPERBLOCK_EXTENTS_MAX};

use super::error::ContainerError;

/// Extents in the order of the address space they carry. They are only ever added.
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
    fn the_superblock_bounds_the_number() {
        let mut map = ExtentMap::default();
        for i in 0..SUPERBLOCK_EXTENTS_MAX as u64 {
            map.push(Extent { offset: i * 10, len: 1 }).unwrap();
        }
        assert!(map.push(Extent { offset: 1 << 20, len: 1 }).is_err());
    }
}
