//! A tensor of a snapshot, and the two kinds of view of its bytes.

use std::ops::{Deref, Range};
use std::sync::Arc;

use super::chain::{Chain, Verify};
use super::missing::tensor_row;
use super::record::{ReadVia, is_raw};
use super::snapshot::Snapshot;
use crate::catalog::RecordRow;
use crate::codec::Encoding;
use crate::codec::formula::Formula;
use crate::format::{Manifest, ManifestTensor, RecordKind};
use crate::store::error::{Result, StoreError, damaged};
use crate::tensor::{AlignedBuffer, ContentId, Dtype, Element, Shape, cast_slice};

/// A tensor of a model. Holds no bytes: [`view`](Tensor::view) gives them.
#[derive(Clone, Debug)]
pub struct Tensor {
    snapshot: Snapshot,
    model: Arc<str>,
    manifest: Arc<Manifest>,
    at: usize,
}

/// How a tensor is kept in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredAs {
    /// Bytes of the payload.
    pub stored_len: u64,
    /// Depth of its delta chain; 0 when it stands alone.
    pub depth: u8,
    /// Content id of its base.
    pub base: Option<ContentId>,
    /// Name of the formula that makes of its bases what its chunks are coded against.
    pub formula: Option<&'static str>,
    /// The encodings of its chunks, each once.
    pub encodings: Vec<Encoding>,
}

impl StoredAs {
    /// The encodings' names joined by `+`; before them the formula's and a colon, if there is one.
    pub fn encoding_names(&self) -> String {
        let names: Vec<_> = self.encodings.iter().map(|encoding| encoding.name()).collect();
        let names = if names.is_empty() { "raw".to_owned() } else { names.join("+") };
        self.formula.map_or(names.clone(), |formula| format!("{formula}:{names}"))
    }
}

impl Tensor {
    pub(in crate::store) fn new(
        snapshot: Snapshot,
        model: Arc<str>,
        manifest: Arc<Manifest>,
        at: usize,
    ) -> Self {
        Tensor { snapshot, model, manifest, at }
    }

