//! Promise: names, kinds, tags and metadata can be changed, ids stay; whatever is done in
//! whatever order, the graph is what the change records say when they are replayed from the
//! first, and `verify` finds nothing.

use std::collections::BTreeMap;

use crate::common::{Random, new_store, seed, write};
use mgit::catalog::EdgeKind;
use mgit::error::LineageError;
use mgit::format::{
    ChangeRecord, FEATURE_EDGE_METADATA, FEATURE_RENAMES, FEATURE_SHARED_TABLE, FEATURE_TAGS,
    Operation,
};
use mgit::lineage::{Node, NodeId};
use mgit::store::Transaction;
use mgit::store::{Result, StoreError};
use mgit::upkeep::{VerifyDepth, verify};
use mgit::{How, NewModel, OnChildren, Snapshot, Store};
use serde_json::{Map, Value, json};

/// A graph as plain values, all ids as text.
#[derive(Clone, Debug, PartialEq, Default)]
struct Plain {
    /// Name, version, kind, by id.
    nodes: BTreeMap<String, (String, u32, String)>,
    metadata: BTreeMap<String, Map<String, Value>>,
    parents: BTreeMap<String, Vec<(String, String)>>,
    previous: BTreeMap<String, String>,
    /// By child, kind of edge and parent.
    edge_metadata: BTreeMap<(String, String, String), Map<String, Value>>,
    tags: BTreeMap<String, String>,
}

impl Plain {
    fn read(snapshot: &Snapshot) -> Self {
        let graph = snapshot.graph();
        let mut plain = Plain::default();
        for node in snapshot.nodes().unwrap() {
            let id = node.id().to_string();
            let (name, kind) = (node.name().to_owned(), node.kind().to_owned());
            plain.nodes.insert(id.clone(), (name, node.version(), kind));
            plain.put_metadata(&id, graph.metadata(node.id()).unwrap());
            let edges = graph.parents(node.id()).unwrap();
            let edges = edges.iter().map(|edge| (edge.parent.to_string(), edge.how.to_string()));
            plain.put_parents(&id, edges.collect());
            let previous = graph.previous(node.id()).unwrap();
            plain.put_previous(&id, previous.map(|id| id.to_string()));
            let edges = graph.parents(node.id()).unwrap();
            let provenance = edges.iter().map(|edge| (edge.parent, EdgeKind::Provenance));
            let version = previous.into_iter().map(|id| (id, EdgeKind::Version));
            for (parent, kind) in provenance.chain(version) {
                let metadata = graph.edge_metadata(node.id(), kind, parent).unwrap();
                plain.put_edge_metadata(&id, kind.name(), &parent.to_string(), metadata);
            }
            for tag in graph.tags_of(node.id()).unwrap() {
                plain.tags.insert(tag, id.clone());
            }
        }
        let tags = graph.tags().unwrap().into_iter().map(|(tag, id)| (tag, id.to_string()));
        assert_eq!(plain.tags, tags.collect());
        plain
    }

    fn put_metadata(&mut self, id: &str, metadata: Map<String, Value>) {
        self.metadata.remove(id);
        if !metadata.is_empty() {
            self.metadata.insert(id.to_owned(), metadata);
        }
    }

    fn put_parents(&mut self, id: &str, parents: Vec<(String, String)>) {
        self.edge_metadata.retain(|(child, kind, parent), _| {
            child != id || kind != "provenance" || parents.iter().any(|(other, _)| other == parent)
        });
        self.parents.remove(id);
        if !parents.is_empty() {
            self.parents.insert(id.to_owned(), parents);
        }
    }

    fn put_previous(&mut self, id: &str, previous: Option<String>) {
        self.edge_metadata.retain(|(child, kind, parent), _| {
            child != id || kind != "version" || Some(parent) == previous.as_ref()
        });
        self.previous.remove(id);
        self.previous.extend(previous.map(|previous| (id.to_owned(), previous)));
    }

    fn put_edge_metadata(
        &mut self,
        child: &str,
        kind: &str,
        parent: &str,
        metadata: Map<String, Value>,
    ) {
        let edge = (child.to_owned(), kind.to_owned(), parent.to_owned());
        self.edge_metadata.remove(&edge);
        if !metadata.is_empty() {
            self.edge_metadata.insert(edge, metadata);
        }
    }

    /// Does what the specification says of a change record.
    fn apply_change(&mut self, change: ChangeRecord) {
        if change.fold.is_some() {
            *self = Plain::default();
        }
        change.to_replay().iter().cloned().for_each(|operation| self.apply(operation));
    }

