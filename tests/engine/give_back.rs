//! Promise: a file is no longer than what is in it needs, in proportion; what was written elsewhere
//! first is given back where nobody can read it; and whoever has a snapshot keeps what it sees.

use std::path::Path;

use crate::common::{
    Random, add, add_one, assert_rows_add_up, contents, contents_of, folder, model, new_store,
    noise, tensor_rows, weights, write,
};
use mgit::upkeep::{VerifyDepth, gc, give_back, give_back_to, verify};
use mgit::{OnChildren, Profile, Store};

fn file_len(path: &Path) -> u64 {
    std::fs::metadata(path).unwrap().len()
}

fn assert_whole(store: &Store, context: &str) {
    let snapshot = store.snapshot().unwrap();
    assert_rows_add_up(&snapshot, context);
    let report = verify(store, &snapshot, VerifyDepth::Full, &|_| ()).unwrap();
    assert!(report.is_clean(), "{context}: {:?}", report.findings);
}

/// A net of 105 KB in F32, and fine-tunes of it: every element moves by up to a thousandth.
fn small_net(version: u64) -> Vec<(String, Vec<u8>)> {
    let layers = [(8192usize, "a"), (128, "a.bias"), (12288, "b"), (96, "b.bias"), (4608, "c")];
    let small = [(48usize, "c.bias"), (480, "d"), (10, "d.bias")];
    let mut random = Random(version);
    let mut tune = |number: f32| match version {
        0 => number,
        _ => number + 0.001 * ((random.next() >> 40) as f32 / (1u64 << 23) as f32 - 1.0),
    };
    let tensor = |(at, (len, name)): (usize, (usize, &str))| {
        let base = weights(at as u64, len);
        let numbers = base.chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().unwrap()));
        (name.to_owned(), numbers.flat_map(|number| tune(number).to_le_bytes()).collect())
    };
    layers.into_iter().chain(small).enumerate().map(tensor).collect()
}

#[test]
fn twelve_small_models_take_less_than_their_files_without_a_vacuum() {
    let plain: usize =
        (0..12).flat_map(small_net).map(|(_, bytes)| bytes.len() + 71).sum::<usize>();
    for at_once in [false, true] {
        let (_folder, path, store) = new_store();
        let mut store = Some(store);
        for version in 0..12 {
            let open = store.take().unwrap_or_else(|| Store::open(&path).unwrap());
            let parents: &[&str] = if version == 0 { &[] } else { &["net0"] };
            add(&open, model(&format!("net{version}"), parents, &small_net(version))).unwrap();
            store = at_once.then_some(open);
        }
        drop(store);
        let len = file_len(&path);
        assert!(len as f64 <= 0.95 * plain as f64, "at once: {at_once}: {len} of {plain}");
        let found = contents_of(&path).unwrap();
        for version in 0..12 {
            assert!(found[&format!("net{version}@1")] == small_net(version), "net{version}");
        }
        assert_whole(&Store::open(&path).unwrap(), "closed");
    }
}

/// Bytes of all tensors' records.
fn records_len(path: &Path) -> u64 {
    let snapshot = Store::open_read_only(path).unwrap().snapshot().unwrap();
    tensor_rows(&snapshot).values().map(|row| row.len.next_multiple_of(64)).sum()
}

/// What a command does behind itself, then the file's length once it is closed.
fn closed_len(path: &Path, before: u64, work: impl FnOnce(&Store)) -> u64 {
    let store = Store::open(path).unwrap();
    work(&store);
    if give_back(&store).unwrap().after_bytes > before {
        give_back_to(&store, before).unwrap();
    }
    drop(store);
    file_len(path)
}

