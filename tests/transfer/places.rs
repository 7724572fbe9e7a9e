//! Promise: clone, push, pull and bundles move what is missing, keep deltas, refuse what would
//! lose models, and bring both sides to the same graph and contents.

use std::path::Path;
use std::sync::atomic::Ordering;

use crate::common;
use crate::common::remote::{ALL, Faults, Memory, assert_same, assert_sound, family, grown};
use crate::common::{add, add_one, contents, model, nudged, one, tensor_rows, weights, write};
use mgit::catalog::EdgeKind;
use mgit::codec::Lossy;
use mgit::transfer::{
    Place, Selection, TransferError, add_remote, fetch, pull, pull_from_remote, pull_from_store,
    push, push_to_remote, remotes, remove_remote,
};
use mgit::{How, Snapshot, Store};
use serde_json::{Map, json};

/// A family, and a store that has pulled all of it by way of `place`.
fn shared(folder: &Path, place: &Place) -> (Store, Store) {
    let a = family(&folder.join("a.mgit"));
    let b = Store::create(folder.join("b.mgit")).unwrap();
    push(&a, place, ALL).unwrap();
    pull(&b, place, ALL).unwrap();
    (a, b)
}

#[test]
fn a_clone_is_the_same_family_and_keeps_deltas() {
    let folder = common::folder();
    let a = family(&folder.path().join("a.mgit"));
    let b = Store::create(folder.path().join("b.mgit")).unwrap();
    let report = pull_from_store(&b, &a, ALL).unwrap();
    assert_eq!(report.models, ["base@1", "tuned@1", "tuned@2"]);
    assert_same(&a, &b, "cloned");
    // As stored: the same bases, encodings and lengths.
    let rows = |store: &Store| {
        let rows = tensor_rows(&store.snapshot().unwrap());
        let row = |(id, row): (_, mgit::catalog::RecordRow)| {
            (id, (row.base_id, row.encodings, row.stored_len, row.depth, row.holders))
        };
        rows.into_iter().map(row).collect::<std::collections::BTreeMap<_, _>>()
    };
    assert_eq!(rows(&a), rows(&b));
    assert!(rows(&b).values().any(|row| !row.0.is_none()), "no delta in the family");
    // Nothing is missing now.
    let again = pull_from_store(&b, &a, ALL).unwrap();
    assert!(again.models.is_empty() && again.bytes == 0, "{again:?}");
}

fn hidden(store: &Store) -> usize {
    let rows = tensor_rows(&store.snapshot().unwrap());
    rows.values().filter(|row| row.holders == 0).count()
}

#[test]
fn a_removed_base_comes_along_hidden_where_much_stands_on_it() {
    let folder = common::folder();
    let a = family(&folder.path().join("a.mgit"));
    grown(&a, "second", "base", 7);
    grown(&a, "third", "base", 8);
    write(&a, |transaction| transaction.remove_model("base", mgit::OnChildren::Detach)).unwrap();
    let b = Store::create(folder.path().join("b.mgit")).unwrap();
    pull_from_store(&b, &a, ALL).unwrap();
    assert_same(&a, &b, "cloned without the base");
    assert_eq!((hidden(&a), hidden(&b)), (1, 1));
}

#[test]
fn what_only_one_tensor_stands_on_stays_where_it_is() {
    let folder = common::folder();
    let a = family(&folder.path().join("a.mgit"));
    write(&a, |transaction| transaction.remove_model("base", mgit::OnChildren::Detach)).unwrap();
    let b = Store::create(folder.path().join("b.mgit")).unwrap();
    let remote = Memory::default();
    push_to_remote(&a, &remote, ALL).unwrap();
    pull_from_remote(&b, &remote, ALL).unwrap();
    let c = Store::create(folder.path().join("c.mgit")).unwrap();
    pull_from_store(&c, &a, ALL).unwrap();
    let rows = tensor_rows(&a.snapshot().unwrap());
    let deltas = rows.values().filter(|row| row.depth > 1).map(|row| row.len).sum::<u64>();
    // The first version alone, and as a difference from it the second.
    let changed = 160_000 + 12_000 + deltas;
    let written = remote.written.load(Ordering::Relaxed);
    assert!(written * 100 <= changed * 105, "{written} bytes for {changed}");
    assert!(deltas > 0 && hidden(&a) == 1);
    for store in [&b, &c] {
        assert_same(&a, store, "without what is hidden");
        assert_eq!(hidden(store), 0);
        let rows = tensor_rows(&store.snapshot().unwrap());
        assert!(rows.values().any(|row| row.depth == 1), "a difference stays one");
    }
    // Where the base is, the difference goes.
    let d = family(&folder.path().join("d.mgit"));
    grown(&a, "fourth", "tuned@1", 9);
    let before = tensor_rows(&d.snapshot().unwrap());
    pull_from_store(&d, &a, ALL).unwrap();
    let after = tensor_rows(&d.snapshot().unwrap());
    let came = after.iter().filter(|(id, _)| !before.contains_key(id));
    assert!(came.into_iter().all(|(_, row)| row.depth > 0 && row.stored_len < 160_000));
}

