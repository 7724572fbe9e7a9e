//! Promise: whenever the power goes, the store opens afterwards, every commit that was promised is
//! whole, nothing uncommitted shows, a full check finds nothing, and the store can be written to
//! and cut off again.
//!
//! `MGIT_IMAGES` says how many images are checked at least (a quarter as many again with faults),
//! `MGIT_BROKEN_IMAGES` how many for each broken rule, `MGIT_SEED` and `MGIT_CUT` run a failure
//! again: `docs/reliability.md` has the commands.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

use crate::common;
use crate::common::seed;
use crate::simulation::crash::{Plan, Tally};
use crate::simulation::disk::{Entry, Rule, SimDisk};
use crate::simulation::power_cut::Medium;
use mgit::format::SUPERBLOCK_LEN;
use mgit::store::Repack;
use mgit::upkeep::{VerifyDepth, gc_repack, verify};
use mgit::{Dtype, How, NewModel, NewTensor, OnChildren, Store};

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

/// Panics that become failures are not printed as well.
fn be_quiet() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let loud = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if thread::current().name() != Some("simulation") {
                loud(info);
            }
        }));
    });
}

/// Runs histories on all cores until it is enough.
fn run(plan: impl Fn(u64) -> Plan + Sync, is_enough: impl Fn(&Tally) -> bool + Sync) -> Tally {
    be_quiet();
    let (next, total) = (AtomicU64::new(seed()), Mutex::new(Tally::default()));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(2, usize::from) {
            let work = || {
                while !is_enough(&total.lock().unwrap()) {
                    let tally = plan(next.fetch_add(1, Ordering::Relaxed)).run();
                    total.lock().unwrap().add(tally);
                }
            };
            let builder = thread::Builder::new().name("simulation".to_owned());
            builder.spawn_scoped(scope, work).unwrap();
        }
    });
    total.into_inner().unwrap()
}

/// Checks at least so many images, or the one that `MGIT_CUT` names.
fn nothing_is_lost(images: u64, plan: impl Fn(u64) -> Plan + Sync) {
    let start = Instant::now();
    let only = std::env::var("MGIT_CUT").ok();
    let images = if only.is_some() { 1 } else { images };
    let plan = |seed| Plan { only: only.clone(), ..plan(seed) };
    let tally = run(plan, |tally| tally.images >= images || tally.failures.len() > 5);
    println!(
        "{} images of {} histories ({} after a second or third cut, {} written to, {} looked at \
         without writing), {} failures, {:.0} s",
        tally.images,
        tally.histories,
        tally.second_cuts,
        tally.written,
        tally.looked,
        tally.failures.len(),
        start.elapsed().as_secs_f64(),
    );
    for failure in &tally.failures {
        println!("{failure}");
    }
    assert!(tally.failures.is_empty(), "{} failures", tally.failures.len());
}

#[test]
fn a_power_cut_leaves_what_was_promised() {
    nothing_is_lost(number("MGIT_IMAGES", 16_000), Plan::new);
}

#[test]
fn a_power_cut_after_faults_leaves_what_was_promised() {
    nothing_is_lost(number("MGIT_IMAGES", 16_000) / 4, |seed| Plan::new(seed).failing());
}

/// Of all failures the ways to fail, most frequent first, without what differs from one to
/// another.
fn causes(tally: &Tally) -> Vec<(usize, String)> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for failure in &tally.failures {
        let words = failure.message.split(" (the cut left").next().unwrap_or_default();
        let words = words.replace(|c: char| c.is_ascii_digit(), "");
        *counts.entry(words.chars().take(90).collect()).or_default() += 1;
    }
    let mut causes: Vec<_> = counts.into_iter().map(|(words, count)| (count, words)).collect();
    causes.sort_by(|a, b| b.cmp(a));
    causes
}

#[test]
fn a_broken_rule_is_noticed() {
    let images = number("MGIT_BROKEN_IMAGES", 600);
    for rule in Rule::ALL {
        let start = Instant::now();
        // What takes a reader shows in histories. Those that find nothing go on for a while.
        let tally = run(
            |seed| Plan::new(seed).breaking(rule),
            |tally| {
                let done = tally.images.max(tally.histories * 10);
                done >= images && (!tally.failures.is_empty() || done >= images * 10)
            },
        );
        println!(
            "rule {} ({rule:?}) broken: {} failures, {} images, {} histories, {:.0} s",
            rule.number(),
            tally.failures.len(),
            tally.images,
            tally.histories,
            start.elapsed().as_secs_f64(),
        );
        for (count, words) in causes(&tally).into_iter().take(6) {
            println!("    {count} x {words}");
        }
        assert!(!tally.failures.is_empty(), "{rule:?} can be broken unnoticed");
    }
}

