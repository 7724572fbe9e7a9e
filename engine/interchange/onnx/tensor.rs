//! `TensorProto`: what a tensor is and where its bytes are.

use super::wire::{Reader, Span, Value};
use crate::interchange::InterchangeError;
use crate::tensor::Dtype;

/// A tensor as the file describes it.
#[derive(Debug, Default)]
pub(super) struct TensorProto {
    /// Where it begins in the file.
    pub(super) offset: u64,
    pub(super) name: String,
    pub(super) dims: Vec<u64>,
    code: u64,
    raw: Option<Span>,
    /// Numbers in `float_data` or `double_data`: the first piece that has any.
    numbers: Option<Span>,
    /// How many such pieces there are.
    pieces: u64,
    /// The width of these numbers.
    width: u64,
    /// Whether numbers are in a field of varints.
    varints: bool,
    /// Whether it is a part of a larger tensor.
    segment: bool,
    external: bool,
    pub(super) location: Location,
}

/// The entries of external data; of one that stands twice the last.
#[derive(Debug, Default)]
pub(super) struct Location {
    pub(super) path: String,
    pub(super) offset: Option<String>,
    pub(super) length: Option<String>,
}

/// Where a tensor's bytes are.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    /// In the file itself.
    Here(Span),
    /// In a file beside it, which the tensor's location tells.
    Beside,
    /// Nowhere as they are: for this reason it is no tensor.
    Unseen(&'static str),
}

/// Reads a `TensorProto` from one or more parts, which add to each other.
pub(super) fn read(
    reader: &mut Reader<'_>,
    parts: &[Span],
) -> Result<TensorProto, InterchangeError> {
    let offset = parts.first().map_or(0, |span| span.start);
    reader.take(512, offset)?;
    let mut tensor = TensorProto { offset, ..TensorProto::default() };
    for part in parts {
        let mut at = part.start;
        while at < part.end {
            let offset = at;
            let (number, value) = reader.field(&mut at, part.end)?;
            tensor.set(reader, offset, number, value)?;
        }
    }
    Ok(tensor)
}

impl TensorProto {
    fn set(
        &mut self,
        reader: &mut Reader<'_>,
        offset: u64,
        number: u64,
        value: Value,
    ) -> Result<(), InterchangeError> {
        match (number, value) {
            (1, Value::Varint(dim)) => self.push_dim(reader, dim, offset)?,
            (1, Value::Bytes(dims)) => {
                let mut at = dims.start;
                while at < dims.end {
                    let dim = reader.varint(&mut at, dims.end)?;
                    self.push_dim(reader, dim, offset)?;
                }
            }
            (2, Value::Varint(code)) => self.code = code,
            (3, Value::Bytes(_)) => self.segment = true,
            (4 | 10, Value::Bytes(numbers) | Value::Fixed(numbers)) => {
                if numbers.len() > 0 {
                    self.pieces += 1;
                    self.numbers.get_or_insert(numbers);
                }
                self.width = if number == 4 { 4 } else { 8 };
            }
            (5 | 7 | 11, Value::Varint(_)) => self.varints = true,
            (5 | 7 | 11, Value::Bytes(numbers)) => self.varints |= numbers.len() > 0,
            (8, Value::Bytes(name)) => self.name = reader.text(name)?,
            (9, Value::Bytes(raw)) => self.raw = Some(raw),
            (13, Value::Bytes(entry)) => self.set_location(reader, entry)?,
            (14, Value::Varint(location)) => self.external = location == 1,
            (1..=5 | 7..=11 | 13 | 14, _) => return Err(reader.wrong_type(offset)),
            _ => {}
        }
        Ok(())
    }

    fn push_dim(
        &mut self,
        reader: &mut Reader<'_>,
        dim: u64,
        offset: u64,
    ) -> Result<(), InterchangeError> {
        // A vector may have twice the room that it needs.
        reader.take(16, offset)?;
        self.dims.push(dim);
        Ok(())
    }

    fn set_location(
        &mut self,
        reader: &mut Reader<'_>,
        entry: Span,
    ) -> Result<(), InterchangeError> {
        let (mut key, mut value) = (String::new(), String::new());
        let mut at = entry.start;
        while at < entry.end {
            match reader.field(&mut at, entry.end)? {
                (1, Value::Bytes(text)) => key = reader.text(text)?,
                (2, Value::Bytes(text)) => value = reader.text(text)?,
                _ => {}
            }
        }
        match key.as_str() {
            "location" => self.location.path = value,
            "offset" => self.location.offset = Some(value),
            "length" => self.location.length = Some(value),
            _ => {}
        }
        Ok(())
    }

    /// The element type; `None` for texts and for what has none.
    pub(super) fn dtype(&self) -> Option<Dtype> {
        Some(match self.code {
            1 => Dtype::F32,
            2 => Dtype::U8,
            3 => Dtype::I8,
            4 => Dtype::U16,
            5 => Dtype::I16,
            6 => Dtype::I32,
            7 => Dtype::I64,
            9 => Dtype::Bool,
            10 => Dtype::F16,
            11 => Dtype::F64,
            12 => Dtype::U32,
            13 => Dtype::U64,
            14 => Dtype::C64,
            16 => Dtype::Bf16,
            17 => Dtype::F8E4M3,
            18 => Dtype::F8E4M3Fnuz,
            19 => Dtype::F8E5M2,
            20 => Dtype::F8E5M2Fnuz,
            23 => Dtype::F4,
            24 => Dtype::F8E8M0,
            0 | 8 => return None,
            15 => Dtype::Unknown("C128".into()),
            21 => Dtype::Unknown("U4".into()),
            22 => Dtype::Unknown("I4".into()),
            25 => Dtype::Unknown("U2".into()),
            26 => Dtype::Unknown("I2".into()),
            code => Dtype::Unknown(format!("ONNX{code}").into()),
        })
    }

    /// Bits of an element; `None` for a type that is not known.
    pub(super) fn bits(&self) -> Option<u64> {
        match self.code {
            15 => Some(128),
            21 | 22 => Some(4),
            25 | 26 => Some(2),
            _ => self.dtype()?.bits().map(u64::from),
        }
    }

    /// Where its bytes are. Where there are some of several kinds the runtimes take external
    /// ones first, then raw ones.
    pub(super) fn place(&self) -> Place {
        let is_empty = self.dims.contains(&0);
        match self {
            TensorProto { code: 8, .. } => Place::Unseen("their elements are texts"),
            TensorProto { code: 0, .. } => Place::Unseen("they have no element type"),
            TensorProto { segment: true, .. } => Place::Unseen("they are segments of others"),
            TensorProto { external: true, .. } => Place::Beside,
            TensorProto { raw: Some(raw), .. } => Place::Here(*raw),
            TensorProto { varints: true, .. } => {
                Place::Unseen("their numbers are varints, not an array")
            }
            TensorProto { pieces: 2.., .. } => Place::Unseen("their numbers are in several pieces"),
            TensorProto { numbers: Some(numbers), .. } if self.is_of_width() => {
                Place::Here(*numbers)
            }
            TensorProto { numbers: Some(_), .. } => {
                Place::Unseen("their numbers are in a field of another type")
            }
            // Nothing has to be anywhere.
            _ if is_empty => Place::Here(Span { start: self.offset, end: self.offset }),
            _ => Place::Unseen("they have no data"),
        }
    }

    /// Whether the field that the numbers are in is of the element type: `float_data` is also of
    /// complex numbers of two floats, `double_data` of such of two doubles.
    fn is_of_width(&self) -> bool {
        matches!((self.width, self.code), (4, 1 | 14) | (8, 11 | 15))
    }
}
