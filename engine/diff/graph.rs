//! A model's layers with their hashes.

use std::collections::HashMap;

use crate::architecture::Architecture;
use crate::format::{ManifestTensor, TensorList};
use crate::store::{Model, Result};
use crate::tensor::ContentId;

/// A hash of a layer or an edge.
pub(super) type Hash = [u8; 32];

/// Layers, each behind those it reads from, with their hashes, and edges.
#[derive(Clone, Debug, Default)]
pub struct LayerGraph {
    structural: Vec<Hash>,
    contextual: Vec<Hash>,
    edges: Vec<(usize, usize)>,
}

impl LayerGraph {
    /// The layers of `architecture`, with the contents that `tensors` lists.
    pub fn new(architecture: &Architecture, tensors: &TensorList) -> Self {
        let by_name: HashMap<&str, ManifestTensor<'_>> =
            tensors.iter().map(|tensor| (tensor.name, tensor)).collect();
        let mut graph =
            LayerGraph { edges: architecture.edges().to_vec(), ..LayerGraph::default() };
        for layer in architecture.layers() {
            let mut hasher = blake3::Hasher::new();
            let mut text = |text: &str| {
                hasher.update(&(text.len() as u64).to_le_bytes());
                hasher.update(text.as_bytes());
            };
            text(layer.kind.name());
            layer.attributes.iter().for_each(|(key, value)| {
                text(key);
                text(value);
            });
            graph.structural.push(hasher.finalize().into());
            for tensor in &layer.tensors {
                let Some(tensor) = by_name.get(tensor.as_str()) else { continue };
                hasher.update(tensor.content_id.as_bytes());
                hasher.update(tensor.dtype.name().as_bytes());
                hasher.update(tensor.shape.to_string().as_bytes());
            }
            graph.contextual.push(hasher.finalize().into());
        }
        graph
    }

    /// The layers of a model of a store.
    ///
    /// # Errors
    ///
    /// Those of the catalogue.
    pub fn of(model: &Model) -> Result<Self> {
        Ok(Self::new(&model.architecture()?, &model.manifest().tensors))
    }

    /// A graph of layers that are told apart by numbers alone: kind, content. The edges lead
    /// forward. For tests and for tools that have no model.
    pub fn from_parts(layers: &[(u64, u64)], edges: &[(usize, usize)]) -> Self {
        let hash = |parts: &[u64]| -> Hash {
            let bytes: Vec<u8> = parts.iter().flat_map(|part| part.to_le_bytes()).collect();
            *ContentId::of(&bytes).as_bytes()
        };
        let mut edges: Vec<(usize, usize)> =
            edges.iter().copied().filter(|(from, to)| from < to && *to < layers.len()).collect();
        edges.sort_unstable();
        edges.dedup();
        LayerGraph {
            structural: layers.iter().map(|(kind, _)| hash(&[*kind])).collect(),
            contextual: layers.iter().map(|(kind, content)| hash(&[*kind, *content])).collect(),
            edges,
        }
    }

    /// How many layers there are.
    pub fn len(&self) -> usize {
        self.structural.len()
    }

    /// Whether there is no layer.
    pub fn is_empty(&self) -> bool {
        self.structural.is_empty()
    }

    /// The edges, sorted.
    pub fn edges(&self) -> &[(usize, usize)] {
        &self.edges
    }

    /// The hash of a layer's kind and attributes.
    pub(super) fn structural(&self, layer: usize) -> Hash {
        self.structural.get(layer).copied().unwrap_or_default()
    }

    /// The hash of that and of the layer's tensors.
    pub(super) fn contextual(&self, layer: usize) -> Hash {
        self.contextual.get(layer).copied().unwrap_or_default()
    }

    /// The hash of an edge: of its ends' structural hashes.
    pub(super) fn edge_hash(&self, (from, to): (usize, usize)) -> [Hash; 2] {
        [self.structural(from), self.structural(to)]
    }
}
