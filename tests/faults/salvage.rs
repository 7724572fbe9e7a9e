//! Promise: whatever page of a store is gone, a salvage makes a sound store of what is whole,
//! gives back no wrong byte, and names everything that it could not save.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::common::{
    Contents, add, add_one, assert_rows_add_up, contents, contents_of, folder, model, new_store,
    noise, nudged, one, weights, write,
};
use mgit::error::{ContainerError, StoreError, UpkeepError};
use mgit::format::{RecordKind, SUPERBLOCK_LEN};
use mgit::upkeep::{
    GraphSource, RecordDump, SalvageReport, VerifyDepth, dump, dump_path, salvage, survey, verify,
    verify_path,
};
use mgit::{How, OnChildren, Store};

/// What a user sees of the graph: parents, the version before, metadata, kind and times.
fn graph(store: &Store) -> BTreeMap<String, String> {
    let snapshot = store.snapshot().unwrap();
    let graph = snapshot.graph();
    let name = |id| graph.expect(id).unwrap().full_name();
    let describe = |node: &mgit::lineage::Node| {
        let parents: Vec<String> = graph
            .parents(node.id())
            .unwrap()
            .iter()
            .map(|edge| format!("{} of {}", edge.how, name(edge.parent)))
            .collect();
        let previous = graph.previous(node.id()).unwrap().map(name);
        let row = &node;
        format!(
            "{} {parents:?} {previous:?} {:?} {} {} {}",
            node.id(),
            graph.metadata(node.id()).unwrap(),
            row.kind(),
            row.created_ms(),
            row.logical_bytes()
        )
    };
    snapshot.nodes().unwrap().iter().map(|node| (node.full_name(), describe(node))).collect()
}

/// A family with versions, a merge, a hidden base, free space, and equal tensors.
fn family() -> (tempfile::TempDir, PathBuf, Contents) {
    let (folder, path, store) = new_store();
    let base = weights(1, 3000);
    let tuned = nudged(&base, 2, 20);
    let shared = ("shared".to_owned(), noise(3, 1000));
    let with = |bytes: &[u8]| vec![("w".to_owned(), bytes.to_vec()), shared.clone()];
    add(&store, model("base", &[], &with(&base)).kind("toy").metadata("licence", "MIT")).unwrap();
    add(&store, model("tuned", &["base"], &with(&tuned)).metadata("step", 1)).unwrap();
    add(&store, model("tuned", &["base"], &with(&nudged(&tuned, 4, 20)))).unwrap();
    let pruned = with(&nudged(&tuned, 5, 10));
    add(&store, model("merged", &["base"], &pruned).parent("tuned@1", How::Merge)).unwrap();
    add_one(&store, "gone", &["base"], &noise(6, 9000)).unwrap();
    add_one(&store, "team/alone", &[], &noise(7, 200)).unwrap();
    write(&store, |t| t.remove_model("tuned@1", OnChildren::Reparent)).unwrap();
    write(&store, |t| t.remove_model("gone", OnChildren::Refuse)).unwrap();
    let expected = contents(&store.snapshot().unwrap()).unwrap();
    drop(store);
    (folder, path, expected)
}

fn salvaged(path: &Path) -> (tempfile::TempDir, PathBuf, SalvageReport) {
    let home = folder();
    let new = home.path().join("new.mgit");
    let report = salvage(path, &new, &|_| ()).unwrap();
    let store = Store::open_read_only(&new).unwrap();
    let snapshot = store.snapshot().unwrap();
    let found = verify(&store, &snapshot, VerifyDepth::Full, &|_| ()).unwrap();
    assert!(found.is_clean(), "{found:#?}");
    assert_rows_add_up(&snapshot, "salvaged");
    drop((snapshot, store));
    (home, new, report)
}

fn records(path: &Path, kind: RecordKind) -> Vec<RecordDump> {
    let store = Store::open_read_only(path).unwrap();
    let records = dump(&store, &store.snapshot().unwrap()).unwrap().records;
    let of_kind = |record: &RecordDump| record.header.as_ref().unwrap().kind == kind;
    let mut records: Vec<_> = records.into_iter().filter(of_kind).collect();
    records.sort_by_key(|record| record.header.as_ref().unwrap().sequence);
    records
}

