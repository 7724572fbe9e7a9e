//! A file of a model: its skeleton with the tensors woven in.

use std::io::{self, Write};

use super::bone_window::BoneWindow;
use super::model::Model;
use super::tensor::Tensor;
use crate::format::{FileFormat, ManifestPart, Skeleton, with_length, write_header};
use crate::store::error::{Result, StoreError};
use crate::store::slabs::{ahead, piece_len};
use crate::store::source::NewView;
use crate::tensor::ContentId;

/// A file of a model, as it was imported, byte for byte: read as a whole, or at any place. A range
/// decodes no more than the chunks that it lies in.
///
/// ```
/// use mgit::{NewModel, NewTensor, Store};
/// # fn main() -> mgit::Result<()> {
/// # let folder = tempfile::tempdir()?;
/// # let store = Store::create(folder.path().join("models.mgit"))?;
/// # let mut transaction = store.begin_write()?;
/// let tensor = NewTensor::from_vec("w", [2], vec![1f32, 2.0]);
/// transaction.add_model(NewModel::new("base").tensor(tensor))?;
/// transaction.commit()?;
///
/// let model = store.snapshot()?.model("base")?;
/// let file = model.files().next().expect("one file"); // a safetensors file
/// let mut end = [0; 4];
/// file.read_at(file.byte_len() - 4, &mut end)?;
/// assert_eq!(f32::from_le_bytes(end), 2.0);
///
/// let mut whole = Vec::new();
/// file.write_to(&mut whole, &|_| ())?;
/// assert_eq!(whole.len() as u64, file.byte_len());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct StoredFile {
    model: Model,
    /// The place of its part; behind the last one, the index of version 1.
    part: usize,
    first_tensor: usize,
    skeleton: Bones,
    window: BoneWindow,
    /// For each tensor, where it begins in the file, and the bytes of the tensors before it.
    begins: Vec<(u64, u64)>,
    len: u64,
}

/// Where the bytes of a skeleton are.
#[derive(Clone, Debug)]
enum Bones {
    Memory(Vec<u8>),
    Stored(Box<Tensor>),
}

impl Bones {
    fn len(&self) -> u64 {
        match self {
            Bones::Memory(bytes) => bytes.len() as u64,
            Bones::Stored(content) => content.byte_len(),
        }
    }
}

/// A piece of a file.
enum Piece<'f> {
    Skeleton { start: u64, len: u64 },
    Tensor { tensor: &'f Tensor, start: u64, len: u64 },
}

/// What a place in a file belongs to, and how many bytes from there on do.
pub(crate) enum FilePart {
    /// A stored content: a tensor, or the skeleton, from `start` of it on.
    Content { content: Tensor, start: u64, len: u64 },
    /// A skeleton that is in memory.
    Memory { len: u64 },
}

impl StoredFile {
    pub(in crate::store) fn open(model: &Model, part: usize, first_tensor: usize) -> Self {
        let manifest = model.manifest();
        let own = manifest.parts.get(part);
        let count = own.map_or(0, |part| part.tensor_count as usize);
        let mut file = StoredFile {
            model: model.clone(),
            part,
            first_tensor,
            skeleton: Bones::Memory(Vec::new()),
            window: BoneWindow::default(),
            begins: Vec::with_capacity(count),
            len: 0,
        };
        file.skeleton = match own.map(|part| &part.skeleton) {
            None => Bones::Memory(manifest.index.clone()),
            Some(Skeleton::Woven { .. }) => Bones::Stored(Box::new(model.skeleton_at(part))),
            Some(Skeleton::Header(header)) => Bones::Memory(match header.is_empty() {
                true => with_length(&file.made_header(count)),
                false => with_length(&header.to_vec()),
            }),
        };
        let header = [file.skeleton.len()];
        let gaps = match own.map(|part| &part.skeleton) {
            Some(Skeleton::Woven { gaps }) => &**gaps,
            _ => &header,
        };
        let (mut at, mut before) = (0u64, 0u64);
        for place in 0..count {
            at = at.saturating_add(gaps.get(place).copied().unwrap_or(0));
            file.begins.push((at, before));
            let len = manifest.tensors.get(first_tensor + place).map_or(0, |it| it.byte_len);
            (at, before) = (at.saturating_add(len), before.saturating_add(len));
        }
        file.len = before.saturating_add(file.skeleton.len());
        file
    }

