//! Promise: a store can be looked after while it is used. `gc` frees what nothing needs and
//! nothing else; `vacuum` and `backup` make whole stores of the same models, or nothing; readers
//! and writers meanwhile see what they were promised.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::common;
use crate::common::children::{RoleChild, hear, role, say};
use crate::common::{
    add, add_one, assert_rows_add_up, contents, contents_of, folder, model, new_store, noise,
    nudged, one, weights, write,
};
use mgit::catalog::{Catalog, ReadTables, RecordRow, Table, Visit, WriteTables};
use mgit::container::{Container, ContainerError};
use mgit::error::DestinationError;
use mgit::store::StoreError;
use mgit::upkeep::{UpkeepError, VerifyDepth, backup, gc, stat, vacuum, verify};
use mgit::{OnChildren, Store};

fn is_clean(path: &Path) -> bool {
    let store = Store::open_read_only(path).unwrap();
    verify(&store, &store.snapshot().unwrap(), VerifyDepth::Full, &|_| ()).unwrap().is_clean()
}

/// A chain of three, with the middle one removed: a hidden base and free space. And a model of
/// its own.
fn family(store: &Store) {
    let base = weights(1, 40_000);
    let child = nudged(&base, 2, 50);
    add(store, model("base", &[], &one(base)).metadata("k", 1)).unwrap();
    add(store, model("child", &["base"], &one(child.clone()))).unwrap();
    add(store, model("grandchild", &["child"], &one(nudged(&child, 3, 50)))).unwrap();
    add_one(store, "other", &[], &noise(4, 300_000)).unwrap();
    add_one(store, "gone", &[], &noise(5, 500_000)).unwrap();
    write(store, |t| t.remove_model("child", OnChildren::Reparent)).unwrap();
    write(store, |t| t.remove_model("gone", OnChildren::Refuse)).unwrap();
}

#[test]
fn a_vacuum_keeps_every_model_and_gives_the_room_back() {
    let (folder, path, store) = new_store();
    family(&store);
    let before = contents(&store.snapshot().unwrap()).unwrap();
    let (id, last) =
        (store.container().superblock().store_id, store.snapshot().unwrap().sequence());
    let open_len = fs::metadata(&path).unwrap().len();
    drop(store);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let old_len = fs::metadata(&path).unwrap().len();
    let report = vacuum(&path, &|_| ()).unwrap();
    assert_eq!((report.models, report.commit), (3, last));
    assert_eq!((report.old_bytes, report.new_bytes), (old_len, fs::metadata(&path).unwrap().len()));
    // A small store gives most of it back when it is closed.
    assert!(report.new_bytes + 450_000 <= open_len, "{report:?} of {open_len}");
    assert!(report.new_bytes <= old_len && old_len < open_len, "{report:?} of {open_len}");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    assert!(is_clean(&path));
    assert_eq!(contents_of(&path).unwrap(), before);
    let store = Store::open(&path).unwrap();
    assert_eq!(store.container().superblock().store_id, id);
    assert_rows_add_up(&store.snapshot().unwrap(), "after a vacuum");
    add_one(&store, "base", &[], &weights(9, 100)).unwrap();
    assert!(store.snapshot().unwrap().model("base@2").is_ok());
    drop(store);
    // Nothing else is left in the folder, and a second vacuum changes nothing that is seen.
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    vacuum(&path, &|_| ()).unwrap();
    assert_eq!(contents_of(&path).unwrap().len(), 4);
}

#[test]
fn a_vacuum_follows_a_link_and_refuses_a_second_name() {
    let (folder, path, store) = new_store();
    family(&store);
    drop(store);
    let link = folder.path().join("link.mgit");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    vacuum(&link, &|_| ()).unwrap();
    assert!(link.symlink_metadata().unwrap().is_symlink());
    assert!(is_clean(&path));
    let number = fs::metadata(&path).unwrap().ino();
    fs::hard_link(&path, folder.path().join("second.mgit")).unwrap();
    let refused = vacuum(&path, &|_| ());
    assert!(matches!(refused, Err(UpkeepError::Linked { names: 2, .. })), "{refused:?}");
    assert_eq!(fs::metadata(&path).unwrap().ino(), number);
}