fn overwrite(path: &Path, at: u64, len: u64) {
    let mut bytes = fs::read(path).unwrap();
    let end = bytes.len().min((at + len) as usize);
    bytes[at as usize..end].fill(0);
    fs::write(path, bytes).unwrap();
}

/// Overwrites every extent of the catalogue.
fn lose_catalogue(path: &Path) {
    let extents = {
        let store = Store::open_read_only(path).unwrap();
        store.container().superblock().extents
    };
    extents.iter().for_each(|extent| overwrite(path, extent.offset, extent.len));
}

fn lose_superblocks(path: &Path) {
    overwrite(path, 0, 2 * SUPERBLOCK_LEN as u64);
}

#[test]
fn a_whole_store_is_saved_whole() {
    let (_folder, path, expected) = family();
    let before = fs::read(&path).unwrap();
    let (_home, new, report) = salvaged(&path);
    assert!(report.is_complete(), "{report:#?}");
    assert_eq!((report.source, report.uncertain_commit), (GraphSource::Catalogue, None));
    assert_eq!(contents_of(&new).unwrap(), expected);
    let (old, new) = (Store::open_read_only(&path).unwrap(), Store::open(&new).unwrap());
    assert_eq!(graph(&old), graph(&new));
    let ids = [&old, &new].map(|store| store.container().superblock().store_id);
    assert_eq!(ids[0], ids[1]);
    assert!(fs::read(&path).unwrap() == before);
    // A version that was removed is not given again.
    add_one(&new, "gone", &[], b"back").unwrap();
    assert!(new.snapshot().unwrap().model("gone@2").is_ok());
}

#[test]
fn without_catalogue_and_superblocks_the_records_tell_everything() {
    for lost in [&[lose_catalogue as fn(&Path)][..], &[lose_catalogue, lose_superblocks]] {
        let (_folder, path, expected) = family();
        let known = graph(&Store::open_read_only(&path).unwrap());
        let id = Store::open_read_only(&path).unwrap().container().superblock().store_id;
        lost.iter().for_each(|lose| lose(&path));
        assert!(Store::open_read_only(&path).is_err());
        let (_home, new, report) = salvaged(&path);
        assert_eq!(report.source, GraphSource::ChangeRecords);
        assert!(report.catalogue_error.is_some() && report.lost.is_empty(), "{report:#?}");
        // Nothing says whether the last commit was completed.
        assert_eq!(report.uncertain_commit, Some(8));
        assert_eq!(contents_of(&new).unwrap(), expected);
        let store = Store::open(&new).unwrap();
        assert_eq!(graph(&store), known);
        let new_id = store.container().superblock().store_id;
        assert_eq!(new_id[..4], id[..4]);
        assert_eq!(new_id == id, lost.len() == 1);
        add_one(&store, "gone", &[], b"back").unwrap();
        assert!(store.snapshot().unwrap().model("gone@2").is_ok());
        drop(store);
        // A salvage of the salvaged one, again without a catalogue.
        let known = graph(&Store::open_read_only(&new).unwrap());
        let expected = contents_of(&new).unwrap();
        lose_catalogue(&new);
        let (_home, again, report) = salvaged(&new);
        assert!(report.lost.is_empty(), "{report:#?}");
        assert_eq!(contents_of(&again).unwrap(), expected);
        assert_eq!(graph(&Store::open_read_only(&again).unwrap()), known);
    }
}

