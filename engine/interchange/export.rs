//! Models of the store to files.

use std::io::{self, Write};
use std::path::Path;

use super::export_error::ExportError;
use super::shard_folder::ShardFolder;
use super::write_header;
use crate::container::{Destination, Overwrite};
use crate::format::{ManifestPart, PackedBytes};
use crate::store::{Model, Tensor};
use crate::tensor::{Dtype, Shape};

/// Bytes of a tensor that are copied at a time: whole chunks, so that each is decoded once.
pub(super) const PIECE_LEN: usize = 8 << 20;
/// Bytes of a raw tensor that are checked and written at a time, while they are in the cache:
/// whole chunks too.
const RAW_PIECE_LEN: usize = 1 << 20;

/// A model's parts with their tensors.
fn parts(model: &Model) -> Vec<(&ManifestPart, Vec<Tensor>)> {
    let mut tensors = model.tensors();
    let mut of = |part: &ManifestPart| tensors.by_ref().take(part.tensor_count as usize).collect();
    model.manifest().parts.iter().map(|part| (part, of(part))).collect()
}

/// Writes the header of one file, with its length: the file's own, or, where none was imported, a
/// canonical one of these tensors.
pub(super) fn put_header<'t>(
    part: &ManifestPart,
    tensors: impl Iterator<Item = (&'t str, &'t Dtype, &'t Shape, u64)>,
    out: &mut dyn Write,
) -> io::Result<()> {
    let header = match part.header.is_empty() {
        true => PackedBytes::from(write_header(tensors, None)),
        false => part.header.clone(),
    };
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    header.pieces().try_for_each(|piece| out.write_all(&piece))
}

/// Writes one file of a model to `out`: as it was imported, or, for a model that never was a
/// file, a canonical safetensors file. Memory: a few mebibytes.
fn write_part(
    part: &ManifestPart,
    tensors: &[Tensor],
    out: &mut dyn Write,
    path: &Path,
    progress: &dyn Fn(u64),
) -> Result<(), ExportError> {
    let failed = ExportError::target(path);
    let entries = tensors
        .iter()
        .map(|tensor| (tensor.name(), tensor.dtype(), tensor.shape(), tensor.byte_len()));
    put_header(part, entries, out).map_err(&failed)?;
    let mut piece = Vec::new();
    for tensor in tensors {
        let mut offset = 0;
        while offset < tensor.byte_len() {
            // What lies raw in the file is written from there, without a copy.
            let len = (tensor.byte_len() - offset).min(RAW_PIECE_LEN as u64);
            if let Some(view) = tensor.raw_range(offset, len as usize)? {
                out.write_all(&view).map_err(&failed)?;
                offset += len;
                progress(len);
                continue;
            }
            let len = (tensor.byte_len() - offset).min(PIECE_LEN as u64);
            piece.resize(len as usize, 0);
            tensor.read_range_into(offset, &mut piece)?;
            out.write_all(&piece).map_err(&failed)?;
            offset += len;
            progress(len);
        }
    }
    Ok(())
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

/// Writes a model as it was imported: to the file `path`, or, when it is sharded, into the folder
/// `path`, which must be missing or empty, or, when files may be replaced, hold nothing but files
/// of these names. Nothing is seen of it before it is complete and synced. `progress` is told the
/// tensor bytes done. Memory is bounded.
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
    let manifest = model.manifest();
    if manifest.index_name.is_empty() {
        let destination = Destination::new(path, overwrite)?;
        return destination.write(|out| export_to_stream_as(model, out, path, progress));
    }
    let names: Vec<&str> = manifest.parts.iter().map(|part| part.name.as_str()).collect();
    let folder = ShardFolder::new(path, &names, &manifest.index_name, overwrite);
    let mut folder = folder.map_err(|error| match error {
        ExportError::NeedsFolder { .. } => ExportError::NeedsFolder { model: model.full_name() },
        error => error,
    })?;
    for (part, tensors) in parts(model) {
        folder.write(&part.name, |out| write_part(part, &tensors, out, path, progress))?;
    }
    folder.finish(&manifest.index)
}

/// Writes a model of one file to a stream.
///
/// # Errors
///
/// [`ExportError::NeedsFolder`] when the model is sharded; otherwise as [`export_to_path`].
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
    if !model.manifest().index_name.is_empty() {
        return Err(ExportError::NeedsFolder { model: model.full_name() });
    }
    let parts = parts(model);
    // A model without tensors still is a file.
    let empty = ManifestPart::default();
    let none = (&empty, Vec::new());
    let (part, tensors) = parts.first().unwrap_or(&none);
    write_part(part, tensors, out, path, progress)
}
