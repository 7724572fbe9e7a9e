//! Promise: a whole store is found clean, and wherever a byte of it is damaged, `verify` says
//! where, names exactly the models that it hurts, and goes on.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mgit::catalog::{Catalog, EdgeKind, RecordRow, Table, Visit, WriteTables, keys, meta};
use mgit::container::Container;
use mgit::format::{RECORD_HEADER_LEN, RecordKind, record_field};
use mgit::upkeep::{Dump, RecordDump, VerifyDepth, VerifyReport, dump, stat, verify};
use mgit::{Dtype, How, NewModel, NewTensor, Shape, Store};

const BOTH: [VerifyDepth; 2] = [VerifyDepth::Quick, VerifyDepth::Full];

/// Numbers that do not compress, the same every time.
fn noise(count: usize, seed: u64) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as u8
    };
    (0..count * 4).map(|_| next()).collect()
}

fn model<'a>(name: &str, tensors: &[(&str, &'a [u8])]) -> NewModel<'a> {
    tensors.iter().fold(NewModel::new(name), |model, (name, bytes)| {
        let shape = Shape::new(&[bytes.len() as u64 / 4]).unwrap();
        model.tensor(NewTensor::from_bytes(*name, Dtype::F32, shape, bytes))
    })
}

fn commit(store: &Store, model: NewModel<'_>) {
    let mut transaction = store.begin_write().unwrap();
    transaction.add_model(model).unwrap();
    transaction.commit().unwrap();
}

/// `base@1`: `w` (raw, 1.5 chunks) and `shared`; `child@1`: `w` a delta of base's, and `shared`;
/// `grandchild@1`: `w` a delta of child's; `other@1`: a tensor of its own.
fn family(folder: &Path) -> PathBuf {
    let path = folder.join("family.mgit");
    let store = Store::create(&path).unwrap();
    let base = noise(400_000, 1);
    let (mut child, shared, other) = (base.clone(), noise(100, 2), noise(50_000, 3));
    (0..child.len()).step_by(400).for_each(|at| child[at] ^= 1);
    let mut grandchild = child.clone();
    (2..child.len()).step_by(5000).for_each(|at| grandchild[at] ^= 2);
    commit(&store, model("base", &[("w", &base), ("shared", &shared)]));
    let tensors: [(&str, &[u8]); 2] = [("w", &child), ("shared", &shared)];
    commit(&store, model("child", &tensors).parent("base", How::FineTune).metadata("k", "v"));
    commit(&store, model("grandchild", &[("w", &grandchild)]).parent("child", How::Prune));
    commit(&store, model("other", &[("w", &other)]));
    path
}

fn check(path: &Path, depth: VerifyDepth) -> VerifyReport {
    let store = Store::open_read_only(path).unwrap();
    let done = AtomicU64::new(0);
    let progress = |bytes| {
        done.fetch_add(bytes, Ordering::Relaxed);
    };
    let report = verify(&store, &store.snapshot().unwrap(), depth, &progress).unwrap();
    assert_eq!(report.bytes, done.load(Ordering::Relaxed));
    report
}

fn dump_of(path: &Path) -> Dump {
    let store = Store::open_read_only(path).unwrap();
    dump(&store, &store.snapshot().unwrap()).unwrap()
}

/// The records of a kind, in the order of the commits that wrote them.
fn records(dump: &Dump, kind: RecordKind) -> Vec<&RecordDump> {
    let header = |record: &RecordDump| record.header.clone().unwrap();
    let mut records: Vec<_> =
        dump.records.iter().filter(|record| header(record).kind == kind).collect();
    records.sort_by_key(|record| (header(record).sequence, record.offset));
    records
}

fn tensor_at_depth(dump: &Dump, depth: u8, longer_than: u64) -> &RecordDump {
    let fits = |record: &&RecordDump| {
        let header = record.header.as_ref().unwrap();
        header.depth == depth && header.raw_len > longer_than
    };
    records(dump, RecordKind::Tensor).into_iter().find(fits).unwrap()
}

fn payload_at(record: &RecordDump) -> u64 {
    record.offset + u64::from(record.header.as_ref().unwrap().payload_offset)
}

fn flip(path: &Path, offset: u64) {
    let file = fs::File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ 0x10], offset).unwrap();
}

