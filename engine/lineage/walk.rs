//! Walks over the graph: lazy, each node once.
//!
//! Nothing is read before it is asked for, except where an order needs it: a topological walk
//! reads the edges of everything it may come to before its first node.

use std::collections::{HashMap, HashSet, VecDeque};
use std::ops::ControlFlow;

use super::graph::id_from;
use super::{Graph, LineageError, Node, NodeId};
use crate::catalog::{CatalogError, EdgeKind, NodeRow, ParentRow, Table, keys};

/// Rows that are read at once.
const BATCH: usize = 256;

/// Which edges to follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
// Exhaustive on purpose: whoever matches one is to be told when there is another.
pub enum Edges {
    /// Derivations.
    Provenance,
    /// From version to version.
    Version,
    /// Both kinds.
    Both,
}

impl Edges {
    /// Whether edges of this kind are among them.
    pub fn contain(self, kind: EdgeKind) -> bool {
        match self {
            Edges::Provenance => kind == EdgeKind::Provenance,
            Edges::Version => kind == EdgeKind::Version,
            Edges::Both => true,
        }
    }

    /// What the keys of these edges of a node begin with.
    pub(super) fn prefix(self, node: NodeId) -> Vec<u8> {
        match self {
            Edges::Provenance => keys::edges(&node.0, EdgeKind::Provenance),
            Edges::Version => keys::edges(&node.0, EdgeKind::Version),
            Edges::Both => node.0.to_vec(),
        }
    }
}

/// Which way to follow edges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From child to parent, from newer to older.
    Up,
    /// From parent to child, from older to newer.
    Down,
}

/// The node at the other end of an edge row of a node.
pub(super) fn other_end(
    direction: Direction,
    key: &[u8],
    value: &[u8],
) -> Result<NodeId, CatalogError> {
    match direction {
        Direction::Up => Ok(NodeId(ParentRow::decode(value)?.parent)),
        Direction::Down => Ok(id_from("children key", key.get(17..).unwrap_or_default())?),
    }
}

fn edge_table(direction: Direction) -> Table {
    match direction {
        Direction::Up => Table::Parents,
        Direction::Down => Table::Children,
    }
}

/// The rows of a table whose keys begin alike, read as they are asked for.
#[derive(Debug)]
struct Rows<'t, Row> {
    graph: Graph<'t>,
    table: Table,
    prefix: Vec<u8>,
    decode: fn(&[u8], &[u8]) -> Result<Row, CatalogError>,
    /// The last key read; `None` before the first.
    after: Option<Vec<u8>>,
    batch: VecDeque<Row>,
    done: bool,
}

impl<'t, Row> Rows<'t, Row> {
    fn new(
        graph: Graph<'t>,
        table: Table,
        prefix: Vec<u8>,
        decode: fn(&[u8], &[u8]) -> Result<Row, CatalogError>,
    ) -> Self {
        Rows { graph, table, prefix, decode, after: None, batch: VecDeque::new(), done: false }
    }

    fn fill(&mut self) -> Result<(), LineageError> {
        let mut last = Vec::new();
        let (batch, decode) = (&mut self.batch, self.decode);
        let after = self.after.as_deref();
        self.graph.0.scan_after(self.table, &self.prefix, after, &mut |key, value| {
            batch.push_back(decode(key, value)?);
            if batch.len() < BATCH {
                return Ok(ControlFlow::Continue(()));
            }
            last = key.to_vec();
            Ok(ControlFlow::Break(()))
        })?;
        self.done = last.is_empty();
        self.after = Some(last);
        Ok(())
    }

    fn next(&mut self) -> Option<Result<Row, LineageError>> {
        if self.batch.is_empty()
            && !self.done
            && let Err(error) = self.fill()
        {
            self.done = true;
            return Some(Err(error));
        }
        self.batch.pop_front().map(Ok)
    }
}

/// Parents or children of a node, read as they are asked for. Parents come in their order,
/// children in the order of ids; provenance edges come before version edges. A node at the end of
/// two edges comes twice.
#[derive(Debug)]
pub struct Neighbours<'t>(Rows<'t, NodeId>);

impl Iterator for Neighbours<'_> {
    type Item = Result<NodeId, LineageError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next()
    }
}

/// Every node, in the order of ids, read as they are asked for.
#[derive(Debug)]
pub struct Nodes<'t>(Rows<'t, Node>);

impl Iterator for Nodes<'_> {
    type Item = Result<Node, LineageError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next()
    }
}

/// The nodes without any edge upwards or downwards: roots or leaves.
#[derive(Debug)]
pub struct Ends<'t> {
    nodes: Nodes<'t>,
    direction: Direction,
    edges: Edges,
}

impl Iterator for Ends<'_> {
    type Item = Result<Node, LineageError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let node = match self.nodes.next()? {
                Ok(node) => node,
                Err(error) => return Some(Err(error)),
            };
            match self.nodes.0.graph.has_edge(node.id, self.direction, self.edges) {
                Ok(true) => {}
                Ok(false) => return Some(Ok(node)),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

/// In which order a walk comes to nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Breadth,
    Depth,
    Topological,
}

