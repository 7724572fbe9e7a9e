//! The models that a run of tests reads.

use std::collections::{HashMap, HashSet};

use super::{Builtin, Test, TestError, What};
use crate::container::full_message;
use crate::lineage::{Node, NodeId};
use crate::store::{Model, Snapshot};

/// A model; why it cannot be read.
pub(super) type Opened = Result<Model, String>;

/// Models that tests are run on, each opened once, and the parents that built-in tests hold them
/// against.
pub(super) struct OpenModels {
    models: HashMap<NodeId, Opened>,
    parents: HashMap<NodeId, Vec<NodeId>>,
}

impl OpenModels {
    /// Opens the models of these tests, by the tests' places.
    pub(super) fn of(
        snapshot: &Snapshot,
        tests: &[Test],
        all: &[(usize, Node)],
    ) -> Result<Self, TestError> {
        let graph = snapshot.graph();
        let mut opened = OpenModels { models: HashMap::new(), parents: HashMap::new() };
        for (at, node) in all {
            opened.open(snapshot, node);
            if builtin(tests, *at).is_some_and(Builtin::needs_parents) {
                let ids: Vec<NodeId> = graph.parents(node.id)?.iter().map(|e| e.parent).collect();
                for id in &ids {
                    opened.open(snapshot, &graph.expect(*id)?);
                }
                opened.parents.insert(node.id, ids);
            }
        }
        Ok(opened)
    }

    fn open(&mut self, snapshot: &Snapshot, node: &Node) {
        let model = || snapshot.model_of(node.clone()).map_err(|error| full_message(&error));
        self.models.entry(node.id).or_insert_with(model);
    }

    /// A model that was opened.
    pub(super) fn model(&self, id: NodeId) -> Option<&Opened> {
        self.models.get(&id)
    }

    /// The parents of a model, in order, where a built-in test asks for them.
    pub(super) fn parents(&self, id: NodeId) -> Vec<Option<&Opened>> {
        let parents = self.parents.get(&id).into_iter().flatten();
        parents.map(|id| self.models.get(id)).collect()
    }

    /// The models whose tensors' summaries built-in tests ask for.
    pub(super) fn summarised(&self, tests: &[Test], all: &[(usize, Node)]) -> Vec<&Model> {
        let mut summed: HashSet<NodeId> = HashSet::new();
        for (at, node) in all {
            let Some(builtin) = builtin(tests, *at) else { continue };
            summed.insert(node.id);
            if builtin.needs_parents() {
                summed.extend(self.parents.get(&node.id).into_iter().flatten());
            }
        }
        summed.iter().filter_map(|id| self.models.get(id)?.as_ref().ok()).collect()
    }
}

fn builtin(tests: &[Test], at: usize) -> Option<Builtin> {
    match &tests.get(at)?.what {
        What::Builtin(builtin) => Some(*builtin),
        _ => None,
    }
}