/// Stores of small nets in random orders, on parents and on wrong ones: whatever is done to them
/// then, the closed file is not longer than before, but for the change record of what was done.
#[test]
fn whatever_is_done_the_closed_file_is_not_longer() {
    let mut random = Random(crate::common::seed());
    for round in 0..2u64 {
        let (_folder, path, store) = new_store();
        let mut versions: Vec<u64> = (0..3 + random.below(8) as u64).collect();
        for at in (1..versions.len()).rev() {
            versions.swap(at, random.below(at + 1));
        }
        for (at, version) in versions.iter().enumerate() {
            let parent = (at > 0 && random.below(3) > 0).then(|| versions[random.below(at)]);
            let parent = parent.map(|parent| format!("net{parent}"));
            let parents: Vec<&str> = parent.iter().map(String::as_str).collect();
            // Some with a long tensor, which is raw and lies at a page.
            let mut tensors = small_net(*version);
            if random.below(3) == 0 {
                tensors.push(("long".into(), noise(*version, 70_000 + random.below(200_000))));
            }
            add(&store, model(&format!("net{version}"), &parents, &tensors)).unwrap();
        }
        drop(store);
        let mut found = contents_of(&path).unwrap();
        let mut ops: Vec<u64> = (0..6).map(|_| random.below(5) as u64).collect();
        // The second time there is nothing to do.
        ops.extend([0, 0, 4, 4]);
        for (step, op) in ops.into_iter().enumerate() {
            let (before, records) = (file_len(&path), records_len(&path));
            let last = found.keys().next_back().cloned().unwrap();
            let after = closed_len(&path, before, |store| match op {
                0 => {
                    // As the tool does: what changes nothing leaves the file as it is.
                    let mut transaction = store.begin_write().unwrap();
                    let how = mgit::store::Repack::default();
                    let report = transaction.repack(&how, &|_| ()).unwrap();
                    if report.changed + report.freed > 0 {
                        transaction.commit().unwrap();
                    }
                }
                1 => drop(write(store, |t| t.recode_all(Profile::Fast, &|_| ())).unwrap()),
                2 => drop(write(store, |t| t.recode_all(Profile::Balanced, &|_| ())).unwrap()),
                3 if found.len() > 1 => {
                    write(store, |t| t.remove_model(last.as_str(), OnChildren::Reparent)).unwrap();
                }
                _ => drop(gc(store).unwrap()),
            });
            if op == 3 && found.len() > 1 {
                found.remove(&last);
            }
            let context = format!("round {round}, step {step}, {op}: {before} -> {after}");
            // Of another profile the records may take more. What saves little has a change record
            // of its own all the same, which a file without free space has no room for: a page.
            let more = records_len(&path).saturating_sub(records);
            let pages = if more > 0 { 8192 } else { 4096 };
            assert!(after <= before + more + pages, "{context}, {more} more");
            if step > 7 {
                assert!(after <= before, "{context}: there was nothing to do");
            }
            assert!(contents_of(&path).unwrap() == found, "{context}");
        }
        assert_whole(&Store::open(&path).unwrap(), "closed");
    }
}

/// Eight roots of a megabyte, and eight models on them.
fn some_store() -> (tempfile::TempDir, std::path::PathBuf, Store) {
    let (folder, path, store) = new_store();
    for at in 0..8 {
        let base = weights(at, 250_000);
        add_one(&store, &format!("base{at}"), &[], &base).unwrap();
        let tuned = crate::common::nudged(&base, at, 3);
        add_one(&store, &format!("tuned{at}"), &[&format!("base{at}")], &tuned).unwrap();
    }
    (folder, path, store)
}

#[test]
fn what_is_encoded_anew_leaves_the_file_as_short() {
    let (_folder, path, store) = some_store();
    give_back(&store).unwrap();
    let (before, found) = (file_len(&path), contents(&store.snapshot().unwrap()).unwrap());
    for profile in [Profile::Fast, Profile::Balanced] {
        let commit = store.snapshot().unwrap().sequence();
        write(&store, |t| t.recode_all(profile, &|_| ()).map(drop)).unwrap();
        assert!(file_len(&path) > before, "{profile}: written elsewhere first");
        let given = give_back(&store).unwrap();
        assert_eq!((given.after_bytes, given.oldest_reader), (file_len(&path), None));
        assert_eq!(store.snapshot().unwrap().sequence(), commit + 1, "it is no commit");
        assert!(contents(&store.snapshot().unwrap()).unwrap() == found, "{profile}");
        assert_whole(&store, profile.name());
    }
    assert!(file_len(&path) <= before, "{} after {before}", file_len(&path));
    drop(store);
    // The database has written once more.
    assert!(file_len(&path) <= before + 65_536, "closed: {} after {before}", file_len(&path));
    assert!(contents_of(&path).unwrap() == found);
}

