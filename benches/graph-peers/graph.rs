//! Questions about a graph of 100,000 models: ours, in its file, against petgraph in memory and
//! against SQLite, in a file, with recursive queries over the same edges. Every answer is compared
//! before anything is measured. `MGIT_BENCH_NODES` sets another size.
//!
//! `cargo bench --manifest-path benches/graph-peers/Cargo.toml`

#[path = "../common/mod.rs"]
mod common;

use std::collections::HashMap;
use std::hint::black_box;
use std::path::Path;

use common::{Comparison, timed};
use criterion::{Criterion, criterion_group, criterion_main};
use mgit::lineage::{Direction, Edges, NodeId, Via};
use mgit::{How, NewModel, Snapshot, Store};
use mgit_graph_peers::{Planned, Random, plan};
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::{Bfs, Reversed};
use rusqlite::{Connection, OpenFlags};

/// Each place of the plan by its id, and all edges: parent, child, kind.
struct Family {
    ids: Vec<NodeId>,
    edges: Vec<(usize, usize, u8)>,
}

fn fill_store(path: &Path, nodes: &[Planned]) -> Family {
    let store = Store::create(path).expect("a store");
    let mut transaction = store.begin_write().expect("a transaction");
    let mut family = Family { ids: Vec::new(), edges: Vec::new() };
    let mut latest: HashMap<usize, usize> = HashMap::new();
    for (at, node) in nodes.iter().enumerate() {
        let mut new = NewModel::new(format!("family/model-{}", node.name)).kind("bert");
        for parent in &node.parents {
            new = new.parent(family.ids[*parent].to_string(), How::FineTune);
            family.edges.push((*parent, at, 0));
        }
        family.ids.push(transaction.add_model(new).expect("a model").node.id);
        if let Some(before) = latest.insert(node.name, at) {
            family.edges.push((before, at, 1));
        }
    }
    transaction.commit().expect("a commit");
    family
}

fn fill_sqlite(path: &Path, family: &Family) {
    let mut sqlite = Connection::open(path).expect("a database");
    let tables = "CREATE TABLE nodes (id BLOB PRIMARY KEY, place INTEGER) WITHOUT ROWID;
        CREATE TABLE edges (child BLOB, kind INTEGER, parent BLOB,
            PRIMARY KEY (child, kind, parent)) WITHOUT ROWID;
        CREATE INDEX children ON edges (parent, kind, child);";
    sqlite.execute_batch(tables).expect("tables");
    let transaction = sqlite.transaction().expect("a transaction");
    for (place, id) in family.ids.iter().enumerate() {
        let row = (&id.0[..], place as i64);
        transaction.execute("INSERT INTO nodes VALUES (?, ?)", row).expect("a row");
    }
    for (parent, child, kind) in &family.edges {
        let row = (&family.ids[*child].0[..], kind, &family.ids[*parent].0[..]);
        transaction.execute("INSERT OR IGNORE INTO edges VALUES (?, ?, ?)", row).expect("a row");
    }
    transaction.commit().expect("a commit");
    sqlite.execute_batch("ANALYZE;").expect("statistics");
}

fn open_sqlite(path: &Path) -> Connection {
    Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("a database")
}

fn count_rows(sqlite: &Connection, query: &str, ids: &[NodeId]) -> usize {
    let mut statement = sqlite.prepare_cached(query).expect("a query");
    let rows = |id: &NodeId| {
        let mut rows = statement.query([&id.0[..]]).expect("rows");
        let mut count = 0;
        while let Some(row) = rows.next().expect("a row") {
            black_box(row.get_ref(0).expect("an id").as_blob().expect("an id"));
            count += 1;
        }
        count
    };
    ids.iter().map(rows).sum()
}

const CHILDREN: &str = "SELECT child FROM edges WHERE parent = ?1";
const PARENTS: &str = "SELECT parent FROM edges WHERE child = ?1";
const ANCESTORS: &str = "WITH RECURSIVE up(id) AS (SELECT parent FROM edges WHERE child = ?1
    UNION SELECT parent FROM edges JOIN up ON child = up.id) SELECT id FROM up";
const DESCENDANTS: &str = "WITH RECURSIVE down(id) AS (SELECT child FROM edges WHERE parent = ?1
    UNION SELECT child FROM edges JOIN down ON parent = down.id) SELECT id FROM down";

fn ours_near(snapshot: &Snapshot, ids: &[NodeId], direction: Direction) -> usize {
    let graph = snapshot.graph();
    ids.iter().map(|id| graph.neighbours(*id, direction, Edges::Both).count()).sum()
}

fn ours_far(snapshot: &Snapshot, ids: &[NodeId], direction: Direction) -> usize {
    let graph = snapshot.graph();
    let far = |id: &NodeId| {
        let walk = graph.walk([*id], direction, Edges::Both).without_start();
        walk.map(|node| node.expect("a node")).count()
    };
    ids.iter().map(far).sum()
}

type Memory = DiGraph<NodeId, u8>;

fn memory_near(graph: &Memory, places: &[NodeIndex], direction: petgraph::Direction) -> usize {
    places.iter().map(|place| graph.neighbors_directed(*place, direction).count()).sum()
}

fn memory_far(graph: &Memory, places: &[NodeIndex], up: bool) -> usize {
    let far = |place: &NodeIndex| {
        let mut count = 0;
        match up {
            true => {
                let mut walk = Bfs::new(Reversed(graph), *place);
                while walk.next(Reversed(graph)).is_some() {
                    count += 1;
                }
            }
            false => {
                let mut walk = Bfs::new(graph, *place);
                while walk.next(graph).is_some() {
                    count += 1;
                }
            }
        }
        count - 1
    };
    places.iter().map(far).sum()
}