/// Flips the byte that `place` chooses and holds what both depths find against what it must hurt.
fn damage(place: impl Fn(&Dump) -> (u64, u64), subject: &str, hurt: &[&str]) -> VerifyReport {
    let folder = tempfile::tempdir().unwrap();
    let path = family(folder.path());
    let (record, byte) = place(&dump_of(&path));
    flip(&path, byte);
    let [quick, full] = BOTH.map(|depth| check(&path, depth));
    for report in [&quick, &full] {
        assert_eq!(report.hurt_models, hurt, "{report:#?}");
        assert_eq!(report.hurt_models.len() + report.whole_models.len(), 4);
        let finding = &report.findings[0];
        assert_eq!(finding.offset, Some(record), "{finding:?}");
        assert!(finding.subject.starts_with(subject), "{finding:?}");
        assert_eq!(finding.models, hurt, "{finding:?}");
        assert_eq!(report.findings.len(), 1, "{report:#?}");
    }
    full
}

#[test]
fn a_whole_store_is_clean() {
    let folder = tempfile::tempdir().unwrap();
    let path = family(folder.path());
    for depth in BOTH {
        let report = check(&path, depth);
        assert!(report.is_clean(), "{report:#?}");
        assert_eq!(report.whole_models, ["base@1", "child@1", "grandchild@1", "other@1"]);
        assert_eq!((report.models, report.records), (4, 5 + 4 + 4));
    }
}

#[test]
fn a_new_store_and_one_with_removed_models_are_clean() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty.mgit");
    drop(Store::create(&empty).unwrap());
    let path = family(folder.path());
    let store = Store::open(&path).unwrap();
    let mut transaction = store.begin_write().unwrap();
    transaction.remove_model("child", mgit::OnChildren::Reparent).unwrap();
    transaction.remove_model("other", mgit::OnChildren::Refuse).unwrap();
    transaction.commit().unwrap();
    commit(&store, model("base", &[("w", &noise(10, 9))]));
    drop(store);
    for depth in BOTH {
        assert!(check(&empty, depth).is_clean());
        let report = check(&path, depth);
        assert!(report.is_clean(), "{report:#?}");
        assert_eq!(report.whole_models, ["base@1", "base@2", "grandchild@1"]);
    }
}

#[test]
fn stat_adds_up() {
    let folder = tempfile::tempdir().unwrap();
    let path = family(folder.path());
    let before = {
        let store = Store::open_read_only(&path).unwrap();
        stat(&store, &store.snapshot().unwrap()).unwrap()
    };
    assert_eq!((before.models, before.tensors, before.distinct_tensors), (4, 6, 5));
    assert_eq!(before.logical_bytes, 3 * 1_600_000 + 2 * 400 + 200_000);
    assert_eq!(before.file_bytes, fs::metadata(&path).unwrap().len());
    assert!(before.stored_tensor_bytes > 1_800_000 && before.stored_tensor_bytes < 1_900_000);
    assert!(before.catalog_bytes > 0 && before.allocated_bytes > 1_800_000);
    assert_eq!((before.commits, before.oldest_reader), (4, Some(4)));
    assert_eq!(before.hidden_tensors, 0);
    assert!(before.ratio() > 1.5);

    let store = Store::open(&path).unwrap();
    let reader = store.snapshot().unwrap();
    let mut transaction = store.begin_write().unwrap();
    transaction.remove_model("child", mgit::OnChildren::Detach).unwrap();
    transaction.remove_model("other", mgit::OnChildren::Refuse).unwrap();
    transaction.commit().unwrap();
    let after = stat(&store, &store.snapshot().unwrap()).unwrap();
    assert_eq!((after.models, after.distinct_tensors, after.hidden_tensors), (2, 4, 1));
    // The catalogue may have grown into free space.
    let grown = after.catalog_bytes.saturating_sub(before.catalog_bytes);
    assert!(after.free_bytes + grown >= before.free_bytes + 200_000, "{before:?} {after:?}");
    assert_eq!((after.commits, after.oldest_reader), (5, Some(reader.sequence())));
}

#[test]
fn dump_shows_both_slots_and_every_record() {
    let folder = tempfile::tempdir().unwrap();
    let path = family(folder.path());
    let dump = dump_of(&path);
    let counts = dump.slots.each_ref().map(|slot| slot.result.as_ref().map(|s| s.generation));
    assert!(
        counts.iter().flatten().any(|g| *g == dump.superblock.as_ref().unwrap().generation),
        "{counts:?}"
    );
    assert_eq!(dump.slots.each_ref().map(|slot| slot.offset), [0, 4096]);
    assert_eq!(dump.records.len(), 13);
    assert!(dump.records.iter().all(|r| r.header.as_ref().unwrap().record_len() == r.row_len));
    assert_eq!(tensor_at_depth(&dump, 0, 1_000_000).chunks.len(), 2);
    flip(&path, tensor_at_depth(&dump, 1, 0).offset);
    let hurt = dump_of(&path);
    assert_eq!(hurt.records.iter().filter(|record| record.header.is_err()).count(), 1);
}

