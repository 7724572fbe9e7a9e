//! The end of an archive: where its directory is.

use super::{End, Fields, LOCAL_MAGIC, ZipFault, damaged, directory};
use crate::interchange::OpenFile;

const MAGIC: [u8; 4] = *b"PK\x05\x06";
const LEN: u64 = 22;
const ENTRIES_HERE: usize = 8;
const ENTRIES: usize = 10;
const DIRECTORY_LEN: usize = 12;
const DIRECTORY_BEGIN: usize = 16;
const COMMENT_LEN: usize = 20;

const LOCATOR_MAGIC: [u8; 4] = *b"PK\x06\x07";
const LOCATOR_LEN: u64 = 20;
const LOCATOR_RECORD: usize = 8;

const RECORD_MAGIC: [u8; 4] = *b"PK\x06\x06";
const RECORD_LEN: u64 = 56;
/// Of the record's length field, and of what that does not count.
const RECORD_REST: usize = 4;
const RECORD_REST_FROM: u64 = 12;
const RECORD_ENTRIES_HERE: usize = 24;
const RECORD_ENTRIES: usize = 32;
const RECORD_DIRECTORY_LEN: usize = 40;
const RECORD_DIRECTORY_BEGIN: usize = 48;

const SEVERAL_PARTS: &str = "a zip archive of several parts, or a damaged end record";

/// Finds the end record: the last one that the file has room for the comment of.
pub(super) fn find(file: &OpenFile) -> Result<End, ZipFault> {
    let tail_len = (LEN + u64::from(u16::MAX)).min(file.len());
    let tail_begin = file.len() - tail_len;
    let tail = file.bytes(tail_begin, tail_len)?;
    let fits = |at: &usize| {
        let rest = tail.get(*at..).unwrap_or_default();
        let comment = Fields(rest).u16(COMMENT_LEN);
        rest.starts_with(&MAGIC)
            && comment.is_some_and(|len| rest.len() as u64 >= LEN + u64::from(len))
    };
    let Some(at) = (0..tail.len()).rev().find(fits) else {
        return damaged(file.len(), "a zip archive without its end: the directory is missing");
    };
    let place = tail_begin + at as u64;
    let fields = Fields(tail.get(at..).unwrap_or_default());
    let short = || {
        let entries = fields.u16(ENTRIES)?;
        Some((entries, fields.u32(DIRECTORY_LEN)?, fields.u32(DIRECTORY_BEGIN)?))
    };
    let Some((entries, len, begin)) = short() else {
        return damaged(place, "a zip archive's end record is cut");
    };
    if fields.u16(ENTRIES_HERE) != Some(entries) {
        return damaged(place, SEVERAL_PARTS);
    }
    if let Some(shift) = shift(file, place, begin.into(), len.into())? {
        return Err(ZipFault::NotRead(format!(
            "a zip archive after {shift} bytes that are none of its own, as of several archives in \
             one file"
        )));
    }
    let (end, end_begin) = match locator(file, place)? {
        Some(record) => (zip64(file, record, place - LOCATOR_LEN)?, record),
        None => {
            let (directory_begin, directory_len) = (u64::from(begin), u64::from(len));
            (End { entries: u64::from(entries), directory_begin, directory_len }, place)
        }
    };
    let agrees = |short: u64, most: u64, long: u64| short == most || short == long;
    if !agrees(entries.into(), u16::MAX.into(), end.entries)
        || !agrees(len.into(), u32::MAX.into(), end.directory_len)
        || !agrees(begin.into(), u32::MAX.into(), end.directory_begin)
    {
        return damaged(place, "the two end records of the zip archive do not agree");
    }
    if end.directory_begin.checked_add(end.directory_len) != Some(end_begin) {
        return damaged(
            place,
            format!(
                "expected the directory of the zip archive to end at {end_begin}, found {} bytes \
                 from {} on",
                end.directory_len, end.directory_begin
            ),
        );
    }
    Ok(end)
}

/// How far an archive stands behind the place that it was written for; `None` where it does not, or
/// is damaged. The directory is there with that shift, and so is the first entry.
fn shift(file: &OpenFile, place: u64, begin: u64, len: u64) -> Result<Option<u64>, ZipFault> {
    let starts = |at: u64, magic: &[u8]| -> Result<bool, ZipFault> {
        let len = magic.len() as u64;
        let is_there = at.checked_add(len).is_some_and(|end| end <= file.len());
        Ok(is_there && file.bytes(at, len)? == magic)
    };
    let record = place.checked_sub(LOCATOR_LEN + RECORD_LEN);
    let end = match record {
        Some(record) if starts(record, &RECORD_MAGIC)? => record,
        _ => place,
    };
    let Some(shift) = end.checked_sub(begin + len).filter(|shift| *shift > 0) else {
        return Ok(None);
    };
    let entry = begin + shift;
    if len < directory::LEN as u64 || !starts(entry, &directory::MAGIC)? {
        return Ok(None);
    }
    let header = Fields(&file.bytes(entry, directory::LEN as u64)?).u32(directory::HEADER);
    let header = shift + u64::from(header.unwrap_or(u32::MAX));
    Ok(starts(header, LOCAL_MAGIC)?.then_some(shift))
}

/// Where the zip64 end record is, if there is a locator before the end record at `place`.
fn locator(file: &OpenFile, place: u64) -> Result<Option<u64>, ZipFault> {
    let Some(begin) = place.checked_sub(LOCATOR_LEN) else { return Ok(None) };
    let bytes = file.bytes(begin, LOCATOR_LEN)?;
    let record = Fields(&bytes).u64(LOCATOR_RECORD);
    Ok(record.filter(|_| bytes.starts_with(&LOCATOR_MAGIC)))
}

/// The zip64 end record at `place`, which must end at `end`.
fn zip64(file: &OpenFile, place: u64, end: u64) -> Result<End, ZipFault> {
    if place.checked_add(RECORD_LEN).is_none_or(|least| least > end) {
        return damaged(end, "the zip64 end record lies out of its place");
    }
    let bytes = file.bytes(place, RECORD_LEN)?;
    let fields = Fields(&bytes);
    let rest = fields.u64(RECORD_REST).filter(|_| bytes.starts_with(&RECORD_MAGIC));
    if rest.and_then(|rest| rest.checked_add(place + RECORD_REST_FROM)) != Some(end) {
        return damaged(place, "the zip64 end record is damaged");
    }
    let field = |at: usize| fields.u64(at).unwrap_or_default();
    if field(RECORD_ENTRIES_HERE) != field(RECORD_ENTRIES) {
        return damaged(place, SEVERAL_PARTS);
    }
    Ok(End {
        entries: field(RECORD_ENTRIES),
        directory_begin: field(RECORD_DIRECTORY_BEGIN),
        directory_len: field(RECORD_DIRECTORY_LEN),
    })
}
