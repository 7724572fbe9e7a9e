//! Promise: a derived model is kept as deltas where that is smaller, chains of deltas stay short,
//! everything on them reads back, and a base stays, hidden, exactly as long as a delta needs it.

use crate::common;
use crate::common::{
    add, add_one, assert_rows_add_up, contents, contents_of, model, new_store, noise, nudged, one,
    tensor_rows, weights, write,
};
use mgit::planning::CHAIN_DEPTH_MAX;
use mgit::{ContentId, Dtype, How, NewModel, NewTensor, OnChildren, Store};

const MIB: usize = 1 << 20;

#[test]
fn twelve_versions_stay_within_the_bound_and_read_back() {
    let (_folder, path, store) = new_store();
    let mut versions = vec![weights(1, 50_000)];
    for step in 0..11 {
        let last = versions.last().unwrap();
        versions.push(nudged(last, 100 + step, 20));
    }
    for bytes in &versions {
        add_one(&store, "a", &[], bytes).unwrap();
    }
    drop(store);
    let store = Store::open_read_only(&path).unwrap();
    let snapshot = store.snapshot().unwrap();
    let mut depths = Vec::new();
    for (at, bytes) in versions.iter().enumerate() {
        let tensor = snapshot.model(format!("a@{}", at + 1)).unwrap().tensor("w").unwrap();
        assert!(*tensor.view().unwrap() == bytes[..], "version {}", at + 1);
        let stored = tensor.stored_as().unwrap();
        assert_eq!(tensor.chain().unwrap().records().len(), usize::from(stored.depth) + 1);
        depths.push(stored.depth);
    }
    assert_eq!(depths.iter().max(), Some(&CHAIN_DEPTH_MAX), "{depths:?}");
    assert!(depths[1..].iter().all(|depth| *depth > 0), "all are deltas: {depths:?}");
    assert_rows_add_up(&snapshot, "chain");
}

#[test]
fn a_long_tensor_is_a_delta_chunk_by_chunk_and_slab_by_slab() {
    let (_folder, path, store) = new_store();
    let len = 40 * MIB + 12;
    let base = noise(1, len);
    let mut child = base.clone();
    for at in [0, 5 * MIB, 16 * MIB - 1, 16 * MIB, 39 * MIB + 7, len - 1] {
        child[at] ^= 0x5a;
    }
    assert_eq!(add_one(&store, "base", &[], &base).unwrap().raw, 1);
    let report = add_one(&store, "child", &["base"], &child).unwrap();
    assert_eq!((report.delta, report.delta_bytes), (1, len as u64));
    assert!(report.delta_stored_bytes < MIB as u64, "{report:?}");
    assert!(std::fs::metadata(&path).unwrap().len() < 44 * MIB as u64);
    drop(store);
    let snapshot = Store::open_read_only(&path).unwrap().snapshot().unwrap();
    let tensor = snapshot.model("child").unwrap().tensor("w").unwrap();
    assert!(*tensor.view().unwrap() == child[..]);
    let view = tensor.rows(16 * MIB as u64 / 4 - 1..16 * MIB as u64 / 4 + 1).unwrap();
    assert!(*view == child[16 * MIB - 4..16 * MIB + 4]);
}

#[test]
fn a_long_tensor_unlike_its_parent_is_kept_raw() {
    let (_folder, _, store) = new_store();
    let base = noise(1, 17 * MIB);
    // The places that are sampled agree, the rest does not: the choice turns out wrong.
    let mut child = noise(2, 17 * MIB);
    for at in [0, 8, 16] {
        child[at * MIB..(at + 1) * MIB].copy_from_slice(&base[at * MIB..(at + 1) * MIB]);
    }
    add_one(&store, "base", &[], &base).unwrap();
    add_one(&store, "child", &["base"], &child).unwrap();
    let unlike = add_one(&store, "unlike", &["base"], &noise(3, 17 * MIB)).unwrap();
    assert_eq!((unlike.raw, unlike.delta), (1, 0));
    let found = contents(&store.snapshot().unwrap()).unwrap();
    assert!(found["child@1"][0].1 == child && found["base@1"][0].1 == base);
    assert_rows_add_up(&store.snapshot().unwrap(), "unlike");
}

