//! Promise: walks, common ancestors, ways and the refusal of cycles say what a naive program says
//! that keeps the whole graph as a matrix, on any graph with both kinds of edge; each node comes
//! once, and nothing is read before it is asked for.

use std::collections::{BTreeMap, BTreeSet};

use crate::common::{new_store, write};
use mgit::catalog::EdgeKind;
use mgit::lineage::{Direction, Edges, LineageError, Node, NodeId, Via, Walk};
use mgit::store::StoreError;
use mgit::{How, NewModel, Snapshot, Store};
use proptest::prelude::*;

/// A graph as plain values: for each node its parents by place, and its name's number.
#[derive(Clone, Debug)]
struct Plan {
    nodes: Vec<(usize, Vec<usize>)>,
    /// Edges to try afterwards: child, parent.
    more: Vec<(usize, usize)>,
    kept: Vec<bool>,
}

fn plans() -> impl Strategy<Value = Plan> {
    let node = |at: usize| (0..6usize, prop::collection::btree_set(0..at.max(1), 0..3.min(at + 1)));
    (1..24usize).prop_flat_map(move |count| {
        let nodes: Vec<_> = (0..count).map(node).collect();
        let more = prop::collection::vec((0..count, 0..count), 0..12);
        let kept = prop::collection::vec(any::<bool>(), count);
        (nodes, more, kept).prop_map(|(nodes, more, kept)| {
            let own = |(at, (name, parents)): (usize, (usize, BTreeSet<usize>))| {
                (name, parents.into_iter().filter(|parent| *parent < at).collect())
            };
            Plan { nodes: nodes.into_iter().enumerate().map(own).collect(), more, kept }
        })
    })
}

/// The same graph in a store and as a list of edges.
struct Both {
    snapshot: Snapshot,
    ids: Vec<NodeId>,
    /// Parent, child, kind.
    edges: BTreeSet<(usize, usize, EdgeKind)>,
    _folder: tempfile::TempDir,
}

fn kinds(edges: Edges) -> Vec<EdgeKind> {
    EdgeKind::ALL.into_iter().filter(|kind| edges.contain(*kind)).collect()
}

const EDGES: [Edges; 3] = [Edges::Provenance, Edges::Version, Edges::Both];
const DIRECTIONS: [Direction; 2] = [Direction::Up, Direction::Down];

impl Both {
    fn build(plan: &Plan) -> Self {
        let (folder, _, store) = new_store();
        let mut edges = BTreeSet::new();
        let mut latest: BTreeMap<usize, usize> = BTreeMap::new();
        let nodes: Vec<Node> = write(&store, |transaction| {
            let mut nodes: Vec<Node> = Vec::new();
            for (at, (name, parents)) in plan.nodes.iter().enumerate() {
                let new = parents.iter().fold(NewModel::new(format!("n{name}")), |new, parent| {
                    new.parent(nodes[*parent].full_name(), How::Other)
                });
                nodes.push(transaction.add_model(new)?.node);
                edges.extend(parents.iter().map(|parent| (*parent, at, EdgeKind::Provenance)));
                if let Some(before) = latest.insert(*name, at) {
                    edges.insert((before, at, EdgeKind::Version));
                }
            }
            Ok(nodes)
        })
        .unwrap();
        let ids: Vec<NodeId> = nodes.iter().map(|node| node.id()).collect();
        let mut both = Both { snapshot: store.snapshot().unwrap(), ids, edges, _folder: folder };
        for (child, parent) in &plan.more {
            both.try_edge(&store, &nodes, *child, *parent);
        }
        both.snapshot = store.snapshot().unwrap();
        both
    }

    /// Adds an edge; it is refused exactly when it closes a circle or is there.
    fn try_edge(&mut self, store: &Store, nodes: &[Node], child: usize, parent: usize) {
        let edge = (parent, child, EdgeKind::Provenance);
        let closes = self.reach(child, Direction::Down, Edges::Both).contains(&parent);
        let is_there = self.edges.contains(&edge);
        let (name, of) = (nodes[child].id().to_string(), nodes[parent].id().to_string());
        match write(store, |transaction| transaction.add_parent(&name, &of, How::Merge)) {
            Ok(()) => {
                assert!(!closes && !is_there, "{edge:?}");
                self.edges.insert(edge);
            }
            Err(StoreError::Lineage(LineageError::Cycle { .. })) => assert!(closes, "{edge:?}"),
            Err(StoreError::Lineage(LineageError::DuplicateParent { .. })) => {
                assert!(is_there && !closes, "{edge:?}");
            }
            Err(error) => panic!("{error}"),
        }
    }

