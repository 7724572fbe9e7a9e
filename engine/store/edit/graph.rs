//! Changes of the lineage graph in a transaction: edges, names, kinds, tags, metadata.

use serde_json::{Map, Value};

use crate::catalog::{Table, WriteTables};
use crate::format::{FEATURE_EDGE_METADATA, FEATURE_RENAMES, FEATURE_TAGS, Operation};
use crate::lineage::{
    Edge, EdgeKind, GraphMut, How, LineageError, ModelName, ModelRef, Node, NodeId, Relinked,
};
use crate::store::error::Result;
use crate::store::write::operations::provenance;
use crate::store::write::transaction::Transaction;

/// Adds a provenance edge behind those that are there.
pub(in crate::store) fn add_parent(
    transaction: &mut Transaction,
    child: &ModelRef,
    parent: &ModelRef,
    how: How,
) -> Result<()> {
    transaction.check_whole()?;
    let (child, parent) = (transaction.find(child)?.id, transaction.find(parent)?.id);
    let mut parents = transaction.graph()?.parents(child)?;
    parents.push(Edge { parent, how });
    replace_parents(transaction, child, &parents)
}

/// Takes a provenance edge away.
pub(in crate::store) fn remove_parent(
    transaction: &mut Transaction,
    child: &ModelRef,
    parent: &ModelRef,
) -> Result<()> {
    transaction.check_whole()?;
    let (child, parent) = (transaction.find(child)?, transaction.find(parent)?);
    let mut parents = transaction.graph()?.parents(child.id)?;
    let before = parents.len();
    parents.retain(|edge| edge.parent != parent.id);
    if parents.len() == before {
        let (child, parent) = (child.full_name(), parent.full_name());
        return Err(LineageError::NoSuchEdge { child, parent }.into());
    }
    replace_parents(transaction, child.id, &parents)
}

/// See [`Transaction::set_parents`].
pub(in crate::store) fn set_parents(
    transaction: &mut Transaction,
    child: &ModelRef,
    parents: &[(ModelRef, How)],
) -> Result<()> {
    transaction.check_whole()?;
    let child = transaction.find(child)?.id;
    let edge = |(parent, how): &(ModelRef, How)| -> Result<Edge> {
        Ok(Edge { parent: transaction.find(parent)?.id, how: *how })
    };
    let parents: Vec<Edge> = parents.iter().map(edge).collect::<Result<_>>()?;
    replace_parents(transaction, child, &parents)
}

fn replace_parents(transaction: &mut Transaction, child: NodeId, parents: &[Edge]) -> Result<()> {
    transaction.change(|this| {
        GraphMut(this.tables_mut()?).set_parents(child, parents)?;
        note_changed(this, child)
    })?;
    let (id, parents) = (child.to_string(), provenance(parents));
    transaction.note(Operation::SetParents { id, parents });
    Ok(())
}

/// See [`Transaction::set_previous`].
pub(in crate::store) fn set_previous(
    transaction: &mut Transaction,
    model: &ModelRef,
    previous: Option<&ModelRef>,
) -> Result<()> {
    transaction.check_whole()?;
    let node = transaction.find(model)?.id;
    let previous = previous.map(|model| transaction.find(model)).transpose()?.map(|node| node.id);
    transaction.change(|this| {
        GraphMut(this.tables_mut()?).set_previous(node, previous)?;
        note_relinked(this, &Relinked { children: Vec::new(), newer: vec![node] })
    })
}

/// See [`Transaction::move_model`].
pub(in crate::store) fn move_model(
    transaction: &mut Transaction,
    model: &ModelRef,
    name: &str,
) -> Result<Node> {
    transaction.check_whole()?;
    let name: ModelName = name.parse()?;
    let node = transaction.find(model)?;
    transaction.shared.container.require_features(0, FEATURE_RENAMES);
    transaction.change(|this| {
        let (moved, relinked) = GraphMut(this.tables_mut()?).move_node(&node, &name)?;
        note_renamed(this, &moved)?;
        let newer = relinked.newer.into_iter().chain([moved.id]).collect();
        note_relinked(this, &Relinked { children: Vec::new(), newer })?;
        Ok(moved)
    })
}

/// See [`Transaction::rename_models`].
pub(in crate::store) fn rename_models(
    transaction: &mut Transaction,
    old: &str,
    new: &str,
) -> Result<Vec<Node>> {
    transaction.check_whole()?;
    let (old, new): (ModelName, ModelName) = (old.parse()?, new.parse()?);
    transaction.shared.container.require_features(0, FEATURE_RENAMES);
    transaction.change(|this| {
        let moved = GraphMut(this.tables_mut()?).rename(&old, &new)?;
        moved.iter().try_for_each(|node| note_renamed(this, node))?;
        Ok(moved)
    })
}

fn note_renamed(transaction: &mut Transaction, node: &Node) -> Result<()> {
    transaction.note(Operation::RenameNode {
        id: node.id.to_string(),
        name: node.row.name.clone(),
        version: node.row.version,
    });
    note_changed(transaction, node.id)
}

