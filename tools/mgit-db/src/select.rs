//! Which models a user speaks of: names, globs of names, points in time.

use jiff::{Timestamp, tz};

use mgit::Snapshot;
pub use mgit::lineage::glob_matches;
use mgit::lineage::{ModelRef, Node};

use crate::failure::Failure;

/// Whether this is a pattern of names, and no name.
pub fn is_glob(text: &str) -> bool {
    text.contains(['*', '?'])
}

/// Whether a node's name, or name@version, matches a glob.
pub fn fits(glob: &str, node: &Node) -> bool {
    glob_matches(glob, node.name()) || glob_matches(glob, &node.full_name())
}

/// The models that are meant, each once, in the order in which they were named; those of a glob by
/// name and version. All of them where none is named.
///
/// # Errors
///
/// One is not there, or a glob fits none.
pub fn select(snapshot: &Snapshot, models: &[String]) -> Result<Vec<Node>, Failure> {
    let nodes = snapshot.nodes()?;
    if models.is_empty() {
        return Ok(nodes);
    }
    let mut selected: Vec<Node> = Vec::new();
    let mut known = std::collections::HashSet::new();
    for model in models {
        let found: Vec<Node> = if is_glob(model) {
            nodes.iter().filter(|node| fits(model, node)).cloned().collect()
        } else {
            let reference: ModelRef = model.parse()?;
            vec![snapshot.graph().find(&reference)?]
        };
        if found.is_empty() {
            let message = format!("no model's name fits {model:?}");
            return Err(Failure::failed("no-such-model", message));
        }
        selected.extend(found.into_iter().filter(|node| known.insert(node.id())));
    }
    Ok(selected)
}

/// A point in time, in milliseconds since 1970: a date such as `2024-05-31`, with a time of day
/// `T08:15` or `T08:15:30` if you like (UTC, or with an offset behind it, `+02:00`), or so long ago:
/// `3d`, `2 weeks ago`, `yesterday`.
///
/// # Errors
///
/// Says what may be written.
pub fn parse_time(text: &str, now_ms: u64) -> Result<u64, String> {
    let text = text.trim().to_lowercase();
    let wrong = || {
        Err(format!(
            "{text:?} is not a time: write 2024-05-31, 2024-05-31T08:15 (UTC), 3d or '2 weeks ago'"
        ))
    };
    match text.as_str() {
        "now" => return Ok(now_ms),
        "yesterday" => return Ok(now_ms.saturating_sub(86_400_000)),
        _ => {}
    }
    let date = parse_date(&text).or_else(|| parse_ago(&text, now_ms));
    date.map_or_else(wrong, Ok)
}

fn parse_ago(text: &str, now_ms: u64) -> Option<u64> {
    let text = text.strip_suffix("ago").unwrap_or(text);
    let text = text.trim_end_matches([' ', '.', '-']);
    let digits = text.find(|character: char| !character.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let unit: u64 = match unit.trim_matches([' ', '.', '-']).trim_end_matches('s') {
        "" | "sec" | "second" => 1000,
        "m" | "min" | "minute" => 60_000,
        "h" | "hour" => 3_600_000,
        "d" | "day" => 86_400_000,
        "w" | "week" => 7 * 86_400_000,
        "month" => 30 * 86_400_000,
        "y" | "year" => 365 * 86_400_000,
        _ => return None,
    };
    Some(now_ms.saturating_sub(number.parse::<u64>().ok()?.checked_mul(unit)?))
}

fn parse_date(text: &str) -> Option<u64> {
    // The name of a zone would be passed over where no offset stands before it.
    if text.contains('[') {
        return None;
    }
    let utc = || tz::Offset::UTC.to_timestamp(text.parse().ok()?).ok();
    let time = text.parse::<Timestamp>().ok().or_else(utc)?;
    u64::try_from(time.as_millisecond()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::timestamp;

    #[test]
    fn times_are_dates_or_so_long_ago() {
        let now = 1_735_689_600_000;
        let read = |text: &str| parse_time(text, now).map(timestamp);
        let ok = |text: &str| Ok(text.to_owned());
        assert_eq!(read("2024-02-29"), ok("2024-02-29T00:00:00.000Z"));
        assert_eq!(read("2024-05-31T08:15"), ok("2024-05-31T08:15:00.000Z"));
        assert_eq!(read("2000-12-31 23:59:58.5Z"), ok("2000-12-31T23:59:58.500Z"));
        assert_eq!(read("2024-05-31T10:15+02:00"), ok("2024-05-31T08:15:00.000Z"));
        assert_eq!(read("1d"), ok("2024-12-31T00:00:00.000Z"));
        assert_eq!(read("2 weeks ago"), ok("2024-12-18T00:00:00.000Z"));
        assert_eq!(read("3.hours.ago"), ok("2024-12-31T21:00:00.000Z"));
        assert_eq!(read("yesterday"), read("1 day ago"));
        for bad in
            ["", "2023-02-29", "2024-13-01", "2024-1", "1 lightyear", "-1d", "2024-01-01T24:00"]
        {
            assert!(read(bad).unwrap_err().contains("not a time"), "{bad}");
        }
        for bad in [
            "99999999999999999999d",
            "2024-00-10",
            "2024-01-01T1",
            "1969-12-31",
            "2024-05-31T08:15[Europe/Berlin]",
            "2024-05-31+02:00",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