#[test]
fn a_vacuum_of_a_damaged_store_leaves_it_as_it_is() {
    let (folder, path, store) = new_store();
    family(&store);
    let at = {
        let snapshot = store.snapshot().unwrap();
        let rows = common::tensor_rows(&snapshot);
        let row = rows.values().find(|row| row.raw_len == 300_000).unwrap();
        row.offset + row.len - 1
    };
    drop(store);
    let mut bytes = fs::read(&path).unwrap();
    bytes[at as usize] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let refused = vacuum(&path, &|_| ()).unwrap_err();
    assert!(matches!(refused, UpkeepError::Damaged { .. }));
    assert!(refused.to_string().contains("found, first: "), "{refused}");
    let store = Store::open_read_only(&path).unwrap();
    let to = folder.path().join("copy.mgit");
    let refused = backup(&store, &store.snapshot().unwrap(), &to, &|_| ()).unwrap_err();
    assert!(matches!(refused, UpkeepError::Damaged { .. }));
    drop(store);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    let store = Store::open(&path).unwrap();
    assert!(contents(&store.snapshot().unwrap()).is_err());
    assert!(store.snapshot().unwrap().model("grandchild").unwrap().tensor("w").is_ok());
}

#[test]
fn readers_of_the_old_file_are_safe_and_are_told_to_open_again() {
    let (_folder, path, store) = new_store();
    family(&store);
    drop(store);
    let reader = Store::open_read_only(&path).unwrap();
    let snapshot = reader.snapshot().unwrap();
    let before = contents(&snapshot).unwrap();
    let view = snapshot.model("other").unwrap().tensor("w").unwrap().view().unwrap();
    vacuum(&path, &|_| ()).unwrap();
    let writer = Store::open(&path).unwrap();
    write(&writer, |t| t.remove_model("other", OnChildren::Refuse)).unwrap();
    add_one(&writer, "new", &[], &noise(6, 300_000)).unwrap();
    // What was taken before stays, to the last byte.
    assert!(view[..] == noise(4, 300_000));
    assert_eq!(contents(&snapshot).unwrap(), before);
    // What is asked for now is not here any more.
    let retired = reader.snapshot();
    assert!(matches!(retired, Err(StoreError::Container(ContainerError::Retired))), "{retired:?}");
    let again = Store::open_read_only(&path).unwrap();
    assert!(again.snapshot().unwrap().model("new").is_ok());
}

#[test]
fn a_copy_of_a_replaced_file_can_be_read_and_not_written() {
    let (folder, path, store) = new_store();
    family(&store);
    drop(store);
    // A second name, given while the vacuum was under way.
    let held = fs::File::open(&path).unwrap();
    vacuum(&path, &|_| ()).unwrap();
    let old = folder.path().join("old.mgit");
    std::io::copy(&mut &held, &mut fs::File::create(&old).unwrap()).unwrap();
    assert_eq!(contents_of(&old).unwrap(), contents_of(&path).unwrap());
    let refused = Store::open(&old);
    assert!(matches!(refused, Err(StoreError::Container(ContainerError::Retired))), "{refused:?}");
    // A backup of it is a store like any other.
    let store = Store::open_read_only(&old).unwrap();
    let copy = folder.path().join("copy.mgit");
    backup(&store, &store.snapshot().unwrap(), &copy, &|_| ()).unwrap();
    assert!(Store::open(&copy).is_ok());
}

#[test]
fn leftovers_of_killed_commands_go_with_the_next() {
    let (folder, path, store) = new_store();
    family(&store);
    let leftover = folder.path().join(".mgit-vacuum-abcdefghij");
    let lock = folder.path().join(".mgit-vacuum-abcdefghij.lock");
    // Without a lock file, or under a name that is not ours, it is somebody else's.
    let foreign = [".mgit-vacuum-klmnopqrst", ".mgit-other-abcdefghij.lock"];
    let foreign = foreign.map(|name| folder.path().join(name));
    let leave = || [&leftover, &lock].map(|path| fs::write(path, b"half").unwrap());
    foreign.iter().for_each(|path| fs::write(path, b"half").unwrap());
    leave();
    assert_eq!(gc(&store).unwrap().leftovers, 1);
    assert!(!leftover.exists() && !lock.exists() && foreign.iter().all(|path| path.exists()));
    leave();
    drop(store);
    vacuum(&path, &|_| ()).unwrap();
    assert!(!leftover.exists() && !lock.exists() && foreign.iter().all(|path| path.exists()));
}