    fn info(&self) -> ManifestTensor<'_> {
        // Made by the model, of a place in its list.
        self.manifest.tensors.get(self.at).unwrap_or_else(|| unreachable!())
    }

    /// Its type and shape, for people.
    pub(crate) fn described(&self) -> String {
        format!("{} {}", self.dtype(), self.shape())
    }

    /// Whether both have the same elements: bytes, type and shape.
    pub(crate) fn is_same(&self, other: &Tensor) -> bool {
        self.content_id() == other.content_id()
            && self.dtype() == other.dtype()
            && self.shape() == other.shape()
    }

    /// Its name in the model.
    pub fn name(&self) -> &str {
        self.info().name
    }

    /// Its element type.
    pub fn dtype(&self) -> &Dtype {
        self.info().dtype
    }

    /// Its dimensions.
    pub fn shape(&self) -> &Shape {
        self.info().shape
    }

    /// Its length in bytes.
    pub fn byte_len(&self) -> u64 {
        self.info().byte_len
    }

    /// The identity of its bytes.
    pub fn content_id(&self) -> ContentId {
        self.info().content_id
    }

    fn row(&self) -> Result<RecordRow> {
        let id = self.content_id();
        let row = tensor_row(self.snapshot.tables(), &self.model, self.info())?;
        if row.raw_len != self.byte_len() {
            let reason = format!("{} bytes, the model says {}", row.raw_len, self.byte_len());
            return Err(damaged(id, row.offset)(&reason));
        }
        Ok(row)
    }

    /// The tensor's records, from its own to the root of its delta chain.
    ///
    /// # Errors
    ///
    /// A damaged record.
    pub fn chain(&self) -> Result<Chain<'_>> {
        let tables = self.snapshot.tables();
        let id = self.content_id();
        let (shared, row) = (self.snapshot.shared(), self.row()?);
        Chain::open_via(shared, tables, RecordKind::Tensor, id, row, ReadVia::Map)
    }

    /// The same, to be read into a buffer: short records are not seen through the map.
    fn chain_to_copy(&self) -> Result<Chain<'_>> {
        let (shared, tables) = (self.snapshot.shared(), self.snapshot.tables());
        Chain::open(shared, tables, RecordKind::Tensor, self.content_id(), self.row()?)
    }

    /// How it is kept in the file. Cost: one row.
    ///
    /// # Errors
    ///
    /// Those of the catalogue.
    pub fn stored_as(&self) -> Result<StoredAs> {
        let row = self.row()?;
        let used = |encoding: &Encoding| row.encodings >> encoding.code() & 1 == 1;
        Ok(StoredAs {
            stored_len: row.stored_len,
            depth: row.depth,
            base: Some(row.base_id).filter(|id| !id.is_none()),
            formula: Formula::name_of(row.formula),
            encodings: Encoding::ALL.into_iter().filter(used).collect(),
        })
    }

    /// The tensor's bytes: mapped, without a copy, when they lie raw in the file, else
    /// reconstructed on all cores. Views of equal content share one buffer, which the store keeps
    /// as far as its [cache](crate::store::open::Store::set_cache_bytes) goes. The first view a
    /// handle takes of a content checks its checksums.
    ///
    /// # Errors
    ///
    /// [`StoreError::DamagedRecord`] when a checksum is wrong; [`StoreError::MissingContent`] when
    /// the tensor was not pulled yet; [`StoreError::OutOfMemory`].
    pub fn view(&self) -> Result<TensorView> {
        self.view_with(Verify::Checksums)
    }

    /// As [`view`](Self::view), without looking at checksums: for callers that have verified the
    /// store, or that look at a few values of a large tensor. Damaged bytes are returned as they
    /// are.
    ///
    /// # Errors
    ///
    /// [`StoreError::DamagedRecord`] when the record cannot be decoded;
    /// [`StoreError::OutOfMemory`].
    pub fn view_unchecked(&self) -> Result<TensorView> {
        self.view_with(Verify::Nothing)
    }

    fn view_with(&self, verify: Verify) -> Result<TensorView> {
        let shared = self.snapshot.shared();
        let id = self.content_id();
        let row = self.row()?;
        if !is_raw(&row)
            && let Some(buffer) = shared.shared_buffer(id)
        {
            return Ok(self.reconstructed(buffer));
        }
        let tables = self.snapshot.tables();
        let via = if is_raw(&row) { ReadVia::Map } else { ReadVia::Either };
        let chain = Chain::open_via(shared, tables, RecordKind::Tensor, id, row, via)?;
        if let Some(bytes) = chain.record().raw() {
            if verify == Verify::Checksums {
                chain.check()?;
            }
            return Ok(self.mapped(&chain, 0, bytes.len()));
        }
        let buffer = chain.reconstruct(verify)?;
        let buffer = match verify {
            Verify::Checksums => shared.share_buffer(id, buffer),
            Verify::Nothing => Arc::new(buffer),
        };
        Ok(self.reconstructed(buffer))
    }

    fn mapped(&self, chain: &Chain<'_>, start: u64, len: usize) -> TensorView {
        let offset = chain.record().payload_at() + start;
        let (snapshot, dtype) = (self.snapshot.clone(), self.dtype().clone());
        TensorView::Mapped(MappedTensor { snapshot, dtype, offset, len: len as u64 })
    }

    fn reconstructed(&self, buffer: Arc<AlignedBuffer>) -> TensorView {
        TensorView::Reconstructed(ReconstructedTensor { buffer, dtype: self.dtype().clone() })
    }

    /// The bytes of rows `rows` of the first dimension. Reads, and verify, only the chunks they
    /// lie in.
    ///
    /// # Errors
    ///
    /// [`StoreError::RowsOutOfRange`], also when rows do not fill whole bytes; otherwise as
    /// [`view`](Self::view).
    pub fn rows(&self, rows: Range<u64>) -> Result<TensorView> {
        let count = self.shape().rows();
        let out_of_range = || StoreError::RowsOutOfRange {
            tensor: self.name().to_owned(),
            start: rows.start,
            end: rows.end,
            rows: count,
        };
        if rows.start > rows.end || rows.end > count {
            return Err(out_of_range());
        }
        let row_len = self.byte_len().checked_div(count).unwrap_or(0);
        if row_len * count != self.byte_len() {
            return Err(out_of_range());
        }
        let (start, len) = (rows.start * row_len, (rows.end - rows.start) * row_len);
        let chain = self.chain()?;
        let len_usize = usize::try_from(len).map_err(|_| StoreError::OutOfMemory { bytes: len })?;
        if chain.record().raw().is_some() {
            chain.record().check_range(start, len)?;
            return Ok(self.mapped(&chain, start, len_usize));
        }
        let mut buffer =
            AlignedBuffer::zeroed(len_usize).ok_or(StoreError::OutOfMemory { bytes: len })?;
        chain.read(start, buffer.as_bytes_mut(), Verify::Checksums)?;
        Ok(self.reconstructed(Arc::new(buffer)))
    }

    /// A part of the tensor through the map, its chunks checked, when it lies raw in the file.
    pub(crate) fn raw_range(&self, offset: u64, len: usize) -> Result<Option<TensorView>> {
        let chain = self.chain_to_copy()?;
        let Some(raw) = chain.record().raw() else { return Ok(None) };
        let end = offset.checked_add(len as u64).filter(|end| *end <= raw.len() as u64);
        let Some(end) = end else {
            let found = offset.saturating_add(len as u64);
            return Err(StoreError::BufferLength { expected: raw.len() as u64, found });
        };
        chain.record().check_range(offset, end - offset)?;
        Ok(Some(self.mapped(&chain, offset, len)))
    }

    /// Writes the tensor's bytes into `out`, on all cores, without another buffer of its size.
    ///
    /// # Errors
    ///
    /// [`StoreError::BufferLength`] when `out` is not as long as the tensor; otherwise as
    /// [`view`](Self::view). `out` then holds unspecified bytes.
    pub fn read_into(&self, out: &mut [u8]) -> Result<()> {
        if out.len() as u64 != self.byte_len() {
            let found = out.len() as u64;
            return Err(StoreError::BufferLength { expected: self.byte_len(), found });
        }
        self.chain_to_copy()?.read(0, out, Verify::Checksums)
    }

    /// Writes the bytes from `offset` on into `out`. For copying a large tensor piece by piece in
    /// bounded memory; pieces of whole mebibytes decode each chunk once.
    ///
    /// # Errors
    ///
    /// [`StoreError::BufferLength`] when the range is not inside the tensor; otherwise as
    /// [`view`](Self::view).
    pub fn read_range_into(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        let end = offset.checked_add(out.len() as u64);
        if end.is_none_or(|end| end > self.byte_len()) {
            let found = offset.saturating_add(out.len() as u64);
            return Err(StoreError::BufferLength { expected: self.byte_len(), found });
        }
        self.chain_to_copy()?.read(offset, out, Verify::Checksums)
    }
}

