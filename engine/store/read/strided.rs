//! Other names for tensors and parts of them: tied weights, slices, transposed arrays.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use super::model::Model;
use super::tensor::Tensor;
use super::view::TensorView;
use crate::container::unnamed_file;
use crate::format::{ManifestView, is_in_a_row};
use crate::store::error::{Result, StoreError};
use crate::store::source::TensorSource;
use crate::tensor::{Dtype, Shape};

/// A tensor up to this length is read into memory where elements that are not in a row are asked
/// for; of a longer one that does not lie raw in the store, they are picked out of a file.
const IN_MEMORY_MAX: u64 = 16 << 20;
/// Bytes that are copied into that file at a time: whole chunks, so that each is decoded once.
const PIECE_LEN: u64 = 8 << 20;
/// Bytes that are picked at a time.
const PICKED_LEN: usize = 1 << 20;
/// Elements are read together up to this far from each other,
const GAP_MAX: u64 = 256;
/// and as far as all of them have this length.
const RUN_MAX: u64 = 64 << 10;

/// The bytes of a tensor whose elements are asked for one by one.
#[derive(Debug)]
enum Elements {
    View(TensorView),
    /// In a file without a name.
    File(File),
}

/// Another name for elements of a tensor of a model, with the shape that they have under it.
#[derive(Clone, Debug)]
pub struct NamedView {
    view: ManifestView,
    tensor: Tensor,
    /// The tensor's bytes, once elements that are not in a row were asked for.
    bytes: OnceLock<Arc<Elements>>,
}

impl NamedView {
    /// Its name, unique among the model's tensors and views.
    pub fn name(&self) -> &str {
        &self.view.name
    }

    /// Its element type.
    pub fn dtype(&self) -> &Dtype {
        &self.view.dtype
    }

    /// Its dimensions.
    pub fn shape(&self) -> &Shape {
        &self.view.shape
    }

    /// Elements from one to the next, for each dimension.
    pub fn strides(&self) -> &[u64] {
        &self.view.strides
    }

    /// Where its first element is in the bytes of its tensor.
    pub fn offset(&self) -> u64 {
        self.view.offset
    }

    /// The tensor whose elements it names.
    pub fn tensor(&self) -> &Tensor {
        &self.tensor
    }

    fn width(&self) -> u64 {
        u64::from(self.view.dtype.bits().unwrap_or(8) / 8).max(1)
    }

    /// Its length in bytes.
    pub fn byte_len(&self) -> u64 {
        self.view.shape.elements().saturating_mul(self.width())
    }

    /// Fills `out` with its bytes from `offset` on, the last dimension innermost. Cost: where its
    /// elements are not in a row, the whole tensor is read, once; a long one that does not lie raw in
    /// the store takes room beside the store meanwhile, in a file without a name, not in memory.
    ///
    /// # Errors
    ///
    /// [`StoreError::BufferLength`] when it has no such bytes; otherwise as [`Tensor::view`].
    pub fn read_range_into(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        let end = offset.checked_add(out.len() as u64);
        if end.is_none_or(|end| end > self.byte_len()) {
            let found = offset.saturating_add(out.len() as u64);
            return Err(StoreError::BufferLength { expected: self.byte_len(), found });
        }
        if is_in_a_row(&self.view.shape, &self.view.strides) {
            return self.tensor.read_range_into(self.view.offset + offset, out);
        }
        let elements = match self.bytes.get() {
            Some(elements) => elements,
            // Another thread may be first.
            None => {
                let elements = Arc::new(self.elements()?);
                self.bytes.get_or_init(|| elements)
            }
        };
        let bytes: &[u8] = match &**elements {
            Elements::View(view) => view,
            Elements::File(file) => {
                let failed = |source| {
                    let tensor = self.name().to_owned();
                    StoreError::Source { tensor, source }
                };
                return self.pick(file, offset, out).map_err(failed);
            }
        };
        let (width, mut at) = (self.width(), offset);
        let mut rest = out;
        while !rest.is_empty() {
            let inner = (at % width) as usize;
            let len = rest.len().min(width as usize - inner);
            let start = self.place_of(at / width) as usize + inner;
            let (part, behind) = rest.split_at_mut(len);
            // The manifest was refused unless all elements lie in the tensor.
            match bytes.get(start..start + len) {
                Some(element) => part.copy_from_slice(element),
                None => part.fill(0),
            }
            (rest, at) = (behind, at + len as u64);
        }
        Ok(())
    }

