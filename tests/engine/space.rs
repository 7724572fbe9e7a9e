//! Promise: what is removed is free when nobody needs it any more, not before and not later: a
//! store in which as much is deleted as is imported does not grow, and what a snapshot sees stays
//! as it was.

use std::path::Path;

use crate::common::{
    add, add_one, assert_rows_add_up, contents, contents_of, model, new_store, noise, weights,
    write,
};
use mgit::error::{ContainerError, StoreError};
use mgit::{OnChildren, Store};

const ROUNDS: u64 = 30;

fn file_len(path: &Path) -> u64 {
    std::fs::metadata(path).unwrap().len()
}

/// Tensors of odd lengths, other ones each round, the same number of bytes.
fn round_tensors(round: u64) -> Vec<(String, Vec<u8>)> {
    let lens = [200_001, 65_536, 70_000, 33, 1_500_007, 64, 12_345];
    let rotated = (0..lens.len()).map(|at| lens[(at + round as usize) % lens.len()]);
    let tensor = |(at, len)| (format!("t{at}"), noise(round * 100 + at as u64, len));
    rotated.enumerate().map(tensor).collect()
}

fn churn(store: &Store, path: &Path, rounds: std::ops::Range<u64>) -> Vec<u64> {
    let mut lens = Vec::new();
    for round in rounds {
        let tensors = round_tensors(round);
        add(store, model(&format!("m{round}"), &[], &tensors)).unwrap();
        write(store, |t| t.remove_model(format!("m{round}"), OnChildren::Refuse)).unwrap();
        lens.push(file_len(path));
    }
    lens
}

#[test]
fn a_file_does_not_grow_when_as_much_goes_as_comes() {
    let (_folder, path, store) = new_store();
    add_one(&store, "kept", &[], &noise(7, 300_000)).unwrap();
    let before = contents(&store.snapshot().unwrap()).unwrap();
    let lens = churn(&store, &path, 0..ROUNDS);
    // One model's room, and one more that waits for the commit after its removal.
    let bound = lens[2] + 300_000;
    assert!(*lens.last().unwrap() <= bound, "{lens:?}");
    let snapshot = store.snapshot().unwrap();
    assert_rows_add_up(&snapshot, "churn");
    assert_eq!(contents(&snapshot).unwrap(), before);
    drop((snapshot, store));
    // The next writer finds the same room by itself, however long it goes on. A change record that
    // lies in the middle of it, until it is folded, may cost the longest tensor's room once.
    let bound = bound + 1_510_000;
    let store = Store::open(&path).unwrap();
    let lens = churn(&store, &path, ROUNDS..3 * ROUNDS);
    assert!(*lens.last().unwrap() <= bound, "{lens:?}");
    drop(store);
    assert_eq!(contents_of(&path).unwrap(), before);
}

#[test]
fn a_snapshot_keeps_what_it_sees_and_only_that() {
    let (_folder, path, store) = new_store();
    let tensors = round_tensors(1000);
    add(&store, model("held", &[], &tensors)).unwrap();
    let held = store.snapshot().unwrap();
    let views: Vec<_> =
        held.model("held").unwrap().tensors().map(|tensor| tensor.view().unwrap()).collect();
    write(&store, |t| t.remove_model("held", OnChildren::Refuse)).unwrap();
    let lens = churn(&store, &path, 0..ROUNDS);
    let unchanged = |context: &str| {
        for (view, (name, bytes)) in views.iter().zip(&tensors) {
            assert!(**view == bytes[..], "{context}: {name}");
        }
        assert_eq!(contents(&held).unwrap()["held@1"], tensors, "{context}");
    };
    unchanged("while it is held");
    // Everything freed behind the snapshot waits for it: the file grows, and stops when it goes.
    let (_, pending) = store.container().free_bytes();
    assert!(pending > 1_000_000, "{pending}");
    drop((views, held));
    let after = churn(&store, &path, ROUNDS..2 * ROUNDS);
    assert_eq!(after.last(), lens.last(), "what waited is used again");
    assert!(contents(&store.snapshot().unwrap()).unwrap().is_empty());
}

#[test]
fn a_view_alone_keeps_its_bytes() {
    let (_folder, path, store) = new_store();
    let bytes = noise(5, 1_000_000);
    add_one(&store, "a", &[], &bytes).unwrap();
    let view = store.snapshot().unwrap().model("a").unwrap().tensor("w").unwrap().view().unwrap();
    write(&store, |t| t.remove_model("a", OnChildren::Refuse)).unwrap();
    churn(&store, &path, 0..10);
    drop(store);
    assert!(view.is_mapped() && *view == bytes[..]);
    assert!(
        matches!(Store::open(&path).unwrap_err(), StoreError::Container(ContainerError::Locked(_))),
        "the view keeps the store open"
    );
    drop(view);
    Store::open(&path).unwrap();
}

#[test]
fn a_reader_of_another_handle_keeps_what_it_sees() {
    let (_folder, path, store) = new_store();
    let bytes = noise(5, 1_000_000);
    add_one(&store, "a", &[], &bytes).unwrap();
    let reader = Store::open_read_only(&path).unwrap();
    let held = reader.snapshot().unwrap();
    let view = held.model("a").unwrap().tensor("w").unwrap().view_unchecked().unwrap();
    write(&store, |t| t.remove_model("a", OnChildren::Refuse)).unwrap();
    churn(&store, &path, 0..10);
    assert!(*view == bytes[..]);
    // It outlives the writer; the next one leaves its bytes alone too.
    drop(store);
    let store = Store::open(&path).unwrap();
    churn(&store, &path, 10..20);
    assert!(*view == bytes[..]);
    assert!(contents(&held).unwrap()["a@1"][0].1 == bytes);
    assert!(contents(&reader.snapshot().unwrap()).unwrap().is_empty());
    let grown = file_len(&path);
    drop((view, held));
    churn(&store, &path, 20..30);
    assert!(file_len(&path) <= grown);
}

#[test]
fn the_same_place_used_again_is_checked_again() {
    let (_folder, path, store) = new_store();
    let reader = Store::open_read_only(&path).unwrap();
    let bytes = weights(1, 50_000);
    let mut places = std::collections::HashSet::new();
    for _ in 0..6 {
        add_one(&store, "a", &[], &bytes).unwrap();
        let snapshot = reader.snapshot().unwrap();
        let tensor = snapshot.model("a").unwrap().tensor("w").unwrap();
        let view = tensor.view_unchecked().unwrap();
        let at = view.file_offset().expect("a delta of nothing");
        if !places.insert(at) {
            // The bytes rot where this reader has found the same content right before.
            let file = std::fs::File::options().write(true).open(&path).unwrap();
            std::os::unix::fs::FileExt::write_all_at(&file, &[!bytes[0]], at).unwrap();
            assert!(matches!(tensor.view().unwrap_err(), StoreError::DamagedRecord { .. }));
            return;
        }
        assert!(*tensor.view().unwrap() == bytes[..]);
        drop((view, tensor, snapshot));
        write(&store, |t| t.remove_model("a", OnChildren::Refuse)).unwrap();
    }
    panic!("no place was used twice");
}
