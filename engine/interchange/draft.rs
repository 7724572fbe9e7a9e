//! A lossy draft to files, for whoever judges it.

use std::io::Write;
use std::path::Path;

use super::export::{PIECE_LEN, put_header};
use super::export_error::ExportError;
use super::shard_folder::ShardFolder;
use crate::container::{Destination, Overwrite};
use crate::format::ManifestPart;
use crate::store::{LossyDraft, LossyTensor};

/// Writes a lossy draft as the files that its model would be exported as: to the file `path`, or,
/// when it is sharded, into the folder `path`. Memory is bounded.
///
/// # Errors
///
/// [`ExportError`].
pub fn export_draft(draft: &LossyDraft<'_>, path: impl AsRef<Path>) -> Result<(), ExportError> {
    let path = path.as_ref();
    let mut tensors = draft.tensors();
    let mut of = |part: &ManifestPart| -> Vec<LossyTensor<'_>> {
        tensors.by_ref().take(part.tensor_count as usize).collect()
    };
    let (index_name, index) = draft.index();
    if index_name.is_empty() {
        let none = ManifestPart::default();
        let part = draft.parts().first().unwrap_or(&none);
        let destination = Destination::new(path, Overwrite::Files)?;
        return destination.write(|out| write_part(part, &of(part), out, path));
    }
    let names: Vec<&str> = draft.parts().iter().map(|part| part.name.as_str()).collect();
    let mut folder = ShardFolder::new(path, &names, index_name, Overwrite::Files)?;
    for part in draft.parts() {
        folder.write(&part.name, |out| write_part(part, &of(part), out, path))?;
    }
    folder.finish(index)
}

fn write_part(
    part: &ManifestPart,
    tensors: &[LossyTensor<'_>],
    out: &mut dyn Write,
    path: &Path,
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
            let len = (tensor.byte_len() - offset).min(PIECE_LEN as u64);
            piece.resize(len as usize, 0);
            tensor.read_range_into(offset, &mut piece)?;
            out.write_all(&piece).map_err(&failed)?;
            offset += len;
        }
    }
    Ok(())
}
