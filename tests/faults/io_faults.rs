//! Promise: whichever write, sync or change of length fails, once or for ever: the error is typed,
//! the file opened again shows the state before or after the commit whole, never in between, and
//! can be written again; after a failed sync a handle writes no more, and what a failed sync
//! dropped is not relied on.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use crate::common::{
    Contents, add_one, assert_rows_add_up, contents, folder, model, new_store, noise, nudged, one,
    weights, write,
};
use crate::simulation::disk::SimDisk;
use crate::simulation::faults::{Call, Dropped, Fault};
use crate::simulation::power_cut::Medium;
use mgit::error::{ContainerError, StoreError, full_message};
use mgit::store::Result;
use mgit::{OnChildren, Store};

/// More faults than a history has changes.
const FAULTS_MAX: u64 = 500;

/// The steps of the history, a commit each.
fn step(store: &Store, at: usize) -> Result<()> {
    match at {
        0 => write(store, |t| {
            let tensors = [
                ("w".to_owned(), nudged(&weights(1, 30_000), 2, 20)),
                ("new".to_owned(), noise(3, 1_100_000)),
            ];
            t.add_model(model("child", &["base"], &tensors)).map(drop)
        }),
        1 => write(store, |t| t.remove_model("base", OnChildren::Reparent).map(drop)),
        // Fills room that is free by now, and makes the catalogue grow.
        _ => write(store, |t| {
            for at in 0..16 {
                let name = format!("small/{at}");
                t.add_model(model(&name, &[], &one(noise(at, 3001))))?;
            }
            t.remove_model("child", OnChildren::Refuse).map(drop)
        }),
    }
}
const STEPS: usize = 3;

/// The contents before the history and after each of its steps.
fn states(start: &Path) -> Vec<Contents> {
    let folder = folder();
    let path = folder.path().join("copy");
    std::fs::copy(start, &path).unwrap();
    let store = Store::open(&path).unwrap();
    let now = || contents(&store.snapshot().unwrap()).unwrap();
    let mut states = vec![now()];
    for at in 0..STEPS {
        step(&store, at).unwrap();
        states.push(now());
    }
    states
}

fn start() -> (tempfile::TempDir, std::path::PathBuf) {
    let (folder, path, store) = new_store();
    add_one(&store, "base", &[], &weights(1, 30_000)).unwrap();
    drop(store);
    (folder, path)
}

/// What a history on a failing disk came to.
#[derive(Debug, PartialEq)]
struct Outcome {
    /// The steps known to be done.
    done: usize,
    /// The next one failed.
    failed: bool,
}

/// Runs the history until something fails.
fn run(disk: &Arc<SimDisk>, context: &str) -> Outcome {
    let typed = |error: &mgit::store::StoreError| {
        let code = error.code();
        let expected = ["io", "disk-full", "outcome-unknown", "poisoned"];
        assert!(expected.contains(&code), "{context}: {code}: {error}");
    };
    let store = match Store::open_on(Arc::clone(disk) as Arc<_>, "faulty") {
        Ok(store) => store,
        Err(error) => {
            typed(&error);
            return Outcome { done: 0, failed: true };
        }
    };
    for at in 0..STEPS {
        let Err(error) = step(&store, at) else { continue };
        typed(&error);
        if matches!(error, StoreError::OutcomeUnknown { .. }) {
            let text = full_message(&error);
            assert!(text.contains("open the store again"), "{context}: {text}");
            disk.heal();
            let again = store.begin_write().unwrap_err();
            assert!(
                matches!(again, StoreError::Container(ContainerError::Poisoned)),
                "{context}: {again}"
            );
        }
        return Outcome { done: at, failed: true };
    }
    Outcome { done: STEPS, failed: false }
}

