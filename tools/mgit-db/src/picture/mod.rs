//! Pictures of a family: what is drawn, and in which formats.
//!
//! Invariant: every text from a store is escaped for the format it stands in; names, kinds and
//! metadata may be anybody's.

mod dot;
mod html;
mod layout;
mod mermaid;
mod order;
mod svg;

use std::collections::{HashMap, HashSet};

use mgit::catalog::EdgeKind;
use mgit::lineage::{Node, NodeId};
use mgit::{ContentId, Snapshot};
use serde_json::{Map, Value};

pub use dot::dot;
pub use html::html;
pub use mermaid::mermaid;
pub use svg::svg;

use crate::failure::Failure;
use crate::family::Family;
use crate::text::{count, shown, size};

/// By what a picture that was drawn here is known again: it stands near the head of each.
pub const MARK: &str = "drawn by mgit-db graph";

/// A family to be drawn.
#[derive(Debug)]
pub struct Picture {
    /// What it is called.
    pub title: String,
    /// The models, by name and version.
    pub nodes: Vec<DrawnNode>,
    /// What leads from model to model.
    pub edges: Vec<DrawnEdge>,
}

/// A model.
#[derive(Debug)]
pub struct DrawnNode {
    /// Its node.
    pub node: Node,
    /// `name@version`.
    pub name: String,
    /// Its tags.
    pub tags: Vec<String>,
    /// Whether it is one of the ends of a name that has diverged.
    pub diverged: bool,
    /// Bytes that tensors take which no older model has; `None` when its list of tensors cannot
    /// be read.
    pub own_bytes: Option<u64>,
    /// Its tensors.
    pub tensors: Vec<DrawnTensor>,
}

/// A tensor of a model.
#[derive(Clone, Debug)]
pub struct DrawnTensor {
    /// Its name.
    pub name: String,
    /// Type and shape.
    pub form: String,
    /// The identity of its bytes.
    pub content: ContentId,
    /// Its length.
    pub bytes: u64,
    /// What it takes in the store.
    pub stored: u64,
    /// The encodings of its chunks.
    pub encoding: String,
    /// The depth of its delta chain.
    pub depth: u8,
}

/// An edge.
#[derive(Debug)]
pub struct DrawnEdge {
    /// The place of the parent, or of the older version.
    pub from: usize,
    /// The place of the child.
    pub to: usize,
    /// Its kind.
    pub kind: EdgeKind,
    /// How the child was derived; empty for a version edge.
    pub how: &'static str,
    /// Its metadata.
    pub metadata: Map<String, Value>,
}

/// A node's tags; whether its name has diverged, whether it is lossy, and what tests say of it
/// is shown as one.
fn marks(family: &Family<'_>, id: NodeId, diverged: bool) -> Vec<String> {
    let diverged = diverged.then(|| DIVERGED.to_owned());
    let lossy = family.lossy(id).map(|_| "lossy".to_owned());
    let own = family.tags(id).iter().cloned();
    diverged.into_iter().chain(own).chain(lossy).chain(family.tested(id)).collect()
}

/// The mark of an end of a name that has diverged.
pub const DIVERGED: &str = "diverged";

impl Picture {
    /// Reads what is to be drawn, without values. Cost: every manifest, and a row a content.
    ///
    /// # Errors
    ///
    /// Those of the catalogue.
    pub fn read(snapshot: &Snapshot, title: String) -> Result<Self, Failure> {
        let family = Family::read(snapshot)?;
        let graph = snapshot.graph();
        let mut picture = Picture { title, nodes: Vec::new(), edges: Vec::new() };
        let diverged: HashSet<NodeId> =
            graph.diverged()?.into_iter().flat_map(|(_, ends)| ends).collect();
        for (to, node) in family.nodes().iter().enumerate() {
            let origin = family.origin(node.id())?;
            let mut add = |parent: NodeId, kind, how| -> Result<(), Failure> {
                if let Some(from) = family.place(parent) {
                    let metadata = graph.edge_metadata(node.id(), kind, parent)?;
                    picture.edges.push(DrawnEdge { from, to, kind, how, metadata });
                }
                Ok(())
            };
            for edge in &origin.parents {
                add(edge.parent, EdgeKind::Provenance, edge.how.name())?;
            }
            if let Some(previous) = origin.previous {
                add(previous, EdgeKind::Version, "")?;
            }
            let tensors = tensors(snapshot, node);
            picture.nodes.push(DrawnNode {
                node: node.clone(),
                name: node.full_name(),
                tags: marks(&family, node.id(), diverged.contains(&node.id())),
                diverged: diverged.contains(&node.id()),
                own_bytes: tensors.as_ref().map(|_| 0),
                tensors: tensors.unwrap_or_default(),
            });
        }
        picture.count_own_bytes();
        Ok(picture)
    }

