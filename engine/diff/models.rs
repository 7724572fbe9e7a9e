//! The difference of two models, layer by layer.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::AtomicU64;

use super::graph::LayerGraph;
use super::matching::{Mode, divergence, match_layers};
use super::tensors::{TensorDistance, distance};
use crate::architecture::{Architecture, Layer, LayerKind};
use crate::store::{Model, Result, Tensor};
use crate::tensor::{Dtype, Shape};

/// What happened to a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Change {
    /// Only the second model has it.
    Added,
    /// Only the first model has it.
    Removed,
    /// Both have it, with other tensors.
    Changed,
}

/// What a tensor is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorFacts {
    /// Its name.
    pub name: String,
    /// Its element type.
    pub dtype: Dtype,
    /// Its dimensions.
    pub shape: Shape,
    /// Its length in bytes.
    pub bytes: u64,
    /// Bytes that it takes in the store.
    pub stored_bytes: u64,
}

/// A tensor that is not the same in both.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorChange {
    /// The tensor of the first model.
    pub from: Option<TensorFacts>,
    /// The tensor of the second model.
    pub to: Option<TensorFacts>,
    /// How far apart they are, when both are there and can be compared.
    pub distance: Option<TensorDistance>,
}

/// A layer that is not the same in both.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerChange {
    /// What happened.
    pub change: Change,
    /// Its name in the first model.
    pub from: Option<String>,
    /// Its name in the second model.
    pub to: Option<String>,
    /// What it does.
    pub kind: LayerKind,
    /// The length of the change over that of the first model's tensors; 1 for layers that were
    /// added or removed.
    pub weight: f64,
    /// Its tensors that are not the same.
    pub tensors: Vec<TensorChange>,
}

/// The difference of two models.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelDiff {
    /// The divergence by kinds and attributes.
    pub structural: f64,
    /// The divergence by contents too.
    pub contextual: f64,
    /// Layers that are the same.
    pub unchanged: usize,
    /// Layers that are not: added, removed, changed, each group by weight.
    pub layers: Vec<LayerChange>,
    /// Edges that only the first model has, by the names of their layers.
    pub edges_removed: Vec<(String, String)>,
    /// Edges that only the second model has.
    pub edges_added: Vec<(String, String)>,
    /// Bytes of tensors that were read for it.
    pub bytes_read: u64,
}

fn facts(tensor: &Tensor) -> Result<TensorFacts> {
    Ok(TensorFacts {
        name: tensor.name().to_owned(),
        dtype: tensor.dtype().clone(),
        shape: tensor.shape().clone(),
        bytes: tensor.byte_len(),
        stored_bytes: tensor.stored_as()?.stored_len,
    })
}

struct Side<'m> {
    architecture: Architecture,
    tensors: HashMap<String, Tensor>,
    model: &'m Model,
}

impl<'m> Side<'m> {
    fn new(model: &'m Model) -> Result<Self> {
        let tensors = model.tensors().map(|tensor| (tensor.name().to_owned(), tensor)).collect();
        Ok(Side { architecture: model.architecture()?, tensors, model })
    }

    fn graph(&self) -> LayerGraph {
        LayerGraph::new(&self.architecture, &self.model.manifest().tensors)
    }

    fn layer(&self, at: usize) -> Option<&Layer> {
        self.architecture.layers().get(at)
    }

    fn of(&self, layer: &Layer) -> Vec<&Tensor> {
        layer.tensors.iter().filter_map(|name| self.tensors.get(name)).collect()
    }

    fn edge(&self, (from, to): (usize, usize)) -> (String, String) {
        let name = |at| self.layer(at).map(|layer| layer.name.clone()).unwrap_or_default();
        (name(from), name(to))
    }
}

