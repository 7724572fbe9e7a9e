//! The maps of the file: the one place with `unsafe` for them.

use std::fmt::Debug;
use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::sync::RwLock;

use memmap2::{MmapMut, MmapOptions, MmapRaw};

/// Address space reserved for the map, so that appends show through it without a new map.
const RESERVE_BYTES: u64 = 1 << 40;

/// A view of the whole file that shows later appends too.
pub trait Mapping: Debug + Send + Sync {
    /// The bytes of `offset..offset + len`, or `None` when they are not all inside the file.
    ///
    /// # Safety
    ///
    /// Nobody writes to these bytes while what is returned lives. So it is with ranges of committed
    /// records, and of records that the caller has written itself and not given back.
    unsafe fn bytes(&self, offset: u64, len: u64) -> Option<&[u8]>;

    /// A map of `offset..offset + len` for the caller alone: what is written to it stays in memory,
    /// page by page as it is written. `None` where it cannot be had: then the bytes are copied.
    ///
    /// # Safety
    ///
    /// As of [`bytes`](Self::bytes), as long as the map lives.
    unsafe fn private(&self, _offset: u64, _len: u64) -> Option<MmapMut> {
        None
    }
}

/// Length of a file whose position nobody uses: a third of what asking for its metadata takes.
pub(super) fn file_len(mut file: &File) -> io::Result<u64> {
    file.seek(SeekFrom::End(0))
}

/// The map of a real file. Address: the same for a range for the life of the mapping.
#[derive(Debug)]
pub(super) struct FileMapping {
    file: File,
    /// The maps made so far. Normally one with a large reserve; where that is refused, one more
    /// whenever the file has outgrown the last. None is unmapped while `self` lives.
    maps: RwLock<Vec<MmapRaw>>,
}

impl FileMapping {
    pub(super) fn new(file: File) -> io::Result<Self> {
        let file_len = file_len(&file)?;
        let first = Self::map(&file, RESERVE_BYTES.max(file_len)).or_else(|_| {
            // Address space is limited here: map what there is.
            Self::map(&file, file_len)
        })?;
        let maps = RwLock::new(vec![first]);
        Ok(FileMapping { file, maps })
    }

    fn map(file: &File, len: u64) -> io::Result<MmapRaw> {
        let len = usize::try_from(len).map_err(io::Error::other)?;
        MmapOptions::new().len(len).no_reserve_swap().map_raw_read_only(file)
    }

    /// The start of a map that covers `end` bytes of a file of `file_len` bytes.
    fn start(&self, end: u64, file_len: u64) -> Option<*const u8> {
        let covers = |map: &MmapRaw| map.len() as u64 >= end;
        {
            let maps = self.maps.read().ok()?;
            // The first that covers it, so that a range keeps its address.
            if let Some(map) = maps.iter().find(|map| covers(map)) {
                return Some(map.as_ptr());
            }
        }
        let mut maps = self.maps.write().ok()?;
        if !maps.last().is_some_and(covers) {
            maps.push(Self::map(&self.file, file_len).ok()?);
        }
        maps.last().filter(|map| covers(map)).map(MmapRaw::as_ptr)
    }
}

impl Mapping for FileMapping {
    unsafe fn bytes(&self, offset: u64, len: u64) -> Option<&[u8]> {
        let end = offset.checked_add(len)?;
        // Asked each time: a writer in another process may have cut off a free tail, and a row that
        // has rotted may name it.
        let file_len = file_len(&self.file).ok()?;
        if end > file_len {
            return None;
        }
        let start = self.start(end, file_len)?;
        let (offset, len) = (usize::try_from(offset).ok()?, usize::try_from(len).ok()?);
        // SAFETY: `start..start + end` lies in one map, which is not unmapped before `self` is
        // dropped, and inside the file, so that it is backed by pages. The store cuts off only
        // what nothing and no snapshot needs (rule 7), and the caller sees to it that nobody writes
        // the range meanwhile. Another program that shortens or writes the file while it is open
        // breaks this; `docs/architecture.md` says so, as every memory map does.
        Some(unsafe { std::slice::from_raw_parts(start.add(offset), len) })
    }

    unsafe fn private(&self, offset: u64, len: u64) -> Option<MmapMut> {
        let end = offset.checked_add(len)?;
        if end > file_len(&self.file).ok()? {
            return None;
        }
        let len = usize::try_from(len).ok()?;
        let mut options = MmapOptions::new();
        // What is never written takes no memory, so none is set aside for it.
        options.offset(offset).len(len).no_reserve_swap();
        // SAFETY: the range is inside the file, so that pages are behind it, and the caller sees to
        // it that nobody writes it in the file; writes through the map do not reach the file. As of
        // every map, another program that shortens the file breaks this.
        unsafe { options.map_copy(&self.file) }.ok()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::io::Write;

    fn read(mapping: &FileMapping, offset: u64, len: u64) -> Option<&[u8]> {
        // SAFETY: the test writes behind the bytes that it has read.
        unsafe { mapping.bytes(offset, len) }
    }

    #[test]
    fn appends_show_and_the_end_is_kept() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"hello").unwrap();
        let mapping = FileMapping::new(file.try_clone().unwrap()).unwrap();
        assert_eq!(read(&mapping, 0, 5), Some(&b"hello"[..]));
        assert_eq!(read(&mapping, 0, 6), None);
        assert_eq!(read(&mapping, u64::MAX, 2), None);
        let before = read(&mapping, 0, 5).unwrap().as_ptr();
        file.write_all(&[7; 10_000]).unwrap();
        assert_eq!(read(&mapping, 5, 10_000), Some(&[7; 10_000][..]));
        assert_eq!(read(&mapping, 0, 5).unwrap().as_ptr(), before);
    }

    #[test]
    fn what_is_written_to_a_private_map_stays_there() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[7; 10_000]).unwrap();
        let mapping = FileMapping::new(file).unwrap();
        // SAFETY: nobody writes to the file any more.
        let private = |offset, len| unsafe { mapping.private(offset, len) };
        // Not at the beginning of a page.
        let mut map = private(4_999, 5_001).unwrap();
        assert_eq!(map[..], [7; 5_001]);
        map.fill(9);
        assert_eq!(read(&mapping, 0, 10_000), Some(&[7; 10_000][..]));
        assert_eq!(private(4_999, 5_001).unwrap()[..], [7; 5_001]);
        assert!(private(4_999, 5_002).is_none());
        assert!(private(u64::MAX, 2).is_none());
    }
}