/// Asserts that what was saved is right and that everything else is named.
fn assert_accounted_for(report: &SalvageReport, new: &Path, expected: &Contents, context: &str) {
    let saved = contents_of(new).unwrap();
    let renamed = |name: &String| report.renamed.contains(name);
    for (name, tensors) in &saved {
        if renamed(name) {
            assert!(expected.values().any(|known| known == tensors), "{context}: {name}");
        } else {
            assert!(expected.get(name) == Some(tensors), "{context}: {name} is wrong");
            assert!(report.saved.contains(name), "{context}: {name} is not told");
        }
    }
    assert_eq!(report.saved.len() + report.renamed.len(), saved.len(), "{context}");
    for (name, tensors) in expected {
        let lost = report.lost.iter().any(|lost| lost.model == *name);
        // Of a commit whose change record is lost, the name is lost: its model has another one.
        let elsewhere = saved.iter().any(|(name, found)| renamed(name) && found == tensors);
        assert!(
            saved.contains_key(name) || lost || elsewhere,
            "{context}: {name} is neither saved nor lost: {report:#?}"
        );
    }
    for lost in &report.lost {
        assert!(!lost.reasons.is_empty() && !saved.contains_key(&lost.model), "{context}");
    }
}

#[test]
fn any_page_may_be_gone() {
    let (_folder, path, expected) = family();
    let whole = fs::read(&path).unwrap();
    let home = folder();
    let hurt_path = home.path().join("hurt.mgit");
    let new = home.path().join("new.mgit");
    let (mut complete, mut lost) = (0, 0);
    for page in 0..whole.len().div_ceil(4096) {
        let gone = if page % 2 == 0 { 0u8 } else { 0xa5 };
        let mut hurt = whole.clone();
        let end = hurt.len().min((page + 1) * 4096);
        hurt[page * 4096..end].fill(gone);
        fs::write(&hurt_path, &hurt).unwrap();
        let report = salvage(&hurt_path, &new, &|_| ()).unwrap();
        let context = format!("page {page} of {gone}");
        assert_accounted_for(&report, &new, &expected, &context);
        let store = Store::open_read_only(&new).unwrap();
        let found = verify(&store, &store.snapshot().unwrap(), VerifyDepth::Full, &|_| ());
        assert!(found.unwrap().is_clean(), "{context}");
        complete += usize::from(report.saved.len() == expected.len());
        lost += usize::from(!report.lost.is_empty());
        fs::remove_file(&new).unwrap();
    }
    // The catalogue is most of so small a store.
    assert!(complete > lost && lost > 0, "{complete} {lost}");
    println!("{complete} pages cost no model, {lost} cost some");
}

#[test]
fn a_lost_base_is_named_with_the_deltas_that_stand_on_it() {
    let (_folder, path, mut expected) = family();
    let base = records(&path, RecordKind::Tensor).into_iter().find(|record| {
        let header = record.header.as_ref().unwrap();
        header.depth == 0 && header.raw_len == 12_000
    });
    let base = base.unwrap();
    overwrite(&path, base.offset + base.row_len - 100, 100);
    for catalogue in [true, false] {
        if !catalogue {
            lose_catalogue(&path);
        }
        let (_home, new, report) = salvaged(&path);
        let lost: Vec<&str> = report.lost.iter().map(|lost| lost.model.as_str()).collect();
        assert_eq!(lost, ["base@1", "merged@1", "tuned@2"]);
        assert!(report.lost[0].reasons[0].starts_with("tensor \"w\""), "{report:#?}");
        assert!(report.lost[0].reasons[0].contains("checksum of chunk 0"), "{report:#?}");
        assert!(report.lost[2].reasons[0].contains("its base is lost"), "{report:#?}");
        assert_eq!((report.lost[1].whole_tensors, report.lost[1].lost_tensors), (1, 1));
        expected.retain(|name, _| name == "team/alone@1");
        assert_eq!(contents_of(&new).unwrap(), expected);
    }
}

#[test]
fn a_child_of_a_lost_model_is_saved_without_that_parent() {
    let (_folder, path, store) = new_store();
    let bytes = weights(1, 1000);
    add_one(&store, "base", &[], &bytes).unwrap();
    add(&store, model("child", &["base"], &one(noise(2, 500)))).unwrap();
    add(&store, model("child", &["base"], &one(noise(3, 500)))).unwrap();
    add(&store, model("child", &["base"], &one(noise(4, 500)))).unwrap();
    drop(store);
    let tensors = records(&path, RecordKind::Tensor);
    // The base, and the second version.
    for at in [0, 2] {
        overwrite(&path, tensors[at].offset + tensors[at].row_len - 8, 8);
    }
    let (_home, new, report) = salvaged(&path);
    assert_eq!(report.saved, ["child@1", "child@3"]);
    let edges = ["child@1: finetune of base@1", "child@3: finetune of base@1"];
    assert_eq!(report.lost_edges, edges);
    let store = Store::open_read_only(&new).unwrap();
    let snapshot = store.snapshot().unwrap();
    let newest = snapshot.model("child").unwrap().node().id();
    let previous = snapshot.graph().previous(newest).unwrap().unwrap();
    assert_eq!(snapshot.graph().expect(previous).unwrap().full_name(), "child@1");
}

