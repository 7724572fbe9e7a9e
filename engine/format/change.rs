//! The change record: what one commit did to the graph, so that a scan can rebuild it.

use serde::{Deserialize, Serialize};

use super::FormatError;

/// A provenance edge as a change record keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProvenanceEdge {
    /// Node id of the parent, 32 hex digits.
    pub parent: String,
    /// How the child was derived, such as `finetune`.
    pub how: String,
}

/// One thing that a commit did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Operation {
    /// A node was added.
    AddNode {
        /// Node id, 32 hex digits.
        id: String,
        /// Its name.
        name: String,
        /// Its version of that name.
        version: u32,
        /// The model kind; empty when none was given.
        kind: String,
        /// Creation time, milliseconds since 1970.
        created_ms: u64,
        /// Content id of its manifest, 64 hex digits.
        manifest: String,
        /// Sum of the imported files' lengths.
        logical_bytes: u64,
        /// Node id of the version before it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        previous: Option<String>,
        /// Provenance parents, in order.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        parents: Vec<ProvenanceEdge>,
        /// User metadata.
        #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
        metadata: serde_json::Map<String, serde_json::Value>,
    },
    /// A node was removed, with its edges and metadata.
    RemoveNode {
        /// Node id, 32 hex digits.
        id: String,
    },
    /// The provenance parents of a node were replaced.
    SetParents {
        /// Node id of the child, 32 hex digits.
        id: String,
        /// Its provenance parents from now on, in order.
        parents: Vec<ProvenanceEdge>,
    },
    /// The version before a node was replaced.
    SetPrevious {
        /// Node id of the newer node, 32 hex digits.
        id: String,
        /// Node id of the older one; none when it became the first.
        previous: Option<String>,
    },
    /// The user metadata of a node was replaced.
    SetMetadata {
        /// Node id, 32 hex digits.
        id: String,
        /// Its metadata from now on.
        metadata: serde_json::Map<String, serde_json::Value>,
    },
    /// Tensors were encoded anew; models and the graph stayed as they were.
    Recode {
        /// The profile, such as `dense`.
        profile: String,
        /// How many tensors are stored in another way now.
        tensors: u64,
    },
    /// A node was given another name, or another version of one. Its edges stay.
    RenameNode {
        /// Node id, 32 hex digits.
        id: String,
        /// Its name from now on.
        name: String,
        /// Its version of that name.
        version: u32,
    },
    /// The model kind of a node was replaced.
    SetKind {
        /// Node id, 32 hex digits.
        id: String,
        /// The kind; empty for none.
        kind: String,
    },
    /// A tag was set on a node, or taken away.
    SetTag {
        /// The tag.
        tag: String,
        /// Node id of the node that has it from now on; none when it is gone.
        id: Option<String>,
    },
    /// The user metadata of an edge was replaced.
    SetEdgeMetadata {
        /// Node id of the child, 32 hex digits.
        id: String,
        /// Node id of the parent, 32 hex digits.
        parent: String,
        /// The kind of edge: `provenance` or `version`.
        kind: String,
        /// Its metadata from now on.
        metadata: serde_json::Map<String, serde_json::Value>,
    },
    /// A node has another content from now on: it was made lossy.
    ReplaceContent {
        /// Node id, 32 hex digits.
        id: String,
        /// Content id of its manifest, 64 hex digits.
        manifest: String,
        /// Its metadata from now on.
        metadata: serde_json::Map<String, serde_json::Value>,
    },
    /// A test was registered, or taken away.
    SetTest {
        /// The test's name.
        name: String,
        /// What it is from now on; none when it is gone.
        definition: Option<serde_json::Map<String, serde_json::Value>>,
    },
    /// No version of a name up to this one is given to a model any more.
    ReserveVersions {
        /// The name.
        name: String,
        /// The highest version that was ever given.
        version: u32,
    },
    /// Something that this version does not know. It is passed over.
    #[serde(other)]
    Unknown,
}

