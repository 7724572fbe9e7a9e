//! A model's layers with their hashes.

use super::outline::{Kind, Outline};
use crate::store::{Model, Result};

/// A hash of a layer or an edge.
pub(super) type Hash = [u8; 32];

/// As much of a hash as tells a store's layers apart.
type ShortHash = [u8; 16];

/// Layers, each behind those it reads from, with their hashes, and edges.
#[derive(Clone, Debug, Default)]
pub struct LayerGraph {
    /// The structural hashes that there are.
    kinds: Vec<Hash>,
    /// Which of them each layer has.
    kind_of: Vec<u32>,
    contextual: Vec<ShortHash>,
    edges: Vec<(usize, usize)>,
}

fn short(hasher: &blake3::Hasher) -> ShortHash {
    hasher.finalize().as_bytes().first_chunk().copied().unwrap_or_default()
}

impl LayerGraph {
    /// The layers of an outline.
    pub(crate) fn of_outline(outline: &Outline) -> Self {
        let (kinds, kind_of) = outline.kinds();
        let hasher = |(kind, attributes): &Kind| {
            let mut hasher = blake3::Hasher::new();
            let mut text = |text: &str| {
                hasher.update(&(text.len() as u64).to_le_bytes());
                hasher.update(text.as_bytes());
            };
            text(kind.name());
            attributes.iter().for_each(|(key, value)| {
                text(key);
                text(value);
            });
            hasher
        };
        let hashers: Vec<blake3::Hasher> = kinds.iter().map(hasher).collect();
        let contextual = (0..outline.len()).map(|layer| {
            let hasher = kind_of.get(layer).and_then(|kind| hashers.get(*kind as usize));
            let mut hasher = hasher.cloned().unwrap_or_default();
            for place in outline.tensors(layer) {
                let tensors = &outline.model().manifest().tensors;
                let Some(tensor) = tensors.get(*place as usize) else { continue };
                hasher.update(tensor.content_id.as_bytes());
                hasher.update(tensor.dtype.name().as_bytes());
                hasher.update(tensor.shape.to_string().as_bytes());
            }
            short(&hasher)
        });
        LayerGraph {
            contextual: contextual.collect(),
            kinds: hashers.iter().map(|hasher| hasher.finalize().into()).collect(),
            kind_of: kind_of.to_vec(),
            edges: outline
                .edges()
                .iter()
                .map(|(from, to)| (*from as usize, *to as usize))
                .collect(),
        }
    }

    /// The layers of a model of a store.
    ///
    /// # Errors
    ///
    /// Those of the catalogue.
    pub fn of(model: &Model) -> Result<Self> {
        Ok(Self::of_outline(&Outline::of(model)?))
    }

    /// A graph of layers that are told apart by numbers alone: kind, content. The edges lead
    /// forward.
    #[cfg(test)]
    pub(super) fn from_parts(layers: &[(u64, u64)], edges: &[(usize, usize)]) -> Self {
        let hash = |parts: &[u64]| -> Hash {
            let bytes: Vec<u8> = parts.iter().flat_map(|part| part.to_le_bytes()).collect();
            *crate::tensor::ContentId::of(&bytes).as_bytes()
        };
        let mut edges: Vec<(usize, usize)> =
            edges.iter().copied().filter(|(from, to)| from < to && *to < layers.len()).collect();
        edges.sort_unstable();
        edges.dedup();
        let content = |(kind, content): &(u64, u64)| {
            hash(&[*kind, *content]).first_chunk().copied().unwrap_or_default()
        };
        LayerGraph {
            kinds: layers.iter().map(|(kind, _)| hash(&[*kind])).collect(),
            kind_of: (0..layers.len() as u32).collect(),
            contextual: layers.iter().map(content).collect(),
            edges,
        }
    }

    /// How many layers there are.
    pub fn len(&self) -> usize {
        self.kind_of.len()
    }

    /// Whether there is no layer.
    pub fn is_empty(&self) -> bool {
        self.kind_of.is_empty()
    }

    /// The edges, sorted.
    pub fn edges(&self) -> &[(usize, usize)] {
        &self.edges
    }

    /// The hash of a layer's kind and attributes.
    pub(super) fn structural(&self, layer: usize) -> Hash {
        let kind = self.kind_of.get(layer).and_then(|kind| self.kinds.get(*kind as usize));
        kind.copied().unwrap_or_default()
    }

    /// The hash of that and of the layer's tensors.
    pub(super) fn contextual(&self, layer: usize) -> ShortHash {
        self.contextual.get(layer).copied().unwrap_or_default()
    }

    /// The hash of an edge: of its ends' structural hashes.
    pub(super) fn edge_hash(&self, (from, to): (usize, usize)) -> [Hash; 2] {
        [self.structural(from), self.structural(to)]
    }
}
