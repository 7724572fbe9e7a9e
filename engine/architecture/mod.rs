//! What a model is made of: its layers, and which reads whose output.
//!
//! A model's layers come from the best source there is: given by whoever adds it, taken from a
//! graph of operators such as ONNX has, or else [inferred](Architecture::infer) from the names
//! and shapes of its tensors.
//!
//! Invariants of this room:
//!
//! - An [`Architecture`] has no cycle, names each layer once, and lists every layer behind those
//!   whose output it reads.
//! - It knows names, types and shapes, and no bytes.
//!
//! ```
//! use mgit::architecture::LayerKind;
//! use mgit::{NewModel, NewTensor, Store};
//! # fn main() -> mgit::Result<()> {
//! # let folder = tempfile::tempdir()?;
//! # let store = Store::create(folder.path().join("family.mgit"))?;
//! # let mut transaction = store.begin_write()?;
//! let weight = NewTensor::from_vec("head.weight", [2, 3], vec![0f32; 6]);
//! let bias = NewTensor::from_vec("head.bias", [2], vec![0f32; 2]);
//! transaction.add_model(NewModel::new("base").tensor(weight).tensor(bias))?;
//! # transaction.commit()?;
//! let layers = store.snapshot()?.model("base")?.architecture()?;
//! assert_eq!(layers.layers()[0].name, "head");
//! assert_eq!(layers.layers()[0].kind, LayerKind::Head);
//! # Ok(())
//! # }
//! ```
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod infer;
mod json;
mod kinds;
mod modules;
mod operators;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

pub use kinds::LayerKind;
pub use operators::Operator;

use crate::tensor::{Dtype, Shape, first_duplicate};

/// The metadata key under which a model's layers are kept when they were given.
pub const LAYERS_KEY: &str = "mgit.layers";
/// The most layers, and the most edges, of an architecture that is given.
pub const LAYERS_MAX: usize = 1 << 20;

/// A tensor as the architecture sees it.
#[derive(Clone, Copy, Debug)]
pub struct TensorInfo<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its element type.
    pub dtype: &'a Dtype,
    /// Its dimensions.
    pub shape: &'a Shape,
}

/// Where an architecture comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LayerSource {
    /// Given with the model.
    Given,
    /// A graph of operators.
    Graph,
    /// Inferred from names and shapes.
    Inferred,
}

impl fmt::Display for LayerSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LayerSource::Given => "given",
            LayerSource::Graph => "graph",
            LayerSource::Inferred => "inferred",
        })
    }
}

/// Sizes and settings by name.
pub type Attributes = BTreeMap<String, String>;

/// A layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Its name, unique in the model: the path of its module.
    pub name: String,
    /// What it does.
    pub kind: LayerKind,
    /// Its sizes and settings, by name. For layers with tensors, their shapes are among them.
    /// Layers of one kind share them.
    pub attributes: Arc<Attributes>,
    /// The names of its tensors.
    pub tensors: Vec<String>,
}

/// The layers of a model and their connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Architecture {
    source: LayerSource,
    layers: Vec<Layer>,
    edges: Vec<(usize, usize)>,
}

/// Why layers and edges make no architecture.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ArchitectureError {
    /// Two layers have one name.
    #[error("two layers are called {layer:?}: give each a name of its own")]
    DuplicateLayer {
        /// The name.
        layer: String,
    },
    /// An edge leads to or from a layer that is not there.
    #[error("an edge names the layer {layer:?}, which is not there")]
    NoSuchLayer {
        /// What the edge names.
        layer: String,
    },
    /// Layers read each other's output in a circle.
    #[error("the layer {layer:?} reads its own output, through others")]
    Cycle {
        /// A layer of the circle.
        layer: String,
    },
    /// A tensor belongs to two layers.
    #[error("the tensor {tensor:?} is listed by two layers")]
    SharedTensor {
        /// The tensor.
        tensor: String,
    },
    /// More layers or edges than [`LAYERS_MAX`].
    #[error("{found} layers or edges: at most {LAYERS_MAX} are taken")]
    TooMany {
        /// How many.
        found: usize,
    },
    /// The text is not a description of layers.
    #[error("not a description of layers: {reason}")]
    Malformed {
        /// What is wrong.
        reason: String,
    },
}

impl Architecture {
    /// An architecture of these layers; an edge leads from a layer to one that reads its output.
    /// The layers are put into topological order, as near as may be to the order given.
    ///
    /// # Errors
    ///
    /// [`ArchitectureError`] tells which rule is broken.
    pub fn new(
        source: LayerSource,
        layers: Vec<Layer>,
        edges: impl IntoIterator<Item = (usize, usize)>,
    ) -> Result<Self, ArchitectureError> {
        let edges: Vec<(usize, usize)> = edges.into_iter().collect();
        Self::try_new(source, layers, edges).map_err(|(error, _)| error)
    }

    /// As [`new`](Self::new); what breaks a rule comes back.
    fn try_new(
        source: LayerSource,
        layers: Vec<Layer>,
        mut edges: Vec<(usize, usize)>,
    ) -> Result<Self, (ArchitectureError, Vec<Layer>)> {
        edges.sort_unstable();
        edges.dedup();
        let order = match Self::order(&layers, &edges) {
            Ok(order) => order,
            Err(error) => return Err((error, layers)),
        };
        if order.iter().enumerate().all(|(new, old)| new == *old) {
            return Ok(Architecture { source, layers, edges });
        }
        let mut place = vec![0; layers.len()];
        for (new, old) in order.iter().enumerate() {
            if let Some(place) = place.get_mut(*old) {
                *place = new;
            }
        }
        let at = |old: usize| place.get(old).copied().unwrap_or_default();
        let mut layers: Vec<Option<Layer>> = layers.into_iter().map(Some).collect();
        let take = |old: &usize| layers.get_mut(*old).and_then(Option::take);
        let layers = order.iter().filter_map(take).collect();
        let mut edges: Vec<_> = edges.iter().map(|(from, to)| (at(*from), at(*to))).collect();
        edges.sort_unstable();
        Ok(Architecture { source, layers, edges })
    }

