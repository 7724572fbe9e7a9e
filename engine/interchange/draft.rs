//! A lossy draft to files, for whoever judges it.

use std::io::Write;
use std::path::Path;

use super::export_error::ExportError;
use super::model_folder::ModelFolder;
use super::out_name::name_in_folder;
use crate::container::{Destination, Overwrite};
use crate::format::{FileFormat, ManifestPart, Skeleton, with_length, write_header};
use crate::store::{LossyDraft, LossyTensor, StoreError, TensorSource};

/// Bytes that are copied at a time: whole chunks, so that each is decoded once.
const PIECE_LEN: u64 = 8 << 20;

/// Writes a lossy draft as the files that its model would be exported as: to the file `path`, or,
/// when it is a folder of files, into the folder `path`. Memory is bounded.
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
    let files = draft.files();
    if !files.is_folder() {
        let none = ManifestPart::default();
        let part = files.parts.first().unwrap_or(&none);
        let destination = Destination::new(path, Overwrite::Files)?;
        let weave = Weave { part, tensors: of(part), skeleton: draft.skeleton(0), path };
        return destination.write(|out| weave.write(out));
    }
    let index = Some(files.index_name.as_str()).filter(|name| !name.is_empty());
    let names = files.parts.iter().map(|part| part.path.as_str()).chain(index);
    let mut folder = ModelFolder::new(path, &names.collect::<Vec<_>>(), Overwrite::Files)?;
    for (at, part) in files.parts.iter().enumerate() {
        let weave = Weave { part, tensors: of(part), skeleton: draft.skeleton(at), path };
        folder.write(&part.path, |out| weave.write(out))?;
    }
    if let Some(name) = index {
        let failed = ExportError::target(path);
        folder.write(name, |out| out.write_all(&files.index).map_err(&failed))?;
    }
    folder.finish()
}

/// Writes a lossy draft into the folder `path`, which is not there yet, as
/// [`export_to_folder`](super::export_to_folder) does it with a model.
///
/// # Errors
///
/// [`ExportError`].
pub fn export_draft_to_folder(
    draft: &LossyDraft<'_>,
    path: impl AsRef<Path>,
) -> Result<(), ExportError> {
    let path = path.as_ref();
    if draft.is_folder() {
        return export_draft(draft, path);
    }
    std::fs::create_dir(path).map_err(ExportError::target(path))?;
    let (own, format) = only_part(draft);
    export_draft(draft, path.join(name_in_folder(own, format)?))
}

/// How the name of a draft's file ends, when it is one file.
pub fn draft_extension(draft: &LossyDraft<'_>) -> String {
    let (own, format) = only_part(draft);
    let own = Path::new(own).extension().and_then(|own| own.to_str());
    own.unwrap_or_else(|| format.extension()).to_owned()
}

/// The path and the format of a draft's only file.
fn only_part<'d>(draft: &'d LossyDraft<'_>) -> (&'d str, FileFormat) {
    let part = draft.files().parts.first();
    part.map_or(("", FileFormat::Safetensors), |part| (&part.path, part.format))
}

/// Reads bytes from an offset on.
type ReadAt<'r> = dyn Fn(u64, &mut [u8]) -> Result<(), ExportError> + 'r;

/// A file of a draft, on its way out.
struct Weave<'d> {
    part: &'d ManifestPart,
    tensors: Vec<LossyTensor<'d>>,
    skeleton: Option<(&'d dyn TensorSource, u64)>,
    path: &'d Path,
}

impl Weave<'_> {
    fn write(&self, out: &mut dyn Write) -> Result<(), ExportError> {
        let failed = ExportError::target(self.path);
        let gaps = match &self.part.skeleton {
            Skeleton::Woven { gaps } => &**gaps,
            Skeleton::Header(header) => {
                let header = match header.is_empty() {
                    true => write_header(self.entries(), None),
                    false => header.to_vec(),
                };
                out.write_all(&with_length(&header)).map_err(&failed)?;
                &[]
            }
        };
        let mut done = 0;
        for (at, tensor) in self.tensors.iter().enumerate() {
            let gap = gaps.get(at).copied().unwrap_or(0);
            self.write_skeleton(done, gap, out)?;
            done += gap;
            let read = |offset, piece: &mut [u8]| Ok(tensor.read_range_into(offset, piece)?);
            self.copy(tensor.byte_len(), out, &read)?;
        }
        let len = self.skeleton.map_or(0, |(_, len)| len);
        self.write_skeleton(done, len.saturating_sub(done), out)
    }

    fn entries(
        &self,
    ) -> impl Iterator<Item = (&str, &crate::tensor::Dtype, &crate::tensor::Shape, u64)> {
        self.tensors.iter().map(|it| (it.name(), it.dtype(), it.shape(), it.byte_len()))
    }

    fn write_skeleton(&self, start: u64, len: u64, out: &mut dyn Write) -> Result<(), ExportError> {
        let Some((source, _)) = self.skeleton else { return Ok(()) };
        let read = |offset, piece: &mut [u8]| {
            let tensor = self.part.path.clone();
            source
                .read_at(start + offset, piece)
                .map_err(|source| StoreError::Source { tensor, source }.into())
        };
        self.copy(len, out, &read)
    }

    fn copy(&self, len: u64, out: &mut dyn Write, read: &ReadAt<'_>) -> Result<(), ExportError> {
        let failed = ExportError::target(self.path);
        let mut piece = vec![0; len.min(PIECE_LEN) as usize];
        let mut offset = 0;
        while offset < len {
            piece.resize((len - offset).min(PIECE_LEN) as usize, 0);
            read(offset, &mut piece)?;
            out.write_all(&piece).map_err(&failed)?;
            offset += piece.len() as u64;
        }
        Ok(())
    }
}
