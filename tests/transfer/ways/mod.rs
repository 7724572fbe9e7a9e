//! Every way out of a store, each of which must give the same bytes for every model.

mod cases;
pub mod history;
mod new_models;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use mgit::store::Repack;
use mgit::transfer::{
    Place, Selection, bundle_create, bundle_import, bundle_verify, pull, pull_from_store, push,
    verify_place,
};
use mgit::upkeep::{VerifyDepth, backup, salvage};
use mgit::{Profile, Snapshot, Store};
use serde_json::Value;
use tempfile::TempDir;

use crate::common::remote::{ALL, assert_sound, graph};
use crate::common::{Contents, Random, assert_rows_add_up, contents, memory_folder, write};
use crate::second;

/// The graph without what is a store's own affair.
fn travelling(snapshot: &Snapshot) -> BTreeMap<String, Value> {
    let mut nodes = graph(snapshot);
    for node in nodes.values_mut() {
        let metadata = node.get_mut("metadata").and_then(Value::as_object_mut);
        metadata.map(|metadata| metadata.remove("mgit.pinned"));
    }
    nodes
}

/// What every way must give.
struct Expected {
    graph: BTreeMap<String, Value>,
    contents: Contents,
}

impl Expected {
    #[track_caller]
    fn is_in(&self, store: &Store, context: &str) {
        let snapshot = store.snapshot().unwrap();
        assert!(travelling(&snapshot) == self.graph, "{context}: another graph");
        let found = contents(&snapshot).unwrap_or_else(|error| panic!("{context}: {error}"));
        assert!(found == self.contents, "{context}: other bytes");
        assert_rows_add_up(&snapshot, context);
        assert_sound(store, context);
    }
}

fn create(path: &Path) -> Store {
    Store::create(path).unwrap()
}

/// Takes a store, whose file is at `path`, every way out.
#[track_caller]
pub fn assert_every_way_out(store: &Store, path: &Path, random: &mut Random, context: &str) {
    let folder = memory_folder();
    let at = |name: &str| folder.path().join(name);
    let named = |way: &str| format!("{context}: {way}");
    assert_sound(store, &named("verify"));
    let snapshot = store.snapshot().unwrap();
    assert_rows_add_up(&snapshot, context);
    let expected =
        Expected { graph: travelling(&snapshot), contents: contents(&snapshot).unwrap() };

    let clone = create(&at("clone.mgit"));
    pull_from_store(&clone, store, ALL).unwrap_or_else(|error| panic!("{context}: clone: {error}"));
    expected.is_in(&clone, &named("clone"));

    by_remote(store, &at("remote"), &at("from-remote.mgit"), &expected, context);
    by_bundle(store, &at("bundle"), &at("from-bundle.mgit"), &expected, context);
    into_a_part(store, &at("part.mgit"), random, &expected, context);

    let copy = at("backup.mgit");
    backup(store, &snapshot, &copy, &|_| ()).unwrap();
    let copy = Store::open_read_only(copy).unwrap();
    assert!(contents(&copy.snapshot().unwrap()).unwrap() == expected.contents, "{context}: backup");

    let (broken, saved) = (at("copy.mgit"), at("saved.mgit"));
    fs::copy(path, &broken).unwrap();
    let report = salvage(&broken, &saved, &|_| ()).unwrap();
    assert!(report.is_complete(), "{context}: salvage: {report:?}");
    let saved = contents(&Store::open_read_only(saved).unwrap().snapshot().unwrap()).unwrap();
    assert!(saved == expected.contents, "{context}: salvage");

    let second = second_contents(&broken);
    assert!(second == expected.contents, "{context}: the second reader");
}

fn by_remote(store: &Store, at: &Path, to: &Path, expected: &Expected, context: &str) {
    let remote = Place::Folder(at.to_owned());
    push(store, &remote, ALL).unwrap_or_else(|error| panic!("{context}: push: {error}"));
    let report = verify_place(&remote, VerifyDepth::Full, &|_| ()).unwrap();
    assert!(report.is_clean(), "{context}: the remote: {:?}", report.findings);
    let clone = create(to);
    pull(&clone, &remote, ALL)
        .unwrap_or_else(|error| panic!("{context}: clone of a push: {error}"));
    expected.is_in(&clone, &format!("{context}: clone of a push"));
}

fn by_bundle(store: &Store, at: &Path, to: &Path, expected: &Expected, context: &str) {
    if expected.graph.is_empty() {
        return;
    }
    bundle_create(store, at, ALL).unwrap_or_else(|error| panic!("{context}: bundle: {error}"));
    let into = create(to);
    bundle_import(&into, at, ALL)
        .unwrap_or_else(|error| panic!("{context}: bundle import: {error}"));
    expected.is_in(&into, &format!("{context}: import of a bundle"));
    let report =
        bundle_verify(at, ALL).unwrap_or_else(|error| panic!("{context}: bundle verify: {error}"));
    assert_eq!(report.models.len(), expected.graph.len(), "{context}: bundle verify");
}

/// Into a store that has some of the models, kept in another way.
fn into_a_part(store: &Store, at: &Path, random: &mut Random, expected: &Expected, context: &str) {
    let part = create(at);
    let salt = random.next();
    let wants =
        |name: &str| (mgit::ContentId::of(name.as_bytes()).as_bytes()[0] as u64 ^ salt) & 1 > 0;
    // Nothing may fit.
    let _ = pull_from_store(&part, store, Selection { wants: &wants, ..ALL });
    let profile = [Profile::Fast, Profile::Balanced, Profile::Dense][random.below(3)];
    let names: Vec<String> = contents(&part.snapshot().unwrap()).unwrap().into_keys().collect();
    write(&part, |transaction| match random.below(4) {
        0 if !names.is_empty() => transaction.pin(&names[random.below(names.len())]).map(drop),
        1 => transaction.recode_all(profile, &|_| ()).map(drop),
        2 => {
            let mut how = Repack::default().depth_max(random.below(5) as u8);
            how.profile = profile;
            transaction.repack(&how, &|_| ()).map(drop)
        }
        _ => Ok(()),
    })
    .unwrap();
    pull_from_store(&part, store, ALL)
        .unwrap_or_else(|error| panic!("{context}: pull into a part: {error}"));
    expected.is_in(&part, &format!("{context}: pull into a part"));
}

/// What the second reader finds in a file.
fn second_contents(path: &Path) -> Contents {
    let models = second::read(&fs::read(path).unwrap());
    let tensors = |model: second::Model| {
        let files = model.parts.iter().filter(|_| model.version > 1);
        let file = |part: &second::Part| (format!("file {}", part.path), part.file().unwrap());
        let files: Vec<_> = files.map(file).collect();
        let tensors = model.parts.into_iter().flat_map(|part| part.tensors);
        tensors.map(|tensor| (tensor.name, tensor.bytes)).chain(files).collect()
    };
    models.into_iter().map(|(name, model)| (name, tensors(model))).collect()
}

/// A store in a folder of its own, in memory.
pub fn new_store() -> (TempDir, PathBuf, Store) {
    let folder = memory_folder();
    let path = folder.path().join("models.mgit");
    let store = create(&path);
    (folder, path, store)
}