    /// Does what the specification says of an operation.
    fn apply(&mut self, operation: Operation) {
        match operation {
            Operation::AddNode { id, name, version, kind, previous, parents, metadata, .. } => {
                self.nodes.insert(id.clone(), (name, version, kind));
                self.put_metadata(&id, metadata);
                self.put_parents(&id, parents.into_iter().map(|e| (e.parent, e.how)).collect());
                self.put_previous(&id, previous);
            }
            Operation::RemoveNode { id } => {
                self.nodes.remove(&id);
                self.put_metadata(&id, Map::new());
                self.put_parents(&id, Vec::new());
                self.put_previous(&id, None);
                self.tags.retain(|_, node| *node != id);
            }
            Operation::SetParents { id, parents } => {
                self.put_parents(&id, parents.into_iter().map(|e| (e.parent, e.how)).collect());
            }
            Operation::SetPrevious { id, previous } => self.put_previous(&id, previous),
            Operation::SetMetadata { id, metadata } => self.put_metadata(&id, metadata),
            Operation::RenameNode { id, name, version } => {
                let node = self.nodes.get_mut(&id).unwrap();
                (node.0, node.1) = (name, version);
            }
            Operation::SetKind { id, kind } => self.nodes.get_mut(&id).unwrap().2 = kind,
            Operation::SetTag { tag, id: Some(id) } => drop(self.tags.insert(tag, id)),
            Operation::SetTag { tag, id: None } => drop(self.tags.remove(&tag)),
            Operation::SetEdgeMetadata { id, parent, kind, metadata } => {
                self.put_edge_metadata(&id, &kind, &parent, metadata);
            }
            Operation::ReserveVersions { name, version } => {
                let given = self.nodes.values().filter(|node| node.0 == name);
                assert!(given.map(|node| node.1).max().unwrap_or(0) <= version);
            }
            other => panic!("{other:?}"),
        }
    }

    fn replay(snapshot: &Snapshot) -> Self {
        let mut changes: Vec<_> = snapshot.changes().collect::<Result<_>>().unwrap();
        changes.reverse();
        let numbers: Vec<u64> = changes.iter().map(|change| change.sequence).collect();
        let first = numbers.first().copied().unwrap_or(1);
        assert_eq!(numbers, (first..=snapshot.sequence()).collect::<Vec<_>>());
        let mut plain = Plain::default();
        for (at, change) in changes.into_iter().enumerate() {
            assert!(at > 0 || first == 1 || change.fold.is_some());
            let (is_fold, operations) = (change.fold.is_some(), change.operations.clone());
            let mut step_by_step = plain.clone();
            plain.apply_change(change);
            if is_fold && at > 0 {
                // A fold says what the records before it, and it itself, lead to.
                operations.into_iter().for_each(|operation| step_by_step.apply(operation));
                assert_eq!(step_by_step, plain);
            }
        }
        plain
    }
}

const NAMES: [&str; 4] = ["a", "b", "c/d", "e"];
const TAGS: [&str; 3] = ["best", "v1.0", "b"];

fn step(transaction: &mut Transaction, random: &mut Random) -> Result<()> {
    let mut ids: Vec<NodeId> =
        transaction.graph()?.iter().map(|n| Ok(n?.id())).collect::<Result<_>>()?;
    ids.push(NodeId([0; 16]));
    let any = |random: &mut Random| ids[random.below(ids.len())].to_string();
    let (one, two) = (any(random), any(random));
    let name = NAMES[random.below(NAMES.len())];
    let tag = TAGS[random.below(TAGS.len())];
    let how = How::ALL[random.below(How::ALL.len())];
    let mut metadata = Map::new();
    for key in 0..random.below(3) {
        metadata.insert(format!("k{key}"), json!([random.below(9), null, "\u{0}<&"]));
    }
    match random.below(15) {
        0..=3 => {
            let new = NewModel::new(name);
            let new = if random.below(2) == 0 { new } else { new.parent(&*one, how) };
            transaction.add_model(new).map(drop)
        }
        4 => transaction.add_parent(&one, &two, how),
        5 => transaction.set_parents(&one, [(&two, how)]),
        6 => transaction.remove_parent(&one, &two),
        7 if how == How::Cast => transaction.clear_previous(&one),
        7 => transaction.set_previous(&one, &two),
        8 => transaction.set_metadata(&one, metadata),
        9 => {
            let kind = EdgeKind::ALL[random.below(2)];
            let graph = transaction.graph()?;
            let node = transaction.find(&one)?.id();
            let parent = match kind {
                EdgeKind::Provenance => graph.parents(node)?.pop().map(|edge| edge.parent),
                EdgeKind::Version => graph.previous(node)?,
            };
            let parent = parent.map_or(two, |id| id.to_string());
            transaction.set_edge_metadata(&one, kind, &parent, metadata)
        }
        10 => transaction.set_tag(tag, &one).map(drop),
        11 => transaction.remove_tag(tag).map(drop),
        12 => transaction.move_model(&one, name).map(drop),
        13 => transaction.rename_models(name, NAMES[random.below(NAMES.len())]).map(drop),
        _ => {
            let all = [OnChildren::Refuse, OnChildren::Reparent, OnChildren::Detach];
            transaction.set_kind(&two, "k\u{e9}").or_else(|_| Ok::<_, StoreError>(()))?;
            transaction.remove_model(&one, all[random.below(3)]).map(drop)
        }
    }
}