#[test]
fn the_next_writer_makes_a_torn_slot_of_the_superblock_whole() {
    let (_folder, path, store) = common::new_store();
    common::add_one(&store, "kept", &[], &common::weights(1, 5000)).unwrap();
    drop(store);
    let whole = std::fs::read(&path).unwrap();
    for slot in 0..2 {
        let mut torn = whole.clone();
        torn[slot * SUPERBLOCK_LEN + 512..(slot + 1) * SUPERBLOCK_LEN].fill(0xaa);
        std::fs::write(&path, torn).unwrap();
        drop(mgit::Store::open(&path).unwrap());
        let store = mgit::Store::open_read_only(&path).unwrap();
        let slots = store.container().superblock_slots().unwrap();
        assert!(slots.iter().all(Result::is_ok), "slot {slot}: {slots:?}");
        assert_eq!(common::contents(&store.snapshot().unwrap()).unwrap().len(), 1);
    }
}

/// A base that only a cast and a difference stand on, and a model that both could stand on.
fn with_a_hidden_base(disk: &Arc<SimDisk>) -> Store {
    let store = Store::create_on(Arc::clone(disk) as Arc<_>, disk.path()).unwrap();
    let base = common::weights(1, 6000);
    let cast: Vec<u8> = base
        .chunks_exact(4)
        .flat_map(|b| {
            let value = f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
            mgit::half::bf16::from_f32(value).to_le_bytes()
        })
        .collect();
    common::add_one(&store, "base", &[], &base).unwrap();
    for (name, seed) in [("near", 2), ("far", 3)] {
        common::add_one(&store, name, &["base"], &common::nudged(&base, seed, 20)).unwrap();
    }
    let tensor = NewTensor::from_bytes("w", Dtype::Bf16, common::shape(&[6000]), &cast);
    let model = NewModel::new("cast").parent("base", How::Cast).tensor(tensor);
    common::add(&store, model).unwrap();
    let gone = common::write(&store, |t| t.remove_model("base", OnChildren::Detach)).unwrap();
    assert_eq!(gone.hidden_bases, 1);
    store
}

#[test]
fn a_power_cut_at_any_write_of_a_repacking_collection_loses_nothing() {
    let disk = SimDisk::new(Vec::new(), None);
    let store = with_a_hidden_base(&disk);
    let expected = common::contents(&store.snapshot().unwrap()).unwrap();
    let begins = disk.recording().entries.len();
    let report = gc_repack(&store, &Repack::default(), &|_| ()).unwrap();
    assert!(report.repacked.is_some_and(|it| it.freed == 1 && it.changed > 1));
    assert_eq!(report.collected.hidden_bases, 0);
    drop(store);
    let recording = disk.recording();
    let ends = recording.entries.len();
    let writes = |entry: &&Entry| matches!(entry, Entry::Write { .. });
    let writes = recording.entries[begins..].iter().filter(writes).count();
    let mut medium = Medium::new(&recording);
    let mut random = common::Random(seed());
    let (mut images, mut repacked) = (0, 0);
    for at in begins..=ends {
        medium.advance(at);
        for _ in 0..4 {
            let image = medium.cut(&mut random);
            let context = format!("MGIT_SEED={}: cut at {at}, {}", seed(), image.how);
            let disk = SimDisk::new(image.bytes, None);
            let store = Store::open_on(Arc::clone(&disk) as Arc<_>, disk.path()).unwrap();
            let whole = |store: &Store| {
                let snapshot = store.snapshot().unwrap();
                assert!(common::contents(&snapshot).unwrap() == expected, "{context}");
                common::assert_rows_add_up(&snapshot, &context);
                let found = verify(store, &snapshot, VerifyDepth::Full, &|_| ()).unwrap();
                assert!(found.is_clean(), "{context}: {:?}", found.findings);
                common::tensor_rows(&snapshot).values().all(|row| row.holders > 0)
            };
            repacked += usize::from(whole(&store));
            // Done again, it ends where it would have.
            gc_repack(&store, &Repack::default(), &|_| ()).unwrap();
            assert!(whole(&store), "{context}: a base is still hidden");
            images += 1;
        }
    }
    println!("{images} images of {writes} writes, {repacked} of them repacked");
    assert!(repacked > 0 && repacked < images);
}
