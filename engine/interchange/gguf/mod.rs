//! GGUF files, versions 2 and 3, little-endian.
//!
//! Invariants of this room:
//!
//! - Tensors lie inside the file, none over another, each at a multiple of the alignment and as
//!   long as its type and dimensions say. A type that is not known reaches to the next tensor.
//! - Metadata is passed over, not kept: a vocabulary of megabytes costs no memory. Keys, names and
//!   facts cost at most [`GGUF_LAYOUT_MEMORY_MAX`].
//!
//! The format: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>, 2026-11.

mod block_type;
mod cursor;
mod dequantise;
mod infos;
mod metadata;

use std::path::Path;

use super::file_layout::{FileLayout, LayoutBuilder};
use super::{InterchangeError, OpenFile};
use crate::format::FileFormat;
use cursor::Cursor;

pub use dequantise::{Q8_0_BLOCK_BYTES, Q8_0_BLOCK_ELEMENTS, q8_0_as_f32};

/// The most bytes of memory that the keys and tensors of a GGUF file may take.
pub const GGUF_LAYOUT_MEMORY_MAX: u64 = 1 << 26;

const MAGIC: &[u8; 4] = b"GGUF";

/// Whether a file that begins with `head` is one.
pub(in crate::interchange) fn recognises(head: &[u8], path: &Path) -> bool {
    let by_name = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gguf"));
    head.starts_with(MAGIC) || by_name
}

/// Reads where the tensors of a GGUF file are, and what its keys say about the model. Cost: reads
/// the metadata once, and no tensor.
///
/// # Errors
///
/// [`InterchangeError::NotSupported`] for version 1 and big-endian files,
/// [`InterchangeError::Malformed`], [`InterchangeError::LayoutTooLarge`],
/// [`InterchangeError::Io`].
pub(in crate::interchange) fn read(file: &OpenFile) -> Result<FileLayout, InterchangeError> {
    let mut cursor = Cursor::new(file);
    read_version(&mut cursor, file)?;
    let tensors = cursor.u64()?;
    let keys = cursor.u64()?;
    let metadata = metadata::read(&mut cursor, keys)?;
    let infos = infos::read(&mut cursor, tensors)?;
    let (placed, mut notes) = infos::place(&cursor, infos, metadata.alignment, file.len())?;
    let mut builder = LayoutBuilder::new(file.len());
    for tensor in placed {
        builder.tensor(tensor.name, tensor.dtype, tensor.shape, tensor.begin, tensor.end);
    }
    let laid = builder.finish();
    notes.extend(metadata.notes);
    notes.extend(laid.notes);
    let mut layout = FileLayout::new(FileFormat::Gguf);
    (layout.tensors, layout.views, layout.notes) = (laid.tensors, laid.views, notes);
    layout.facts = metadata.facts;
    Ok(layout)
}

fn read_version(cursor: &mut Cursor<'_>, file: &OpenFile) -> Result<(), InterchangeError> {
    if cursor.u32()? != u32::from_le_bytes(*MAGIC) {
        return Err(cursor.malformed(0, "expected the file to begin with \"GGUF\""));
    }
    let version = cursor.u32()?;
    let (found, advice) = match version {
        2 | 3 => return Ok(()),
        0 => return Err(cursor.malformed(4, "expected a version from 1, found 0")),
        1 => ("version 1".to_owned(), "make the file again with a llama.cpp of after August 2023"),
        // The version is a small number: the other way round it ends in zeros.
        big if big & 0xffff == 0 => (
            format!("a big-endian file (version {})", big.swap_bytes()),
            "turn it with gguf-convert-endian of the Python package gguf",
        ),
        newer => (format!("version {newer}"), "a newer mgit may read it"),
    };
    Err(InterchangeError::NotSupported {
        file: file.path().to_path_buf(),
        format: FileFormat::Gguf,
        found,
        advice,
    })
}
