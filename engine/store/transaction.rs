//! A transaction: models added and removed, visible together or not at all.

use std::collections::BTreeSet;
use std::sync::Arc;

use rayon::prelude::*;

use super::error::damaged;
use super::hidden::Formulas;
use super::ingest::{Incoming, settle_readers};
use super::model::read_manifest;
use super::open::{Shared, now_ms};
use super::record::{read_plain, record_row};
use super::record_writer::RecordDraft;
use super::relatives::sketch_of;
use super::turns::Turn;
use super::{Advice, Error, ImportReport, NewModel, NewPart, NewTensor, Result, Store, manifests};
use crate::catalog::{CatalogWrite, NodeRow, ReadTables, RecordRow, Table, WriteTables, meta};
use crate::codec::Profile;
use crate::format::{
    ChangeRecord, Extent, FEATURE_LOSSY, Manifest, ManifestPart, ManifestTensor, Operation,
    ProvenanceEdge, RecordKind,
};
use crate::lineage::{
    Edge, Graph, GraphMut, LOSSY_KEY, LineageError, ModelRef, NewNode, Node, NodeId, OWN_KEYS,
    OnChildren,
};
use crate::planning::{CHAIN_DEPTH_MAX, TensorKey};
use crate::tensor::ContentId;

/// Changes that become visible and durable together, at [`commit`](Transaction::commit). Dropped
/// without it, nothing has happened.
#[derive(Debug)]
pub struct Transaction {
    /// `None` only while it ends.
    tables: Option<CatalogWrite>,
    pub(super) shared: Arc<Shared>,
    pub(super) sequence: u64,
    operations: Vec<Operation>,
    /// The change record of this commit is to hold a fold, whatever it saves.
    pub(super) folds: bool,
    /// Places written in this transaction: free again if it is dropped.
    pub(super) reserved: Vec<Extent>,
    /// Places freed by this transaction: free when it is durable and no snapshot is older.
    pub(super) freed: Vec<Extent>,
    /// Tensors that have come from another store in this transaction: they stay until it is
    /// committed, whatever needs them by then.
    pub(super) arriving: BTreeSet<ContentId>,
    /// A step has begun to change rows and has not ended well.
    broken: bool,
    /// Memory for reading sources into, kept from batch to batch.
    pub(super) arena: Vec<u8>,
    /// The longest delta chain that the model being added may make.
    pub(super) chain_depth_max: u8,
    /// How the model being added is to be encoded.
    pub(super) profile: Profile,
    /// Once something was hidden: the formulas of the store.
    pub(super) formulas: Option<Formulas>,
    /// Dropped last: then the next transaction may begin.
    _turn: Turn,
}

/// What removing a model did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoveReport {
    /// The node that is gone.
    pub node: Node,
    /// Models whose parents changed by that.
    pub changed_children: Vec<NodeId>,
    /// Bytes of the file that the removal frees, once no snapshot needs them.
    pub freed_bytes: u64,
    /// Tensors that stay, hidden, because deltas stand on them.
    pub hidden_bases: u64,
}

pub(super) fn provenance(edges: &[Edge]) -> Vec<ProvenanceEdge> {
    let edge =
        |edge: &Edge| ProvenanceEdge { parent: edge.parent.to_string(), how: edge.how.to_string() };
    edges.iter().map(edge).collect()
}

impl Transaction {
    pub(super) fn begin(shared: Arc<Shared>, turn: Turn) -> Result<Self> {
        shared.container.check_writable()?;
        let tables = shared.catalog.begin_write()?;
        let last = tables.meta_u64(meta::COMMIT)?;
        if !shared.container.knows_used() {
            shared.container.set_used(Shared::used_extents(&tables)?, last)?;
        }
        shared.container.release_space()?;
        Ok(Transaction {
            tables: Some(tables),
            shared,
            sequence: last + 1,
            operations: Vec::new(),
            folds: false,
            reserved: Vec::new(),
            freed: Vec::new(),
            arriving: BTreeSet::new(),
            broken: false,
            arena: Vec::new(),
            chain_depth_max: CHAIN_DEPTH_MAX,
            profile: Profile::default(),
            formulas: None,
            _turn: turn,
        })
    }

