//! Promise: of models that were pulled without their tensors the graph is whole, nothing is
//! called damaged, a read says where the tensor is, and what comes later is as if it had come at
//! once.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use crate::common;
use crate::common::remote::{ALL, Faults, Memory, assert_same, assert_sound, family, graph, grown};
use crate::common::{
    Random, add, add_one, contents, model, noise, nudged, one, tensor_rows, weights, write,
};
use mgit::catalog::{Catalog, MissingRow, ReadTables, Table, WriteTables};
use mgit::container::Container;
use mgit::format::FEATURE_PROMISED;
use mgit::interchange::{ExportOptions, contents_to_export};
use mgit::store::StoreError;
use mgit::transfer::{
    Place, Selection, TransferError, bundle_create, fetch, fetch_contents, fetch_from_remote,
    fetch_missing, pull, pull_from_remote, pull_from_store, push, push_to_remote,
};
use mgit::upkeep::{VerifyDepth, backup, gc, salvage, stat, usage, vacuum, verify};
use mgit::{How, NewModel, OnChildren, Store};

const GRAPH: Selection<'static> = Selection { graph_only: true, ..Selection::ALL };

/// Rows of tensors, and promises.
fn counts(store: &Store) -> (u64, u64) {
    let snapshot = store.snapshot().unwrap();
    let count = |table| snapshot.tables().count(table).unwrap();
    (count(Table::Tensors), count(Table::Promised))
}

/// A family at a folder, and a store that has pulled its graph.
fn partial(folder: &Path) -> (Store, Store, Place) {
    let a = family(&folder.join("a.mgit"));
    let place = Place::Folder(folder.join("remote"));
    push(&a, &place, ALL).unwrap();
    let b = Store::create(folder.join("b.mgit")).unwrap();
    let report = pull(&b, &place, GRAPH).unwrap();
    assert_eq!(report.models, ["base@1", "tuned@1", "tuned@2"]);
    assert_eq!((report.tensors, report.bytes, report.missing), (0, 0, 4), "{report:?}");
    (a, b, place)
}

fn view(store: &Store, model: &str, tensor: &str) -> mgit::store::Result<Vec<u8>> {
    let model = store.snapshot()?.model(model)?;
    Ok(model.tensor(tensor)?.view()?.to_vec())
}

#[test]
fn the_graph_comes_and_tensors_follow_when_they_are_needed() {
    let folder = common::folder();
    let (a, b, place) = partial(folder.path());
    assert_eq!(graph(&a.snapshot().unwrap()), graph(&b.snapshot().unwrap()));
    assert_eq!(counts(&b), (0, 4));
    assert_ne!(b.container().superblock().reader_flags & FEATURE_PROMISED, 0);
    let snapshot = b.snapshot().unwrap();
    let report = verify(&b, &snapshot, VerifyDepth::Full, &|_| ()).unwrap();
    assert!(report.is_clean(), "{:?}", report.findings);
    assert_eq!((report.partial_models.len(), report.missing_tensors), (3, 4));
    assert!(report.whole_models.is_empty() && report.hurt_models.is_empty());
    drop(snapshot);
    let error = view(&b, "tuned@2", "body").map(drop).unwrap_err();
    assert!(matches!(error, StoreError::MissingContent { .. }));
    assert!(!error.is_damage());
    let StoreError::MissingContent { model, tensor, promisor: there } = &error else {
        panic!("{error}")
    };
    assert_eq!((&**model, &**tensor), ("tuned@2", "body"));
    assert_eq!(Path::new(there), folder.path().join("remote"));
    // Again: nothing.
    let again = pull(&b, &place, GRAPH).unwrap();
    assert_eq!((again.models.len(), again.missing, again.bytes), (0, 0, 0), "{again:?}");

    let report = fetch_missing(&b, &["tuned@1"], &|_| ()).unwrap();
    assert_eq!(report.completed, ["tuned@1"]);
    assert!(view(&b, "tuned@1", "body").unwrap() == view(&a, "tuned@1", "body").unwrap());
    // As a difference, its base along with it, and nothing else.
    let rows = tensor_rows(&b.snapshot().unwrap());
    assert!(rows.values().any(|row| !row.base_id.is_none()), "{rows:?}");
    assert_eq!(counts(&b), (3, 1));
    assert!(matches!(
        view(&b, "tuned@2", "body").map(drop).unwrap_err(),
        StoreError::MissingContent { .. }
    ));
    assert_sound(&b, "one fetched");
    let again = fetch_missing(&b, &["tuned@1", "base"], &|_| ()).unwrap();
    assert_eq!((again.bytes, again.completed.len()), (0, 0));

    let report = pull(&b, &place, ALL).unwrap();
    assert_eq!(report.completed, ["tuned@2"], "{report:?}");
    assert!(report.models.is_empty() && report.bytes > 0);
    assert_eq!(counts(&b), counts(&a));
    assert_same(&a, &b, "whole");
}