#[test]
fn only_what_is_wanted_and_what_it_needs_travels() {
    let folder = common::folder();
    let a = family(&folder.path().join("a.mgit"));
    add_one(&a, "other", &[], &weights(8, 5_000)).unwrap();
    grown(&a, "third", "base", 9);
    let b = Store::create(folder.path().join("b.mgit")).unwrap();
    let wants = |name: &str| name == "third";
    let some = Selection { wants: &wants, ..ALL };
    let report = pull_from_store(&b, &a, some).unwrap();
    assert_eq!(report.models, ["base@1", "third@1"]);
    assert_sound(&b, "a part");
    let none = Selection { wants: &|_| false, ..ALL };
    let error = pull_from_store(&b, &a, none).unwrap_err();
    assert!(matches!(error, TransferError::NothingSelected), "{error}");
}

/// Diverge, push, refused push, pull, push: both sides are the same at the end.
fn grow_apart_and_together(a: &Store, b: &Store, place: &Place) {
    grown(a, "tuned", "base", 20);
    grown(b, "tuned", "base", 21);
    grown(b, "tuned", "base", 22);
    grown(b, "mine", "tuned@3", 23);
    push(a, place, ALL).unwrap();
    let error = push(b, place, ALL).unwrap_err();
    let TransferError::Diverged { names } = &error else { panic!("{error}") };
    assert_eq!(names.len(), 1, "{names:?}");
    let apart = &names[0];
    assert_eq!(apart.name, "tuned");
    assert_eq!(apart.ours, ["tuned@3", "tuned@4"]);
    assert_eq!(apart.theirs, ["tuned@3"]);
    assert_eq!(apart.common.as_deref(), Some("tuned@2"));
    assert!(error.to_string().contains("tuned: here tuned@3 to tuned@4, there tuned@3"));

    let before = contents(&b.snapshot().unwrap()).unwrap();
    let report = pull(b, place, ALL).unwrap();
    assert_eq!(report.models, ["tuned@3"]);
    let moved: Vec<_> =
        report.renumbered.iter().map(|r| (r.was.as_str(), r.now.as_str())).collect();
    assert_eq!(moved, [("tuned@3", "tuned@5"), ("tuned@4", "tuned@6")]);
    assert_eq!(report.diverged.len(), 1, "{report:?}");
    assert_eq!(report.diverged[0].1, ["tuned@3", "tuned@6"]);
    // Nothing is lost: what was here is here, and what was there.
    let after = contents(&b.snapshot().unwrap()).unwrap();
    assert_eq!(after["tuned@5"], before["tuned@3"]);
    assert_eq!(after["tuned@6"], before["tuned@4"]);
    assert_eq!(after["tuned@3"], contents(&a.snapshot().unwrap()).unwrap()["tuned@3"]);
    let apart = b.snapshot().unwrap().graph().diverged().unwrap();
    assert_eq!(apart.len(), 1);
    assert_eq!((apart[0].0.as_str(), apart[0].1.len()), ("tuned", 2));
    assert_sound(b, "after the pull");

    push(b, place, ALL).unwrap();
    pull(a, place, ALL).unwrap();
    assert_same(a, b, "together again");
    // A model made of both ends brings the name together.
    let made = one(weights(30, 10));
    add(a, model("tuned", &["tuned@3", "tuned@6"], &made)).unwrap();
    assert!(a.snapshot().unwrap().graph().diverged().unwrap().is_empty());
    push(a, place, ALL).unwrap();
    pull(b, place, ALL).unwrap();
    assert_same(a, b, "merged");
}

