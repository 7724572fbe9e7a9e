//! Promise: change records take a bounded part of a store however many commits there were; a
//! salvage finds the graph in them all the same, also where a fold rots, and raises no model that
//! was removed.

use std::fs;
use std::path::Path;

use crate::common;
use crate::common::{
    Contents, Random, add_one, contents, contents_of, folder, new_store, weights, write,
};
use mgit::format::{ChangeRecord, FEATURE_FOLDS, RecordKind};
use mgit::store::Result;
use mgit::upkeep::{
    GraphSource, SalvageReport, VerifyDepth, backup, dump, salvage, stat, vacuum, verify,
};
use mgit::{How, NewModel, OnChildren, Snapshot, Store};
use serde_json::Map;

fn set_step(store: &Store, model: &str, step: u64) {
    let metadata = Map::from_iter([("step".to_owned(), step.into())]);
    write(store, |t| t.set_metadata(model, metadata)).unwrap();
}

fn changes(snapshot: &Snapshot) -> Vec<ChangeRecord> {
    snapshot.changes().collect::<Result<_>>().unwrap()
}

fn folds(snapshot: &Snapshot) -> Vec<u64> {
    let changes = changes(snapshot);
    let folds = changes.iter().filter(|change| change.fold.is_some());
    folds.map(|change| change.sequence).collect()
}

fn taken(store: &Store) -> u64 {
    let parts = stat(store, &store.snapshot().unwrap()).unwrap().parts;
    parts.changes.payload_bytes + parts.changes.frame_bytes
}

fn assert_sound(store: &Store) {
    let found = verify(store, &store.snapshot().unwrap(), VerifyDepth::Full, &|_| ()).unwrap();
    assert!(found.is_clean(), "{found:#?}");
}

/// `MGIT_COMMITS=3000` is what the documents tell of.
#[test]
fn change_records_are_bounded_however_many_commits_there_are() {
    let commits = std::env::var("MGIT_COMMITS").map_or(400, |text| text.parse().unwrap());
    let (_folder, path, store) = new_store();
    for name in ["a", "b", "c"] {
        add_one(&store, name, &[], &weights(1, 100)).unwrap();
    }
    let mut most = 0;
    for step in 0..commits {
        set_step(&store, ["a", "b", "c"][step as usize % 3], step);
        if step % 20 == 0 {
            most = most.max(taken(&store));
        }
    }
    println!("{commits} commits: at most {most} bytes of change records, now {}", taken(&store));
    assert!(most < 64 << 10, "{most}");
    assert_eq!(folds(&store.snapshot().unwrap()).len(), 2);
    assert!(store.container().superblock().writer_flags & FEATURE_FOLDS != 0);
    assert_sound(&store);
    // Copies carry the folds, and go on folding.
    let home = folder();
    let copy = home.path().join("copy.mgit");
    backup(&store, &store.snapshot().unwrap(), &copy, &|_| ()).unwrap();
    drop(store);
    vacuum(&path, &|_| ()).unwrap();
    for path in [&path, &copy] {
        let store = Store::open(path).unwrap();
        (0..100).for_each(|step| set_step(&store, "a", step));
        assert!(taken(&store) < 64 << 10);
        assert_sound(&store);
    }
}

#[test]
fn a_graph_that_grows_is_said_again_as_often_as_it_has_doubled() {
    let (_folder, _, store) = new_store();
    let (mut folds_seen, mut fold_bytes) = (0, 0);
    for at in 0..300 {
        let noise: String = weights(at, 40).iter().map(|byte| format!("{byte:02x}")).collect();
        let model = NewModel::new(format!("m{at}")).metadata("noise", noise);
        write(&store, |t| t.add_model(model)).unwrap();
        let snapshot = store.snapshot().unwrap();
        let newest = snapshot.changes().next().unwrap().unwrap();
        if newest.fold.is_some() {
            let dump = dump(&store, &snapshot).unwrap();
            let record = dump.records.iter().find(|record| {
                let header = record.header.as_ref().unwrap();
                header.kind == RecordKind::Change && header.sequence == newest.sequence
            });
            (folds_seen, fold_bytes) = (folds_seen + 1, fold_bytes + record.unwrap().row_len);
        }
    }
    let taken = taken(&store);
    println!("{folds_seen} folds of {fold_bytes} bytes; change records take {taken}");
    assert!(folds_seen < 12 && fold_bytes < 2 * taken, "{folds_seen} {fold_bytes} {taken}");
    assert_sound(&store);
}

