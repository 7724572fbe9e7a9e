//! A family of models of 90 MB moved to another place on the same machine, from a warm page cache
//! and synced to the medium: a clone of the whole, a pull of the one model that is new, and pushes
//! of both, which are read back. The limits: `cp` and `fsync` of the store's file, and of the plain
//! file of the new model.

mod common;

use common::{Comparison, models, timed};
use criterion::{Criterion, criterion_group, criterion_main};
use mgit::Store;
use mgit::transfer::{FolderRemote, Selection, pull_from_remote, pull_from_store, push_to_remote};
use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

fn copy(from: &Path, to: &Path) -> Duration {
    let took = timed(|| {
        fs::copy(from, to).expect("a copy");
        File::open(to).expect("the copy").sync_all().expect("a sync");
    });
    fs::remove_file(to).expect("the copy is there");
    took
}

fn transfer(criterion: &mut Criterion) {
    let folder = models::scratch();
    let at = |name: &str| folder.path().join(name);
    let (root, child) = models::root_and_child(folder.path());
    let plain_bytes = fs::metadata(&child).expect("the model file").len();
    let (from_path, before_path) = (at("from.mgit"), at("before.mgit"));
    let from = Store::create(&from_path).expect("a store");
    let remote = FolderRemote::new(at("remote"));
    models::import(&from, &root, "root", None);
    push_to_remote(&from, &remote, Selection::ALL).expect("a push");
    let before = Store::create(&before_path).expect("a store");
    pull_from_store(&before, &from, Selection::ALL).expect("a pull");
    drop(before);
    models::import(&from, &child, "child", Some("root"));
    let pushed = push_to_remote(&from, &remote, Selection::ALL).expect("a push");
    println!("BYTES push of the child = {} of {plain_bytes}", pushed.bytes);
    models::warm(&before_path);

    let (new_path, copy_to) = (at("new.mgit"), at("copy"));
    let file_bytes = fs::metadata(&from_path).expect("the store").len();
    let cloned = |pull: &dyn Fn(&Store) -> u64| {
        let mut bytes = 0;
        let took = timed(|| {
            let store = Store::create(&new_path).expect("a store");
            bytes = pull(&store);
        });
        fs::remove_file(&new_path).expect("the store is there");
        (took, bytes)
    };
    let by_store =
        |store: &Store| pull_from_store(store, &from, Selection::ALL).expect("a pull").bytes;
    let by_folder =
        |store: &Store| pull_from_remote(store, &remote, Selection::ALL).expect("a pull").bytes;
    println!("BYTES clone = {} of a file of {file_bytes}", cloned(&by_store).1);
    Comparison::new("clone", file_bytes)
        .add("mgit clone of a store", || cloned(&by_store).0)
        .add("mgit clone of a folder remote", || cloned(&by_folder).0)
        .add("cp + fsync of the store", || copy(&from_path, &copy_to))
        .run(
            criterion,
            &[
                ("mgit clone of a store", "cp + fsync of the store"),
                ("mgit clone of a folder remote", "cp + fsync of the store"),
            ],
        );

    let pulled = |pull: &dyn Fn(&Store) -> u64| {
        fs::copy(&before_path, &new_path).expect("a copy");
        File::open(&new_path).expect("the copy").sync_all().expect("a sync");
        let mut bytes = 0;
        let took = timed(|| {
            let store = Store::open(&new_path).expect("the store");
            bytes = pull(&store);
        });
        fs::remove_file(&new_path).expect("the store is there");
        (took, bytes)
    };
    println!("BYTES pull of the child = {} of {plain_bytes}", pulled(&by_store).1);
    Comparison::new("pull of one new model", plain_bytes)
        .add("mgit pull from a store", || pulled(&by_store).0)
        .add("mgit pull from a folder remote", || pulled(&by_folder).0)
        .add("cp + fsync of the plain file", || copy(&child, &copy_to))
        .run(
            criterion,
            &[
                ("mgit pull from a store", "cp + fsync of the plain file"),
                ("mgit pull from a folder remote", "cp + fsync of the plain file"),
            ],
        );

    // A push of everything, and one of the new model to a remote that has the other.
    let pushed = |before: bool| {
        let (root, path) = (at("pushed"), at("pushing.mgit"));
        fs::copy(&from_path, &path).expect("a copy");
        let remote = FolderRemote::new(&root);
        let base = Store::open_read_only(&before_path).expect("the store");
        if before {
            push_to_remote(&base, &remote, Selection::ALL).expect("a push");
        }
        let store = Store::open(&path).expect("the store");
        let took = timed(|| {
            push_to_remote(&store, &remote, Selection::ALL).expect("a push");
        });
        drop(store);
        fs::remove_dir_all(&root).expect("the remote is there");
        fs::remove_file(&path).expect("the store is there");
        took
    };
    Comparison::new("push of a store", file_bytes)
        .add("mgit push to a folder remote", || pushed(false))
        .add("cp + fsync of the store", || copy(&from_path, &copy_to))
        .run(criterion, &[("mgit push to a folder remote", "cp + fsync of the store")]);
    Comparison::new("push of one new model", plain_bytes)
        .add("mgit push to a folder remote", || pushed(true))
        .add("cp + fsync of the plain file", || copy(&child, &copy_to))
        .run(criterion, &[("mgit push to a folder remote", "cp + fsync of the plain file")]);
}

criterion_group!(benches, transfer);
criterion_main!(benches);
