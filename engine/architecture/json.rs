//! Layers as JSON, to be given beside a model and to be kept with it.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Architecture, ArchitectureError, Layer, LayerKind, LayerSource};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    layers: Vec<LayerDocument>,
    edges: Vec<(String, String)>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LayerDocument {
    name: String,
    kind: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    attributes: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tensors: Vec<String>,
}

impl LayerDocument {
    fn of(layer: &Layer) -> Self {
        LayerDocument {
            name: layer.name.clone(),
            kind: layer.kind.to_string(),
            attributes: (*layer.attributes).clone(),
            tensors: layer.tensors.clone(),
        }
    }
}

impl Layer {
    /// The layer as it stands in the JSON of its [`Architecture`].
    pub fn to_json(&self) -> Value {
        serde_json::to_value(LayerDocument::of(self)).unwrap_or_default()
    }
}

impl Architecture {
    /// Reads layers from JSON:
    /// `{"layers": [{"name": "a", "kind": "linear", "attributes": {"out": "4"}, "tensors":
    /// ["a.weight"]}], "edges": [["a", "b"]]}`. Attributes and tensors may be missing.
    ///
    /// # Errors
    ///
    /// [`ArchitectureError`] tells which rule is broken.
    pub fn from_json(value: &Value) -> Result<Self, ArchitectureError> {
        let malformed =
            |error: serde_json::Error| ArchitectureError::Malformed { reason: error.to_string() };
        let document = Document::deserialize(value).map_err(malformed)?;
        let names = document.layers.iter().enumerate();
        let places: HashMap<&str, usize> =
            names.map(|(at, layer)| (layer.name.as_str(), at)).collect();
        let place = |name: &String| {
            let missing = || ArchitectureError::NoSuchLayer { layer: name.clone() };
            places.get(name.as_str()).copied().ok_or_else(missing)
        };
        let edges = document.edges.iter().map(|(from, to)| Ok((place(from)?, place(to)?)));
        let edges: Vec<(usize, usize)> = edges.collect::<Result<_, _>>()?;
        let source = match document.source.as_deref() {
            Some("graph") => LayerSource::Graph,
            _ => LayerSource::Given,
        };
        let layer = |layer: LayerDocument| Layer {
            name: layer.name,
            kind: LayerKind::from_name(&layer.kind),
            attributes: layer.attributes.into(),
            tensors: layer.tensors,
        };
        let layers = document.layers.into_iter().map(layer).collect();
        Architecture::new(source, layers, edges)
    }

    /// The layers as the JSON that [`from_json`](Self::from_json) reads.
    pub fn to_json(&self) -> Value {
        let name = |at: &usize| self.layers().get(*at).map(|layer| layer.name.clone());
        let document = Document {
            source: Some(self.source().to_string()),
            layers: self.layers().iter().map(LayerDocument::of).collect(),
            edges: self
                .edges()
                .iter()
                .filter_map(|(from, to)| Some((name(from)?, name(to)?)))
                .collect(),
        };
        serde_json::to_value(document).unwrap_or_default()
    }
}
