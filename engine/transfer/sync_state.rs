//! Rows of models that both sides have: which side has changed them since they were alike.
//!
//! A store remembers a mark of every row as each other side last had it. A row that has changed
//! on one side only goes to the other; one that has changed on both stays as it is on each.

use std::collections::HashMap;
use std::ops::ControlFlow;

use super::Result;
use super::entry::{Marker, Nodes};
use super::naming::Naming;
use crate::catalog::{ReadTables, Table};
use crate::lineage::NodeId;

/// Marks of rows as another side last had them.
pub(super) type SyncState = HashMap<NodeId, Marker>;

/// What comparing rows found.
#[derive(Debug, Default)]
pub(super) struct Compared {
    /// Models whose rows are to be replaced where they go.
    pub(super) updates: Vec<NodeId>,
    /// Models that both sides have changed.
    pub(super) differing: Vec<String>,
    /// Models whose rows are alike, which is not remembered yet.
    pub(super) settled: Vec<NodeId>,
}

/// The marks that are kept about another side.
pub(super) fn sync_state<T: ReadTables + ?Sized>(tables: &T, other: [u8; 16]) -> Result<SyncState> {
    let mut sync_state = SyncState::new();
    tables.scan(Table::Agreed, &other, &mut |key, value| {
        let id = key.get(16..).and_then(|id| <[u8; 16]>::try_from(id).ok());
        if let (Some(id), Ok(marker)) = (id, Marker::try_from(value)) {
            sync_state.insert(NodeId(id), marker);
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(sync_state)
}

/// Compares the rows of models that both sides have: `here` is where they would go to. The marks
/// are those of whoever asks: where models go to in a pull, where they come from in a push.
pub(super) fn compare(
    here: &Nodes,
    theirs: &Nodes,
    known: &[NodeId],
    sync_state: &SyncState,
    naming: Naming,
) -> Compared {
    let mut compared = Compared::default();
    for id in known {
        let (Some(to), Some(from)) = (here.get(id), theirs.get(id)) else { continue };
        let marker = sync_state.get(id).copied();
        if to == from {
            if marker != Some(to.marker()) {
                compared.settled.push(*id);
            }
            continue;
        }
        // A content is never replaced, and names are not: both would take a model away.
        let same_place = (&to.name, to.version, &to.manifest, &to.previous)
            == (&from.name, from.version, &from.manifest, &from.previous);
        let (old, new) = (marker == Some(from.marker()), marker == Some(to.marker()));
        match (old, new) {
            (false, true) if same_place => compared.updates.push(*id),
            // The other way round: what comes is what was here before.
            (true, false) => {}
            _ => compared.differing.push(match naming {
                Naming::Push => from.full_name(),
                _ => to.full_name(),
            }),
        }
    }
    compared
}