type Predicate<'t> = Box<dyn FnMut(&Node) -> bool + 't>;

/// A walk from some nodes along edges: an iterator that comes to each node once, a diamond's too.
///
/// It reads as it goes: one row a node, one a node's edge. After an error it ends.
#[must_use]
pub struct Walk<'t> {
    graph: Graph<'t>,
    direction: Direction,
    edges: Edges,
    order: Order,
    with_start: bool,
    starts: Vec<NodeId>,
    skip: Option<Predicate<'t>>,
    stop: Option<Predicate<'t>>,
    /// `None` before the first step, and nothing left after an error.
    state: Option<State>,
}

#[derive(Default)]
struct State {
    queue: VecDeque<NodeId>,
    seen: HashSet<NodeId>,
    starts: HashSet<NodeId>,
    /// Topological: edges to each node from nodes that were not come to yet.
    waiting: HashMap<NodeId, usize>,
    /// Topological: nodes that are come to, not only passed.
    admitted: HashSet<NodeId>,
}

impl std::fmt::Debug for Walk<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Walk { direction, edges, order, starts, .. } = self;
        write!(f, "Walk({direction:?} {edges:?} {order:?} from {starts:?})")
    }
}

impl<'t> Walk<'t> {
    /// Each node before everything behind it, and that before its next neighbour.
    pub fn depth_first(self) -> Self {
        Walk { order: Order::Depth, ..self }
    }

    /// Each node behind every node that leads to it: parents before children on a walk down.
    /// The order is one of the whole graph's, also where nodes are left out. Cost: the first step
    /// reads the edges of all nodes that can be reached, left out or not.
    pub fn topological(self) -> Self {
        Walk { order: Order::Topological, ..self }
    }

    /// The start is walked from, and not come to itself; no predicate is asked about it.
    pub fn without_start(self) -> Self {
        Walk { with_start: false, ..self }
    }

    /// Leaves out the nodes that `skip` says, and walks on behind them.
    pub fn skip_if(self, skip: impl FnMut(&Node) -> bool + 't) -> Self {
        Walk { skip: Some(Box::new(skip)), ..self }
    }

    /// Comes to the nodes that `stop` says, and does not walk on behind them. What lies behind is
    /// come to if another way leads there.
    pub fn stop_below(self, stop: impl FnMut(&Node) -> bool + 't) -> Self {
        Walk { stop: Some(Box::new(stop)), ..self }
    }

    fn start(&mut self) -> Result<State, LineageError> {
        let mut state = State { starts: self.starts.iter().copied().collect(), ..State::default() };
        let mut known = HashSet::new();
        let starts: Vec<NodeId> =
            self.starts.iter().copied().filter(|id| known.insert(*id)).collect();
        match self.order {
            Order::Breadth => {
                state.seen = known;
                state.queue.extend(starts);
            }
            Order::Depth => state.queue.extend(starts.into_iter().rev()),
            Order::Topological => {
                let mut stack = starts.clone();
                while let Some(id) = stack.pop() {
                    for next in self.graph.neighbours(id, self.direction, self.edges) {
                        let next = next?;
                        *state.waiting.entry(next).or_default() += 1;
                        if known.insert(next) {
                            stack.push(next);
                        }
                    }
                }
                let free = |id: &NodeId| !state.waiting.contains_key(id);
                state.queue.extend(starts.iter().copied().filter(free));
                state.admitted = starts.into_iter().collect();
            }
        }
        Ok(state)
    }

    /// The next node, if there is one left.
    fn step(&mut self, state: &mut State) -> Result<Option<Node>, LineageError> {
        loop {
            let next = match self.order {
                Order::Depth => state.queue.pop_back(),
                _ => state.queue.pop_front(),
            };
            let Some(id) = next else { break };
            if self.order == Order::Depth && !state.seen.insert(id) {
                continue;
            }
            let is_silent = !self.with_start && state.starts.contains(&id);
            let is_passed = self.order == Order::Topological && !state.admitted.contains(&id);
            let (mut shown, mut goes_on) = (None, !is_passed);
            if !is_silent && !is_passed {
                let node = self.graph.expect(id)?;
                goes_on = !self.stop.as_mut().is_some_and(|stop| stop(&node));
                let is_skipped = self.skip.as_mut().is_some_and(|skip| skip(&node));
                shown = Some(node).filter(|_| !is_skipped);
            }
            self.follow(state, id, goes_on)?;
            if shown.is_some() {
                return Ok(shown);
            }
        }
        // On a sound graph every node has become free by now.
        match state.waiting.keys().next() {
            Some(node) => Err(LineageError::Circle { node: *node }),
            None => Ok(None),
        }
    }

