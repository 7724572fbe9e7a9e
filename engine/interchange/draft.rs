//! A lossy draft to files, for whoever judges it.

use std::fs;
use std::io::Write;
use std::path::Path;

use super::export::{ExportError, PIECE_LEN, write_file};
use super::index::is_plain_file_name;
use super::write_header;
use crate::format::{ManifestPart, PackedBytes};
use crate::store::{DraftTensor, LossyDraft};

/// Writes a lossy draft as the files that its model would be exported as: to the file `path`, or,
/// when it is sharded, into the folder `path`. Memory is bounded.
///
/// # Errors
///
/// [`ExportError`].
pub fn export_draft(draft: &LossyDraft<'_>, path: &Path) -> Result<(), ExportError> {
    let mut tensors = draft.tensors();
    let mut of = |part: &ManifestPart| -> Vec<DraftTensor<'_>> {
        tensors.by_ref().take(part.tensor_count as usize).collect()
    };
    let (index_name, index) = draft.index();
    if index_name.is_empty() {
        let none = ManifestPart::default();
        let part = draft.parts().first().unwrap_or(&none);
        return write_file(path, |out| write_part(part, &of(part), out, path));
    }
    fs::create_dir_all(path).map_err(ExportError::target(path))?;
    for part in draft.parts() {
        if !is_plain_file_name(&part.name) {
            return Err(ExportError::BadShardName { name: part.name.clone() });
        }
        let file = path.join(&part.name);
        write_file(&file, |out| write_part(part, &of(part), out, &file))?;
    }
    if !is_plain_file_name(index_name) {
        return Err(ExportError::BadShardName { name: index_name.to_owned() });
    }
    let file = path.join(index_name);
    write_file(&file, |out| out.write_all(index).map_err(ExportError::target(&file)))
}

fn write_part(
    part: &ManifestPart,
    tensors: &[DraftTensor<'_>],
    out: &mut dyn Write,
    path: &Path,
) -> Result<(), ExportError> {
    let failed = ExportError::target(path);
    let header = if part.header.is_empty() {
        let entries = tensors
            .iter()
            .map(|tensor| (tensor.name(), tensor.dtype(), tensor.shape(), tensor.byte_len()));
        PackedBytes::from(write_header(entries, None))
    } else {
        part.header.clone()
    };
    out.write_all(&(header.len() as u64).to_le_bytes()).map_err(&failed)?;
    header.pieces().try_for_each(|piece| out.write_all(&piece)).map_err(&failed)?;
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
