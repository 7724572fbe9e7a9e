//! Models of 90 MB into a store and out again, from a warm page cache, each commit and each
//! export synced to the medium. The limits: `cp` and `fsync` of the same file, and hashing it.
//!
//! Importing a file that the store holds already must be at least as fast as hashing the file
//! twice with BLAKE3 on one core.

mod common;

use common::{Comparison, models, timed};
use criterion::{Criterion, criterion_group, criterion_main};
use mgit::Store;
use mgit::interchange::export_to_path;
use std::cell::Cell;
use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

fn hash(path: &Path) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(File::open(path).expect("the model file")).expect("the model's bytes");
    hasher.finalize()
}

fn copy(from: &Path, to: &Path, sync: bool) -> Duration {
    let took = timed(|| {
        fs::copy(from, to).expect("a copy");
        if sync {
            File::open(to).expect("the copy").sync_all().expect("a sync");
        }
    });
    fs::remove_file(to).expect("the copy is there");
    took
}

fn import(criterion: &mut Criterion) {
    let folder = models::scratch();
    let (root, child) = models::root_and_child(folder.path());
    let bytes = fs::metadata(&root).expect("the model file").len();
    let in_memory = fs::read(&root).expect("the model file");
    let copy_to = folder.path().join("copy");
    let new_path = folder.path().join("new.mgit");
    let new_store = || Store::create(&new_path).expect("a store");
    let away = || fs::remove_file(&new_path).expect("the store is there");

    let kept_path = folder.path().join("kept.mgit");
    let kept = Store::create(&kept_path).expect("a store");
    models::import(&kept, &root, "root", None);
    let len = || fs::metadata(&kept_path).expect("the store").len();
    let before = len();
    let report = models::import(&kept, &root, "again", None);
    println!(
        "the same file again: {} tensors written, {} bytes of records, the file grew by {}",
        report.raw + report.delta,
        report.added_bytes,
        len() - before
    );
    let report = models::import(&kept, &child, "child", Some("root"));
    println!("the child: {} bytes as deltas in {}", report.delta_bytes, report.delta_stored_bytes);
    let count = Cell::new(0);
    let fresh_name = || {
        count.set(count.get() + 1);
        format!("again-{}", count.get())
    };

    Comparison::new("import", bytes)
        .add("mgit import a root", || {
            let store = new_store();
            let took = timed(|| models::import(&store, &root, "root", None));
            away();
            took
        })
        .add("cp + fsync", || copy(&root, &copy_to, true))
        .add("cp", || copy(&root, &copy_to, false))
        .add("mgit import a delta child", || {
            let store = new_store();
            models::import(&store, &root, "root", None);
            let took = timed(|| models::import(&store, &child, "child", Some("root")));
            away();
            took
        })
        .add("mgit import the same again", || {
            timed(|| models::import(&kept, &root, &fresh_name(), None))
        })
        .add("mgit import the same again, new handle", || {
            // Nothing is known of the records but what the file says.
            let store = new_store();
            models::import(&store, &root, "root", None);
            drop(store);
            let store = Store::open(&new_path).expect("the store");
            let took = timed(|| models::import(&store, &root, "again", None));
            away();
            took
        })
        .add("BLAKE3 of the file twice, one core", || timed(|| (hash(&root), hash(&root))))
        .add("BLAKE3 of memory twice, one core", || {
            timed(|| (blake3::hash(&in_memory), blake3::hash(&in_memory)))
        })
        .run(
            criterion,
            &[
                ("mgit import a root", "cp + fsync"),
                ("mgit import a delta child", "cp + fsync"),
                ("mgit import the same again", "BLAKE3 of memory twice, one core"),
                ("mgit import the same again, new handle", "BLAKE3 of memory twice, one core"),
                ("mgit import the same again, new handle", "BLAKE3 of the file twice, one core"),
            ],
        );

    let snapshot = kept.snapshot().expect("a snapshot");
    let export = |name: &str| {
        let model = snapshot.model(name).expect("the model");
        let took = timed(|| export_to_path(&model, &copy_to, &|_| ()).expect("an export"));
        fs::remove_file(&copy_to).expect("the export is there");
        took
    };
    Comparison::new("export", bytes)
        .add("mgit export a root", || export("root"))
        .add("mgit export a delta child", || export("child"))
        .add("cp + fsync", || copy(&root, &copy_to, true))
        .add("cp", || copy(&root, &copy_to, false))
        .run(
            criterion,
            &[
                ("mgit export a root", "cp + fsync"),
                ("mgit export a root", "cp"),
                ("mgit export a delta child", "cp + fsync"),
            ],
        );
}

criterion_group!(benches, import);
criterion_main!(benches);
