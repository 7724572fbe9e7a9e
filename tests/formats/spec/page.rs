//! The page: its sections, tables and numbers.

use std::collections::BTreeMap;

use serde_json::{Value, json};

pub const SPEC: &str = include_str!("../../../format-spec.md");

pub type Rows = Vec<Vec<String>>;

/// The lines under a heading, up to the next one.
pub fn section(heading: &str) -> Vec<&'static str> {
    let title =
        |line: &str| line.starts_with('#').then(|| line.trim_start_matches('#').trim().to_owned());
    let lines = SPEC.lines().skip_while(|line| title(line).as_deref() != Some(heading)).skip(1);
    let section: Vec<_> = lines.take_while(|line| title(line).is_none()).collect();
    assert!(!section.is_empty(), "no section {heading:?}");
    section
}

/// The first table under a heading, without its head.
pub fn table(heading: &str) -> Rows {
    let lines = section(heading);
    let rows = lines.iter().skip_while(|line| !line.starts_with('|')).skip(2);
    let rows: Rows = rows
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            let cells = line.trim().trim_start_matches('|').trim_end_matches('|').split('|');
            cells.map(|cell| cell.trim().replace('`', "")).collect()
        })
        .collect();
    assert!(!rows.is_empty(), "no table under {heading:?}");
    rows
}

/// A number such as `4,096`, `2^61 + 1,024` or `8 - 1`.
pub fn number(text: &str) -> u64 {
    let atom = |text: &str| -> u64 {
        let text = text.trim().replace(',', "");
        match text.split_once('^') {
            Some((base, power)) => base.parse::<u64>().unwrap().pow(power.parse().unwrap()),
            None => text.parse().unwrap_or_else(|_| panic!("{text:?} is not a number")),
        }
    };
    if let Some((a, b)) = text.split_once(" + ") {
        return atom(a) + atom(b);
    }
    match text.split_once(" - ") {
        Some((a, b)) => atom(a) - atom(b),
        None => atom(text),
    }
}

/// Holds a table of names and numbers against the code's, in both directions.
pub fn assert_numbers(heading: &str, name_at: usize, number_at: usize, code: &[(&str, u64)]) {
    let said: BTreeMap<String, u64> =
        table(heading).iter().map(|row| (row[name_at].clone(), number(&row[number_at]))).collect();
    let code: BTreeMap<String, u64> =
        code.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
    assert_eq!(said, code, "{heading}");
}

pub fn little_endian(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
}

/// Fields that follow one another without a gap: offset, size and name of each.
pub fn fields(heading: &str, len: usize) -> Vec<(usize, usize, String)> {
    let mut end = 0;
    let fields: Vec<_> = table(heading)
        .iter()
        .map(|row| {
            let (offset, size) = (number(&row[0]) as usize, number(&row[1]) as usize);
            assert_eq!(offset, end, "{heading}: {}", row[2]);
            end += size;
            (offset, size, row[2].clone())
        })
        .collect();
    assert_eq!(end, len, "{heading}");
    fields
}

/// Reads fields as a table of the page lists them.
pub struct Walk<'a> {
    pub bytes: &'a [u8],
    pub at: usize,
}

impl Walk<'_> {
    fn take(&mut self, len: usize) -> Vec<u8> {
        self.at += len;
        self.bytes[self.at - len..self.at].to_vec()
    }

    fn number(&mut self, len: usize) -> u64 {
        self.take(len).iter().rev().fold(0, |n, byte| n << 8 | u64::from(*byte))
    }

    pub fn fields(&mut self, heading: &str) -> BTreeMap<String, Value> {
        let mut values = BTreeMap::<String, Value>::new();
        for row in table(heading) {
            let value = match row[1].as_str() {
                "u8" => json!(self.number(1)),
                "u16" => json!(self.number(2)),
                "u32" => json!(self.number(4)),
                "u64" => json!(self.number(8)),
                "text, if dtype is 0" if values["dtype"] != 0 => continue,
                "text" | "text, if dtype is 0" => {
                    let len = self.number(2) as usize;
                    json!(String::from_utf8(self.take(len)).unwrap())
                }
                "blob" => {
                    let len = self.number(4) as usize;
                    json!(self.take(len))
                }
                "u64 each" => {
                    let rank = values["rank"].as_u64().unwrap();
                    json!((0..rank).map(|_| self.number(8)).collect::<Vec<_>>())
                }
                "u64 for each tensor" => {
                    let count = values["tensor_count"].as_u64().unwrap();
                    json!((0..count).map(|_| self.number(8)).collect::<Vec<_>>())
                }
                "32 bytes" => json!(self.take(32)),
                other => panic!("{heading}: a type {other:?}"),
            };
            values.insert(row[0].clone(), value);
        }
        values
    }
}
