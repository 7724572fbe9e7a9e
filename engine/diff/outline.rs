//! A model's layers in columns, since there can be a million: what comparing models needs of them.

use std::collections::HashMap;
use std::sync::Arc;

use crate::architecture::{Architecture, Attributes, LayerKind, LayerSource};
use crate::store::{Model, Result, Tensor};

/// What layers of a model have in common: kind, sizes and settings.
pub(crate) type Kind = (LayerKind, Arc<Attributes>);

/// The layers of a model, each behind those whose output it reads.
#[derive(Clone, Debug)]
pub(crate) struct Outline {
    model: Model,
    source: LayerSource,
    columns: Arc<Columns>,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Columns {
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
    edges: Vec<(u32, u32)>,
}

impl Outline {
    /// The layers of a model. Tensors that the model does not have are left out.
    ///
    /// # Errors
    ///
    /// Those of the catalogue.
    pub(crate) fn of(model: &Model) -> Result<Self> {
        let architecture = model.architecture()?;
        let mut outline = Columns::default();
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
        let source = architecture.source();
        let edges = Architecture::into_edges(architecture);
        outline.edges = edges.into_iter().map(|(from, to)| (from as u32, to as u32)).collect();
        outline.names.shrink_to_fit();
        outline.ends.shrink_to_fit();
        outline.kind_of.shrink_to_fit();
        outline.tensors.shrink_to_fit();
        outline.tensor_ends.shrink_to_fit();
        outline.edges.shrink_to_fit();
        Ok(Outline { model: model.clone(), source, columns: Arc::new(outline) })
    }

    /// Uses the columns of another model's layers where they are the same.
    pub(crate) fn like(mut self, other: &Outline) -> Self {
        if self.columns == other.columns {
            self.columns = Arc::clone(&other.columns);
        }
        self
    }

    pub(crate) fn source(&self) -> LayerSource {
        self.source
    }

    /// How many layers there are.
    pub(crate) fn len(&self) -> usize {
        self.columns.ends.len()
    }

    /// The name of a layer; empty for one that is not there.
    pub(crate) fn name(&self, layer: usize) -> &str {
        let start = layer.checked_sub(1).and_then(|before| self.columns.ends.get(before)).copied();
        let range = self.columns.ends.get(layer).map(|end| start.unwrap_or(0)..*end);
        range.and_then(|range| self.columns.names.get(range)).unwrap_or_default()
    }

    /// The kind of a layer.
    pub(crate) fn kind(&self, layer: usize) -> Option<&Kind> {
        self.columns.kinds.get(*self.columns.kind_of.get(layer)? as usize)
    }

    /// All kinds, and which of them each layer has.
    pub(super) fn kinds(&self) -> (&[Kind], &[u32]) {
        (&self.columns.kinds, &self.columns.kind_of)
    }

    /// The places of a layer's tensors in the model.
    pub(crate) fn tensors(&self, layer: usize) -> &[u32] {
        let start =
            layer.checked_sub(1).and_then(|before| self.columns.tensor_ends.get(before)).copied();
        let end = self.columns.tensor_ends.get(layer).copied().unwrap_or(0) as usize;
        self.columns.tensors.get(start.unwrap_or(0) as usize..end).unwrap_or_default()
    }

    /// The model's tensor at a place.
    pub(crate) fn tensor(&self, place: u32) -> Option<Tensor> {
        self.model.tensor_at(place as usize)
    }

    pub(crate) fn model(&self) -> &Model {
        &self.model
    }

    /// The edges, sorted.
    pub(crate) fn edges(&self) -> &[(u32, u32)] {
        &self.columns.edges
    }
}