#[test]
fn a_backup_is_one_commit_while_a_writer_goes_on() {
    let (folder, path, store) = new_store();
    family(&store);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // Each commit takes one model away and puts another in: there are always two of them.
            add_one(&store, "a-0", &[], &noise(100, 90_000)).unwrap();
            let mut step = 1;
            while !stop.load(Ordering::SeqCst) {
                write(&store, |t| {
                    let bytes = noise(100 + step, 90_000);
                    t.remove_model(format!("a-{}", step - 1), OnChildren::Refuse)?;
                    t.add_model(model(&format!("a-{step}"), &[], &one(bytes)))
                })
                .unwrap();
                step += 1;
            }
        });
        for round in 0..6 {
            let reader = Store::open_read_only(&path).unwrap();
            let snapshot = reader.snapshot().unwrap();
            let to = folder.path().join(format!("copy-{round}.mgit"));
            let report = backup(&reader, &snapshot, &to, &|_| ()).unwrap();
            assert_eq!(report.commit, snapshot.sequence());
            assert_eq!(contents_of(&to).unwrap(), contents(&snapshot).unwrap());
            assert!(is_clean(&to));
            assert_eq!(fs::metadata(&to).unwrap().permissions().mode() & 0o777, 0o600);
            let again = backup(&reader, &snapshot, &to, &|_| ()).unwrap_err();
            assert!(matches!(again, UpkeepError::Store(StoreError::AlreadyExists { .. })));
        }
        stop.store(true, Ordering::SeqCst);
    });
}

/// Changes rows of the catalogue behind the store's back.
fn change_rows(path: &Path, change: impl FnOnce(&mut dyn WriteTables)) {
    let disk = Container::open_file(path, true).unwrap();
    let container = std::sync::Arc::new(Container::open_writer(disk).unwrap());
    let mut write = Catalog::open_writer(&container).unwrap().begin_write().unwrap();
    change(&mut write);
    write.commit().unwrap();
}

fn all_rows(tables: &dyn ReadTables) -> Vec<(Vec<u8>, RecordRow)> {
    let mut rows = Vec::new();
    tables
        .scan(Table::Tensors, &[], &mut |key, value| {
            rows.push((key.to_vec(), RecordRow::decode(value)?));
            Ok(Visit::Continue(()))
        })
        .unwrap();
    rows
}

#[test]
fn gc_finds_nothing_in_a_sound_store() {
    let (_folder, path, store) = new_store();
    family(&store);
    let last = store.snapshot().unwrap().sequence();
    let len = fs::metadata(&path).unwrap().len();
    let report = gc(&store).unwrap();
    let collected = &report.collected;
    assert_eq!((collected.corrected, collected.freed_records), (0, 0), "{report:?}");
    assert_eq!(collected.hidden_bases, 1);
    assert_eq!(store.snapshot().unwrap().sequence(), last);
    let given = report.given_back.unwrap();
    assert_eq!((given.before_bytes, given.after_bytes), (len, fs::metadata(&path).unwrap().len()));
    assert!(given.after_bytes + 400_000 < len, "{given:?}");
}