/// The bytes of a tensor, or of some of its rows. Dereferences to `[u8]`.
#[derive(Clone, Debug)]
pub enum TensorView {
    /// They lie raw in the file: nothing was copied.
    Mapped(MappedTensor),
    /// They were reconstructed into a buffer, shared by all views of the same content.
    Reconstructed(ReconstructedTensor),
}

/// Bytes of the file, seen through the map. Valid and unchanged as long as this lives.
#[derive(Clone, Debug)]
pub struct MappedTensor {
    /// Keeps the commit, and with it the record, from being freed.
    snapshot: Snapshot,
    dtype: Dtype,
    offset: u64,
    len: u64,
}

/// Reconstructed bytes, 64-byte aligned.
#[derive(Clone, Debug)]
pub struct ReconstructedTensor {
    buffer: Arc<AlignedBuffer>,
    dtype: Dtype,
}

impl MappedTensor {
    /// Offset of the bytes in the store's file.
    pub fn file_offset(&self) -> u64 {
        self.offset
    }

    fn bytes(&self) -> &[u8] {
        // It was inside the file when the view was made, and files of stores never shrink.
        self.snapshot.shared().container.bytes(self.offset, self.len).unwrap_or_default()
    }
}

impl TensorView {
    /// Whether the bytes are the file's own, without a copy.
    pub fn is_mapped(&self) -> bool {
        matches!(self, TensorView::Mapped(_))
    }

    /// The element type.
    pub fn dtype(&self) -> &Dtype {
        match self {
            TensorView::Mapped(view) => &view.dtype,
            TensorView::Reconstructed(view) => &view.dtype,
        }
    }

    /// The bytes as a slice of elements, without a copy.
    ///
    /// # Errors
    ///
    /// [`StoreError::View`] when `T` does not stand for the element type, or the rows do not begin
    /// at an element's alignment.
    pub fn as_slice<T: Element>(&self) -> Result<&[T]> {
        Ok(cast_slice(self.dtype(), self)?)
    }
}

impl Deref for TensorView {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            TensorView::Mapped(view) => view.bytes(),
            TensorView::Reconstructed(view) => view.buffer.as_bytes(),
        }
    }
}

impl AsRef<[u8]> for TensorView {
    fn as_ref(&self) -> &[u8] {
        self
    }
}
