//! `TensorProto`: what a tensor is and where its bytes are.

use super::wire::{Reader, Span, Value, WireError};
use crate::tensor::Dtype;

/// Where a tensor's bytes are.
#[derive(Debug)]
pub(super) enum Place {
    /// In the file itself.
    Here(Span),
    /// In a file beside it.
    Beside { name: String, offset: u64, len: Option<u64> },
    /// In memory: they were not as they are in tensors.
    Decoded(Vec<u8>),
}

/// A tensor as the file describes it.
#[derive(Debug, Default)]
pub(super) struct TensorProto {
    /// Where it begins in the file.
    pub(super) offset: u64,
    pub(super) name: String,
    pub(super) dims: Vec<u64>,
    code: u64,
    raw: Option<Span>,
    /// `float_data` or `double_data`, in one piece.
    packed: Option<Span>,
    /// Numbers in pieces of their own, or as varints.
    decoded: Vec<u64>,
    external: bool,
    location: Vec<(String, String)>,
}

/// What reading a graph may still take into memory.
pub(super) struct Budget(pub(super) u64);

impl Budget {
    pub(super) fn take(&mut self, bytes: u64, offset: u64) -> Result<(), WireError> {
        let detail = "the graph is too large";
        self.0 = self.0.checked_sub(bytes).ok_or(WireError::Malformed { offset, detail })?;
        Ok(())
    }

    /// The text of a field.
    pub(super) fn text(&mut self, reader: &Reader<'_>, span: Span) -> Result<String, WireError> {
        // A text costs more than its bytes.
        self.take(span.len() + 64, span.start)?;
        let detail = "a text that is not UTF-8";
        let malformed = |_| WireError::Malformed { offset: span.start, detail };
        String::from_utf8(reader.bytes(span)?).map_err(malformed)
    }
}

fn wrong_type(span_start: u64) -> WireError {
    WireError::Malformed { offset: span_start, detail: "a field of the wrong type" }
}

/// Reads a `TensorProto`.
pub(super) fn read(
    reader: &mut Reader<'_>,
    span: Span,
    budget: &mut Budget,
) -> Result<TensorProto, WireError> {
    budget.take(256, span.start)?;
    let mut tensor = TensorProto { offset: span.start, ..TensorProto::default() };
    let mut at = span.start;
    while at < span.end {
        let offset = at;
        match reader.field(&mut at, span.end)? {
            (1, Value::Varint(dim)) => push(&mut tensor.dims, dim, budget, offset)?,
            (1, Value::Bytes(dims)) => {
                let mut at = dims.start;
                while at < dims.end {
                    let dim = reader.varint(&mut at, dims.end)?;
                    push(&mut tensor.dims, dim, budget, offset)?;
                }
            }
            (2, Value::Varint(code)) => tensor.code = code,
            (4 | 10, Value::Bytes(numbers)) if tensor.packed.is_none() => {
                tensor.packed = Some(numbers);
            }
            (4 | 10, Value::Bytes(_)) => {
                let detail = "numbers in several pieces";
                return Err(WireError::Malformed { offset, detail });
            }
            (4 | 10, Value::Fixed(number)) => {
                push(&mut tensor.decoded, number, budget, offset)?;
            }
            (5 | 7 | 11, Value::Varint(number)) => {
                push(&mut tensor.decoded, number, budget, offset)?;
            }
            (5 | 7 | 11, Value::Bytes(numbers)) => {
                let mut at = numbers.start;
                while at < numbers.end {
                    let number = reader.varint(&mut at, numbers.end)?;
                    push(&mut tensor.decoded, number, budget, offset)?;
                }
            }
            (8, Value::Bytes(name)) => tensor.name = budget.text(reader, name)?,
            (9, Value::Bytes(raw)) => tensor.raw = Some(raw),
            (13, Value::Bytes(entry)) => {
                let entry = read_entry(reader, entry, budget)?;
                tensor.location.push(entry);
            }
            (14, Value::Varint(location)) => tensor.external = location == 1,
            (1 | 2 | 4 | 5 | 7 | 8 | 9 | 10 | 11 | 13 | 14, _) => return Err(wrong_type(offset)),
            _ => {}
        }
    }
    Ok(tensor)
}

fn push(
    numbers: &mut Vec<u64>,
    number: u64,
    budget: &mut Budget,
    offset: u64,
) -> Result<(), WireError> {
    // A vector may have twice the room that it needs, and its bytes are made of it later.
    budget.take(24, offset)?;
    numbers.push(number);
    Ok(())
}

fn read_entry(
    reader: &mut Reader<'_>,
    span: Span,
    budget: &mut Budget,
) -> Result<(String, String), WireError> {
    let mut entry = (String::new(), String::new());
    let mut at = span.start;
    while at < span.end {
        match reader.field(&mut at, span.end)? {
            (1, Value::Bytes(key)) => entry.0 = budget.text(reader, key)?,
            (2, Value::Bytes(value)) => entry.1 = budget.text(reader, value)?,
            _ => {}
        }
    }
    Ok(entry)
}

impl TensorProto {
    /// The element type; `None` for texts and sparse tensors, which are no tensors here.
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
            0 | 8 => return None,
            15 => Dtype::Unknown("C128".into()),
            21 => Dtype::Unknown("U4".into()),
            22 => Dtype::Unknown("I4".into()),
            code => Dtype::Unknown(format!("ONNX{code}").into()),
        })
    }

    /// Where the bytes are.
    pub(super) fn place(&self, dtype: &Dtype) -> Result<Place, String> {
        if self.external {
            let value = |key: &str| {
                let mut entries = self.location.iter().filter(|entry| entry.0 == key);
                entries.next_back().map(|entry| entry.1.as_str())
            };
            let number = |key: &str| match value(key).map(str::parse::<u64>) {
                None => Ok(None),
                Some(Ok(number)) => Ok(Some(number)),
                Some(Err(_)) => Err(format!("{key} of external data is no number")),
            };
            let name = value("location").unwrap_or_default();
            // Nothing but a file of the same folder is ever opened.
            let plain = !name.is_empty()
                && !name.contains(['/', '\\', '\0'])
                && name != ".."
                && name != ".";
            if !plain {
                return Err(format!("external data in {name:?}: not the plain name of a file"));
            }
            let offset = number("offset")?.unwrap_or(0);
            return Ok(Place::Beside { name: name.to_owned(), offset, len: number("length")? });
        }
        if let Some(raw) = self.raw {
            return Ok(Place::Here(raw));
        }
        if let (Some(packed), true) = (self.packed, self.decoded.is_empty()) {
            return Ok(Place::Here(packed));
        }
        if self.packed.is_some() {
            return Err(format!("the tensor {:?} has numbers in several pieces", self.name));
        }
        let width = match dtype {
            Dtype::C64 => 4,
            known => known.bits().map_or(1, |bits| bits as usize / 8),
        };
        let bytes =
            self.decoded.iter().flat_map(|number| number.to_le_bytes().into_iter().take(width));
        Ok(Place::Decoded(bytes.collect()))
    }
}
