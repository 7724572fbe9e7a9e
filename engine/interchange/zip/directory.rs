//! The central directory.

use super::{DIRECTORY_LEN_MAX, End, Entry, Fields, Numbers, ZipFault, damaged};
use crate::interchange::OpenFile;

pub(super) const MAGIC: [u8; 4] = *b"PK\x01\x02";
pub(super) const LEN: usize = 46;
const FLAGS: usize = 8;
const METHOD: usize = 10;
const CRC32: usize = 16;
const PACKED_LEN: usize = 20;
const UNPACKED_LEN: usize = 24;
const NAME_LEN: usize = 28;
const EXTRA_LEN: usize = 30;
const COMMENT_LEN: usize = 32;
pub(super) const HEADER: usize = 42;

/// The directory's bytes and its entries, whose data are not placed yet.
pub(super) fn read(file: &OpenFile, end: &End) -> Result<(Vec<u8>, Vec<Entry>), ZipFault> {
    let End { entries: count, directory_begin, directory_len } = *end;
    if directory_len > DIRECTORY_LEN_MAX {
        return Err(ZipFault::NotRead(format!(
            "the directory of the zip archive has {directory_len} bytes, at most \
             {DIRECTORY_LEN_MAX} are read"
        )));
    }
    if count.checked_mul(LEN as u64).is_none_or(|least| least > directory_len) {
        let detail = format!("{count} entries do not fit in {directory_len} bytes of directory");
        return damaged(directory_begin, detail);
    }
    let bytes = file.bytes(directory_begin, directory_len)?;
    let mut entries = Vec::with_capacity(usize::try_from(count).unwrap_or_default());
    let mut at = 0;
    for _ in 0..count {
        let place = directory_begin + at as u64;
        let Some((entry, next)) = entry(&bytes, at) else {
            return damaged(place, "an entry of the directory of the zip archive is damaged");
        };
        if entry.method == 0 && entry.packed_len != entry.len {
            return damaged(place, "a stored entry has two lengths");
        }
        entries.push(entry);
        at = next;
    }
    if at != bytes.len() {
        let detail = "bytes in the directory of the zip archive that are no entry";
        return damaged(directory_begin + at as u64, detail);
    }
    Ok((bytes, entries))
}

/// The entry at `at`, and where the next one is.
fn entry(bytes: &[u8], at: usize) -> Option<(Entry, usize)> {
    let fixed = bytes.get(at..at + LEN)?;
    let fields = Fields(fixed);
    if !fixed.starts_with(&MAGIC) {
        return None;
    }
    let len = |at: usize| fields.u16(at).map(usize::from);
    let name = at + LEN..at + LEN + len(NAME_LEN)?;
    let extra = bytes.get(name.end..name.end + len(EXTRA_LEN)?)?;
    let next = name.end + extra.len() + len(COMMENT_LEN)?;
    bytes.get(name.end..next)?;
    let mut numbers = Numbers::new(fields, extra);
    let len = numbers.next(UNPACKED_LEN)?;
    let packed_len = numbers.next(PACKED_LEN)?;
    let header = numbers.next(HEADER)?;
    let (flags, method) = (fields.u16(FLAGS)?, fields.u16(METHOD)?);
    let crc32 = fields.u32(CRC32)?;
    Some((Entry { name, flags, method, crc32, header, begin: 0, packed_len, len }, next))
}
