//! Promise: a transfer that is cut short, raced, or fed with damage goes on or fails clean; nothing
//! that comes is believed.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::common;
use crate::common::remote::{
    ALL, Faults, Hooked, Memory, assert_same, assert_sound, family, grown,
};
use crate::common::{Random, add, model, tensor_rows, weights};
use mgit::Store;
use mgit::error::{DestinationError, StoreError};
use mgit::transfer::{
    FolderRemote, Place, Remote, Selection, TransferError, bundle_create, bundle_import,
    bundle_verify, pull_from_remote, push_to_remote,
};

#[test]
fn of_two_pushes_at_a_time_one_is_told_to_pull() {
    let folder = common::folder();
    let a = family(&folder.path().join("a.mgit"));
    let memory = Memory::default();
    push_to_remote(&a, &memory, ALL).unwrap();
    let b = Store::create(folder.path().join("b.mgit")).unwrap();
    pull_from_remote(&b, &memory, ALL).unwrap();
    grown(&a, "of-a", "base", 50);
    grown(&b, "of-b", "base", 51);
    // Somebody else pushes just before the ref is made.
    let other = Mutex::new(Some(&b));
    let race = Hooked {
        memory: memory.clone(),
        before_ref: Some(Box::new(|| {
            if let Some(other) = other.lock().unwrap().take() {
                push_to_remote(other, &memory, ALL).unwrap();
            }
        })),
        after_put: None,
    };
    let error = push_to_remote(&a, &race, ALL).unwrap_err();
    assert!(matches!(error, TransferError::PushRaced { number: 2, .. }), "{error}");
    assert!(error.to_string().contains("pull first"), "{error}");
    pull_from_remote(&a, &memory, ALL).unwrap();
    push_to_remote(&a, &memory, ALL).unwrap();
    pull_from_remote(&b, &memory, ALL).unwrap();
    assert_same(&a, &b, "after the race");
}

#[test]
fn a_transfer_cut_at_any_byte_goes_on_or_leaves_nothing() {
    let seed = common::seed();
    let mut random = Random(seed);
    let folder = common::folder();
    let a = family(&folder.path().join("a.mgit"));
    let whole = Memory::default();
    push_to_remote(&a, &whole, ALL).unwrap();
    let total = whole.total();
    // A pull reads a little less than there is: what it does not need of a pack's ends.
    let warm = Store::create(folder.path().join("warm.mgit")).unwrap();
    whole.reset(Faults::default());
    pull_from_remote(&warm, &whole, ALL).unwrap();
    let read = whole.read.load(std::sync::atomic::Ordering::Relaxed);
    for round in 0..100 {
        let context = format!("MGIT_SEED={seed}, round {round}");
        // Cut while it is pulled.
        let path = folder.path().join(format!("b{round}.mgit"));
        let b = Store::create(&path).unwrap();
        let cut = random.next() % read;
        whole.reset(Faults { cut_after: Some(cut), ..Faults::default() });
        let error = pull_from_remote(&b, &whole, ALL).unwrap_err();
        let is_cut = matches!(
            error,
            TransferError::Io { .. } | TransferError::Store(StoreError::Source { .. })
        );
        assert!(is_cut, "{context}: {error}");
        assert!(b.snapshot().unwrap().nodes().unwrap().is_empty(), "{context}");
        assert_sound(&b, &context);
        whole.reset(Faults::default());
        pull_from_remote(&b, &whole, ALL).unwrap();
        assert_same(&a, &b, &context);
        drop(b);
        std::fs::remove_file(path).unwrap();
        // Cut while it is pushed.
        let remote = Memory::default();
        remote.reset(Faults { cut_after: Some(random.next() % total), ..Faults::default() });
        push_to_remote(&a, &remote, ALL).unwrap_err();
        let c = Store::create(folder.path().join(format!("c{round}.mgit"))).unwrap();
        remote.reset(Faults::default());
        let error = pull_from_remote(&c, &remote, ALL).unwrap_err();
        assert!(matches!(error, TransferError::NotFound { .. }), "{context}: {error}");
        push_to_remote(&a, &remote, ALL).unwrap();
        pull_from_remote(&c, &remote, ALL).unwrap();
        assert_same(&a, &c, &context);
    }
}

