//! Promise: one writer and any number of reading processes share a store: a second writer is told
//! so, readers follow the writer's commits and see right bytes while it deletes, reclaims and makes
//! the file shorter, a reader may outlive its writer, and a killed writer leaves a file that can be looked at as it is
//! and written again with everything that was committed.

use std::path::Path;

use crate::common;
use crate::common::children::{RoleChild, hear, role, say};
use crate::common::{assert_rows_add_up, contents, model, new_store, nudged, one, weights, write};
use mgit::container::{ContainerError, LockHolder};
use mgit::error::CatalogError;
use mgit::store::Access;
use mgit::store::StoreError;
use mgit::upkeep::{VerifyDepth, gc, give_back, verify};
use mgit::{OnChildren, Snapshot, Store};

/// How many models there are at a time.
const ALIVE: u64 = 4;

/// The tensor of model `m<at>`: six in a row are of one family.
fn bytes_of(at: u64) -> Vec<u8> {
    nudged(&weights(at / 6, 30_000 + at as usize % 5 * 1111), at, 30)
}

fn commit(store: &Store, at: u64) {
    let tensors = one(bytes_of(at));
    write(store, |t| {
        let parent = at.checked_sub(1).map(|parent| format!("m{parent}"));
        let parents: Vec<&str> = parent.iter().map(String::as_str).collect();
        t.add_model(model(&format!("m{at}"), &parents, &tensors))?;
        if let Some(gone) = at.checked_sub(ALIVE) {
            t.remove_model(format!("m{gone}"), OnChildren::Reparent)?;
        }
        Ok(())
    })
    .unwrap();
}

/// Asserts that a snapshot shows one commit, whole and right; gives its number.
fn check(snapshot: &Snapshot) -> u64 {
    let found = contents(snapshot).unwrap();
    let sequence = snapshot.sequence();
    let expected: Vec<u64> = (sequence.saturating_sub(ALIVE)..sequence).collect();
    assert_eq!(found.len(), expected.len(), "models at commit {sequence}");
    for at in expected {
        assert!(found[&format!("m{at}@1")][0].1 == bytes_of(at), "m{at} at commit {sequence}");
    }
    sequence
}

/// Plays a role in a child process; does nothing in the test run itself.
#[test]
fn child_role() {
    let Some((role, path)) = role() else { return };
    match role.as_str() {
        "second-writer" => second_writer(&path),
        "follower" => follower(&path),
        "holder" => holder(&path),
        "endless-writer" => endless_writer(&path),
        "steady-writer" => steady_writer(&path),
        "noting-writer" => noting_writer(&path),
        "making-writer" => making_writer(&path),
        "turn-taking-writer" => turn_taking_writer(&path),
        other => panic!("no role {other}"),
    }
}

fn second_writer(path: &Path) {
    let error = Store::open(path).unwrap_err();
    let holder = LockHolder::Writer;
    let is_typed =
        matches!(&error, StoreError::Container(ContainerError::Locked(by)) if by.holder == holder);
    assert!(is_typed, "{error:?}");
    say(&error.to_string());
    let reader = Store::open_read_only(path).unwrap();
    say(&format!("sees {}", check(&reader.snapshot().unwrap())));
}

#[test]
fn a_second_writer_is_told_so_and_may_read() {
    let (_folder, path, store) = new_store();
    commit(&store, 0);
    let mut child = RoleChild::start(module_path!(), "second-writer", &path);
    let who = match Path::new("/proc/self/fdinfo").exists() {
        true => {
            let line = std::fs::read("/proc/self/cmdline").unwrap();
            let line = String::from_utf8_lossy(&line).trim_end_matches('\0').replace('\0', " ");
            let (short, end) = match line.len() > 80 {
                true => (line.chars().take(80).collect(), "..."),
                false => (line, ""),
            };
            format!("process {} ({short}{end})", std::process::id())
        }
        false => "another process".to_owned(),
    };
    let text = format!(
        "{who} has the store open for writing: wait until it is done, or open the store read-only"
    );
    child.expect(&text);
    child.expect("sees 1");
    child.finish();
    commit(&store, 1);
    drop(store);
    assert_eq!(check(&Store::open(&path).unwrap().snapshot().unwrap()), 2);
}

