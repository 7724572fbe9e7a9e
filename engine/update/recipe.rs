//! How a model was made, kept with it, so that it can be made again.

use serde_json::{Map, Value, json};

use super::{Inputs, UpdateError};
use crate::command::Template;
use crate::lineage::{Graph, Node, NodeId};

/// The metadata key of a model's recipe. Keys that begin with `mgit.` are the engine's.
pub const RECIPE_KEY: &str = "mgit.recipe";

/// A parent as a recipe names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecipeParent {
    /// What it was to the function.
    pub role: String,
    /// Its node.
    pub id: NodeId,
}

/// How a model was made: the function and all it was given.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recipe {
    /// The function's name.
    pub function: String,
    /// The models it was derived from.
    pub parents: Vec<RecipeParent>,
    /// The version it replaced, if the function was given one.
    pub old: Option<NodeId>,
    /// What that was derived from.
    pub old_parents: Vec<NodeId>,
    /// Parameters by name.
    pub parameters: Map<String, Value>,
    /// The line of the command, with its placeholders; empty for a function in process.
    pub command: String,
    /// For whatever is random.
    pub seed: u64,
    /// Where it was made: program and system, by name. Told, and never looked at.
    pub environment: Map<String, Value>,
}

/// What of this machine is recorded: of a command also the hash of its line and of the files that
/// it names.
fn environment(command: &str) -> Map<String, Value> {
    let pairs = [
        ("mgit", env!("CARGO_PKG_VERSION")),
        ("os", std::env::consts::OS),
        ("arch", std::env::consts::ARCH),
    ];
    let fingerprint = command.parse::<Template>().ok().and_then(|it| it.fingerprint().ok());
    let fingerprint = fingerprint.map(|id| ("command".to_owned(), id.to_string().into()));
    let pairs = pairs.into_iter().map(|(key, value)| (key.to_owned(), value.into()));
    pairs.chain(fingerprint).collect()
}

impl Recipe {
    /// The recipe of what `function` makes of `inputs`, here.
    pub fn of(function: &str, inputs: &Inputs) -> Self {
        let parent = |input: &super::Input| RecipeParent {
            role: input.role.clone(),
            id: input.model.node().id,
        };
        Recipe {
            function: function.to_owned(),
            parents: inputs.parents.iter().map(parent).collect(),
            old: inputs.old.as_ref().map(|old| old.node().id),
            old_parents: inputs.old_parents.iter().map(|model| model.node().id).collect(),
            parameters: inputs.parameters.clone(),
            command: inputs.command.clone(),
            seed: inputs.seed,
            environment: environment(&inputs.command),
        }
    }

    /// The recipe of a node, if it has one.
    ///
    /// # Errors
    ///
    /// [`UpdateError::BadRecipe`]; those of the catalogue.
    pub fn read(graph: &Graph<'_>, node: &Node) -> Result<Option<Self>, UpdateError> {
        let metadata = graph.metadata(node.id)?;
        let Some(value) = metadata.get(RECIPE_KEY) else { return Ok(None) };
        let bad = |reason| UpdateError::BadRecipe { model: node.full_name(), reason };
        Self::from_json(value).map(Some).map_err(bad)
    }

    /// The value in the metadata.
    pub fn to_json(&self) -> Value {
        let id = |id: &NodeId| Value::from(id.to_string());
        let parent =
            |parent: &RecipeParent| json!({ "role": parent.role, "id": parent.id.to_string() });
        let parents: Vec<Value> = self.parents.iter().map(parent).collect();
        let mut value = json!({
            "function": self.function,
            "parents": parents,
            "parameters": self.parameters,
            "seed": self.seed,
            "environment": self.environment,
        });
        if let Some(map) = value.as_object_mut() {
            if let Some(old) = &self.old {
                map.insert("old".to_owned(), id(old));
            }
            if !self.old_parents.is_empty() {
                let ids: Vec<Value> = self.old_parents.iter().map(id).collect();
                map.insert("old_parents".to_owned(), ids.into());
            }
            if !self.command.is_empty() {
                map.insert("command".to_owned(), self.command.clone().into());
            }
        }
        value
    }

    /// Reads a value of the metadata.
    ///
    /// # Errors
    ///
    /// Says what is wrong.
    pub fn from_json(value: &Value) -> Result<Self, String> {
        let map = value.as_object().ok_or("it is not an object")?;
        let text = |value: &Value| value.as_str().map(str::to_owned).ok_or("a text is missing");
        let id = |value: &Value| {
            value.as_str().and_then(NodeId::from_hex).ok_or("a node id is not 32 hex digits")
        };
        let list = |key: &str| match map.get(key) {
            None => Ok([].as_slice()),
            Some(list) => list.as_array().map(Vec::as_slice).ok_or("a list is something else"),
        };
        let object = |key: &str| match map.get(key) {
            None => Ok(Map::new()),
            Some(object) => object.as_object().cloned().ok_or("an object is something else"),
        };
        let parent = |value: &Value| -> Result<RecipeParent, &'static str> {
            let role = text(value.get("role").unwrap_or(&Value::Null))?;
            Ok(RecipeParent { role, id: id(value.get("id").unwrap_or(&Value::Null))? })
        };
        Ok(Recipe {
            function: text(map.get("function").unwrap_or(&Value::Null))?,
            parents: list("parents")?.iter().map(parent).collect::<Result<_, _>>()?,
            old: map.get("old").map(id).transpose()?,
            old_parents: list("old_parents")?.iter().map(id).collect::<Result<_, _>>()?,
            parameters: object("parameters")?,
            command: map.get("command").map(text).transpose()?.unwrap_or_default(),
            seed: map.get("seed").and_then(Value::as_u64).ok_or("the seed is not a number")?,
            environment: object("environment")?,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_recipe_comes_back_from_its_json() {
        let id = |byte| NodeId([byte; 16]);
        let recipe = Recipe {
            function: "command".to_owned(),
            parents: vec![RecipeParent { role: "base".to_owned(), id: id(1) }],
            old: Some(id(2)),
            old_parents: vec![id(3)],
            parameters: json!({ "lr": 0.5 }).as_object().unwrap().clone(),
            command: "train {out}".to_owned(),
            seed: u64::MAX,
            environment: environment("sh {out}"),
        };
        let text = recipe.to_json().to_string();
        let value = serde_json::from_str(&text).unwrap();
        assert_eq!(Recipe::from_json(&value), Ok(recipe));
        let short = Recipe { function: "cast".to_owned(), ..Recipe::default() };
        assert_eq!(Recipe::from_json(&short.to_json()), Ok(short));
    }

    #[test]
    fn what_is_no_recipe_is_refused() {
        for bad in [
            json!(null),
            json!([]),
            json!({}),
            json!({ "function": "cast" }),
            json!({ "function": 1, "seed": 1 }),
            json!({ "function": "cast", "seed": -1 }),
            json!({ "function": "cast", "seed": 1, "parents": [{ "role": "a", "id": "x" }] }),
            json!({ "function": "cast", "seed": 1, "parents": {} }),
            json!({ "function": "cast", "seed": 1, "command": 1 }),
            json!({ "function": "cast", "seed": 1, "parameters": [] }),
            json!({ "function": "cast", "seed": 1, "old": "" }),
        ] {
            assert!(Recipe::from_json(&bad).is_err(), "{bad}");
        }
    }
}