#[test]
fn a_faulty_remote_is_never_believed() {
    let seed = common::seed();
    let folder = common::folder();
    let a = family(&folder.path().join("a.mgit"));
    let remote = Memory::default();
    push_to_remote(&a, &remote, ALL).unwrap();
    let mut failed = 0;
    for round in 0..100u64 {
        let context = format!("MGIT_SEED={seed}, round {round}");
        let path = folder.path().join(format!("b{round}.mgit"));
        let b = Store::create(&path).unwrap();
        let random = seed.wrapping_add(round);
        remote.reset(Faults { one_in: Some(3), random, cut_after: None });
        match pull_from_remote(&b, &remote, ALL) {
            Ok(_) => assert_same(&a, &b, &context),
            Err(_) => {
                failed += 1;
                assert!(b.snapshot().unwrap().nodes().unwrap().is_empty(), "{context}");
                assert_sound(&b, &context);
            }
        }
        drop(b);
        std::fs::remove_file(path).unwrap();
    }
    assert!(failed > 30, "{failed} of 100");
}

#[test]
fn tensors_of_a_long_transfer_are_not_fetched_again() {
    let folder = common::folder();
    let a = Store::create(folder.path().join("a.mgit")).unwrap();
    let list: Vec<(String, Vec<u8>)> =
        (0..10).map(|at| (format!("t{at}"), weights(at, 4_000_000))).collect();
    add(&a, model("long", &[], &list)).unwrap();
    let remote = Memory::default();
    push_to_remote(&a, &remote, ALL).unwrap();
    let b = Store::create(folder.path().join("b.mgit")).unwrap();
    let total = remote.total();
    remote.reset(Faults { cut_after: Some(total - 1_000_000), ..Faults::default() });
    pull_from_remote(&b, &remote, ALL).unwrap_err();
    assert!(b.snapshot().unwrap().nodes().unwrap().is_empty());
    assert_sound(&b, "cut");
    remote.reset(Faults::default());
    let report = pull_from_remote(&b, &remote, ALL).unwrap();
    let read = remote.read.load(Ordering::Relaxed);
    assert!(read < total * 6 / 10, "{read} of {total} were read again");
    assert!(report.resumed >= 4, "{report:?}");
    assert_same(&a, &b, "gone on");
    // And a collection lets go of what a transfer left behind.
    let c = Store::create(folder.path().join("c.mgit")).unwrap();
    remote.reset(Faults { cut_after: Some(total - 1_000_000), ..Faults::default() });
    pull_from_remote(&c, &remote, ALL).unwrap_err();
    assert!(!tensor_rows(&c.snapshot().unwrap()).is_empty());
    mgit::upkeep::gc(&c).unwrap();
    assert!(tensor_rows(&c.snapshot().unwrap()).is_empty());
    assert_sound(&c, "collected");
    // Nor does a collection between two batches make it fail: what it frees is brought again.
    let d = Store::create(folder.path().join("d.mgit")).unwrap();
    remote.reset(Faults::default());
    let collected = AtomicBool::new(false);
    let collect = |_| {
        let has_some = !tensor_rows(&d.snapshot().unwrap()).is_empty();
        if has_some && !collected.swap(true, Ordering::Relaxed) {
            assert!(mgit::upkeep::gc(&d).unwrap().collected.freed_bytes > 0);
        }
    };
    let selection = Selection { progress: &collect, ..ALL };
    pull_from_remote(&d, &remote, selection).unwrap();
    assert!(collected.into_inner(), "all came in one batch");
    assert_same(&a, &d, "collected meanwhile");
}

