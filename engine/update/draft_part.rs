//! A file of a draft.

use super::draft_tensor::DraftTensor;
use crate::format::{FileFormat, PackedBytes};
use crate::store::{NewPart, NewTensor, StoredFile};

/// One file of a draft.
#[derive(Clone, Debug, Default)]
pub(super) struct DraftPart {
    pub(super) path: String,
    /// The safetensors header; empty where one is to be made, or there is none.
    pub(super) header: PackedBytes,
    pub(super) tensors: Vec<DraftTensor>,
    /// The file that it is made like.
    pub(super) old: Option<StoredFile>,
}

impl DraftPart {
    /// A part like a file of weights, without tensors.
    pub(super) fn of(file: StoredFile, header: PackedBytes) -> Self {
        let path = file.path().to_owned();
        DraftPart { path, header, tensors: Vec::new(), old: Some(file) }
    }

    pub(super) fn format(&self) -> FileFormat {
        self.old.as_ref().map_or(FileFormat::Safetensors, StoredFile::format)
    }

    /// Whether its tensors have names, types and shapes, and the order, of the file's.
    pub(super) fn is_like_old(&self) -> bool {
        let Some(old) = &self.old else { return false };
        let tensors = old.tensors();
        tensors.len() == self.tensors.len()
            && tensors
                .zip(&self.tensors)
                .all(|((old, _), new)| new.name() == old.name() && new.is_like(&old))
    }

    /// Whether it has a tensor for each of the file's, in the same order.
    pub(super) fn keeps_places(&self) -> bool {
        self.old.as_ref().is_some_and(|old| {
            let names = old.tensors().map(|(tensor, _)| tensor.name().to_owned());
            names.eq(self.tensors.iter().map(|tensor| tensor.name().to_owned()))
        })
    }

    /// Whether the file's other bytes go with its new tensors.
    pub(super) fn fits_old(&self) -> bool {
        let kept = |old: &StoredFile| {
            old.tensors().zip(&self.tensors).all(|((old, _), new)| new.is_kept(&old))
        };
        self.is_like_old()
            && (!self.format().has_checksums() || self.old.as_ref().is_some_and(kept))
    }

    /// Brings the tensors into an order in which each begins at a multiple of its elements' size,
    /// which readers that map files ask for: the widest elements first, where it is not so.
    pub(super) fn align(&mut self) {
        let width = |tensor: &DraftTensor| u64::from(tensor.dtype().bits().unwrap_or(8) / 8).max(1);
        let mut begin = 0u64;
        let is_aligned = self.tensors.iter().all(|tensor| {
            let at = begin;
            begin = begin.saturating_add(tensor.byte_len());
            at.is_multiple_of(width(tensor))
        });
        if !is_aligned {
            self.tensors.sort_by_key(|tensor| std::cmp::Reverse(width(tensor)));
        }
    }

    /// The part, to be added.
    pub(super) fn new_part(&self) -> NewPart<'_> {
        let mut part = match &self.old {
            Some(old) if self.format() != FileFormat::Safetensors => NewPart::skeleton_of(old),
            _ => NewPart { path: self.path.clone(), ..NewPart::default() },
        };
        if !self.header.is_empty() {
            part = part.packed_header(self.header.clone());
        }
        for tensor in &self.tensors {
            part = part.tensor(NewTensor::borrowed(
                tensor.name(),
                tensor.dtype().clone(),
                tensor.shape().clone(),
                tensor.byte_len(),
                tensor.source(),
            ));
        }
        part
    }
}
