//! Making a graph that a store may have of one that has lost parts.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::graph::{History, SavedGraph, SavedNode};
use super::report::SalvageReport;
use super::scan::Found;
use crate::format::{HEADER_PREFIX_LEN, Manifest, Operation, Skeleton};
use crate::lineage::{ModelName, NodeId};
use crate::tensor::ContentId;
use crate::upkeep::cycles::on_or_below_cycles;

/// Gives names to the manifests that a commit wrote whose change record is lost: their models
/// would be lost for their names alone. Says which names.
pub(super) fn adopt_orphans(
    graph: &mut SavedGraph,
    history: &History,
    manifests: &BTreeMap<ContentId, (Found, Manifest)>,
) -> Vec<String> {
    // A manifest that a commit named has its name, or was removed with it.
    let named: HashSet<&str> = history
        .changes
        .iter()
        .flat_map(|change| change.to_replay())
        .filter_map(|operation| match operation {
            Operation::AddNode { manifest, .. } | Operation::ReplaceContent { manifest, .. } => {
                Some(manifest.as_str())
            }
            _ => None,
        })
        .collect();
    let mut names = Vec::new();
    for (id, (found, manifest)) in manifests {
        let sequence = found.header.sequence;
        if !history.has_lost(sequence) || named.contains(id.to_string().as_str()) {
            continue;
        }
        let Ok(node_id) = NodeId::random() else { continue };
        let header_len = |part: &crate::format::ManifestPart| match &part.skeleton {
            Skeleton::Header(header) => HEADER_PREFIX_LEN + header.len() as u64,
            Skeleton::Woven { .. } => 0,
        };
        let contents: u64 = manifest.contents().map(|content| content.byte_len).sum();
        let node = SavedNode {
            name: format!("salvaged/commit-{sequence}-{}", id.short()),
            version: 1,
            kind: String::new(),
            created_ms: graph.created_ms,
            manifest: *id,
            logical_bytes: manifest.parts.iter().map(header_len).sum::<u64>() + contents,
            revision: sequence,
            previous: None,
            parents: Vec::new(),
            metadata: serde_json::Map::new(),
        };
        names.push(node.full_name());
        graph.nodes.insert(node_id, node);
    }
    names
}

/// Takes the lost nodes out, and every edge that a store may not have: to what is not there, to
/// the same node twice, on a cycle, to a version that is not an earlier one. Says which are gone.
pub(super) fn mend_edges(
    graph: &mut SavedGraph,
    lost: &HashSet<NodeId>,
    report: &mut SalvageReport,
) {
    mend_names(graph, report);
    let before = graph.nodes.clone();
    graph.nodes.retain(|id, _| !lost.contains(id));
    let name_of = |id: &NodeId| before.get(id).map_or_else(|| id.to_string(), |n| n.full_name());
    let kept: HashMap<NodeId, (String, u32)> =
        graph.nodes.iter().map(|(id, node)| (*id, (node.name.clone(), node.version))).collect();
    for (id, node) in &mut graph.nodes {
        let mut seen = HashSet::new();
        let full_name = node.full_name();
        node.parents.retain(|(parent, how)| {
            let stays = kept.contains_key(parent) && parent != id && seen.insert(*parent);
            if !stays {
                report.lost_edges.push(format!("{full_name}: {how} of {}", name_of(parent)));
            }
            stays
        });
        // The next version before it that is left. Each step leads to a lower version, or ends.
        let (mut previous, mut version) = (node.previous, node.version);
        node.previous = None;
        while let Some(id) = previous {
            let Some(older) = before.get(&id) else { break };
            if older.name != node.name || older.version >= version {
                break;
            }
            if kept.contains_key(&id) {
                node.previous = Some(id);
                break;
            }
            (previous, version) = (older.previous, older.version);
        }
    }
    break_cycles(graph, report);
    report.lost_edges.sort();
}

/// Names that no store may have, and names that two nodes have, are replaced.
fn mend_names(graph: &mut SavedGraph, report: &mut SalvageReport) {
    let mut taken: HashSet<(String, u32)> = HashSet::new();
    for (id, node) in &mut graph.nodes {
        let legal = node.name.parse::<ModelName>().is_ok() && node.version > 0;
        let short_kind = node.kind.len() <= usize::from(u16::MAX);
        if !short_kind {
            node.kind.clear();
        }
        if legal && taken.insert((node.name.clone(), node.version)) {
            continue;
        }
        let old = node.full_name();
        (node.name, node.version) = (format!("salvaged/{id}"), 1);
        report.notes.push(format!("{old:?} cannot be a name here: it is {}", node.full_name()));
        taken.insert((node.name.clone(), node.version));
    }
    for node in graph.nodes.values() {
        let highest = graph.highest.entry(node.name.clone()).or_default();
        *highest = (*highest).max(node.version);
    }
}

/// Takes their parents from nodes that are on a cycle or below one.
fn break_cycles(graph: &mut SavedGraph, report: &mut SalvageReport) {
    let edges = graph.nodes.iter().flat_map(|(id, node)| {
        let parents = node.parents.iter().map(|(parent, _)| *parent).chain(node.previous);
        parents.map(|parent| (parent, *id))
    });
    for id in on_or_below_cycles(edges) {
        if let Some(node) = graph.nodes.get_mut(&id) {
            node.parents.clear();
            report.lost_edges.push(format!("{}: its parents, which are a cycle", node.full_name()));
        }
    }
}
