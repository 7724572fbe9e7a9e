//! Calls of a disk that fail.

use std::io;

/// What the error of a planned fault says.
pub const PLANNED: &str = "planned fault";

/// A kind of call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// Reads; one that fails has filled half of its buffer.
    Read,
    /// Writes; one that fails has written half of its bytes.
    Write,
    /// Syncs.
    Sync,
    /// Changes of the length.
    SetLen,
    /// Writes, syncs and changes of the length.
    AnyChange,
}

/// What becomes of unsynced writes when a sync fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// They stay unsynced: the next sync brings them to the medium.
    Nothing,
    /// Some are never written, though they can be read until the power goes.
    Silently,
    /// Some are gone at once: reads show what was there before.
    Visibly,
}

/// Which call of a disk fails, and how.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// Which calls count.
    pub call: Call,
    /// The number, from 1, of the one that fails.
    pub at: u64,
    /// Whether all behind it fail too.
    pub for_ever: bool,
    /// The error.
    pub kind: io::ErrorKind,
    /// What a failed sync drops.
    pub dropped: Dropped,
}

impl Fault {
    /// A fault that drops nothing.
    pub fn new(call: Call, at: u64, for_ever: bool, kind: io::ErrorKind) -> Self {
        Fault { call, at, for_ever, kind, dropped: Dropped::Nothing }
    }
}

/// A fault that waits for its call.
#[derive(Debug, Default)]
pub(super) struct Faults {
    armed: Option<Fault>,
    count: u64,
    /// How many calls have failed.
    pub(super) failed: u64,
}

impl Faults {
    pub(super) fn arm(&mut self, fault: Option<Fault>) {
        *self = Faults { armed: fault, count: 0, failed: 0 };
    }

    /// No call fails any more; what has failed is still known.
    pub(super) fn heal(&mut self) {
        self.armed = None;
    }

    /// Counts a call. `Some` when it fails.
    pub(super) fn meet(&mut self, call: Call) -> Option<(io::Error, Dropped)> {
        let fault = self.armed?;
        let counts = fault.call == call || (fault.call == Call::AnyChange && call != Call::Read);
        if !counts {
            return None;
        }
        self.count += 1;
        let fails = self.count == fault.at || (fault.for_ever && self.count > fault.at);
        self.failed += u64::from(fails);
        fails.then(|| (io::Error::new(fault.kind, PLANNED), fault.dropped))
    }
}
