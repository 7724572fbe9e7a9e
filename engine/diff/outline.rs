//! A model's layers in columns, since there can be a million: what comparing models needs of them.

use std::collections::HashMap;
use std::sync::Arc;

use crate::architecture::{Architecture, Attributes, LayerKind, Source};
use crate::store::{Model, Result, Tensor};

/// What layers of a model have in common: kind, sizes and settings.
pub(crate) type Kind = (LayerKind, Arc<Attributes>);

/// The layers of a model, each behind those whose output it reads.
#[derive(Clone, Debug)]
pub(crate) struct Outline {
    model: Model,
    source: Source,
    names: String,
    /// Where each name ends in `names`.
    ends: Vec<usize>,
    kinds: Vec<Kind>,
    /// Which of `kinds` each layer has.
    kind_of: Vec<u32>,
    /// Places in the model of all layers' tensors.
    tensors: Vec<u32>,
    /// Where each layer's tensors end in `tensors`.
    tensor_ends: Vec<u32>,
    edges: Vec<(usize, usize)>,
}

impl Outline {
    /// The layers of a model. Tensors that the model does not have are left out.
    ///
    /// # Errors
    ///
    /// Those of the catalogue.
    pub(crate) fn of(model: &Model) -> Result<Self> {
        let architecture = model.architecture()?;
        let mut outline = Outline {
            model: model.clone(),
            source: architecture.source(),
            names: String::new(),
            ends: Vec::new(),
            kinds: Vec::new(),
            kind_of: Vec::new(),
            tensors: Vec::new(),
            tensor_ends: Vec::new(),
            edges: Vec::new(),
        };
        let mut known: HashMap<Kind, u32> = HashMap::new();
        for layer in architecture.layers() {
            outline.names.push_str(&layer.name);
            outline.ends.push(outline.names.len());
            let kind = (layer.kind.clone(), Arc::clone(&layer.attributes));
            let next = outline.kinds.len() as u32;
            let at = *known.entry(kind.clone()).or_insert(next);
            if at == next {
                outline.kinds.push(kind);
            }
            outline.kind_of.push(at);
            let places = layer.tensors.iter().filter_map(|name| model.place_of(name));
            outline.tensors.extend(places.map(|place| place as u32));
            outline.tensor_ends.push(outline.tensors.len() as u32);
        }
        outline.edges = Architecture::into_edges(architecture);
        Ok(outline)
    }

    pub(crate) fn source(&self) -> Source {
        self.source
    }

    /// How many layers there are.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The name of a layer; empty for one that is not there.
    pub(crate) fn name(&self, layer: usize) -> &str {
        let start = layer.checked_sub(1).and_then(|before| self.ends.get(before)).copied();
        let range = self.ends.get(layer).map(|end| start.unwrap_or(0)..*end);
        range.and_then(|range| self.names.get(range)).unwrap_or_default()
    }

    /// The kind of a layer.
    pub(crate) fn kind(&self, layer: usize) -> Option<&Kind> {
        self.kinds.get(*self.kind_of.get(layer)? as usize)
    }

    /// All kinds, and which of them each layer has.
    pub(super) fn kinds(&self) -> (&[Kind], &[u32]) {
        (&self.kinds, &self.kind_of)
    }

    /// The places of a layer's tensors in the model.
    pub(crate) fn tensors(&self, layer: usize) -> &[u32] {
        let start = layer.checked_sub(1).and_then(|before| self.tensor_ends.get(before)).copied();
        let end = self.tensor_ends.get(layer).copied().unwrap_or(0) as usize;
        self.tensors.get(start.unwrap_or(0) as usize..end).unwrap_or_default()
    }

    /// The model's tensor at a place.
    pub(crate) fn tensor(&self, place: u32) -> Option<Tensor> {
        self.model.tensor_at(place as usize)
    }

    pub(crate) fn model(&self) -> &Model {
        &self.model
    }

    /// The edges, sorted.
    pub(crate) fn edges(&self) -> &[(usize, usize)] {
        &self.edges
    }
}
