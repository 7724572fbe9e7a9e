//! A model is removed.

use super::graph::note_relinked;
use crate::format::Operation;
use crate::lineage::{GraphMut, ModelRef, Node, NodeId, OnChildren};
use crate::store::error::Result;
use crate::store::read::model::read_manifest;
use crate::store::write::hidden::release;
use crate::store::write::sketches::remove_bands;
use crate::store::write::transaction::Transaction;

/// What removing a model did.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
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

/// See [`Transaction::remove_model`].
pub(in crate::store) fn remove_model(
    transaction: &mut Transaction,
    model: &ModelRef,
    on_children: OnChildren,
) -> Result<RemoveReport> {
    transaction.check_whole()?;
    let node = transaction.find(model)?;
    if on_children == OnChildren::Refuse {
        transaction.graph()?.refuse_children(&node)?;
    }
    transaction.change(|this| remove_node(this, node, on_children))
}

fn remove_node(
    transaction: &mut Transaction,
    node: Node,
    on_children: OnChildren,
) -> Result<RemoveReport> {
    let before = transaction.references.freed_bytes();
    let relinked = GraphMut(transaction.tables_mut()?).remove(&node, on_children)?;
    note_relinked(transaction, &relinked)?;
    transaction.note(Operation::RemoveNode { id: node.id.to_string() });

    let manifest_id = node.row.manifest;
    let manifest = read_manifest(&transaction.shared, transaction.tables()?, manifest_id)?;
    remove_bands(transaction.tables_mut()?, node.id, &manifest)?;
    let hidden_bases = release(transaction, manifest_id, &manifest)?;
    Ok(RemoveReport {
        node,
        changed_children: relinked.children,
        freed_bytes: transaction.references.freed_bytes() - before,
        hidden_bases,
    })
}
