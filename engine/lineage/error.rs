use super::NodeId;
use crate::catalog::CatalogError;

/// What the lineage graph refuses.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LineageError {
    /// A text that is not a model's name.
    #[error("{name:?} is not a model name: {reason}")]
    InvalidName {
        /// The text.
        name: String,
        /// Which rule it breaks.
        reason: &'static str,
    },
    /// A derivation that is not one of the known ones.
    #[error(
        "{how:?} is not a derivation: use finetune, prune, quantise, cast, distil, merge, lora-merge, \
         adapter, average or other"
    )]
    InvalidHow {
        /// The text.
        how: String,
    },
    /// No model of this name, version or id.
    #[error("no model {asked:?} in the store{}", did_you_mean(.similar))]
    NoSuchModel {
        /// What was asked for.
        asked: String,
        /// Up to three models, `name@version`, and tags whose names are two slips away from it,
        /// contain it or are contained in it.
        similar: Vec<String>,
    },
    /// The model has provenance children.
    #[error("{model} has derived models ({})", .children.join(", "))]
    HasChildren {
        /// The model.
        model: String,
        /// Its children.
        children: Vec<String>,
    },
    /// The edge would make a model its own ancestor.
    #[error("{parent} descends from {child} and cannot be its parent")]
    Cycle {
        /// The child.
        child: String,
        /// The parent.
        parent: String,
    },
    /// The same parent twice.
    #[error("{parent} is named twice as a parent")]
    DuplicateParent {
        /// The parent.
        parent: String,
    },
    /// A name that something else has.
    #[error("{name:?} is the name of {by}: take another")]
    NameTaken {
        /// The name.
        name: String,
        /// What has it.
        by: &'static str,
    },
    /// No tag of this name.
    #[error("no tag {tag:?} in the store")]
    NoSuchTag {
        /// The tag.
        tag: String,
    },
    /// There is no such edge between two models.
    #[error("{child} has no such edge to {parent}")]
    NoSuchEdge {
        /// The child.
        child: String,
        /// The parent.
        parent: String,
    },
    /// Not a lower version of the same name.
    #[error("{older} is not an earlier version of the name of {newer}")]
    NotEarlier {
        /// The newer model.
        newer: String,
        /// What was given as the version before it.
        older: String,
    },
    /// The edges in the file lead in a circle.
    #[error("damaged graph: node {node} is its own ancestor, or below one that is")]
    Circle {
        /// A node on it, or below it.
        node: NodeId,
    },
    /// More parents or versions than the format has room for.
    #[error("too many {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
    },
    /// An edge leads to a node that is not there.
    #[error("damaged graph: an edge leads to node {node}, which is not there")]
    Dangling {
        /// The node.
        node: NodeId,
    },
    /// A piece of metadata that only the store itself writes.
    #[error("the metadata {key:?} is the store's own: it cannot be set")]
    OwnKey {
        /// Its key.
        key: String,
    },
    /// The operating system gave no random bits for a node's id.
    #[error("the operating system gave no random bits for an id")]
    NoRandomness,
    /// The catalogue below.
    #[error(transparent)]
    Catalog(CatalogError),
}

impl<E: Into<CatalogError>> From<E> for LineageError {
    fn from(error: E) -> Self {
        LineageError::Catalog(error.into())
    }
}

fn did_you_mean(similar: &[String]) -> String {
    match similar {
        [] => String::new(),
        similar => format!("; did you mean {}?", similar.join(" or ")),
    }
}
