//! Arrays of NumPy: `.npy`, and `.npz`, a zip archive of such.
//!
//! Invariants of this room:
//!
//! - A header is a literal and is read as one: nothing is evaluated. Arrays of objects are pickles,
//!   which are never read.
//! - An array's bytes are as long as its type and shape say.
//!
//! An array of an `.npz` has the name of its entry without `.npy`; the one of an `.npy` file is called
//! [`LONE_NAME`]. The bytes of an array in Fortran order are the transposed array in C order: they are
//! a tensor `NAME^T` of the shape backwards, and `NAME` is a view of it.
//!
//! The format: <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>.

mod descr;
mod header;
mod literal;

use std::ops::Range;
use std::path::Path;

use self::descr::Kind;
use self::header::Header;
use super::counted::counted;
use super::zip::{Archive, EMPTY_MAGIC, ZipFault, first_name};
use super::{FileFormat, FileLayout, InterchangeError, LayoutBuilder, OpenFile};
use crate::tensor::{Dtype, Shape};

/// The name of the array of an `.npy` file.
const LONE_NAME: &str = "array";
/// The ending of the names of an `.npz` file's arrays.
const ENDING: &[u8] = b".npy";
/// The most notes that are given on.
const NOTES_MAX: usize = 100;

/// Whether a file is an array, or a zip archive that begins with one.
pub(in crate::interchange) fn recognises(head: &[u8], path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    let by_name = extension.is_some_and(|extension| extension.eq_ignore_ascii_case("npz"));
    match first_name(head) {
        Some(name) => by_name || name.ends_with(ENDING),
        None => head.starts_with(header::MAGIC) || by_name && head.starts_with(EMPTY_MAGIC),
    }
}

/// The layout of a file of NumPy.
///
/// # Errors
///
/// [`InterchangeError::Malformed`], [`InterchangeError::Io`].
pub(in crate::interchange) fn read(file: &OpenFile) -> Result<FileLayout, InterchangeError> {
    let lone = file.head(header::MAGIC.len() as u64)? == header::MAGIC;
    let format = if lone { FileFormat::Npy } else { FileFormat::Npz };
    let mut builder = LayoutBuilder::new(file.len());
    if lone {
        let end = array(file, format, LONE_NAME, 0..file.len(), &mut builder)?;
        if let Some(more) = end.map(|end| file.len() - end).filter(|more| *more > 0) {
            builder.note(format!("kept, not seen: {} after the array", counted(more, "byte")));
        }
    } else {
        match Archive::read(file) {
            Ok(archive) => arrays(file, &archive, &mut builder)?,
            Err(ZipFault::Io(error)) => return Err(error),
            Err(ZipFault::Damaged { offset, detail }) => {
                return Err(file.malformed(format, offset, detail));
            }
            Err(ZipFault::NotRead(detail)) => builder.note(format!("kept as bytes: {detail}")),
        }
    }
    let laid = builder.finish();
    let mut layout = FileLayout::new(format);
    (layout.tensors, layout.views, layout.notes) = (laid.tensors, laid.views, laid.notes);
    if let Some(more) = layout.notes.len().checked_sub(NOTES_MAX).filter(|more| *more > 0) {
        layout.notes.truncate(NOTES_MAX);
        layout.notes.push(format!("and {more} more such notes"));
    }
    Ok(layout)
}

fn arrays(
    file: &OpenFile,
    archive: &Archive,
    builder: &mut LayoutBuilder,
) -> Result<(), InterchangeError> {
    let (mut compressed, mut others) = (0, 0);
    for (name, entry) in archive.entries() {
        let Some(name) = name.strip_suffix(ENDING) else {
            others += 1;
            continue;
        };
        let Some(range) = entry.stored() else {
            compressed += 1;
            continue;
        };
        let name = String::from_utf8_lossy(name);
        let end = range.end;
        let found = array(file, FileFormat::Npz, &name, range, builder)?;
        if let Some(more) = found.map(|found| end - found).filter(|more| *more > 0) {
            let more = counted(more, "byte");
            builder.note(format!("kept, not seen: {more} after the array {name:?}"));
        }
    }
    if compressed > 0 {
        builder.note(format!(
            "kept, not seen: {} (numpy.savez writes them uncompressed)",
            counted(compressed, "compressed array")
        ));
    }
    if others > 0 {
        builder.note(format!("kept, not seen: {} beside the arrays", counted(others, "file")));
    }
    Ok(())
}

/// Adds the array in this range; where it ends, if that is known.
fn array(
    file: &OpenFile,
    format: FileFormat,
    name: &str,
    range: Range<u64>,
    builder: &mut LayoutBuilder,
) -> Result<Option<u64>, InterchangeError> {
    let header = match Header::read(file, range.clone())? {
        Ok(header) => header,
        Err(fault) => {
            let detail = format!("array {name:?}: {}", fault.detail);
            return Err(file.malformed(format, fault.offset, detail));
        }
    };
    let (dtype, element_len) = match header.kind {
        Kind::Number(dtype, len) => (dtype, len),
        Kind::Unseen(why) => {
            builder.note(format!("array {name:?} is kept, not seen: {why}"));
            return Ok(None);
        }
    };
    let begin = range.start + header.len;
    let shape = Shape::new(&header.dims).ok();
    let len = shape.as_ref().and_then(|shape| shape.elements().checked_mul(element_len));
    let end = len.and_then(|len| len.checked_add(begin)).filter(|end| *end <= range.end);
    let (Some(shape), Some(end)) = (shape, end) else {
        let detail = format!(
            "array {name:?}: {:?} numbers of {element_len} bytes do not fit in the {} bytes that \
             there are",
            header.dims,
            range.end - begin
        );
        return Err(file.malformed(format, begin, detail));
    };
    add(name, dtype, shape, header.fortran, begin..end, builder);
    Ok(Some(end))
}

fn add(
    name: &str,
    dtype: Dtype,
    shape: Shape,
    fortran: bool,
    range: Range<u64>,
    builder: &mut LayoutBuilder,
) {
    let long_dims = shape.dims().iter().filter(|dim| **dim != 1).count();
    if !fortran || long_dims < 2 {
        builder.tensor(name, dtype, shape, range.start, range.end);
        return;
    }
    let backwards: Vec<u64> = shape.dims().iter().rev().copied().collect();
    // As many elements as there were.
    let Ok(transposed) = Shape::new(&backwards) else { return };
    let mut strides = super::contiguous(&transposed);
    strides.reverse();
    builder.tensor(format!("{name}^T"), dtype.clone(), transposed, range.start, range.end);
    builder.view(name, dtype, shape, range.start, strides);
}
