//! The names of files that are written: what a file says that it is by its name, it is.

use std::path::{Path, PathBuf};

use super::export_error::ExportError;
use crate::format::{FileFormat, is_inner_path};
use crate::store::{Model, StoredFile};

/// What the end of a file's name says that it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Claim {
    /// A file of this format.
    Format(FileFormat),
    /// A pickle, also of old torch, whose tensors are not seen.
    Pickle,
    /// A file of another format, which no reader sees into.
    Unseen(&'static str),
}

/// Endings that say something.
const CLAIMS: [(&str, Claim); 15] = [
    ("safetensors", Claim::Format(FileFormat::Safetensors)),
    ("gguf", Claim::Format(FileFormat::Gguf)),
    ("onnx", Claim::Format(FileFormat::Onnx)),
    ("npy", Claim::Format(FileFormat::Npy)),
    ("npz", Claim::Format(FileFormat::Npz)),
    ("pt", Claim::Pickle),
    ("pth", Claim::Pickle),
    ("ckpt", Claim::Pickle),
    ("bin", Claim::Pickle),
    ("h5", Claim::Unseen("hdf5")),
    ("hdf5", Claim::Unseen("hdf5")),
    ("keras", Claim::Unseen("keras")),
    ("msgpack", Claim::Unseen("msgpack")),
    ("pb", Claim::Unseen("pb")),
    ("tflite", Claim::Unseen("tflite")),
];

fn claim_of(path: &Path) -> Option<Claim> {
    let own = path.extension()?.to_str()?;
    let mut claims = CLAIMS.iter();
    claims.find(|(known, _)| own.eq_ignore_ascii_case(known)).map(|(_, claim)| *claim)
}

/// Whether a path says by its end that it is a file of some format.
pub(super) fn claims_a_format(path: &Path) -> bool {
    claim_of(path).is_some()
}

/// Whether a file of this format, which was called `own`, may be called `path`.
fn may_be_called(format: FileFormat, own: &Path, path: &Path) -> bool {
    let Some(claim) = claim_of(path) else { return true };
    if claim_of(own) == Some(claim) {
        return true;
    }
    match (format, claim) {
        (FileFormat::PyTorch, Claim::Pickle) => true,
        // What it is is not known: it may be called by what nobody sees into.
        (FileFormat::Bytes | FileFormat::Unknown(_), Claim::Pickle | Claim::Unseen(_)) => {
            claim_of(own).is_none()
        }
        (format, claim) => claim == Claim::Format(format),
    }
}

/// Refuses a name by which a file of `model` would look like what it is not.
pub(super) fn check_name(
    model: &Model,
    format: FileFormat,
    own: &str,
    path: &Path,
) -> Result<(), ExportError> {
    let own = Path::new(own);
    if may_be_called(format, own, path) {
        return Ok(());
    }
    let ending = own.extension().and_then(|own| own.to_str());
    let better = match (ending, format) {
        (Some(ending), _) => path.with_extension(ending),
        (None, FileFormat::Bytes | FileFormat::Unknown(_)) => path.with_extension(""),
        (None, format) => path.with_extension(format.extension()),
    };
    let (model, path) = (model.full_name(), path.to_owned());
    Err(ExportError::LooksLikeAnother { model, path, format, better })
}

/// How the only file of a model is called in a folder that holds others: by its own name, else by
/// the model's.
pub(super) fn own_name(model: &Model, file: &StoredFile) -> Result<PathBuf, ExportError> {
    let own = file.path();
    if own.is_empty() {
        let name = model.node().name();
        let last = name.rsplit('/').next().unwrap_or_default();
        return Ok(PathBuf::from(format!("{last}.{}", file.format().extension())));
    }
    match is_inner_path(own) && !own.contains('/') {
        true => Ok(PathBuf::from(own)),
        false => Err(ExportError::BadShardName { name: own.to_owned() }),
    }
}

/// How the only file of a model is called in a folder of its own.
pub(crate) fn name_in_folder(own: &str, format: FileFormat) -> Result<String, ExportError> {
    match own.is_empty() {
        true => Ok(format!("model.{}", format.extension())),
        false if is_inner_path(own) => Ok(own.to_owned()),
        false => Err(ExportError::BadShardName { name: own.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_file_is_called_what_it_is_not() {
        let may =
            |format, own: &str, path: &str| may_be_called(format, Path::new(own), Path::new(path));
        for (format, own, path) in [
            (FileFormat::Safetensors, "", "m.safetensors"),
            (FileFormat::Safetensors, "", "m"),
            (FileFormat::Safetensors, "", "m.out"),
            (FileFormat::PyTorch, "a.pt", "m.BIN"),
            (FileFormat::PyTorch, "a.pth.tar", "m.ckpt"),
            (FileFormat::Bytes, "old.bin", "m.pt"),
            (FileFormat::Bytes, "weights", "m.h5"),
            (FileFormat::Bytes, "a.h5", "m.hdf5"),
            (FileFormat::Npz, "a.npz", "b/m.NPZ"),
            // As it came.
            (FileFormat::PyTorch, "odd.gguf", "m.gguf"),
        ] {
            assert!(may(format, own, path), "{format} {own} {path}");
        }
        for (format, own, path) in [
            (FileFormat::PyTorch, "a.pt", "m.safetensors"),
            (FileFormat::Gguf, "a.gguf", "m.pt"),
            (FileFormat::Safetensors, "", "m.bin"),
            (FileFormat::Safetensors, "", "m.onnx"),
            (FileFormat::Safetensors, "", "m.h5"),
            (FileFormat::Npy, "a.npy", "m.npz"),
            (FileFormat::Bytes, "a.h5", "m.safetensors"),
            (FileFormat::Bytes, "a.h5", "m.pt"),
            (FileFormat::Bytes, "weights", "m.gguf"),
        ] {
            assert!(!may(format, own, path), "{format} {own} {path}");
        }
    }
}
