//! Where the bytes of a store are: by model, by family, by encoding.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::each_row;
use crate::catalog::{RecordRow, Table};
use crate::codec::Encoding;
use crate::codec::formula::Formula;
use crate::lineage::{Node, NodeId};
use crate::store::{Result, Snapshot};
use crate::tensor::ContentId;

/// What a model takes. Lengths are in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelUsage {
    /// The model.
    pub node: Node,
    /// The node from which its first parents descend: the head of its family.
    pub family: NodeId,
    /// Its records: manifest and tensors, without the bases of deltas.
    pub stored_bytes: u64,
    /// Of these, the records that no other model names.
    pub own_bytes: u64,
    /// What removing it alone would free: its own records on which no delta stands, and bases that
    /// only they needed.
    pub freed_bytes: u64,
}

/// What the tensors that are encoded in one way take.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EncodingUsage {
    /// Distinct tensors.
    pub tensors: u64,
    /// Bytes of their contents.
    pub content_bytes: u64,
    /// Bytes of their records.
    pub stored_bytes: u64,
}

/// Where the bytes of a store are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Every model, by name and version.
    pub models: Vec<ModelUsage>,
    /// For the head of every family, the bytes of the records that its members name, each once.
    pub families: Vec<(Node, u64)>,
    /// The ways in which tensors are encoded, by name.
    pub encodings: BTreeMap<String, EncodingUsage>,
    /// Tensors that no model names and that stay because deltas stand on them.
    pub hidden_bytes: u64,
}

type Rows = HashMap<ContentId, RecordRow>;

fn rows(snapshot: &Snapshot, table: Table) -> Result<Rows> {
    let mut rows = Rows::new();
    each_row(snapshot.tables(), table, &mut |key, value| {
        if let (Ok(id), Ok(row)) = (<[u8; 32]>::try_from(key), RecordRow::decode(value)) {
            rows.insert(ContentId::from_bytes(id), row);
        }
    })?;
    Ok(rows)
}

/// How a tensor's chunks are stored, in a word.
fn encoding_of(row: &RecordRow) -> String {
    let used = |encoding: &Encoding| row.encodings >> encoding.code() & 1 == 1;
    let names: Vec<_> = Encoding::ALL.iter().filter(|e| used(e)).map(|e| e.name()).collect();
    let names = if names.is_empty() { "raw".to_owned() } else { names.join("+") };
    match Formula::name_of(row.formula) {
        Some(formula) => format!("{formula}:{names}"),
        None => names,
    }
}

/// Measures where the bytes are. Cost: every row, and the manifest of every model; no tensor.
///
/// # Errors
///
/// Those of the catalogue; a damaged manifest.
pub fn usage(snapshot: &Snapshot) -> Result<Usage> {
    let tensors = rows(snapshot, Table::Tensors)?;
    let manifests = rows(snapshot, Table::Manifests)?;
    let graph = snapshot.graph();
    let nodes = snapshot.nodes()?;
    let mut heads: HashMap<NodeId, NodeId> = HashMap::new();
    let mut members: HashMap<NodeId, HashSet<ContentId>> = HashMap::new();
    let mut models = Vec::new();
    for node in nodes {
        let mut head = node.id;
        // First parents lead to a node without any: there is no cycle.
        while let Some(parent) = graph.parents(head)?.first() {
            head = parent.parent;
            if let Some(known) = heads.get(&head) {
                head = *known;
                break;
            }
        }
        heads.insert(node.id, head);
        let model = snapshot.model_of(node.clone())?;
        let mut named: HashMap<ContentId, u32> = HashMap::new();
        for tensor in &model.manifest().tensors {
            *named.entry(tensor.content_id).or_default() += 1;
        }
        members.entry(head).or_default().extend(named.keys());
        let len = |id: &ContentId| tensors.get(id).map_or(0, |row| row.len);
        let manifest = manifests.get(&node.row.manifest);
        let mut stored_bytes = manifest.map_or(0, |row| row.len);
        stored_bytes += named.keys().map(len).sum::<u64>();
        let (mut own_bytes, mut freed_bytes) = (0, 0);
        if let Some(manifest) = manifest.filter(|row| row.holders == 1) {
            let own = |(id, count): &(&ContentId, &u32)| {
                tensors.get(id).is_some_and(|row| row.holders == **count)
            };
            let own: Vec<ContentId> = named.iter().filter(own).map(|(id, _)| *id).collect();
            own_bytes = manifest.len + own.iter().map(len).sum::<u64>();
            freed_bytes = manifest.len + freed(&tensors, own);
        }
        models.push(ModelUsage { node, family: head, stored_bytes, own_bytes, freed_bytes });
    }
    let mut families = Vec::new();
    for model in models.iter().filter(|model| model.family == model.node.id) {
        let ids = members.get(&model.family).into_iter().flatten();
        let bytes = ids.filter_map(|id| tensors.get(id)).map(|row| row.len).sum();
        families.push((model.node.clone(), bytes));
    }
    let mut encodings: BTreeMap<String, EncodingUsage> = BTreeMap::new();
    let mut hidden_bytes = 0;
    for row in tensors.values() {
        let usage = encodings.entry(encoding_of(row)).or_default();
        usage.tensors += 1;
        usage.content_bytes += row.raw_len;
        usage.stored_bytes += row.len;
        hidden_bytes += if row.holders == 0 { row.len } else { 0 };
    }
    Ok(Usage { models, families, encodings, hidden_bytes })
}

/// What goes when these tensors lose their last model: those on which nothing stands, and the
/// hidden bases that only they needed.
fn freed(tensors: &Rows, mut gone: Vec<ContentId>) -> u64 {
    let mut freed = 0;
    let mut lost: HashMap<ContentId, u32> = HashMap::new();
    let own: HashSet<ContentId> = gone.iter().copied().collect();
    while let Some(id) = gone.pop() {
        let Some(row) = tensors.get(&id) else { continue };
        let held = row.holders > 0 && !own.contains(&id);
        if held || row.dependents > lost.get(&id).copied().unwrap_or(0) {
            continue;
        }
        freed += row.len;
        for base in row.bases() {
            *lost.entry(base).or_default() += 1;
            gone.push(base);
        }
    }
    freed
}
