//! Promise: the lineage graph says what was derived from what, and how: names with versions that
//! are never given twice, two kinds of edge, no cycle over both together, and removals that leave
//! no loose end.

use crate::common;
use crate::common::{add, add_one, new_store, shape, weights, write};
use mgit::catalog::EdgeKind;
use mgit::error::LineageError;
use mgit::lineage::{Node, NodeId};
use mgit::store::StoreError;
use mgit::{Dtype, How, NewModel, NewTensor, OnChildren, Snapshot, Store};

/// Adds a model without tensors.
fn node(store: &Store, name: &str, parents: &[(&str, How)]) -> Node {
    let new = parents.iter().fold(NewModel::new(name), |new, (name, how)| new.parent(*name, *how));
    add(store, new).unwrap().node
}

fn parents(snapshot: &Snapshot, model: &str) -> Vec<(String, How)> {
    let graph = snapshot.graph();
    let edges = graph.parents(graph.find(model).unwrap().id()).unwrap();
    edges.iter().map(|e| (graph.expect(e.parent).unwrap().full_name(), e.how)).collect()
}

fn children(snapshot: &Snapshot, model: &str, kind: EdgeKind) -> Vec<String> {
    let graph = snapshot.graph();
    let id = graph.find(model).unwrap().id();
    let name = |id: NodeId| graph.expect(id).unwrap().full_name();
    let mut names: Vec<_> = graph.children(id, kind).unwrap().into_iter().map(name).collect();
    names.sort();
    names
}

fn previous(snapshot: &Snapshot, model: &str) -> Option<String> {
    let graph = snapshot.graph();
    let id = graph.previous(graph.find(model).unwrap().id()).unwrap()?;
    Some(graph.expect(id).unwrap().full_name())
}

fn add_parent(store: &Store, child: &str, parent: &str) -> mgit::store::Result<()> {
    write(store, |t| t.add_parent(child, parent, How::Other))
}

#[track_caller]
fn refused(result: mgit::store::Result<()>, text: &str) {
    let error = result.unwrap_err();
    assert_eq!(error.to_string().as_str(), text);
}

fn owned(parents: &[(&str, How)]) -> Vec<(String, How)> {
    parents.iter().map(|(name, how)| ((*name).to_owned(), *how)).collect()
}

#[test]
fn edges_carry_how_a_model_was_made_and_keep_their_order() {
    let (_folder, path, store) = new_store();
    let parts: Vec<_> = How::ALL.iter().map(|how| (format!("p/{how}"), *how)).collect();
    for (name, _) in &parts {
        node(&store, name, &[]);
    }
    let given: Vec<_> = parts.iter().rev().map(|(name, how)| (name.as_str(), *how)).collect();
    node(&store, "child", &given);
    drop(store);
    let snapshot = Store::open_read_only(&path).unwrap().snapshot().unwrap();
    let expected: Vec<_> = given.iter().map(|(name, how)| (format!("{name}@1"), *how)).collect();
    assert_eq!(parents(&snapshot, "child"), expected);
    assert_eq!(children(&snapshot, "p/merge", EdgeKind::Provenance), ["child@1"]);
    assert!(children(&snapshot, "child", EdgeKind::Provenance).is_empty());
}

#[test]
fn versions_follow_each_other_and_are_relinked_when_one_goes() {
    let (_folder, _, store) = new_store();
    for _ in 0..4 {
        node(&store, "a", &[]);
    }
    node(&store, "ab", &[]);
    let snapshot = store.snapshot().unwrap();
    assert_eq!(previous(&snapshot, "a@1"), None);
    assert_eq!(previous(&snapshot, "a@4"), Some("a@3".to_owned()));
    assert_eq!(previous(&snapshot, "ab"), None);
    assert_eq!(children(&snapshot, "a@2", EdgeKind::Version), ["a@3"]);
    let report = write(&store, |t| t.remove_model("a@2", OnChildren::Refuse)).unwrap();
    assert!(report.changed_children.is_empty(), "a later version is no child");
    let after = store.snapshot().unwrap();
    assert_eq!(previous(&after, "a@3"), Some("a@1".to_owned()));
    assert_eq!(children(&after, "a@1", EdgeKind::Version), ["a@3"]);
    write(&store, |t| t.remove_model("a@1", OnChildren::Refuse)).unwrap();
    assert_eq!(previous(&store.snapshot().unwrap(), "a@3"), None);
    assert_eq!(previous(&snapshot, "a@3"), Some("a@2".to_owned()), "a snapshot stays");
    write(&store, |t| t.remove_model("a@4", OnChildren::Refuse)).unwrap();
    assert_eq!(node(&store, "a", &[]).version(), 5);
    assert_eq!(previous(&store.snapshot().unwrap(), "a"), Some("a@3".to_owned()));
}

#[test]
fn a_cycle_over_both_kinds_of_edge_is_refused() {
    let (_folder, _, store) = new_store();
    node(&store, "a", &[]);
    node(&store, "b", &[("a", How::FineTune)]);
    node(&store, "c", &[("b", How::Prune)]);
    node(&store, "a", &[]);
    node(&store, "d", &[("a@2", How::Cast)]);
    for (child, parent) in [("a@1", "c"), ("a@1", "a@1"), ("a@1", "a@2"), ("a@1", "d")] {
        let parent = if parent.contains('@') { parent.to_owned() } else { format!("{parent}@1") };
        let text = format!("{parent} descends from {child} and cannot be its parent");
        refused(add_parent(&store, child, &parent), &text);
    }
    // The other way round, and across, is no cycle.
    add_parent(&store, "a@2", "c").unwrap();
    add_parent(&store, "d", "b").unwrap();
    refused(add_parent(&store, "c", "d"), "d@1 descends from c@1 and cannot be its parent");
    let snapshot = store.snapshot().unwrap();
    assert_eq!(parents(&snapshot, "a@2"), owned(&[("c@1", How::Other)]));
    assert_eq!(parents(&snapshot, "d"), owned(&[("a@2", How::Cast), ("b@1", How::Other)]));
    assert!(parents(&snapshot, "a@1").is_empty());
}