    pub(super) fn shared_arc(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// Sets flags of features that writers of the store must know.
    pub(crate) fn require_writer_features(&self, flags: u64) {
        self.shared.container.require_features(0, flags);
    }

    /// Refuses to go on after a step that failed half-way.
    pub(super) fn check_whole(&self) -> Result<()> {
        if self.broken { Err(Error::BrokenTransaction) } else { Ok(()) }
    }

    /// Runs a step that changes rows. When it fails, the transaction can only be dropped.
    pub(super) fn change<T>(&mut self, step: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.broken = true;
        let value = step(self)?;
        self.broken = false;
        Ok(value)
    }

    pub(super) fn tables(&self) -> Result<&CatalogWrite> {
        self.tables.as_ref().ok_or(Error::ReadOnly)
    }

    pub(super) fn tables_mut(&mut self) -> Result<&mut CatalogWrite> {
        self.tables.as_mut().ok_or(Error::ReadOnly)
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
    pub fn graph(&self) -> Result<Graph<'_, CatalogWrite>> {
        Ok(Graph(self.tables()?))
    }

    /// The model of this reference.
    ///
    /// # Errors
    ///
    /// [`NoSuchModel`](crate::lineage::LineageError::NoSuchModel).
    pub fn find(&self, model: &str) -> Result<Node> {
        let reference: ModelRef = model.parse()?;
        Ok(self.graph()?.find(&reference)?)
    }

    pub(super) fn put_row(&mut self, table: Table, id: ContentId, row: &RecordRow) -> Result<()> {
        if let (Table::Tensors, Some(formulas)) = (table, &mut self.formulas) {
            formulas.note(id, row);
        }
        Ok(self.tables_mut()?.put(table, id.as_bytes(), &row.encode())?)
    }

    /// Changes the row of a record that must be there.
    pub(super) fn change_row(
        &mut self,
        table: Table,
        id: ContentId,
        change: impl FnOnce(&mut RecordRow),
    ) -> Result<RecordRow> {
        let mut row = record_row(self.tables()?, table, id.as_bytes())?
            .ok_or_else(|| damaged(id, 0)(&"missing from the catalogue"))?;
        change(&mut row);
        self.put_row(table, id, &row)?;
        Ok(row)
    }

    /// Adds a model: the next version of its name.
    ///
    /// Bytes that are in the store already are not stored again. What is new is kept as the
    /// difference from a tensor of a parent, or of the version before, where that is shorter.
    /// Memory is bounded, whatever the size of the model.
    ///
    /// # Errors
    ///
    /// [`Error::BadTensor`] when bytes, type and shape contradict each other or a name is used
    /// twice; a parent that is not there; [`Error::Source`] when a source cannot be read; a
    /// damaged base; those of the disk. After an error the transaction must be dropped.
    pub fn add_model(&mut self, mut model: NewModel<'_>) -> Result<ImportReport> {
        self.check_whole()?;
        check_tensors(&model)?;
        let name: crate::lineage::ModelName = model.name.parse()?;
        let mut parents = Vec::new();
        for (parent, how) in &model.parents {
            parents.push(Edge { parent: self.find(parent)?.id, how: *how });
        }
        if self.graph()?.tagged(&name)?.is_some() {
            let name = name.to_string();
            return Err(LineageError::NameTaken { name, by: "a tag" }.into());
        }
        if let Some(key) = OWN_KEYS.into_iter().find(|key| model.metadata.contains_key(*key)) {
            return Err(LineageError::OwnKey { key: key.to_owned() }.into());
        }
        let previous = self.graph()?.latest(&name)?;
        let mut relatives: Vec<NodeId> = parents.iter().map(|edge| edge.parent).collect();
        relatives.extend(previous);
        for model in &model.made_of {
            relatives.push(self.find(model)?.id);
        }
        let mut readers: Vec<_> =
            model.parts.iter_mut().flat_map(|part| &mut part.tensors).collect();
        let folder = std::env::temp_dir();
        settle_readers(&mut readers, self.shared.folder().unwrap_or(&folder))?;

        self.chain_depth_max = model.chain_depth_max.unwrap_or(CHAIN_DEPTH_MAX);
        self.profile = model.profile;
        let (lossy, mut gate) = (model.lossy, model.gate.take());
        let mut model = model;
        let parts = std::mem::take(&mut model.parts);
        let model = model;
        let tensors = || parts.iter().flat_map(|part| &part.tensors);
        let known = (parents.len(), model.made_of.len());
        let mut sketches = Vec::new();
        // What is rounded is rounded to what was declared, whatever else is near it.
        if lossy.is_none() && self.tables()?.count(Table::Nodes)? > 0 {
            let all: Vec<&NewTensor<'_>> = tensors().collect();
            sketches = all.into_par_iter().map(sketch_of).collect::<Result<_>>()?;
        }
        let keys: Vec<TensorKey<'_>> = tensors().map(Into::into).collect();
        let bases = self.candidates(&keys, sketches, &relatives, known)?;
        drop(keys);
        let shared = self.shared_arc();
        let mut lossy_bases = Vec::new();
        let plan = match lossy {
            Some(lossy) => {
                for (at, tensor) in tensors().enumerate() {
                    lossy_bases.push(self.candidates_of(&bases, at, &tensor.name)?);
                }
                let planned = tensors().zip(lossy_bases.iter().map(Vec::as_slice));
                Some(self.plan_lossy(&shared, lossy, planned, files_of(&model, &parts))?)
            }
            None => None,
        };
        let draft = match &plan {
            Some(plan) => plan.settle(gate.as_deref_mut())?,
            None => None,
        };
        let pins = model.advice == Advice::ReadOften;
        // Raw from the start, where it is to be pinned.
        let bases = (!pins).then_some(bases);
        if pins {
            self.profile = Profile::Balanced;
        }
        let incoming = || tensors().enumerate().map(|(at, tensor)| Incoming { tensor, at });
        let byte_sum: u64 = tensors().map(|tensor| tensor.byte_len).sum();
        let row = NodeRow {
            name: name.as_str().to_owned(),
            version: 0,
            kind: model.kind.clone(),
            created_ms: now_ms(),
            manifest: ContentId::NONE,
            logical_bytes: model.logical_bytes.unwrap_or(byte_sum),
            tensor_count: tensors().count() as u32,
            revision: self.sequence,
        };
        let mut report = ImportReport {
            node: Node { id: NodeId([0; 16]), row: row.clone() },
            deduplicated: 0,
            deduplicated_bytes: 0,
            delta: 0,
            delta_bytes: 0,
            delta_stored_bytes: 0,
            raw: 0,
            raw_bytes: 0,
            added_bytes: 0,
            lossy: None,
            notes: Vec::new(),
        };
        let progress = |bytes| model.progress.iter().for_each(|progress| progress(bytes));
        let mut metadata = model.metadata.clone();
        let ids = self.change(|this| {
            let ids = match &draft {
                None => this.ingest(incoming(), bases.as_ref(), &mut report, &progress)?,
                Some(draft) => {
                    let (lossy, mark) = draft.report()?;
                    report.lossy = Some(lossy);
                    metadata.insert(LOSSY_KEY.to_owned(), mark);
                    this.shared.container.require_features(0, FEATURE_LOSSY);
                    let incoming = (incoming().collect(), bases.as_ref());
                    this.ingest_draft(draft, incoming, &mut report, &progress)?
                }
            };
            drop(bases);
            Ok(ids)
        })?;
        let mut manifest = manifest_of(&model, &parts, &ids);
        manifests::like_others(&mut manifest);
        // The manifest's bytes take the place of all this: there can be a million tensors.
        drop((ids, draft));
        drop(plan);
        drop(parts);
        self.arena = Vec::new();
        let manifest = self.change(|this| {
            let (id, added) = this.hold(&manifest)?;
            report.added_bytes += added;
            let new = NewNode {
                row: NodeRow { manifest: id, ..row },
                parents: parents.clone(),
                metadata: metadata.clone(),
            };
            let revision = this.sequence;
            report.node = GraphMut(this.tables_mut()?).add(new, revision)?;
            this.add_bands(report.node.id, &manifest)?;
            Ok(id)
        })?;
        let row = &report.node.row;
        self.operations.push(Operation::AddNode {
            id: report.node.id.to_string(),
            name: row.name.clone(),
            version: row.version,
            kind: row.kind.clone(),
            created_ms: row.created_ms,
            manifest: manifest.to_string(),
            logical_bytes: row.logical_bytes,
            previous: previous.map(|id| id.to_string()),
            parents: provenance(&parents),
            metadata,
        });
        if pins {
            let id = report.node.id;
            self.change(|this| this.pin_node(id))?;
        }
        Ok(report)
    }

    /// Stores a manifest, or finds it; it then holds its tensors. Gives back the bytes of a record
    /// that was added.
    pub(super) fn hold(&mut self, manifest: &Manifest) -> Result<(ContentId, u64)> {
        let bytes = manifest.encode()?;
        let id = ContentId::of(&bytes);
        if let Some(row) = record_row(self.tables()?, Table::Manifests, id.as_bytes())? {
            // Found equal only if it still is: the one at hand may be the only good one.
            read_plain(&self.shared, self.tables()?, RecordKind::Manifest, id, row)?;
            self.change_row(Table::Manifests, id, |row| {
                row.holders = row.holders.saturating_add(1)
            })?;
            return Ok((id, 0));
        }
        let draft = RecordDraft::plain(RecordKind::Manifest, id, bytes.len() as u64);
        let mut row = self.write_plain(&draft, &bytes)?;
        drop(bytes);
        row.holders = 1;
        let added = row.len;
        self.put_row(Table::Manifests, id, &row)?;
        for (id, count) in count_ids(manifest) {
            if !self.change_promise(id, |holders| holders.saturating_add(count))? {
                self.change_row(Table::Tensors, id, |row| {
                    row.holders = row.holders.saturating_add(count)
                })?;
            }
        }
        Ok((id, added))
    }

    /// Removes a model. Its tensors' bytes become free when no model, no delta and no snapshot,
    /// in any process, needs them; a base that deltas need stays, hidden.
    ///
    /// # Errors
    ///
    /// [`NoSuchModel`](crate::lineage::LineageError::NoSuchModel);
    /// [`HasChildren`](crate::lineage::LineageError::HasChildren) as `on_children` says. After
    /// another error the transaction must be dropped.
    pub fn remove_model(&mut self, model: &str, on_children: OnChildren) -> Result<RemoveReport> {
        self.check_whole()?;
        let node = self.find(model)?;
        if on_children == OnChildren::Refuse {
            self.graph()?.refuse_children(&node)?;
        }
        self.change(|this| this.remove_node(node, on_children))
    }

    fn remove_node(&mut self, node: Node, on_children: OnChildren) -> Result<RemoveReport> {
        let before = self.freed_bytes();
        let relinked = GraphMut(self.tables_mut()?).remove(&node, on_children)?;
        self.note_relinked(&relinked)?;
        self.operations.push(Operation::RemoveNode { id: node.id.to_string() });

        let manifest_id = node.row.manifest;
        let manifest = read_manifest(&self.shared, self.tables()?, manifest_id)?;
        self.remove_bands(node.id, &manifest)?;
        let hidden_bases = self.release(manifest_id, &manifest)?;
        Ok(RemoveReport {
            node,
            changed_children: relinked.children,
            freed_bytes: self.freed_bytes() - before,
            hidden_bases,
        })
    }

    /// Bytes that this transaction has freed so far.
    pub(super) fn freed_bytes(&self) -> u64 {
        self.freed.iter().map(|extent| extent.len).sum()
    }

    /// Takes a node's hold on its manifest, and frees what nothing needs then. Gives back how many
    /// tensors stay, hidden.
    pub(super) fn release(&mut self, manifest_id: ContentId, manifest: &Manifest) -> Result<u64> {
        let mut hidden = Vec::new();
        let row = self.change_row(Table::Manifests, manifest_id, |row| {
            row.holders = row.holders.saturating_sub(1);
        })?;
        if !row.is_needed() {
            self.free_record(Table::Manifests, manifest_id, &row)?;
            for (id, count) in count_ids(manifest) {
                if self.change_promise(id, |holders| holders.saturating_sub(count))? {
                    continue;
                }
                let row = self.change_row(Table::Tensors, id, |row| {
                    row.holders = row.holders.saturating_sub(count);
                })?;
                if row.holders == 0 && row.dependents > 0 {
                    hidden.push(id);
                }
                self.free_if_unneeded(id, row)?;
            }
        }
        self.settle_hidden(hidden)
    }

    /// Notes what this transaction does, for its change record.
    pub(super) fn note(&mut self, operation: Operation) {
        self.operations.push(operation);
    }

    /// A place that is free when this transaction is durable and no snapshot is older.
    pub(super) fn free_place(&mut self, extent: Extent) {
        self.freed.push(extent);
    }

    pub(super) fn free_record(
        &mut self,
        table: Table,
        id: ContentId,
        row: &RecordRow,
    ) -> Result<()> {
        self.tables_mut()?.delete(table, id.as_bytes())?;
        self.freed.push(row.extent());
        Ok(())
    }

    /// Frees a tensor that nothing needs, and the bases that only it needed.
    pub(super) fn free_if_unneeded(&mut self, id: ContentId, row: RecordRow) -> Result<()> {
        let mut rows = vec![(id, row)];
        while let Some((id, row)) = rows.pop() {
            if row.is_needed() || self.arriving.contains(&id) {
                continue;
            }
            self.free_record(Table::Tensors, id, &row)?;
            self.remove_sketches(id)?;
            for base in row.bases() {
                let row = self.change_row(Table::Tensors, base, |base| {
                    base.dependents = base.dependents.saturating_sub(1);
                })?;
                rows.push((base, row));
            }
        }
        Ok(())
    }

    /// Makes the changes durable and visible: two syncs. Without changes this does nothing.
    ///
    /// # Errors
    ///
    /// Those of the disk before anything is decided; then nothing has happened.
    /// [`Error::OutcomeUnknown`] after that: this handle then writes no more.
    /// [`Error::BrokenTransaction`] after a step that failed.
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
        self.settle_arriving()?;
        self.write_change_record()?;
        let Some(tables) = self.tables.take() else { return Err(Error::ReadOnly) };
        // From here on the places may be committed: they are not given back.
        self.reserved.clear();
        crate::ending::critical(|| {
            tables.commit().map_err(|error| Store::refuse_after_failure(&self.shared, error))?;
            crate::ending::note_commit(self.shared.path());
            Ok::<(), Error>(())
        })?;
        let freed = std::mem::take(&mut self.freed);
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
        let (id, row) = self.write_folding(change)?;
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
        self.shared.forget(self.reserved.iter().map(|extent| extent.offset));
        for extent in self.reserved.drain(..) {
            self.shared.container.give_back(extent);
        }
    }
}

