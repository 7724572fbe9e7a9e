//! What must be done before this process ends, should it be told to end: temporary files are
//! removed, commands are ended, and what was done by then can be told.
//!
//! Invariants of this room:
//!
//! - What is decided at one moment (a commit, a file that gets its name) goes through `critical`:
//!   [`interrupt`] waits for it, and nothing of the kind begins behind it.
//! - A temporary file, and a command, is known here from the moment it exists.
//! - No signal handler is installed here: a program that wants one calls [`interrupt`] from a
//!   thread that it wakes.

#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod commands;
mod done;
mod temporaries;

use std::sync::atomic::Ordering;

pub(crate) use commands::{reap, start};
pub use done::{Done, done};
pub(crate) use done::{critical, note_commit, note_written};
pub(crate) use temporaries::{Registered, register, remove};

/// Ends what this process has under way, because it is told to end: its commands, and what they
/// have started in their process groups; then, when a commit or a renaming that has begun is
/// complete, its temporary files and folders. No transaction commits behind this, no file gets its
/// name, and a thread that tries waits for ever: the caller ends the process. Returns what was done
/// by then. Cost: up to a second for commands that do not end when they are asked to.
pub fn interrupt() -> Done {
    done::INTERRUPTED.store(true, Ordering::SeqCst);
    commands::ask_to_end();
    let gate = done::GATE.write().unwrap_or_else(std::sync::PoisonError::into_inner);
    // Never opened again.
    std::mem::forget(gate);
    commands::end();
    temporaries::remove_all();
    done()
}
