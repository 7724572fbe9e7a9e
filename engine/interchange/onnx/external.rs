//! Where the data of a tensor lies in a file beside the graph's.

use super::tensor::TensorProto;
use super::wire::Span;
use crate::format::FileFormat;
use crate::interchange::{InterchangeError, OpenFile};

/// A range of a file beside the graph's.
#[derive(Debug)]
pub(super) struct External {
    /// Relative to the folder of the graph's file: plain names with `/` between them.
    pub(super) path: String,
    offset: u64,
    /// `None`: as long as the tensor's type and shape say.
    length: Option<u64>,
}

impl External {
    /// What the tensor says.
    ///
    /// # Errors
    ///
    /// [`InterchangeError::PathOutside`]; [`InterchangeError::Malformed`] for what is no number.
    pub(super) fn of(file: &OpenFile, tensor: &TensorProto) -> Result<Self, InterchangeError> {
        let number = |key: &str, text: &Option<String>| match text.as_deref().map(str::parse) {
            None => Ok(None),
            Some(Ok(number)) => Ok(Some(number)),
            Some(Err(_)) => {
                let text = text.as_deref().unwrap_or_default();
                let name = &tensor.name;
                let detail = format!("{name:?}: {key} {text:?} of its external data is no number");
                Err(file.malformed(FileFormat::Onnx, tensor.offset, detail))
            }
        };
        let location = &tensor.location;
        let path = plain_path(&location.path).filter(|path| !is_itself(file, path));
        let outside = || InterchangeError::PathOutside {
            file: file.path().to_path_buf(),
            offset: tensor.offset,
            tensor: tensor.name.clone(),
            path: location.path.clone(),
        };
        Ok(External {
            path: path.ok_or_else(outside)?,
            offset: number("offset", &location.offset)?.unwrap_or(0),
            length: number("length", &location.length)?,
        })
    }

    /// The range; `expected` bytes where it has no length of its own.
    pub(super) fn span(&self, expected: Option<u64>) -> Result<Span, &'static str> {
        let length = self.length.or(expected).ok_or("nothing tells their length")?;
        let end = self.offset.checked_add(length).ok_or("they end behind 2^64")?;
        Ok(Span { start: self.offset, end })
    }
}

/// The path as plain names, where it leads to a file of the folder or of one in it.
fn plain_path(path: &str) -> Option<String> {
    if path.starts_with('/') || path.ends_with('/') || path.contains(['\\', '\0']) {
        return None;
    }
    let names: Vec<&str> =
        path.split('/').filter(|name| !name.is_empty() && *name != ".").collect();
    let is_inside = !names.is_empty() && !names.contains(&"..") && !path.ends_with("/.");
    is_inside.then(|| names.join("/"))
}

/// Whether a path leads to the file that describes it: it cannot be raw data too.
fn is_itself(file: &OpenFile, path: &str) -> bool {
    file.path().file_name().is_some_and(|name| name.as_encoded_bytes() == path.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_inside() {
        let plain = |path| plain_path(path).unwrap_or_default();
        assert_eq!(plain("w.bin"), "w.bin");
        assert_eq!(plain("./data//w.bin"), "data/w.bin");
        assert_eq!(plain("a/...b/..c"), "a/...b/..c");
        for path in [
            "", ".", "..", "/", "/w", "../w", "a/../w", "a/..", "a/", "a/.", "a\\w", "..\\w",
            "C:\\w", "w\0", "./..",
        ] {
            assert_eq!(plain_path(path), None, "{path:?}");
        }
    }
}
