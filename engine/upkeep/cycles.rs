//! Circles in a graph that should have none.

use std::collections::{BTreeMap, HashMap};

use crate::lineage::NodeId;

/// The nodes on a cycle of these edges, each a parent and a child, or below one; by their ids. Takes
/// away nodes without parents until none are left: those stay.
pub(super) fn on_or_below_cycles(edges: impl Iterator<Item = (NodeId, NodeId)>) -> Vec<NodeId> {
    let mut waiting: BTreeMap<NodeId, usize> = BTreeMap::new();
    let mut children: HashMap<NodeId, Vec<NodeId>> = HashMap::new();
    for (parent, child) in edges {
        waiting.entry(parent).or_default();
        *waiting.entry(child).or_default() += 1;
        children.entry(parent).or_default().push(child);
    }
    let roots = waiting.iter().filter(|(_, parents)| **parents == 0);
    let mut ready: Vec<NodeId> = roots.map(|(id, _)| *id).collect();
    while let Some(id) = ready.pop() {
        for child in children.remove(&id).unwrap_or_default() {
            if let Some(parents) = waiting.get_mut(&child) {
                *parents = parents.saturating_sub(1);
                if *parents == 0 {
                    ready.push(child);
                }
            }
        }
    }
    waiting.into_iter().filter(|(_, parents)| *parents > 0).map(|(id, _)| id).collect()
}
