//! Zip archives, read by their central directory: where each entry's bytes are in the file.
//!
//! Invariants of this room:
//!
//! - Nothing is unpacked. An entry is a range of the file; only of a *stored* one the range is its
//!   content.
//! - An archive that opens is one in which all readers see the same: the end record, the directory
//!   and the local headers agree, no entry lies over another, over the directory or out of the file,
//!   no name stands twice.
//! - Memory is in proportion to the directory, whose length is that of bytes that are there, and at
//!   most [`DIRECTORY_LEN_MAX`].
//!
//! The format: APPNOTE 6.3.10, <https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT>.

mod directory;
mod end;
mod local;

use std::collections::HashSet;
use std::ops::Range;

use super::{InterchangeError, OpenFile};

/// What a zip archive that has an entry begins with: the signature of a local header.
pub(in crate::interchange) const LOCAL_MAGIC: &[u8] = b"PK\x03\x04";
/// What a zip archive without entries begins with: the signature of the end record.
pub(in crate::interchange) const EMPTY_MAGIC: &[u8] = b"PK\x05\x06";
/// The most bytes of a directory that are read: some 800,000 entries.
pub(in crate::interchange) const DIRECTORY_LEN_MAX: u64 = 64 << 20;

/// Why an archive is not read.
#[derive(Debug)]
pub(in crate::interchange) enum ZipFault {
    /// The system failed to read.
    Io(InterchangeError),
    /// It breaks the rules of the format.
    Damaged { offset: u64, detail: String },
    /// It is larger than is believed, or of a kind that is not read.
    NotRead(String),
}

impl From<InterchangeError> for ZipFault {
    fn from(error: InterchangeError) -> Self {
        ZipFault::Io(error)
    }
}

fn damaged<T>(offset: u64, detail: impl Into<String>) -> Result<T, ZipFault> {
    Err(ZipFault::Damaged { offset, detail: detail.into() })
}

/// Where the directory is.
struct End {
    entries: u64,
    directory_begin: u64,
    directory_len: u64,
}

/// An entry of an archive.
#[derive(Debug)]
pub(in crate::interchange) struct Entry {
    /// Its name, in the directory's bytes.
    name: Range<usize>,
    flags: u16,
    method: u16,
    crc32: u32,
    /// Where its local header is.
    header: u64,
    /// Where its bytes begin in the file.
    begin: u64,
    /// How many they are in the file.
    packed_len: u64,
    /// How many they are unpacked.
    len: u64,
}

impl Entry {
    /// The range of its content in the file, where it is stored as it is.
    pub(in crate::interchange) fn stored(&self) -> Option<Range<u64>> {
        let plain = self.method == 0 && self.flags & local::ENCRYPTED == 0;
        plain.then(|| self.begin..self.begin + self.packed_len)
    }

    /// The checksum of its content.
    pub(in crate::interchange) fn crc32(&self) -> u32 {
        self.crc32
    }
}

/// A zip archive.
#[derive(Debug)]
pub(in crate::interchange) struct Archive {
    directory: Vec<u8>,
    entries: Vec<Entry>,
}

impl Archive {
    /// Reads the directory of an archive, and every local header.
    ///
    /// # Errors
    ///
    /// [`ZipFault`].
    pub(in crate::interchange) fn read(file: &OpenFile) -> Result<Self, ZipFault> {
        let end = end::find(file)?;
        let (directory, mut entries) = directory::read(file, &end)?;
        let name = |range: &Range<usize>| directory.get(range.clone()).unwrap_or_default();
        for entry in &mut entries {
            entry.begin = local::check(file, entry, name(&entry.name), end.directory_begin)?;
        }
        let mut spans: Vec<(u64, u64)> =
            entries.iter().map(|entry| (entry.header, entry.begin + entry.packed_len)).collect();
        spans.sort_unstable();
        for pair in spans.windows(2) {
            if let [(_, end), (begin, _)] = pair
                && begin < end
            {
                return damaged(*begin, "an entry begins before the one before it ends");
            }
        }
        let mut seen = HashSet::with_capacity(entries.len());
        for entry in &entries {
            let name = name(&entry.name);
            if !seen.insert(name) {
                let name = String::from_utf8_lossy(name);
                return damaged(entry.header, format!("the entry {name:?} stands twice"));
            }
        }
        Ok(Archive { directory, entries })
    }

    /// The entries with their names, in the order of the directory.
    pub(in crate::interchange) fn entries(&self) -> impl Iterator<Item = (&[u8], &Entry)> {
        let name = |entry: &Entry| self.directory.get(entry.name.clone()).unwrap_or_default();
        self.entries.iter().map(move |entry| (name(entry), entry))
    }
}

/// The name of the entry whose local header begins the file with this head, as far as it is there.
pub(in crate::interchange) fn first_name(head: &[u8]) -> Option<&[u8]> {
    if !head.starts_with(LOCAL_MAGIC) {
        return None;
    }
    let len = usize::from(Fields(head).u16(local::NAME_LEN)?);
    let name = head.get(local::HEADER_LEN..)?;
    Some(name.get(..len).unwrap_or(name))
}

/// Numbers in a record of the archive, by their places.
#[derive(Clone, Copy)]
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn array<const N: usize>(self, at: usize) -> Option<[u8; N]> {
        self.0.get(at..)?.first_chunk().copied()
    }

    fn u16(self, at: usize) -> Option<u16> {
        self.array(at).map(u16::from_le_bytes)
    }

    fn u32(self, at: usize) -> Option<u32> {
        self.array(at).map(u32::from_le_bytes)
    }

    fn u64(self, at: usize) -> Option<u64> {
        self.array(at).map(u64::from_le_bytes)
    }
}

/// Numbers of a header of 32 bits, or of 64 in its zip64 extra field, which has, in this order, those
/// that did not fit.
struct Numbers<'a> {
    header: Fields<'a>,
    long: &'a [u8],
}

impl<'a> Numbers<'a> {
    fn new(header: Fields<'a>, extra: &'a [u8]) -> Self {
        Numbers { header, long: zip64(extra).unwrap_or_default() }
    }

    fn next(&mut self, at: usize) -> Option<u64> {
        let short = self.header.u32(at)?;
        if short != u32::MAX {
            return Some(u64::from(short));
        }
        let number = Fields(self.long).u64(0)?;
        self.long = self.long.get(8..)?;
        Some(number)
    }
}

/// The content of the zip64 extra field among these extra fields.
fn zip64(mut extra: &[u8]) -> Option<&[u8]> {
    const ID: u16 = 1;
    loop {
        let fields = Fields(extra);
        let (id, len) = (fields.u16(0)?, usize::from(fields.u16(2)?));
        let content = extra.get(4..4 + len)?;
        if id == ID {
            return Some(content);
        }
        extra = extra.get(4 + len..)?;
    }
}
