//! A tensor of a snapshot.

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use super::chain::{Chain, Verify};
use super::missing::tensor_row;
use super::record::{ReadVia, is_raw, raw_at};
use super::snapshot::Snapshot;
use super::view::TensorView;
use crate::catalog::RecordRow;
use crate::codec::Encoding;
use crate::codec::formula::Formula;
use crate::container::full_message;
use crate::format::{Manifest, ManifestTensor, RecordKind};
use crate::store::error::{Result, StoreError, damaged};
use crate::store::source::TensorSource;
use crate::tensor::{AlignedBuffer, ContentId, Dtype, Shape};

/// A tensor of a model. Holds no bytes: [`view`](Tensor::view) gives them.
///
/// ```
/// use mgit::{Dtype, NewModel, NewTensor, Store};
/// # fn main() -> mgit::Result<()> {
/// # let folder = tempfile::tempdir()?;
/// # let store = Store::create(folder.path().join("models.mgit"))?;
/// # let mut transaction = store.begin_write()?;
/// let weights = [1f32, 2.0, 3.0, 4.0, 5.0, 6.0];
/// # let tensor = NewTensor::from_slice("w", [3, 2], &weights);
/// # transaction.add_model(NewModel::new("base").tensor(tensor))?;
/// # transaction.commit()?;
/// let tensor = store.snapshot()?.model("base")?.tensor("w")?;
/// assert_eq!((tensor.dtype(), tensor.byte_len()), (&Dtype::F32, 24));
/// assert_eq!(tensor.shape(), [3, 2]);
///
/// let rows = tensor.rows(1..3)?; // reads no more than these
/// assert_eq!(rows.shape(), [2, 2]);
/// assert_eq!(rows.as_slice::<f32>()?, &weights[2..]);
///
/// let mut bytes = [0; 24];
/// tensor.read_into(&mut bytes)?; // into a buffer of your own
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Tensor {
    snapshot: Snapshot,
    model: Arc<str>,
    manifest: Arc<Manifest>,
    at: usize,
}

/// How a tensor is kept in the file.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
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

/// Its bytes, once more.
impl TensorSource for Tensor {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.read_range_into(offset, out).map_err(io::Error::other)
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
        // Made by the model, of a place in its list of contents.
        let tensors = &self.manifest.tensors;
        let skeleton = || self.manifest.skeletons.get(self.at.checked_sub(tensors.len())?);
        tensors.get(self.at).or_else(skeleton).unwrap_or_else(|| unreachable!())
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

    pub(super) fn row(&self) -> Result<RecordRow> {
        let id = self.content_id();
        let row = tensor_row(self.snapshot.tables(), &self.model, self.info())?;
        if row.raw_len != self.byte_len() {
            let reason = format!("{} bytes, the model says {}", row.raw_len, self.byte_len());
            return Err(damaged(id, row.offset)(&reason));
        }
        Ok(row)
    }

