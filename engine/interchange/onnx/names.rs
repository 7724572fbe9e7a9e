//! Names of tensors and values across the graphs of a model.
//!
//! A name is unique in its graph at most; a graph in another reads that one's values too. In a
//! model every tensor has one name.

use std::collections::{HashMap, HashSet};

use super::graph::{Graph, Graphs};
use crate::architecture::Operator;
use crate::interchange::file_layout::UniqueNames;

/// What the names of each graph stand for.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// For each graph: the tensors in the order of the graph, by their names in the model.
    pub(super) tensors: Vec<Vec<String>>,
    /// For each graph: what a name in it stands for.
    scopes: Vec<Scope>,
}

#[derive(Debug, Default)]
struct Scope {
    parent: Option<usize>,
    /// Tensors whose name in the model is another.
    renamed: HashMap<String, String>,
    /// Tensors whose name is the same, and values that it makes or is given.
    own: HashSet<String>,
    /// Values that it makes or is given.
    values: HashSet<String>,
}

impl Names {
    /// Names the tensors: as they are, where the name is not taken yet; else by the path of
    /// operators to their graph.
    pub(super) fn new(graphs: &[Graph]) -> Self {
        let mut names = Names::default();
        let mut taken = UniqueNames::default();
        for graph in graphs {
            let mut scope = Scope { parent: graph.parent, ..Scope::default() };
            let mut list = Vec::with_capacity(graph.tensors.len());
            for tensor in &graph.tensors {
                let local = tensor.name.clone();
                let name = match taken.holds(&local) && !graph.path.is_empty() {
                    true => taken.take(format!("{}/{local}", graph.path)),
                    false => taken.take(local.clone()),
                };
                // The first of a graph's tensors is the one that its operators mean.
                if name == local {
                    scope.own.insert(local);
                } else if !scope.own.contains(&local) {
                    scope.renamed.entry(local).or_insert_with(|| name.clone());
                }
                list.push(name);
            }
            let made = graph.operators.iter().flat_map(|node| &node.operator.outputs);
            for value in made.chain(&graph.inputs).filter(|value| !value.is_empty()) {
                if !scope.own.contains(value) && !scope.renamed.contains_key(value) {
                    scope.values.insert(value.clone());
                }
            }
            names.tensors.push(list);
            names.scopes.push(scope);
        }
        names
    }

    /// What `name` in graph `place` stands for: a tensor's name, or a value's, which no tensor
    /// has; `None` for what no graph makes.
    fn resolve(&self, mut place: usize, name: &str) -> Option<String> {
        loop {
            let scope = self.scopes.get(place)?;
            if let Some(renamed) = scope.renamed.get(name) {
                return Some(renamed.clone());
            }
            if scope.own.contains(name) {
                return Some(name.to_owned());
            }
            if scope.values.contains(name) {
                return Some(value_name(place, name));
            }
            place = scope.parent?;
        }
    }

    /// The steps of the main graph, with those of its branches and bodies, by names that are
    /// unique in the model. An operator reads what the graphs that it holds give.
    pub(super) fn operators(&self, graphs: Graphs) -> Vec<Operator> {
        let main: Vec<bool> = (0..graphs.graphs.len()).map(|at| graphs.is_of_main(at)).collect();
        let gives: Vec<Vec<String>> = graphs
            .graphs
            .iter()
            .enumerate()
            .map(|(at, graph)| {
                graph.outputs.iter().filter_map(|output| self.resolve(at, output)).collect()
            })
            .collect();
        let mut operators = Vec::new();
        for (at, graph) in graphs.graphs.into_iter().enumerate() {
            if !main.get(at).copied().unwrap_or(false) {
                continue;
            }
            for node in graph.operators {
                let mut operator = node.operator;
                let outputs = operator.outputs.iter().map(|output| match output.as_str() {
                    "" => String::new(),
                    output => value_name(at, output),
                });
                operator.outputs = outputs.collect();
                let inputs = operator.inputs.iter().filter_map(|input| self.resolve(at, input));
                let held = node.graphs.iter().filter_map(|graph| gives.get(*graph)).flatten();
                let made: HashSet<&String> = operator.outputs.iter().collect();
                let all = inputs.chain(held.cloned());
                operator.inputs = all.filter(|name| !made.contains(name)).collect();
                if !graph.path.is_empty() && !operator.name.is_empty() {
                    operator.name = format!("{}/{}", graph.path, operator.name);
                }
                operators.push(operator);
            }
        }
        operators
    }
}

/// A name for a value of a graph that is unique in the model, and that no usual tensor has.
fn value_name(place: usize, name: &str) -> String {
    format!("{place}\0{name}")
}
