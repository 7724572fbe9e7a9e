//! Pictures of a family: what is drawn, and in which formats.
//!
//! Invariant: every text from a store is escaped for the format it stands in; names, kinds and
//! metadata may be anybody's.

mod dot;
mod html;
mod layout;
mod mermaid;
mod order;
mod page;
mod svg;

use std::collections::{HashMap, HashSet};

use mgit::catalog::EdgeKind;
use mgit::lineage::{Node, NodeId};
use mgit::{ContentId, Snapshot};
use serde_json::{Map, Value};

pub use dot::dot;
pub use html::html;
pub use mermaid::mermaid;
#[cfg(feature = "serve")]
pub use page::{PROGRAM, STYLE, controls, edge_documents, embedded, keys, node_document, stage};
#[cfg(feature = "serve")]
pub use svg::Drawing;
pub use svg::svg;

use crate::failure::Failure;
use crate::family::{Family, TestState};
use crate::kept::Kept;
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
    /// Bytes that tensors take which no older model has.
    pub own: Own,
    /// Whether all tests of which something is known passed.
    pub is_passed: Option<bool>,
    /// Its tensors, where the picture has them.
    pub tensors: Vec<DrawnTensor>,
}

/// Bytes that tensors of a model take which no older model has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Own {
    /// So many.
    Bytes(u64),
    /// Its list of tensors cannot be read.
    Damaged,
    /// Nobody looked.
    NotRead,
}

/// What of the models' tensors is read for a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// The lists, which stay in the picture.
    Lists,
    /// What they take, where all models together list no more than so many.
    Sizes(u64),
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
    let tested = family.tests(id).and_then(TestState::describe);
    diverged.into_iter().chain(own).chain(lossy).chain(tested).collect()
}

/// The mark of an end of a name that has diverged.
pub const DIVERGED: &str = "diverged";

impl Picture {
    /// Reads what is to be drawn, without values. Cost: the rows of the graph; every manifest and
    /// a row a content, where tensors are looked at.
    ///
    /// # Errors
    ///
    /// Those of the catalogue.
    pub fn read(snapshot: &Snapshot, title: String, look: Look) -> Result<Self, Failure> {
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
            picture.nodes.push(DrawnNode {
                node: node.clone(),
                name: node.full_name(),
                tags: marks(&family, node.id(), diverged.contains(&node.id())),
                diverged: diverged.contains(&node.id()),
                own: Own::NotRead,
                is_passed: family.tests(node.id()).and_then(TestState::is_passed),
                tensors: Vec::new(),
            });
        }
        picture.look_at_tensors(snapshot, look);
        Ok(picture)
    }

    /// A content belongs to the oldest model that has it.
    fn look_at_tensors(&mut self, snapshot: &Snapshot, look: Look) {
        let count: u64 = self.nodes.iter().map(|node| u64::from(node.node.tensor_count())).sum();
        if matches!(look, Look::Sizes(max) if count > max) {
            return;
        }
        let mut by_age: Vec<usize> = (0..self.nodes.len()).collect();
        by_age.sort_by_key(|place| (self.nodes[*place].node.created_ms(), *place));
        let mut known: HashSet<ContentId> = HashSet::new();
        for place in by_age {
            let node = &mut self.nodes[place];
            node.own = Own::Damaged;
            match look {
                Look::Lists => {
                    let Some(tensors) = tensors(snapshot, &node.node) else { continue };
                    let new = tensors.iter().filter(|tensor| known.insert(tensor.content));
                    node.own = Own::Bytes(new.map(|tensor| tensor.stored).sum());
                    node.tensors = tensors;
                }
                Look::Sizes(_) => {
                    let own = own_bytes(snapshot, &node.node, &mut known);
                    node.own = own.map_or(Own::Damaged, Own::Bytes);
                }
            }
        }
    }
}

/// Bytes of the tensors of a model that are not known yet; `None` when they cannot be read.
fn own_bytes(snapshot: &Snapshot, node: &Node, known: &mut HashSet<ContentId>) -> Option<u64> {
    let model = snapshot.model_of(node.clone()).ok()?;
    let new = model.tensors().filter(|tensor| known.insert(tensor.content_id()));
    let stored = |tensor| Some(Kept::of(&tensor).ok()?.stored().map_or(0, |it| it.stored_len));
    new.map(stored).sum()
}

/// The tensors of a model; `None` when they cannot be read: a picture of a damaged store is one
/// of what is left.
fn tensors(snapshot: &Snapshot, node: &Node) -> Option<Vec<DrawnTensor>> {
    let model = snapshot.model_of(node.clone()).ok()?;
    let mut known: HashMap<ContentId, (u64, String, u8)> = HashMap::new();
    let mut tensors = Vec::with_capacity(model.tensors().len());
    for tensor in model.tensors() {
        let content = tensor.content_id();
        let (stored, encoding, depth) = match known.get(&content) {
            Some(stored) => stored.clone(),
            None => {
                let kept = Kept::of(&tensor).ok()?;
                let (len, depth) = kept.stored().map_or((0, 0), |it| (it.stored_len, it.depth));
                known.entry(content).or_insert((len, kept.encoding(), depth)).clone()
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
        match self.own {
            Own::Bytes(own) => format!("{plain}, stored in {}", size(own)),
            Own::Damaged => format!("{plain}, its tensors cannot be read"),
            Own::NotRead => plain,
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