#[test]
fn gc_corrects_counts_and_frees_what_has_leaked() {
    let (_folder, path, store) = new_store();
    family(&store);
    let before = contents(&store.snapshot().unwrap()).unwrap();
    // As if a removal had forgotten the other model, and a delta its base.
    write(&store, |t| t.remove_model("grandchild", OnChildren::Refuse)).unwrap();
    add(&store, model("third", &["base"], &one(nudged(&before["base@1"][0].1, 8, 60)))).unwrap();
    drop(store);
    change_rows(&path, |tables| {
        for (key, mut row) in all_rows(tables) {
            if row.raw_len == 300_000 {
                row.holders += 2;
            } else if row.depth == 0 {
                row.dependents = 9;
            } else {
                row.holders = 0;
                row.dependents = 1;
            }
            tables.put(Table::Tensors, &key, &row.encode()).unwrap();
        }
    });
    let store = Store::open(&path).unwrap();
    let now = contents(&store.snapshot().unwrap()).unwrap();
    let report = gc(&store).unwrap();
    assert_eq!((report.collected.corrected, report.collected.freed_records), (3, 0), "{report:?}");
    assert_rows_add_up(&store.snapshot().unwrap(), "corrected");
    drop(store);
    assert!(is_clean(&path));
    // A tensor that no manifest names, and that says it is held: a leak.
    change_rows(&path, |tables| {
        let (node, _) = {
            let key = mgit::catalog::keys::version("other", 1);
            (tables.get(Table::Versions, &key).unwrap().unwrap(), ())
        };
        tables.delete(Table::Nodes, &node).unwrap();
        tables.delete(Table::Versions, &mgit::catalog::keys::version("other", 1)).unwrap();
    });
    let store = Store::open(&path).unwrap();
    let report = gc(&store).unwrap();
    // The manifest, and the tensor that only it named.
    assert_eq!(report.collected.freed_records, 2, "{report:?}");
    assert!(report.collected.freed_bytes > 300_000);
    assert_rows_add_up(&store.snapshot().unwrap(), "freed");
    let mut expected = now;
    expected.remove("other@1");
    assert_eq!(contents(&store.snapshot().unwrap()).unwrap(), expected);
    drop(store);
    let report = mgit::upkeep::verify_path(&path, mgit::upkeep::VerifyDepth::Full, &|_| ());
    // The node went without a commit that says so.
    let findings = report.unwrap().findings;
    assert!(findings.iter().all(|it| it.message.contains("change records")), "{findings:?}");
    assert!(!findings.is_empty());
}

#[test]
fn gc_frees_nothing_when_a_manifest_cannot_be_read() {
    let (_folder, path, store) = new_store();
    family(&store);
    let place = store.snapshot().unwrap();
    let manifest = place.model("other").unwrap().node().manifest_id();
    let value = place.tables().get(Table::Manifests, manifest.as_bytes()).unwrap().unwrap();
    let row = RecordRow::decode(&value).unwrap();
    drop((place, store));
    let mut bytes = fs::read(&path).unwrap();
    bytes[(row.offset + row.len - 1) as usize] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let store = Store::open(&path).unwrap();
    let last = store.snapshot().unwrap().sequence();
    let refused = gc(&store).unwrap_err();
    assert!(matches!(refused, UpkeepError::Store(StoreError::DamagedRecord { .. })), "{refused:?}");
    assert_eq!(store.snapshot().unwrap().sequence(), last);
}

#[test]
fn holes_are_punched_only_where_no_reader_can_look() {
    let (_folder, path, store) = new_store();
    let bytes = noise(1, 4_000_000);
    add_one(&store, "big", &[], &bytes).unwrap();
    add_one(&store, "small", &[], &noise(2, 100)).unwrap();
    // No free range will take it: what is before it stays free.
    add_one(&store, "bigger", &[], &noise(4, 5_000_000)).unwrap();
    drop(store);
    let mut child = RoleChild::start(module_path!(), "hold", &path);
    child.expect("holding");
    let store = Store::open(&path).unwrap();
    write(&store, |t| t.remove_model("big", OnChildren::Refuse)).unwrap();
    let len = fs::metadata(&path).unwrap().len();
    let held = gc(&store).unwrap();
    assert!(held.waiting_bytes >= 4_000_000, "{held:?}");
    assert_eq!(held.oldest_reader, Some(3));
    assert!(held.punched_bytes < 1_000_000, "{held:?}");
    let seen = stat(&store, &store.snapshot().unwrap()).unwrap();
    assert_eq!((seen.oldest_reader, seen.held_back_bytes), (Some(3), held.waiting_bytes));
    let other = Store::open_read_only(&path).unwrap();
    let seen = stat(&other, &other.snapshot().unwrap()).unwrap();
    assert!(seen.held_back_bytes >= held.waiting_bytes, "{seen:?}");
    child.say("read");
    child.expect("same");
    child.finish();
    let free = gc(&store).unwrap();
    assert_eq!((free.waiting_bytes, free.oldest_reader), (0, None));
    let now = stat(&store, &store.snapshot().unwrap()).unwrap();
    assert!(now.file_bytes <= len && now.held_back_bytes == 0, "{now:?}");
    if free.punched_bytes == 0 {
        println!("skipped: this file system makes no holes");
        return;
    }
    assert!(free.punched_bytes >= 3_900_000, "{free:?}");
    assert!(now.allocated_bytes + 3_900_000 <= seen.allocated_bytes, "{now:?} {seen:?}");
    // What is written into a hole is there.
    add_one(&store, "again", &[], &noise(3, 3_000_000)).unwrap();
    assert!(fs::metadata(&path).unwrap().len() < now.file_bytes + 1_000_000);
    drop((store, other));
    assert!(is_clean(&path));
    assert!(contents_of(&path).unwrap()["again@1"][0].1 == noise(3, 3_000_000));
}