fn fail_everywhere(call: Call, for_ever: bool, kind: ErrorKind) {
    let (_folder, start) = start();
    let states = states(&start);
    let start = fs::read(&start).unwrap();
    let mut seen = std::collections::BTreeSet::new();
    for at in 1..FAULTS_MAX {
        let fault = Fault::new(call, at, for_ever, kind);
        let context = format!("{fault:?}");
        let disk = SimDisk::new(start.clone(), None);
        disk.arm(fault, at);
        let outcome = run(&disk, &context);
        let failed = disk.failed();
        disk.heal();
        let path = disk.path();

        // A look first: it must not need the file to be written.
        let before_look = disk.bytes();
        let look = Store::open_read_only(path).unwrap_or_else(|e| panic!("{context}: {e}"));
        let looked = contents(&look.snapshot().unwrap()).unwrap();
        drop(look);
        assert!(disk.bytes() == before_look, "{context}: a look wrote");

        let store = Store::open(path).unwrap_or_else(|e| panic!("{context}: {e}"));
        let snapshot = store.snapshot().unwrap();
        let found = contents(&snapshot).unwrap();
        assert!(found == looked, "{context}: the look saw something else");
        assert_rows_add_up(&snapshot, &context);
        let done = states.iter().position(|state| *state == found);
        let done = done.unwrap_or_else(|| panic!("{context}: a state in between: {outcome:?}"));
        seen.insert((outcome.done, done));
        match outcome.failed {
            false => assert_eq!(done, STEPS, "{context}"),
            true => assert!((outcome.done..=outcome.done + 1).contains(&done), "{context}"),
        }
        drop(snapshot);
        for at in done..STEPS {
            step(&store, at).unwrap_or_else(|e| panic!("{context}: {e}"));
        }
        let snapshot = store.snapshot().unwrap();
        assert!(contents(&snapshot).unwrap() == states[STEPS], "{context}: finished later");
        assert_rows_add_up(&snapshot, &context);
        if failed == 0 {
            assert!(at > STEPS as u64 || call == Call::SetLen, "{at} calls in all");
            println!("{call:?}, for ever {for_ever}: {} faults, {seen:?}", at - 1);
            return;
        }
    }
    panic!("the history has more than {FAULTS_MAX} calls");
}

#[test]
fn any_change_may_fail_once() {
    fail_everywhere(Call::AnyChange, false, ErrorKind::Other);
}

#[test]
fn the_disk_may_fail_for_ever() {
    fail_everywhere(Call::AnyChange, true, ErrorKind::Other);
}

#[test]
fn the_disk_may_be_full_from_any_write_on() {
    fail_everywhere(Call::Write, true, ErrorKind::StorageFull);
}

#[test]
fn the_file_may_not_become_longer() {
    fail_everywhere(Call::SetLen, true, ErrorKind::StorageFull);
}

#[test]
fn any_read_may_fail_once_or_for_ever() {
    fail_everywhere(Call::Read, false, ErrorKind::Other);
    fail_everywhere(Call::Read, true, ErrorKind::Other);
}

#[test]
fn after_a_failed_sync_a_handle_is_done_and_its_views_stay() {
    let (_folder, path) = start();
    let bytes = fs::read(path).unwrap();
    // The last two syncs are the commit's; one before them notes that a writer is at work.
    let mut codes = Vec::new();
    for at in 1..10 {
        let disk = SimDisk::new(bytes.clone(), None);
        let store = Store::open_on(disk.clone(), "faulty").unwrap();
        let snapshot = store.snapshot().unwrap();
        let view = snapshot.model("base").unwrap().tensor("w").unwrap().view().unwrap();
        disk.arm(Fault::new(Call::Sync, at, false, ErrorKind::Other), at);
        let Err(error) = add_one(&store, &format!("next/{at}"), &[], &noise(1, 100)) else {
            assert!(codes.contains(&"outcome-unknown"), "{codes:?}");
            return;
        };
        codes.push(error.code());
        for _ in 0..3 {
            let error = store.begin_write().unwrap_err();
            assert!(matches!(error, StoreError::Container(ContainerError::Poisoned)));
            let text = full_message(&error);
            assert!(text.ends_with("open the store again"), "{text}");
        }
        assert!(matches!(
            store.snapshot().unwrap_err(),
            StoreError::Container(ContainerError::Poisoned)
        ));
        assert!(*view == weights(1, 30_000)[..]);
        drop((view, snapshot, store));
        let store = Store::open(disk.path()).unwrap();
        add_one(&store, "other", &[], &noise(at, 100)).unwrap();
    }
    panic!("a commit has fewer syncs: {codes:?}");
}