fn graph(criterion: &mut Criterion) {
    let count = std::env::var("MGIT_BENCH_NODES").ok().and_then(|text| text.parse().ok());
    let nodes = plan(count.unwrap_or(100_000));
    let folder = tempfile::tempdir().expect("a folder");
    let (store_path, sqlite_path) = (folder.path().join("s.mgit"), folder.path().join("s.db"));
    let start = std::time::Instant::now();
    let family = fill_store(&store_path, &nodes);
    let bytes = std::fs::metadata(&store_path).expect("the store").len();
    println!("{} nodes added in {:.1?}, {bytes} bytes", nodes.len(), start.elapsed());
    fill_sqlite(&sqlite_path, &family);
    let mut memory: Memory = DiGraph::new();
    let places: Vec<NodeIndex> = family.ids.iter().map(|id| memory.add_node(*id)).collect();
    for (parent, child, kind) in &family.edges {
        memory.add_edge(places[*parent], places[*child], *kind);
    }

    let open = || Store::open_read_only(&store_path).expect("the store");
    Comparison::new("open, one neighbour question", bytes)
        .add("mgit", || {
            timed(|| {
                let (store, ids) = (open(), &family.ids[..1]);
                ours_near(&store.snapshot().expect("a snapshot"), ids, Direction::Down)
            })
        })
        .add("sqlite", || {
            timed(|| count_rows(&open_sqlite(&sqlite_path), CHILDREN, &family.ids[..1]))
        })
        .run(criterion, &[("mgit", "sqlite")]);

    let store = open();
    let snapshot = store.snapshot().expect("a snapshot");
    let sqlite = open_sqlite(&sqlite_path);
    let mut random = Random(11);
    let mut some = |count: usize| -> (Vec<NodeId>, Vec<NodeIndex>) {
        let places: Vec<usize> = (0..count).map(|_| random.below(family.ids.len())).collect();
        let ids = places.iter().map(|place| family.ids[*place]).collect();
        (ids, places.iter().map(|place| NodeIndex::new(*place)).collect())
    };

    let (ids, places) = some(10_000);
    for (title, direction, query, way) in [
        ("children of 10,000", Direction::Down, CHILDREN, petgraph::Direction::Outgoing),
        ("parents of 10,000", Direction::Up, PARENTS, petgraph::Direction::Incoming),
    ] {
        let expected = ours_near(&snapshot, &ids, direction);
        assert_eq!(memory_near(&memory, &places, way), expected);
        assert_eq!(count_rows(&sqlite, query, &ids), expected);
        println!("{title}: {expected}");
        Comparison::new(title, 0)
            .add("mgit", || timed(|| ours_near(&snapshot, &ids, direction)))
            .add("petgraph", || timed(|| memory_near(&memory, &places, way)))
            .add("sqlite", || timed(|| count_rows(&sqlite, query, &ids)))
            .run(criterion, &[("mgit", "petgraph"), ("mgit", "sqlite")]);
    }

    let (ids, places) = some(10);
    for (title, direction, query) in [
        ("ancestors of 10", Direction::Up, ANCESTORS),
        ("descendants of 10", Direction::Down, DESCENDANTS),
    ] {
        let up = direction == Direction::Up;
        let expected = ours_far(&snapshot, &ids, direction);
        assert_eq!(memory_far(&memory, &places, up), expected);
        assert_eq!(count_rows(&sqlite, query, &ids), expected);
        println!("{title}: {expected}");
        Comparison::new(title, 0)
            .add("mgit", || timed(|| ours_far(&snapshot, &ids, direction)))
            .add("petgraph", || timed(|| memory_far(&memory, &places, up)))
            .add("sqlite", || timed(|| count_rows(&sqlite, query, &ids)))
            .run(criterion, &[("mgit", "petgraph"), ("mgit", "sqlite")]);
    }

    let whole = || {
        let walk = snapshot.graph().topological(Edges::Both).expect("a walk");
        walk.map(|node| node.expect("a node")).count()
    };
    assert_eq!(whole(), family.ids.len());
    let sorted = || petgraph::algo::toposort(&memory, None).expect("no circle").len();
    assert_eq!(sorted(), family.ids.len());
    Comparison::new("all in topological order", 0)
        .add("mgit", || timed(whole))
        .add("petgraph", || timed(sorted))
        .run(criterion, &[("mgit", "petgraph")]);

    let (ids, _) = some(20);
    let graph = snapshot.graph();
    Comparison::new("of two nodes, ten times", 0)
        .add("nearest common ancestors", || {
            let near = |pair: &[NodeId]| graph.nearest_common_ancestors(pair, Edges::Both);
            timed(|| ids.chunks(2).map(|pair| near(pair).expect("ancestors").len()).sum::<usize>())
        })
        .add("does the one descend from the other", || {
            let ask = |pair: &[NodeId]| graph.descends(pair[0], pair[1]).expect("an answer");
            timed(|| ids.chunks(2).filter(|pair| ask(pair)).count())
        })
        .add("a way down", || {
            let way = |pair: &[NodeId]| graph.path(pair[0], pair[1], Edges::Both, Via::Descent);
            timed(|| ids.chunks(2).filter(|pair| way(pair).expect("an answer").is_some()).count())
        })
        .run(criterion, &[]);
}

criterion_group!(benches, graph);
criterion_main!(benches);
