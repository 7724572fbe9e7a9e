//! The new store of what is whole.

use std::collections::HashMap;

use super::graph::{SavedGraph, SavedNode};
use super::report::{LostModel, SalvageReport};
use super::scan::Found;
use super::survey::Survey;
use crate::catalog::{
    CatalogWrite, EdgeKind, NodeRow, ParentRow, RecordRow, Table, WriteTables, keys, meta,
};
use crate::container::TemporaryKind;
use crate::format::{FEATURE_DEPTH_GAPS, FEATURE_FOLDS, Manifest, Operation, ProvenanceEdge};
use crate::lineage::{NodeId, OnChildren};
use crate::store::{Store, Transaction};
use crate::tensor::ContentId;
use crate::upkeep::new_store::{NewStore, Replaced, Unnamed};
use crate::upkeep::{UpkeepError, VerifyDepth, VerifyReport, verify};

/// How often models that a check of the new store finds hurt are taken out of it.
const ROUNDS_MAX: usize = 3;

/// Builds, checks and names the new store.
pub(super) fn build(
    survey: Survey,
    replaced: Replaced,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<SalvageReport, UpkeepError> {
    let path = &replaced.path;
    let mode = survey.disk.mode().map_err(UpkeepError::target(path))?;
    let created_ms = survey.graph.created_ms;
    let mut identity = survey.identity;
    if has_depth_gaps(&survey) {
        identity.reader_flags |= FEATURE_DEPTH_GAPS;
    }
    let unnamed = Unnamed::create(path, TemporaryKind::Salvage, mode)?;
    let new = NewStore::create(unnamed.disk()?, unnamed.temporary_path(), identity, created_ms)?;
    let mut write = new.begin_write()?;
    put_records(&new, &mut write, &survey, progress)?;
    put_graph(&mut write, &survey)?;
    let last = survey.graph.last;
    write.put(Table::Meta, meta::COMMIT.as_bytes(), &last.to_le_bytes())?;
    write.commit()?;
    let made = new.open()?;
    // The history begins anew, with one commit that adds every model.
    let mut transaction = made.begin_write()?;
    transaction.note_operations(operations(&survey.graph));
    made.container().require_features(0, FEATURE_FOLDS);
    put_marks(&mut transaction, &survey.graph)?;
    transaction.commit_changes()?;
    let mut report = survey.report;
    take_out_hurt(&made, &mut report, progress)?;
    replaced.by(unnamed)?;
    Ok(report)
}

/// Puts back tags, tests, and the metadata of edges, of what was saved.
fn put_marks(transaction: &mut Transaction, graph: &SavedGraph) -> Result<(), UpkeepError> {
    for (tag, id) in &graph.tags {
        if graph.nodes.contains_key(id) {
            transaction.set_tag(tag, *id)?;
        }
    }
    for (name, definition) in &graph.tests {
        transaction.set_test(name, definition.clone())?;
    }
    for ((child, kind, parent), metadata) in &graph.edges {
        let edge = graph.nodes.get(child).is_some_and(|node| match kind {
            EdgeKind::Provenance => node.parents.iter().any(|(known, _)| known == parent),
            EdgeKind::Version => node.previous == Some(*parent),
        });
        if edge && graph.nodes.contains_key(parent) && !metadata.is_empty() {
            let (child, parent) = (child.to_string(), parent.to_string());
            transaction.set_edge_metadata(&child, *kind, &parent, metadata.clone())?;
        }
    }
    Ok(())
}

/// Whether a record that was chosen is deeper than it must be on the bases that were chosen.
fn has_depth_gaps(survey: &Survey) -> bool {
    let depth = |id| survey.tensors.get(&id).map_or(0, |base: &Found| base.header.depth);
    survey.tensors.values().any(|found| {
        let deepest = found.row().bases().map(depth).max();
        deepest.is_some_and(|deepest| found.header.depth > deepest.saturating_add(1))
    })
}

/// Checksums are no content ids: a record made to deceive is found only now.
fn take_out_hurt(
    made: &Store,
    report: &mut SalvageReport,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<(), UpkeepError> {
    let check = || -> Result<VerifyReport, UpkeepError> {
        Ok(verify(made, &made.snapshot()?, VerifyDepth::Full, progress)?)
    };
    for _ in 0..ROUNDS_MAX {
        let found = check()?;
        if found.is_clean() {
            return Ok(());
        }
        if found.hurt_models.is_empty() {
            return Err(UpkeepError::Damaged { findings: found.findings });
        }
        let mut transaction = made.begin_write()?;
        for model in &found.hurt_models {
            transaction.remove_model(model, OnChildren::Detach)?;
            let of_it = found.findings.iter().filter(|finding| finding.models.contains(model));
            report.lost.push(LostModel {
                model: model.clone(),
                reasons: of_it.map(|f| format!("{}: {}", f.subject, f.message)).collect(),
                ..LostModel::default()
            });
            report.saved.retain(|saved| saved != model);
            report.renamed.retain(|saved| saved != model);
        }
        transaction.commit()?;
    }
    let found = check()?;
    match found.is_clean() {
        true => Ok(()),
        false => Err(UpkeepError::Damaged { findings: found.findings }),
    }
}

/// Copies the records, in the order of the broken file, and counts who needs them.
fn put_records(
    new: &NewStore,
    write: &mut CatalogWrite,
    survey: &Survey,
    progress: &dyn Fn(u64),
) -> Result<(), UpkeepError> {
    let count = |counts: &mut HashMap<ContentId, u32>, id: ContentId| {
        let count = counts.entry(id).or_default();
        *count = count.saturating_add(1);
    };
    let (mut nodes, mut holders) = (HashMap::new(), HashMap::new());
    let mut dependents = HashMap::new();
    for node in survey.graph.nodes.values() {
        count(&mut nodes, node.manifest);
    }
    for (_, manifest) in survey.manifests.values() {
        manifest.contents().for_each(|tensor| count(&mut holders, tensor.content_id));
    }
    for found in survey.tensors.values() {
        found.row().bases().for_each(|base| count(&mut dependents, base));
    }
    let tensors = survey.tensors.iter().map(|(id, found)| (Table::Tensors, *id, found));
    let manifests = survey.manifests.iter().map(|(id, (found, _))| (Table::Manifests, *id, found));
    let mut all: Vec<(Table, ContentId, &Found)> = tensors.chain(manifests).collect();
    all.sort_by_key(|(.., found)| found.offset);
    for (table, id, found) in all {
        let counts = match table {
            Table::Manifests => (nodes.get(&id), None),
            _ => (holders.get(&id), dependents.get(&id)),
        };
        let row = RecordRow {
            holders: counts.0.copied().unwrap_or(0),
            dependents: counts.1.copied().unwrap_or(0),
            ..found.row()
        };
        let row = new.copy(&*survey.disk, &row, progress)?;
        write.put(table, id.as_bytes(), &row.encode())?;
    }
    Ok(())
}

fn put_graph(write: &mut CatalogWrite, survey: &Survey) -> Result<(), UpkeepError> {
    for (name, version) in &survey.graph.highest {
        write.put(Table::Names, name.as_bytes(), &version.to_le_bytes())?;
    }
    for (id, node) in &survey.graph.nodes {
        let manifest = survey.manifests.get(&node.manifest).map(|(_, manifest)| manifest);
        put_node(write, *id, node, manifest, survey.graph.last)?;
    }
    Ok(())
}

fn put_node(
    write: &mut CatalogWrite,
    id: NodeId,
    node: &SavedNode,
    manifest: Option<&Manifest>,
    last: u64,
) -> Result<(), UpkeepError> {
    let row = NodeRow {
        name: node.name.clone(),
        version: node.version,
        kind: node.kind.clone(),
        created_ms: node.created_ms,
        manifest: node.manifest,
        logical_bytes: node.logical_bytes,
        tensor_count: manifest.map_or(0, |manifest| manifest.tensors.len() as u32),
        revision: node.revision.clamp(1, last.max(1)),
    };
    let row = row.encode().map_err(crate::store::StoreError::from)?;
    write.put(Table::Nodes, &id.0, &row)?;
    write.put(Table::Versions, &keys::version(&node.name, node.version), &id.0)?;
    for (key, value) in &node.metadata {
        write.put(Table::Metadata, &keys::metadata(&id.0, key), value.to_string().as_bytes())?;
    }
    let provenance = node.parents.iter().map(|(parent, how)| (*parent, how.as_str()));
    for (kind, edges) in [
        (EdgeKind::Provenance, provenance.collect::<Vec<_>>()),
        (EdgeKind::Version, node.previous.map(|older| (older, "")).into_iter().collect()),
    ] {
        for ((parent, how), place) in edges.into_iter().zip(0u16..) {
            let row = ParentRow { parent: parent.0, how: how.to_owned() };
            let row = row.encode().map_err(crate::store::StoreError::from)?;
            write.put(Table::Parents, &keys::parent(&id.0, kind, place), &row)?;
            write.put(Table::Children, &keys::child(&parent.0, kind, &id.0), &[])?;
        }
    }
    Ok(())
}

/// What a commit that adds every node says, parents before children where nothing is lost.
fn operations(graph: &SavedGraph) -> Vec<Operation> {
    let mut nodes: Vec<(&NodeId, &SavedNode)> = graph.nodes.iter().collect();
    nodes.sort_by_key(|(id, node)| (node.created_ms, node.version, **id));
    let edge = |(parent, how): &(NodeId, String)| ProvenanceEdge {
        parent: parent.to_string(),
        how: how.clone(),
    };
    let add = |(id, node): (&NodeId, &SavedNode)| Operation::AddNode {
        id: id.to_string(),
        name: node.name.clone(),
        version: node.version,
        kind: node.kind.clone(),
        created_ms: node.created_ms,
        manifest: node.manifest.to_string(),
        logical_bytes: node.logical_bytes,
        previous: node.previous.map(|id| id.to_string()),
        parents: node.parents.iter().map(edge).collect(),
        metadata: node.metadata.clone(),
    };
    let mut operations: Vec<Operation> = nodes.iter().copied().map(add).collect();
    let mut known: HashMap<&str, u32> = HashMap::new();
    for (_, node) in nodes {
        let version = known.entry(&node.name).or_default();
        *version = node.version.max(*version);
    }
    // Of names whose last models are gone.
    let gone = graph.highest.iter().filter(|(name, highest)| {
        known.get(name.as_str()).is_none_or(|version| version < *highest)
    });
    operations.extend(gone.map(|(name, version)| Operation::ReserveVersions {
        name: name.clone(),
        version: *version,
    }));
    operations
}