    /// A content belongs to the oldest model that has it.
    fn count_own_bytes(&mut self) {
        let mut by_age: Vec<usize> = (0..self.nodes.len()).collect();
        by_age.sort_by_key(|place| (self.nodes[*place].node.created_ms(), *place));
        let mut known: HashSet<ContentId> = HashSet::new();
        for place in by_age {
            let node = &mut self.nodes[place];
            let new = node.tensors.iter().filter(|tensor| known.insert(tensor.content));
            let bytes: u64 = new.map(|tensor| tensor.stored).sum();
            node.own_bytes = node.own_bytes.map(|_| bytes);
        }
    }
}

/// The tensors of a model; `None` when they cannot be read: a picture of a damaged store is one
/// of what is left.
fn tensors(snapshot: &Snapshot, node: &Node) -> Option<Vec<DrawnTensor>> {
    let model = snapshot.model_of(node.clone()).ok()?;
    let mut known: HashMap<ContentId, (u64, String, u8)> = HashMap::new();
    let mut tensors = Vec::with_capacity(model.manifest().tensors.len());
    for tensor in model.tensors() {
        let content = tensor.content_id();
        let (stored, encoding, depth) = match known.get(&content) {
            Some(stored) => stored.clone(),
            None => {
                let stored = tensor.stored_as().ok()?;
                let facts = (stored.stored_len, stored.encoding_names(), stored.depth);
                known.entry(content).or_insert(facts).clone()
            }
        };
        tensors.push(DrawnTensor {
            name: tensor.name().to_owned(),
            form: format!("{} {}", tensor.dtype(), tensor.shape()),
            content,
            bytes: tensor.byte_len(),
            stored,
            encoding,
            depth,
        });
    }
    Some(tensors)
}

impl DrawnNode {
    /// Such as `bert, 13 tensors`.
    pub fn summary(&self) -> String {
        let row = &self.node;
        let tensors = count(row.tensor_count().into(), "tensor");
        match row.kind() {
            "" => tensors,
            kind => format!("{}, {tensors}", shown(kind)),
        }
    }

    /// Such as `1.89 MiB, stored in 68.77 KiB`.
    pub fn sizes(&self) -> String {
        let plain = size(self.node.logical_bytes());
        match self.own_bytes {
            Some(own) => format!("{plain}, stored in {}", size(own)),
            None => format!("{plain}, its tensors cannot be read"),
        }
    }
}

/// Text for XML and HTML, in elements and in quoted attributes. Control characters, which XML
/// forbids, and marks that turn the direction of text are shown as escapes.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in shown(text).chars() {
        match character {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // Neither of them is a character to XML.
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            other => out.push(other),
        }
    }
    out
}

/// Text of at most `max` characters: the middle goes, since names differ at their ends.
pub fn shortened(text: &str, max: usize) -> String {
    let count = text.chars().count();
    if count <= max {
        return text.to_owned();
    }
    let tail = max / 2;
    let head: String = text.chars().take(max - tail - 1).collect();
    let tail: String = text.chars().skip(count - tail).collect();
    format!("{head}\u{2026}{tail}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_is_only_text() {
        assert_eq!(escaped("<a b='\"'>&\0"), "&lt;a b=&#39;&quot;&#39;&gt;&amp;\\u{0}");
        assert_eq!(escaped("\u{202e}x\u{ffff}"), "\\u{202e}x\u{fffd}");
    }

    #[test]
    fn long_names_lose_their_middle() {
        assert_eq!(shortened("abcdefghij@12", 9), "abcd\u{2026}j@12");
        assert_eq!(shortened("abc", 3), "abc");
    }
}
