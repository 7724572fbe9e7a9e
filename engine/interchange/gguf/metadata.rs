//! The keys of a GGUF file: passed over one by one, however long their values are.

use std::collections::HashSet;

use serde_json::{Map, Number, Value};

use super::cursor::Cursor;
use crate::interchange::InterchangeError;

/// The most keys that become facts.
const FACTS_MAX: usize = 64;
/// The longest text that becomes a fact, in bytes.
const FACT_LEN_MAX: u64 = 1024;
/// The keys that say what the model is begin so.
const FACT_PREFIX: &str = "general.";
/// The key of the multiple that every tensor begins at.
const ALIGNMENT_KEY: &str = "general.alignment";
/// That multiple where no key tells it.
const ALIGNMENT_DEFAULT: u64 = 32;

/// What the keys say.
#[derive(Debug)]
pub(super) struct Metadata {
    /// The multiple that every tensor begins at: a power of two.
    pub(super) alignment: u64,
    /// Texts and numbers that say what the model is, with their own keys.
    pub(super) facts: Map<String, Value>,
    /// The keys that say so at more length than is taken.
    pub(super) notes: Vec<String>,
}

/// Reads `count` keys with their values. Memory: the keys, and the facts.
pub(super) fn read(cursor: &mut Cursor<'_>, count: u64) -> Result<Metadata, InterchangeError> {
    cursor.enter("the metadata");
    let (mut alignment, mut facts) = (ALIGNMENT_DEFAULT, Map::new());
    let (mut keys, mut long) = (HashSet::new(), Vec::new());
    for _ in 0..count {
        let at = cursor.at();
        let key = cursor.name("a key")?;
        if keys.contains(&key) {
            return Err(cursor.malformed(at, format!("the key {key:?} stands twice")));
        }
        let kind = cursor.u32()?;
        if key == ALIGNMENT_KEY {
            alignment = read_alignment(cursor, kind)?;
        } else {
            match read_value(cursor, &key, kind, key.starts_with(FACT_PREFIX))? {
                Found::Fact(fact) if facts.len() < FACTS_MAX => {
                    facts.insert(key.clone(), fact);
                }
                Found::Fact(_) | Found::Long => long.push(key.clone()),
                Found::Other => {}
            }
        }
        keys.insert(key);
    }
    let notes = long.first().map(|first| {
        let count = long.len();
        format!(
            "of the keys {FACT_PREFIX}* those of at most {FACT_LEN_MAX} bytes, and {FACTS_MAX} of \
             them, become metadata: {first:?} and {} more are in the file alone",
            count - 1
        )
    });
    Ok(Metadata { alignment, facts, notes: notes.into_iter().collect() })
}

fn read_alignment(cursor: &mut Cursor<'_>, kind: u32) -> Result<u64, InterchangeError> {
    let at = cursor.at();
    if kind != 4 {
        let detail = format!("{ALIGNMENT_KEY}: expected a UINT32, found value type {kind}");
        return Err(cursor.malformed(at, detail));
    }
    let alignment = cursor.u32()?;
    if !alignment.is_power_of_two() {
        let detail = format!("{ALIGNMENT_KEY}: expected a power of two, found {alignment}");
        return Err(cursor.malformed(at, detail));
    }
    Ok(u64::from(alignment))
}

/// What a value is to its reader.
enum Found {
    /// Short enough to be known.
    Fact(Value),
    /// A text that would be a fact, were it shorter.
    Long,
    /// Anything else.
    Other,
}

/// Passes over a value; `wanted` ones come back where they are short texts or single numbers.
fn read_value(
    cursor: &mut Cursor<'_>,
    key: &str,
    kind: u32,
    wanted: bool,
) -> Result<Found, InterchangeError> {
    let at = cursor.at();
    let value = match kind {
        0 => Value::from(cursor.u8()?),
        1 => Value::from(cursor.u8()?.cast_signed()),
        2 => Value::from(cursor.u16()?),
        3 => Value::from(cursor.u16()?.cast_signed()),
        4 => Value::from(cursor.u32()?),
        5 => Value::from(cursor.u32()?.cast_signed()),
        6 => {
            // By its shortest text: 0.1 stays 0.1.
            let text = f32::from_bits(cursor.u32()?).to_string();
            number(text.parse().unwrap_or(f64::NAN))
        }
        7 => Value::from(cursor.u8()? != 0),
        8 => return read_text(cursor, wanted),
        9 => return skip_array(cursor, key).map(|()| Found::Other),
        10 => Value::from(cursor.u64()?),
        11 => Value::from(cursor.u64()?.cast_signed()),
        12 => number(f64::from_bits(cursor.u64()?)),
        _ => {
            let detail = format!("the key {key:?} has a value of the unknown type {kind}");
            return Err(cursor.malformed(at, detail));
        }
    };
    Ok(if wanted && !value.is_null() { Found::Fact(value) } else { Found::Other })
}

/// Not a number, and infinity, have no JSON: null.
fn number(value: f64) -> Value {
    Number::from_f64(value).map_or(Value::Null, Value::Number)
}

fn read_text(cursor: &mut Cursor<'_>, wanted: bool) -> Result<Found, InterchangeError> {
    let len = cursor.u64()?;
    if !wanted || len > FACT_LEN_MAX {
        cursor.skip(len)?;
        return Ok(if wanted { Found::Long } else { Found::Other });
    }
    let bytes = cursor.bytes(len)?;
    // Texts of values may be any bytes, as those of a vocabulary are.
    Ok(String::from_utf8(bytes).map_or(Found::Other, |text| Found::Fact(Value::from(text))))
}

/// Passes over an array. Cost: of texts, a read for every few thousand of them.
fn skip_array(cursor: &mut Cursor<'_>, key: &str) -> Result<(), InterchangeError> {
    let at = cursor.at();
    let kind = cursor.u32()?;
    let count = cursor.u64()?;
    let width: u64 = match kind {
        0 | 1 | 7 => 1,
        2 | 3 => 2,
        4..=6 => 4,
        10..=12 => 8,
        8 => {
            for _ in 0..count {
                let len = cursor.u64()?;
                cursor.skip(len)?;
            }
            return Ok(());
        }
        9 => {
            let detail = format!("the key {key:?} has an array of arrays: the format has none");
            return Err(cursor.malformed(at, detail));
        }
        _ => {
            let detail = format!("the key {key:?} has an array of the unknown type {kind}");
            return Err(cursor.malformed(at, detail));
        }
    };
    // A product too large for the file is no less so when it is cut.
    cursor.skip(count.saturating_mul(width))
}