#[test]
fn a_lost_change_record_costs_a_name_and_no_bytes() {
    let (_folder, path, expected) = family();
    let changes = records(&path, RecordKind::Change);
    // The commit that added tuned@2.
    overwrite(&path, changes[2].offset, 128);
    // With the catalogue nothing is lost.
    let (_home, new, report) = salvaged(&path);
    assert!(report.is_complete(), "{report:#?}");
    assert_eq!(report.lost_commits, [(3, 3)]);
    assert_eq!(contents_of(&new).unwrap(), expected);
    lose_catalogue(&path);
    let (_home, new, report) = salvaged(&path);
    assert_eq!((report.lost_commits.as_slice(), report.renamed.len()), (&[(3, 3)][..], 1));
    assert!(!report.is_complete() && report.lost.is_empty(), "{report:#?}");
    let saved = contents_of(&new).unwrap();
    let name = &report.renamed[0];
    assert!(name.starts_with("salvaged/commit-3-"), "{name}");
    assert_eq!(saved[name], expected["tuned@2"]);
    assert_eq!(saved.len(), expected.len());
}

#[test]
fn without_any_change_record_the_manifests_are_left() {
    let (_folder, path, expected) = family();
    for record in records(&path, RecordKind::Change) {
        overwrite(&path, record.offset, 8);
    }
    lose_catalogue(&path);
    let (_home, new, report) = salvaged(&path);
    assert_eq!(report.source, GraphSource::Manifests);
    let saved = contents_of(&new).unwrap();
    for tensors in expected.values() {
        assert!(saved.values().any(|found| found == tensors));
    }
    assert!(report.saved.is_empty() && !report.is_complete());
}

/// What a commit left that was interrupted right before it was decided.
#[test]
fn an_interrupted_last_commit_is_doubtful_only_without_the_catalogue() {
    let (_folder, path, expected) = family();
    let before = fs::read(&path).unwrap();
    let store = Store::open(&path).unwrap();
    add_one(&store, "doubtful", &[], &noise(9, 300)).unwrap();
    drop(store);
    // The catalogue of before, with the records of after.
    let mut bytes = fs::read(&path).unwrap();
    bytes[..2 * SUPERBLOCK_LEN].copy_from_slice(&before[..2 * SUPERBLOCK_LEN]);
    let superblock = mgit::format::Superblock::decode(&before[..SUPERBLOCK_LEN]).unwrap();
    for extent in superblock.extents {
        let range = extent.offset as usize..extent.end() as usize;
        bytes[range.clone()].copy_from_slice(&before[range]);
    }
    fs::write(&path, &bytes).unwrap();
    let (_home, new, report) = salvaged(&path);
    assert!(report.is_complete(), "{report:#?}");
    assert_eq!(contents_of(&new).unwrap(), expected);
    lose_catalogue(&path);
    let (_home, new, report) = salvaged(&path);
    assert_eq!(report.uncertain_commit, Some(9));
    let saved = contents_of(&new).unwrap();
    assert_eq!(saved["doubtful@1"], one(noise(9, 300)));
    assert_eq!(saved.len(), expected.len() + 1);
}

