//! The headers `Range`, `If-Range` and `If-None-Match` (RFC 9110).

use std::ops::Range;

/// What a range asks of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// All of it: no range, one that means nothing, or several at once, which a server may answer
    /// with the whole.
    Whole,
    /// These bytes, of which there is one at least.
    Part(Range<u64>),
    /// Bytes that it does not have.
    BehindEnd,
}

/// Reads a range for a file of `len` bytes.
pub(super) fn wanted(header: Option<&str>, len: u64) -> Wanted {
    let spec = header.and_then(|text| {
        let (unit, spec) = text.split_once('=')?;
        unit.trim().eq_ignore_ascii_case("bytes").then(|| spec.trim())
    });
    let Some((first, last)) = spec.and_then(|spec| spec.split_once('-')) else {
        return Wanted::Whole;
    };
    let (first, last) = (first.trim(), last.trim());
    match (number(first), number(last)) {
        // The last so many bytes.
        (None, Some(0)) if first.is_empty() => Wanted::BehindEnd,
        (None, Some(count)) if first.is_empty() => match len {
            0 => Wanted::BehindEnd,
            len => Wanted::Part(len.saturating_sub(count)..len),
        },
        (Some(first), None) if last.is_empty() => part(first, u64::MAX, len),
        (Some(first), Some(last)) if first <= last => part(first, last, len),
        _ => Wanted::Whole,
    }
}

fn part(first: u64, last: u64, len: u64) -> Wanted {
    match first < len {
        true => Wanted::Part(first..last.saturating_add(1).min(len)),
        false => Wanted::BehindEnd,
    }
}

/// Digits, however many: what is too large for a file's length is behind every end.
fn number(digits: &str) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(u64::MAX))
}

/// Whether one of the tags of a header is this one (or `*`). Weak tags are like strong ones, as the
/// comparison for `If-None-Match` is.
pub(super) fn names_tag(header: &str, tag: &str) -> bool {
    let mut tags = header.split(',').map(|it| it.trim().trim_start_matches("W/"));
    tags.any(|it| it == "*" || it == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_every_kind() {
        let part = |range| Wanted::Part(range);
        for (text, expected) in [
            ("bytes=0-0", part(0..1)),
            ("bytes=0-", part(0..10)),
            ("bytes=3-5", part(3..6)),
            ("Bytes = 3 - 5 ", part(3..6)),
            ("bytes=3-500", part(3..10)),
            ("bytes=9-9", part(9..10)),
            ("bytes=-4", part(6..10)),
            ("bytes=-400", part(0..10)),
            ("bytes=0-99999999999999999999999", part(0..10)),
            ("bytes=10-", Wanted::BehindEnd),
            ("bytes=99999999999999999999999-", Wanted::BehindEnd),
            ("bytes=-0", Wanted::BehindEnd),
            ("bytes=5-3", Wanted::Whole),
            ("bytes=-", Wanted::Whole),
            ("bytes=", Wanted::Whole),
            ("bytes", Wanted::Whole),
            ("", Wanted::Whole),
            ("rows=0-1", Wanted::Whole),
            ("bytes=0-1,3-4", Wanted::Whole),
            ("bytes=+1-2", Wanted::Whole),
            ("bytes=a-b", Wanted::Whole),
            ("bytes=0x1-2", Wanted::Whole),
            ("bytes=--1", Wanted::Whole),
            ("bytes=1-2-3", Wanted::Whole),
        ] {
            assert_eq!(wanted(Some(text), 10), expected, "{text}");
        }
        assert_eq!(wanted(None, 10), Wanted::Whole);
        assert_eq!(wanted(Some("bytes=0-"), 0), Wanted::BehindEnd);
        assert_eq!(wanted(Some("bytes=-1"), 0), Wanted::BehindEnd);
    }

    #[test]
    fn tags_are_found_in_lists() {
        assert!(names_tag("\"a\", W/\"b\"", "\"b\"") && names_tag("*", "\"b\""));
        assert!(!names_tag("\"a\"", "\"b\"") && !names_tag("", "\"b\""));
    }
}