/// The manifest of a model without its tensors.
fn files_of(model: &NewModel<'_>, parts: &[NewPart<'_>]) -> Manifest {
    let part = |part: &NewPart<'_>| ManifestPart {
        name: part.name.clone(),
        header: part.header.clone(),
        tensor_count: part.tensors.len() as u32,
    };
    Manifest {
        index_name: model.index.0.clone(),
        index: model.index.1.clone(),
        parts: parts.iter().map(part).collect(),
        ..Manifest::default()
    }
}

/// The manifest of a model whose tensors have these ids.
fn manifest_of<'m>(model: &NewModel<'_>, parts: &'m [NewPart<'_>], ids: &[ContentId]) -> Manifest {
    let tensors = parts.iter().flat_map(|part| &part.tensors);
    let tensor = |(tensor, id): (&'m NewTensor<'_>, &ContentId)| ManifestTensor {
        name: &tensor.name,
        dtype: &tensor.dtype,
        shape: &tensor.shape,
        byte_len: tensor.byte_len,
        content_id: *id,
    };
    Manifest { tensors: tensors.zip(ids).map(tensor).collect(), ..files_of(model, parts) }
}

/// How often a manifest names each content.
pub(super) fn count_ids(manifest: &Manifest) -> Vec<(ContentId, u32)> {
    let mut ids: Vec<ContentId> = manifest.tensors.iter().map(|it| it.content_id).collect();
    ids.sort_unstable();
    let mut counts: Vec<(ContentId, u32)> = Vec::new();
    for id in ids {
        match counts.last_mut() {
            Some((last, count)) if *last == id => *count += 1,
            _ => counts.push((id, 1)),
        }
    }
    counts
}

