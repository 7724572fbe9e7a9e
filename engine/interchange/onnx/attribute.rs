//! `AttributeProto`: a setting of an operator, as a text, a tensor or a graph.

use std::collections::BTreeMap;

use super::tensor::{self, TensorProto};
use super::wire::{Reader, Span, Value};
use crate::interchange::InterchangeError;

/// Numbers and texts of a list that are shown; of what is beyond only the count.
const SHOWN_MAX: usize = 64;
/// Bytes of a text that is shown; of a longer one only the length.
const TEXT_LEN_MAX: u64 = 1024;

/// What an attribute holds.
#[derive(Debug, Default)]
pub(super) struct Attribute {
    pub(super) name: String,
    /// Its value for people; empty for tensors and graphs.
    pub(super) text: String,
    /// Tensors, with the end of their name.
    pub(super) tensors: Vec<(String, TensorProto)>,
    /// Graphs, with the end of their name, each in one or more parts.
    pub(super) graphs: Vec<(String, Vec<Span>)>,
}

/// A list of values of one field.
#[derive(Debug, Default)]
struct List {
    shown: Vec<String>,
    count: u64,
}

impl List {
    fn push(&mut self, text: impl FnOnce() -> String) {
        self.count += 1;
        if self.shown.len() < SHOWN_MAX {
            self.shown.push(text());
        }
    }

    fn text(self, is_list: bool) -> String {
        let more = self.count - self.shown.len() as u64;
        let mut shown = self.shown;
        if more > 0 {
            shown.push(format!("and {more} more"));
        }
        let joined = shown.join(", ");
        if is_list { format!("[{joined}]") } else { joined }
    }
}

/// Reads an attribute. Its lists are numbers by their fields.
pub(super) fn read(reader: &mut Reader<'_>, span: Span) -> Result<Attribute, InterchangeError> {
    let mut attribute = Attribute::default();
    let mut lists: BTreeMap<u64, List> = BTreeMap::new();
    let (mut tensor, mut graph, mut sparse) = (Vec::new(), Vec::new(), Vec::new());
    let (mut tensors, mut sparses) = (0, 0);
    let mut at = span.start;
    while at < span.end {
        let offset = at;
        let (number, value) = reader.field(&mut at, span.end)?;
        match (number, value) {
            (1, Value::Bytes(text)) => attribute.name = reader.text(text)?,
            (2..=4 | 7..=9, value) => {
                let list = lists.entry(number).or_default();
                read_plain(reader, offset, number, value, list)?;
            }
            // One message in several parts, which add to each other.
            (5, Value::Bytes(part)) => keep(reader, &mut tensor, part)?,
            (6, Value::Bytes(part)) => keep(reader, &mut graph, part)?,
            (22, Value::Bytes(part)) => keep(reader, &mut sparse, part)?,
            (10, Value::Bytes(part)) => {
                let tensor = tensor::read(reader, &[part])?;
                attribute.tensors.push((format!(".{tensors}"), tensor));
                tensors += 1;
            }
            (11, Value::Bytes(part)) => {
                reader.take(128, offset)?;
                let end = format!(".{}", attribute.graphs.len());
                attribute.graphs.push((end, vec![part]));
            }
            (23, Value::Bytes(part)) => {
                read_sparse(reader, &[part], &format!(".{sparses}"), &mut attribute.tensors)?;
                sparses += 1;
            }
            (5 | 6 | 10 | 11 | 22 | 23, _) => return Err(reader.wrong_type(offset)),
            _ => {}
        }
    }
    if !tensor.is_empty() {
        attribute.tensors.push((String::new(), tensor::read(reader, &tensor)?));
    }
    if !sparse.is_empty() {
        read_sparse(reader, &sparse, "", &mut attribute.tensors)?;
    }
    if !graph.is_empty() {
        attribute.graphs.push((String::new(), graph));
    }
    let texts: Vec<String> =
        lists.into_iter().map(|(number, list)| list.text(number >= 7)).collect();
    attribute.text = texts.join(" ");
    Ok(attribute)
}

fn keep(
    reader: &mut Reader<'_>,
    parts: &mut Vec<Span>,
    part: Span,
) -> Result<(), InterchangeError> {
    reader.take(32, part.start)?;
    parts.push(part);
    Ok(())
}

/// Numbers and texts, as texts.
fn read_plain(
    reader: &mut Reader<'_>,
    offset: u64,
    number: u64,
    value: Value,
    list: &mut List,
) -> Result<(), InterchangeError> {
    let shows = |list: &List| list.shown.len() < SHOWN_MAX;
    if shows(list) {
        reader.take(64, offset)?;
    }
    match (number, value) {
        (2 | 7, Value::Fixed(span)) if span.len() == 4 => {
            let float = reader.f32(span.start)?;
            list.push(|| float.to_string());
        }
        (3 | 8, Value::Varint(number)) => list.push(|| number.cast_signed().to_string()),
        (4 | 9, Value::Bytes(text)) if text.len() > TEXT_LEN_MAX => {
            list.push(|| format!("{} bytes", text.len()));
        }
        (4 | 9, Value::Bytes(text)) if shows(list) => {
            // Texts of settings may be any bytes.
            let bytes = reader.bytes(text)?;
            list.push(|| String::from_utf8_lossy(&bytes).into_owned());
        }
        (4 | 9, Value::Bytes(_)) => list.push(String::new),
        (8, Value::Bytes(numbers)) => {
            let mut at = numbers.start;
            while at < numbers.end {
                let number = reader.varint(&mut at, numbers.end)?;
                reader.take(if shows(list) { 64 } else { 0 }, offset)?;
                list.push(|| number.cast_signed().to_string());
            }
        }
        (7, Value::Bytes(numbers)) => {
            for place in 0..numbers.len() / 4 {
                let float = reader.f32(numbers.start + 4 * place)?;
                reader.take(if shows(list) { 64 } else { 0 }, offset)?;
                list.push(|| float.to_string());
            }
        }
        _ => return Err(reader.wrong_type(offset)),
    }
    Ok(())
}

/// The values and the indices of a sparse tensor, with the end of their names behind `end`.
/// Without values there is nothing.
pub(super) fn read_sparse(
    reader: &mut Reader<'_>,
    parts: &[Span],
    end: &str,
    tensors: &mut Vec<(String, TensorProto)>,
) -> Result<(), InterchangeError> {
    let (mut values, mut indices) = (Vec::new(), Vec::new());
    for part in parts {
        let mut at = part.start;
        while at < part.end {
            match reader.field(&mut at, part.end)? {
                (1, Value::Bytes(part)) => keep(reader, &mut values, part)?,
                (2, Value::Bytes(part)) => keep(reader, &mut indices, part)?,
                _ => {}
            }
        }
    }
    for (parts, what) in [(values, "values"), (indices, "indices")] {
        if !parts.is_empty() {
            tensors.push((format!("{end}:{what}"), tensor::read(reader, &parts)?));
        }
    }
    Ok(())
}