#[test]
fn what_is_removed_is_given_back_from_wherever_it_was() {
    let (_folder, path, store) = some_store();
    let before = file_len(&path);
    for at in 0..4 {
        for name in [format!("tuned{at}"), format!("base{at}")] {
            write(&store, |t| t.remove_model(name, OnChildren::Detach)).unwrap();
        }
    }
    let found = contents(&store.snapshot().unwrap()).unwrap();
    // Not to be longer than before: nothing has to move.
    let given = give_back_to(&store, before).unwrap();
    assert_eq!((given.moved_bytes, given.after_bytes), (0, file_len(&path)));
    let given = gc(&store).unwrap().given_back.unwrap();
    // The rest is less than the room of a root.
    assert!(
        given.moved_bytes > 3_000_000 && given.after_bytes < before * 65 / 100,
        "{given:?} of {before}"
    );
    assert!(contents(&store.snapshot().unwrap()).unwrap() == found);
    // Little is left to do, and never the other way.
    let again = give_back(&store).unwrap();
    assert!(again.after_bytes <= given.after_bytes, "{again:?} {given:?}");
    // What was cut off comes back as it is needed.
    let bytes = noise(9, 3_000_000);
    add_one(&store, "new", &[], &bytes).unwrap();
    assert_whole(&store, "grown again");
    drop(store);
    assert!(contents_of(&path).unwrap()["new@1"][0].1 == bytes);
}

#[test]
fn a_snapshot_keeps_the_end_of_the_file_and_is_named() {
    for other_handle in [false, true] {
        let (_folder, path, store) = some_store();
        let reader = other_handle.then(|| Store::open_read_only(&path).unwrap());
        let held = reader.as_ref().unwrap_or(&store).snapshot().unwrap();
        let found = contents(&held).unwrap();
        let views: Vec<_> =
            held.nodes().unwrap().into_iter().map(|node| node.full_name()).collect();
        let views: Vec<_> = views
            .iter()
            .map(|name| held.model(name).unwrap().tensor("w").unwrap().view_unchecked().unwrap())
            .collect();
        let copies: Vec<Vec<u8>> = views.iter().map(|view| view.to_vec()).collect();
        write(&store, |t| t.recode_all(Profile::Fast, &|_| ()).map(drop)).unwrap();
        let given = give_back(&store).unwrap();
        assert_eq!(given.oldest_reader, Some(held.sequence()), "{given:?}");
        assert!(given.waiting_bytes > 500_000, "{given:?}");
        // Whoever writes meanwhile does not write there either.
        add_one(&store, "more", &[], &noise(3, 2_000_000)).unwrap();
        give_back(&store).unwrap();
        assert!(contents(&held).unwrap() == found, "other handle: {other_handle}");
        assert!(views.iter().zip(&copies).all(|(view, copy)| **view == copy[..]));
        drop((views, held));
        write(&store, |t| t.remove_model("more", OnChildren::Refuse)).unwrap();
        let given = give_back(&store).unwrap();
        assert_eq!((given.oldest_reader, given.waiting_bytes), (None, 0));
        assert!(given.after_bytes < given.before_bytes, "{given:?}");
        if let Some(reader) = reader {
            let now = contents(&store.snapshot().unwrap()).unwrap();
            assert!(contents(&reader.snapshot().unwrap()).unwrap() == now);
        }
        assert_whole(&store, "after the reader");
    }
}

/// Models of many small tensors: the catalogue is most of the file.
fn add_many(store: &Store, name: &str, seed: u64) {
    let tensors: Vec<_> =
        (0..400).map(|at| (format!("t{at}"), weights(seed * 1000 + at, 20))).collect();
    add(store, model(name, &[], &tensors)).unwrap();
}

