//! The process groups of the commands that run.

use std::collections::BTreeSet;
use std::io;
use std::process::Child;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

use super::done::INTERRUPTED;

/// The first processes of the groups. A number is here as long as its process is not reaped, so
/// that nobody else can have it.
static GROUPS: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

/// How often commands that were asked to end are looked at, and how many times.
const LOOK: Duration = Duration::from_millis(10);
const LOOKS: u32 = 100;

fn groups() -> MutexGuard<'static, BTreeSet<i32>> {
    GROUPS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts a command in a process group of its own. Never returns behind an interruption.
pub(crate) fn start(spawn: impl FnOnce() -> io::Result<Child>) -> io::Result<Child> {
    let mut groups = groups();
    while INTERRUPTED.load(Ordering::SeqCst) {
        drop(groups);
        std::thread::park();
        groups = self::groups();
    }
    let child = spawn()?;
    groups.extend(i32::try_from(child.id()));
    Ok(child)
}

/// Waits for a command that has ended, or was killed.
pub(crate) fn reap(child: &mut Child) -> io::Result<std::process::ExitStatus> {
    let mut groups = groups();
    if let Ok(pid) = i32::try_from(child.id()) {
        groups.remove(&pid);
    }
    child.wait()
}

fn signal(groups: &BTreeSet<i32>, signal: Signal) {
    for pid in groups.iter().filter_map(|pid| Pid::from_raw(*pid)) {
        // Fails only when nobody is left.
        let _ = kill_process_group(pid, signal);
    }
}

pub(super) fn ask_to_end() {
    signal(&groups(), Signal::TERM);
}

/// Waits until the commands have ended, which others see and reap, and kills those that do not.
pub(super) fn end() {
    for _ in 0..LOOKS {
        if groups().is_empty() {
            return;
        }
        std::thread::sleep(LOOK);
    }
    let groups = groups();
    signal(&groups, Signal::KILL);
    // What was killed is gone in a moment, whether anybody reaps it or not.
    drop(groups);
    std::thread::sleep(LOOK);
}