/// Names are unique and fit their field; bytes agree with type and shape.
fn check_tensors(model: &NewModel<'_>) -> Result<()> {
    if model.parts.len() > 1 && model.index.0.is_empty() {
        let reason = "several files without an index that lists them".to_owned();
        return Err(Error::BadTensor { tensor: String::new(), reason });
    }
    let mut names = Vec::new();
    for tensor in model.parts.iter().flat_map(|part| &part.tensors) {
        let bad =
            |reason: String| Err(Error::BadTensor { tensor: tensor.name.to_string(), reason });
        if tensor.name.is_empty() || tensor.name.len() > usize::from(u16::MAX) {
            return bad("a name has 1 to 65535 bytes".to_owned());
        }
        if tensor.name == "__metadata__" {
            return bad("safetensors files keep this name for their metadata".to_owned());
        }
        names.push(&*tensor.name);
        match tensor.dtype.byte_len(&tensor.shape) {
            Err(error) => return bad(error.to_string()),
            Ok(Some(expected)) if expected != tensor.byte_len => {
                let (dtype, shape, found) = (&tensor.dtype, &tensor.shape, tensor.byte_len);
                return bad(format!("{dtype} {shape} takes {expected} bytes, {found} are given"));
            }
            Ok(_) => {}
        }
    }
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => {
            let reason = "the name is used twice".to_owned();
            Err(Error::BadTensor { tensor: pair[0].to_owned(), reason })
        }
        None => Ok(()),
    }
}