    /// Puts what lies behind a node into the queue.
    fn follow(&mut self, state: &mut State, id: NodeId, goes_on: bool) -> Result<(), LineageError> {
        if !goes_on && self.order != Order::Topological {
            return Ok(());
        }
        let neighbours = self.graph.neighbours(id, self.direction, self.edges);
        match self.order {
            Order::Breadth => {
                for next in neighbours {
                    let next = next?;
                    if state.seen.insert(next) {
                        state.queue.push_back(next);
                    }
                }
            }
            Order::Depth => {
                let from = state.queue.len();
                for next in neighbours {
                    let next = next?;
                    if !state.seen.contains(&next) {
                        state.queue.push_back(next);
                    }
                }
                if let Some(added) = state.queue.make_contiguous().get_mut(from..) {
                    added.reverse();
                }
            }
            Order::Topological => {
                for next in neighbours {
                    let next = next?;
                    if goes_on {
                        state.admitted.insert(next);
                    }
                    if let Some(waiting) = state.waiting.get_mut(&next) {
                        *waiting -= 1;
                        if *waiting == 0 {
                            state.waiting.remove(&next);
                            state.queue.push_back(next);
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

impl Iterator for Walk<'_> {
    type Item = Result<Node, LineageError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut state = match self.state.take() {
            Some(state) => state,
            None => match self.start() {
                Ok(state) => state,
                Err(error) => {
                    self.state = Some(State::default());
                    return Some(Err(error));
                }
            },
        };
        match self.step(&mut state) {
            Ok(node) => {
                self.state = Some(state);
                node.map(Ok)
            }
            Err(error) => {
                self.state = Some(State::default());
                Some(Err(error))
            }
        }
    }
}

impl<'t> Graph<'t> {
    /// Parents or children of a node, as they are asked for.
    pub fn neighbours(&self, node: NodeId, direction: Direction, edges: Edges) -> Neighbours<'t> {
        let decode = match direction {
            Direction::Up => |key: &[u8], value: &[u8]| other_end(Direction::Up, key, value),
            Direction::Down => |key: &[u8], value: &[u8]| other_end(Direction::Down, key, value),
        };
        Neighbours(Rows::new(*self, edge_table(direction), edges.prefix(node), decode))
    }

    /// Whether a node has an edge in a direction. Cost: one row.
    ///
    /// # Errors
    ///
    /// Those of the catalogue.
    pub fn has_edge(
        &self,
        node: NodeId,
        direction: Direction,
        edges: Edges,
    ) -> Result<bool, LineageError> {
        let mut found = false;
        self.0.scan(edge_table(direction), &edges.prefix(node), &mut |_, _| {
            found = true;
            Ok(ControlFlow::Break(()))
        })?;
        Ok(found)
    }

    /// Every node, in the order of ids, as they are asked for.
    pub fn iter(&self) -> Nodes<'t> {
        let decode = |key: &[u8], value: &[u8]| {
            Ok(Node { id: id_from("node key", key)?, row: NodeRow::decode(value)? })
        };
        Nodes(Rows::new(*self, Table::Nodes, Vec::new(), decode))
    }

    /// The nodes without parents by these edges, in the order of ids.
    pub fn roots(&self, edges: Edges) -> Ends<'t> {
        Ends { nodes: self.iter(), direction: Direction::Up, edges }
    }

    /// The nodes without children by these edges, in the order of ids.
    pub fn leaves(&self, edges: Edges) -> Ends<'t> {
        Ends { nodes: self.iter(), direction: Direction::Down, edges }
    }

    /// A walk from `starts`, which it comes to as well; breadth first unless told otherwise.
    pub fn walk(
        &self,
        starts: impl IntoIterator<Item = NodeId>,
        direction: Direction,
        edges: Edges,
    ) -> Walk<'t> {
        Walk {
            graph: *self,
            direction,
            edges,
            order: Order::Breadth,
            with_start: true,
            starts: starts.into_iter().collect(),
            skip: None,
            stop: None,
            state: None,
        }
    }

    /// What a node descends from, nearest first.
    pub fn ancestors(&self, node: NodeId, edges: Edges) -> Walk<'t> {
        self.walk([node], Direction::Up, edges).without_start()
    }

    /// What descends from a node, nearest first.
    pub fn descendants(&self, node: NodeId, edges: Edges) -> Walk<'t> {
        self.walk([node], Direction::Down, edges).without_start()
    }

    /// A node and the versions before it, newest first.
    pub fn history(&self, node: NodeId) -> Walk<'t> {
        self.walk([node], Direction::Up, Edges::Version)
    }

    /// All nodes, each behind its parents. Cost: the first step reads all edges.
    ///
    /// # Errors
    ///
    /// Those of the catalogue.
    pub fn topological(&self, edges: Edges) -> Result<Walk<'t>, LineageError> {
        let roots: Vec<NodeId> =
            self.iter().map(|node| Ok(node?.id)).collect::<Result<_, LineageError>>()?;
        Ok(self.walk(roots, Direction::Down, edges).topological())
    }
}