#[test]
fn the_change_records_say_what_the_graph_is() {
    let seed = seed();
    println!("MGIT_SEED={seed}");
    let mut random = Random(seed);
    for _ in 0..8 {
        let (_folder, _, store) = new_store();
        for _ in 0..60 {
            let mut transaction = store.begin_write().unwrap();
            let before = Plain::read(&store.snapshot().unwrap());
            let steps =
                (0..1 + random.below(3)).try_for_each(|_| step(&mut transaction, &mut random));
            match steps {
                Ok(()) => {
                    if random.below(5) == 0 {
                        transaction.fold_changes();
                    }
                    transaction.commit().unwrap();
                }
                Err(StoreError::Lineage(_)) => {
                    drop(transaction);
                    assert_eq!(Plain::read(&store.snapshot().unwrap()), before);
                }
                Err(error) => panic!("{error}"),
            }
        }
        let snapshot = store.snapshot().unwrap();
        assert_eq!(Plain::replay(&snapshot), Plain::read(&snapshot));
        let report = verify(&store, &snapshot, VerifyDepth::Full, &|_| ()).unwrap();
        assert!(report.is_clean(), "{:?}", report.findings);
    }
}

fn store_of(names: &[&str]) -> (tempfile::TempDir, Store) {
    let (folder, _, store) = new_store();
    write(&store, |transaction| {
        names.iter().try_for_each(|name| transaction.add_model(NewModel::new(*name)).map(drop))
    })
    .unwrap();
    (folder, store)
}

fn names(store: &Store) -> Vec<String> {
    store.snapshot().unwrap().nodes().unwrap().iter().map(Node::full_name).collect()
}