#[test]
fn nothing_to_save_is_an_error_and_makes_nothing() {
    let home = folder();
    let (broken, new) = (home.path().join("broken"), home.path().join("new.mgit"));
    for bytes in [&b""[..], b"hello", &[0; 100_000], &noise(1, 100_000)] {
        fs::write(&broken, bytes).unwrap();
        assert!(matches!(
            salvage(&broken, &new, &|_| ()).unwrap_err(),
            UpkeepError::NothingFound { .. }
        ));
        assert!(!new.exists());
    }
    assert!(salvage(home.path().join("none"), &new, &|_| ()).is_err());
    assert!(salvage(home.path(), &new, &|_| ()).is_err());
    // An empty store is one.
    let empty = home.path().join("empty.mgit");
    drop(Store::create(&empty).unwrap());
    assert!(salvage(&empty, &new, &|_| ()).unwrap().is_complete());
    assert!(contents_of(&new).unwrap().is_empty());
    assert!(matches!(
        salvage(&empty, &new, &|_| ()).unwrap_err(),
        UpkeepError::Store(StoreError::AlreadyExists { .. })
    ));
}

#[test]
fn a_store_that_is_written_to_is_left_alone() {
    let (_folder, path, _) = family();
    let store = Store::open(&path).unwrap();
    let home = folder();
    let refused = salvage(&path, home.path().join("new.mgit"), &|_| ()).unwrap_err();
    assert!(matches!(
        refused,
        UpkeepError::Store(StoreError::Container(ContainerError::Locked(_)))
    ));
    drop(store);
    let survey = survey(&path, &|_| ()).unwrap();
    assert!(matches!(
        Store::open(&path).unwrap_err(),
        StoreError::Container(ContainerError::Locked(_))
    ));
    drop(survey);
    assert!(Store::open(&path).is_ok());
}

#[test]
fn verify_and_dump_say_what_they_can_without_a_catalogue() {
    let (_folder, path, expected) = family();
    let tensors = records(&path, RecordKind::Tensor);
    let alone = tensors.iter().find(|r| r.header.as_ref().unwrap().raw_len == 200).unwrap();
    overwrite(&path, alone.offset + alone.row_len - 8, 8);
    lose_catalogue(&path);
    let report = verify_path(&path, VerifyDepth::Full, &|_| ()).unwrap();
    assert!(report.catalogue_error.is_some() && !report.is_clean());
    assert_eq!(report.hurt_models, ["team/alone@1"]);
    assert_eq!(report.whole_models.len(), expected.len() - 1);
    let at = |offset| report.findings.iter().any(|finding| finding.offset == Some(offset));
    assert!(at(alone.offset), "{report:#?}");
    let dump = dump_path(&path).unwrap();
    assert!(dump.catalogue_error.is_some() && dump.superblock.is_some());
    for tensor in &tensors {
        assert!(dump.records.iter().any(|record| record.offset == tensor.offset));
    }
}

/// Golden stores have every encoding and formula of their time.
#[test]
fn golden_stores_are_saved_without_their_catalogue() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let home = folder();
    let copy = home.path().join("copy.mgit");
    let mut seen = 0;
    for entry in fs::read_dir(golden).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "mgit") {
            continue;
        }
        fs::copy(&path, &copy).unwrap();
        let known = graph(&Store::open_read_only(&copy).unwrap());
        let expected = contents_of(&copy).unwrap();
        lose_catalogue(&copy);
        lose_superblocks(&copy);
        let (_home, new, report) = salvaged(&copy);
        assert!(report.lost.is_empty() && report.renamed.is_empty(), "{report:#?}");
        assert_eq!(contents_of(&new).unwrap(), expected);
        assert_eq!(graph(&Store::open_read_only(&new).unwrap()), known);
        // And without a part of a formula or a base: what stands on it is told.
        let formula = dump_path(&path)
            .unwrap()
            .records
            .into_iter()
            .find(|record| record.header.as_ref().is_ok_and(|header| header.formula_len > 0));
        if let Some(record) = formula {
            overwrite(&copy, record.offset + record.header.unwrap().formula_at() + 1, 1);
            let (_home, new, report) = salvaged(&copy);
            assert!(report.lost[0].reasons[0].contains("formula checksum"), "{report:#?}");
            assert_accounted_for(&report, &new, &expected, "a formula");
        }
        seen += 1;
    }
    assert!(seen > 0);
}