    fn next(&self, at: usize, direction: Direction, edges: Edges) -> BTreeSet<usize> {
        let kinds = kinds(edges);
        let of = |(parent, child, kind): &(usize, usize, EdgeKind)| {
            let (from, to) = match direction {
                Direction::Up => (*child, *parent),
                Direction::Down => (*parent, *child),
            };
            (from == at && kinds.contains(kind)).then_some(to)
        };
        self.edges.iter().filter_map(of).collect()
    }

    /// What can be reached, the start included, by stepping until nothing changes.
    fn reach(&self, start: usize, direction: Direction, edges: Edges) -> BTreeSet<usize> {
        self.reach_unless(&[start], direction, edges, |_| false)
    }

    fn reach_unless(
        &self,
        starts: &[usize],
        direction: Direction,
        edges: Edges,
        stops: impl Fn(usize) -> bool,
    ) -> BTreeSet<usize> {
        let mut reached: BTreeSet<usize> = starts.iter().copied().collect();
        loop {
            let open = reached.iter().filter(|at| !stops(**at));
            let next: Vec<usize> = open.flat_map(|at| self.next(*at, direction, edges)).collect();
            let before = reached.len();
            reached.extend(next);
            if reached.len() == before {
                return reached;
            }
        }
    }

    fn distance(&self, from: usize, to: usize, direction: Direction, edges: Edges) -> usize {
        let mut wave = BTreeSet::from([from]);
        for steps in 0.. {
            if wave.contains(&to) {
                return steps;
            }
            wave = wave.iter().flat_map(|at| self.next(*at, direction, edges)).collect();
        }
        unreachable!()
    }

    fn at(&self, id: NodeId) -> usize {
        self.ids.iter().position(|known| *known == id).unwrap()
    }

    fn places(&self, walk: Walk<'_>) -> Vec<usize> {
        let places: Vec<usize> = walk.map(|node| self.at(node.unwrap().id())).collect();
        let once: BTreeSet<usize> = places.iter().copied().collect();
        assert_eq!(once.len(), places.len(), "a node came twice: {places:?}");
        places
    }

    /// Depth first as a recursion: the neighbours in the order the graph gives them.
    fn depth_first(&self, at: usize, direction: Direction, edges: Edges, seen: &mut Vec<usize>) {
        if seen.contains(&at) {
            return;
        }
        seen.push(at);
        for next in self.snapshot.graph().neighbours(self.ids[at], direction, edges) {
            self.depth_first(self.at(next.unwrap()), direction, edges, seen);
        }
    }
}