/// A writer that waits for the lock of a vacuum's old file, in another process, gets the new one.
#[test]
fn writers_that_wait_find_the_new_file() {
    let (_folder, path, store) = new_store();
    family(&store);
    drop(store);
    let mut child = RoleChild::start(module_path!(), "write", &path);
    child.expect("ready");
    child.say("go");
    for _ in 0..5 {
        // The child writes all the time: both are refused now and then, and try again.
        loop {
            match vacuum(&path, &|_| ()) {
                Ok(_) => break,
                Err(error) => assert!(
                    matches!(
                        error,
                        UpkeepError::Store(StoreError::Container(ContainerError::Locked(_)))
                    ),
                    "{error}"
                ),
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    }
    child.say("stop");
    let written: usize = child.hear().parse().unwrap();
    child.finish();
    let store = Store::open_read_only(&path).unwrap();
    let snapshot = store.snapshot().unwrap();
    assert_eq!(snapshot.nodes().unwrap().len(), 3 + written);
    drop((snapshot, store));
    assert!(is_clean(&path));
}

#[test]
fn child_role() {
    let Some((role, path)) = role() else { return };
    match role.as_str() {
        "hold" => {
            let store = Store::open_read_only(&path).unwrap();
            let snapshot = store.snapshot().unwrap();
            let view =
                snapshot.model("big").unwrap().tensor("w").unwrap().view_unchecked().unwrap();
            say("holding");
            assert_eq!(hear().as_deref(), Some("read"));
            say(if view[..] == noise(1, 4_000_000) { "same" } else { "different" });
            hear();
        }
        "write" => {
            say("ready");
            hear();
            let asked = std::thread::spawn(hear);
            let mut written = 0;
            while !asked.is_finished() {
                match Store::open(&path) {
                    Ok(store) => {
                        add_one(&store, &format!("w{written}"), &[], &noise(7 + written, 100))
                            .unwrap();
                        written += 1;
                    }
                    Err(error) => assert!(
                        matches!(error, StoreError::Container(ContainerError::Locked(_))),
                        "{error}"
                    ),
                }
                std::thread::sleep(std::time::Duration::from_millis(3));
            }
            say(&written.to_string());
            hear();
        }
        other => panic!("role {other}"),
    }
}

#[test]
fn temporaries_never_follow_a_link() {
    // A folder full of links under every name a temporary could have is not possible to make;
    // what is shown is that a path that is a link to nothing is not written through.
    let home = folder();
    let target = home.path().join("victim");
    let link = home.path().join("new.mgit");
    std::os::unix::fs::symlink(&target, &link).unwrap();
    assert!(matches!(Store::create(&link), Err(StoreError::AlreadyExists { .. })));
    let (_folder, _path, store) = new_store();
    family(&store);
    let refused = backup(&store, &store.snapshot().unwrap(), &link, &|_| ()).unwrap_err();
    assert!(matches!(refused, UpkeepError::Destination(DestinationError::NotAFile { .. })));
    assert!(!target.exists());
}