/// The whole graph after a commit: what the change records up to it lead to, without them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fold {
    /// When the store was made, milliseconds since 1970.
    pub created_ms: u64,
    /// What makes the graph out of an empty one.
    pub operations: Vec<Operation>,
}

/// What one commit changed, in order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChangeRecord {
    /// Sequence number of the commit, from 1.
    pub sequence: u64,
    /// Time of the commit, milliseconds since 1970.
    pub time_ms: u64,
    /// Content id of the change record before it, 64 hex digits; empty for the first.
    pub previous: String,
    /// What was done.
    pub operations: Vec<Operation>,
    /// The graph as this commit left it, in some records: none before it need be there then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fold: Option<Fold>,
}

impl ChangeRecord {
    /// What whoever rebuilds the graph does with it: to an empty graph what a fold says, else to
    /// the graph of before what was done.
    pub fn to_replay(&self) -> &[Operation] {
        self.fold.as_ref().map_or(&self.operations, |fold| &fold.operations)
    }
}

impl ChangeRecord {
    /// The record's bytes: one JSON object.
    ///
    /// # Errors
    ///
    /// None in practice; JSON values that cannot be written would be one.
    pub fn encode(&self) -> Result<Vec<u8>, FormatError> {
        serde_json::to_vec(self)
            .map_err(|error| FormatError::new("change record", 0, "JSON values", error))
    }

    /// Reads a change record.
    ///
    /// # Errors
    ///
    /// Bytes that are not the JSON of a change record of this format version.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        serde_json::from_slice(bytes)
            .map_err(|error| FormatError::new("change record", error.column(), "JSON", error))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Found by the fuzz target `change_record`: without serde_json's `float_roundtrip` a number
    /// of the user's metadata came back as its neighbour.
    #[test]
    fn numbers_of_the_metadata_come_back_to_the_last_bit() {
        for number in [118_446_744_073_709_551_615.0, 1.184_467_440_737_095_5e20, 0.1, 5e-324f64] {
            let change = ChangeRecord {
                sequence: 1,
                time_ms: 1,
                previous: String::new(),
                operations: vec![Operation::AddNode {
                    id: "00".into(),
                    name: "base".into(),
                    version: 1,
                    kind: String::new(),
                    created_ms: 1,
                    manifest: "11".into(),
                    logical_bytes: 0,
                    previous: None,
                    parents: Vec::new(),
                    metadata: serde_json::Map::from_iter([("k".to_owned(), number.into())]),
                }],
                fold: None,
            };
            assert_eq!(ChangeRecord::decode(&change.encode().unwrap()), Ok(change));
        }
    }

    #[test]
    fn round_trip() {
        let change = ChangeRecord {
            sequence: 3,
            time_ms: 5,
            previous: String::new(),
            operations: vec![
                Operation::AddNode {
                    id: "00".into(),
                    name: "base".into(),
                    version: 1,
                    kind: String::new(),
                    created_ms: 5,
                    manifest: "11".into(),
                    logical_bytes: 9,
                    previous: None,
                    parents: vec![ProvenanceEdge { parent: "22".into(), how: "cast".into() }],
                    metadata: serde_json::Map::from_iter([("k".to_owned(), 1.into())]),
                },
                Operation::RemoveNode { id: "00".into() },
            ],
            fold: Some(Fold {
                created_ms: 4,
                operations: vec![Operation::ReserveVersions { name: "base".into(), version: 1 }],
            }),
        };
        let bytes = change.encode().unwrap();
        assert_eq!(ChangeRecord::decode(&bytes), Ok(change));
        assert!(ChangeRecord::decode(b"{}").is_err());
        let newer = br#"{"sequence":1,"time_ms":2,"previous":"","operations":[
            {"op":"paint","id":"00","colour":"blue"}],"mood":"good"}"#;
        let newer = ChangeRecord::decode(newer).unwrap();
        assert_eq!(newer.operations, [Operation::Unknown]);
    }
}