#[test]
fn two_stores_grow_apart_and_together_by_a_folder() {
    let folder = common::folder();
    let a = family(&folder.path().join("a.mgit"));
    let place = Place::parse(folder.path().join("remote").to_str().unwrap()).unwrap();
    assert!(matches!(place, Place::Folder(_)));
    let error = pull(&a, &place, ALL).unwrap_err();
    assert!(matches!(error, TransferError::NotFound { .. }), "{error}");
    push(&a, &place, ALL).unwrap();
    let b = Store::create(folder.path().join("b.mgit")).unwrap();
    pull(&b, &place, ALL).unwrap();
    assert_same(&a, &b, "cloned");
    grow_apart_and_together(&a, &b, &place);
}

#[test]
fn two_stores_grow_apart_and_together_by_a_third() {
    let folder = common::folder();
    let hub = folder.path().join("hub.mgit");
    drop(Store::create(&hub).unwrap());
    let a = family(&folder.path().join("a.mgit"));
    let place = Place::parse(hub.to_str().unwrap()).unwrap();
    assert!(matches!(place, Place::Store(_)));
    push(&a, &place, ALL).unwrap();
    let b = Store::create(folder.path().join("b.mgit")).unwrap();
    pull(&b, &place, ALL).unwrap();
    grow_apart_and_together(&a, &b, &place);
    assert_same(&a, &Store::open(&hub).unwrap(), "the one between");
}

#[test]
fn a_static_host_can_serve_pulls() {
    let folder = common::folder();
    let a = family(&folder.path().join("a.mgit"));
    let remote = Memory::default();
    for seed in 0..6 {
        push_to_remote(&a, &remote, ALL).unwrap();
        grown(&a, "more", "base", 40 + seed);
    }
    push_to_remote(&a, &remote, ALL).unwrap();
    let refs = remote.files.lock().unwrap().keys().filter(|path| path.starts_with("refs/")).count();
    assert_eq!(refs, 7);
    let b = Store::create(folder.path().join("b.mgit")).unwrap();
    let host = Memory { is_static: true, ..remote };
    pull_from_remote(&b, &host, ALL).unwrap();
    assert_same(&a, &b, "from a static host");
}

/// Bytes of the records of tensors and manifests that are in `after` and not in `before`.
fn record_bytes(before: &Snapshot, after: &Snapshot) -> u64 {
    let (old, new) = (tensor_rows(before), tensor_rows(after));
    new.iter().filter(|(id, _)| !old.contains_key(id)).map(|(_, row)| row.len).sum()
}

#[test]
fn little_more_than_what_changed_goes_over_the_wire() {
    let folder = common::folder();
    let a = Store::create(folder.path().join("a.mgit")).unwrap();
    let body = weights(1, 1_500_000);
    add(&a, model("base", &[], &[("body".to_owned(), body)])).unwrap();
    let remote = Memory::default();
    push_to_remote(&a, &remote, ALL).unwrap();
    let b = Store::create(folder.path().join("b.mgit")).unwrap();
    let all = record_bytes(&b.snapshot().unwrap(), &a.snapshot().unwrap());
    pull_from_remote(&b, &remote, ALL).unwrap();
    // The push has read back what it wrote.
    let read = remote.read.load(Ordering::Relaxed);
    assert!(read * 100 <= 2 * all * 105, "push and clone: {read} bytes for {all}");

    let before = a.snapshot().unwrap();
    grown(&a, "tuned", "base", 2);
    let changed = record_bytes(&before, &a.snapshot().unwrap());
    assert!(changed > 200_000, "{changed}");
    remote.reset(Faults::default());
    push_to_remote(&a, &remote, ALL).unwrap();
    pull_from_remote(&b, &remote, ALL).unwrap();
    let (read, written) =
        (remote.read.load(Ordering::Relaxed), remote.written.load(Ordering::Relaxed));
    println!(
        "changed {changed}, written {written} ({:.4}), read {read} ({:.4})",
        written as f64 / changed as f64,
        read as f64 / changed as f64
    );
    assert!(written * 100 <= changed * 105, "push: {written} bytes for {changed}");
    // A push reads where the remote is, and what it has written.
    assert!(read * 100 <= 2 * changed * 105, "push and pull read {read} bytes for {changed}");
    assert_same(&a, &b, "after both");
}

