//! Models of the store to files.

use std::io::Write;
use std::path::Path;

use super::export_error::ExportError;
use super::model_folder::ModelFolder;
use crate::container::{Destination, Overwrite};
use crate::store::{Model, StoredFile, WriteToError};

/// Writes one file of a model to `out`.
fn write_file(
    file: &StoredFile,
    out: &mut dyn Write,
    path: &Path,
    progress: &dyn Fn(u64),
) -> Result<(), ExportError> {
    file.write_to(out, progress).map_err(|error| match error {
        WriteToError::Read(error) => error.into(),
        WriteToError::Write(error) => ExportError::target(path)(error),
    })
}

/// Writes a model as it was imported: to the file `path`, replacing a file that is there but no
/// store, or, when it is sharded, into the folder `path`. As [`export_to`] with
/// [`Overwrite::Files`].
///
/// # Errors
///
/// Those of [`export_to`].
pub fn export_to_path(
    model: &Model,
    path: impl AsRef<Path>,
    progress: &dyn Fn(u64),
) -> Result<(), ExportError> {
    let path = path.as_ref();
    export_to(model, path, Overwrite::Files, progress)
}

/// Writes a model as it was imported, byte for byte: to the file `path`, or, when it is a folder of
/// files, into the folder `path`, which must be missing or empty, or, when files may be replaced,
/// hold nothing but files of these names. Nothing is seen of it before it is complete and synced.
/// `progress` is told the bytes done. Memory is bounded.
///
/// # Errors
///
/// [`ExportError`]; `path` is then as it was.
pub fn export_to(
    model: &Model,
    path: impl AsRef<Path>,
    overwrite: Overwrite,
    progress: &dyn Fn(u64),
) -> Result<(), ExportError> {
    let path = path.as_ref();
    if !model.is_folder() {
        let destination = Destination::new(path, overwrite)?;
        return destination.write(|out| export_to_stream_as(model, out, path, progress));
    }
    let files: Vec<StoredFile> = in_order(model);
    let names: Vec<&str> = files.iter().map(StoredFile::path).collect();
    let folder = ModelFolder::new(path, &names, overwrite);
    let mut folder = folder.map_err(|error| match error {
        ExportError::NeedsFolder { .. } => ExportError::NeedsFolder { model: model.full_name() },
        error => error,
    })?;
    for file in &files {
        folder.write(file.path(), |out| write_file(file, out, path, progress))?;
    }
    folder.finish()
}

/// The files in the order in which they are to appear: the weights behind what is beside them, an
/// index last, so that a folder that has it is complete.
fn in_order(model: &Model) -> Vec<StoredFile> {
    let mut files: Vec<StoredFile> = model.files().collect();
    files.sort_by_key(|file| (file.path().ends_with(".index.json"), file.is_weights()));
    files
}

/// Writes a model of one file to a stream.
///
/// # Errors
///
/// [`ExportError::NeedsFolder`] when the model is a folder; otherwise as [`export_to_path`].
pub fn export_to_stream(
    model: &Model,
    out: &mut dyn Write,
    progress: &dyn Fn(u64),
) -> Result<(), ExportError> {
    export_to_stream_as(model, out, Path::new("-"), progress)
}

fn export_to_stream_as(
    model: &Model,
    out: &mut dyn Write,
    path: &Path,
    progress: &dyn Fn(u64),
) -> Result<(), ExportError> {
    if model.is_folder() {
        return Err(ExportError::NeedsFolder { model: model.full_name() });
    }
    model.files().try_for_each(|file| write_file(&file, out, path, progress))
}