#[test]
fn a_raw_payload_hurts_all_that_stands_on_it() {
    let place = |dump: &Dump| {
        let record = tensor_at_depth(dump, 0, 1_000_000);
        (record.offset, payload_at(record) + 1_300_000)
    };
    let report = damage(place, "tensor", &["base@1", "child@1", "grandchild@1"]);
    assert!(report.findings[0].message.contains("checksum of chunk 1"), "{report:?}");
    assert_eq!(report.whole_models, ["other@1"]);
}

#[test]
fn a_shared_tensor_hurts_the_models_that_share_it() {
    let place = |dump: &Dump| {
        let tensors = records(dump, RecordKind::Tensor);
        let shared = tensors.into_iter().find(|r| r.header.as_ref().unwrap().raw_len == 400);
        (shared.unwrap().offset, payload_at(shared.unwrap()))
    };
    damage(place, "tensor", &["base@1", "child@1"]);
}

#[test]
fn a_delta_payload_hurts_what_stands_on_it_and_not_its_base() {
    let place = |dump: &Dump| {
        let record = tensor_at_depth(dump, 1, 0);
        (record.offset, payload_at(record) + 20)
    };
    damage(place, "tensor", &["child@1", "grandchild@1"]);
}

#[test]
fn a_chunk_index_is_covered() {
    let place = |dump: &Dump| {
        let record = tensor_at_depth(dump, 2, 0);
        (record.offset, record.offset + RECORD_HEADER_LEN as u64 + 4)
    };
    let report = damage(place, "tensor", &["grandchild@1"]);
    assert!(report.findings[0].message.contains("chunk index checksum"), "{report:?}");
}

#[test]
fn a_record_header_is_covered() {
    for field in [record_field::MAGIC, record_field::RAW_LEN, record_field::HEADER_CRC] {
        let place = |dump: &Dump| {
            let record = tensor_at_depth(dump, 2, 0);
            (record.offset, record.offset + field as u64)
        };
        damage(place, "tensor", &["grandchild@1"]);
    }
}

#[test]
fn a_manifest_hurts_its_models() {
    let place = |dump: &Dump| {
        let record = records(dump, RecordKind::Manifest)[1];
        (record.offset, payload_at(record) + 30)
    };
    damage(place, "manifest", &["child@1"]);
}

#[test]
fn a_change_record_hurts_no_model() {
    for at in 0..4 {
        let place = |dump: &Dump| {
            let record = records(dump, RecordKind::Change)[at];
            (record.offset, payload_at(record) + 10)
        };
        damage(place, &format!("change record {}", at + 1), &[]);
        let place = |dump: &Dump| {
            let record = records(dump, RecordKind::Change)[at];
            (record.offset, record.offset + 50)
        };
        damage(place, "change record", &[]);
    }
}

#[test]
fn many_damages_are_all_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = family(folder.path());
    for record in &dump_of(&path).records {
        flip(&path, record.offset + 40);
    }
    for depth in BOTH {
        let report = check(&path, depth);
        assert_eq!(report.findings.len(), 13, "{report:#?}");
        assert_eq!(report.hurt_models.len(), 4);
    }
}

/// Bytes all over the file, small records as often as large ones: whatever opens is verified to
/// its end, and what lies in a record, its padding apart, is found.
#[test]
fn no_flipped_byte_of_a_record_goes_unnoticed_or_panics() {
    let folder = tempfile::tempdir().unwrap();
    let path = family(folder.path());
    let dump = dump_of(&path);
    let mut state = 7u64;
    let mut random = |below: u64| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) % below
    };
    for round in 0..300 {
        let record = &dump.records[random(dump.records.len() as u64) as usize];
        let in_record = round % 3 > 0;
        let at = match in_record {
            true => record.offset + random(record.row_len),
            false => random(dump.file_bytes),
        };
        let header = record.header.as_ref().unwrap();
        let index_end = RECORD_HEADER_LEN as u64 + header.index_len();
        let padding = record.offset + index_end..payload_at(record);
        flip(&path, at);
        if let Ok(store) = Store::open_read_only(&path) {
            let snapshot = store.snapshot().unwrap();
            for depth in BOTH {
                let report = verify(&store, &snapshot, depth, &|_| {}).unwrap();
                let missed = in_record && report.is_clean() && !padding.contains(&at);
                assert!(!missed, "byte {at} of the record at {}", record.offset);
            }
        } else {
            assert!(!in_record, "byte {at}");
        }
        flip(&path, at);
    }
    assert!(check(&path, VerifyDepth::Full).is_clean());
}

