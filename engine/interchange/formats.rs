//! The readers of formats, and which of them a file is for.

use std::path::Path;

use super::file_layout::FileLayout;
use super::{InterchangeError, OpenFile, npy, pytorch};

type Reader = (fn(&[u8], &Path) -> bool, fn(&OpenFile) -> Result<FileLayout, InterchangeError>);

const READERS: [Reader; 2] = [(npy::recognises, npy::read), (pytorch::recognises, pytorch::read)];

/// Finds the tensors of a file, of whatever format: known by its content first, else by its name.
/// A file that no reader is for is all skeleton.
///
/// # Errors
///
/// A file that breaks the rules of its format; one that cannot be read.
pub fn read_layout(file: &OpenFile) -> Result<FileLayout, InterchangeError> {
    let head = file.head(4096)?;
    let nameless = Path::new("");
    let reader = READERS
        .iter()
        .find(|(recognises, _)| recognises(&head, nameless))
        .or_else(|| READERS.iter().find(|(recognises, _)| recognises(&head, file.path())));
    reader.map_or_else(|| Ok(FileLayout::default()), |(_, read)| read(file))
}