fn sorted(places: &[usize]) -> BTreeSet<usize> {
    places.iter().copied().collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn walks_say_what_a_naive_program_says(plan in plans()) {
        let both = Both::build(&plan);
        let graph = both.snapshot.graph();
        for (edges, direction) in EDGES.into_iter().flat_map(|e| DIRECTIONS.map(|d| (e, d))) {
            for start in 0..both.ids.len() {
                let id = both.ids[start];
                let near: BTreeSet<usize> = graph
                    .neighbours(id, direction, edges)
                    .map(|id| both.at(id.unwrap()))
                    .collect();
                prop_assert_eq!(&near, &both.next(start, direction, edges));
                let has = graph.has_edge(id, direction, edges).unwrap();
                prop_assert_eq!(has, !near.is_empty());

                let expected = both.reach(start, direction, edges);
                let breadth = both.places(graph.walk([id], direction, edges));
                prop_assert_eq!(&sorted(&breadth), &expected);
                let steps: Vec<usize> =
                    breadth.iter().map(|to| both.distance(start, *to, direction, edges)).collect();
                prop_assert!(steps.is_sorted(), "{breadth:?} {steps:?}");

                let mut recursive = Vec::new();
                both.depth_first(start, direction, edges, &mut recursive);
                let depth = both.places(graph.walk([id], direction, edges).depth_first());
                prop_assert_eq!(depth, recursive);

                let order = both.places(graph.walk([id], direction, edges).topological());
                prop_assert_eq!(&sorted(&order), &expected);
                for (place, at) in order.iter().enumerate() {
                    for next in both.next(*at, direction, edges) {
                        let behind = order.iter().position(|other| *other == next).unwrap();
                        prop_assert!(behind > place);
                    }
                }
                let rest = both.places(graph.walk([id], direction, edges).without_start());
                prop_assert_eq!(rest.as_slice(), &breadth[1..]);
            }
        }
        let ends = |direction| -> BTreeSet<usize> {
            let all = 0..both.ids.len();
            all.filter(|at| both.next(*at, direction, Edges::Both).is_empty()).collect()
        };
        let roots = graph.roots(Edges::Both).map(|node| both.at(node.unwrap().id())).collect();
        prop_assert_eq!(ends(Direction::Up), roots);
        let leaves = graph.leaves(Edges::Both).map(|node| both.at(node.unwrap().id())).collect();
        prop_assert_eq!(ends(Direction::Down), leaves);
        prop_assert_eq!(graph.iter().count(), both.ids.len());
        let all = both.places(graph.topological(Edges::Both).unwrap());
        prop_assert_eq!(all.len(), both.ids.len());
    }

    #[test]
    fn skipped_nodes_are_passed_and_stops_end_a_way(plan in plans()) {
        let both = Both::build(&plan);
        let graph = both.snapshot.graph();
        let kept = |node: &Node| plan.kept[both.at(node.id())];
        let edges = Edges::Both;
        for start in 0..both.ids.len() {
            let id = both.ids[start];
            let all = both.reach(start, Direction::Down, edges);
            let stopped = both.reach_unless(&[start], Direction::Down, edges, |at| !plan.kept[at]);
            let down = || graph.walk([id], Direction::Down, edges);
            for walk in [down(), down().depth_first(), down().topological()] {
                let found = sorted(&both.places(walk.skip_if(|node| !kept(node))));
                let expected = all.iter().copied().filter(|at| plan.kept[*at]).collect();
                prop_assert_eq!(found, expected);
            }
            let orders = [down(), down().depth_first(), down().topological()];
            for (which, walk) in orders.into_iter().enumerate() {
                let order = both.places(walk.stop_below(|node| !kept(node)));
                prop_assert_eq!(&sorted(&order), &stopped, "order {}", which);
                // What is left out does not make the order another: ways through it count.
                for (place, at) in order.iter().enumerate().filter(|_| which == 2) {
                    let below = both.reach(*at, Direction::Down, edges);
                    let above = order[..place].iter().any(|other| below.contains(other));
                    prop_assert!(!above);
                }
            }
        }
    }

    #[test]
    fn two_nodes_are_related_as_a_naive_program_says(plan in plans()) {
        let both = Both::build(&plan);
        let graph = both.snapshot.graph();
        let up = |at, edges| both.reach(at, Direction::Up, edges);
        let all = 0..both.ids.len();
        for (a, b) in all.clone().flat_map(|a| all.clone().map(move |b| (a, b))) {
            let (from, to) = (both.ids[a], both.ids[b]);
            let descends = both.reach(a, Direction::Down, Edges::Both).contains(&b);
            prop_assert_eq!(graph.descends(from, to).unwrap(), descends);
            for edges in EDGES {
                let common: BTreeSet<usize> =
                    up(a, edges).intersection(&up(b, edges)).copied().collect();
                let is_nearest = |at: &usize| {
                    let below = both.reach(*at, Direction::Down, edges);
                    common.iter().all(|other| other == at || !below.contains(other))
                };
                let expected: BTreeSet<usize> =
                    common.iter().copied().filter(is_nearest).collect();
                let found = graph.nearest_common_ancestors(&[from, to], edges).unwrap();
                let found: Vec<usize> = found.into_iter().map(|id| both.at(id)).collect();
                prop_assert_eq!(sorted(&found), expected);
                let steps = |at: &usize| {
                    [a, b].map(|end| both.distance(end, *at, Direction::Up, edges))
                };
                let sums: Vec<usize> = found.iter().map(|at| steps(at).iter().sum()).collect();
                prop_assert!(sums.is_sorted());

                let path = graph.path(from, to, edges, Via::Descent).unwrap();
                let reachable = both.reach(a, Direction::Down, edges).contains(&b);
                prop_assert_eq!(path.is_some(), reachable);
                if let Some(path) = path {
                    let shortest = both.distance(a, b, Direction::Down, edges);
                    prop_assert_eq!(path.len(), shortest);
                }
                let any = graph.path(from, to, edges, Via::Any).unwrap();
                let mut at = a;
                for step in any.iter().flatten() {
                    let next = both.at(step.node);
                    let edge = match step.direction {
                        Direction::Down => (at, next, step.kind),
                        Direction::Up => (next, at, step.kind),
                    };
                    prop_assert!(both.edges.contains(&edge));
                    at = next;
                }
                prop_assert!(any.is_none() || at == b);
                prop_assert!(any.is_some() || !reachable);
            }
        }
    }
}

