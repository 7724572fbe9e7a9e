//! A virtual machine's memory that its host takes back while something is measured.
//!
//! A guest may report its free pages to the host, which takes them; each costs a fault of the host
//! when it is next written, 4 ms for each MiB on the machine where this was seen: fifteen times
//! what writing to the page cache takes otherwise. Which contestant meets such pages is chance. The
//! kernel there counts what it reports; elsewhere nothing is watched.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A measurement is tried so often before one that was disturbed counts.
const TRIES: usize = 6;

/// Whether anything was reported during the last thing that was timed.
static DISTURBED: AtomicBool = AtomicBool::new(false);

/// What the guest has reported so far, where its kernel tells.
fn reported() -> Option<u64> {
    let told = fs::read_to_string("/sys/module/page_reporting/parameters/reported_kib").ok()?;
    told.trim().parse().ok()
}

/// Watches while something is timed.
pub struct Watch(Option<u64>);

impl Watch {
    pub fn start() -> Self {
        Watch(reported())
    }

    pub fn stop(self) {
        if reported() != self.0 {
            DISTURBED.store(true, Ordering::Relaxed);
        }
    }
}

/// What `run` takes, run again where it was disturbed; whether the last was so too.
pub fn undisturbed(run: &mut dyn FnMut() -> Duration) -> (Duration, bool) {
    let mut took = Duration::ZERO;
    for _ in 0..TRIES {
        DISTURBED.store(false, Ordering::Relaxed);
        took = run();
        if !DISTURBED.load(Ordering::Relaxed) {
            return (took, false);
        }
    }
    (took, true)
}

/// Has the host give memory for `bytes` in the page cache, which is free then.
pub fn fill_memory(folder: &Path, bytes: u64) {
    let path = folder.join("memory");
    let mut file = File::create(&path).expect("a file");
    let piece = vec![1; 1 << 20];
    for _ in 0..bytes.div_ceil(1 << 20) {
        file.write_all(&piece).expect("room");
    }
    drop(file);
    fs::remove_file(&path).expect("the file is there");
}