    format_tools! {
        /// The tensor's records, from its own to the root of its delta chain.
        ///
        /// # Errors
        ///
        /// A damaged record.
        fn chain(&self) -> Result<Chain<'_>> {
            let tables = self.snapshot.tables();
            let id = self.content_id();
            let (shared, row) = (self.snapshot.shared(), self.row()?);
            Chain::open_via(shared, tables, RecordKind::Tensor, id, row, ReadVia::Map)
        }
    }

    /// The same, to be read into a buffer: short records are not seen through the map.
    pub(super) fn chain_to_copy(&self) -> Result<Chain<'_>> {
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
            return Ok(self.reconstructed(buffer, self.shape().clone()));
        }
        if verify == Verify::Nothing
            && let Some(offset) = raw_at(&row)
        {
            // Nothing of the record is read: what is wrong with it shows in the bytes.
            let seen = shared.container.bytes(offset, row.raw_len);
            seen.map_err(|error| damaged(id, row.offset)(&full_message(&error)))?;
            return Ok(self.mapped_at(offset, row.raw_len, self.shape().clone()));
        }
        let tables = self.snapshot.tables();
        let via = if is_raw(&row) { ReadVia::Map } else { ReadVia::Either };
        let chain = Chain::open_via(shared, tables, RecordKind::Tensor, id, row, via)?;
        if let Some(bytes) = chain.record().raw() {
            if verify == Verify::Checksums {
                chain.check()?;
            }
            return Ok(self.mapped(&chain, 0, bytes.len(), self.shape().clone()));
        }
        let buffer = chain.reconstruct(verify)?;
        let buffer = match verify {
            Verify::Checksums => shared.share_buffer(id, buffer),
            Verify::Nothing => Arc::new(buffer),
        };
        Ok(self.reconstructed(buffer, self.shape().clone()))
    }

    fn mapped(&self, chain: &Chain<'_>, start: u64, len: usize, shape: Shape) -> TensorView {
        self.mapped_at(chain.record().payload_at() + start, len as u64, shape)
    }

    fn mapped_at(&self, offset: u64, len: u64, shape: Shape) -> TensorView {
        let snapshot = self.snapshot.clone();
        TensorView::mapped(snapshot, (offset, len), self.dtype().clone(), shape)
    }

    fn reconstructed(&self, buffer: Arc<AlignedBuffer>, shape: Shape) -> TensorView {
        TensorView::reconstructed(buffer, self.dtype().clone(), shape)
    }

    /// The shape of `count` of its rows.
    fn shape_of_rows(&self, count: u64) -> Shape {
        let mut dims = self.shape().dims().to_vec();
        dims.iter_mut().take(1).for_each(|rows| *rows = count);
        // Not more elements than the tensor itself has.
        Shape::new(&dims).unwrap_or_default()
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
        let shape = self.shape_of_rows(rows.end - rows.start);
        let chain = self.chain()?;
        let len_usize = usize::try_from(len).map_err(|_| StoreError::OutOfMemory { bytes: len })?;
        if chain.record().raw().is_some() {
            chain.record().check_range(start, len)?;
            return Ok(self.mapped(&chain, start, len_usize, shape));
        }
        let mut buffer =
            AlignedBuffer::zeroed(len_usize).ok_or(StoreError::OutOfMemory { bytes: len })?;
        chain.read(start, buffer.as_bytes_mut(), Verify::Checksums)?;
        Ok(self.reconstructed(Arc::new(buffer), shape))
    }

    /// The snapshot it was taken from.
    pub(super) fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// The folder of its store, where there is one.
    pub(super) fn folder(&self) -> Option<&Path> {
        self.snapshot.shared().folder()
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
        // A piece is of any length: its elements are in a row.
        let element = u64::from(self.dtype().bits().unwrap_or(8)).div_ceil(8);
        let shape = Shape::new(&[len as u64 / element]).unwrap_or_default();
        Ok(Some(self.mapped(&chain, offset, len, shape)))
    }

    /// The tensor, opened once to be read range by range.
    ///
    /// # Errors
    ///
    /// As [`view`](Self::view).
    pub(crate) fn opened(&self) -> Result<OpenTensor<'_>> {
        Ok(OpenTensor { chain: self.chain_to_copy()? })
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

/// A tensor whose record was looked for and opened.
pub(crate) struct OpenTensor<'t> {
    chain: Chain<'t>,
}

impl OpenTensor<'_> {
    /// The range in the file, its chunks checked, on all cores; `None` where it does not lie raw in
    /// it.
    ///
    /// # Errors
    ///
    /// As [`Tensor::view`].
    pub(crate) fn raw(&self, start: u64, len: usize) -> Result<Option<&[u8]>> {
        let record = self.chain.record();
        let Some(raw) = record.raw() else { return Ok(None) };
        let range = raw.get(start as usize..).and_then(|from| from.get(..len));
        let expected = raw.len() as u64;
        let found = start.saturating_add(len as u64);
        let range = range.ok_or(StoreError::BufferLength { expected, found })?;
        record.check_range(start, len as u64)?;
        Ok(Some(range))
    }

    /// Writes the bytes from `start` on into `out`, on all cores.
    ///
    /// # Errors
    ///
    /// As [`Tensor::read_range_into`].
    pub(crate) fn read(&self, start: u64, out: &mut [u8]) -> Result<()> {
        self.chain.read(start, out, Verify::Checksums)
    }
}
