//! The bytes of a tensor for the caller alone.

use memmap2::MmapMut;

use super::chain::Verify;
use super::record::is_raw;
use super::snapshot::Snapshot;
use super::tensor::Tensor;
use crate::store::error::{Result, StoreError};
use crate::tensor::{AlignedBuffer, Dtype, Shape};

/// From this length a raw tensor is mapped; a copy of a shorter one costs less than a map.
const MAPPED_FROM: u64 = 64 << 10;

/// The bytes of a tensor for the caller alone: what is written to them never reaches the store, nor
/// any other view. Where the tensor lies raw in the file they are the file's own until they are
/// written to (copy on write, page by page); else they are reconstructed into a buffer.
///
/// ```
/// use mgit::{NewModel, NewTensor, Store};
/// # fn main() -> mgit::Result<()> {
/// # let folder = tempfile::tempdir()?;
/// # let store = Store::create(folder.path().join("models.mgit"))?;
/// # let mut transaction = store.begin_write()?;
/// # let tensor = NewTensor::from_vec("w", [1 << 16], vec![1f32; 1 << 16]);
/// # transaction.add_model(NewModel::new("base").tensor(tensor))?;
/// # transaction.commit()?;
/// let tensor = store.snapshot()?.model("base")?.tensor("w")?;
/// let mut own = tensor.writable()?;
/// assert!(own.is_mapped());
/// own.as_bytes_mut().fill(0);
/// assert_eq!(tensor.view()?.as_slice::<f32>()?[0], 1.0);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use]
pub struct WritableView {
    bytes: Bytes,
    dtype: Dtype,
    shape: Shape,
}

#[derive(Debug)]
enum Bytes {
    /// Dropped before the snapshot, which keeps the range of the file from being used again.
    CopyOnWrite(MmapMut, #[allow(dead_code, reason = "held")] Snapshot),
    Own(AlignedBuffer),
}

impl WritableView {
    /// Whether the bytes are the file's own until they are written to.
    pub fn is_mapped(&self) -> bool {
        matches!(self.bytes, Bytes::CopyOnWrite(..))
    }

    /// The element type.
    pub fn dtype(&self) -> &Dtype {
        &self.dtype
    }

    /// The dimensions.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        match &self.bytes {
            Bytes::CopyOnWrite(map, _) => map,
            Bytes::Own(buffer) => buffer.as_bytes(),
        }
    }

    /// The bytes, to write to. They keep their address as long as the view lives.
    pub fn as_bytes_mut(&mut self) -> &mut [u8] {
        match &mut self.bytes {
            Bytes::CopyOnWrite(map, _) => map,
            Bytes::Own(buffer) => buffer.as_bytes_mut(),
        }
    }
}

impl Tensor {
    /// Its bytes for the caller alone, to write to. Cost: of one that lies raw in the file, its
    /// checksums once a handle, and no copy before it is written to; else as of
    /// [`view`](Self::view), without the cache that views share.
    ///
    /// # Errors
    ///
    /// Those of [`view`](Self::view).
    pub fn writable(&self) -> Result<WritableView> {
        let (dtype, shape) = (self.dtype().clone(), self.shape().clone());
        let bytes = match self.copy_on_write()? {
            Some(bytes) => bytes,
            None => {
                let len = self.byte_len();
                let buffer = usize::try_from(len).ok().and_then(AlignedBuffer::zeroed);
                let mut buffer = buffer.ok_or(StoreError::OutOfMemory { bytes: len })?;
                self.chain_to_copy()?.read(0, buffer.as_bytes_mut(), Verify::Checksums)?;
                Bytes::Own(buffer)
            }
        };
        Ok(WritableView { bytes, dtype, shape })
    }

    fn copy_on_write(&self) -> Result<Option<Bytes>> {
        if self.byte_len() < MAPPED_FROM || !is_raw(&self.row()?) {
            return Ok(None);
        }
        let chain = self.chain()?;
        let record = chain.record();
        let Some(raw) = record.raw() else { return Ok(None) };
        let snapshot = self.snapshot();
        let (offset, len) = (record.payload_at(), raw.len() as u64);
        let Some(map) = snapshot.shared().container.private(offset, len) else { return Ok(None) };
        record.check_at(&map)?;
        Ok(Some(Bytes::CopyOnWrite(map, snapshot.clone())))
    }
}