/// Looks at the newest commit again and again, holding some snapshots back.
fn follower(path: &Path) {
    let store = Store::open_read_only(path).unwrap();
    assert_eq!(store.access(), Access::Read);
    let mut held: Vec<Snapshot> = Vec::new();
    let (mut last, mut looks, mut commits) = (0, 0, 0);
    say("ready");
    let target: u64 = hear().unwrap().parse().unwrap();
    while last < target {
        let snapshot = store.snapshot().unwrap();
        let sequence = check(&snapshot);
        assert!(sequence >= last, "commit {sequence} after {last}");
        commits += u64::from(sequence > last);
        last = sequence;
        looks += 1;
        held.push(snapshot);
        if held.len() > 4 {
            check(&held.remove(looks % 4));
        }
        if looks % 8 == 0 {
            say("alive");
        }
    }
    for snapshot in &held {
        check(snapshot);
    }
    say(&format!("saw {commits}"));
    hear();
}

#[test]
fn reading_processes_follow_a_writer_that_deletes_and_reclaims() {
    let (_folder, path, store) = new_store();
    commit(&store, 0);
    let commits = 250;
    let mut children = [0, 1, 2].map(|_| RoleChild::start(module_path!(), "follower", &path));
    for child in &mut children {
        child.expect("ready");
        child.say(&commits.to_string());
    }
    let mut lens = Vec::new();
    for at in 1..commits {
        commit(&store, at);
        lens.push(std::fs::metadata(&path).unwrap().len());
        match at % 4 {
            0 => drop(gc(&store).unwrap()),
            2 => drop(give_back(&store).unwrap()),
            _ => {}
        }
    }
    for mut child in children {
        let saw = loop {
            let word = child.hear();
            if word != "alive" {
                break word;
            }
        };
        let saw: u64 = saw.strip_prefix("saw ").unwrap().parse().unwrap();
        assert!(saw > 1, "it followed {saw} commits");
        child.finish();
    }
    // Each commit frees as much as it takes; what readers held back has a bound.
    assert!(lens.last().unwrap() < &20_000_000, "{:?}", lens.last());
    // Nobody holds anything any more.
    let given = give_back(&store).unwrap();
    assert_eq!((given.oldest_reader, given.waiting_bytes), (None, 0), "{given:?}");
    assert!(given.after_bytes < 2_000_000, "{given:?}");
    assert_rows_add_up(&store.snapshot().unwrap(), "followed");
}

/// Holds a snapshot and a view until told to look again.
fn holder(path: &Path) {
    let store = Store::open_read_only(path).unwrap();
    let snapshot = store.snapshot().unwrap();
    let sequence = check(&snapshot);
    let name = format!("m{}", sequence - 1);
    let raw = snapshot.model(&name).unwrap().tensor("w").unwrap().view_unchecked().unwrap();
    say(&format!("holds {sequence}"));
    while let Some(word) = hear() {
        if word == "end" {
            return;
        }
        assert_eq!(check(&snapshot), sequence);
        assert!(*raw == bytes_of(sequence - 1)[..]);
        match store.snapshot() {
            Ok(newer) => say(&format!("sees {}", check(&newer))),
            Err(error) => say(error.code()),
        }
    }
}

