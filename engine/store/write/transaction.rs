//! A transaction: models added and removed, visible together or not at all.

use std::sync::Arc;

use super::fold::write_folding;
use super::records::RecordWriter;
use super::references::References;
use crate::catalog::{CatalogWrite, ReadTables, Table, WriteTables, meta};
use crate::format::{ChangeRecord, Manifest, Operation};
use crate::lineage::{Graph, ModelRef, Node};
use crate::store::base::policy::EncodePolicy;
use crate::store::base::relatives::BaseFinder;
use crate::store::error::{Result, StoreError};
use crate::store::shared::{Shared, now_ms};
use crate::store::turns::Turn;
use crate::tensor::ContentId;

/// Changes that become visible and durable together, at [`commit`](Transaction::commit). Dropped
/// without it, nothing has happened. [`Store::begin_write`](crate::Store::begin_write) begins one.
///
/// ```
/// use mgit::{How, NewModel, NewTensor, OnChildren, Store};
/// # fn main() -> mgit::Result<()> {
/// # let folder = tempfile::tempdir()?;
/// let store = Store::create(folder.path().join("family.mgit"))?;
/// let weights = [1f32, 2.0];
/// let mut transaction = store.begin_write()?;
/// for name in ["base", "tuned"] {
///     let tensor = NewTensor::from_slice("w", [2], &weights);
///     transaction.add_model(NewModel::new(name).tensor(tensor))?;
/// }
/// transaction.add_parent("tuned", "base", How::FineTune)?;
/// transaction.set_tag("best", "tuned@1")?;
/// transaction.remove_model("base", OnChildren::Detach)?;
/// transaction.commit()?; // all of it, or, if this fails, nothing
/// assert_eq!(store.snapshot()?.nodes()?.len(), 1);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use]
pub struct Transaction {
    pub(in crate::store) references: References,
    pub(in crate::store) records: RecordWriter,
    pub(in crate::store) shared: Arc<Shared>,
    pub(in crate::store) sequence: u64,
    operations: Vec<Operation>,
    /// The change record of this commit is to hold a fold, whatever it saves.
    folds: bool,
    /// A step has begun to change rows and has not ended well.
    broken: bool,
    /// Dropped last: then the next transaction may begin.
    _turn: Turn,
}

impl Transaction {
    pub(in crate::store) fn begin(shared: Arc<Shared>, turn: Turn) -> Result<Self> {
        shared.container.check_writable()?;
        let tables = shared.catalog.begin_write()?;
        let last = tables.meta_u64(meta::COMMIT)?;
        if !shared.container.knows_used() {
            shared.container.set_used(Shared::used_extents(&tables)?, last)?;
        }
        shared.container.release_space()?;
        let sequence = last + 1;
        Ok(Transaction {
            references: References::new(tables, Arc::clone(&shared)),
            records: RecordWriter::new(Arc::clone(&shared), sequence),
            shared,
            sequence,
            operations: Vec::new(),
            folds: false,
            broken: false,
            _turn: turn,
        })
    }

    pub(in crate::store) fn shared_arc(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// Sets flags of features that writers of the store must know.
    pub(crate) fn require_writer_features(&self, flags: u64) {
        self.shared.container.require_features(0, flags);
    }

    /// Refuses to go on after a step that failed half-way.
    pub(in crate::store) fn check_whole(&self) -> Result<()> {
        if self.broken { Err(StoreError::BrokenTransaction) } else { Ok(()) }
    }

    /// Runs a step that changes rows. When it fails behind its first change, the transaction can only
    /// be dropped; one that was refused before that has done nothing.
    pub(in crate::store) fn change<T>(
        &mut self,
        step: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        let before = self.changes();
        self.broken = true;
        let result = step(self);
        self.broken = result.is_err() && self.changes() != before;
        result
    }

    /// Tells whether anything was changed since: rows, places that are reserved, places to free.
    fn changes(&self) -> (Option<u64>, usize, usize) {
        let rows = self.references.tables().ok().map(|tables| tables.changes);
        (rows, self.records.reserved.len(), self.references.freed.len())
    }

    pub(in crate::store) fn tables(&self) -> Result<&CatalogWrite> {
        self.references.tables()
    }

    pub(in crate::store) fn tables_mut(&mut self) -> Result<&mut CatalogWrite> {
        self.references.tables_mut()
    }

    /// The number the commit will have.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The lineage graph, with the changes of this transaction.
    ///
    /// # Errors
    ///
    /// None while the transaction lives.
    pub fn graph(&self) -> Result<Graph<'_>> {
        Ok(Graph(self.tables()?))
    }