/// A system that could not write a page may call it clean, go on to show it, and never write it:
/// the next sync then says that all is well. A store opened again did not write a superblock that
/// it found so, and lost the catalogue at the next power cut.
#[test]
fn what_a_failed_sync_dropped_is_not_relied_on() {
    let (_folder, start) = start();
    let states = states(&start);
    let start = fs::read(&start).unwrap();
    for at in 1..FAULTS_MAX {
        for (dropped, seed) in [
            (Dropped::Silently, 0),
            (Dropped::Visibly, 0),
            (Dropped::Silently, at),
            (Dropped::Visibly, at),
        ] {
            let fault = Fault { dropped, ..Fault::new(Call::Sync, at, false, ErrorKind::Other) };
            let context = format!("{fault:?}, seed {seed}");
            let disk = SimDisk::new(start.clone(), None);
            disk.arm(fault, seed);
            let outcome = run(&disk, &context);
            if disk.failed() == 0 {
                assert!(at > 2 * STEPS as u64, "{at} syncs in all");
                return;
            }
            disk.heal();
            let store = Store::open_on(Arc::clone(&disk) as Arc<_>, "again")
                .unwrap_or_else(|e| panic!("{context}: {e}"));
            let found = contents(&store.snapshot().unwrap()).unwrap();
            let done = states.iter().position(|state| *state == found);
            let done = done.unwrap_or_else(|| panic!("{context}: a state in between"));
            assert!((outcome.done..=outcome.done + 1).contains(&done), "{context}: {outcome:?}");
            for at in done..STEPS {
                step(&store, at).unwrap_or_else(|e| panic!("{context}: {e}"));
            }
            // The power goes; only what a sync has brought to the medium is there.
            let recording = disk.recording();
            let mut medium = Medium::new(&recording);
            medium.advance(recording.entries.len());
            let left = SimDisk::new(medium.durable().to_vec(), None);
            let store = Store::open_on(left, "left").unwrap_or_else(|e| panic!("{context}: {e}"));
            let snapshot = store.snapshot().unwrap();
            assert!(contents(&snapshot).unwrap() == states[STEPS], "{context}: lost");
            assert_rows_add_up(&snapshot, &context);
        }
    }
    panic!("the history has more than {FAULTS_MAX} syncs");
}

#[test]
fn a_failed_write_of_a_tensor_spoils_only_its_transaction() {
    let (_folder, path) = start();
    let disk = SimDisk::new(fs::read(path).unwrap(), None);
    let store = Store::open_on(disk.clone(), "faulty").unwrap();
    let before = contents(&store.snapshot().unwrap()).unwrap();
    let tensors = one(noise(1, 3_000_000));
    let mut transaction = store.begin_write().unwrap();
    disk.arm(Fault::new(Call::Write, 1, false, ErrorKind::StorageFull), 1);
    let error = transaction.add_model(model("next", &["base"], &tensors)).unwrap_err();
    assert!(error.is_disk_full());
    let text = full_message(&error);
    assert!(text.starts_with("write at byte "), "{text}");
    assert!(text.ends_with("the disk is full: free some room and try again"), "{text}");
    drop(transaction);
    assert_eq!(contents(&store.snapshot().unwrap()).unwrap(), before);
    // The same handle goes on.
    add_one(&store, "next", &["base"], &tensors[0].1).unwrap();
    let snapshot = store.snapshot().unwrap();
    assert!(contents(&snapshot).unwrap()["next@1"] == tensors);
    assert_rows_add_up(&snapshot, "after a failed write");
}