#[test]
fn a_bundle_is_one_file_that_is_checked() {
    let folder = common::folder();
    let a = family(&folder.path().join("a.mgit"));
    let path = folder.path().join("family.bundle");
    let made = bundle_create(&a, &path, ALL).unwrap();
    assert_eq!(made.models, ["base@1", "tuned@1", "tuned@2"]);
    assert_eq!(made.bytes, path.metadata().unwrap().len());
    assert!(bundle_create(&a, &path, ALL).is_err(), "written over");
    assert_eq!(bundle_verify(&path, ALL).unwrap(), made);
    let b = Store::create(folder.path().join("b.mgit")).unwrap();
    assert!(matches!(Place::parse(path.to_str().unwrap()), Ok(Place::Bundle(_))));
    bundle_import(&b, &path, ALL).unwrap();
    assert_same(&a, &b, "imported");
    let whole = std::fs::read(&path).unwrap();
    let mut random = Random(common::seed());
    for _ in 0..40 {
        let at = random.below(whole.len());
        let mut hurt = whole.clone();
        hurt[at] ^= 1 << random.below(8);
        let cut = &whole[..at];
        for bytes in [&hurt[..], cut] {
            let path = folder.path().join("hurt.bundle");
            std::fs::write(&path, bytes).unwrap();
            match bundle_verify(&path, ALL) {
                // Padding is not looked at, nor is the head, which is how a bundle is told.
                Ok(report) => assert!(bytes.len() == whole.len(), "{report:?}"),
                Err(error) => {
                    let is_there = matches!(
                        error,
                        TransferError::Destination(DestinationError::Exists { .. })
                            | TransferError::Store(StoreError::AlreadyExists { .. })
                    );
                    assert!(!is_there, "{error}");
                }
            }
        }
    }
    let left = std::fs::read_dir(folder.path()).unwrap().flatten();
    assert!(left.into_iter().all(|entry| !entry.file_name().as_encoded_bytes().starts_with(b".")));
}

/// A bundle whose index is changed by `change`, with a trailer that leads to it.
fn reindexed(whole: &[u8], change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let (rest, trailer) = whole.split_at(whole.len() - 64);
    let offset = u64::from_le_bytes(trailer[8..16].try_into().unwrap()) as usize;
    let mut index = rest[offset..].to_vec();
    change(&mut index);
    let id = mgit::ContentId::of(&index);
    let mut end = [&trailer[..8], &(offset as u64).to_le_bytes()].concat();
    end.extend((index.len() as u64).to_le_bytes());
    end.extend(id.as_bytes());
    end.extend([0; 4]);
    end.extend(crc32fast::hash(&end).to_le_bytes());
    [&rest[..offset], &index, &end].concat()
}

#[test]
fn an_index_that_lies_is_refused() {
    let folder = common::folder();
    let a = family(&folder.path().join("a.mgit"));
    let path = folder.path().join("family.bundle");
    bundle_create(&a, &path, ALL).unwrap();
    let whole = std::fs::read(&path).unwrap();
    assert_eq!(reindexed(&whole, |_| ()), whole);
    let seed = common::seed();
    let mut random = Random(seed);
    let hurt = folder.path().join("hurt.bundle");
    let mut refused = 0;
    for round in 0..200 {
        let context = format!("MGIT_SEED={seed}, round {round}");
        let bytes = reindexed(&whole, |index| {
            let at = random.below(index.len());
            match random.below(3) {
                0 => index[at] ^= 1 << random.below(8),
                1 => index[at] = 0xff,
                _ => index.truncate(at),
            }
        });
        std::fs::write(&hurt, bytes).unwrap();
        let store = Store::create(folder.path().join(format!("{round}.mgit"))).unwrap();
        match bundle_import(&store, &hurt, ALL) {
            // A name or a time may have been changed, which nothing can tell.
            Ok(_) => assert_sound(&store, &context),
            Err(_) => {
                refused += 1;
                assert!(store.snapshot().unwrap().nodes().unwrap().is_empty(), "{context}");
                assert_sound(&store, &context);
            }
        }
        std::fs::remove_file(store.path()).unwrap();
    }
    assert!(refused > 100, "{refused} of 200");
}

#[test]
fn a_folder_remote_makes_a_file_once() {
    let folder = common::folder();
    let remote = FolderRemote::new(folder.path().join("r"));
    assert!(remote.put_new("refs/00000001", b"one").unwrap());
    assert!(!remote.put_new("refs/00000001", b"two").unwrap());
    assert_eq!(remote.get("refs/00000001", 10).unwrap().as_deref(), Some(&b"one"[..]));
    assert_eq!(remote.get("refs/00000002", 10).unwrap(), None);
    assert!(remote.get("refs/00000001", 2).is_err(), "longer than it may be");
    assert!(remote.put("packs/x.pack", 5, &mut &b"four"[..]).is_err(), "a lying length");
    assert_eq!(remote.list("packs").unwrap(), Some(Vec::new()));
    assert!(remote.get_range("refs/00000001", 1, &mut [0; 3]).is_err(), "behind the end");
}