#[test]
fn a_store_and_a_bundle_keep_tensors_too() {
    let folder = common::folder();
    let a = family(&folder.path().join("a.mgit"));
    let bundle = folder.path().join("family.bundle");
    bundle_create(&a, &bundle, GRAPH).unwrap();
    let places = [Place::Store(folder.path().join("a.mgit")), Place::Bundle(bundle)];
    for (at, place) in places.iter().enumerate() {
        let b = Store::create(folder.path().join(format!("b{at}.mgit"))).unwrap();
        pull(&b, place, GRAPH).unwrap();
        assert_eq!(counts(&b), (0, 4), "{place:?}");
        fetch_missing(&b, &["base", "tuned@1", "tuned@2"], &|_| ()).unwrap();
        assert_same(&a, &b, "by first use");
    }
    // What is pulled from a part names the first place; its tensors it cannot give.
    let c = Store::create(folder.path().join("c.mgit")).unwrap();
    pull(&c, &places[0], GRAPH).unwrap();
    let d = Store::create(folder.path().join("d.mgit")).unwrap();
    let error = pull_from_store(&d, &c, ALL).unwrap_err();
    assert!(matches!(error, TransferError::Store(StoreError::MissingContent { .. })), "{error}");
    pull_from_store(&d, &c, GRAPH).unwrap();
    fs::remove_file(c.path()).unwrap();
    fetch_missing(&d, &["base", "tuned@1", "tuned@2"], &|_| ()).unwrap();
    assert_same(&a, &d, "by way of a part");
}

#[test]
fn a_place_that_is_gone_is_named() {
    let folder = common::folder();
    let (a, b, _) = partial(folder.path());
    let (remote, away) = (folder.path().join("remote"), folder.path().join("away"));
    fs::rename(&remote, &away).unwrap();
    let error = fetch_missing(&b, &["tuned@2", "tuned@1"], &|_| ()).unwrap_err();
    assert!(matches!(error, TransferError::OutOfReach { .. }));
    let text = error.to_string();
    let TransferError::OutOfReach { models, place, source } = &error else { panic!("{error}") };
    assert_eq!(*models, ["tuned@2", "tuned@1"]);
    assert!(text.contains("tuned@2") && text.contains(place));
    assert!(matches!(**source, TransferError::NotFound { .. }), "{source}");
    assert_eq!(counts(&b), (0, 4));
    assert_sound(&b, "offline");
    // Another place that has them does as well.
    fetch(&b, &Place::Folder(away.clone()), Selection { wants: &|name| name == "base", ..ALL })
        .unwrap();
    assert!(view(&b, "base", "body").unwrap() == view(&a, "base", "body").unwrap());
    // A pack that is cut short gives nothing that is believed.
    fs::rename(&away, &remote).unwrap();
    let pack = fs::read_dir(remote.join("packs")).unwrap().next().unwrap().unwrap().path();
    let whole = fs::read(&pack).unwrap();
    fs::write(&pack, &whole[..whole.len() / 2]).unwrap();
    let error = fetch_missing(&b, &["tuned@2"], &|_| ()).unwrap_err();
    assert!(matches!(error, TransferError::OutOfReach { .. }), "{error}");
    assert_sound(&b, "cut");
    fs::write(&pack, &whole).unwrap();
    fetch_missing(&b, &["tuned@2", "tuned@1"], &|_| ()).unwrap();
    assert_same(&a, &b, "back again");
}