    /// The tensor's bytes where elements can be picked out of them.
    fn elements(&self) -> Result<Elements> {
        let tensor = &self.tensor;
        if tensor.byte_len() > IN_MEMORY_MAX && tensor.raw_range(0, 1)?.is_none() {
            let folder = tensor.folder().map(Path::to_owned);
            let folders = folder.into_iter().chain([std::env::temp_dir()]);
            let mut files = folders.filter_map(|folder| unnamed_file(&folder).ok());
            if let Some(file) = files.next()
                && copy_to(tensor, &file)?
            {
                return Ok(Elements::File(file));
            }
            // There is no room for it: in memory there may be.
        }
        Ok(Elements::View(tensor.view()?))
    }

    /// Fills `out` from the file of the tensor's bytes: element by element, but read in the order in
    /// which they lie there, those that are near each other together.
    fn pick(&self, file: &File, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let width = self.width();
        let (mut run, mut at) = (Vec::new(), offset);
        for piece in out.chunks_mut(PICKED_LEN) {
            let end = at + piece.len() as u64;
            let elements = at / width..end.div_ceil(width);
            let mut places: Vec<(u64, u64)> =
                elements.map(|element| (self.place_of(element), element)).collect();
            places.sort_unstable();
            let mut rest = places.as_slice();
            while let Some((start, _)) = rest.first().copied() {
                let (mut last, mut count) = (start, 0);
                for (place, _) in rest {
                    if *place > last + width + GAP_MAX || *place >= start + RUN_MAX {
                        break;
                    }
                    (last, count) = (*place, count + 1);
                }
                let (near, behind) = rest.split_at(count);
                run.resize((last + width - start) as usize, 0);
                file.read_exact_at(&mut run, start)?;
                for (place, element) in near {
                    let from = element * width;
                    let (lo, hi) = (from.max(at), (from + width).min(end));
                    let begin = place - start + (lo - from);
                    let bytes = run.get(begin as usize..(begin + hi - lo) as usize);
                    let to = piece.get_mut((lo - at) as usize..(hi - at) as usize);
                    if let (Some(bytes), Some(to)) = (bytes, to) {
                        to.copy_from_slice(bytes);
                    }
                }
                rest = behind;
            }
            at = end;
        }
        Ok(())
    }

    /// Where an element begins in the tensor, in bytes.
    fn place_of(&self, mut element: u64) -> u64 {
        let mut place = 0;
        for (dim, stride) in self.view.shape.dims().iter().zip(&self.view.strides).rev() {
            place += element % dim * stride;
            element /= dim;
        }
        self.view.offset + place * self.width()
    }

    /// All of its bytes. Cost: as [`read_range_into`](Self::read_range_into).
    ///
    /// # Errors
    ///
    /// As there; [`StoreError::OutOfMemory`].
    pub fn bytes(&self) -> Result<Vec<u8>> {
        let len = self.byte_len();
        let mut bytes = Vec::new();
        let no_room = |_| StoreError::OutOfMemory { bytes: len };
        bytes.try_reserve_exact(len as usize).map_err(no_room)?;
        bytes.resize(len as usize, 0);
        self.read_range_into(0, &mut bytes)?;
        Ok(bytes)
    }
}

/// Copies a tensor into a file. Says whether there was room.
fn copy_to(tensor: &Tensor, mut file: &File) -> Result<bool> {
    let mut piece = Vec::new();
    let mut offset = 0;
    while offset < tensor.byte_len() {
        piece.resize((tensor.byte_len() - offset).min(PIECE_LEN) as usize, 0);
        tensor.read_range_into(offset, &mut piece)?;
        if file.write_all(&piece).is_err() {
            return Ok(false);
        }
        offset += piece.len() as u64;
    }
    Ok(true)
}

impl TensorSource for NamedView {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.read_range_into(offset, out).map_err(io::Error::other)
    }
}

impl Model {
    /// Other names for its tensors and parts of them, in order: tied weights, slices, transposed
    /// arrays. None for most models.
    pub fn named_views(&self) -> impl ExactSizeIterator<Item = NamedView> + '_ {
        self.manifest().views.iter().map(|view| NamedView {
            view: view.clone(),
            tensor: self.at(view.tensor as usize),
            bytes: OnceLock::new(),
        })
    }

    /// The one at a place, if there is one.
    pub(crate) fn named_view_at(&self, at: usize) -> Option<NamedView> {
        let view = self.manifest().views.iter().nth(at)?.clone();
        Some(NamedView { tensor: self.at(view.tensor as usize), view, bytes: OnceLock::new() })
    }
}