/// A chain of `count` models, `n0` first.
fn chain(count: usize) -> (tempfile::TempDir, Snapshot) {
    let (folder, _, store) = new_store();
    write(&store, |transaction| {
        for at in 0..count {
            let new = NewModel::new(format!("n{at}"));
            let parent = at.checked_sub(1).map(|before| format!("n{before}"));
            let new = parent.into_iter().fold(new, |new, name| new.parent(name, How::FineTune));
            transaction.add_model(new)?;
        }
        Ok(())
    })
    .unwrap();
    (folder, store.snapshot().unwrap())
}

fn id(snapshot: &Snapshot, name: &str) -> NodeId {
    snapshot.graph().find(name).unwrap().id()
}

#[test]
fn a_walk_asks_about_no_node_before_it_comes_to_it() {
    let (_folder, snapshot) = chain(50);
    let asked = std::cell::Cell::new(0);
    let count = |_: &Node| {
        asked.set(asked.get() + 1);
        false
    };
    let start = id(&snapshot, "n0");
    let walk = snapshot.graph().walk([start], Direction::Down, Edges::Both);
    let names: Vec<String> =
        walk.skip_if(count).take(3).map(|node| node.unwrap().name().to_owned()).collect();
    assert_eq!((names, asked.get()), (["n0", "n1", "n2"].map(str::to_owned).into(), 3));
}

#[test]
fn the_predicates_are_not_asked_about_a_start_that_is_left_out() {
    let (_folder, snapshot) = chain(4);
    let start = id(&snapshot, "n0");
    let walk = snapshot.graph().descendants(start, Edges::Provenance);
    let names: Vec<String> = walk
        .stop_below(|node| node.name() != "n1")
        .map(|node| node.unwrap().name().to_owned())
        .collect();
    assert_eq!(names, ["n1", "n2"]);
}

#[test]
fn many_children_are_read_in_parts() {
    let (_folder, _, store) = new_store();
    write(&store, |transaction| {
        transaction.add_model(NewModel::new("hub"))?;
        for at in 0..1000 {
            transaction.add_model(NewModel::new(format!("c{at}")).parent("hub", How::Cast))?;
        }
        Ok(())
    })
    .unwrap();
    let snapshot = store.snapshot().unwrap();
    let hub = id(&snapshot, "hub");
    let graph = snapshot.graph();
    let children = graph.neighbours(hub, Direction::Down, Edges::Both);
    let children: Vec<NodeId> = children.collect::<Result<_, _>>().unwrap();
    assert_eq!(children.len(), 1000);
    assert!(children.is_sorted());
    assert_eq!(graph.iter().count(), 1001);
    assert_eq!(graph.leaves(Edges::Both).count(), 1000);
}

#[test]
fn a_history_is_one_name_from_new_to_old() {
    let (_folder, _, store) = new_store();
    write(&store, |transaction| {
        for _ in 0..3 {
            transaction.add_model(NewModel::new("a"))?;
        }
        // A branch: 4 follows 2, beside 3.
        transaction.add_model(NewModel::new("a"))?;
        transaction.set_previous("a@4", "a@2")
    })
    .unwrap();
    let snapshot = store.snapshot().unwrap();
    let history = |name: &str| -> Vec<u32> {
        let walk = snapshot.graph().history(id(&snapshot, name));
        walk.map(|node| node.unwrap().version()).collect()
    };
    assert_eq!(history("a@4"), [4, 2, 1]);
    assert_eq!(history("a@3"), [3, 2, 1]);
    let graph = snapshot.graph();
    let ends = [id(&snapshot, "a@3"), id(&snapshot, "a@4")];
    let fork = graph.nearest_common_ancestors(&ends, Edges::Version).unwrap();
    assert_eq!(fork, [id(&snapshot, "a@2")]);
}

/// Rows read to find the ends of a name of which no version stands on another.
fn rows_for_ends(ends: usize) -> u64 {
    let (_folder, _, store) = new_store();
    write(&store, |transaction| {
        transaction.add_model(NewModel::new("base"))?;
        for _ in 0..ends {
            let node = transaction.add_model(NewModel::new("m").parent("base", How::Other))?.node;
            transaction.clear_previous(&node)?;
        }
        Ok(())
    })
    .unwrap();
    let snapshot = store.snapshot().unwrap();
    let before = store.rows_read();
    let apart = snapshot.graph().diverged().unwrap();
    assert_eq!((apart.len(), apart[0].1.len()), (1, ends));
    store.rows_read() - before
}

#[test]
fn ends_of_a_name_are_not_held_against_each_other_one_by_one() {
    let (few, many) = (rows_for_ends(30), rows_for_ends(120));
    assert!(many < 5 * few, "{few} rows for 30 ends, {many} for 120");
}