#[test]
fn upkeep_goes_on_without_tensors() {
    let folder = common::folder();
    let (a, b, place) = partial(folder.path());
    fetch_missing(&b, &["tuned@1"], &|_| ()).unwrap();
    let before = counts(&b);
    assert!(before.0 > 0 && before.1 > 0, "{before:?}");
    let found = gc(&b).unwrap().collected;
    assert_eq!((found.corrected, found.freed_records), (0, 0));
    let told = stat(&b, &b.snapshot().unwrap()).unwrap();
    assert_eq!((told.models, told.missing_tensors), (3, before.1));
    assert!(told.missing_bytes >= 160_000 * before.1, "{told:?}");
    assert_eq!(usage(&b.snapshot().unwrap()).unwrap().models.len(), 3);
    write(&b, |transaction| transaction.recode_all(mgit::Profile::Dense, &|_| ())).unwrap();
    write(&b, |transaction| transaction.repack(&mgit::store::Repack::default(), &|_| ())).unwrap();
    let error = write(&b, |transaction| transaction.pin("tuned@2")).unwrap_err();
    assert!(matches!(error, StoreError::MissingContent { .. }), "{error}");
    let copy = folder.path().join("copy.mgit");
    backup(&b, &b.snapshot().unwrap(), &copy, &|_| ()).unwrap();
    drop(b);
    let path = folder.path().join("b.mgit");
    vacuum(&path, &|_| ()).unwrap();
    let saved = folder.path().join("saved.mgit");
    let report = salvage(&path, &saved, &|_| ()).unwrap();
    assert_eq!(report.saved, ["base@1", "tuned@1"]);
    assert_eq!(report.lost.len(), 1, "{:?}", report.lost);
    for path in [&path, &copy] {
        let store = Store::open(path).unwrap();
        assert_eq!(counts(&store), before);
        assert_sound(&store, "copied");
        fetch_missing(&store, &["base", "tuned@2"], &|_| ()).unwrap();
        let (here, there) = (store.snapshot().unwrap(), a.snapshot().unwrap());
        assert!(contents(&here).unwrap() == contents(&there).unwrap());
    }
    // Nothing is given away that is not here, and what is here can be.
    let c = Store::create(folder.path().join("c.mgit")).unwrap();
    pull(&c, &place, GRAPH).unwrap();
    let other = Place::Folder(folder.path().join("other"));
    assert!(matches!(
        push(&c, &other, ALL).unwrap_err(),
        TransferError::Store(StoreError::MissingContent { .. })
    ));
    add_one(&c, "mine", &["tuned@2"], &weights(9, 2_000)).unwrap();
    assert_eq!(push(&c, &place, ALL).unwrap().models, ["mine@1"]);
    pull(&a, &place, ALL).unwrap();
    assert_eq!(graph(&a.snapshot().unwrap()), graph(&c.snapshot().unwrap()));
}

#[test]
fn promises_go_with_their_models_and_are_kept_by_imports() {
    let folder = common::folder();
    let (a, b, _) = partial(folder.path());
    // The same content by another way, and a child of what is not here.
    let body = view(&a, "base", "body").unwrap();
    add(&b, model("same", &[], &[("body".to_owned(), body.clone())])).unwrap();
    assert_eq!(counts(&b), (1, 3));
    assert!(view(&b, "base", "body").unwrap() == body);
    add(&b, model("child", &["tuned@2"], &one(nudged(&body, 5, 9)))).unwrap();
    assert_sound(&b, "imported");
    for model in ["tuned@2", "tuned@1"] {
        write(&b, |transaction| transaction.remove_model(model, OnChildren::Detach)).unwrap();
        assert_sound(&b, model);
    }
    // The head is base's too.
    assert_eq!(counts(&b).1, 1);
    write(&b, |transaction| transaction.remove_model("base", OnChildren::Detach)).unwrap();
    assert_eq!(counts(&b).1, 0);
    assert_same(&b, &b, "removed");
}

#[test]
fn a_long_fetch_that_is_cut_short_goes_on() {
    let folder = common::folder();
    let a = Store::create(folder.path().join("a.mgit")).unwrap();
    let list: Vec<(String, Vec<u8>)> =
        (0..10).map(|at| (format!("t{at}"), weights(at, 2_000_000))).collect();
    add(&a, model("long", &[], &list)).unwrap();
    grown_from(&a, &list);
    let remote = Memory::default();
    push_to_remote(&a, &remote, ALL).unwrap();
    let total = remote.total();
    let mut random = Random(common::seed());
    let b = Store::create(folder.path().join("b.mgit")).unwrap();
    pull_from_remote(&b, &remote, GRAPH).unwrap();
    let mut before = counts(&b);
    for at in [total - 500_000, random.next() % 4_000_000] {
        remote.reset(Faults { cut_after: Some(at), ..Faults::default() });
        fetch_from_remote(&b, &remote, ALL).unwrap_err();
        assert_sound(&b, "cut");
        let now = counts(&b);
        assert!(now.1 <= before.1, "{before:?} {now:?}");
        before = now;
    }
    assert!(before.1 < 11 && before.1 > 0, "a batch has come: {before:?}");
    remote.reset(Faults::default());
    let report = fetch_from_remote(&b, &remote, ALL).unwrap();
    assert_eq!(report.completed, ["long@1", "tuned@1"]);
    gc(&b).unwrap();
    assert_same(&a, &b, "gone on");
}

