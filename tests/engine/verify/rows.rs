//! Promise: `verify` finds every row of the catalogue that is gone or says something else, but for
//! those that `docs/reliability.md` names.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::common;
use crate::common::remote::{ALL, family, grown};
use crate::common::write;
use mgit::catalog::{
    Catalog, EdgeKind, FoldsRow, NodeRow, ReadTables, RecordRow, Table, Visit, WriteTables, keys,
    meta,
};
use mgit::container::Container;
use mgit::format::{FEATURE_FLOAT_DELTA_2, FEATURE_FOLDS, FEATURE_TAGS};
use mgit::transfer::{Place, Selection, add_remote, pull, push};
use mgit::upkeep::{VerifyDepth, VerifyReport, verify};
use mgit::{OnChildren, Store};
use serde_json::{Map, json};

fn check(path: &Path) -> VerifyReport {
    let store = Store::open_read_only(path).unwrap();
    verify(&store, &store.snapshot().unwrap(), VerifyDepth::Full, &|_| ()).unwrap()
}

/// Changes rows of the catalogue behind the store's back.
fn change_rows<T>(path: &Path, change: impl FnOnce(&mut dyn WriteTables) -> T) -> T {
    let disk = Container::open_file(path, true).unwrap();
    let container = Arc::new(Container::open_writer(disk).unwrap());
    let mut write = Catalog::open_writer(&container).unwrap().begin_write().unwrap();
    let value = change(&mut write);
    write.commit().unwrap();
    value
}

fn put(path: &Path, table: Table, key: &[u8], value: Option<&[u8]>) {
    change_rows(path, |tables| match value {
        Some(value) => tables.put(table, key, value).unwrap(),
        None => drop(tables.delete(table, key).unwrap()),
    });
}

fn rows(path: &Path) -> Vec<(Table, Vec<u8>, Vec<u8>)> {
    let snapshot = Store::open_read_only(path).unwrap().snapshot().unwrap();
    let mut rows = Vec::new();
    for table in Table::ALL {
        let visit = &mut |key: &[u8], value: &[u8]| {
            rows.push((table, key.to_vec(), value.to_vec()));
            Ok(Visit::Continue(()))
        };
        snapshot.tables().scan(table, &[], visit).unwrap();
    }
    rows
}

