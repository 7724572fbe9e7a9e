//! Folding: now and then a commit's change record says what the whole graph is, so that the
//! records before it may go.

use std::ops::ControlFlow;

use serde_json::{Map, Value};

use super::operations::added_node;
use super::records::{RecordDraft, RecordWriter};
use super::references::References;
use crate::catalog::{
    CatalogWrite, EdgeKind, FoldsRow, ReadTables, RecordRow, Table, WriteTables, meta,
};
use crate::format::{
    ChangeRecord, FEATURE_FOLDS, Fold, FormatError, Operation, RECORD_ALIGN, RecordKind,
};
use crate::lineage::{Graph, Node, NodeId};
use crate::store::base::chunks::plain_len;
use crate::store::error::Result;
use crate::tensor::ContentId;

/// Bytes of change records behind the last fold up to which no other is thought of.
const FOLD_FROM: u64 = 16 << 10;
/// Bytes of the graph's rows from which on it is not folded: a fold is held in memory whole.
const FOLD_ROWS_MAX: u64 = 64 << 20;
/// The tables that a fold says again.
const FOLDED: [Table; 8] = [
    Table::Nodes,
    Table::Names,
    Table::Parents,
    Table::Children,
    Table::Metadata,
    Table::EdgeMetadata,
    Table::Tags,
    Table::Tests,
];

/// Writes the change record of this commit, with a fold where one is due, and frees the
/// records that the fold makes needless.
pub(in crate::store) fn write_folding(
    references: &mut References,
    records: &mut RecordWriter,
    mut change: ChangeRecord,
    folds_now: bool,
) -> Result<(ContentId, RecordRow)> {
    let known = folds_row(references)?;
    let mut folds = known.unwrap_or_default();
    if known.is_none() {
        folds.behind = changes_len(references.tables()?)?;
    }
    let tries = folds_now || folds.behind > folds.due.max(FOLD_FROM);
    if tries && graph_fits(references.tables()?)? {
        change.fold = match fold_of(references.tables()?) {
            // What cannot be said whole is not said: the records that are there still tell.
            Err(error) if error.is_damage() => None,
            fold => Some(fold?),
        };
    }
    let mut bytes = change.encode()?;
    if change.fold.is_some() && !folds_now {
        // What it says again must be less than half of what says it now.
        let last = references.tables()?.get(Table::Changes, &folds.last.to_be_bytes())?;
        let last = last.map(|row| RecordRow::decode(&row)).transpose()?;
        let now = folds.behind.saturating_add(last.map_or(0, |row| taken(&row)));
        if plain_len(&bytes).saturating_mul(2) > now {
            change.fold = None;
            bytes = change.encode()?;
        }
    }
    let id = ContentId::of(&bytes);
    let draft = RecordDraft::plain(RecordKind::Change, id, bytes.len() as u64);
    let row = records.write_plain(&draft, &bytes)?;
    if change.fold.is_some() {
        // The last fold stays, and all behind it: one record that rots costs no name.
        free_changes_before(references, folds.last)?;
        let (last, before) = (change.sequence, folds.last);
        folds = FoldsRow { last, before, behind: 0, due: taken(&row) };
    } else {
        folds.behind = folds.behind.saturating_add(taken(&row));
        if tries {
            folds.due = folds.behind.saturating_mul(2);
        }
    }
    if known.is_some() || tries {
        references.shared().container.require_features(0, FEATURE_FOLDS);
        references.tables_mut()?.put(Table::Meta, meta::FOLDS.as_bytes(), &folds.encode())?;
    }
    Ok((id, row))
}

fn folds_row(references: &References) -> Result<Option<FoldsRow>> {
    let row = references.tables()?.get(Table::Meta, meta::FOLDS.as_bytes())?;
    Ok(row.map(|row| FoldsRow::decode(&row)).transpose()?)
}