    /// The header of a file that never was one.
    fn made_header(&self, count: usize) -> Vec<u8> {
        let tensors = &self.model.manifest().tensors;
        let entries = (self.first_tensor..self.first_tensor + count)
            .filter_map(|at| tensors.get(at).map(|it| (it.name, it.dtype, it.shape, it.byte_len)));
        write_header(entries, None)
    }

    fn own(&self) -> Option<&ManifestPart> {
        self.model.manifest().parts.get(self.part)
    }

    /// Its path in the model's folder, its parts joined by `/`. Of a model that is one file, the
    /// name that the file had; empty where that is not known.
    pub fn path(&self) -> &str {
        self.own().map_or(&self.model.manifest().index_name, |part| &part.path)
    }

    /// What it was read as.
    pub fn format(&self) -> FileFormat {
        let made = self.part == usize::MAX;
        let other = if made { FileFormat::Safetensors } else { FileFormat::Bytes };
        self.own().map_or(other, |part| part.format)
    }

    /// Whether its tensors are the model's own, as against those of an optimizer or of another copy
    /// of the weights, whose names begin with the path and a colon.
    pub fn is_weights(&self) -> bool {
        self.own().map_or(self.part == usize::MAX, |part| part.is_weights)
    }

    /// Its length in bytes.
    pub fn byte_len(&self) -> u64 {
        self.len
    }

