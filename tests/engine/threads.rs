//! Promise: a store is `Send` and `Sync`: readers in threads see whole commits, and right bytes,
//! while a writer commits and removes.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::common;
use crate::common::{add_one, assert_rows_add_up, contents, new_store, nudged, weights, write};
use mgit::store::Transaction;
use mgit::{OnChildren, Snapshot, Store, Tensor, TensorView};

const COMMITS: u64 = 60;
const READERS: usize = 4;

fn is_send_and_sync<T: Send + Sync>() {}

#[test]
fn the_types_may_be_shared() {
    is_send_and_sync::<Store>();
    is_send_and_sync::<Snapshot>();
    is_send_and_sync::<Tensor>();
    is_send_and_sync::<TensorView>();
    is_send_and_sync::<mgit::store::StoreError>();
    is_send::<Transaction>();
}

fn is_send<T: Send>() {}

/// The tensor of model `m<at>`: four in a row are of one family.
fn bytes_of(at: u64) -> Vec<u8> {
    nudged(&weights(at / 4, 40_000), at, 30)
}

/// Asserts that a snapshot shows one commit of the writer, whole.
fn check(snapshot: &Snapshot) -> usize {
    let found = contents(snapshot).unwrap();
    for (name, tensors) in &found {
        let at: u64 = name.trim_start_matches('m').trim_end_matches("@1").parse().unwrap();
        assert!(tensors[0].1 == bytes_of(at), "{name} at commit {}", snapshot.sequence());
    }
    // Every commit after the third adds one model and removes the one three before.
    assert_eq!(found.len() as u64, snapshot.sequence().min(3));
    found.len()
}

fn commit(store: &Store, at: u64) {
    let tensors = common::one(bytes_of(at));
    let parent = format!("m{}", at.saturating_sub(1));
    let parents: &[&str] = if at.is_multiple_of(4) { &[] } else { &[&parent] };
    write(store, |t| {
        t.add_model(common::model(&format!("m{at}"), parents, &tensors))?;
        if at >= 3 {
            t.remove_model(format!("m{}", at - 3), OnChildren::Reparent)?;
        }
        Ok(())
    })
    .unwrap();
}

#[test]
fn readers_in_threads_see_whole_commits_while_a_writer_goes_on() {
    let (_folder, path, store) = new_store();
    let follower = Store::open_read_only(&path).unwrap();
    let (done, looks) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for reader in 0..READERS {
            // Half of them read through the writer's handle, half through one that follows.
            let store = if reader % 2 == 0 { &store } else { &follower };
            let (done, looks) = (&done, &looks);
            scope.spawn(move || {
                let mut held: Vec<(Snapshot, usize)> = Vec::new();
                while !done.load(Ordering::Acquire) {
                    let snapshot = store.snapshot().unwrap();
                    let count = check(&snapshot);
                    held.push((snapshot, count));
                    if held.len() > 3 {
                        let (old, count) = held.remove(0);
                        assert_eq!(check(&old), count, "an old snapshot has changed");
                    }
                    looks.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for at in 0..COMMITS {
            commit(&store, at);
            // The readers keep up: at least one look a commit.
            while looks.load(Ordering::Relaxed) < at {
                std::thread::yield_now();
            }
        }
        done.store(true, Ordering::Release);
    });
    assert_eq!(check(&follower.snapshot().unwrap()), 3);
    assert_rows_add_up(&store.snapshot().unwrap(), "after the threads");
}

#[test]
fn many_threads_view_one_delta_and_get_one_buffer() {
    let (_folder, _, store) = new_store();
    let base = weights(1, 500_000);
    let child = nudged(&base, 2, 10);
    add_one(&store, "base", &[], &base).unwrap();
    add_one(&store, "child", &["base"], &child).unwrap();
    let snapshot = store.snapshot().unwrap();
    let tensor = snapshot.model("child").unwrap().tensor("w").unwrap();
    let views: Vec<TensorView> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| tensor.view().unwrap())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(views.iter().all(|view| **view == child[..]));
    let kept = views[0].as_ptr();
    assert!(views.iter().all(|view| view.as_ptr() == kept));
}