fn free_changes_before(references: &mut References, sequence: u64) -> Result<()> {
    let mut rows = Vec::new();
    references.tables()?.scan(Table::Changes, &[], &mut |key, value| {
        if key >= &sequence.to_be_bytes()[..] {
            return Ok(ControlFlow::Break(()));
        }
        rows.push((key.to_vec(), RecordRow::decode(value)?));
        Ok(ControlFlow::Continue(()))
    })?;
    for (key, row) in rows {
        references.tables_mut()?.delete(Table::Changes, &key)?;
        references.free_place(row.extent());
    }
    Ok(())
}

/// Bytes of the file that a record keeps others from.
fn taken(row: &RecordRow) -> u64 {
    row.len.checked_next_multiple_of(RECORD_ALIGN).unwrap_or(row.len)
}

fn changes_len(tables: &CatalogWrite) -> Result<u64> {
    let mut len = 0u64;
    tables.scan(Table::Changes, &[], &mut |_, value| {
        len = len.saturating_add(taken(&RecordRow::decode(value)?));
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(len)
}

fn graph_fits(tables: &CatalogWrite) -> Result<bool> {
    let mut len = 0u64;
    for table in FOLDED {
        tables.scan(table, &[], &mut |key, value| {
            len += (key.len() + value.len()) as u64;
            Ok(if len > FOLD_ROWS_MAX { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
    }
    Ok(len <= FOLD_ROWS_MAX)
}

/// What makes the graph of these tables out of nothing.
fn fold_of(tables: &CatalogWrite) -> Result<Fold> {
    let graph = Graph(tables);
    let mut operations = Vec::new();
    let mut nodes = graph.nodes()?;
    // Parents before children, where clocks were right: whoever reads it finds a history.
    nodes.sort_by_key(|node| (node.row.created_ms, node.row.version, node.id));
    for node in &nodes {
        operations.push(add_node(graph, node)?);
    }
    // Versions are not given twice, also those of models that are gone.
    tables.scan(Table::Names, &[], &mut |name, version| {
        let wrong = |found| FormatError::new("row of names", 0, "a name and its version", found);
        let name = std::str::from_utf8(name).map_err(|error| wrong(error.to_string()))?;
        let version = version.try_into().map_err(|_| wrong(format!("{} bytes", version.len())))?;
        let (name, version) = (name.to_owned(), u32::from_le_bytes(version));
        operations.push(Operation::ReserveVersions { name, version });
        Ok(ControlFlow::Continue(()))
    })?;
    for node in &nodes {
        let parents = graph.parents(node.id)?.into_iter().map(|edge| edge.parent);
        let parents = parents.map(|parent| (EdgeKind::Provenance, parent));
        let previous = graph.previous(node.id)?.map(|older| (EdgeKind::Version, older));
        for (kind, parent) in parents.chain(previous) {
            operations.extend(edge_metadata(graph, node.id, kind, parent)?);
        }
    }
    for (tag, id) in graph.tags()? {
        operations.push(Operation::SetTag { tag, id: Some(id.to_string()) });
    }
    tables.scan(Table::Tests, &[], &mut |name, definition| {
        let wrong = |found| FormatError::new("test", 0, "a name and an object of JSON", found);
        let name = std::str::from_utf8(name).map_err(|error| wrong(error.to_string()))?.to_owned();
        let definition: Map<String, Value> =
            serde_json::from_slice(definition).map_err(|error| wrong(error.to_string()))?;
        operations.push(Operation::SetTest { name, definition: Some(definition) });
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(Fold { created_ms: tables.meta_u64(meta::CREATED_MS)?, operations })
}

fn add_node(graph: Graph<'_>, node: &Node) -> Result<Operation> {
    let (previous, parents) = (graph.previous(node.id)?, graph.parents(node.id)?);
    Ok(added_node(node, previous, &parents, graph.metadata(node.id)?))
}

fn edge_metadata(
    graph: Graph<'_>,
    child: NodeId,
    kind: EdgeKind,
    parent: NodeId,
) -> Result<Option<Operation>> {
    let metadata = graph.edge_metadata(child, kind, parent)?;
    let (id, parent, kind) = (child.to_string(), parent.to_string(), kind.name().to_owned());
    let is_there = !metadata.is_empty();
    Ok(is_there.then_some(Operation::SetEdgeMetadata { id, parent, kind, metadata }))
}
