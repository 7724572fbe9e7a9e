//! A file of a model, on its way into the store.

use std::io;

use crate::format::FileFormat;
use crate::interchange::{LaidTensor, LaidView, OpenFile};
use crate::store::{TensorSource, TensorsSource};

/// What a file's tensors are to the model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FileRole {
    /// They are the model's weights, and have their own names.
    Weights,
    /// They are not: the state of an optimizer, the same weights in another format. In the model
    /// they have the file's path before their names: `optimizer.pt:state.0.exp_avg`.
    #[default]
    Aside,
}

/// A file of a model.
#[derive(Debug)]
pub struct SourceFile {
    pub(super) path: String,
    pub(super) file: OpenFile,
    pub(super) format: FileFormat,
    pub(super) role: FileRole,
    pub(super) tensors: Vec<LaidTensor>,
    pub(super) views: Vec<LaidView>,
    pub(super) notes: Vec<String>,
}

impl SourceFile {
    /// Its path in the model's folder.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The format that it was read as.
    pub fn format(&self) -> FileFormat {
        self.format
    }

    /// What its tensors are to the model.
    pub fn role(&self) -> FileRole {
        self.role
    }

    /// Its length in bytes.
    #[allow(clippy::len_without_is_empty, reason = "a length, not a collection")]
    pub fn len(&self) -> u64 {
        self.file.len()
    }

    /// The tensors in the order of their bytes, by their names in the model.
    pub fn tensors(&self) -> &[LaidTensor] {
        &self.tensors
    }

    /// Other names for tensors and parts of them.
    pub fn views(&self) -> &[LaidView] {
        &self.views
    }

    /// What is not seen of it, and why.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Fills `out` with the bytes of a tensor from `offset` on; `at` counts as
    /// [`tensors`](Self::tensors) does.
    ///
    /// # Errors
    ///
    /// Of kind `InvalidInput` when there is no such tensor or it has no such bytes, of kind
    /// `UnexpectedEof` when the file has shrunk since it was opened, and those of the operating
    /// system.
    pub fn read_tensor_at(&self, at: usize, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let tensor = self.tensors.get(at);
        let place = tensor.and_then(|tensor| {
            let begin = tensor.begin.checked_add(offset)?;
            let end = begin.checked_add(out.len() as u64)?;
            (end <= tensor.end).then_some((tensor, begin))
        });
        let Some((tensor, begin)) = place else {
            let message = format!("{:?}: no such bytes of tensor {at}", self.file.path());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        };
        self.file.read_exact_at(begin, out).map_err(|error| {
            let (path, name, asked) = (self.file.path(), &tensor.name, out.len());
            let message = format!(
                "{path:?}: tensor {name:?}: cannot read {asked} bytes from its offset {offset} on: \
                 {error}"
            );
            io::Error::new(error.kind(), message)
        })
    }

    /// Bytes of the skeleton before each tensor, since the one before.
    pub(super) fn gaps(&self) -> Vec<u64> {
        let ends = [0].into_iter().chain(self.tensors.iter().map(|tensor| tensor.end));
        self.tensors.iter().zip(ends).map(|(tensor, end)| tensor.begin - end).collect()
    }

    /// The bytes that belong to no tensor, in order.
    pub(super) fn skeleton(&self) -> Skeleton {
        let (mut runs, mut begin, mut len) = (Vec::new(), 0, 0);
        let ends = self.tensors.iter().map(|tensor| (tensor.begin, tensor.end));
        for (end, next) in ends.chain([(self.file.len(), 0)]) {
            if begin < end {
                runs.push((len, begin));
                len += end - begin;
            }
            begin = next;
        }
        Skeleton { file: self.file.clone(), runs, len }
    }
}

impl TensorsSource for SourceFile {
    fn read_tensor_at(&self, at: usize, offset: u64, out: &mut [u8]) -> io::Result<()> {
        SourceFile::read_tensor_at(self, at, offset, out)
    }
}

/// The bytes of a file that belong to no tensor.
#[derive(Debug)]
pub(super) struct Skeleton {
    file: OpenFile,
    /// Of each run, where it begins in the skeleton and where in the file.
    runs: Vec<(u64, u64)>,
    len: u64,
}

impl Skeleton {
    pub(super) fn len(&self) -> u64 {
        self.len
    }
}

impl TensorSource for Skeleton {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let (mut offset, mut out) = (offset, out);
        while !out.is_empty() {
            let next = self.runs.partition_point(|(begin, _)| *begin <= offset);
            let run = next.checked_sub(1).and_then(|at| self.runs.get(at));
            let end = self.runs.get(next).map_or(self.len, |(begin, _)| *begin);
            let Some((begin, place)) = run.filter(|_| offset < end) else {
                return Err(io::ErrorKind::UnexpectedEof.into());
            };
            let take = usize::try_from(end - offset).unwrap_or(usize::MAX).min(out.len());
            let (piece, rest) = out.split_at_mut(take);
            self.file.read_exact_at(place + (offset - begin), piece)?;
            (offset, out) = (offset + take as u64, rest);
        }
        Ok(())
    }
}
