//! The readers of formats, and which of them a file is for.

use std::path::Path;
use std::sync::Arc;

use super::file_layout::FileLayout;
use super::{InterchangeError, OpenFile, gguf, impostor, npy, onnx, pytorch, safetensors, unseen};

/// Bytes of a file's beginning that readers are shown.
pub const HEAD_LEN: u64 = 4096;

/// Finds the tensors in the files of a format.
///
/// What it finds is checked: tensors in the order of their bytes, none over another, in the file,
/// as long as type and shape say, names given once; views in their tensors.
/// [`LayoutBuilder`](super::LayoutBuilder) brings what is found into that form.
pub trait FormatReader: Send + Sync {
    /// What it is called in messages.
    fn name(&self) -> &str;

    /// Whether a file is for this reader, by its first [`HEAD_LEN`] bytes; where no reader says so,
    /// each is asked again, with the path. The first time the path is empty.
    fn recognises(&self, head: &[u8], path: &Path) -> bool;

    /// Finds the tensors.
    ///
    /// # Errors
    ///
    /// [`InterchangeError`]: a file that breaks the rules of the format, see
    /// [`OpenFile::malformed`]. What is only not understood is no error: it stays skeleton, with
    /// a note.
    fn read(&self, file: &OpenFile) -> Result<FileLayout, InterchangeError>;
}

/// A reader of this crate.
struct BuiltIn {
    name: &'static str,
    recognises: fn(&[u8], &Path) -> bool,
    read: fn(&OpenFile) -> Result<FileLayout, InterchangeError>,
}

/// Those that are known by their content first: a safetensors file begins with any eight bytes.
const BUILT_IN: [BuiltIn; 5] = [
    BuiltIn { name: "gguf", recognises: gguf::recognises, read: gguf::read },
    BuiltIn { name: "npy", recognises: npy::recognises, read: npy::read },
    BuiltIn { name: "pytorch", recognises: pytorch::recognises, read: pytorch::read },
    BuiltIn { name: "safetensors", recognises: safetensors::recognises, read: safetensors::read },
    BuiltIn { name: "onnx", recognises: onnx::recognises, read: onnx::read },
];

impl FormatReader for BuiltIn {
    fn name(&self) -> &str {
        self.name
    }

    fn recognises(&self, head: &[u8], path: &Path) -> bool {
        (self.recognises)(head, path)
    }

    fn read(&self, file: &OpenFile) -> Result<FileLayout, InterchangeError> {
        (self.read)(file)
    }
}

/// Finds the tensors of a file, of whatever format: known by its content first, else by its name.
/// A file that no reader is for is all skeleton, with a note where it may hold tensors.
///
/// # Errors
///
/// [`InterchangeError::NotTheFile`] of a file that is called weights and is none; a file that
/// breaks the rules of its format; one that cannot be read.
///
/// ```
/// use mgit::interchange::{OpenFile, read_layout};
///
/// let text = read_layout(&OpenFile::of_bytes("README.md", *b"# A model"))?;
/// assert!(text.tensors.is_empty() && text.notes.is_empty());
/// let page = read_layout(&OpenFile::of_bytes("weights.pt", *b"<html>"));
/// assert!(page.unwrap_err().to_string().contains("an HTML page, not the file"));
/// # Ok::<(), mgit::interchange::InterchangeError>(())
/// ```
pub fn read_layout(file: &OpenFile) -> Result<FileLayout, InterchangeError> {
    read_layout_with(file, &[])
}

/// As [`read_layout`]; these readers are asked before those of this crate.
///
/// # Errors
///
/// As [`read_layout`], and [`InterchangeError::BadLayout`] of a reader whose answer is wrong.
pub fn read_layout_with(
    file: &OpenFile,
    readers: &[Arc<dyn FormatReader>],
) -> Result<FileLayout, InterchangeError> {
    let head = file.head(HEAD_LEN)?;
    impostor::check(file, &head)?;
    let all = || {
        let own = BUILT_IN.iter().map(|reader| reader as &dyn FormatReader);
        readers.iter().map(|reader| &**reader).chain(own)
    };
    let nameless = Path::new("");
    let reader = all()
        .find(|reader| reader.recognises(&head, nameless))
        .or_else(|| all().find(|reader| reader.recognises(&head, file.path())));
    let Some(reader) = reader else {
        let mut layout = FileLayout::default();
        layout.notes.extend(impostor::note(&head).or_else(|| unseen::note(&head, file.path())));
        return Ok(layout);
    };
    let layout = reader.read(file)?;
    layout.check(file.len()).map_err(|detail| InterchangeError::BadLayout {
        file: file.path().to_owned(),
        reader: reader.name().to_owned(),
        detail,
    })?;
    Ok(layout)
}
