//! What a model of an update says of the update that made it.

use serde_json::{Value, json};

use super::UpdateError;
use crate::lineage::{Direction, Edges, Graph, ModelName, Node, NodeId};

/// The metadata key of the marker.
pub const UPDATE_KEY: &str = "mgit.update";

/// Says which update made a model, and in the place of which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpdateMarker {
    /// The update: equal for equal old and new models and the same way.
    pub plan: String,
    /// The model that it is the new version of.
    pub of: NodeId,
    /// The model that was replaced upstream.
    pub old: NodeId,
    /// The model that took its place.
    pub new: NodeId,
}

impl UpdateMarker {
    /// The mark of a node, if it has one that can be read.
    ///
    /// # Errors
    ///
    /// Those of the catalogue.
    pub fn read(graph: &Graph<'_>, node: NodeId) -> Result<Option<Self>, UpdateError> {
        Ok(graph.metadata(node)?.get(UPDATE_KEY).and_then(Self::from_json))
    }

    /// The value in the metadata.
    pub fn to_json(&self) -> Value {
        json!({
            "plan": self.plan,
            "of": self.of.to_string(),
            "old": self.old.to_string(),
            "new": self.new.to_string(),
        })
    }

    fn from_json(value: &Value) -> Option<Self> {
        let id = |key: &str| NodeId::from_hex(value.get(key)?.as_str()?);
        let plan = value.get("plan")?.as_str()?.to_owned();
        Some(UpdateMarker { plan, of: id("of")?, old: id("old")?, new: id("new")? })
    }

    /// The model that the update `plan` has made in the place of `of`, if it has. Cost: the marks of
    /// the versions of its name.
    ///
    /// # Errors
    ///
    /// Those of the catalogue.
    pub fn find(graph: &Graph<'_>, plan: &str, of: &Node) -> Result<Option<Node>, UpdateError> {
        let mut later: Vec<NodeId> = Vec::new();
        // By name, and by edges, should somebody have moved one to another name.
        if let Ok(name) = of.row.name.parse::<ModelName>() {
            later.extend(graph.versions(&name)?);
        }
        for node in graph.walk([of.id], Direction::Down, Edges::Version) {
            later.push(node?.id);
        }
        for id in later {
            let marker = Self::read(graph, id)?;
            if marker.is_some_and(|marker| marker.plan == plan && marker.of == of.id) {
                return Ok(Some(graph.expect(id)?));
            }
        }
        Ok(None)
    }
}