fn grown_from(store: &Store, list: &[(String, Vec<u8>)]) {
    let tuned = vec![("t0".to_owned(), nudged(&list[0].1, 3, 9))];
    add(store, model("tuned", &["long"], &tuned)).unwrap();
}

fn change_rows(path: &Path, change: impl FnOnce(&mut dyn WriteTables)) {
    let disk = Container::open_file(path, true).unwrap();
    let container = Arc::new(Container::open_writer(disk).unwrap());
    let mut write = Catalog::open_writer(&container).unwrap().begin_write().unwrap();
    change(&mut write);
    write.commit().unwrap();
}

#[test]
fn promises_that_are_nonsense_are_errors() {
    let folder = common::folder();
    let (_, b, _) = partial(folder.path());
    let mut ids = Vec::new();
    let snapshot = b.snapshot().unwrap();
    let scanned = snapshot.tables().scan(Table::Promised, &[], &mut |key, value| {
        ids.push((key.to_vec(), MissingRow::decode(value)?));
        Ok(std::ops::ControlFlow::Continue(()))
    });
    scanned.unwrap();
    drop((snapshot, b));
    let path = folder.path().join("b.mgit");
    let whole = fs::read(&path).unwrap();
    let seed = common::seed();
    let mut random = Random(seed);
    let promise = |raw_len, holders, place: &str| {
        MissingRow { raw_len, holders, promisor: place.to_owned() }.encode().unwrap()
    };
    let places = ["", "/", "..", "s3://", "https://127.0.0.1:1/x", "ftp://x", "\u{1b}[2J", "\0"];
    for round in 0..60 {
        let context = format!("MGIT_SEED={seed}, round {round}");
        fs::write(&path, &whole).unwrap();
        let (key, row) = &ids[random.below(ids.len())];
        let mut value = row.encode().unwrap();
        match round % 6 {
            0 => value.truncate(random.below(value.len())),
            1 => {
                let at = random.below(value.len());
                value[at] ^= 1 << random.below(8);
            }
            2 => value = promise(row.raw_len, row.holders, places[random.below(places.len())]),
            3 => value = promise(random.next(), row.holders, &row.promisor),
            4 => value = promise(row.raw_len, random.next() as u32, &row.promisor),
            _ => value.clear(),
        }
        change_rows(&path, |tables| {
            match round % 6 {
                5 => drop(tables.delete(Table::Promised, key).unwrap()),
                _ => tables.put(Table::Promised, key, &value).unwrap(),
            };
        });
        let store = Store::open(&path).unwrap();
        let snapshot = store.snapshot().unwrap();
        let report = verify(&store, &snapshot, VerifyDepth::Full, &|_| ()).unwrap();
        let is_place = round % 6 <= 2 && MissingRow::decode(&value).is_ok();
        assert!(is_place || !report.is_clean(), "{context}: {value:02x?}");
        let _ = (stat(&store, &snapshot).unwrap(), gc(&store));
        assert!(contents(&snapshot).is_err(), "{context}");
        drop(snapshot);
        match fetch_missing(&store, &["base", "tuned@1", "tuned@2"], &|_| ()) {
            Ok(_) => drop(contents(&store.snapshot().unwrap())),
            Err(error) => assert!(!error.to_string().is_empty(), "{context}"),
        }
        let _ =
            write(&store, |transaction| transaction.remove_model("tuned@2", OnChildren::Detach));
    }
}

