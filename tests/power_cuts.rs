//! Promise: whenever the power goes, the store opens afterwards, every commit that was promised is
//! whole, nothing uncommitted shows, a full check finds nothing, and the store can be written to
//! and cut off again.
//!
//! `MGIT_IMAGES` says how many images are checked at least (a quarter as many again with faults),
//! `MGIT_BROKEN_IMAGES` how many for each broken rule, `MGIT_SEED` and `MGIT_CUT` run a failure
//! again: `docs/reliability.md` has the commands.

mod common;
mod simulation;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use common::seed;
use mgit::format::SUPERBLOCK_LEN;
use simulation::crash::{Plan, Tally};
use simulation::disk::Rule;

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