/// A store with two folds, models that were removed before and behind each of them, and tags.
fn family(seed: u64) -> (tempfile::TempDir, std::path::PathBuf, Store) {
    let (home, path, store) = new_store();
    let mut random = Random(seed);
    add_one(&store, "base", &[], &weights(1, 300)).unwrap();
    for round in 0..3 {
        for name in ["kept", "dead"] {
            let bytes = weights(random.next(), 200);
            add_one(&store, &format!("{name}{round}"), &["base"], &bytes).unwrap();
        }
        let (kept, dead) = (format!("kept{round}"), format!("dead{round}"));
        write(&store, |t| t.set_tag(&format!("tag{round}"), &kept)).unwrap();
        write(&store, |t| t.remove_model(&dead, OnChildren::Refuse)).unwrap();
        if round < 2 {
            write(&store, |t| {
                t.fold_changes();
                Ok(())
            })
            .unwrap();
        }
    }
    write(&store, |t| t.set_parents("kept2", [("kept1", How::Prune)])).unwrap();
    (home, path, store)
}

fn zero(path: &Path, at: u64, len: u64) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at as usize..(at + len) as usize].fill(0);
    fs::write(path, bytes).unwrap();
}

fn lose_catalogue(path: &Path) {
    let extents = Store::open_read_only(path).unwrap().container().superblock().extents;
    extents.iter().for_each(|extent| zero(path, extent.offset, extent.len));
}

fn salvaged(path: &Path, context: &str) -> (Contents, Vec<String>, SalvageReport) {
    let home = folder();
    let new = home.path().join("new.mgit");
    let report = salvage(path, &new, &|_| ()).unwrap();
    let store = Store::open(&new).unwrap();
    assert_sound(&store);
    let tags = store.snapshot().unwrap().graph().tags().unwrap();
    assert_eq!(report.source, GraphSource::ChangeRecords, "{context}");
    // What was removed, or had its number from a model that was, does not get it again.
    write(&store, |t| t.add_model(NewModel::new("dead0"))).unwrap();
    assert!(store.snapshot().unwrap().model("dead0@2").is_ok(), "{context}");
    write(&store, |t| t.remove_model("dead0", OnChildren::Refuse)).unwrap();
    drop(store);
    (contents_of(&new).unwrap(), tags.into_iter().map(|(tag, _)| tag).collect(), report)
}

#[test]
fn a_salvage_takes_the_newest_fold_and_raises_nobody() {
    let (_folder, path, store) = family(1);
    let expected = contents(&store.snapshot().unwrap()).unwrap();
    // Records from before the folds still lie in the file: nothing was written since.
    drop(store);
    lose_catalogue(&path);
    let (found, tags, report) = salvaged(&path, "whole");
    assert_eq!(found, expected);
    assert_eq!(tags, ["tag0", "tag1", "tag2"]);
    assert_eq!(
        (&report.lost_commits[..], &report.renamed[..], &report.notes[..]),
        (&[][..], &[][..], &[][..])
    );
}