    /// The node of this reference, with the changes of this transaction.
    ///
    /// # Errors
    ///
    /// [`NoSuchModel`](crate::lineage::LineageError::NoSuchModel).
    pub fn find(&self, model: impl Into<ModelRef>) -> Result<Node> {
        Ok(self.graph()?.find(model)?)
    }

    /// Lets the change record of this commit say what the whole graph is, whatever that saves: the
    /// records from before the last such one are free then. Commits do so by themselves where it
    /// saves enough. A graph of more than 64 MiB is never folded. Cost: all rows of the graph.
    pub fn fold_changes(&mut self) {
        self.folds = true;
    }

    /// Stores a manifest, or finds it; it then holds its tensors. Returns the bytes of a record
    /// that was added.
    pub(in crate::store) fn hold(&mut self, manifest: &Manifest) -> Result<(ContentId, u64)> {
        self.references.hold(manifest, &mut self.records)
    }

    /// Finds what tensors may be coded against, as the rows are now.
    pub(in crate::store) fn finder<'c>(
        &self,
        shared: &'c Shared,
        policy: EncodePolicy,
    ) -> Result<BaseFinder<'_, 'c>> {
        Ok(BaseFinder { tables: self.tables()?, shared, depth_max: policy.depth_max })
    }

    /// Notes what this transaction does, for its change record.
    pub(in crate::store) fn note(&mut self, operation: Operation) {
        self.operations.push(operation);
    }

    /// Makes the changes durable and visible: two syncs. Without changes this does nothing.
    ///
    /// # Errors
    ///
    /// Those of the disk before anything is decided; then nothing has happened.
    /// [`StoreError::OutcomeUnknown`] after that: this handle then writes no more.
    /// [`StoreError::BrokenTransaction`] after a step that failed half-way; one that was refused
    /// before it changed anything spoils nothing.
    pub fn commit(self) -> Result<()> {
        self.check_whole()?;
        if self.operations.is_empty() && !self.folds {
            return Ok(());
        }
        self.commit_changes()
    }

    /// Takes operations that were done by other means into the change record of this commit.
    pub(crate) fn note_operations(&mut self, operations: Vec<Operation>) {
        self.operations.extend(operations);
    }

    /// Commits also when there is nothing to say.
    pub(crate) fn commit_changes(mut self) -> Result<()> {
        self.check_whole()?;
        self.references.settle_incoming()?;
        self.write_change_record()?;
        let tables = self.references.take_tables()?;
        // From here on the places may be committed: they are not given back.
        self.records.reserved.clear();
        crate::shutdown::critical(|| {
            tables.commit().map_err(|error| self.shared.refuse_after_failure(error))?;
            crate::shutdown::note_commit(self.shared.named());
            Ok::<(), StoreError>(())
        })?;
        let freed = std::mem::take(&mut self.references.freed);
        self.shared.forget(freed.iter().map(|extent| extent.offset));
        self.shared.container.free_after(self.sequence, freed);
        Ok(())
    }

    fn write_change_record(&mut self) -> Result<()> {
        let previous = self.tables()?.get(Table::Meta, meta::LAST_CHANGE.as_bytes())?;
        let previous: [u8; 32] = previous.and_then(|id| id.try_into().ok()).unwrap_or_default();
        let previous = ContentId::from_bytes(previous);
        let change = ChangeRecord {
            sequence: self.sequence,
            time_ms: now_ms(),
            previous: if previous.is_none() { String::new() } else { previous.to_string() },
            operations: std::mem::take(&mut self.operations),
            fold: None,
        };
        let (references, records) = (&mut self.references, &mut self.records);
        let (id, row) = write_folding(references, records, change, self.folds)?;
        let sequence = self.sequence;
        let tables = self.tables_mut()?;
        tables.put(Table::Changes, &sequence.to_be_bytes(), &row.encode())?;
        tables.put(Table::Meta, meta::LAST_CHANGE.as_bytes(), id.as_bytes())?;
        tables.put(Table::Meta, meta::COMMIT.as_bytes(), &sequence.to_le_bytes())?;
        Ok(())
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        // Before the tables are dropped, so that no other transaction has begun.
        self.records.give_back_all();
    }
}
