//! Which models a test is for.

use regex_lite::Regex;
use serde_json::{Map, Value, json};

use super::TestError;
use crate::lineage::{Node, NodeId, glob_matches};

/// The longest pattern in bytes.
const PATTERN_LEN_MAX: usize = 1024;

/// Which models a test is for, those that come later among them.
#[derive(Clone, Debug)]
// Exhaustive on purpose: whoever matches one is to be told when there is another.
pub enum Selector {
    /// All.
    All,
    /// One node.
    Node(NodeId),
    /// Those of a kind.
    Kind(String),
    /// Those whose name, without the version, fits: `*` for any characters, `?` for one.
    Glob(String),
    /// Those in whose name, without the version, the expression is found.
    Regex(Box<Regex>),
}

impl Selector {
    /// Models whose name fits a glob.
    ///
    /// # Errors
    ///
    /// A pattern of more than 1,024 bytes.
    pub fn glob(pattern: &str) -> Result<Self, TestError> {
        match pattern.len() {
            0..=PATTERN_LEN_MAX => Ok(Selector::Glob(pattern.to_owned())),
            _ => Err(TestError::bad("", "the pattern is longer than 1,024 bytes")),
        }
    }

    /// Models in whose name a regular expression is found.
    ///
    /// # Errors
    ///
    /// A pattern of more than 1,024 bytes, or that is no regular expression.
    pub fn regex(pattern: &str) -> Result<Self, TestError> {
        if pattern.len() > PATTERN_LEN_MAX {
            return Err(TestError::bad("", "the pattern is longer than 1,024 bytes"));
        }
        let regex = Regex::new(pattern);
        let regex = regex.map_err(|error| TestError::bad(pattern, error.to_string()))?;
        Ok(Selector::Regex(Box::new(regex)))
    }

    /// Whether a test of this selector is for the node.
    pub fn matches(&self, node: &Node) -> bool {
        match self {
            Selector::All => true,
            Selector::Node(id) => *id == node.id,
            Selector::Kind(kind) => *kind == node.row.kind,
            Selector::Glob(glob) => glob_matches(glob, &node.row.name),
            Selector::Regex(regex) => regex.is_match(&node.row.name),
        }
    }

    /// As JSON: an object of one field.
    pub fn to_json(&self) -> Value {
        match self {
            Selector::All => json!({ "all": true }),
            Selector::Node(id) => json!({ "node": id.to_string() }),
            Selector::Kind(kind) => json!({ "kind": kind }),
            Selector::Glob(glob) => json!({ "glob": glob }),
            Selector::Regex(regex) => json!({ "regex": regex.as_str() }),
        }
    }

    pub(super) fn from_json(test: &str, object: &Map<String, Value>) -> Result<Self, TestError> {
        let text = |key: &str| object.get(key).and_then(Value::as_str);
        if object.get("all") == Some(&Value::Bool(true)) {
            return Ok(Selector::All);
        }
        if let Some(id) = text("node").and_then(NodeId::from_hex) {
            return Ok(Selector::Node(id));
        }
        match (text("kind"), text("glob"), text("regex")) {
            (Some(kind), ..) => Ok(Selector::Kind(kind.to_owned())),
            (_, Some(glob), _) => Self::glob(glob),
            (.., Some(regex)) => Self::regex(regex),
            _ => Err(TestError::bad(test, "it does not say which models it is for")),
        }
    }
}
