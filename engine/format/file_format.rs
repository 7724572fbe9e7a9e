//! What kind of file a model's file is.

use std::fmt;

use serde::ser::{Serialize, Serializer};

/// The format of one file of a model: what its tensors were found by. A file comes back byte for
/// byte whatever it is; the format only says what can be told about it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum FileFormat {
    /// Bytes of no format whose tensors are seen: a tokenizer, a text, a legacy pickle.
    #[default]
    Bytes,
    /// A safetensors file.
    Safetensors,
    /// An ONNX file.
    Onnx,
    /// Raw data that an ONNX file beside it describes.
    OnnxData,
    /// A zip archive that `torch.save` or TorchScript has written.
    PyTorch,
    /// A GGUF file.
    Gguf,
    /// A single array of NumPy.
    Npy,
    /// A zip archive of arrays of NumPy.
    Npz,
    /// A format that this version does not know, by its code.
    Unknown(u8),
}

/// Every known format with its code in the file, its name and the usual ending of such files.
const KNOWN: [(FileFormat, u8, &str, &str); 8] = [
    (FileFormat::Bytes, 0, "bytes", "bin"),
    (FileFormat::Safetensors, 1, "safetensors", "safetensors"),
    (FileFormat::Onnx, 2, "onnx", "onnx"),
    (FileFormat::OnnxData, 3, "onnx-data", "data"),
    (FileFormat::PyTorch, 4, "pytorch", "pt"),
    (FileFormat::Gguf, 5, "gguf", "gguf"),
    (FileFormat::Npy, 6, "npy", "npy"),
    (FileFormat::Npz, 7, "npz", "npz"),
];

impl FileFormat {
    fn known(self) -> Option<&'static (FileFormat, u8, &'static str, &'static str)> {
        KNOWN.iter().find(|(format, ..)| *format == self)
    }

    /// The code in the file.
    pub fn code(self) -> u8 {
        match self {
            FileFormat::Unknown(code) => code,
            known => known.known().map_or(0, |(_, code, ..)| *code),
        }
    }

    /// The format of this code.
    pub fn from_code(code: u8) -> Self {
        let known = KNOWN.iter().find(|(_, known, ..)| *known == code);
        known.map_or(FileFormat::Unknown(code), |(format, ..)| *format)
    }

    /// Whether such files have checksums of their tensors' bytes beside these.
    pub fn has_checksums(self) -> bool {
        matches!(self, FileFormat::PyTorch | FileFormat::Npz)
    }

    /// Its name, for people and for programs.
    pub fn name(self) -> &'static str {
        self.known().map_or("unknown", |(_, _, name, _)| name)
    }

    /// How the names of such files usually end, without the dot.
    pub fn extension(self) -> &'static str {
        self.known().map_or("bin", |(.., extension)| extension)
    }
}

impl fmt::Display for FileFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// As its name.
impl Serialize for FileFormat {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_one_to_one() {
        for code in 0..=u8::MAX {
            assert_eq!(FileFormat::from_code(code).code(), code);
        }
        assert_eq!(FileFormat::from_code(200), FileFormat::Unknown(200));
        assert_eq!(FileFormat::Gguf.to_string(), "gguf");
    }
}