#[test]
fn a_fetch_brings_the_tensors_and_a_pull_names_them() {
    let folder = common::folder();
    let a = family(&folder.path().join("a.mgit"));
    let b = Store::create(folder.path().join("b.mgit")).unwrap();
    let place = Place::Store(folder.path().join("a.mgit"));
    let report = fetch(&b, &place, ALL).unwrap();
    assert_eq!(report.models, ["base@1", "tuned@1", "tuned@2"]);
    assert!(report.bytes > 0 && b.snapshot().unwrap().nodes().unwrap().is_empty());
    assert_sound(&b, "fetched");
    let report = pull(&b, &place, ALL).unwrap();
    assert_eq!(report.bytes, 0, "{report:?}");
    assert_same(&a, &b, "pulled");
}

#[test]
fn remotes_are_kept_without_credentials() {
    let (_folder, path, store) = common::new_store();
    add_remote(&store, "origin", "/models/family").unwrap();
    add_remote(&store, "cloud", "s3://bucket/family").unwrap();
    add_remote(&store, "origin", "relative").unwrap();
    for bad in [
        "https://me:secret@host/family",
        "s3://secret@bucket/family",
        "https://host/family?X-Amz-Signature=abc",
        "https://host/family?sas_token=abc",
    ] {
        let error = add_remote(&store, "bad", bad).unwrap_err();
        assert!(matches!(error, TransferError::BadRemote { .. }), "{error}");
        assert!(!error.to_string().contains("secret") && !error.to_string().contains("abc"));
        assert!(Place::parse(bad).is_err());
    }
    assert!(add_remote(&store, "a/b", "x").is_err());
    drop(store);
    let store = Store::open(&path).unwrap();
    let kept = remotes(&store.snapshot().unwrap()).unwrap();
    let kept: Vec<_> = kept.into_iter().map(|remote| (remote.name, remote.url)).collect();
    assert_eq!(kept[0], ("cloud".to_owned(), "s3://bucket/family".to_owned()));
    assert!(kept[1].1.starts_with('/') && kept[1].1.ends_with("/relative"), "{kept:?}");
    remove_remote(&store, "cloud").unwrap();
    let error = remove_remote(&store, "cloud").unwrap_err();
    assert!(error.to_string().contains("origin"), "{error}");
    assert_sound(&store, "remotes");
}

#[test]
fn edges_metadata_and_kinds_come_along() {
    let folder = common::folder();
    let a = family(&folder.path().join("a.mgit"));
    write(&a, |transaction| {
        let metadata = Map::from_iter([("steps".to_owned(), json!(500))]);
        let kind = EdgeKind::Provenance;
        transaction.set_edge_metadata("tuned@1", kind, "base", metadata)?;
        transaction.add_parent("tuned@2", "tuned@1", How::Distil)
    })
    .unwrap();
    let b = Store::create(folder.path().join("b.mgit")).unwrap();
    pull_from_store(&b, &a, ALL).unwrap();
    assert_same(&a, &b, "with edges");
    let snapshot = b.snapshot().unwrap();
    let (child, parent) = (snapshot.model("tuned@1").unwrap(), snapshot.model("base").unwrap());
    let kind = EdgeKind::Provenance;
    let metadata = snapshot.graph().edge_metadata(child.node().id(), kind, parent.node().id());
    assert_eq!(metadata.unwrap()["steps"], 500);
}

/// Sets a piece of metadata, and nothing else of it.
fn set(store: &Store, model: &str, key: &str, value: i64) {
    let metadata = Map::from_iter([(key.to_owned(), json!(value))]);
    write(store, |transaction| transaction.set_metadata(model, metadata)).unwrap();
}