#[test]
fn a_reader_that_outlives_its_writer_keeps_what_it_holds() {
    let (_folder, path, store) = new_store();
    (0..7).for_each(|at| commit(&store, at));
    let mut holder = RoleChild::start(module_path!(), "holder", &path);
    holder.expect("holds 7");
    (7..20).for_each(|at| commit(&store, at));
    let given = give_back(&store).unwrap();
    assert_eq!(given.oldest_reader, Some(7), "it is said who is in the way: {given:?}");
    drop(store);
    holder.say("look");
    holder.expect("sees 20");
    for writer in 0..3 {
        let store = Store::open(&path).unwrap();
        let from = 20 + writer * 20;
        (from..from + 20).for_each(|at| commit(&store, at));
        holder.say("look");
        holder.expect(&format!("sees {}", from + 20));
    }
    let held_back = std::fs::metadata(&path).unwrap().len();
    holder.finish();
    let store = Store::open(&path).unwrap();
    assert_eq!(give_back(&store).unwrap().oldest_reader, None);
    let shorter = std::fs::metadata(&path).unwrap().len();
    assert!(shorter < held_back, "what it held is given back: {held_back}, then {shorter}");
    (80..120).for_each(|at| commit(&store, at));
    // Forty commits would add a megabyte. What ends the file is a compressed page with random ids
    // in it: some bytes more or less.
    let len = std::fs::metadata(&path).unwrap().len();
    assert!(len < held_back + 4096, "nothing is held any more: {held_back}, then {len}");
    assert_eq!(check(&store.snapshot().unwrap()), 120);
    assert_rows_add_up(&store.snapshot().unwrap(), "outlived");
}

/// Commits for ever, saying so after each.
fn endless_writer(path: &Path) {
    let store = Store::open(path).unwrap();
    let from = store.snapshot().unwrap().sequence();
    for at in from.. {
        commit(&store, at);
        say(&format!("committed {}", at + 1));
    }
}

#[test]
fn a_killed_writer_leaves_everything_committed() {
    let (_folder, path, store) = new_store();
    commit(&store, 0);
    drop(store);
    let mut repaired = 0;
    for round in 0..6 {
        let mut writer = RoleChild::start(module_path!(), "endless-writer", &path);
        let mut told = 0;
        for _ in 0..5 + round * 3 {
            told = writer.hear().strip_prefix("committed ").unwrap().parse().unwrap();
        }
        // A moment more or less, so that it is hit at different places.
        (0..round * 20_000).for_each(|_| std::hint::spin_loop());
        writer.kill();

        let file = std::fs::read(&path).unwrap();
        let look = Store::open_read_only(&path).unwrap();
        assert!(matches!(look.access(), Access::Read | Access::ReadRepaired));
        repaired += u32::from(look.access() == Access::ReadRepaired);
        let seen = check(&look.snapshot().unwrap());
        assert!(seen >= told, "{seen} seen, {told} told");
        let twice = Store::open_read_only(&path).unwrap();
        assert_eq!(check(&twice.snapshot().unwrap()), seen);
        drop((look, twice));
        assert!(std::fs::read(&path).unwrap() == file, "a look changed the file");

        let store = Store::open(&path).unwrap();
        let snapshot = store.snapshot().unwrap();
        assert_eq!(check(&snapshot), seen);
        assert_rows_add_up(&snapshot, "after a kill");
        commit(&store, seen);
        assert_eq!(check(&store.snapshot().unwrap()), seen + 1);
    }
    assert!(repaired > 0, "no look needed a repair");
}

#[test]
fn a_look_at_a_crashed_store_keeps_writers_out() {
    let (_folder, path, store) = new_store();
    commit(&store, 0);
    drop(store);
    let mut writer = RoleChild::start(module_path!(), "endless-writer", &path);
    (0..4).for_each(|_| drop(writer.hear()));
    writer.kill();
    let look = Store::open_read_only(&path).unwrap();
    if look.access() == Access::ReadRepaired {
        let at_once = mgit::store::OpenOptions::new().wait(std::time::Duration::ZERO);
        let error = at_once.open(&path).unwrap_err();
        assert!(matches!(error, StoreError::Container(ContainerError::Locked(_))));
        let by_view = matches!(&error, StoreError::Container(ContainerError::Locked(by))
            if by.holder == LockHolder::RecoveryView);
        assert!(by_view, "{error}");
        let text = "a reader is looking at the store, which was not closed cleanly: wait until it \
                    is done";
        assert_eq!(error.to_string(), text);
    }
    drop(look);
    Store::open(&path).unwrap();
}

/// Commits when told to.
fn steady_writer(path: &Path) {
    let store = Store::open(path).unwrap();
    say("ready");
    while let Some(word) = hear() {
        let Ok(count) = word.parse::<u64>() else { return };
        let from = store.snapshot().unwrap().sequence();
        (from..from + count).for_each(|at| commit(&store, at));
        say("done");
    }
}

