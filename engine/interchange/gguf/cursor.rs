//! The numbers and texts of a GGUF file, one after the other.

use std::fmt::Display;

use super::GGUF_LAYOUT_MEMORY_MAX;
use crate::format::FileFormat;
use crate::interchange::budget::Budget;
use crate::interchange::limits::NAME_LEN_MAX;
use crate::interchange::window::Window;
use crate::interchange::{InterchangeError, OpenFile};

/// A place in a file. What is read is inside the file; what is skipped too.
#[derive(Debug)]
pub(super) struct Cursor<'f> {
    file: &'f OpenFile,
    window: Window<'f>,
    budget: Budget<'f>,
    at: u64,
    /// What is being read, for messages.
    part: &'static str,
}

impl<'f> Cursor<'f> {
    pub(super) fn new(file: &'f OpenFile) -> Self {
        let budget = Budget::new(file, FileFormat::Gguf, GGUF_LAYOUT_MEMORY_MAX);
        Cursor { file, window: Window::new(file), budget, at: 0, part: "the file's head" }
    }

    /// Where it is, in bytes.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// What is read from here on.
    pub(super) fn enter(&mut self, part: &'static str) {
        self.part = part;
    }

    /// An error about what stands at `offset`.
    pub(super) fn malformed(&self, offset: u64, detail: impl Display) -> InterchangeError {
        self.file.malformed(FileFormat::Gguf, offset, detail.to_string())
    }

    /// Takes memory for what stands here.
    pub(super) fn take(&mut self, bytes: u64) -> Result<(), InterchangeError> {
        self.budget.take(bytes, self.at)
    }

    /// Passes over `len` bytes.
    pub(super) fn skip(&mut self, len: u64) -> Result<(), InterchangeError> {
        let end = self.at.checked_add(len).filter(|end| *end <= self.file.len());
        let Some(end) = end else {
            let left = self.file.len().saturating_sub(self.at);
            let part = self.part;
            let detail = format!("{part} needs {len} bytes here, and the file has {left}");
            return Err(self.malformed(self.at, detail));
        };
        self.at = end;
        Ok(())
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], InterchangeError> {
        let at = self.at;
        self.skip(N as u64)?;
        self.window.array(at)
    }

    pub(super) fn u8(&mut self) -> Result<u8, InterchangeError> {
        self.array().map(u8::from_le_bytes)
    }

    pub(super) fn u16(&mut self) -> Result<u16, InterchangeError> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, InterchangeError> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, InterchangeError> {
        self.array().map(u64::from_le_bytes)
    }

    /// The bytes of a text that is kept in memory; whoever asks has bounded `len`.
    pub(super) fn bytes(&mut self, len: u64) -> Result<Vec<u8>, InterchangeError> {
        let at = self.at;
        self.skip(len)?;
        // A text costs more than its bytes.
        self.take(len + 64)?;
        self.file.bytes(at, len)
    }

    /// A name: a key, or what a tensor is called.
    pub(super) fn name(&mut self, what: &str) -> Result<String, InterchangeError> {
        let at = self.at;
        let len = self.u64()?;
        if len > NAME_LEN_MAX as u64 {
            let detail = format!("{what} of {len} bytes, expected at most {NAME_LEN_MAX}");
            return Err(self.malformed(at, detail));
        }
        let bytes = self.bytes(len)?;
        String::from_utf8(bytes).map_err(|_| self.malformed(at, format!("{what} is not UTF-8")))
    }
}