    /// Its tensors in the order of their bytes, each with the place of its first byte in the file.
    pub fn tensors(&self) -> impl ExactSizeIterator<Item = (Tensor, u64)> + '_ {
        self.begins
            .iter()
            .enumerate()
            .map(|(at, (begin, _))| (self.model.at(self.first_tensor + at), *begin))
    }

    /// The contents that it is made of: its tensors', and what belongs to no tensor where that is
    /// stored beside them. Of a model whose tensors are still at a remote, the file can be read
    /// when [these have come](crate::transfer::fetch_contents).
    pub fn contents(&self) -> impl Iterator<Item = ContentId> + '_ {
        let skeleton = match &self.skeleton {
            Bones::Memory(_) => None,
            Bones::Stored(content) => Some(content.content_id()),
        };
        self.tensors().map(|(tensor, _)| tensor.content_id()).chain(skeleton)
    }

    /// The pieces of a range, in order.
    fn pieces(
        &self,
        mut offset: u64,
        mut left: u64,
        each: &mut dyn FnMut(Piece<'_>) -> Result<()>,
    ) -> Result<()> {
        // The last tensor that begins there or before; empty ones in between do not matter.
        let mut next = self.begins.partition_point(|(begin, _)| *begin <= offset).saturating_sub(1);
        while left > 0 {
            let behind = self.begins.get(next).copied();
            let (begin, before) = behind.unwrap_or((u64::MAX, self.tensor_bytes()));
            if offset < begin {
                // Skeleton up to the tensor, or to the end of the file.
                let len = left.min(begin - offset);
                each(Piece::Skeleton { start: offset - before, len })?;
                (offset, left) = (offset + len, left - len);
                continue;
            }
            let tensor = self.model.at(self.first_tensor + next);
            let start = offset - begin;
            let len = left.min(tensor.byte_len().saturating_sub(start));
            if len > 0 {
                each(Piece::Tensor { tensor: &tensor, start, len })?;
            }
            (offset, left, next) = (offset + len, left - len, next + 1);
        }
        Ok(())
    }

    /// What is at `offset`, which lies in the file.
    pub(crate) fn part_at(&self, offset: u64) -> FilePart {
        let behind = self.begins.partition_point(|(begin, _)| *begin <= offset);
        if let Some(at) = behind.checked_sub(1)
            && let Some((begin, _)) = self.begins.get(at)
        {
            let tensor = self.model.at(self.first_tensor + at);
            let start = offset - begin;
            if start < tensor.byte_len() {
                let len = tensor.byte_len() - start;
                return FilePart::Content { content: tensor, start, len };
            }
        }
        let next = self.begins.get(behind).copied();
        let (end, before) = next.unwrap_or((self.len, self.tensor_bytes()));
        let len = end.saturating_sub(offset);
        match &self.skeleton {
            Bones::Stored(content) => {
                let start = offset.saturating_sub(before);
                FilePart::Content { content: (**content).clone(), start, len }
            }
            Bones::Memory(_) => FilePart::Memory { len },
        }
    }

    /// A hash of what the file is made of: the identities of its tensors, where they lie in it, and
    /// its other bytes. Equal fingerprints are of equal bytes; files of equal bytes in which the
    /// same tensors were found have equal ones. Cost: reads no weight.
    pub fn fingerprint(&self) -> ContentId {
        let mut hasher = blake3::Hasher::new_derive_key("mgit 2026 fingerprint of a file");
        let skeleton = match &self.skeleton {
            Bones::Memory(bytes) => ContentId::of(bytes),
            Bones::Stored(content) => content.content_id(),
        };
        hasher.update(skeleton.as_bytes());
        hasher.update(&self.len.to_le_bytes());
        for (tensor, begin) in self.tensors() {
            hasher.update(&begin.to_le_bytes());
            hasher.update(&tensor.byte_len().to_le_bytes());
            hasher.update(tensor.content_id().as_bytes());
        }
        hasher.finalize().into()
    }

    fn tensor_bytes(&self) -> u64 {
        self.len - self.skeleton.len()
    }

    /// Fills `out` with the bytes of the file from `offset` on. Cost: decodes the chunks that they
    /// lie in; pieces of whole mebibytes decode each chunk once.
    ///
    /// # Errors
    ///
    /// [`StoreError::BufferLength`] when the file has no such bytes; otherwise as
    /// [`Tensor::view`].
    pub fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        let end = offset.checked_add(out.len() as u64);
        if end.is_none_or(|end| end > self.len) {
            let found = offset.saturating_add(out.len() as u64);
            return Err(StoreError::BufferLength { expected: self.len, found });
        }
        let mut rest = out;
        self.pieces(offset, rest.len() as u64, &mut |piece| {
            let len = match piece {
                Piece::Skeleton { len, .. } | Piece::Tensor { len, .. } => len,
            };
            let (part, behind) = std::mem::take(&mut rest).split_at_mut(len as usize);
            rest = behind;
            match piece {
                Piece::Skeleton { start, .. } => self.read_skeleton(start, part),
                Piece::Tensor { tensor, start, .. } => tensor.read_range_into(start, part),
            }
        })
    }

    /// For each tensor the bytes between it and what is before it, and the length of all bytes that
    /// belong to no tensor.
    pub(in crate::store) fn gaps(&self) -> (Vec<u64>, u64) {
        let mut skeleton = 0;
        let gap = |(begin, before): &(u64, u64)| {
            let gap = begin - before - skeleton;
            skeleton += gap;
            gap
        };
        (self.begins.iter().map(gap).collect(), self.skeleton.len())
    }

    /// The model's views of its tensors, by their places in this file.
    pub(crate) fn views(&self) -> Vec<NewView> {
        let own = self.first_tensor..self.first_tensor + self.begins.len();
        let views = self.model.manifest().views.iter();
        let views = views.filter(|view| own.contains(&(view.tensor as usize)));
        views
            .map(|view| NewView {
                name: view.name.clone(),
                tensor: view.tensor as usize - self.first_tensor,
                offset: view.offset,
                dtype: view.dtype.clone(),
                shape: view.shape.clone(),
                strides: view.strides.clone(),
            })
            .collect()
    }

    /// Fills `out` with the bytes that belong to no tensor, from `start` of them on.
    pub(in crate::store) fn read_skeleton(&self, start: u64, out: &mut [u8]) -> Result<()> {
        match &self.skeleton {
            // Without tensors there are no gaps: it is read in order.
            Bones::Stored(content) if self.begins.is_empty() => content.read_range_into(start, out),
            Bones::Stored(content) => self.window.read(content, start, out),
            Bones::Memory(bytes) => {
                let part = bytes.get(start as usize..).and_then(|from| from.get(..out.len()));
                let (expected, found) = (bytes.len() as u64, start + out.len() as u64);
                out.copy_from_slice(part.ok_or(StoreError::BufferLength { expected, found })?);
                Ok(())
            }
        }
    }

    /// Gives back the memory of the piece of skeleton that was read last.
    pub(crate) fn forget_window(&self) {
        self.window.clear();
    }

    /// Whether both have the same bytes. Cost: nothing is read where both were read in the same
    /// way, as nearly all are; else both are, unless their lengths differ.
    ///
    /// # Errors
    ///
    /// As [`read_at`](Self::read_at).
    pub fn is_same(&self, other: &StoredFile) -> Result<bool> {
        if self.len != other.len {
            return Ok(false);
        }
        let bones = match (&self.skeleton, &other.skeleton) {
            (Bones::Memory(a), Bones::Memory(b)) => Some(a == b),
            (Bones::Stored(a), Bones::Stored(b)) => Some(a.content_id() == b.content_id()),
            _ => None,
        };
        if let Some(same) = bones.filter(|_| self.begins == other.begins) {
            let mut pairs = self.tensors().zip(other.tensors());
            return Ok(same && pairs.all(|((a, _), (b, _))| a.content_id() == b.content_id()));
        }
        let (mut own, mut others) = (Vec::new(), Vec::new());
        let mut offset = 0;
        while offset < self.len {
            let len = (self.len - offset).min(piece_len() as u64) as usize;
            own.resize(len, 0);
            others.resize(len, 0);
            self.read_at(offset, &mut own)?;
            other.read_at(offset, &mut others)?;
            if own != others {
                return Ok(false);
            }
            offset += len as u64;
        }
        Ok(true)
    }

    /// The whole file, when it has at most `most` bytes: for configurations and the like.
    ///
    /// # Errors
    ///
    /// [`StoreError::OutOfMemory`] when it is longer; otherwise as [`read_at`](Self::read_at).
    pub fn bytes(&self, most: u64) -> Result<Vec<u8>> {
        let no_room = || StoreError::OutOfMemory { bytes: self.len };
        if self.len > most {
            return Err(no_room());
        }
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(self.len as usize).map_err(|_| no_room())?;
        bytes.resize(self.len as usize, 0);
        self.read_at(0, &mut bytes)?;
        Ok(bytes)
    }

    /// Writes the whole file to `out`; `progress` is told the bytes done. Memory: a few mebibytes.
    ///
    /// # Errors
    ///
    /// [`WriteToError`], which tells a failure to read from one to write.
    pub fn write_to(
        &self,
        out: &mut dyn Write,
        progress: &dyn Fn(u64),
    ) -> std::result::Result<(), WriteToError> {
        let mut failed = None;
        let mut buffer = Vec::new();
        let mut write = |bytes: &[u8]| {
            let written = out.write_all(bytes);
            progress(bytes.len() as u64);
            written.map_err(|error| {
                failed = Some(error);
                StoreError::ReadOnly
            })
        };
        let result = self.pieces(0, self.len, &mut |piece| match piece {
            Piece::Skeleton { start, len } => match &self.skeleton {
                Bones::Memory(bytes) => {
                    let part =
                        bytes.get(start as usize..).and_then(|from| from.get(..len as usize));
                    write(part.unwrap_or_default())
                }
                // Gaps between tensors are short, and many to a chunk.
                Bones::Stored(content) if len < BoneWindow::LEN && !self.begins.is_empty() => {
                    buffer.resize(len as usize, 0);
                    self.window.read(content, start, &mut buffer)?;
                    write(&buffer)
                }
                Bones::Stored(content) => copy(content, (start, len), &mut buffer, &mut write),
            },
            Piece::Tensor { tensor, start, len } => {
                copy(tensor, (start, len), &mut buffer, &mut write)
            }
        });
        self.window.clear();
        match failed {
            Some(error) => Err(WriteToError::Write(error)),
            None => Ok(result?),
        }
    }
}

