//! The processor: the threads that work side by side, where the system gives so little address
//! space that they may not be had (rayon would panic in the middle of a command), and which of its
//! instructions are used.

use std::num::NonZero;

use mgit::codec::{CPU_VARIABLE, Cpu};
use rayon::ThreadPoolBuilder;

use crate::failure::Failure;

/// Address space for a thread: its stack, its heap, and what it works on.
const OF_A_THREAD: u64 = 128 << 20;

/// The number of threads that fit into this number of bytes of address space.
fn threads_in(bytes: u64) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let wanted = std::env::var("RAYON_NUM_THREADS").ok().and_then(|text| text.parse().ok());
    let wanted = wanted.filter(|wanted| *wanted > 0).unwrap_or(cores);
    let room = usize::try_from(bytes / OF_A_THREAD).unwrap_or(usize::MAX);
    wanted.min(room).max(1)
}

/// Refuses a value of `MGIT_CPU` that names no instructions: the library would not use it, and say
/// nothing. That the processor has no such instructions is no fault: narrower ones are used.
///
/// # Errors
///
/// As told.
pub fn check_instructions() -> Result<(), Failure> {
    let Some(value) = std::env::var_os(CPU_VARIABLE) else { return Ok(()) };
    let name = value.to_string_lossy();
    match name.parse::<Cpu>() {
        Ok(_) => Ok(()),
        Err(error) => Err(Failure::usage(format!("{CPU_VARIABLE}: {error}"))),
    }
}

/// Where address space is limited, starts as many threads as there is room for, or one. (Elsewhere
/// they start when they are first needed.)
///
/// # Errors
///
/// Not even one can be had.
pub fn start() -> Result<(), Failure> {
    let limit = rustix::process::getrlimit(rustix::process::Resource::As).current;
    let Some(bytes) = limit else { return Ok(()) };
    let built = ThreadPoolBuilder::new().num_threads(threads_in(bytes)).build_global();
    built.map_err(|error| {
        let message = format!(
            "cannot start a thread: {error}; allow the program more address space (`ulimit -v`)"
        );
        Failure::failed("out-of-memory", message)
    })
}