#[test]
fn what_a_handle_remembers_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = family(folder.path());
    let store = Store::open_read_only(&path).unwrap();
    let snapshot = store.snapshot().unwrap();
    let tensor = snapshot.model("base").unwrap().tensor("w").unwrap();
    drop(tensor.view().unwrap());
    let dump = dump(&store, &snapshot).unwrap();
    flip(&path, payload_at(tensor_at_depth(&dump, 0, 1_000_000)));
    for depth in BOTH {
        assert!(!verify(&store, &snapshot, depth, &|_| {}).unwrap().is_clean());
    }
}

#[test]
fn a_file_that_ends_early_is_a_finding() {
    let folder = tempfile::tempdir().unwrap();
    let path = family(folder.path());
    let dump = dump_of(&path);
    let last = dump.records.last().unwrap();
    let file = fs::File::options().write(true).open(&path).unwrap();
    file.set_len(last.offset + last.row_len - 1).unwrap();
    for depth in BOTH {
        let report = check(&path, depth);
        assert!(report.findings.iter().any(|f| f.offset == Some(last.offset)), "{report:#?}");
    }
}

/// Changes rows of the catalogue behind the store's back.
fn change_rows(path: &Path, change: impl FnOnce(&mut dyn WriteTables)) {
    let disk = Container::open_file(path, true).unwrap();
    let container = Arc::new(Container::open_writer(disk).unwrap());
    let mut write = Catalog::open_writer(&container).unwrap().begin_write().unwrap();
    change(&mut write);
    write.commit().unwrap();
}

fn first_row(tables: &dyn WriteTables, table: Table, pick: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let mut found = None;
    let visit = &mut |key: &[u8], value: &[u8]| {
        if found.is_none() && pick(value) {
            found = Some(key.to_vec());
        }
        Ok(Visit::Continue(()))
    };
    tables.scan(table, &[], visit).unwrap();
    found.unwrap()
}

/// Changes rows and gives what a full check then says; a quick one looks at fewer things.
fn after(change: impl Fn(&mut dyn WriteTables)) -> VerifyReport {
    let folder = tempfile::tempdir().unwrap();
    let path = family(folder.path());
    change_rows(&path, change);
    let report = check(&path, VerifyDepth::Full);
    assert!(!report.is_clean());
    report
}

fn assert_message(report: &VerifyReport, message: &str) {
    assert!(report.findings.iter().any(|f| f.message.contains(message)), "{report:#?}");
}

#[test]
fn a_wrong_count_is_found_and_hurts_nothing() {
    for (table, what) in [(Table::Tensors, "holders"), (Table::Manifests, "holders")] {
        let report = after(|tables| {
            let key = first_row(tables, table, |value| {
                RecordRow::decode(value).unwrap().base_id.is_none()
            });
            let mut row = RecordRow::decode(&tables.get(table, &key).unwrap().unwrap()).unwrap();
            row.holders += 1;
            tables.put(table, &key, &row.encode()).unwrap();
        });
        assert_message(&report, what);
        assert_eq!((report.findings.len(), report.hurt_models.len()), (1, 0), "{report:#?}");
        assert!(!report.findings[0].models.is_empty());
    }
    let report = after(|tables| {
        let key = first_row(tables, Table::Tensors, |value| {
            RecordRow::decode(value).unwrap().dependents == 1
        });
        let value = tables.get(Table::Tensors, &key).unwrap().unwrap();
        let row = RecordRow { dependents: 0, ..RecordRow::decode(&value).unwrap() };
        tables.put(Table::Tensors, &key, &row.encode()).unwrap();
    });
    assert_message(&report, "0 dependents, there are 1");
}

