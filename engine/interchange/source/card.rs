//! The front matter of a model card: what is between two lines `---` at the beginning of a README.
//!
//! It is YAML, of which this reads what cards have: keys at the beginning of a line with a text, in
//! quotes or not, or with a list of texts, in brackets or on lines that begin with `-`. What is
//! deeper is passed over.

use serde_json::{Map, Value};

use crate::interchange::OpenFile;

/// The most bytes of front matter that are read.
pub(super) const FRONT_LEN_MAX: u64 = 64 << 10;
/// The most texts of a list that are kept.
const LIST_MAX: usize = 64;

/// The texts and lists of texts of `keys` in a card.
///
/// # Errors
///
/// Says what is wrong; without front matter there is nothing to find, and nothing wrong.
pub(super) fn read(file: &OpenFile, keys: &[&str]) -> Result<Map<String, Value>, String> {
    let head = file.head(FRONT_LEN_MAX).map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&head);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let mut lines = text.lines();
    if lines.next().map(str::trim_end) != Some("---") {
        return Ok(Map::new());
    }
    let mut front = Vec::new();
    for line in lines {
        if matches!(line.trim_end(), "---" | "...") {
            return Ok(facts(&front, keys));
        }
        front.push(line);
    }
    Err(format!("its front matter has no end within {FRONT_LEN_MAX} bytes"))
}

fn facts(lines: &[&str], keys: &[&str]) -> Map<String, Value> {
    let mut facts = Map::new();
    for (at, line) in lines.iter().enumerate() {
        let Some((key, rest)) = line.split_once(':') else { continue };
        let rest = without_comment(rest).trim();
        if !keys.contains(&key) || facts.contains_key(key) {
            continue;
        }
        let value = match rest.strip_prefix('[') {
            Some(list) => list_of(list.strip_suffix(']').unwrap_or(list).split(',')),
            None if rest.is_empty() => {
                let below = lines.iter().skip(at + 1).map(|line| line.trim());
                let items = below.take_while(|line| line.starts_with('-') || line.is_empty());
                list_of(items.filter_map(|line| line.strip_prefix('-')))
            }
            None => text_of(rest).map(Value::from),
        };
        facts.extend(value.map(|value| (key.to_owned(), value)));
    }
    facts
}

fn list_of<'t>(items: impl Iterator<Item = &'t str>) -> Option<Value> {
    let items: Vec<Value> = items
        .filter_map(|item| text_of(without_comment(item).trim()))
        .take(LIST_MAX)
        .map(Value::from)
        .collect();
    (!items.is_empty()).then(|| items.into())
}

/// A text without its quotes; nothing where YAML has no text there.
fn text_of(text: &str) -> Option<String> {
    let quoted = |quote: char| text.strip_prefix(quote)?.strip_suffix(quote);
    if let Some(text) = quoted('"') {
        return Some(text.replace("\\\"", "\"").replace("\\\\", "\\"));
    }
    if let Some(text) = quoted('\'') {
        return Some(text.replace("''", "'"));
    }
    let is_text = !text.is_empty() && !text.starts_with(['{', '|', '>', '&', '*', '!', '[']);
    (is_text && !matches!(text, "null" | "~")).then(|| text.to_owned())
}

/// A value without the comment behind it, unless the value is in quotes.
fn without_comment(text: &str) -> &str {
    if text.trim_start().starts_with(['"', '\'']) {
        return text;
    }
    if text.trim_start().starts_with('#') {
        return "";
    }
    text.split_once(" #").map_or(text, |(before, _)| before)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn read_text(text: &str) -> Result<Value, String> {
        let file = OpenFile::of_bytes("README.md", text.as_bytes().to_vec());
        read(&file, &["base_model", "license"]).map(Value::from)
    }

    #[test]
    fn texts_and_lists_are_read() {
        for (yaml, expected) in [
            ("base_model: org/name", json!("org/name")),
            ("base_model:   'it''s'  ", json!("it's")),
            ("base_model: \"a # b\"", json!("a # b")),
            ("base_model: a/b # the base", json!("a/b")),
            ("base_model: [a/b, 'c/d']", json!(["a/b", "c/d"])),
            ("base_model:\n- a/b\n  - c/d\nlicense: mit", json!(["a/b", "c/d"])),
        ] {
            let found = read_text(&format!("---\n{yaml}\n---\n# Card")).unwrap();
            assert_eq!(found.get("base_model"), Some(&expected), "{yaml}");
        }
        let crlf = read_text("\u{feff}---\r\nlicense: mit\r\n---\r\n").unwrap();
        assert_eq!(crlf, json!({ "license": "mit" }));
    }

    #[test]
    fn what_is_no_front_matter_says_nothing() {
        for text in ["", "# A model\nbase_model: x", "---\n---\nbase_model: x"] {
            assert_eq!(read_text(text), Ok(json!({})), "{text}");
        }
        for yaml in ["base_model:", "base_model: null", "base_model: {a: b}", "  base_model: x"] {
            assert_eq!(read_text(&format!("---\n{yaml}\n---\n")), Ok(json!({})), "{yaml}");
        }
        assert!(read_text("---\nbase_model: x\n").unwrap_err().contains("no end"));
    }
}
