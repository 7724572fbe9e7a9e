//! What is noted of the other side when a transfer is done.

use std::collections::HashSet;

use super::Result;
use super::entry::{Nodes, node_id};
use super::plan::TransferPlan;
use crate::lineage::NodeId;
use crate::store::{Access, Store};
use crate::tensor::ContentId;

/// Remembers that another side has these models' rows as they are here, and indexes of its packs.
/// A store that is open for reading remembers nothing: its changes then count as made on both
/// sides.
pub(super) fn remember(
    store: &Store,
    other: [u8; 16],
    nodes: &Nodes,
    plan: &TransferPlan,
    indexes: &mut dyn Iterator<Item = (ContentId, &[u8])>,
) -> Result<()> {
    let ids = plan.models.iter().chain(&plan.updates).chain(&plan.settled).copied().collect();
    remember_ids(store, other, nodes, ids, indexes)
}

/// As [`remember`], of models of these names.
pub(super) fn remember_named<'n>(
    store: &Store,
    other: [u8; 16],
    nodes: &Nodes,
    names: impl Iterator<Item = &'n String>,
) -> Result<()> {
    let names: HashSet<&String> = names.collect();
    let ids = nodes.iter().filter(|(_, node)| names.contains(&node.full_name()));
    let ids = ids.map(|(id, _)| *id).collect();
    remember_ids(store, other, nodes, ids, &mut std::iter::empty())
}

fn remember_ids(
    store: &Store,
    other: [u8; 16],
    nodes: &Nodes,
    ids: Vec<NodeId>,
    indexes: &mut dyn Iterator<Item = (ContentId, &[u8])>,
) -> Result<()> {
    let mut indexes = indexes.peekable();
    if store.access() != Access::Write || (ids.is_empty() && indexes.peek().is_none()) {
        return Ok(());
    }
    let mut transaction = store.begin_write()?;
    for node in ids.iter().filter_map(|id| nodes.get(id)) {
        transaction.put_sync_marker(other, node_id(&node.id)?, node.marker())?;
    }
    for (id, index) in indexes {
        transaction.put_index(id, index)?;
    }
    Ok(transaction.commit_changes()?)
}
