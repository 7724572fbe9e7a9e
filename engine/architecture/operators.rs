//! Layers from a graph of operators, such as an ONNX file has.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{Architecture, ArchitectureError, Layer, LayerKind, LayerSource};

/// An operator: reads values by name, makes values by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Operator {
    /// Its own name; may be empty or stand for several.
    pub name: String,
    /// What it does.
    pub kind: String,
    /// Its settings.
    pub attributes: BTreeMap<String, String>,
    /// The values that it reads; empty names are left out.
    pub inputs: Vec<String>,
    /// The values that it makes.
    pub outputs: Vec<String>,
}

impl Architecture {
    /// One layer for each operator; a value that `is_tensor` is a tensor of the first layer that
    /// reads it, and every other value an edge from its maker to each of its readers.
    ///
    /// # Errors
    ///
    /// [`ArchitectureError`] tells which rule is broken.
    pub fn from_operators(
        operators: &[Operator],
        is_tensor: &dyn Fn(&str) -> bool,
    ) -> Result<Self, ArchitectureError> {
        let mut makers: HashMap<&str, usize> = HashMap::new();
        for (at, operator) in operators.iter().enumerate() {
            for output in operator.outputs.iter().filter(|output| !output.is_empty()) {
                makers.insert(output, at);
            }
        }
        let mut names: HashSet<String> = HashSet::new();
        let mut taken: HashSet<&str> = HashSet::new();
        let (mut layers, mut edges) = (Vec::new(), Vec::new());
        for (at, operator) in operators.iter().enumerate() {
            let mut name = operator.name.clone();
            if name.is_empty() || names.contains(&name) {
                name = format!("{}#{at}", if name.is_empty() { &operator.kind } else { &name });
            }
            names.insert(name.clone());
            let mut tensors = Vec::new();
            for input in &operator.inputs {
                if is_tensor(input) {
                    if taken.insert(input) {
                        tensors.push(input.clone());
                    }
                } else if let Some(maker) = makers.get(input.as_str()) {
                    edges.push((*maker, at));
                }
            }
            let kind = LayerKind::Named(operator.kind.clone());
            layers.push(Layer {
                name,
                kind,
                attributes: operator.attributes.clone().into(),
                tensors,
            });
        }
        Architecture::new(LayerSource::Graph, layers, edges)
    }
}
