//! Where the bytes of a store are: by model, by family, by encoding.

use std::collections::{BTreeMap, HashMap};

use crate::catalog::{RecordRow, RecordRows, Table};
use crate::codec::Encoding;
use crate::codec::formula::Formula;
use crate::format::{Manifest, ManifestTensor};
use crate::lineage::{Node, NodeId};
use crate::store::{Result, Snapshot};

/// What a model takes. Lengths are in bytes.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
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
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct EncodingUsage {
    /// Distinct tensors.
    pub tensors: u64,
    /// Bytes of their contents.
    pub content_bytes: u64,
    /// Bytes of their records.
    pub stored_bytes: u64,
}

/// Where the bytes of a store are.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
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
    let tensors = RecordRows::read(snapshot.tables(), Table::Tensors)?;
    let manifests = RecordRows::read(snapshot.tables(), Table::Manifests)?;
    let graph = snapshot.graph();
    let nodes = snapshot.nodes()?;
    let mut heads: HashMap<NodeId, NodeId> = HashMap::new();
    // Of every family a bit a row.
    let mut members: HashMap<NodeId, Members> = HashMap::new();
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
        let named = places(&tensors, model.manifest());
        drop(model);
        let family = members.entry(head).or_insert_with(|| Members::of(tensors.len()));
        named.iter().for_each(|(place, _)| family.insert(*place as usize));
        let len = |(place, _): &(u32, u32)| tensors.record_len(*place as usize);
        let manifest = manifests.get(&node.row.manifest);
        let mut stored_bytes = manifest.as_ref().map_or(0, |row| row.len);
        stored_bytes += named.iter().map(len).sum::<u64>();
        let (mut own_bytes, mut freed_bytes) = (0, 0);
        if let Some(manifest) = manifest.filter(|row| row.holders == 1) {
            let mut own = named;
            own.retain(|(place, count)| tensors.holders(*place as usize) == *count);
            own_bytes = manifest.len + own.iter().map(len).sum::<u64>();
            let own = own.into_iter().map(|(place, _)| place).collect();
            freed_bytes = manifest.len + freed(&tensors, own);
        }
        models.push(ModelUsage { node, family: head, stored_bytes, own_bytes, freed_bytes });
    }
    let mut families = Vec::new();
    for model in models.iter().filter(|model| model.family == model.node.id) {
        let family = members.get(&model.family);
        let places = (0..tensors.len()).filter(|at| family.is_some_and(|it| it.contains(*at)));
        let bytes = places.map(|place| tensors.record_len(place)).sum();
        families.push((model.node.clone(), bytes));
    }
    let mut encodings: BTreeMap<String, EncodingUsage> = BTreeMap::new();
    let mut hidden_bytes = 0;
    for (_, row) in tensors.iter() {
        let usage = encodings.entry(encoding_of(&row)).or_default();
        usage.tensors += 1;
        usage.content_bytes += row.raw_len;
        usage.stored_bytes += row.len;
        hidden_bytes += if row.holders == 0 { row.len } else { 0 };
    }
    Ok(Usage { models, families, encodings, hidden_bytes })
}

/// The places of the tensors that a manifest names, each once, and how often it names each.
fn places(tensors: &RecordRows, manifest: &Manifest) -> Vec<(u32, u32)> {
    let place = |tensor: ManifestTensor<'_>| tensors.place(&tensor.content_id);
    let mut places: Vec<u32> =
        manifest.contents().filter_map(place).map(|place| place as u32).collect();
    places.sort_unstable();
    let counted = places.chunk_by(|a, b| a == b);
    counted.filter_map(|same| Some((*same.first()?, same.len() as u32))).collect()
}

/// A set of places, a bit each.
struct Members(Vec<u64>);

impl Members {
    fn of(len: usize) -> Self {
        Members(vec![0; len.div_ceil(64)])
    }

    fn insert(&mut self, place: usize) {
        self.0.get_mut(place / 64).into_iter().for_each(|word| *word |= 1 << (place % 64));
    }

    fn contains(&self, place: usize) -> bool {
        self.0.get(place / 64).is_some_and(|word| word >> (place % 64) & 1 == 1)
    }
}

/// What goes when the tensors at these places lose their last model: those on which nothing
/// stands, and the hidden bases that only they needed.
fn freed(tensors: &RecordRows, mut gone: Vec<u32>) -> u64 {
    let mut freed = 0;
    let mut lost: HashMap<usize, u32> = HashMap::new();
    let mut own = Members::of(tensors.len());
    gone.iter().for_each(|place| own.insert(*place as usize));
    while let Some(place) = gone.pop() {
        let place = place as usize;
        let held = tensors.holders(place) > 0 && !own.contains(place);
        if held || tensors.dependents(place) > lost.get(&place).copied().unwrap_or(0) {
            continue;
        }
        freed += tensors.record_len(place);
        for base in tensors.bases_at(place).filter_map(|base| tensors.place(&base)) {
            *lost.entry(base).or_default() += 1;
            gone.push(base as u32);
        }
    }
    freed
}
