//! The header before an entry's bytes, which repeats what the directory says.

use super::{Entry, Fields, LOCAL_MAGIC, Numbers, ZipFault, damaged};
use crate::interchange::OpenFile;

pub(super) const HEADER_LEN: usize = 30;
pub(super) const NAME_LEN: usize = 26;
const FLAGS: usize = 6;
const METHOD: usize = 8;
const CRC32: usize = 14;
const PACKED_LEN: usize = 18;
const UNPACKED_LEN: usize = 22;
const EXTRA_LEN: usize = 28;

/// Encrypted in one of three ways.
pub(super) const ENCRYPTED: u16 = 1 | 1 << 6 | 1 << 13;
/// Lengths and checksum follow the bytes; those of the header may be zero.
const LENGTHS_FOLLOW: u16 = 1 << 3;

/// Where the bytes of `entry` begin, if its local header says what the directory says and its bytes
/// end before the directory.
pub(super) fn check(
    file: &OpenFile,
    entry: &Entry,
    name: &[u8],
    directory_begin: u64,
) -> Result<u64, ZipFault> {
    let place = entry.header;
    let label = || String::from_utf8_lossy(name);
    let wrong = |what: &str| damaged(place, format!("the entry {:?} {what}", label()));
    let fixed_len = HEADER_LEN as u64 + name.len() as u64;
    let Some(fixed_end) =
        place.checked_add(fixed_len).filter(|fixed_end| *fixed_end <= directory_begin)
    else {
        return wrong("lies outside of the zip archive");
    };
    let header = file.bytes(place, fixed_len)?;
    let fields = Fields(&header);
    let (extra_len, flags) =
        (fields.u16(EXTRA_LEN).unwrap_or_default(), fields.u16(FLAGS).unwrap_or_default());
    if !header.starts_with(LOCAL_MAGIC)
        || header.get(HEADER_LEN..) != Some(name)
        || fields.u16(NAME_LEN).map(usize::from) != Some(name.len())
        || fields.u16(METHOD) != Some(entry.method)
        || (flags ^ entry.flags) & ENCRYPTED != 0
    {
        return wrong("is not where the directory says");
    }
    let begin = fixed_end + u64::from(extra_len);
    if begin.checked_add(entry.packed_len).is_none_or(|end| end > directory_begin) {
        return wrong("ends outside of the zip archive");
    }
    if flags & LENGTHS_FOLLOW == 0 {
        let extra = file.bytes(fixed_end, u64::from(extra_len))?;
        let mut numbers = Numbers::new(fields, &extra);
        if numbers.next(UNPACKED_LEN) != Some(entry.len)
            || numbers.next(PACKED_LEN) != Some(entry.packed_len)
            || fields.u32(CRC32) != Some(entry.crc32)
        {
            return wrong("has other lengths in its header than in the directory");
        }
    }
    Ok(begin)
}