/// A store with rows in every table: some of its models were pulled, one without its tensors.
fn everything(folder: &Path) -> PathBuf {
    let from = family(&folder.join("from.mgit"));
    let place = Place::Folder(folder.join("remote"));
    push(&from, &place, ALL).unwrap();
    let path = folder.join("to.mgit");
    let store = Store::create(&path).unwrap();
    pull(&store, &place, ALL).unwrap();
    grown(&from, "later", "tuned@2", 7);
    push(&from, &place, ALL).unwrap();
    pull(&store, &place, Selection { graph_only: true, ..Selection::ALL }).unwrap();
    add_remote(&store, "origin", "/srv/family").unwrap();
    let definition = json!({ "run": { "builtin": "finite" }, "on": { "all": true }, "bounds": [] });
    let edge = Map::from_iter([("round".to_owned(), 1.into())]);
    write(&store, |t| t.set_test("sound", definition.as_object().unwrap().clone())).unwrap();
    write(&store, |t| t.set_edge_metadata("tuned@1", EdgeKind::Provenance, "base@1", edge))
        .unwrap();
    for step in 0..2 {
        write(&store, |t| {
            t.fold_changes();
            t.set_kind("base@1", if step == 0 { "bert" } else { "roberta" })
        })
        .unwrap();
    }
    write(&store, |t| t.pin("base@1").map(drop)).unwrap();
    common::add_one(&store, "gone", &["base"], &common::weights(8, 100)).unwrap();
    write(&store, |t| t.remove_model("gone", OnChildren::Refuse)).unwrap();
    drop(store);
    change_rows(&path, |tables| {
        let summary = keys::test_result(&[1; 32], &[2; 32]);
        tables.put(Table::TestResults, &summary, &[3; 64]).unwrap();
        let found = keys::test_result(&[1; 32], &[3; 32]);
        tables.put(Table::TestResults, &found, br#"{"metrics":[]}"#).unwrap();
    });
    let report = check(&path);
    assert!(report.is_clean(), "{:#?}", report.findings);
    path
}

/// Rows that may be gone, or have another key: what a program must do without.
fn may_pass(table: Table, what: &str) -> bool {
    match table {
        // Samples and buckets can be made again, and so can results; marks cost an update.
        Table::Sketches | Table::Bands | Table::Agreed | Table::TestResults => true,
        // Which places there are, and that a pack was read, is nowhere else.
        Table::Remotes => true,
        Table::Packs => what == "gone",
        _ => false,
    }
}

/// Fields that may say something else without a finding, as bytes of the value.
fn is_open(table: Table, key: &[u8], at: usize) -> bool {
    match table {
        // The version of a sketch: another is as good as none.
        Table::Sketches => at == 0,
        // When the next fold is due; which commit changed a node last; where a promise leads.
        Table::Meta => key == meta::FOLDS.as_bytes() && at >= 24,
        Table::Nodes => (24..32).contains(&at),
        Table::Promised => at >= 18,
        Table::Bands | Table::Agreed | Table::TestResults | Table::Remotes => true,
        _ => false,
    }
}

#[test]
fn every_row_that_says_something_else_is_found() {
    let folder = common::folder();
    let path = everything(folder.path());
    let rows = rows(&path);
    let tables: BTreeSet<&str> = rows.iter().map(|(table, ..)| table.name()).collect();
    let missing = Table::ALL.iter().filter(|table| !tables.contains(table.name()));
    assert_eq!(missing.collect::<Vec<_>>(), [&Table::Arrivals], "a kind of row was not tried");
    let (mut tried, mut passed) = (0, BTreeSet::new());
    for (table, key, value) in &rows {
        // Gone.
        put(&path, *table, key, None);
        if check_again(&path).is_some_and(|report| report.is_clean()) {
            assert!(may_pass(*table, "gone"), "{} row {key:02x?}", table.name());
            passed.insert((table.name(), "gone"));
        }
        // Under another key.
        let mut other = key.clone();
        *other.last_mut().unwrap() ^= 1;
        if !rows.iter().any(|(of, key, _)| of == table && *key == other) {
            put(&path, *table, &other, Some(value));
            if check_again(&path).is_some_and(|report| report.is_clean()) {
                assert!(may_pass(*table, "key"), "{} row {other:02x?}", table.name());
                passed.insert((table.name(), "key"));
            }
            put(&path, *table, &other, None);
        }
        // With another value: the ends, and some between.
        let places: BTreeSet<usize> =
            (0..value.len()).step_by(19).chain(value.len().checked_sub(1)).collect();
        for at in places {
            let mut wrong = value.clone();
            wrong[at] ^= 1;
            put(&path, *table, key, Some(&wrong));
            tried += 1;
            if check_again(&path).is_some_and(|report| report.is_clean()) {
                let context = format!("byte {at} of {} row {key:02x?}", table.name());
                assert!(is_open(*table, key, at), "{context}: {wrong:02x?}");
                passed.insert((table.name(), "value"));
            }
        }
        put(&path, *table, key, Some(value));
    }
    let report = check(&path);
    assert!(report.is_clean(), "what was changed was put back: {:#?}", report.findings);
    println!("{} rows, {tried} values; passed: {passed:?}", rows.len());
}

/// What is found; `None` where the store cannot be opened or looked at, which is found too.
fn check_again(path: &Path) -> Option<VerifyReport> {
    let store = Store::open_read_only(path).ok()?;
    verify(&store, &store.snapshot().ok()?, VerifyDepth::Full, &|_| ()).ok()
}

fn messages(path: &Path) -> Vec<String> {
    check(path).findings.into_iter().map(|finding| finding.message).collect()
}

#[track_caller]
fn assert_message(path: &Path, message: &str) {
    let found = messages(path);
    assert!(found.iter().any(|found| found.contains(message)), "{message}: {found:#?}");
}

#[test]
fn a_row_of_folds_that_lies_is_found() {
    let folder = common::folder();
    let path = everything(folder.path());
    let key = meta::FOLDS.as_bytes();
    let right = change_rows(&path, |tables| tables.get(Table::Meta, key).unwrap().unwrap());
    let row = FoldsRow::decode(&right).unwrap();
    assert!(row.before > 0 && row.behind > 0, "{row:?}");
    let lies = [
        (FoldsRow { last: 0, ..row }, "it says that the last fold is of commit 0"),
        (FoldsRow { last: row.last + 1, ..row }, "it says that the last fold is of commit"),
        (FoldsRow { before: row.before - 1, ..row }, "it says that the fold before the last is of"),
        (FoldsRow { before: 0, ..row }, "it says that the fold before the last is of commit 0"),
        (FoldsRow { behind: row.behind + 64, ..row }, "bytes of change records behind the last"),
        (FoldsRow { behind: 0, ..row }, "it says 0 bytes of change records behind the last"),
        (FoldsRow { due: u64::MAX, ..row }, "it wants no fold before 18446744073709551615 bytes"),
    ];
    for (lie, message) in lies {
        put(&path, Table::Meta, key, Some(&lie.encode()));
        assert_message(&path, message);
        assert!(check(&path).hurt_models.is_empty());
    }
    put(&path, Table::Meta, key, Some(&right[..31]));
    assert_message(&path, "folds: ");
    put(&path, Table::Meta, key, None);
    assert_message(&path, "folds: it is missing, and change record");
    put(&path, Table::Meta, key, Some(&right));
    assert!(check(&path).is_clean());
    // A store whose records hold no fold, and one that nobody has thought of one in.
    let (_folder, path, store) = common::new_store();
    common::add_one(&store, "a", &[], &common::weights(1, 100)).unwrap();
    drop(store);
    assert!(check(&path).is_clean());
    let lie = FoldsRow { last: 1, ..FoldsRow::default() };
    put(&path, Table::Meta, key, Some(&lie.encode()));
    assert_message(&path, "it says that the last fold is of commit 1, not 0");
}

/// The catalogue alone contradicts nothing here: only the change records tell.
#[test]
fn a_graph_that_no_commit_made_is_found() {
    let folder = common::folder();
    let path = everything(folder.path());
    let id = change_rows(&path, |tables| {
        let row = tables.get(Table::Versions, &keys::version("tuned", 1)).unwrap();
        <[u8; 16]>::try_from(row.unwrap()).unwrap()
    });
    type Lie = (Table, Vec<u8>, Option<&'static [u8]>, &'static str);
    let lies: [Lie; 5] = [
        (
            Table::Metadata,
            keys::metadata(&id, "task"),
            Some(b"\"mnli\""),
            "its metadata: the change",
        ),
        (Table::Metadata, keys::metadata(&id, "task"), None, "its metadata: the change records"),
        (Table::Names, b"gone".to_vec(), None, "highest version of gone: the change records"),
        (Table::Tests, b"sound".to_vec(), Some(b"{}"), "test sound: the change records"),
        (Table::Names, b"nobody".to_vec(), Some(&[1, 0, 0, 0]), "highest version of nobody"),
    ];
    for (table, key, value, message) in lies {
        let right = change_rows(&path, |tables| tables.get(table, &key).unwrap());
        put(&path, table, &key, value);
        assert_message(&path, message);
        put(&path, table, &key, right.as_deref());
    }
    let node = change_rows(&path, |tables| tables.get(Table::Nodes, &id).unwrap().unwrap());
    let row = NodeRow::decode(&node).unwrap();
    for (row, message) in [
        (NodeRow { logical_bytes: 1, ..row.clone() }, "its logical bytes: the change records"),
        (NodeRow { kind: "gpt".into(), ..row.clone() }, "its kind: the change records lead to"),
        (NodeRow { created_ms: 1, ..row.clone() }, "its time: the change records lead to"),
    ] {
        put(&path, Table::Nodes, &id, Some(&row.encode().unwrap()));
        assert_message(&path, message);
    }
    put(&path, Table::Nodes, &id, Some(&node));
    put(&path, Table::Meta, meta::CREATED_MS.as_bytes(), Some(&7u64.to_le_bytes()));
    assert_message(&path, "created-ms: 7, a fold says");
}

#[test]
fn a_feature_that_is_used_and_not_flagged_is_found() {
    let folder = common::folder();
    let path = everything(folder.path());
    let bytes = std::fs::read(&path).unwrap();
    for (feature, offset, word) in [
        (FEATURE_FLOAT_DELTA_2, 40, "reader"),
        (FEATURE_TAGS, 48, "writer"),
        (FEATURE_FOLDS, 48, "writer"),
    ] {
        let mut wrong = bytes.clone();
        for slot in wrong.chunks_mut(4096).take(2) {
            let flags = u64::from_le_bytes(slot[offset..offset + 8].try_into().unwrap());
            assert_ne!(flags & feature, 0, "the store uses it");
            slot[offset..offset + 8].copy_from_slice(&(flags & !feature).to_le_bytes());
            let checksum = blake3::hash(&slot[..4080]);
            slot[4080..4096].copy_from_slice(&checksum.as_bytes()[..16]);
        }
        std::fs::write(&path, wrong).unwrap();
        let bit = feature.trailing_zeros();
        assert_message(&path, &format!("feature bit {bit} of the {word}'s word is not set"));
    }
}

/// Records whose header can be read and whose content cannot: what they hold is not known, and
/// nothing is said of it but that.
#[test]
fn a_rotten_fold_is_one_finding() {
    let folder = common::folder();
    let path = everything(folder.path());
    let snapshot = Store::open_read_only(&path).unwrap().snapshot().unwrap();
    let folds = snapshot.tables().get(Table::Meta, meta::FOLDS.as_bytes()).unwrap().unwrap();
    let folds = FoldsRow::decode(&folds).unwrap();
    let row = snapshot.tables().get(Table::Changes, &folds.last.to_be_bytes()).unwrap().unwrap();
    let row = RecordRow::decode(&row).unwrap();
    drop(snapshot);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[(row.offset + row.len - 1) as usize] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let report = check(&path);
    assert!(report.findings.iter().all(|f| f.subject.starts_with("change record")), "{report:#?}");
    assert!(!report.is_clean() && report.hurt_models.is_empty());
}
