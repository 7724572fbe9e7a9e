//! Every target over every seed and some mutations of each, on a stable compiler:
//!
//! ```text
//! smoke MUTATIONS [TARGET] [SEED]
//! ```
//!
//! The same arguments give the same inputs, as many as fit into the time of a seed. An input that makes a target panic, take more than
//! ten seconds or allocate more than 512 MiB is a finding: its number and bytes are kept in the
//! system's temporary folder, and the exit code is 1 (or, for memory, the process aborts; the
//! input that was running lies there too).

use std::alloc::{GlobalAlloc, Layout, System};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use mgit_fuzz::mutate::{Random, mutate};
use mgit_fuzz::{TARGETS, Target};

const MEMORY_MAX: usize = 512 << 20;
const TIME_MAX: Duration = Duration::from_secs(10);
/// A seed's mutations end after this long, however many were asked for: whole histories of a store
/// take a thousand times as long as a header. `MGIT_SMOKE_SECONDS` gives another bound.
const SEED_SECONDS: u64 = 10;

/// The system's allocator with a bound: a request beyond it fails.
struct Bounded;

static IN_USE: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is handed to the system's allocator as it came, or answered with null, which
// is what an allocator answers when it has no memory.
unsafe impl GlobalAlloc for Bounded {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let before = IN_USE.fetch_add(layout.size(), Ordering::Relaxed);
        if before.saturating_add(layout.size()) > MEMORY_MAX {
            IN_USE.fetch_sub(layout.size(), Ordering::Relaxed);
            return std::ptr::null_mut();
        }
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Bounded = Bounded;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let count = arguments.next().map(|text| text.parse());
    let Some(Ok(count)) = count else {
        eprintln!("usage: smoke MUTATIONS [TARGET] [SEED]");
        return ExitCode::from(2);
    };
    let only = arguments.next();
    let seed: u64 = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(1);
    // Panics inside the database are caught by the catalogue, and would fill the screen.
    std::panic::set_hook(Box::new(|_| ()));
    let mut found = 0;
    for target in TARGETS.iter().filter(|target| only.as_ref().is_none_or(|o| o == target.name)) {
        found += run_target(target, count, seed);
    }
    if found == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn seeds(target: &Target) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target.name);
    let entries = std::fs::read_dir(&folder).expect("the folder of seeds");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("a seed").path()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).expect("a seed")).collect()
}

fn run_target(target: &Target, count: usize, seed: u64) -> usize {
    let start = Instant::now();
    let seeds = seeds(target);
    assert!(!seeds.is_empty(), "{} has no seeds", target.name);
    let kept = std::env::temp_dir().join(format!("mgit-fuzz-{}", target.name));
    let seconds = std::env::var("MGIT_SMOKE_SECONDS").ok().and_then(|text| text.parse().ok());
    let bound = Duration::from_secs(seconds.unwrap_or(SEED_SECONDS));
    let (mut found, mut slowest, mut inputs) = (0, Duration::ZERO, 0usize);
    for (place, original) in seeds.iter().enumerate() {
        let mut random = Random::new(seed.wrapping_mul(0x1_0001).wrapping_add(place as u64));
        let begun = Instant::now();
        for number in 0..=count {
            if number > 0 && begun.elapsed() > bound {
                break;
            }
            inputs += 1;
            let mut input = original.clone();
            if number > 0 {
                let other = &seeds[random.below(seeds.len())];
                mutate(&mut random, &mut input, other);
                if random.below(2) == 0 {
                    (target.repair)(&mut input);
                }
            }
            if ["open_store", "salvage"].contains(&target.name) {
                // Should memory run out, this is what remains.
                let _ = std::fs::write(&kept, &input);
            }
            let began = Instant::now();
            let outcome = catch_unwind(AssertUnwindSafe(|| (target.run)(&input)));
            let took = began.elapsed();
            slowest = slowest.max(took);
            if outcome.is_ok() && took < TIME_MAX {
                continue;
            }
            found += 1;
            let path = kept.with_extension(format!("{place}.{number}"));
            let _ = std::fs::write(&path, &input);
            let message = outcome.err().map_or_else(
                || format!("took {took:?}"),
                |panic| match panic.downcast_ref::<String>() {
                    Some(text) => text.clone(),
                    None => panic.downcast_ref::<&str>().map_or_else(String::new, |t| (*t).into()),
                },
            );
            println!("FOUND {} {}: {message}", target.name, path.display());
            if found == 20 {
                return found;
            }
        }
    }
    let _ = std::fs::remove_file(&kept);
    println!(
        "{}: {} seeds, {inputs} inputs, {found} findings, {:.1} s, slowest {:.1} ms",
        target.name,
        seeds.len(),
        start.elapsed().as_secs_f64(),
        slowest.as_secs_f64() * 1e3
    );
    found
}