#[test]
fn tensors_of_other_names_pair_by_shape_and_other_types_do_not() {
    let (_folder, _, store) = new_store();
    let base = vec![("x".to_owned(), weights(1, 5000)), ("y".to_owned(), weights(2, 5000))];
    let renamed = vec![
        ("p.x".to_owned(), nudged(&base[0].1, 3, 50)),
        ("p.y".to_owned(), nudged(&base[1].1, 4, 50)),
    ];
    add(&store, model("base", &[], &base)).unwrap();
    let report = add(&store, model("renamed", &["base"], &renamed)).unwrap();
    assert_eq!((report.delta, report.raw), (2, 0));
    let bytes = nudged(&base[0].1, 5, 50);
    let ints = NewTensor::from_bytes("x", Dtype::I32, common::shape(&[5000]), &bytes);
    let new = NewModel::new("ints").parent("base", How::Other).tensor(ints);
    assert_eq!(add(&store, new).unwrap().raw, 1);
}

#[test]
fn of_several_parents_the_best_is_the_base() {
    let (_folder, _, store) = new_store();
    let far = weights(1, 20_000);
    let near = weights(2, 20_000);
    add_one(&store, "far", &[], &far).unwrap();
    add_one(&store, "near", &[], &near).unwrap();
    let child = nudged(&near, 3, 100);
    add_one(&store, "child", &["far", "near"], &child).unwrap();
    let snapshot = store.snapshot().unwrap();
    let stored = snapshot.model("child").unwrap().tensor("w").unwrap().stored_as().unwrap();
    assert_eq!(stored.base, Some(ContentId::of(&near)));
}

#[test]
fn a_base_is_hidden_when_its_model_goes_and_freed_with_its_last_delta() {
    let (_folder, path, store) = new_store();
    let base = weights(1, 300_000);
    let (one_child, two_child) = (nudged(&base, 2, 50), nudged(&base, 3, 50));
    let grandchild = nudged(&one_child, 4, 50);
    add_one(&store, "base", &[], &base).unwrap();
    add_one(&store, "one", &["base"], &one_child).unwrap();
    add_one(&store, "two", &["base"], &two_child).unwrap();
    add_one(&store, "grand", &["one"], &grandchild).unwrap();
    let remove =
        |name: &str| write(&store, |t| t.remove_model(name, OnChildren::Reparent)).unwrap();
    let state = |context: &str| {
        let snapshot = store.snapshot().unwrap();
        assert_rows_add_up(&snapshot, context);
        contents(&snapshot).unwrap();
        tensor_rows(&snapshot).len()
    };
    let report = remove("base");
    assert_eq!((report.hidden_bases, state("base gone")), (1, 4));
    assert!(report.freed_bytes < 100_000, "the base's bytes stay: {report:?}");
    assert_eq!(remove("two").hidden_bases, 0);
    assert_eq!(state("two gone"), 3);
    // A hidden base is found again by its content.
    let report = add_one(&store, "again", &[], &base).unwrap();
    assert_eq!((report.deduplicated, report.raw), (1, 0));
    remove("again");
    assert_eq!((remove("one").hidden_bases, state("one gone")), (1, 3));
    let report = remove("grand");
    assert!(report.freed_bytes > 1_200_000, "the whole chain goes: {report:?}");
    assert_eq!(state("all gone"), 0);
    drop(store);
    assert!(contents_of(&path).unwrap().is_empty());
}

#[test]
fn a_base_may_be_removed_in_the_transaction_that_builds_on_it() {
    let (_folder, path, store) = new_store();
    let base = weights(1, 30_000);
    let child = nudged(&base, 2, 50);
    add_one(&store, "base", &[], &base).unwrap();
    let tensors = one(child.clone());
    write(&store, |t| {
        let report = t.add_model(model("child", &["base"], &tensors))?;
        assert_eq!(report.delta, 1);
        t.remove_model("base", OnChildren::Detach)
    })
    .unwrap();
    // Added and removed at once, and added again with the same bytes.
    let other = one(weights(9, 30_000));
    write(&store, |t| {
        t.add_model(model("brief", &[], &other))?;
        t.remove_model("brief", OnChildren::Refuse)?;
        t.add_model(model("stays", &[], &other))
    })
    .unwrap();
    let snapshot = store.snapshot().unwrap();
    assert_rows_add_up(&snapshot, "within a transaction");
    drop((snapshot, store));
    let found = contents_of(&path).unwrap();
    assert_eq!(found.len(), 2);
    assert!(found["child@1"][0].1 == child && found["stays@1"] == other);
}