#[test]
fn whichever_change_record_rots_what_is_lost_is_told() {
    let (_folder, path, store) = family(2);
    let snapshot = store.snapshot().unwrap();
    let expected = contents(&snapshot).unwrap();
    let (newest, last) = (folds(&snapshot)[0], snapshot.sequence());
    let records = dump(&store, &snapshot).unwrap().records;
    drop((snapshot, store));
    lose_catalogue(&path);
    let whole = fs::read(&path).unwrap();
    let mut seen = 0;
    for record in records {
        let header = record.header.unwrap();
        if header.kind != RecordKind::Change {
            continue;
        }
        // Its payload, so that its number can be read.
        fs::write(&path, &whole).unwrap();
        zero(&path, record.offset + record.row_len - header.stored_len, header.stored_len);
        let context = format!("change {} of {last}, newest fold {newest}", header.sequence);
        let (found, _, report) = salvaged(&path, &context);
        let needed = header.sequence >= newest;
        let lost = [(header.sequence, header.sequence)];
        assert_eq!(report.lost_commits, if needed { &lost[..] } else { &[] }, "{context}");
        // A fold's own commit did nothing else here; what others did may be lost, and is adopted
        // under another name where it was a model.
        if header.sequence <= newest {
            assert_eq!(found, expected, "{context}");
        }
        let dead = found.keys().filter(|name| name.starts_with("dead")).count();
        // Where the removal itself is lost, the model is there.
        assert!(dead == 0 || header.sequence > newest, "{context}: {found:?}");
        assert!(found.len() + 1 >= expected.len(), "{context}");
        seen += 1;
    }
    assert!(seen > 5, "{seen}");
}

#[test]
fn every_byte_is_accounted_for() {
    let seed = common::seed();
    println!("MGIT_SEED={seed}");
    let mut random = Random(seed);
    let (_folder, path, store) = new_store();
    let mut names: Vec<String> = Vec::new();
    for step in 0..60u64 {
        match random.below(6) {
            0..=2 => {
                let parent: Vec<&str> = names.last().map(String::as_str).into_iter().collect();
                let bytes = weights(random.next() % 5, 50 + random.below(40_000));
                let name = format!("m{step}");
                add_one(&store, &name, &parent, &bytes).unwrap();
                names.push(name);
            }
            3 if !names.is_empty() => {
                let name = names.remove(random.below(names.len()));
                write(&store, |t| t.remove_model(&name, OnChildren::Reparent)).unwrap();
            }
            4 if !names.is_empty() => set_step(&store, &names[0], step),
            _ => write(&store, |t| {
                t.fold_changes();
                Ok(())
            })
            .unwrap(),
        }
        let snapshot = store.snapshot().unwrap();
        let stat = stat(&store, &snapshot).unwrap();
        let parts = stat.parts;
        assert_eq!(parts.sum(), fs::metadata(&path).unwrap().len(), "step {step}: {stat:?}");
        // Against what the headers say.
        let records = dump(&store, &snapshot).unwrap().records;
        for (kind, part) in
            [(RecordKind::Manifest, parts.manifests), (RecordKind::Change, parts.changes)]
        {
            let of_kind = records.iter().filter(|r| r.header.as_ref().unwrap().kind == kind);
            let (mut len, mut count) = (0, 0);
            of_kind.for_each(|record| (len, count) = (len + record.row_len, count + 1));
            assert_eq!((part.payload_bytes + part.frame_bytes, part.records), (len, count));
        }
        let tensors: u64 = records.iter().map(|record| record.row_len).sum();
        let all = [parts.tensors, parts.hidden, parts.manifests, parts.changes];
        let told: u64 = all.iter().map(|part| part.payload_bytes + part.frame_bytes).sum();
        assert_eq!(told, tensors);
        let tensors = parts.tensors.payload_bytes + parts.hidden.payload_bytes;
        assert_eq!(
            (tensors, parts.hidden.records),
            (stat.stored_tensor_bytes, stat.hidden_tensors)
        );
        assert!(parts.catalog_row_bytes > 0 && parts.catalog_page_bytes > 0);
        let catalogue =
            parts.catalog_row_bytes + parts.catalog_page_bytes + parts.catalog_rest_bytes;
        assert_eq!(catalogue, stat.catalog_bytes);
    }
}
