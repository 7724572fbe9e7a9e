//! Whether standard output was closed when the tool was started.
//!
//! Before `main`, Rust's runtime opens `/dev/null` in the place of a standard stream that is
//! closed, so that no file gets its number. What is written there is lost without an error: a
//! command such as `export STORE MODEL - >&-` would say that all was done. So the descriptor is
//! looked at before the runtime does that.

use std::sync::atomic::{AtomicBool, Ordering};

static WAS_CLOSED: AtomicBool = AtomicBool::new(false);

/// Whether nobody gave this process a standard output.
pub fn was_closed() -> bool {
    WAS_CLOSED.load(Ordering::Relaxed)
}

extern "C" fn look() {
    // SAFETY: the call asks for the flags of a number and touches no memory; the number need not be
    // an open descriptor. Nothing here needs the runtime, which has not begun.
    let flags = unsafe { libc::fcntl(libc::STDOUT_FILENO, libc::F_GETFD) };
    WAS_CLOSED.store(flags == -1, Ordering::Relaxed);
}

// SAFETY: functions of this section are called once each, by the loader, on the thread that will
// run `main`, with arguments that an `extern "C"` function without parameters may ignore.
#[used]
#[unsafe(link_section = ".init_array")]
static LOOK: extern "C" fn() = look;
