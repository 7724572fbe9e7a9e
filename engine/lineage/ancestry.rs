//! Questions about two nodes: descent, nearest common ancestors, the way from one to the other.

use std::collections::{HashMap, HashSet, VecDeque};
use std::ops::ControlFlow;

use super::walk::other_end;
use super::{Direction, Edges, Graph, LineageError, NodeId};
use crate::catalog::{EdgeKind, Table};

/// Which ways between two nodes count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Via {
    /// Only ways down, from ancestor to descendant.
    Descent,
    /// Ways up and down, such as from a model to its sister.
    Any,
}

/// A step of a way: along which edge to which node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct PathStep {
    /// The node that the step leads to.
    pub node: NodeId,
    /// The kind of edge.
    pub kind: EdgeKind,
    /// Whether it leads to a parent or to a child.
    pub direction: Direction,
}

/// One side of a search from both ends.
struct Side {
    direction: Direction,
    seen: HashSet<NodeId>,
    queue: VecDeque<NodeId>,
}

impl Side {
    fn new(direction: Direction, starts: &[NodeId]) -> Self {
        let seen: HashSet<NodeId> = starts.iter().copied().collect();
        Side { direction, queue: seen.iter().copied().collect(), seen }
    }
}

impl Graph<'_> {
    /// Whether edges of either kind lead from `from` down to `to`; a node leads to itself. Cost:
    /// the descendants of `from` or the ancestors of `to`, about twice the fewer of them.
    ///
    /// # Errors
    ///
    /// Those of the catalogue.
    pub fn descends(&self, from: NodeId, to: NodeId) -> Result<bool, LineageError> {
        self.leads_to(from, &[to])
    }

    /// Whether edges of either kind lead from `from` down to any of `to`.
    pub(super) fn leads_to(&self, from: NodeId, to: &[NodeId]) -> Result<bool, LineageError> {
        let mut near = Side::new(Direction::Up, to);
        let mut far = Side::new(Direction::Down, &[from]);
        if near.seen.contains(&from) {
            return Ok(true);
        }
        // In turn, a node each: whoever has fewer to look at ends the search.
        while let Some(node) = near.queue.pop_front() {
            for next in self.neighbours(node, near.direction, Edges::Both) {
                let next = next?;
                if far.seen.contains(&next) {
                    return Ok(true);
                }
                if near.seen.insert(next) {
                    near.queue.push_back(next);
                }
            }
            std::mem::swap(&mut near, &mut far);
        }
        Ok(false)
    }

    /// The common ancestors of some nodes that no other common ancestor descends from, those with
    /// the fewest steps to all of them first. A node counts as its own ancestor. Cost: the
    /// ancestors of all of them.
    ///
    /// # Errors
    ///
    /// Those of the catalogue.
    pub fn nearest_common_ancestors(
        &self,
        nodes: &[NodeId],
        edges: Edges,
    ) -> Result<Vec<NodeId>, LineageError> {
        // How many of the nodes an ancestor is common to, and its steps to them.
        let mut common: HashMap<NodeId, (usize, u64)> = HashMap::new();
        let distinct: HashSet<NodeId> = nodes.iter().copied().collect();
        for node in &distinct {
            let mut steps: HashMap<NodeId, u64> = HashMap::from([(*node, 0)]);
            let mut queue = VecDeque::from([*node]);
            while let Some(id) = queue.pop_front() {
                let count = steps.get(&id).copied().unwrap_or_default();
                let shared = common.entry(id).or_default();
                *shared = (shared.0 + 1, shared.1 + count);
                for parent in self.neighbours(id, Direction::Up, edges) {
                    let parent = parent?;
                    if let std::collections::hash_map::Entry::Vacant(entry) = steps.entry(parent) {
                        entry.insert(count + 1);
                        queue.push_back(parent);
                    }
                }
            }
        }
        common.retain(|_, (count, _)| *count == distinct.len());
        // What a common ancestor descends from is common too, but farther.
        let mut farther = HashSet::new();
        for id in common.keys() {
            for parent in self.neighbours(*id, Direction::Up, edges) {
                farther.insert(parent?);
            }
        }
        let mut nearest: Vec<(u64, NodeId)> = common
            .into_iter()
            .filter(|(id, _)| !farther.contains(id))
            .map(|(id, (_, steps))| (steps, id))
            .collect();
        nearest.sort_unstable();
        Ok(nearest.into_iter().map(|(_, id)| id).collect())
    }

    /// A shortest way between two nodes; `None` when there is none, no steps from a node to
    /// itself. Cost: down, the ancestors of `to`; any way, up to all nodes.
    ///
    /// # Errors
    ///
    /// Those of the catalogue.
    pub fn path(
        &self,
        from: NodeId,
        to: NodeId,
        edges: Edges,
        via: Via,
    ) -> Result<Option<Vec<PathStep>>, LineageError> {
        // Searched from `to`, so that the steps noted are those that lead on to it.
        let directions: &[Direction] = match via {
            Via::Descent => &[Direction::Up],
            Via::Any => &[Direction::Up, Direction::Down],
        };
        let mut onward: HashMap<NodeId, PathStep> = HashMap::new();
        let mut seen = HashSet::from([to]);
        let mut queue = VecDeque::from([to]);
        while let Some(id) = queue.pop_front() {
            if id == from {
                break;
            }
            for direction in directions {
                for (next, kind) in self.links(id, *direction, edges)? {
                    if seen.insert(next) {
                        let direction = match direction {
                            Direction::Up => Direction::Down,
                            Direction::Down => Direction::Up,
                        };
                        onward.insert(next, PathStep { node: id, kind, direction });
                        queue.push_back(next);
                    }
                }
            }
        }
        if !seen.contains(&from) {
            return Ok(None);
        }
        let mut steps = Vec::new();
        let mut at = from;
        while at != to {
            let Some(step) = onward.get(&at) else { return Ok(None) };
            steps.push(*step);
            at = step.node;
        }
        Ok(Some(steps))
    }

    /// Neighbours with the kinds of edge that lead to them.
    fn links(
        &self,
        node: NodeId,
        direction: Direction,
        edges: Edges,
    ) -> Result<Vec<(NodeId, EdgeKind)>, LineageError> {
        let table = match direction {
            Direction::Up => Table::Parents,
            Direction::Down => Table::Children,
        };
        let mut links = Vec::new();
        self.0.scan(table, &edges.prefix(node), &mut |key, value| {
            let kind = key.get(16).copied().and_then(EdgeKind::from_code);
            // An edge of a kind that is not known leads nowhere.
            if let Some(kind) = kind {
                links.push((other_end(direction, key, value)?, kind));
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(links)
    }
}
