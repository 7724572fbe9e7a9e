//! Which process holds a lock, where the system tells.

use std::fs;
use std::path::Path;

use super::disk::FileId;
use super::locks::WRITER_LOCK_BYTE;
use super::process::Process;

/// Letters of a process's command line that are kept.
const COMMAND_LEN_MAX: usize = 80;

/// The process that has the writer's byte of this file locked exclusively. A lock of an open file
/// description has no process of its own for the system, so that neither `F_OFD_GETLK` nor
/// `/proc/locks` tells one: what is asked is which process has that description open. `None` where
/// that cannot be seen: in another's process, on another machine, or where there is no such `/proc`.
///
/// A process that was forked from the holder has the description too, if only until it runs another
/// program: of a holder and its children the holder is told.
///
/// Cost: a look at every open file of every process of this user.
pub(super) fn writer_of(file: FileId) -> Option<Process> {
    let processes = fs::read_dir("/proc").ok()?;
    let pids = processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let own = std::process::id();
    // This process last: it is the likeliest to come by a copy of the lock it waits for.
    let mut pids: Vec<u32> = pids.filter(|pid| *pid != own).collect();
    pids.push(own);
    let found = pids.into_iter().find_map(|pid| {
        // Asked before: a child may have ended by the time that its files are read.
        let parent = parent_of(pid);
        holds(pid, file)?.then_some((pid, parent))
    });
    let (mut pid, mut parent) = found?;
    while let Some(older) = parent.filter(|it| holds(*it, file) == Some(true)) {
        (pid, parent) = (older, parent_of(older));
    }
    Some(Process { pid, command: command_of(pid) })
}

/// The process that a process was forked from, or that took it over.
fn parent_of(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // After the name, which may hold anything: a letter of state, then the parent.
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// Whether a process has a description of the file open that locks the writer's byte.
fn holds(pid: u32, file: FileId) -> Option<bool> {
    let process = Path::new("/proc").join(pid.to_string());
    for descriptor in fs::read_dir(process.join("fd")).ok()?.flatten() {
        // Through the link, to the file that is open there.
        let is_file = fs::metadata(descriptor.path()).is_ok_and(|it| FileId::of(&it) == file);
        if !is_file {
            continue;
        }
        let info = fs::read_to_string(process.join("fdinfo").join(descriptor.file_name()));
        if info.is_ok_and(|info| info.lines().any(locks_writer_byte)) {
            return Some(true);
        }
    }
    Some(false)
}

/// Whether a line of `fdinfo` is an exclusive lock of the writer's byte, such as
/// `lock: 1: OFDLCK  ADVISORY  WRITE -1 08:01:1234 2305843009213693952 2305843009213693952`.
fn locks_writer_byte(line: &str) -> bool {
    let mut words = line.split_whitespace();
    let is_lock = words.next() == Some("lock:") && words.any(|word| word == "WRITE");
    let mut ends = words.skip(2);
    let (start, end) = (ends.next(), ends.next());
    let start: Option<u64> = start.and_then(|it| it.parse().ok());
    let end: Option<u64> =
        end.and_then(|it| if it == "EOF" { Some(u64::MAX) } else { it.parse().ok() });
    let covers = start.zip(end).is_some_and(|(a, b)| (a..=b).contains(&WRITER_LOCK_BYTE));
    is_lock && covers
}

fn command_of(pid: u32) -> String {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words: Vec<_> = bytes.split(|byte| *byte == 0).filter(|word| !word.is_empty()).collect();
    let line = String::from_utf8_lossy(&words.join(&b' ')).into_owned();
    let shown = |c: char| if c.is_control() { '?' } else { c };
    let mut short: String = line.chars().take(COMMAND_LEN_MAX).map(shown).collect();
    if short.len() < line.len() {
        short += "...";
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_locks_are_read() {
        let byte = WRITER_LOCK_BYTE;
        let line = |kind: &str, start: u64, end: &str| {
            format!("lock:\t1: OFDLCK  ADVISORY  {kind} -1 fd:00:1234 {start} {end}")
        };
        assert!(locks_writer_byte(&line("WRITE", byte, &byte.to_string())));
        assert!(locks_writer_byte(&line("WRITE", 0, "EOF")));
        assert!(!locks_writer_byte(&line("READ", byte, &byte.to_string())));
        assert!(!locks_writer_byte(&line("WRITE", byte + 1, "EOF")));
        for other in ["", "pos:\t0", "lock:", "lock:\t1: OFDLCK  ADVISORY  WRITE"] {
            assert!(!locks_writer_byte(other), "{other}");
        }
    }
}