#[test]
fn models_that_came_in_part_grow_on_both_sides() {
    let folder = common::folder();
    let (a, b, place) = partial(folder.path());
    grown(&a, "tuned", "base", 20);
    push(&a, &place, ALL).unwrap();
    let report = pull(&b, &place, GRAPH).unwrap();
    assert_eq!((&report.models[..], report.missing), (&["tuned@3".to_owned()][..], 1));
    assert_eq!(graph(&a.snapshot().unwrap()), graph(&b.snapshot().unwrap()));
    // A new model may share what is promised.
    let wants = |name: &str| name == "tuned";
    let report = pull(&b, &place, Selection { wants: &wants, ..ALL }).unwrap();
    assert_eq!(report.completed, ["base@1", "tuned@1", "tuned@2", "tuned@3"]);
    assert_same(&a, &b, "whole");
}

/// A folder of a model: its weights, and two files beside them.
fn model_folder(home: &Path, name: &str, body: &[u8]) -> mgit::interchange::ModelSource {
    let folder = home.join(name);
    fs::create_dir(&folder).unwrap();
    let scratch = Store::create(home.join(format!("{name}.mgit"))).unwrap();
    add_one(&scratch, "m", &[], body).unwrap();
    let weights = folder.join("model.safetensors");
    let made = common::stored_model(&scratch, "m");
    mgit::interchange::export_to_path(&made, weights, &|_| ()).unwrap();
    fs::write(folder.join("config.json"), format!("{{\"name\": {name:?}}}")).unwrap();
    fs::write(folder.join("vocab.txt"), noise(7, 50_000)).unwrap();
    mgit::interchange::ModelSource::open(&folder).unwrap()
}

#[test]
fn of_a_file_only_what_it_needs_comes() {
    let folder = common::folder();
    let body = weights(1, 40_000);
    let sources = [
        model_folder(folder.path(), "base", &body),
        model_folder(folder.path(), "tuned", &nudged(&body, 2, 9)),
    ];
    let a = Store::create(folder.path().join("a.mgit")).unwrap();
    add(&a, NewModel::new("base").source(&sources[0])).unwrap();
    add(&a, NewModel::new("tuned").parent("base", How::FineTune).source(&sources[1])).unwrap();
    let place = Place::Folder(folder.path().join("remote"));
    push(&a, &place, ALL).unwrap();
    let b = Store::create(folder.path().join("b.mgit")).unwrap();
    pull(&b, &place, GRAPH).unwrap();
    let source = tensor_rows(&a.snapshot().unwrap());
    assert!(source.values().any(|row| !row.base_id.is_none()), "{source:?}");
    let read = |path: &str| {
        let file = b.snapshot()?.model("tuned")?.file(path)?;
        file.bytes(1 << 20)
    };
    let fetch_for = |options: &ExportOptions| {
        let model = common::stored_model(&b, "tuned");
        let contents = contents_to_export(&model, options).unwrap();
        fetch_contents(&b, "tuned", &contents, &|_| ()).unwrap()
    };
    let config = ExportOptions::new().only("*.json");
    let report = fetch_for(&config);
    assert_eq!((report.tensors, report.completed.len()), (1, 0), "{report:?}");
    assert_eq!(read("config.json").unwrap(), b"{\"name\": \"tuned\"}");
    for path in ["vocab.txt", "model.safetensors"] {
        let error = read(path).unwrap_err();
        assert!(matches!(error, StoreError::MissingContent { .. }), "{path}: {error}");
    }
    assert_sound(&b, "one file");
    assert_eq!(fetch_for(&config).bytes, 0);
    // The weights, with what they are a difference from.
    let report = fetch_for(&ExportOptions::new().as_safetensors(true).only("*.safetensors"));
    assert!(report.completed.is_empty(), "{report:?}");
    read("model.safetensors").unwrap();
    assert!(matches!(read("vocab.txt").unwrap_err(), StoreError::MissingContent { .. }));
    let tuned = tensor_rows(&b.snapshot().unwrap());
    assert!(tuned.values().any(|row| !row.base_id.is_none()), "{tuned:?}");
    // The last of it makes it whole.
    let report = fetch_for(&ExportOptions::new());
    assert_eq!((report.tensors, &report.completed[..]), (1, &["tuned@1".to_owned()][..]));
    read("vocab.txt").unwrap();
    assert_sound(&b, "whole");
    // What cannot be written is not fetched for.
    let model = common::stored_model(&b, "base");
    contents_to_export(&model, &ExportOptions::new().only("*.gguf")).unwrap_err();
    fetch(&b, &place, ALL).unwrap();
    assert_same(&a, &b, "all");
}