/// Why a file could not be copied out of a store.
#[derive(Debug, thiserror::Error)]
pub enum WriteToError {
    /// It could not be read.
    #[error(transparent)]
    Read(#[from] StoreError),
    /// It could not be written.
    #[error("cannot write")]
    Write(#[source] io::Error),
}

/// Hands a range of a content to `write`, piece by piece; the next is checked or decoded while one
/// is written.
fn copy(
    content: &Tensor,
    (start, len): (u64, u64),
    buffer: &mut Vec<u8>,
    write: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let content = content.opened()?;
    if content.raw(start, 0)?.is_none() {
        let room = 2 * len.min(piece_len() as u64) as usize;
        if buffer.len() < room {
            buffer.resize(room, 0);
        }
        let decode = |at: u64, piece: &mut [u8]| content.read(start + at, piece);
        return ahead(len, &mut buffer[..room], &decode, &mut |_, piece| write(piece));
    }
    // What lies raw in the file is written from there, without a copy.
    let piece_at = |at: u64| content.raw(start + at, (len - at).min(piece_len() as u64) as usize);
    let (mut at, mut next) = (0, piece_at(0));
    while let Some(piece) = next?.filter(|piece| !piece.is_empty()) {
        at += piece.len() as u64;
        next = Ok(None);
        let written = rayon::in_place_scope(|scope| {
            if at < len {
                scope.spawn(|_| next = piece_at(at));
            }
            write(piece)
        });
        written?;
    }
    Ok(())
}

impl Model {
    /// Its files, in order: those of weights first. A model that was made by a program is one
    /// safetensors file. Cost of each: a few bytes a tensor.
    pub fn files(&self) -> impl Iterator<Item = StoredFile> + '_ {
        let manifest = self.manifest();
        let parts = manifest.parts_with_places().enumerate();
        let parts = parts.map(|(at, (_, first))| StoredFile::open(self, at, first));
        // A model without tensors still is a file.
        let none = manifest.parts.is_empty().then(|| StoredFile::open_empty(self));
        let index = (!manifest.index_name.is_empty())
            .then(|| StoredFile::open(self, manifest.parts.len(), manifest.tensors.len()));
        parts.chain(none).chain(index)
    }

    /// How the name of its file ends, without the dot, when it is one file.
    pub(crate) fn extension(&self) -> String {
        let file = self.files().next();
        let own = file.as_ref().and_then(|file| std::path::Path::new(file.path()).extension());
        let own = own.and_then(|own| own.to_str()).map(str::to_owned);
        let format = file.map(|file| file.format()).unwrap_or_default();
        own.unwrap_or_else(|| format.extension().to_owned())
    }

    /// The file at `path`.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoSuchFile`].
    pub fn file(&self, path: &str) -> Result<StoredFile> {
        let manifest = self.manifest();
        let mut parts = manifest.parts_with_places().enumerate();
        let found = parts.find(|(_, (part, _))| part.path == path);
        match found {
            Some((at, (_, first))) => Ok(StoredFile::open(self, at, first)),
            None if !path.is_empty() && path == manifest.index_name => {
                Ok(StoredFile::open(self, manifest.parts.len(), manifest.tensors.len()))
            }
            None => Err(StoreError::NoSuchFile { model: self.full_name(), path: path.to_owned() }),
        }
    }
}

impl StoredFile {
    /// The file of a model that has none.
    fn open_empty(model: &Model) -> Self {
        let skeleton = Bones::Memory(with_length(&write_header(std::iter::empty(), None)));
        let len = skeleton.len();
        StoredFile {
            model: model.clone(),
            part: usize::MAX,
            first_tensor: 0,
            skeleton,
            window: BoneWindow::default(),
            begins: Vec::new(),
            len,
        }
    }
}
