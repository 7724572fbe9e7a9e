//! The header of a safetensors file.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use super::InterchangeError;
use super::entry::TensorEntry;
use super::header_json;
use super::layout::Layout;
use super::limits::{HEADER_LEN_MAX, LENGTH_PREFIX_BYTES};
use crate::format::PackedBytes;

/// A safetensors header that has passed every check of the format.
///
/// The tensors cover the data buffer from its first byte to its last, without hole or overlap.
#[derive(Clone, PartialEq, Eq)]
pub struct SafetensorsHeader {
    bytes: PackedBytes,
    tensors: Vec<TensorEntry>,
    metadata: BTreeMap<String, String>,
}

impl SafetensorsHeader {
    /// Parses `header`, the bytes between the 8-byte length and the data buffer, of a file
    /// whose data buffer has `buffer_len` bytes. `file` is for messages only.
    ///
    /// Cost: one pass over the header and two sorts of its entries; memory in proportion to
    /// the header's length, whatever it claims.
    ///
    /// # Errors
    ///
    /// The [`InterchangeError`] of the first rule found broken; always a malformed file.
    pub fn parse(
        file: impl AsRef<Path>,
        header: impl Into<Box<[u8]>>,
        buffer_len: u64,
    ) -> Result<Self, InterchangeError> {
        let file = file.as_ref();
        let bytes: Box<[u8]> = header.into();
        let found = bytes.len() as u64;
        if found > HEADER_LEN_MAX {
            return Err(InterchangeError::HeaderTooLarge { file: file.into(), found });
        }
        let text = std::str::from_utf8(&bytes).map_err(|error| {
            let offset = LENGTH_PREFIX_BYTES + error.valid_up_to() as u64;
            InterchangeError::HeaderNotUtf8 { file: file.into(), offset }
        })?;
        // The format asks for it, so that a file's kind can be told by its ninth byte.
        if !text.starts_with('{') {
            let found = bytes.first().copied();
            return Err(InterchangeError::HeaderNotObject { file: file.into(), found });
        }
        let mut layout = Layout::new(file, buffer_len);
        let metadata = header_json::read(file, text, &mut layout)?;
        let packed = PackedBytes::from(&*bytes);
        drop(bytes);
        Ok(SafetensorsHeader { tensors: layout.finish()?, metadata, bytes: packed })
    }

    /// The header's own bytes, padding included, the 8-byte length left out. Cost: they are kept
    /// compressed.
    pub fn bytes(&self) -> Vec<u8> {
        self.bytes.to_vec()
    }

    /// The header's own bytes as they are kept.
    pub(crate) fn packed(&self) -> &PackedBytes {
        &self.bytes
    }

    /// The header's length, its tensors, and the strings of `__metadata__`.
    pub(super) fn into_parts(self) -> (usize, Vec<TensorEntry>, BTreeMap<String, String>) {
        (self.bytes.len(), self.tensors, self.metadata)
    }

    /// The tensors by `(begin, end)`; those of one empty range in the header's order.
    pub fn tensors(&self) -> &[TensorEntry] {
        &self.tensors
    }

    /// The strings of `__metadata__`; none when it is missing or null. Of two values for one
    /// key the last is kept, as the reference implementation does.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }
}

impl fmt::Debug for SafetensorsHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SafetensorsHeader")
            .field("bytes", &self.bytes.len())
            .field("tensors", &self.tensors)
            .field("metadata", &self.metadata)
            .finish()
    }
}