#[test]
fn the_catalogue_becomes_short_and_readers_with_an_old_list_follow() {
    let (_folder, path, store) = new_store();
    let reader = Store::open_read_only(&path).unwrap();
    for at in 0..10 {
        add_many(&store, &format!("many{at}"), at);
        add_one(&store, &format!("long{at}"), &[], &noise(at, 400_000)).unwrap();
        drop(reader.snapshot().unwrap());
    }
    let extents = || store.container().superblock().extents;
    let end_of =
        |extents: &[mgit::format::Extent]| extents.iter().map(|it| it.end()).max().unwrap();
    let before = extents();
    for at in 0..9 {
        for name in [format!("many{at}"), format!("long{at}")] {
            write(&store, |t| t.remove_model(name, OnChildren::Refuse)).unwrap();
        }
    }
    let found = contents(&store.snapshot().unwrap()).unwrap();
    let given = give_back(&store).unwrap();
    let after = extents();
    let bytes = |extents: &[mgit::format::Extent]| extents.iter().map(|it| it.len).sum::<u64>();
    assert!(bytes(&after) < bytes(&before) / 2, "{before:?}, then {after:?}");
    assert!(end_of(&after) < end_of(&before), "{before:?}, then {after:?}");
    assert_eq!(after[0].offset, before[0].offset, "the first one stays");
    assert!(given.after_bytes < 1_500_000, "{given:?}");
    // The reader has not looked since; meanwhile others write where the catalogue was.
    add_one(&store, "over", &[], &noise(77, 3_000_000)).unwrap();
    let mut expected = found;
    expected.insert("over@1".to_owned(), vec![("w".to_owned(), noise(77, 3_000_000))]);
    assert!(contents(&reader.snapshot().unwrap()).unwrap() == expected);
    assert!(
        contents(&Store::open_read_only(&path).unwrap().snapshot().unwrap()).unwrap() == expected
    );
    drop(store);
    assert!(contents(&reader.snapshot().unwrap()).unwrap() == expected);
    assert!(contents_of(&path).unwrap() == expected);
    let store = Store::open(&path).unwrap();
    assert_whole(&store, "opened again");
    (0..40).for_each(|at| add_many(&store, &format!("again{at}"), 100 + at));
    assert_whole(&store, "grown again");
}

/// However often a catalogue grows and is cut, its extents fit into a superblock.
#[test]
fn a_store_that_is_closed_after_every_commit_keeps_few_extents() {
    let folder = folder();
    let path = folder.path().join("store.mgit");
    drop(Store::create(&path).unwrap());
    for at in 0..60 {
        let store = Store::open(&path).unwrap();
        let tensors: Vec<_> =
            (0..60).map(|tensor| (format!("t{tensor}"), weights(at * 100 + tensor, 300))).collect();
        add(&store, model(&format!("m{at}"), &[], &tensors)).unwrap();
        drop(store);
        let store = Store::open_read_only(&path).unwrap();
        let extents = store.container().superblock().extents.len();
        assert!(extents < 40, "{extents} after {at} commits");
    }
    let store = Store::open(&path).unwrap();
    assert_eq!(store.snapshot().unwrap().nodes().unwrap().len(), 60);
    assert_whole(&store, "sixty commits");
}

#[test]
fn a_long_record_at_the_end_finds_room_among_short_ones() {
    let (_folder, path, store) = new_store();
    for at in 0..16u64 {
        add_one(&store, &format!("short{at}"), &[], &noise(at, 200_000)).unwrap();
    }
    add_one(&store, "long", &[], &noise(99, 1_300_000)).unwrap();
    for at in (0..16).filter(|at| at % 4 != 3) {
        let name = format!("short{at}");
        write(&store, |transaction| transaction.remove_model(name.as_str(), OnChildren::Refuse))
            .unwrap();
    }
    let before = contents(&store.snapshot().unwrap()).unwrap();
    let given = give_back(&store).unwrap();
    // No free range before was long enough.
    assert!(given.after_bytes < 2_600_000, "{given:?}");
    assert_eq!(given.after_bytes, file_len(&path));
    assert_whole(&store, "given back");
    assert_eq!(contents(&store.snapshot().unwrap()).unwrap(), before);
    drop(store);
    assert_eq!(contents_of(&path).unwrap(), before);
}