fn refusal<T>(result: Result<T>) -> LineageError {
    match result.map(drop) {
        Err(StoreError::Lineage(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_name_moves_with_its_versions_and_their_ids() {
    let (_folder, store) = store_of(&["a", "a", "a", "b"]);
    write(&store, |t| t.remove_model("a@2", OnChildren::Refuse)).unwrap();
    let before = store.snapshot().unwrap();
    let id = |snapshot: &Snapshot, name: &str| snapshot.graph().find(name).unwrap().id();
    write(&store, |t| t.rename_models("a", "c/new")).unwrap();
    assert_eq!(names(&store), ["b@1", "c/new@1", "c/new@3"]);
    let after = store.snapshot().unwrap();
    assert_eq!(id(&after, "c/new"), id(&before, "a@3"));
    let graph = after.graph();
    assert_eq!(graph.previous(id(&after, "c/new")).unwrap(), Some(id(&before, "a@1")));
    assert_eq!(graph.find("c/new@3").unwrap().revision(), 3);
    // The numbers that were given are not given again, to whomever.
    write(&store, |t| t.add_model(NewModel::new("a"))).unwrap();
    write(&store, |t| t.add_model(NewModel::new("c/new"))).unwrap();
    assert_eq!(names(&store), ["a@4", "b@1", "c/new@1", "c/new@3", "c/new@4"]);
    write(&store, |t| t.remove_model("a", OnChildren::Refuse)).unwrap();
    write(&store, |t| t.rename_models("c/new", "a")).unwrap();
    assert_eq!(names(&store), ["a@5", "a@6", "a@7", "b@1"]);
    assert!(matches!(
        refusal(write(&store, |t| t.rename_models("a", "b"))),
        LineageError::NameTaken { .. }
    ));
    assert!(matches!(
        refusal(write(&store, |t| t.rename_models("none-such", "x"))),
        LineageError::NoSuchModel { .. }
    ));
    let id = "0123456789abcdef0123456789abcdef";
    for name in ["x@1", "-a", id] {
        assert!(matches!(
            refusal(write(&store, |t| t.rename_models("a", name))),
            LineageError::InvalidName { .. }
        ));
        assert!(matches!(
            refusal(write(&store, |t| t.move_model("a@5", name))),
            LineageError::InvalidName { .. }
        ));
        assert!(matches!(
            refusal(write(&store, |t| t.set_tag(name, "a@5"))),
            LineageError::InvalidName { .. }
        ));
    }
}

#[test]
fn one_version_moves_to_the_end_of_another_name() {
    let (_folder, store) = store_of(&["a", "a", "a", "b"]);
    write(&store, |t| t.move_model("a@2", "b")).unwrap();
    assert_eq!(names(&store), ["a@1", "a@3", "b@1", "b@2"]);
    let snapshot = store.snapshot().unwrap();
    let graph = snapshot.graph();
    let previous = |name: &str| {
        let id = graph.previous(graph.find(name).unwrap().id()).unwrap();
        id.map(|id| graph.expect(id).unwrap().full_name())
    };
    assert_eq!(previous("a@3").as_deref(), Some("a@1"));
    assert_eq!(previous("b@2").as_deref(), Some("b@1"));
    assert!(matches!(
        refusal(write(&store, |t| t.move_model("b", "b"))),
        LineageError::NameTaken { .. }
    ));
}

#[test]
fn a_tag_names_one_model_and_goes_with_it() {
    let (_folder, store) = store_of(&["a", "b"]);
    write(&store, |t| t.set_tag("best", "a")).unwrap();
    assert_eq!(store.snapshot().unwrap().model("best").unwrap().full_name(), "a@1");
    write(&store, |t| t.set_tag("best", "b")).unwrap();
    assert_eq!(store.snapshot().unwrap().model("best").unwrap().full_name(), "b@1");
    assert!(matches!(
        refusal(write(&store, |t| t.set_tag("a", "b"))),
        LineageError::NameTaken { .. }
    ));
    assert!(matches!(
        refusal(write(&store, |t| t.add_model(NewModel::new("best")))),
        LineageError::NameTaken { .. }
    ));
    assert!(matches!(
        refusal(write(&store, |t| t.rename_models("a", "best"))),
        LineageError::NameTaken { .. }
    ));
    assert!(matches!(
        refusal(write(&store, |t| t.remove_tag("worst"))),
        LineageError::NoSuchTag { .. }
    ));
    write(&store, |t| t.remove_model("b", OnChildren::Refuse)).unwrap();
    let snapshot = store.snapshot().unwrap();
    assert_eq!(snapshot.graph().tags().unwrap(), []);
    assert!(matches!(
        snapshot.model("best").unwrap_err(),
        StoreError::Lineage(LineageError::NoSuchModel { .. })
    ));
    write(&store, |t| t.add_model(NewModel::new("best"))).unwrap();
}

#[test]
fn metadata_of_an_edge_lives_as_long_as_the_edge() {
    let (_folder, store) = store_of(&["a", "b", "c"]);
    let lr = || Map::from_iter([("lr".to_owned(), json!(3e-4))]);
    let provenance = EdgeKind::Provenance;
    assert!(matches!(
        refusal(write(&store, |t| t.set_edge_metadata("c", provenance, "a", lr()))),
        LineageError::NoSuchEdge { .. }
    ));
    write(&store, |t| {
        t.set_parents("c", [("a", How::Merge), ("b", How::Merge)])?;
        t.set_edge_metadata("c", provenance, "a", lr())?;
        t.set_edge_metadata("c", provenance, "b", lr())?;
        t.set_parents("c", [("b", How::Distil)])
    })
    .unwrap();
    let read = |parent: &str| {
        let snapshot = store.snapshot().unwrap();
        let [child, parent] = ["c", parent].map(|n| snapshot.model(n).unwrap().node().id());
        snapshot.graph().edge_metadata(child, provenance, parent).unwrap()
    };
    assert_eq!((read("a"), read("b")), (Map::new(), lr()));
    write(&store, |t| t.remove_parent("c", "b")).unwrap();
    write(&store, |t| t.add_parent("c", "b", How::Cast)).unwrap();
    assert_eq!(read("b"), Map::new());
    assert!(matches!(
        refusal(write(&store, |t| t.remove_parent("c", "a"))),
        LineageError::NoSuchEdge { .. }
    ));
}

#[test]
fn what_an_older_writer_would_break_is_flagged_when_it_is_first_used() {
    let (_folder, store) = store_of(&["a", "b"]);
    let flags = || {
        let superblock = store.container().superblock();
        assert_eq!(superblock.reader_flags, FEATURE_SHARED_TABLE);
        superblock.writer_flags
    };
    write(&store, |t| t.set_metadata("a", Map::new())).unwrap();
    write(&store, |t| t.set_parents("b", [("a", How::Cast)])).unwrap();
    assert_eq!(flags(), 0);
    write(&store, |t| t.set_tag("best", "a")).unwrap();
    assert_eq!(flags(), FEATURE_TAGS);
    write(&store, |t| t.set_edge_metadata("b", EdgeKind::Provenance, "a", Map::new())).unwrap();
    assert_eq!(flags(), FEATURE_TAGS | FEATURE_EDGE_METADATA);
    write(&store, |t| t.set_kind("a", "bert")).unwrap();
    assert_eq!(flags(), FEATURE_TAGS | FEATURE_EDGE_METADATA | FEATURE_RENAMES);
    assert_eq!(store.snapshot().unwrap().model("a").unwrap().node().kind(), "bert");
}
