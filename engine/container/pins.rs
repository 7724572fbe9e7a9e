//! Which commits are being read, in this process and in others.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::error::ContainerError;
use super::locks::lock_error;
use super::locks::{
    LockSpace, REGISTER_LOCK_BYTE, SNAPSHOT_LOCK_BASE, SNAPSHOT_LOCK_END, byte, bytes,
};
use crate::format::FormatError;

/// How often a writer tries to look at snapshots while readers register some.
const REGISTER_TRIES: usize = 8;
/// How long it waits in between: longer than registering takes.
const REGISTER_PAUSE: Duration = Duration::from_micros(200);

/// The snapshots of one open store, announced to other processes by lock bytes.
#[derive(Debug)]
pub(crate) struct Pins {
    locks: Box<dyn LockSpace>,
    /// Commit sequence -> snapshots of it in this process. Also keeps registering and scanning
    /// apart inside the process, where the lock bytes do not conflict.
    counts: Mutex<BTreeMap<u64, usize>>,
}

/// Keeps what was committed at one sequence number readable, until it is dropped.
#[derive(Debug)]
pub(crate) struct Pin {
    pins: Arc<Pins>,
    sequence: u64,
}

/// The lock byte of a snapshot of commit `sequence`.
fn snapshot_byte(sequence: u64) -> Result<u64, ContainerError> {
    // The catalogue's own locks begin at 2^62.
    let at = SNAPSHOT_LOCK_BASE.checked_add(sequence).filter(|at| *at < SNAPSHOT_LOCK_END);
    at.ok_or_else(|| {
        let expected = format!("below {}", SNAPSHOT_LOCK_END - SNAPSHOT_LOCK_BASE);
        FormatError::new("commit number", 0, expected, sequence).into()
    })
}

impl Pins {
    pub(super) fn new(locks: Box<dyn LockSpace>) -> Arc<Self> {
        Arc::new(Pins { locks, counts: Mutex::default() })
    }

    /// Runs `begin`, which begins to read and tells the commit it reads, and pins that commit. No
    /// writer decides what is free between the two.
    ///
    /// # Errors
    ///
    /// Those of `begin`, and lock calls that fail.
    pub(crate) fn register<T, E: From<ContainerError>>(
        self: &Arc<Self>,
        begin: impl FnOnce() -> Result<(u64, T), E>,
    ) -> Result<(Pin, T), E> {
        let mut counts = self.counts.lock().map_err(|_| ContainerError::Poisoned)?;
        self.locks.lock(byte(REGISTER_LOCK_BYTE), true).map_err(lock_error)?;
        let result = begin().and_then(|(sequence, value)| {
            if !counts.contains_key(&sequence) {
                let at = snapshot_byte(sequence)?;
                self.locks.lock(byte(at), true).map_err(lock_error)?;
            }
            *counts.entry(sequence).or_default() += 1;
            Ok((Pin { pins: Arc::clone(self), sequence }, value))
        });
        let released = self.locks.unlock(byte(REGISTER_LOCK_BYTE)).map_err(lock_error);
        // The pin, if there is one, is dropped only after the lock on the counts.
        drop(counts);
        let value = result?;
        released?;
        Ok(value)
    }

    /// The lowest of `sequences` (ascending) that some snapshot older than it still needs, in any
    /// process; everything freed before it may be reused. `None`: all may be reused.
    ///
    /// # Errors
    ///
    /// Lock calls that fail.
    pub(crate) fn first_needed(&self, sequences: &[u64]) -> Result<Option<u64>, ContainerError> {
        let (Some(first), Some(last)) = (sequences.first(), sequences.last()) else {
            return Ok(None);
        };
        let counts = self.counts.lock().map_err(|_| ContainerError::Poisoned)?;
        // Without waiting for long: readers that are always just registering mean "look again
        // later".
        let mut tries = REGISTER_TRIES;
        while !self.locks.try_lock(byte(REGISTER_LOCK_BYTE), false).map_err(lock_error)? {
            tries -= 1;
            if tries == 0 {
                return Ok(Some(*first));
            }
            std::thread::sleep(REGISTER_PAUSE);
        }
        let oldest = self.oldest(&counts, *last);
        self.locks.unlock(byte(REGISTER_LOCK_BYTE)).map_err(lock_error)?;
        let oldest = oldest?;
        Ok(oldest.and_then(|oldest| sequences.iter().copied().find(|freed| oldest < *freed)))
    }

    /// The oldest commit below `bound` that a snapshot in any process reads.
    fn oldest(
        &self,
        counts: &BTreeMap<u64, usize>,
        bound: u64,
    ) -> Result<Option<u64>, ContainerError> {
        snapshot_byte(bound)?;
        let held = |low: u64, high: u64| {
            let range = bytes(SNAPSHOT_LOCK_BASE + low..SNAPSHOT_LOCK_BASE + high);
            self.locks.is_locked(range).map_err(lock_error)
        };
        let local = counts.keys().next().copied().filter(|oldest| *oldest < bound);
        let (mut low, mut high) = (0, local.unwrap_or(bound));
        if low == high || !held(low, high)? {
            return Ok(local);
        }
        // Some other process pins a commit in low..high: find the lowest by halving.
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if held(low, middle)? { high = middle } else { low = middle }
        }
        Ok(Some(low))
    }

    /// The oldest commit that a snapshot in any process reads, up to and including `current`.
    ///
    /// # Errors
    ///
    /// Lock calls that fail.
    pub(crate) fn oldest_reader(&self, current: u64) -> Result<Option<u64>, ContainerError> {
        let counts = self.counts.lock().map_err(|_| ContainerError::Poisoned)?;
        self.oldest(&counts, current.saturating_add(1))
    }
}

impl Pin {
    /// The commit that is kept readable.
    pub(crate) fn sequence(&self) -> u64 {
        self.sequence
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        let Ok(mut counts) = self.pins.counts.lock() else { return };
        if let Some(count) = counts.get_mut(&self.sequence) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.sequence);
                // A failure leaves the byte locked: the writer then waits longer than it must.
                let _ = self.pins.locks.unlock(byte(SNAPSHOT_LOCK_BASE + self.sequence));
            }
        }
    }
}
