use std::fmt;

use super::NodeId;
use crate::catalog::CatalogError;

/// What the lineage graph refuses.
#[derive(Debug)]
#[non_exhaustive]
pub enum LineageError {
    /// A text that is not a model's name.
    InvalidName {
        /// The text.
        name: String,
        /// Which rule it breaks.
        reason: &'static str,
    },
    /// A derivation that is not one of the known ones.
    InvalidHow {
        /// The text.
        how: String,
    },
    /// No model of this name, version or id.
    NoSuchModel {
        /// What was asked for.
        asked: String,
        /// The names most like it.
        similar: Vec<String>,
    },
    /// The model has provenance children.
    HasChildren {
        /// The model.
        model: String,
        /// Its children.
        children: Vec<String>,
    },
    /// The edge would make a model its own ancestor.
    Cycle {
        /// The child.
        child: String,
        /// The parent.
        parent: String,
    },
    /// The same parent twice.
    DuplicateParent {
        /// The parent.
        parent: String,
    },
    /// A name that something else has.
    NameTaken {
        /// The name.
        name: String,
        /// What has it.
        by: &'static str,
    },
    /// No tag of this name.
    NoSuchTag {
        /// The tag.
        tag: String,
    },
    /// There is no such edge between two models.
    NoSuchEdge {
        /// The child.
        child: String,
        /// The parent.
        parent: String,
    },
    /// Not a lower version of the same name.
    NotEarlier {
        /// The newer model.
        newer: String,
        /// What was given as the version before it.
        older: String,
    },
    /// The edges in the file lead in a circle.
    Circle {
        /// A node on it, or below it.
        node: NodeId,
    },
    /// More parents or versions than the format has room for.
    TooMany {
        /// Of what.
        what: &'static str,
    },
    /// An edge leads to a node that is not there.
    Dangling {
        /// The node.
        node: NodeId,
    },
    /// A piece of metadata that only the store itself writes.
    OwnKey {
        /// Its key.
        key: String,
    },
    /// The operating system gave no random bits for a node's id.
    NoRandomness,
    /// The catalogue below.
    Catalog(CatalogError),
}

impl<E: Into<CatalogError>> From<E> for LineageError {
    fn from(error: E) -> Self {
        LineageError::Catalog(error.into())
    }
}

impl fmt::Display for LineageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LineageError::InvalidName { name, reason } => {
                write!(f, "{name:?} is not a model name: {reason}")
            }
            LineageError::InvalidHow { how } => write!(
                f,
                "{how:?} is not a derivation: use finetune, prune, quantise, cast, distil, merge, \
                 lora-merge, average or other"
            ),
            LineageError::NoSuchModel { asked, similar } => {
                write!(f, "no model {asked:?} in the store")?;
                match similar.as_slice() {
                    [] => Ok(()),
                    similar => write!(f, "; did you mean {}?", similar.join(" or ")),
                }
            }
            LineageError::HasChildren { model, children } => write!(
                f,
                "{model} has derived models ({}): give them its parents (reparent), or none \
                 (detach)",
                children.join(", ")
            ),
            LineageError::Cycle { child, parent } => {
                write!(f, "{parent} descends from {child} and cannot be its parent")
            }
            LineageError::DuplicateParent { parent } => {
                write!(f, "{parent} is named twice as a parent")
            }
            LineageError::NameTaken { name, by } => {
                write!(f, "{name:?} is the name of {by}: take another")
            }
            LineageError::NoSuchTag { tag } => write!(f, "no tag {tag:?} in the store"),
            LineageError::NoSuchEdge { child, parent } => {
                write!(f, "{child} has no such edge to {parent}")
            }
            LineageError::NotEarlier { newer, older } => {
                write!(f, "{older} is not an earlier version of the name of {newer}")
            }
            LineageError::Circle { node } => {
                write!(f, "damaged graph: node {node} is its own ancestor, or below one that is")
            }
            LineageError::TooMany { what } => write!(f, "too many {what}"),
            LineageError::Dangling { node } => {
                write!(f, "damaged graph: an edge leads to node {node}, which is not there")
            }
            LineageError::OwnKey { key } => {
                write!(f, "the metadata {key:?} is the store's own: it cannot be set")
            }
            LineageError::NoRandomness => {
                write!(f, "the operating system gave no random bits for an id")
            }
            LineageError::Catalog(source) => source.fmt(f),
        }
    }
}

impl std::error::Error for LineageError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            LineageError::Catalog(source) => Some(source),
            _ => None,
        }
    }
}
