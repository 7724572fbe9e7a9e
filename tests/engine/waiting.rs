//! Promise: threads of one handle take turns to write and never wait for themselves; handles that
//! take the lock for each transaction let others write in between, see what these wrote, and follow
//! a vacuum; who cannot have the lock is told who has it.

use std::sync::mpsc::channel;
use std::time::Duration;

use crate::common::{add_one, contents, model, new_store, noise, one, weights, write};
use mgit::container::{Container, ContainerError, LockHolder};

use mgit::Store;
use mgit::store::{Access, OpenOptions, StoreError};

fn per_transaction() -> OpenOptions {
    OpenOptions::new().lock_per_transaction(true)
}

#[test]
fn a_thread_does_not_wait_for_itself() {
    let (_folder, path, held) = new_store();
    let begins = |store: &Store| {
        let open = store.begin_write().unwrap();
        assert!(matches!(store.begin_write().unwrap_err(), StoreError::AlreadyWriting));
        assert!(matches!(store.try_begin_write().unwrap_err(), StoreError::AlreadyWriting));
        let limited = store.begin_write_timeout(Duration::from_secs(3600));
        assert!(matches!(limited.unwrap_err(), StoreError::AlreadyWriting));
        // A clone is the same handle.
        assert!(matches!(store.clone().begin_write().unwrap_err(), StoreError::AlreadyWriting));
        drop(open);
        add_one(store, "m", &[], &weights(1, 100)).unwrap();
    };
    begins(&held);
    drop(held);
    begins(&per_transaction().open(&path).unwrap());
}

#[test]
fn another_thread_is_waited_for() {
    let (_folder, _path, store) = new_store();
    let (told, hears) = channel();
    let open = store.begin_write().unwrap();
    std::thread::scope(|scope| {
        let other = scope.spawn(|| {
            let busy = store.try_begin_write().unwrap_err();
            assert!(matches!(busy, StoreError::Busy { .. }), "{busy}");
            let busy = store.begin_write_timeout(Duration::from_millis(1)).unwrap_err();
            assert!(
                matches!(busy, StoreError::Busy { waited } if waited >= Duration::from_millis(1))
            );
            told.send(()).unwrap();
            add_one(&store, "theirs", &[], &weights(1, 100)).unwrap();
        });
        hears.recv().unwrap();
        let mut open = open;
        open.add_model(model("ours", &[], &one(weights(2, 100)))).unwrap();
        open.commit().unwrap();
        other.join().unwrap();
    });
    assert_eq!(contents(&store.snapshot().unwrap()).unwrap().len(), 2);
}

#[test]
fn handles_that_lock_for_each_transaction_take_turns() {
    let (_folder, path, first) = new_store();
    drop(first);
    let (one_side, other) =
        (per_transaction().open(&path).unwrap(), per_transaction().open(&path).unwrap());
    assert_eq!((one_side.access(), other.access()), (Access::Write, Access::Write));
    for at in 0..6 {
        let store = if at % 2 == 0 { &one_side } else { &other };
        add_one(store, &format!("m{at}"), &[], &weights(at, 1000)).unwrap();
        for store in [&one_side, &other] {
            assert_eq!(contents(&store.snapshot().unwrap()).unwrap().len(), at as usize + 1);
        }
    }
    let open = one_side.begin_write().unwrap();
    let error = other.begin_write().unwrap_err();
    let StoreError::Container(ContainerError::Locked(by)) = &error else { panic!("{error}") };
    assert_eq!(by.holder, LockHolder::Writer);
    let is_this = by.process.as_ref().is_some_and(mgit::container::Process::is_this);
    assert_eq!(is_this, std::path::Path::new("/proc/self/fdinfo").exists(), "{error}");
    // What is read stays as it was.
    let before = other.snapshot().unwrap();
    drop(open);
    write(&one_side, |t| t.remove_model("m0", mgit::OnChildren::Refuse).map(drop)).unwrap();
    assert_eq!(contents(&before).unwrap().len(), 6);
    // Upkeep of such a handle holds the lock itself.
    mgit::upkeep::gc(&other).unwrap();
    assert_eq!(contents(&other.snapshot().unwrap()).unwrap().len(), 5);
}