#[test]
fn the_same_parent_twice_is_refused() {
    let (_folder, _, store) = new_store();
    let a = node(&store, "a", &[]);
    let id = a.id().to_string();
    for again in ["a", "a@1", &id] {
        let new = NewModel::new("b").parent("a@1", How::Merge).parent(again, How::Average);
        refused(add(&store, new).map(drop), "a@1 is named twice as a parent");
    }
    node(&store, "b", &[("a", How::Merge)]);
    refused(add_parent(&store, "b", "a"), "a@1 is named twice as a parent");
    assert_eq!(store.snapshot().unwrap().nodes().unwrap().len(), 2);
}

/// base -> mid -> (left, right), and base -> right.
fn family(store: &Store) {
    node(store, "base", &[]);
    node(store, "mid", &[("base", How::FineTune)]);
    node(store, "left", &[("mid", How::Prune)]);
    node(store, "right", &[("mid", How::Merge), ("base", How::Average)]);
}

#[test]
fn a_model_with_children_is_kept_unless_told_what_becomes_of_them() {
    let (_folder, _, store) = new_store();
    family(&store);
    let error = write(&store, |t| t.remove_model("mid", OnChildren::Refuse)).unwrap_err();
    assert!(matches!(error, StoreError::Lineage(LineageError::HasChildren { .. })));
    let text = error.to_string();
    assert!(text.starts_with("mid@1 has derived models (") && text.contains("left@1"), "{text}");
    assert!(text.contains("right@1"), "{text}");
    assert_eq!(store.snapshot().unwrap().nodes().unwrap().len(), 4);
    write(&store, |t| t.remove_model("left", OnChildren::Refuse)).unwrap();
}

#[test]
fn children_are_given_the_parents_of_what_goes() {
    let (_folder, _, store) = new_store();
    family(&store);
    let report = write(&store, |t| t.remove_model("mid", OnChildren::Reparent)).unwrap();
    assert_eq!(report.changed_children.len(), 2);
    let snapshot = store.snapshot().unwrap();
    assert_eq!(parents(&snapshot, "left"), owned(&[("base@1", How::Prune)]));
    // It was a child of the base already: one edge, in the place of the first.
    assert_eq!(parents(&snapshot, "right"), owned(&[("base@1", How::Merge)]));
    assert_eq!(children(&snapshot, "base", EdgeKind::Provenance), ["left@1", "right@1"]);
    let revision = |name: &str| snapshot.graph().find(name).unwrap().revision();
    assert_eq!((revision("left"), revision("right"), revision("base")), (5, 5, 1));
}

#[test]
fn children_are_detached_from_what_goes() {
    let (_folder, _, store) = new_store();
    family(&store);
    write(&store, |t| t.remove_model("mid", OnChildren::Detach)).unwrap();
    let snapshot = store.snapshot().unwrap();
    assert!(parents(&snapshot, "left").is_empty());
    assert_eq!(parents(&snapshot, "right"), owned(&[("base@1", How::Average)]));
    assert_eq!(children(&snapshot, "base", EdgeKind::Provenance), ["right@1"]);
}

#[test]
fn identity_is_apart_from_content() {
    let (_folder, _, store) = new_store();
    let bytes = weights(1, 100);
    let first = add_one(&store, "a", &[], &bytes).unwrap().node;
    let second = add_one(&store, "b", &[], &bytes).unwrap().node;
    assert_ne!(first.id(), second.id());
    assert_eq!(first.manifest_id(), second.manifest_id());
    write(&store, |t| t.remove_model("a", OnChildren::Refuse)).unwrap();
    let again = add_one(&store, "a", &[], &bytes).unwrap().node;
    assert!(again.id() != first.id() && again.version() == 2);
    assert!(store.snapshot().unwrap().model(first.id().to_string()).is_err());
}

#[test]
fn a_diamond_of_versions_and_derivations_is_walked_in_bounded_time() {
    let (_folder, _, store) = new_store();
    // Each layer descends from both of the layer before: 2^30 paths, 60 nodes.
    node(&store, "n0", &[]);
    node(&store, "m0", &[]);
    for at in 1..30 {
        let (n, m) = (format!("n{}", at - 1), format!("m{}", at - 1));
        let both = [(n.as_str(), How::Merge), (m.as_str(), How::Merge)];
        node(&store, &format!("n{at}"), &both);
        node(&store, &format!("m{at}"), &both);
    }
    let error = add_parent(&store, "n0", "m29").unwrap_err();
    assert!(matches!(error, StoreError::Lineage(mgit::lineage::LineageError::Cycle { .. })));
    add_parent(&store, "n0", "m0").unwrap();
}

#[test]
fn a_new_model_is_coded_against_its_previous_version_without_an_edge_to_it() {
    let (_folder, _, store) = new_store();
    let bytes = weights(1, 5000);
    add_one(&store, "a", &[], &bytes).unwrap();
    let next = common::nudged(&bytes, 2, 50);
    let tensor = NewTensor::from_bytes("w", Dtype::F32, shape(&[5000]), &next);
    assert_eq!(add(&store, NewModel::new("a").tensor(tensor)).unwrap().delta, 1);
    let snapshot = store.snapshot().unwrap();
    assert!(parents(&snapshot, "a@2").is_empty());
    assert_eq!(previous(&snapshot, "a@2"), Some("a@1".to_owned()));
}