/// Replaces the kind of a model; empty for none.
pub(in crate::store) fn set_kind(
    transaction: &mut Transaction,
    model: &ModelRef,
    kind: &str,
) -> Result<()> {
    transaction.check_whole()?;
    let mut node = transaction.find(model)?;
    node.row.kind = kind.to_owned();
    node.row.revision = transaction.sequence;
    let row = node.row.encode()?;
    transaction.shared.container.require_features(0, FEATURE_RENAMES);
    transaction.change(|this| Ok(this.tables_mut()?.put(Table::Nodes, &node.id.0, &row)?))?;
    let (id, kind) = (node.id.to_string(), kind.to_owned());
    transaction.note(Operation::SetKind { id, kind });
    Ok(())
}

/// See [`Transaction::set_metadata`].
pub(in crate::store) fn set_metadata(
    transaction: &mut Transaction,
    model: &ModelRef,
    metadata: Map<String, Value>,
) -> Result<()> {
    transaction.check_whole()?;
    let node = transaction.find(model)?.id;
    transaction.change(|this| {
        GraphMut(this.tables_mut()?).set_metadata(node, &metadata)?;
        note_changed(this, node)
    })?;
    let metadata = transaction.graph()?.metadata(node)?;
    transaction.note(Operation::SetMetadata { id: node.to_string(), metadata });
    Ok(())
}

/// Replaces the user metadata of the edge of this kind from `child` to `parent`.
pub(in crate::store) fn set_edge_metadata(
    transaction: &mut Transaction,
    child: &ModelRef,
    kind: EdgeKind,
    parent: &ModelRef,
    metadata: Map<String, Value>,
) -> Result<()> {
    transaction.check_whole()?;
    let (child, parent) = (transaction.find(child)?.id, transaction.find(parent)?.id);
    transaction.shared.container.require_features(0, FEATURE_EDGE_METADATA);
    transaction.change(|this| {
        let mut graph = GraphMut(this.tables_mut()?);
        graph.set_edge_metadata(child, kind, parent, &metadata)?;
        note_changed(this, child)
    })?;
    let (id, parent, kind) = (child.to_string(), parent.to_string(), kind.name().to_owned());
    transaction.note(Operation::SetEdgeMetadata { id, parent, kind, metadata });
    Ok(())
}

/// Sets a tag on a model. A tag names one model; set again, it leaves the one before.
pub(in crate::store) fn set_tag(
    transaction: &mut Transaction,
    tag: &str,
    model: &ModelRef,
) -> Result<Node> {
    transaction.check_whole()?;
    let tag: ModelName = tag.parse()?;
    let node = transaction.find(model)?;
    let before = transaction.graph()?.tagged(&tag)?;
    if before.is_none() {
        tag.check_new()?;
    }
    transaction.shared.container.require_features(0, FEATURE_TAGS);
    transaction.change(|this| {
        GraphMut(this.tables_mut()?).set_tag(&tag, node.id)?;
        before.into_iter().chain([node.id]).try_for_each(|id| note_changed(this, id))
    })?;
    let id = Some(node.id.to_string());
    transaction.note(Operation::SetTag { tag: tag.to_string(), id });
    Ok(node)
}

/// Takes a tag away; the model that had it is returned.
pub(in crate::store) fn remove_tag(transaction: &mut Transaction, tag: &str) -> Result<Node> {
    transaction.check_whole()?;
    let tag: ModelName = tag.parse()?;
    if transaction.graph()?.tagged(&tag)?.is_none() {
        return Err(LineageError::NoSuchTag { tag: tag.to_string() }.into());
    }
    let node = transaction.change(|this| {
        let id = GraphMut(this.tables_mut()?).remove_tag(&tag)?;
        note_changed(this, id)?;
        Ok(this.graph()?.expect(id)?)
    })?;
    transaction.note(Operation::SetTag { tag: tag.to_string(), id: None });
    Ok(node)
}

/// Notes edges of other nodes that changed along, in their rows and for the change record.
pub(in crate::store) fn note_relinked(
    transaction: &mut Transaction,
    relinked: &Relinked,
) -> Result<()> {
    for child in &relinked.children {
        note_changed(transaction, *child)?;
        let parents = provenance(&transaction.graph()?.parents(*child)?);
        transaction.note(Operation::SetParents { id: child.to_string(), parents });
    }
    for next in &relinked.newer {
        note_changed(transaction, *next)?;
        let previous = transaction.graph()?.previous(*next)?.map(|id| id.to_string());
        transaction.note(Operation::SetPrevious { id: next.to_string(), previous });
    }
    Ok(())
}

/// Notes in a node's row that this commit changed its edges, name, tags or metadata.
pub(in crate::store) fn note_changed(transaction: &mut Transaction, id: NodeId) -> Result<()> {
    let mut node = transaction.graph()?.expect(id)?;
    node.row.revision = transaction.sequence;
    let row = node.row.encode()?;
    Ok(transaction.tables_mut()?.put(Table::Nodes, &id.0, &row)?)
}