/// A child between `fork` and `exec` has every file of its parent open, its locks too.
#[cfg(target_os = "linux")]
#[test]
fn of_a_holder_and_its_forked_child_the_holder_is_told() {
    use std::io::{Read, Write};
    use std::os::unix::process::CommandExt;

    let (_folder, path, held) = new_store();
    let (mut forked, mut told) = std::io::pipe().unwrap();
    let (mut hears, mut goes_on) = std::io::pipe().unwrap();
    let mut child = std::process::Command::new("true");
    // SAFETY: what runs in the child is a write to a pipe and a read of one.
    unsafe {
        child.pre_exec(move || {
            told.write_all(b"f")?;
            hears.read_exact(&mut [0])
        });
    }
    std::thread::scope(|scope| {
        let ended = scope.spawn(|| child.status().unwrap());
        forked.read_exact(&mut [0]).unwrap();
        let told = Store::open(&path).map(drop).unwrap_err();
        goes_on.write_all(b"g").unwrap();
        assert!(ended.join().unwrap().success());
        let StoreError::Container(ContainerError::Locked(by)) = &told else { panic!("{told}") };
        assert!(by.process.as_ref().is_some_and(mgit::container::Process::is_this), "{told}");
    });
    drop(held);
}

#[test]
fn a_vacuum_is_followed_and_another_store_is_not() {
    let (folder, path, first) = new_store();
    add_one(&first, "base", &[], &weights(1, 5000)).unwrap();
    drop(first);
    let store = per_transaction().open(&path).unwrap();
    store.set_cache_bytes(1000);
    mgit::upkeep::vacuum(&path, &|_| ()).unwrap();
    add_one(&store, "child", &["base"], &weights(1, 5000)).unwrap();
    assert_eq!(contents(&store.snapshot().unwrap()).unwrap().len(), 2);
    mgit::upkeep::vacuum(&path, &|_| ()).unwrap();
    assert_eq!(contents(&store.snapshot().unwrap()).unwrap().len(), 2);
    let other = folder.path().join("other.mgit");
    drop(Store::create(&other).unwrap());
    std::fs::rename(&other, &path).unwrap();
    assert!(matches!(
        store.begin_write().unwrap_err(),
        StoreError::Container(ContainerError::Retired)
    ));
}

#[test]
fn who_keeps_a_writer_out_is_called_what_it_is() {
    let (_folder, path, store) = new_store();
    add_one(&store, "base", &[], &noise(1, 1000)).unwrap();
    let holder = |error: StoreError| match error {
        StoreError::Container(ContainerError::Locked(by)) => by.holder,
        error => panic!("{error}"),
    };
    let at_once = OpenOptions::new().wait(Duration::ZERO);
    assert_eq!(holder(at_once.open(&path).unwrap_err()), LockHolder::Writer);
    drop(store);
    // A reader that checks the catalogue while it opens.
    let disk = Container::open_file(&path, false).unwrap();
    let view = Container::open_view(disk).unwrap().unwrap();
    assert_eq!(holder(at_once.open(&path).unwrap_err()), LockHolder::OpeningReader);
    // It is waited for.
    std::thread::scope(|scope| {
        let (told, hears) = channel();
        let patient = OpenOptions::new().wait(Duration::MAX);
        let patient = patient.on_wait(move |by| told.send(by.holder).unwrap());
        let opened = scope.spawn(move || patient.open(&path).map(drop));
        assert_eq!(hears.recv().unwrap(), LockHolder::OpeningReader);
        drop(view);
        opened.join().unwrap().unwrap();
    });
}
