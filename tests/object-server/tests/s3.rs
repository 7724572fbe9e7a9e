//! Promise: families go by way of a real S3-compatible server, which refuses a second create.

#[path = "../../common/mod.rs"]
mod common;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use common::remote::{ALL, assert_same, family, grown};
use common::{add, model, nudged, tensor_rows, weights};
use mgit::Store;
use mgit::merge::{Merge, MergeOptions, Resolution};
use mgit::model_tests::RunOptions;
use mgit::transfer::{ObjectRemote, Remote, TransferError, pull_from_remote, push_to_remote};
use mgit::update::Strategy;
use object_server::{SECRET_KEY, Server};
use object_store::path::Path as Key;
use object_store::{ObjectStore, ObjectStoreExt, PutMode};
use tempfile::TempDir;

fn server() -> (TempDir, Server) {
    let folder = common::folder();
    fs::create_dir(folder.path().join("bucket")).unwrap();
    let server = Server::start(folder.path());
    (folder, server)
}

#[test]
fn the_server_refuses_a_second_create() {
    let (_folder, server) = server();
    let client = server.client("bucket", SECRET_KEY);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let create = |bytes: &'static [u8]| {
        let options = PutMode::Create.into();
        runtime.block_on(client.put_opts(&Key::from("once"), bytes.into(), options))
    };
    create(b"one").unwrap();
    let error = create(b"two").unwrap_err();
    assert!(matches!(error, object_store::Error::AlreadyExists { .. }), "{error}");
    let there = runtime
        .block_on(async { client.get(&Key::from("once")).await.unwrap().bytes().await.unwrap() });
    assert_eq!(&*there, b"one");
    // And the remote says so.
    let remote = server.remote("bucket");
    assert!(remote.put_new("refs/00000001", b"one").unwrap());
    assert!(!remote.put_new("refs/00000001", b"two").unwrap());
}

#[test]
fn a_wrong_secret_is_refused() {
    let (folder, server) = server();
    let client = server.client("bucket", "another");
    let remote = ObjectRemote::on(Arc::new(client), Key::from("family"), "s3://bucket").unwrap();
    let a = family(&folder.path().join("a.mgit"));
    let error = push_to_remote(&a, &remote, ALL).unwrap_err();
    assert!(matches!(error, TransferError::Io { .. }), "{error}");
}

fn wire(folder: &Path) -> u64 {
    let mut bytes = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let found = entry.metadata().unwrap();
        bytes += if found.is_dir() { wire(&entry.path()) } else { found.len() };
    }
    bytes
}

#[test]
fn two_stores_grow_apart_and_together_by_a_server() {
    let (folder, server) = server();
    let remote = server.remote("bucket");
    let a = family(&folder.path().join("a.mgit"));
    // Long enough to go in parts.
    let list: Vec<_> = (0..3).map(|at| (format!("t{at}"), weights(at, 3_000_000))).collect();
    add(&a, model("long", &[], &list)).unwrap();
    push_to_remote(&a, &remote, ALL).unwrap();
    println!("{} bytes in the bucket", wire(&folder.path().join("bucket")));
    let b = Store::create(folder.path().join("b.mgit")).unwrap();
    pull_from_remote(&b, &remote, ALL).unwrap();
    assert_same(&a, &b, "cloned");
    // A change of some size: next to nothing else goes over the wire.
    let rows = |store: &Store| tensor_rows(&store.snapshot().unwrap());
    let (before, old) = (wire(&folder.path().join("bucket")), rows(&a));
    let tuned = vec![("t0".to_owned(), nudged(&list[0].1, 5, 9))];
    add(&a, model("longer", &["long"], &tuned)).unwrap();
    let new = rows(&a).into_iter().filter(|(id, _)| !old.contains_key(id));
    let new: u64 = new.map(|(_, row)| row.len).sum();
    push_to_remote(&a, &remote, ALL).unwrap();
    let moved = wire(&folder.path().join("bucket")) - before;
    println!("{moved} bytes for {new} of records");
    assert!(new > 200_000 && moved * 100 <= new * 105, "{moved} for {new}");
    pull_from_remote(&b, &remote, ALL).unwrap();
    assert_same(&a, &b, "after a change");
    grown(&a, "tuned", "base", 20);
    grown(&b, "tuned", "base", 21);
    push_to_remote(&a, &remote, ALL).unwrap();
    let error = push_to_remote(&b, &remote, ALL).unwrap_err();
    assert!(matches!(error, TransferError::Diverged { .. }), "{error}");
    pull_from_remote(&b, &remote, ALL).unwrap();
    let on_conflict = Some(Resolution::Blend(Strategy::Linear));
    let options = MergeOptions { on_conflict, ..MergeOptions::default() };
    let merge = Merge::new("tuned@3", "tuned@4", "tuned").options(options);
    let merged = merge.run(&b, RunOptions::default()).unwrap();
    assert_eq!(merged.report.node.full_name(), "tuned@5");
    push_to_remote(&b, &remote, ALL).unwrap();
    pull_from_remote(&a, &remote, ALL).unwrap();
    assert_same(&a, &b, "together");
    assert!(a.snapshot().unwrap().graph().diverged().unwrap().is_empty());
}
