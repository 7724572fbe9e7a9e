//! The nodes of a snapshot with the names that their edges lead to.

use std::collections::HashMap;

use mgit::Snapshot;
use mgit::lineage::{Edge, LOSSY_KEY, Node, NodeId};
use mgit::model_tests::{CommandTrust, RunOptions, Runner, Status, Test};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::text::{count, timestamp};

/// Every node of a snapshot, by name and version.
#[derive(Debug)]
pub struct Family<'s> {
    snapshot: &'s Snapshot,
    nodes: Vec<Node>,
    places: HashMap<NodeId, usize>,
    tags: HashMap<NodeId, Vec<String>>,
    lossy: HashMap<NodeId, Value>,
    tests: HashMap<NodeId, TestState>,
}

/// What the registered tests are known to say of a node.
#[derive(Debug, Default)]
pub struct TestState {
    passed: usize,
    failed: Vec<String>,
}

impl TestState {
    /// Whether those of which something is known have passed; nothing where nothing is known.
    pub fn is_passed(&self) -> Option<bool> {
        match (self.passed, self.failed.as_slice()) {
            (0, []) => None,
            (_, failed) => Some(failed.is_empty()),
        }
    }

    /// In a few words; nothing where nothing is known.
    pub fn describe(&self) -> Option<String> {
        match (self.passed, self.failed.as_slice()) {
            (0, []) => None,
            (passed, []) => Some(count(passed as u64, "test") + " passed"),
            (_, failed) => Some(format!("fails {}", failed.join(", "))),
        }
    }
}

/// What is known of tests, by node. Runs nothing. Cost: nothing where no test is registered, else
/// a row a test and model, or a tensor's summary.
fn known_tests(snapshot: &Snapshot, nodes: &[Node]) -> Result<HashMap<NodeId, TestState>, Failure> {
    let mut states: HashMap<NodeId, TestState> = HashMap::new();
    let tests = Test::all(snapshot)?;
    if tests.is_empty() {
        return Ok(states);
    }
    let trust = CommandTrust::of_user();
    let options = RunOptions { known_only: true, trust, ..RunOptions::default() };
    for result in Runner::new(snapshot, options).run(None, &tests, nodes)?.results {
        let state = states.entry(result.node.id()).or_default();
        match result.status {
            Status::Passed => state.passed += 1,
            Status::Failed => state.failed.push(result.test),
            _ => {}
        }
    }
    Ok(states)
}

/// What a node was made from.
#[derive(Debug)]
pub struct Origin {
    /// The provenance edges, in order.
    pub parents: Vec<Edge>,
    /// The version before it.
    pub previous: Option<NodeId>,
}

impl<'s> Family<'s> {
    /// Reads every node.
    ///
    /// # Errors
    ///
    /// Those of the catalogue.
    pub fn read(snapshot: &'s Snapshot) -> Result<Self, Failure> {
        let nodes = snapshot.nodes()?;
        let places = nodes.iter().enumerate().map(|(place, node)| (node.id(), place)).collect();
        let mut tags: HashMap<NodeId, Vec<String>> = HashMap::new();
        for (tag, id) in snapshot.graph().tags()? {
            tags.entry(id).or_default().push(tag);
        }
        let mut lossy = HashMap::new();
        for node in &nodes {
            if let Some(mark) = snapshot.graph().own_metadata(node.id(), LOSSY_KEY)? {
                lossy.insert(node.id(), mark);
            }
        }
        let tests = known_tests(snapshot, &nodes)?;
        Ok(Family { snapshot, nodes, places, tags, lossy, tests })
    }

    /// What tests are known to say of a node.
    pub fn tests(&self, id: NodeId) -> Option<&TestState> {
        self.tests.get(&id)
    }

    /// The tags of a node.
    pub fn tags(&self, id: NodeId) -> &[String] {
        self.tags.get(&id).map_or(&[], Vec::as_slice)
    }

    /// How a node was made lossy, if it was.
    pub fn lossy(&self, id: NodeId) -> Option<&Value> {
        self.lossy.get(&id)
    }

    /// The nodes.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The place of a node among the nodes.
    pub fn place(&self, id: NodeId) -> Option<usize> {
        self.places.get(&id).copied()
    }

    /// `name@version` of a node; its id, should it be missing.
    pub fn full_name(&self, id: NodeId) -> String {
        let node = self.place(id).and_then(|place| self.nodes.get(place));
        node.map_or_else(|| id.to_string(), Node::full_name)
    }

    /// The edges of a node.
    ///
    /// # Errors
    ///
    /// Those of the catalogue.
    pub fn origin(&self, id: NodeId) -> Result<Origin, Failure> {
        let graph = self.snapshot.graph();
        Ok(Origin { parents: graph.parents(id)?, previous: graph.previous(id)? })
    }

    /// A node and its edges as JSON.
    pub fn json(&self, node: &Node, origin: &Origin) -> Value {
        let parent = |edge: &Edge| {
            json!({
                "model": self.full_name(edge.parent),
                "id": edge.parent.to_string(),
                "how": edge.how.name(),
            })
        };
        json!({
            "model": node.full_name(),
            "name": node.name(),
            "version": node.version(),
            "id": node.id().to_string(),
            "kind": if node.kind().is_empty() { Value::Null } else { json!(node.kind()) },
            "created": timestamp(node.created_ms()),
            "created_ms": node.created_ms(),
            "tensors": node.tensor_count(),
            "logical_bytes": node.logical_bytes(),
            "parents": origin.parents.iter().map(parent).collect::<Vec<_>>(),
            "previous": origin.previous.map(|id| self.full_name(id)),
            "tags": self.tags(node.id()),
            "lossy": self.lossy(node.id()),
            "tests": self.tests.get(&node.id()).map(|tests| json!({
                "passed": tests.passed,
                "failed": tests.failed,
            })),
        })
    }
}
