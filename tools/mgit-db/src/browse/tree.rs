//! The models as an indented list: each below what it was first derived from.

use std::collections::HashMap;

use mgit::lineage::NodeId;

use crate::failure::Failure;
use crate::family::Family;

/// A model in the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeRow {
    /// Its place in the family.
    pub place: usize,
    /// How far it is indented.
    pub depth: usize,
    /// How it was derived; empty for a root, `version` for a next version without other parents.
    pub how: &'static str,
}

/// Every model once: below its first parent, or the version before it, else at the margin. Cost:
/// the edges of all.
///
/// # Errors
///
/// Those of the catalogue.
pub fn tree(family: &Family<'_>) -> Result<Vec<TreeRow>, Failure> {
    let mut below: HashMap<Option<NodeId>, Vec<(usize, &'static str)>> = HashMap::new();
    for (place, node) in family.nodes().iter().enumerate() {
        let origin = family.origin(node.id())?;
        let (parent, how) = match (origin.parents.first(), origin.previous) {
            (Some(edge), _) => (Some(edge.parent), edge.how.name()),
            (None, Some(previous)) => (Some(previous), "version"),
            (None, None) => (None, ""),
        };
        let parent = parent.filter(|id| family.place(*id).is_some());
        below.entry(parent).or_default().push((place, how));
    }
    let mut rows = Vec::with_capacity(family.nodes().len());
    let mut seen = vec![false; family.nodes().len()];
    let mut stack: Vec<TreeRow> = Vec::new();
    let mut push = |stack: &mut Vec<TreeRow>, parent: Option<NodeId>, depth| {
        let children = below.remove(&parent).unwrap_or_default();
        let row = |(place, how)| TreeRow { place, depth, how };
        stack.extend(children.into_iter().rev().map(row));
    };
    push(&mut stack, None, 0);
    while let Some(row) = stack.pop() {
        seen[row.place] = true;
        push(&mut stack, Some(family.nodes()[row.place].id()), row.depth + 1);
        rows.push(row);
    }
    // Only a damaged graph has models that no root leads to.
    let lost = (0..seen.len()).filter(|place| !seen[*place]);
    rows.extend(lost.map(|place| TreeRow { place, depth: 0, how: "" }));
    Ok(rows)
}
