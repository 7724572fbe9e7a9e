//! A consistent view of one commit.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::chain::Chain;
use super::plain::read_plain;
use super::record::{ReadVia, StoredRecord};
use crate::catalog::{CatalogRead, ReadTables, RecordRow, meta};
use crate::container::{ContainerError, Pin};
use crate::format::RecordKind;
use crate::lineage::{Graph, ModelRef, Node};
use crate::store::error::Result;
use crate::store::shared::Shared;
use crate::tensor::ContentId;

/// The store as of one commit: models, their tensors and their lineage. Cheap to clone; everything
/// taken from it keeps it alive. [`Store::snapshot`](crate::Store::snapshot) makes one.
///
/// ```
/// use mgit::{NewModel, NewTensor, Store};
/// # fn main() -> mgit::Result<()> {
/// # let folder = tempfile::tempdir()?;
/// # let store = Store::create(folder.path().join("models.mgit"))?;
/// # let mut transaction = store.begin_write()?;
/// # let weight = NewTensor::from_vec("w", [3], vec![0f32; 3]);
/// # transaction.add_model(NewModel::new("base").tensor(weight))?;
/// # transaction.commit()?;
/// let snapshot = store.snapshot()?;
/// store.begin_write()?.remove_model("base", Default::default())?; // dropped: nothing happens
///
/// let base = snapshot.model("base")?;
/// assert_eq!(base.tensor("w")?.shape(), [3]);
/// assert!(snapshot.graph().parents(base.node().id())?.is_empty());
/// # Ok(())
/// # }
/// ```
#[must_use]
#[derive(Clone, Debug)]
pub struct Snapshot {
    inner: Arc<Inner>,
}

/// Dropped in this order: the reading ends, then the commit's space may be used again.
#[derive(Debug)]
struct Inner {
    tables: CatalogRead,
    pin: Pin,
    shared: Arc<Shared>,
}

impl Snapshot {
    format_tools! {
        /// The rows of the catalogue.
        fn tables(&self) -> &CatalogRead {
            &self.inner.tables
        }
    }

    /// A view of the last commit.
    pub(in crate::store) fn begin(shared: &Arc<Shared>) -> Result<Self> {
        let (pin, tables) = shared.container.pins().register(|| -> Result<_> {
            let tables = shared.catalog.begin_read()?;
            Ok((tables.meta_u64(meta::COMMIT)?, tables))
        })?;
        if shared.container.is_retired() && !shared.opened_retired {
            return Err(ContainerError::Retired.into());
        }
        Ok(Snapshot::new(Arc::clone(shared), tables, pin))
    }

    pub(in crate::store) fn new(shared: Arc<Shared>, tables: CatalogRead, pin: Pin) -> Self {
        Snapshot { inner: Arc::new(Inner { tables, pin, shared }) }
    }

    pub(in crate::store) fn shared(&self) -> &Shared {
        &self.inner.shared
    }

    /// Checks every page of the catalogue, as [`Catalog::check_every_page`] says.
    ///
    /// # Errors
    ///
    /// Damage that is found.
    ///
    /// [`Catalog::check_every_page`]: crate::catalog::Catalog::check_every_page
    pub(crate) fn check_catalogue(&self) -> Result<()> {
        Ok(self.shared().catalog.check_every_page()?)
    }

    /// The record that a row names, its header and index checked; read through the disk, as all
    /// that upkeep judges is.
    ///
    /// # Errors
    ///
    /// A damaged record.
    pub(crate) fn open_record(
        &self,
        kind: RecordKind,
        id: ContentId,
        row: &RecordRow,
    ) -> Result<StoredRecord<'_>> {
        StoredRecord::open(self.shared(), kind, id, row, ReadVia::Disk)
    }

    /// The chain of the tensor that a row names, read through the disk.
    ///
    /// # Errors
    ///
    /// A damaged record, a base that is missing.
    pub(crate) fn open_chain(&self, id: ContentId, row: RecordRow) -> Result<Chain<'_>> {
        let kind = RecordKind::Tensor;
        Chain::open_via(self.shared(), self.tables(), kind, id, row, ReadVia::Disk)
    }

    /// The content of a manifest or change record, read through the disk; its id is checked.
    ///
    /// # Errors
    ///
    /// A damaged record.
    pub(crate) fn read_plain(
        &self,
        kind: RecordKind,
        id: ContentId,
        row: RecordRow,
    ) -> Result<Vec<u8>> {
        read_plain(self.shared(), self.tables(), kind, id, row)
    }

    /// The number of the commit it sees; 0 in a new store.
    pub fn sequence(&self) -> u64 {
        self.inner.pin.sequence()
    }

    /// The lineage graph.
    pub fn graph(&self) -> Graph<'_> {
        Graph(&self.inner.tables)
    }

    /// The node of this reference. Cost: a row or two; reads no manifest.
    ///
    /// # Errors
    ///
    /// [`NoSuchModel`](crate::lineage::LineageError::NoSuchModel), with up to three names that
    /// contain it or that it contains.
    pub fn find(&self, model: impl Into<ModelRef>) -> Result<Node> {
        Ok(self.graph().find(model)?)
    }

    /// The user metadata of a model.
    ///
    /// # Errors
    ///
    /// As [`find`](Self::find); those of the catalogue.
    pub fn metadata(&self, model: impl Into<ModelRef>) -> Result<Map<String, Value>> {
        Ok(self.graph().metadata(self.find(model)?.id)?)
    }

    /// Every node: by name, then by version. Cost: all of them; reads no manifest.
    ///
    /// # Errors
    ///
    /// Those of the catalogue.
    pub fn nodes(&self) -> Result<Vec<Node>> {
        let mut nodes = self.graph().nodes()?;
        nodes.sort_by(|a, b| (&a.row.name, a.row.version).cmp(&(&b.row.name, b.row.version)));
        Ok(nodes)
    }
}
