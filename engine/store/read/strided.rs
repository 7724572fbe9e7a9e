//! Other names for tensors and parts of them: tied weights, slices, transposed arrays.

use std::io;
use std::sync::OnceLock;

use super::model::Model;
use super::tensor::Tensor;
use super::view::TensorView;
use crate::format::{ManifestView, is_in_a_row};
use crate::store::error::{Result, StoreError};
use crate::store::source::TensorSource;
use crate::tensor::{Dtype, Shape};

/// Another name for elements of a tensor of a model, with the shape that they have under it.
#[derive(Clone, Debug)]
pub struct NamedView {
    view: ManifestView,
    tensor: Tensor,
    /// The tensor's bytes, once elements that are not in a row were asked for.
    bytes: OnceLock<TensorView>,
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
    /// elements are not in a row, the whole tensor is read, once.
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
        if self.bytes.get().is_none() {
            // Another thread may be first.
            let _ = self.bytes.set(self.tensor.view()?);
        }
        let bytes: &[u8] = self.bytes.get().map_or(&[], |view| view);
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