/// What changes about a model that both have goes to the other side, in both directions.
fn rows_follow(a: &Store, b: &Store, place: &Place) {
    set(a, "base", "accuracy", 90);
    write(a, |transaction| {
        transaction.set_tag("best", "tuned@2")?;
        transaction.set_kind("tuned@2", "bert")?;
        transaction.add_parent("tuned@2", "tuned@1", How::Distil)
    })
    .unwrap();
    // The other side is behind, not ahead: nothing of it comes back.
    assert!(pull(a, place, ALL).unwrap().updated.is_empty());
    let mut pushed = push(a, place, ALL).unwrap().updated;
    pushed.sort();
    assert_eq!(pushed, ["base@1", "tuned@1", "tuned@2"]);
    let pulled = pull(b, place, ALL).unwrap();
    assert!(pulled.models.is_empty() && pulled.updated.len() == 3, "{pulled:?}");
    assert_same(a, b, "updated");
    set(b, "base", "accuracy", 91);
    assert_eq!(push(b, place, ALL).unwrap().updated, ["base@1"]);
    assert_eq!(pull(a, place, ALL).unwrap().updated, ["base@1"]);
    assert_same(a, b, "and back");
    // Changed on both sides, each stays as it is, and says so.
    set(a, "base", "accuracy", 92);
    set(b, "base", "accuracy", 93);
    assert_eq!(push(a, place, ALL).unwrap().updated, ["base@1"]);
    let pulled = pull(b, place, ALL).unwrap();
    assert!(pulled.updated.is_empty(), "{pulled:?}");
    assert_eq!(pulled.differing, ["base@1"]);
    assert_eq!(push(b, place, ALL).unwrap().differing, ["base@1"]);
    let metadata = |store: &Store| {
        store.snapshot().unwrap().model("base").unwrap().metadata().unwrap()["accuracy"].clone()
    };
    assert_eq!((metadata(a), metadata(b)), (json!(92), json!(93)));
    for store in [a, b] {
        assert_sound(store, "rows");
    }
}

#[test]
fn rows_follow_by_a_folder() {
    let folder = common::folder();
    let place = Place::Folder(folder.path().join("remote"));
    let (a, b) = shared(folder.path(), &place);
    rows_follow(&a, &b, &place);
}

#[test]
fn rows_follow_by_a_store() {
    let folder = common::folder();
    let place = Place::Store(folder.path().join("hub.mgit"));
    drop(Store::create(folder.path().join("hub.mgit")).unwrap());
    let (a, b) = shared(folder.path(), &place);
    rows_follow(&a, &b, &place);
}

#[test]
fn a_model_without_loss_is_never_replaced_by_a_lossy_one() {
    let folder = common::folder();
    let place = Place::Folder(folder.path().join("remote"));
    let (a, b) = shared(folder.path(), &place);
    let before = contents(&b.snapshot().unwrap()).unwrap();
    let lossy = Lossy::Quantised { eps: 1e-3 };
    write(&a, |transaction| transaction.recode_lossy("tuned@2", lossy, None, &|_| ())).unwrap();
    assert_ne!(contents(&a.snapshot().unwrap()).unwrap()["tuned@2"], before["tuned@2"]);
    // Neither way: what is here stays, and it is said.
    assert_eq!(push(&a, &place, ALL).unwrap().differing, ["tuned@2"]);
    assert_eq!(pull(&a, &place, ALL).unwrap().models, Vec::<String>::new());
    let direct = pull_from_store(&b, &a, ALL).unwrap();
    assert_eq!((direct.models.len(), direct.updated.len()), (0, 0), "{direct:?}");
    assert_eq!(direct.differing, ["tuned@2"]);
    assert_eq!(contents(&b.snapshot().unwrap()).unwrap(), before);
    // To whom it is new it comes as it is, and marked.
    let c = Store::create(folder.path().join("c.mgit")).unwrap();
    pull_from_store(&c, &a, ALL).unwrap();
    assert_same(&a, &c, "lossy");
    let metadata = c.snapshot().unwrap().model("tuned@2").unwrap().metadata().unwrap();
    assert!(metadata.contains_key("mgit.lossy"), "{metadata:?}");
}

