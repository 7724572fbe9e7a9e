//! The threads that decode and encode: of this process.
//!
//! A child that a process forks has none of its threads, and work that is handed to rayon's pool
//! there would wait for ever. So the engine's work of a child runs in a pool that the child makes.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

/// The process that imported the module; its pool is rayon's own.
static IMPORTED_IN: OnceLock<u32> = OnceLock::new();
/// The process that made the pool that `POOL` is of.
static POOL_OF: AtomicU32 = AtomicU32::new(0);
static POOL: Mutex<Option<&'static rayon::ThreadPool>> = Mutex::new(None);

/// Notes which process this is.
pub(crate) fn remember_process() {
    IMPORTED_IN.get_or_init(std::process::id);
}

/// Runs `work` where what it spreads over threads finds some.
pub(crate) fn install<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let process = std::process::id();
    if IMPORTED_IN.get() == Some(&process) {
        return work();
    }
    match pool_of(process) {
        Some(pool) => pool.install(work),
        // No thread can be had: rayon's own then fails as well, and says so.
        None => work(),
    }
}

/// The pool of a forked child. It is never dropped: what a grandchild has of it are no threads.
fn pool_of(process: u32) -> Option<&'static rayon::ThreadPool> {
    let mut pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
    if POOL_OF.load(Ordering::Relaxed) != process {
        let made = rayon::ThreadPoolBuilder::new().build().ok();
        *pool = made.map(|pool| &*Box::leak(Box::new(pool)));
        POOL_OF.store(process, Ordering::Relaxed);
    }
    *pool
}