#[test]
fn missing_and_moved_records_are_found() {
    let root = |value: &[u8]| RecordRow::decode(value).unwrap().dependents > 0;
    let report = after(|tables| {
        let key = first_row(tables, Table::Tensors, |value| {
            root(value) && RecordRow::decode(value).unwrap().depth == 0
        });
        tables.delete(Table::Tensors, &key).unwrap();
    });
    assert_message(&report, "is missing");
    assert_eq!(report.whole_models, ["other@1"]);
    let report = after(|tables| {
        let key = first_row(tables, Table::Manifests, |_| true);
        tables.delete(Table::Manifests, &key).unwrap();
    });
    assert_eq!(report.hurt_models.len(), 1, "{report:#?}");
    let report = after(|tables| {
        let key = first_row(tables, Table::Tensors, root);
        let value = tables.get(Table::Tensors, &key).unwrap().unwrap();
        let row = RecordRow { offset: 1 << 62, ..RecordRow::decode(&value).unwrap() };
        tables.put(Table::Tensors, &key, &row.encode()).unwrap();
    });
    assert_message(&report, "in a file of");
    let report = after(|tables| {
        let key = first_row(tables, Table::Changes, |_| true);
        let value = tables.get(Table::Changes, &key).unwrap().unwrap();
        let last = 4u64.to_be_bytes();
        tables.put(Table::Changes, &last, &value).unwrap();
    });
    assert_message(&report, "overlaps");
}

#[test]
fn a_graph_that_contradicts_itself_is_found() {
    let nodes = |tables: &dyn WriteTables| {
        let find = |name: &str| -> [u8; 16] {
            let value = tables.get(Table::Versions, &keys::version(name, 1)).unwrap();
            value.unwrap().try_into().unwrap()
        };
        (find("base"), find("child"))
    };
    let report = after(|tables| {
        let (base, child) = nodes(tables);
        tables.delete(Table::Children, &keys::child(&base, EdgeKind::Provenance, &child)).unwrap();
    });
    assert_message(&report, "one table only");
    let report = after(|tables| {
        let (base, child) = nodes(tables);
        let row = mgit::catalog::ParentRow { parent: child, how: "merge".into() };
        let key = keys::parent(&base, EdgeKind::Provenance, 0);
        tables.put(Table::Parents, &key, &row.encode().unwrap()).unwrap();
        let reverse = keys::child(&child, EdgeKind::Provenance, &base);
        tables.put(Table::Children, &reverse, &[]).unwrap();
    });
    assert_message(&report, "its own ancestor");
    let report = after(|tables| {
        tables.delete(Table::Versions, &keys::version("base", 1)).unwrap();
    });
    assert_message(&report, "does not lead to it");
    let report = after(|tables| {
        tables.put(Table::Names, b"base", &0u32.to_le_bytes()).unwrap();
    });
    assert_message(&report, "highest version");
    let report = after(|tables| {
        tables.put(Table::Metadata, &keys::metadata(&[7; 16], "k"), b"1").unwrap();
    });
    assert_message(&report, "metadata of no node");
    let report = after(|tables| {
        let (base, child) = nodes(tables);
        tables.put(Table::Tags, b"one", &base).unwrap();
        tables.put(Table::TagsOf, &keys::tag_of(&child, "two"), &[]).unwrap();
        tables.put(Table::Tags, b"three", &[7; 16]).unwrap();
        tables.put(Table::Tags, b"base", &base).unwrap();
        let edge = keys::edge_metadata(&base, EdgeKind::Provenance, &child, "k");
        tables.put(Table::EdgeMetadata, &edge, b"1").unwrap();
        let edge = keys::edge_metadata(&child, EdgeKind::Provenance, &base, "k");
        tables.put(Table::EdgeMetadata, &edge, b"{").unwrap();
    });
    for message in [
        "tag one is in one table only",
        "tag two is in one table only",
        "tag three is on no node",
        "tag base is a model's name",
        "metadata of no edge",
        "metadata \"k\" of an edge is not JSON",
    ] {
        assert_message(&report, message);
    }
    let report = after(|tables| {
        let (base, _) = nodes(tables);
        tables.put(Table::Nodes, &base, b"short").unwrap();
    });
    assert_eq!(report.hurt_models.len(), 1, "{report:#?}");
}

#[test]
fn a_broken_chain_of_commits_is_found() {
    let report = after(|tables| {
        tables.put(Table::Meta, meta::LAST_CHANGE.as_bytes(), &[7; 32]).unwrap();
    });
    assert_message(&report, "last-change");
    let report = after(|tables| {
        tables.delete(Table::Changes, &2u64.to_be_bytes()).unwrap();
    });
    assert_message(&report, "record 2 before it is missing");
    assert_message(&report, "as the record before it");
    assert!(report.hurt_models.is_empty());
}