#[test]
fn a_follower_survives_its_writers_crash_and_follows_the_next() {
    let (_folder, path, store) = new_store();
    commit(&store, 0);
    drop(store);
    let mut writer = RoleChild::start(module_path!(), "steady-writer", &path);
    writer.expect("ready");
    writer.say("6");
    writer.expect("done");
    let follower = Store::open_read_only(&path).unwrap();
    let held = follower.snapshot().unwrap();
    assert_eq!(check(&held), 7);
    writer.say("10");
    writer.expect("done");
    writer.kill();
    // Until somebody repairs the store there is no newer snapshot, or the last one.
    match follower.snapshot() {
        Ok(snapshot) => assert_eq!(check(&snapshot), 17),
        Err(error) => {
            let needs_repair = matches!(error, StoreError::Catalog(CatalogError::NeedsRepair));
            assert!(needs_repair, "{error}");
        }
    }
    assert_eq!(check(&held), 7);
    let store = Store::open(&path).unwrap();
    (17..40).for_each(|at| commit(&store, at));
    assert_eq!(check(&held), 7, "the repair left it alone");
    assert_eq!(check(&follower.snapshot().unwrap()), 40);
    drop(held);
    (40..60).for_each(|at| commit(&store, at));
    assert_eq!(check(&follower.snapshot().unwrap()), 60);
}

/// How many writers are killed.
const KILLED: u64 = 250;

/// The file that a killed writer leaves beside the store: what it was about to commit, and what
/// it had committed.
fn notes_of(store: &Path) -> std::path::PathBuf {
    store.with_extension("notes")
}

fn note(store: &Path, line: &str) {
    let mut options = std::fs::File::options();
    let mut file = options.create(true).append(true).open(notes_of(store)).unwrap();
    std::io::Write::write_all(&mut file, format!("{line}\n").as_bytes()).unwrap();
}

/// Commits for ever, noting before and after. Now and then it drops a transaction, makes the file
/// shorter, or closes and opens the store.
fn noting_writer(path: &Path) {
    let mut store = Store::open(path).unwrap();
    say("ready");
    let from = store.snapshot().unwrap().sequence();
    for at in from.. {
        if at % 3 == 0 {
            let mut transaction = store.begin_write().unwrap();
            let unwanted = one(bytes_of(at + 7));
            transaction.add_model(model("unwanted", &[], &unwanted)).unwrap();
        }
        note(path, &format!("commits {}", at + 1));
        commit(&store, at);
        note(path, &format!("committed {}", at + 1));
        if at % 2 == 0 {
            gc(&store).unwrap();
        }
        if at % 5 == 0 {
            drop(store);
            store = Store::open(path).unwrap();
        }
    }
}

#[test]
fn writers_killed_at_random_moments_lose_nothing_they_noted() {
    let (_folder, path, store) = new_store();
    commit(&store, 0);
    drop(store);
    let seed = common::seed();
    let mut random = common::Random(seed);
    let (mut repaired, mut opened, mut in_flight, mut first) = (0, 0, 0, 1);
    for round in 0..KILLED {
        let context = format!("MGIT_SEED={seed}, round {round}");
        let mut writer = RoleChild::start(module_path!(), "noting-writer", &path);
        if random.below(4) > 0 {
            writer.expect("ready");
        }
        std::thread::sleep(std::time::Duration::from_micros(random.below(20_000) as u64));
        writer.kill();

        let notes = std::fs::read_to_string(notes_of(&path)).unwrap_or_default();
        let last = |word: &str| {
            let mut lines = notes.lines().filter_map(|line| line.strip_prefix(word));
            lines.next_back().map_or(first, |number| number.trim().parse().unwrap()).max(first)
        };
        let (promised, tried) = (last("committed "), last("commits "));
        if round % 4 == 0 {
            let look = Store::open_read_only(&path).unwrap_or_else(|e| panic!("{context}: {e}"));
            repaired += u32::from(look.access() == Access::ReadRepaired);
            let seen = check(&look.snapshot().unwrap());
            assert!((promised..=tried).contains(&seen), "{context}: {seen}, not {promised}");
        }
        let store = Store::open(&path).unwrap_or_else(|e| panic!("{context}: {e}"));
        let snapshot = store.snapshot().unwrap();
        let seen = check(&snapshot);
        assert!((promised..=tried).contains(&seen), "{context}: {seen}, not {promised}");
        let report = verify(&store, &snapshot, VerifyDepth::Full, &|_| ()).unwrap();
        assert!(report.is_clean(), "{context}: {:?}", report.findings);
        (opened, in_flight) = (opened + 1, in_flight + u32::from(tried > promised));
        first = seen;
    }
    assert!(repaired > 0 && in_flight > 0, "{repaired} repaired, {in_flight} in flight");
    println!(
        "{opened} writers killed, {in_flight} in a commit, {repaired} looks needed a repair, \
         {first} commits"
    );
}

