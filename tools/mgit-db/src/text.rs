//! Text for people: sizes, times, names, aligned columns.

use std::path::Path;

use jiff::Timestamp;

/// A size in the unit that fits, such as `1.24 MiB`.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let (mut value, mut units) = (bytes as f64 / 1024.0, UNITS.iter());
    let mut unit = units.next().unwrap_or(&"");
    // What would be rounded to 1024 goes to the next unit.
    while value >= 1023.995
        && let Some(next) = units.next()
    {
        value /= 1024.0;
        unit = next;
    }
    format!("{value:.2} {unit}")
}

/// `1 tensor`, `2 tensors`.
pub fn count(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// A time in milliseconds since 1970, as `2024-05-31T08:15:00.123Z`.
pub fn timestamp(ms: u64) -> String {
    instant(ms).map_or_else(|| beyond(ms), |time| format!("{time:.3}"))
}

/// A time for people, as `2024-05-31 08:15` (UTC).
pub fn time(ms: u64) -> String {
    instant(ms).map_or_else(|| beyond(ms), |time| time.strftime("%Y-%m-%d %H:%M").to_string())
}

fn instant(ms: u64) -> Option<Timestamp> {
    Timestamp::from_millisecond(i64::try_from(ms).ok()?).ok()
}

/// A time of a store's file that is behind the year 9999.
fn beyond(ms: u64) -> String {
    format!("{ms} ms after 1970")
}

/// Text from a file, for a terminal: control characters are escaped, so that no file can move
/// the cursor.
pub fn shown(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        // Marks that turn the direction of text are as bad as control characters.
        let is_mark = matches!(character, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}');
        if character.is_control() || is_mark {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// A path as a shell takes it.
pub fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+=:,@%".contains(&byte);
    if !text.is_empty() && text.bytes().all(plain) {
        return text;
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// The narrowest column of text that is cut: as wide as a time, which is never cut.
const NARROWEST: usize = 16;

/// Text of at most `width` characters: what is longer keeps its beginning and its end.
pub fn cut_in_the_middle(text: &str, width: usize) -> String {
    let length = text.chars().count();
    if length <= width {
        return text.to_owned();
    }
    let kept = width.saturating_sub(1);
    let end = kept / 2;
    let begin: String = text.chars().take(kept - end).collect();
    begin + "\u{2026}" + &text.chars().skip(length - end).collect::<String>()
}

/// On which side of its column a cell stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// Rows in aligned columns.
#[derive(Debug)]
pub struct Table {
    sides: Vec<Side>,
    rows: Vec<Vec<String>>,
    /// At least so wide.
    widths: Vec<usize>,
}

impl Table {
    /// A table of these columns: heading and side. Without any heading there is no heading row.
    pub fn new(columns: &[(&str, Side)]) -> Self {
        let headings: Vec<String> = columns.iter().map(|(name, _)| (*name).to_owned()).collect();
        let has_headings = headings.iter().any(|heading| !heading.is_empty());
        let sides = columns.iter().map(|(_, side)| *side).collect();
        let widths = headings.iter().map(|heading| heading.chars().count()).collect();
        Table { sides, widths, rows: if has_headings { vec![headings] } else { Vec::new() } }
    }

    /// Adds a row.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.map(|cell| shown(&cell)).into());
    }

    /// Adds a row of a table whose columns are chosen while it runs.
    pub fn cells(&mut self, cells: Vec<String>) {
        self.rows.push(cells.iter().map(|cell| shown(cell)).collect());
    }

    /// Makes the columns as wide as a row that is printed by [`line`](Self::line): of a table that
    /// is too long to be kept.
    pub fn fit<const N: usize>(&mut self, cells: &[String; N]) {
        for (width, cell) in self.widths.iter_mut().zip(cells) {
            *width = shown(cell).chars().count().max(*width);
        }
    }

    /// A row alone, behind all that the columns were fitted to.
    pub fn line<const N: usize>(&self, cells: &[String; N]) -> String {
        self.format(&cells.clone().map(|cell| shown(&cell)), &self.widths, "")
    }

    fn format(&self, row: &[String], widths: &[usize], indent: &str) -> String {
        let mut line = String::from(indent);
        for ((cell, width), side) in row.iter().zip(widths).zip(&self.sides) {
            let width = *width;
            match side {
                Side::Left => line.push_str(&format!("{cell:<width$}  ")),
                Side::Right => line.push_str(&format!("{cell:>width$}  ")),
            }
        }
        line.truncate(line.trim_end().len());
        line.push('\n');
        line
    }

    /// The lines, each with `indent` before it and without spaces at its end.
    pub fn lines(&self, indent: &str) -> String {
        let widths = self.widths_of_all();
        self.rows.iter().map(|row| self.format(row, &widths, indent)).collect()
    }

    /// As [`lines`](Self::lines), each at most `width` long where there is one: the widest columns of
    /// text become narrower, and their cells are cut in the middle.
    pub fn lines_within(&self, indent: &str, width: Option<usize>) -> String {
        let Some(width) = width else { return self.lines(indent) };
        let mut widths = self.widths_of_all();
        let gaps = 2 * self.sides.len().saturating_sub(1) + indent.chars().count();
        while widths.iter().sum::<usize>() + gaps > width {
            let texts = self.sides.iter().zip(widths.iter_mut());
            let texts = texts.filter(|(side, _)| **side == Side::Left).map(|(_, width)| width);
            match texts.max().filter(|widest| **widest > NARROWEST) {
                Some(widest) => *widest -= 1,
                // Then the terminal breaks the lines.
                None => break,
            }
        }
        let cut = |row: &Vec<String>| -> Vec<String> {
            row.iter().zip(&widths).map(|(cell, width)| cut_in_the_middle(cell, *width)).collect()
        };
        self.rows.iter().map(|row| self.format(&cut(row), &widths, indent)).collect()
    }

    fn widths_of_all(&self) -> Vec<usize> {
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            let fitted = self.widths.get(column).copied().unwrap_or(0);
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0).max(fitted)
        };
        (0..self.sides.len()).map(width).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_fitting_units() {
        let cases = [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.00 KiB"),
            (1_300_000, "1.24 MiB"),
            ((1 << 20) - 1, "1.00 MiB"),
            (u64::MAX, "16.00 EiB"),
        ];
        for (bytes, text) in cases {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn times_follow_the_calendar() {
        assert_eq!(timestamp(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(timestamp(951_782_400_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(timestamp(1_735_689_599_999), "2024-12-31T23:59:59.999Z");
        assert_eq!(time(1_735_689_600_000), "2025-01-01 00:00");
        assert_eq!(timestamp(253_370_764_800_000), "9999-01-01T00:00:00.000Z");
        // A store's file may say anything.
        for far in [1 << 50, u64::MAX] {
            assert_eq!(timestamp(far), format!("{far} ms after 1970"));
            assert_eq!(time(far), timestamp(far));
        }
    }

    #[test]
    fn names_cannot_move_the_cursor() {
        assert_eq!(shown("a\x1b[2J\nb\u{202e}é"), "a\\u{1b}[2J\\nb\\u{202e}é");
    }

    #[test]
    fn paths_can_be_pasted_into_a_shell() {
        assert_eq!(quoted(Path::new("a/b-c.mgit")), "a/b-c.mgit");
        assert_eq!(quoted(Path::new("it's here")), "'it'\\''s here'");
    }

    #[test]
    fn long_names_are_cut_in_the_middle() {
        assert_eq!(cut_in_the_middle("task/sst2/run", 13), "task/sst2/run");
        assert_eq!(cut_in_the_middle("task/sst2/run", 9), "task…/run");
        assert_eq!(cut_in_the_middle("äöüßé", 4), "äö…é");
        assert_eq!(cut_in_the_middle("abc", 0), "…");
    }

    #[test]
    fn a_table_becomes_as_narrow_as_the_terminal() {
        let mut table =
            Table::new(&[("NAME", Side::Left), ("SIZE", Side::Right), ("BY", Side::Left)]);
        table.row([
            "a-name-of-twenty-two-c".into(),
            "10 B".into(),
            "parent-of-twenty-two-c".into(),
        ]);
        table.row(["short".into(), "1 B".into(), "-".into()]);
        assert_eq!(table.lines_within("", None), table.lines(""));
        assert_eq!(table.lines_within("", Some(52)), table.lines(""));
        let narrow = table.lines_within("", Some(40));
        assert_eq!(
            narrow,
            "NAME              SIZE  BY\n\
             a-name-o…y-two-c  10 B  parent-o…y-two-c\n\
             short              1 B  -\n"
        );
        assert!(narrow.lines().all(|line| line.chars().count() <= 40));
        // Numbers are never cut, nor is text below a width.
        assert!(table.lines_within("", Some(3)).contains("10 B"));
    }

    #[test]
    fn columns_are_aligned() {
        let mut table =
            Table::new(&[("NAME", Side::Left), ("SIZE", Side::Right), ("", Side::Left)]);
        table.row(["a".into(), "10".into(), "x".into()]);
        table.row(["long".into(), "1".into(), String::new()]);
        assert_eq!(table.lines(" "), " NAME  SIZE\n a       10  x\n long     1\n");
    }
}