#[test]
fn pins_stay_at_home_and_tests_come_along() {
    let folder = common::folder();
    let a = family(&folder.path().join("a.mgit"));
    write(&a, |transaction| {
        transaction.pin("tuned@1")?;
        let definition = json!({ "builtin": "finite" });
        transaction.set_test("finite", definition.as_object().unwrap().clone())
    })
    .unwrap();
    let b = Store::create(folder.path().join("b.mgit")).unwrap();
    let place = Place::Folder(folder.path().join("remote"));
    assert_eq!(push(&a, &place, ALL).unwrap().tests, ["finite"]);
    let report = pull(&b, &place, ALL).unwrap();
    assert_eq!(report.tests, ["finite"]);
    let snapshot = b.snapshot().unwrap();
    assert_eq!(snapshot.tests().unwrap(), a.snapshot().unwrap().tests().unwrap());
    assert!(!snapshot.model("tuned@1").unwrap().metadata().unwrap().contains_key("mgit.pinned"));
    for store in [&a, &b] {
        assert_sound(store, "pinned there");
    }
    // A pin is no change of the model.
    write(&b, |transaction| transaction.pin("tuned@2").map(drop)).unwrap();
    let report = push(&b, &place, ALL).unwrap();
    assert!(report.updated.is_empty() && report.differing.is_empty(), "{report:?}");
    // And what is done to a pinned model there does not take the pin away here.
    set(&a, "tuned@2", "steps", 3);
    push(&a, &place, ALL).unwrap();
    assert_eq!(pull(&b, &place, ALL).unwrap().updated, ["tuned@2"]);
    let metadata = b.snapshot().unwrap().model("tuned@2").unwrap().metadata().unwrap();
    assert_eq!((&metadata["mgit.pinned"], &metadata["steps"]), (&json!(true), &json!(3)));
    assert_sound(&b, "pinned here");
}

#[test]
fn chains_that_would_become_too_long_are_cut() {
    let folder = common::folder();
    let a = Store::create(folder.path().join("a.mgit")).unwrap();
    let b = Store::create(folder.path().join("b.mgit")).unwrap();
    // Here a chain as long as chains may be ends at what is the root of another chain there.
    let mut bytes = weights(1, 20_000);
    let mut ends = vec![bytes.clone()];
    for seed in 0..4 {
        bytes = nudged(&bytes, seed, 9);
        ends.push(bytes.clone());
    }
    let chain = |store: &Store, name: &str, range: std::ops::RangeInclusive<usize>| {
        for at in range.clone() {
            let parent = format!("{name}{}", at.saturating_sub(1));
            let parents = if at == *range.start() { Vec::new() } else { vec![parent.as_str()] };
            add(store, model(&format!("{name}{at}"), &parents, &one(ends[at].clone()))).unwrap();
        }
    };
    chain(&a, "m", 2..=4);
    chain(&b, "n", 0..=2);
    let deepest = |store: &Store| {
        let rows = tensor_rows(&store.snapshot().unwrap());
        rows.values().map(|row| row.depth).max().unwrap()
    };
    assert_eq!((deepest(&a), deepest(&b)), (2, 2), "the chains that the test stands on");
    pull_from_store(&b, &a, ALL).unwrap();
    assert_eq!(deepest(&b), 2);
    let there = contents(&a.snapshot().unwrap()).unwrap();
    let here = contents(&b.snapshot().unwrap()).unwrap();
    assert!(there.iter().all(|(name, tensors)| here[name] == *tensors));
    common::assert_rows_add_up(&b.snapshot().unwrap(), "cut chains");
    assert_sound(&b, "cut chains");
}

#[test]
fn what_came_is_salvaged_as_what_was_here() {
    let folder = common::folder();
    let a = family(&folder.path().join("a.mgit"));
    let b = Store::create(folder.path().join("b.mgit")).unwrap();
    pull_from_store(&b, &a, ALL).unwrap();
    grown(&a, "tuned", "base", 20);
    grown(&b, "tuned", "base", 21);
    let report = pull_from_store(&b, &a, ALL).unwrap();
    assert_eq!(report.renumbered.len(), 1);
    let whole = contents(&b.snapshot().unwrap()).unwrap();
    drop(b);
    let path = folder.path().join("b.mgit");
    // Without superblocks nothing leads to the catalogue.
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[..8192].fill(0);
    std::fs::write(&path, bytes).unwrap();
    assert!(Store::open(&path).is_err());
    let saved = folder.path().join("saved.mgit");
    mgit::upkeep::salvage(&path, &saved, &|_| ()).unwrap();
    let saved = Store::open(&saved).unwrap();
    assert_eq!(contents(&saved.snapshot().unwrap()).unwrap(), whole);
    assert_sound(&saved, "salvaged");
}