    /// A topological order of layers that break no rule; edges are sorted.
    fn order(layers: &[Layer], edges: &[(usize, usize)]) -> Result<Vec<usize>, ArchitectureError> {
        if let Some(layer) = first_duplicate(layers.iter().map(|layer| layer.name.as_str())) {
            return Err(ArchitectureError::DuplicateLayer { layer: layer.to_owned() });
        }
        let tensors = layers.iter().flat_map(|layer| &layer.tensors).map(String::as_str);
        if let Some(tensor) = first_duplicate(tensors) {
            return Err(ArchitectureError::SharedTensor { tensor: tensor.to_owned() });
        }
        if let Some(found) = [layers.len(), edges.len()].into_iter().find(|n| *n > LAYERS_MAX) {
            return Err(ArchitectureError::TooMany { found });
        }
        let missing = edges.iter().find(|(from, to)| *from.max(to) >= layers.len());
        if let Some((from, to)) = missing {
            return Err(ArchitectureError::NoSuchLayer { layer: from.max(to).to_string() });
        }
        let order = topological(layers.len(), edges);
        if order.len() < layers.len() {
            let placed: HashSet<usize> = order.into_iter().collect();
            let left = layers.iter().enumerate().find(|(at, _)| !placed.contains(at));
            let layer = left.map(|(_, layer)| layer.name.clone()).unwrap_or_default();
            return Err(ArchitectureError::Cycle { layer });
        }
        Ok(order)
    }

    /// Where it comes from.
    pub fn source(&self) -> LayerSource {
        self.source
    }

    /// The layers, each behind those whose output it reads.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// The edges, as places of layers: from whose output, to who reads it. Sorted.
    pub fn edges(&self) -> &[(usize, usize)] {
        &self.edges
    }

    /// The edges alone.
    pub(crate) fn into_edges(self) -> Vec<(usize, usize)> {
        self.edges
    }

    /// For every layer the places of those whose output it reads. Cost: linear.
    pub fn all_inputs(&self) -> Vec<Vec<usize>> {
        let mut inputs = vec![Vec::new(); self.layers.len()];
        for (from, to) in &self.edges {
            if let Some(inputs) = inputs.get_mut(*to) {
                inputs.push(*from);
            }
        }
        inputs
    }

    /// Gives tensors that no layer lists a layer of their own each, without edges: so that nothing
    /// of a model is overlooked, whatever was given.
    pub fn complete(mut self, tensors: &[TensorInfo<'_>]) -> Self {
        let present: HashMap<&str, &TensorInfo<'_>> =
            tensors.iter().map(|tensor| (tensor.name, tensor)).collect();
        let mut owned: HashSet<String> = HashSet::new();
        let mut names: HashSet<String> = HashSet::new();
        for layer in &mut self.layers {
            layer.tensors.retain(|name| present.contains_key(name.as_str()));
            owned.extend(layer.tensors.iter().cloned());
            names.insert(layer.name.clone());
            for name in &layer.tensors {
                let Some(tensor) = present.get(name.as_str()) else { continue };
                let short = name.rsplit(['.', '/']).next().unwrap_or(name).to_owned();
                if layer.attributes.contains_key(&short) {
                    continue;
                }
                Arc::make_mut(&mut layer.attributes)
                    .entry(short)
                    .or_insert_with(|| tensor.shape.to_string());
            }
        }
        for tensor in tensors.iter().filter(|tensor| !owned.contains(tensor.name)) {
            let mut name = tensor.name.to_owned();
            while !names.insert(name.clone()) {
                name.push('\'');
            }
            let size = tensor.shape.to_string();
            self.layers.push(Layer {
                name,
                kind: LayerKind::Other,
                attributes: Arc::new(Attributes::from([("value".to_owned(), size)])),
                tensors: vec![tensor.name.to_owned()],
            });
        }
        self
    }
}

/// Kahn's order: of the layers that may come next the one that was given first. Layers of a cycle
/// are missing.
fn topological(count: usize, edges: &[(usize, usize)]) -> Vec<usize> {
    let mut waiting = vec![0usize; count];
    for (_, to) in edges {
        if let Some(waiting) = waiting.get_mut(*to) {
            *waiting += 1;
        }
    }
    let ready = waiting.iter().enumerate().filter(|(_, count)| **count == 0);
    let mut ready: std::collections::BTreeSet<usize> = ready.map(|(at, _)| at).collect();
    let mut order = Vec::with_capacity(count);
    while let Some(at) = ready.pop_first() {
        order.push(at);
        // Sorted by source: the edges of one layer stand together.
        let first = edges.partition_point(|(from, _)| *from < at);
        let own = edges.iter().skip(first).take_while(|(from, _)| *from == at);
        for (_, to) in own {
            if let Some(waiting) = waiting.get_mut(*to) {
                *waiting -= 1;
                if *waiting == 0 {
                    ready.insert(*to);
                }
            }
        }
    }
    order
}