/// The difference of two models, which may be of different stores.
///
/// Cost: the bytes of tensors that differ and have a counterpart of as many elements. Tensors of
/// equal content are not read.
///
/// # Errors
///
/// Those of the catalogue; a damaged record.
pub fn diff(a: &Model, b: &Model) -> Result<ModelDiff> {
    let (a, b) = (Side::new(a)?, Side::new(b)?);
    let (graph_a, graph_b) = (a.graph(), b.graph());
    let matching = match_layers(&graph_a, &graph_b, Mode::Structural);
    let read = AtomicU64::new(0);
    let mut layers = Vec::new();
    let mut unchanged = 0;
    for (left, right) in &matching.pairs {
        let Some((left, right)) = a.layer(*left).zip(b.layer(*right)) else { continue };
        match changed_layer(&a, &b, left, right, &read)? {
            Some(change) => layers.push(change),
            None => unchanged += 1,
        }
    }
    let paired_a: HashSet<usize> = matching.pairs.iter().map(|pair| pair.0).collect();
    let paired_b: HashSet<usize> = matching.pairs.iter().map(|pair| pair.1).collect();
    for (side, paired, change) in [(&a, paired_a, Change::Removed), (&b, paired_b, Change::Added)] {
        let all = side.architecture.layers().iter().enumerate();
        for (_, layer) in all.filter(|(at, _)| !paired.contains(at)) {
            layers.push(lonely_layer(side, layer, change)?);
        }
    }
    layers.sort_by(|a, b| {
        let size = |layer: &LayerChange| -> u64 {
            let facts = layer.tensors.iter().filter_map(|t| t.to.as_ref().or(t.from.as_ref()));
            facts.map(|facts| facts.bytes).sum()
        };
        let weight = b.weight.total_cmp(&a.weight);
        a.change.cmp(&b.change).then(weight).then_with(|| size(b).cmp(&size(a)))
    });
    let (deleted, added) = matching.changed_edges(&graph_a, &graph_b);
    Ok(ModelDiff {
        structural: divergence(&graph_a, &graph_b, Mode::Structural),
        contextual: divergence(&graph_a, &graph_b, Mode::Contextual),
        unchanged,
        layers,
        edges_removed: deleted.into_iter().map(|edge| a.edge(edge)).collect(),
        edges_added: added.into_iter().map(|edge| b.edge(edge)).collect(),
        bytes_read: read.into_inner(),
    })
}

fn lonely_layer(side: &Side<'_>, layer: &Layer, change: Change) -> Result<LayerChange> {
    let mut tensors = Vec::new();
    for tensor in side.of(layer) {
        let facts = Some(facts(tensor)?);
        let (from, to) = if change == Change::Removed { (facts, None) } else { (None, facts) };
        tensors.push(TensorChange { from, to, distance: None });
    }
    let name = Some(layer.name.clone());
    let (from, to) = if change == Change::Removed { (name, None) } else { (None, name) };
    Ok(LayerChange { change, from, to, kind: layer.kind.clone(), weight: 1.0, tensors })
}

/// The change of two layers that belong together; `None` when there is none. Tensors are paired
/// by their names in the layer, and else in order.
fn changed_layer(
    a: &Side<'_>,
    b: &Side<'_>,
    left: &Layer,
    right: &Layer,
    read: &AtomicU64,
) -> Result<Option<LayerChange>> {
    let (tensors_a, tensors_b) = (a.of(left), b.of(right));
    let last =
        |tensor: &Tensor| tensor.name().rsplit(['.', '/']).next().unwrap_or_default().to_owned();
    let mut tensors = Vec::new();
    let (mut difference, mut norm) = (0.0, 0.0);
    let mut rest_b: Vec<Option<&Tensor>> = tensors_b.iter().copied().map(Some).collect();
    for (at, tensor_a) in tensors_a.iter().enumerate() {
        let wanted = last(tensor_a);
        let named = rest_b.iter().position(|b| b.is_some_and(|b| last(b) == wanted));
        let place = named.or_else(|| rest_b.get(at).is_some_and(Option::is_some).then_some(at));
        let partner = place.and_then(|place| rest_b.get_mut(place)).and_then(Option::take);
        let Some(tensor_b) = partner else {
            let from = Some(facts(tensor_a)?);
            tensors.push(TensorChange { from, to: None, distance: None });
            continue;
        };
        if tensor_a.is_same(tensor_b) {
            continue;
        }
        let found = distance(tensor_a, tensor_b, read)?;
        if let Some(found) = found {
            difference += found.l2 * found.l2;
            norm += found.norm * found.norm;
        }
        let (from, to) = (Some(facts(tensor_a)?), Some(facts(tensor_b)?));
        tensors.push(TensorChange { from, to, distance: found });
    }
    for tensor_b in rest_b.into_iter().flatten() {
        let to = Some(facts(tensor_b)?);
        tensors.push(TensorChange { from: None, to, distance: None });
    }
    if tensors.is_empty() {
        return Ok(None);
    }
    let weight = if norm > 0.0 { (difference / norm).sqrt() } else { 1.0 };
    Ok(Some(LayerChange {
        change: Change::Changed,
        from: Some(left.name.clone()),
        to: Some(right.name.clone()),
        kind: right.kind.clone(),
        weight,
        tensors,
    }))
}
