//! A consistent view of one commit.

use std::sync::Arc;

use super::chain::Chain;
use super::plain::read_plain;
use super::record::{ReadVia, StoredRecord, record_row};
use crate::catalog::{CatalogRead, ReadTables, RecordRow, Table, meta};
use crate::container::{ContainerError, Pin};
use crate::format::{ChangeRecord, RecordKind};
use crate::lineage::{Graph, Node};
use crate::store::error::{Result, damaged};
use crate::store::shared::Shared;
use crate::tensor::ContentId;

/// The store as of one commit. Cheap to clone; everything taken from it keeps it alive.
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

    /// What commits changed in the graph, the newest first; each record is known by the id that
    /// the one behind it gives. It ends with the first commit, or with the oldest record that is
    /// kept, which holds a fold. Cost: a record a step. After an error it ends.
    pub fn changes(&self) -> impl Iterator<Item = Result<ChangeRecord>> + '_ {
        let mut next = self.last_change().transpose();
        std::iter::from_fn(move || {
            let change = next.take()?.and_then(|(sequence, id)| self.change(sequence, id));
            if let Ok(change) = &change {
                next = self.change_before(change).transpose();
            }
            Some(change)
        })
    }

    fn last_change(&self) -> Result<Option<(u64, ContentId)>> {
        let id = self.tables().get(Table::Meta, meta::LAST_CHANGE.as_bytes())?;
        let id = id.and_then(|id| id.try_into().ok()).map(ContentId::from_bytes);
        Ok(id.filter(|id| !id.is_none()).map(|id| (self.sequence(), id)))
    }

    /// The record that this one names, unless it has made way for a fold.
    fn change_before(&self, change: &ChangeRecord) -> Result<Option<(u64, ContentId)>> {
        let before = change.sequence.saturating_sub(1);
        let id = ContentId::from_hex(&change.previous);
        let is_kept = change.fold.is_none()
            || record_row(self.tables(), Table::Changes, &before.to_be_bytes())?.is_some();
        Ok(id.filter(|_| is_kept).map(|id| (before, id)))
    }

    fn change(&self, sequence: u64, id: ContentId) -> Result<ChangeRecord> {
        let row = record_row(self.tables(), Table::Changes, &sequence.to_be_bytes())?
            .ok_or_else(|| damaged(id, 0)(&"missing from the catalogue"))?;
        Ok(ChangeRecord::decode(&self.read_plain(RecordKind::Change, id, row)?)?)
    }

    /// The rows of the catalogue, for tools that look at the format itself.
    pub fn tables(&self) -> &CatalogRead {
        &self.inner.tables
    }

    /// The lineage graph.
    pub fn graph(&self) -> Graph<'_, CatalogRead> {
        Graph(&self.inner.tables)
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
