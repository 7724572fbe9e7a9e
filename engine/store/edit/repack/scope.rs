//! What is repacked: a whole store, or some models.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use super::rows::OldRows;
use crate::catalog::{ReadTables, RecordRow, Table};
use crate::format::Manifest;
use crate::lineage::{Node, PINNED_KEY};
use crate::store::edit::pinned::pinned_contents;
use crate::store::error::Result;
use crate::store::read::model::read_manifest;
use crate::store::read::record::record_row;
use crate::store::write::transaction::Transaction;
use crate::tensor::ContentId;

/// The contents that are repacked together.
pub(in crate::store) struct Scope {
    /// The models whose contents may be stored anew, in the order of their names.
    pub(in crate::store) nodes: Vec<Node>,
    /// The rows as they are before, of all that these models name, and of all that it stands on.
    pub(in crate::store) old: OldRows,
    /// Those that stay as they are: pinned ones; of some models, what others need as well.
    pub(in crate::store) fixed: HashSet<ContentId>,
}

impl Scope {
    /// All that is stored.
    pub(in crate::store) fn whole(transaction: &Transaction) -> Result<Self> {
        let nodes = sorted(transaction.graph()?.nodes()?);
        let old = OldRows(tensor_rows(transaction)?);
        Ok(Scope { nodes, old, fixed: pinned_contents(transaction)? })
    }

    /// The contents of these models, as far as nothing else needs them. Cost: their manifests, and
    /// a row for each of their tensors and for each of what these stand on.
    pub(in crate::store) fn of(transaction: &Transaction, nodes: Vec<Node>) -> Result<Self> {
        let nodes = sorted(nodes);
        let (mut named, mut pinned) = (HashMap::<ContentId, u32>::new(), HashSet::new());
        let mut held = HashSet::new();
        for node in &nodes {
            let is_pinned = transaction.graph()?.own_metadata(node.id, PINNED_KEY)?.is_some();
            let manifest = manifest_of(transaction, node)?;
            let first = held.insert(node.row.manifest);
            for tensor in manifest.tensors.iter() {
                *named.entry(tensor.content_id).or_default() += u32::from(first);
                if is_pinned {
                    pinned.insert(tensor.content_id);
                }
            }
        }
        let tables = transaction.tables()?;
        let (mut rows, mut stand) =
            (HashMap::<ContentId, RecordRow>::new(), HashMap::<ContentId, u32>::new());
        let mut open: Vec<ContentId> = named.keys().copied().collect();
        while let Some(id) = open.pop() {
            if rows.contains_key(&id) {
                continue;
            }
            let Some(row) = record_row(tables, Table::Tensors, id.as_bytes())? else { continue };
            for base in row.bases() {
                *stand.entry(base).or_default() += 1;
                open.push(base);
            }
            rows.insert(id, row);
        }
        // What stands on a tensor that is still to be fetched cannot be read.
        let mut whole = rows.len() + 1;
        while whole > rows.len() {
            whole = rows.len();
            let here: HashSet<ContentId> = rows.keys().copied().collect();
            rows.retain(|_, row| row.bases().all(|base| here.contains(&base)));
        }
        let is_others = |id: &ContentId, row: &RecordRow| {
            let count = |counts: &HashMap<ContentId, u32>| counts.get(id).copied().unwrap_or(0);
            row.dependents > count(&stand) || row.holders > count(&named)
        };
        let others = rows.iter().filter(|(id, row)| is_others(id, row)).map(|(id, _)| *id);
        // What stays needs what it stands on to be no deeper than it is.
        let mut open: Vec<ContentId> = others.chain(pinned).collect();
        let mut fixed = HashSet::new();
        while let Some(id) = open.pop() {
            if fixed.insert(id) {
                open.extend(rows.get(&id).into_iter().flat_map(RecordRow::bases));
            }
        }
        Ok(Scope { nodes, old: OldRows(rows), fixed })
    }

    /// The rows of the same contents, as they are now.
    pub(in crate::store) fn rows_now(
        &self,
        transaction: &Transaction,
    ) -> Result<HashMap<ContentId, RecordRow>> {
        let tables = transaction.tables()?;
        let mut rows = HashMap::new();
        for id in self.old.0.keys() {
            let row = record_row(tables, Table::Tensors, id.as_bytes())?;
            rows.extend(row.map(|row| (*id, row)));
        }
        Ok(rows)
    }
}

/// Ids are random: a plan must not depend on them.
fn sorted(mut nodes: Vec<Node>) -> Vec<Node> {
    nodes.sort_by(|a, b| (a.name(), a.version()).cmp(&(b.name(), b.version())));
    nodes
}

pub(in crate::store) fn manifest_of(
    transaction: &Transaction,
    node: &Node,
) -> Result<std::sync::Arc<Manifest>> {
    read_manifest(&transaction.shared, transaction.tables()?, node.row.manifest)
}

fn tensor_rows(transaction: &Transaction) -> Result<HashMap<ContentId, RecordRow>> {
    let mut rows = HashMap::new();
    transaction.tables()?.scan(Table::Tensors, &[], &mut |key, value| {
        let row = RecordRow::decode(value)?;
        let id: Option<[u8; 32]> = key.try_into().ok();
        rows.extend(id.map(|id| (ContentId::from_bytes(id), row)));
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(rows)
}
