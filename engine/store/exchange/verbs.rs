//! What a transaction does with what comes from another store.

use super::incoming;
use super::incoming::IncomingNode;
use crate::catalog::Table;
use crate::lineage::{ModelName, Node, NodeId};
use crate::store::error::Result;
use crate::store::source::TensorSource;
use crate::store::write::promises;
use crate::store::write::transaction::Transaction;
use crate::tensor::ContentId;

impl Transaction {
    /// Whether a tensor or a manifest is stored.
    pub(crate) fn has(&self, table: Table, id: ContentId) -> Result<bool> {
        incoming::has(self, table, id)
    }

    /// Stores the record of a tensor that comes as another store keeps it; its bases are here. It
    /// stays, needed or not, until the transaction is committed: what comes later stands on it, or
    /// names it. A chain stays as long as it is there; one that grows by what its bases stand on
    /// here, beyond what this store writes, starts again nearer its root. Memory: a piece of the
    /// tensor.
    ///
    /// # Errors
    ///
    /// [`StoreError::DamagedRecord`] when the record is not what it must be or the content not that
    /// of `id`; [`StoreError::MissingTensor`] without its bases; [`StoreError::Source`]; those of
    /// the disk. The transaction must then be dropped.
    pub(crate) fn import_record(
        &mut self,
        id: ContentId,
        len: u64,
        source: &dyn TensorSource,
    ) -> Result<()> {
        incoming::import_record(self, id, len, source)
    }

    /// Keeps a tensor that has come before its model, so that a transfer that is cut short need
    /// not fetch it again.
    pub(crate) fn hold_incoming(&mut self, id: ContentId) -> Result<()> {
        incoming::hold_incoming(self, id)
    }

    /// Lets go of every tensor that was held for its model; what nothing needs is freed. Says how
    /// many there were.
    pub(crate) fn release_incoming(&mut self) -> Result<u64> {
        incoming::release_incoming(self)
    }

    /// As [`release_incoming`](Self::release_incoming), of these tensors alone.
    pub(crate) fn release_held(&mut self, ids: impl IntoIterator<Item = ContentId>) -> Result<u64> {
        incoming::release_held(self, ids)
    }

    /// Adds a model that comes from another store, with the bytes of its manifest. Its tensors
    /// and what its edges lead to are here.
    ///
    /// # Errors
    ///
    /// A manifest that cannot be read or names what is not here; a name that is taken.
    pub(crate) fn adopt_node(&mut self, node: IncomingNode, manifest: Vec<u8>) -> Result<Node> {
        incoming::adopt_node(self, node, manifest)
    }

    /// Looks a model's tensors over that have come after it, once all are here. Says whether they
    /// are.
    pub(crate) fn note_whole(&mut self, id: NodeId) -> Result<bool> {
        incoming::note_whole(self, id)
    }

    /// Gives a model a version of its name that was never given.
    pub(crate) fn renumber(&mut self, node: &Node, version: u32) -> Result<Node> {
        incoming::renumber(self, node, version)
    }

    /// Sets a tag that comes along, where its name is free. Says whether it was.
    pub(crate) fn adopt_tag(&mut self, tag: &ModelName, id: NodeId) -> Result<bool> {
        incoming::adopt_tag(self, tag, id)
    }

    /// Takes away the tags of a model that are not among these.
    pub(crate) fn drop_tags_but(&mut self, id: NodeId, stay: &[String]) -> Result<()> {
        incoming::drop_tags_but(self, id, stay)
    }

    /// Replaces kind, parents and metadata of a model by what comes. Says whether it did: parents
    /// that descend from the model here are not taken.
    pub(crate) fn update_node(&mut self, node: IncomingNode) -> Result<bool> {
        incoming::update_node(self, node)
    }

    /// Keeps the index of a pack, which never changes.
    pub(crate) fn put_index(&mut self, id: ContentId, index: &[u8]) -> Result<()> {
        incoming::put_index(self, id, index)
    }

    /// Remembers a model's row as another side has it.
    pub(crate) fn put_sync_marker(
        &mut self,
        other: [u8; 16],
        id: NodeId,
        mark: [u8; 16],
    ) -> Result<()> {
        incoming::put_sync_marker(self, other, id, mark)
    }

    /// Changes rows of the table of other places.
    pub(crate) fn put_remote(&mut self, name: &str, value: Option<&[u8]>) -> Result<bool> {
        incoming::put_remote(self, name, value)
    }

    /// Adds a row for a missing tensor that a model is about to name, unless the tensor is stored
    /// or has a row. Returns whether a row was added.
    pub(crate) fn promise(&mut self, id: ContentId, raw_len: u64, place: &str) -> Result<bool> {
        promises::promise(self, id, raw_len, place)
    }
}
