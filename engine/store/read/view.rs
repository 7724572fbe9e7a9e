//! The bytes of a tensor, mapped or reconstructed.

use std::ops::Deref;
use std::sync::Arc;

use super::snapshot::Snapshot;
use crate::store::error::{Result, StoreError};
use crate::tensor::{
    AlignedBuffer, Dtype, Element, Shape, ViewError, cast_slice, number, number_bytes,
};

/// The bytes of a tensor, or of some of its rows: the file's own, without a copy, where they lie
/// raw in it, else reconstructed into a buffer that all views of the same content share.
/// Dereferences to `[u8]`. Valid and unchanged as long as it lives; cheap to clone.
///
/// ```
/// use mgit::{NewModel, NewTensor, Store, half::bf16};
/// # fn main() -> mgit::Result<()> {
/// # let folder = tempfile::tempdir()?;
/// # let store = Store::create(folder.path().join("models.mgit"))?;
/// # let mut transaction = store.begin_write()?;
/// let weights = [1.5, -2.0, 0.25].map(bf16::from_f32);
/// # let tensor = NewTensor::from_slice("w", [3], &weights);
/// # transaction.add_model(NewModel::new("base").tensor(tensor))?;
/// # transaction.commit()?;
/// let view = store.snapshot()?.model("base")?.tensor("w")?.view()?;
/// assert_eq!(view.shape(), [3]);
/// assert_eq!(view.as_slice::<bf16>()?, weights); // of the right type, without a copy
/// assert_eq!(view.to_f32()?, [1.5, -2.0, 0.25]); // of any type that has numbers, copied
/// assert!(view.as_slice::<f32>().is_err());
/// assert_eq!(view.len(), 6); // bytes
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct TensorView {
    bytes: Bytes,
    dtype: Dtype,
    shape: Shape,
}

#[derive(Clone, Debug)]
enum Bytes {
    /// A range of the file. The snapshot keeps the commit, and with it the record, from being
    /// freed.
    Mapped { snapshot: Snapshot, offset: u64, len: u64 },
    /// 64-byte aligned.
    Reconstructed(Arc<AlignedBuffer>),
}

impl TensorView {
    pub(in crate::store) fn mapped(
        snapshot: Snapshot,
        (offset, len): (u64, u64),
        dtype: Dtype,
        shape: Shape,
    ) -> Self {
        TensorView { bytes: Bytes::Mapped { snapshot, offset, len }, dtype, shape }
    }

    pub(in crate::store) fn reconstructed(
        buffer: Arc<AlignedBuffer>,
        dtype: Dtype,
        shape: Shape,
    ) -> Self {
        TensorView { bytes: Bytes::Reconstructed(buffer), dtype, shape }
    }

    /// Whether the bytes are the file's own, without a copy.
    pub fn is_mapped(&self) -> bool {
        self.file_offset().is_some()
    }

    /// The offset of the bytes in the store's file, where they are mapped.
    pub fn file_offset(&self) -> Option<u64> {
        match self.bytes {
            Bytes::Mapped { offset, .. } => Some(offset),
            Bytes::Reconstructed(_) => None,
        }
    }

    /// The element type.
    pub fn dtype(&self) -> &Dtype {
        &self.dtype
    }

    /// The dimensions: the tensor's, or, of some of its rows, with as many rows.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The bytes as a slice of elements, without a copy.
    ///
    /// # Errors
    ///
    /// [`StoreError::View`] when `T` does not stand for the element type, or the rows do not begin at
    /// an element's alignment.
    pub fn as_slice<T: Element>(&self) -> Result<&[T]> {
        Ok(cast_slice(self.dtype(), self)?)
    }

    /// The elements as numbers of single precision: each is converted, and rounded where its type
    /// is wider. Cost: a copy.
    ///
    /// # Errors
    ///
    /// [`StoreError::View`] of complex numbers, of types of less than a byte and of unknown types, whose
    /// elements are not single numbers of whole bytes; [`StoreError::OutOfMemory`].
    pub fn to_f32(&self) -> Result<Vec<f32>> {
        let width = number_bytes(&self.dtype).filter(|_| self.dtype != Dtype::C64);
        let asked = std::any::type_name::<f32>();
        let wrong = || ViewError::WrongType { dtype: self.dtype.clone(), asked };
        let width = width.ok_or_else(wrong)?;
        let count = self.len() / width;
        let mut numbers = Vec::new();
        let bytes = (count as u64).saturating_mul(4);
        numbers.try_reserve_exact(count).map_err(|_| StoreError::OutOfMemory { bytes })?;
        numbers.extend(self.chunks_exact(width).map(|element| number(&self.dtype, element) as f32));
        Ok(numbers)
    }
}

impl Deref for TensorView {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.bytes {
            // It was inside the file when the view was made, and files of stores never shrink.
            Bytes::Mapped { snapshot, offset, len } => {
                snapshot.shared().container.bytes(*offset, *len).unwrap_or_default()
            }
            Bytes::Reconstructed(buffer) => buffer.as_bytes(),
        }
    }
}

impl AsRef<[u8]> for TensorView {
    fn as_ref(&self) -> &[u8] {
        self
    }
}
