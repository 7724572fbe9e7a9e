//! The wire format of protocol buffers, read from a file field by field.
//!
//! Only what ONNX needs: fields and their places. Nothing is kept for what a length claims before
//! the claim is checked against the message around it, and all that is kept is counted.

use crate::format::FileFormat;
use crate::interchange::budget::Budget;
use crate::interchange::limits::ONNX_GRAPH_LEN_MAX;
use crate::interchange::window::Window;
use crate::interchange::{InterchangeError, OpenFile};

/// Where bytes lie in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: u64,
    pub(super) end: u64,
}

impl Span {
    pub(super) fn len(self) -> u64 {
        self.end - self.start
    }
}

/// The value of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// A whole number.
    Varint(u64),
    /// A number of 4 or 8 bytes.
    Fixed(Span),
    /// Bytes: a text, a message, packed numbers.
    Bytes(Span),
}

/// Reads messages of a file.
#[derive(Debug)]
pub(super) struct Reader<'f> {
    file: &'f OpenFile,
    window: Window<'f>,
    budget: Budget<'f>,
}

impl<'f> Reader<'f> {
    pub(super) fn new(file: &'f OpenFile) -> Self {
        let budget = Budget::new(file, FileFormat::Onnx, ONNX_GRAPH_LEN_MAX);
        Reader { file, window: Window::new(file), budget }
    }

    /// An error about what stands at `offset`.
    pub(super) fn malformed(&self, offset: u64, detail: impl Into<String>) -> InterchangeError {
        self.file.malformed(FileFormat::Onnx, offset, detail)
    }

    /// Takes memory for what stands at `offset`.
    pub(super) fn take(&mut self, bytes: u64, offset: u64) -> Result<(), InterchangeError> {
        self.budget.take(bytes, offset)
    }

    /// A number of up to ten bytes at `at`, inside `end`; moves `at` behind it.
    pub(super) fn varint(&mut self, at: &mut u64, end: u64) -> Result<u64, InterchangeError> {
        let offset = *at;
        let mut value = 0u64;
        for shift in (0..70).step_by(7) {
            if *at >= end {
                return Err(self.malformed(offset, "a number is cut off"));
            }
            let [byte] = self.window.array(*at)?;
            *at += 1;
            if shift < 64 {
                value |= u64::from(byte & 0x7f) << shift;
            }
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(self.malformed(offset, "a number of more than ten bytes"))
    }

    /// The field at `at` of the message that ends at `end`, with its number; moves `at` behind it.
    pub(super) fn field(
        &mut self,
        at: &mut u64,
        end: u64,
    ) -> Result<(u64, Value), InterchangeError> {
        let offset = *at;
        let tag = self.varint(at, end)?;
        let (number, kind) = (tag >> 3, tag & 7);
        if number == 0 {
            return Err(self.malformed(offset, "a field of number 0"));
        }
        let (len, what) = match kind {
            0 => return Ok((number, Value::Varint(self.varint(at, end)?))),
            1 => (8, "a number is cut off"),
            5 => (4, "a number is cut off"),
            2 => (self.varint(at, end)?, "a field is longer than its message"),
            _ => return Err(self.malformed(offset, "a field of an unknown wire type")),
        };
        if len > end - *at {
            return Err(self.malformed(offset, what));
        }
        let span = Span { start: *at, end: *at + len };
        *at = span.end;
        Ok((number, if kind == 2 { Value::Bytes(span) } else { Value::Fixed(span) }))
    }

    /// The text of a field.
    pub(super) fn text(&mut self, span: Span) -> Result<String, InterchangeError> {
        let bytes = self.bytes(span)?;
        String::from_utf8(bytes).map_err(|_| self.malformed(span.start, "a text that is not UTF-8"))
    }

    /// Bytes that are kept.
    pub(super) fn bytes(&mut self, span: Span) -> Result<Vec<u8>, InterchangeError> {
        // They cost more than themselves: names are kept in several lists.
        self.take(span.len() + 128, span.start)?;
        self.file.bytes(span.start, span.len())
    }

    /// A number of four bytes.
    pub(super) fn f32(&mut self, at: u64) -> Result<f32, InterchangeError> {
        self.window.array(at).map(f32::from_le_bytes)
    }

    /// An error for a field that has a value of another type than it should.
    pub(super) fn wrong_type(&self, offset: u64) -> InterchangeError {
        self.malformed(offset, "a field of the wrong type")
    }
}