/// Makes stores for ever.
fn making_writer(path: &Path) {
    say("ready");
    for at in 0.. {
        drop(Store::create(path.with_extension(at.to_string())).unwrap());
    }
}

#[test]
fn a_store_killed_in_the_making_is_not_there_or_whole() {
    let (folder, path, store) = new_store();
    drop(store);
    let (mut random, mut made, mut unfinished) = (common::Random(common::seed()), 0, 0);
    for _ in 0..30 {
        let mut maker = RoleChild::start(module_path!(), "making-writer", &path);
        maker.expect("ready");
        std::thread::sleep(std::time::Duration::from_micros(random.below(60_000) as u64));
        maker.kill();
        for entry in std::fs::read_dir(folder.path()).unwrap() {
            let entry = entry.unwrap();
            // What was not finished has another name.
            let name = entry.file_name().into_string().unwrap();
            if name.starts_with(".mgit-new-") {
                unfinished += usize::from(!name.ends_with(".lock"));
            } else {
                let store = Store::open(entry.path()).unwrap();
                assert_eq!(store.snapshot().unwrap().sequence(), 0);
                made += 1;
            }
            std::fs::remove_file(entry.path()).unwrap();
        }
    }
    println!("30 killed, {made} stores made, {unfinished} unfinished");
    assert!(made > 1 && unfinished > 0, "{made} made, {unfinished} unfinished");
}

/// Adds models of its own one by one, each with the store opened anew, waiting for its turn.
fn turn_taking_writer(path: &Path) {
    say("ready");
    let me = hear().unwrap();
    let mut refused = false;
    for at in 0..TURNS {
        let store = loop {
            match Store::open(path) {
                Ok(store) => break store,
                Err(error) => {
                    assert!(
                        matches!(error, StoreError::Container(ContainerError::Locked(_))),
                        "{error}"
                    );
                    if !refused {
                        say("refused");
                    }
                    refused = true;
                    std::thread::sleep(std::time::Duration::from_micros(300));
                }
            }
        };
        let tensors = one(weights(at, 1000));
        write(&store, |t| t.add_model(model(&format!("{me}/{at}"), &[], &tensors))).unwrap();
    }
    say("done");
    hear();
}
const TURNS: u64 = 25;

#[test]
fn two_writers_take_turns_and_neither_loses_a_commit() {
    let (_folder, path, store) = new_store();
    let mut writers = [0, 1].map(|_| RoleChild::start(module_path!(), "turn-taking-writer", &path));
    writers.iter_mut().for_each(|writer| writer.expect("ready"));
    writers.iter_mut().zip(["a", "b"]).for_each(|(writer, name)| writer.say(name));
    // Neither gets in before.
    writers.iter_mut().for_each(|writer| writer.expect("refused"));
    drop(store);
    writers.iter_mut().for_each(|writer| writer.expect("done"));
    writers.into_iter().for_each(RoleChild::finish);
    let store = Store::open(&path).unwrap();
    let snapshot = store.snapshot().unwrap();
    assert_eq!(snapshot.sequence(), 2 * TURNS);
    for (name, tensors) in contents(&snapshot).unwrap() {
        let at = name.split(['/', '@']).nth(1).unwrap().parse().unwrap();
        assert!(tensors[0].1 == weights(at, 1000), "{name}");
    }
    assert_rows_add_up(&snapshot, "two writers");
}
