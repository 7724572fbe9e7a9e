//! The wire format of protocol buffers, read from a file field by field.
//!
//! Only what ONNX needs: fields and their places. Nothing is allocated for what a length claims
//! before the claim is checked against the message around it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Bytes that are read ahead.
const WINDOW: usize = 1 << 14;

/// Where a message lies in the file.
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
    /// 4 or 8 bytes, as a number.
    Fixed(u64),
    /// Bytes: a text, a message, packed numbers.
    Bytes(Span),
}

/// Why a message cannot be read.
#[derive(Debug)]
pub(super) enum WireError {
    Io(io::Error),
    Malformed { offset: u64, detail: &'static str },
}

impl From<io::Error> for WireError {
    fn from(error: io::Error) -> Self {
        WireError::Io(error)
    }
}

/// Reads bytes of a file through a window.
#[derive(Debug)]
pub(super) struct Reader<'f> {
    file: &'f File,
    window: Vec<u8>,
    window_start: u64,
    file_len: u64,
}

impl<'f> Reader<'f> {
    pub(super) fn new(file: &'f File, file_len: u64) -> Self {
        Reader { file, window: Vec::new(), window_start: 0, file_len }
    }

    fn byte(&mut self, at: u64) -> Result<u8, WireError> {
        let inside = |window: &[u8], start: u64| {
            at.checked_sub(start).and_then(|at| window.get(usize::try_from(at).ok()?).copied())
        };
        if let Some(byte) = inside(&self.window, self.window_start) {
            return Ok(byte);
        }
        let len = self.file_len.saturating_sub(at).min(WINDOW as u64) as usize;
        self.window.resize(len, 0);
        self.window_start = at;
        if let Err(error) = self.file.read_exact_at(&mut self.window, at) {
            self.window.clear();
            return Err(error.into());
        }
        inside(&self.window, at).ok_or(WireError::Malformed { offset: at, detail: "it ends here" })
    }

    /// A number of up to ten bytes at `at`, inside `end`; moves `at` behind it.
    pub(super) fn varint(&mut self, at: &mut u64, end: u64) -> Result<u64, WireError> {
        let offset = *at;
        let mut value = 0u64;
        for shift in (0..70).step_by(7) {
            if *at >= end {
                return Err(WireError::Malformed { offset, detail: "a number is cut off" });
            }
            let byte = self.byte(*at)?;
            *at += 1;
            if shift < 64 {
                value |= u64::from(byte & 0x7f) << shift;
            }
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(WireError::Malformed { offset, detail: "a number of more than ten bytes" })
    }

    /// The field at `at` of the message that ends at `end`; moves `at` behind it.
    pub(super) fn field(&mut self, at: &mut u64, end: u64) -> Result<(u64, Value), WireError> {
        let offset = *at;
        let malformed = |detail| Err(WireError::Malformed { offset, detail });
        let tag = self.varint(at, end)?;
        let (number, kind) = (tag >> 3, tag & 7);
        if number == 0 {
            return malformed("a field of number 0");
        }
        let value = match kind {
            0 => Value::Varint(self.varint(at, end)?),
            1 | 5 => {
                let len = if kind == 1 { 8 } else { 4 };
                if end - *at < len {
                    return malformed("a number is cut off");
                }
                let mut value = 0;
                for place in 0..len {
                    value |= u64::from(self.byte(*at + place)?) << (8 * place);
                }
                *at += len;
                Value::Fixed(value)
            }
            2 => {
                let len = self.varint(at, end)?;
                if len > end - *at {
                    return malformed("a field is longer than its message");
                }
                let span = Span { start: *at, end: *at + len };
                *at = span.end;
                Value::Bytes(span)
            }
            _ => return malformed("a field of an unknown wire type"),
        };
        Ok((number, value))
    }

    /// Bytes that are read into memory.
    pub(super) fn bytes(&self, span: Span) -> Result<Vec<u8>, WireError> {
        let mut bytes = vec![0; span.len() as usize];
        self.file.read_exact_at(&mut bytes, span.start)?;
        Ok(bytes)
    }
}
