//! The threads that work side by side, where the system gives so little memory that they may not be
//! had: rayon would panic in the middle of a command.

use rayon::ThreadPoolBuilder;

use crate::failure::Failure;

/// With less address space than this the threads are tried first.
const TRIED_BELOW: u64 = 1 << 30;

/// The bytes of address space that the process may have, where that is limited.
fn address_space() -> Option<u64> {
    rustix::process::getrlimit(rustix::process::Resource::As).current
}

/// Sees to it that there are threads: as many as there are cores, or else one.
///
/// # Errors
///
/// Not even one can be had.
pub fn start() -> Result<(), Failure> {
    if address_space().is_none_or(|bytes| bytes >= TRIED_BELOW) {
        return Ok(());
    }
    // What fails to become the program's own threads cannot be tried again: so others first.
    let whole = ThreadPoolBuilder::new().build();
    let built = match whole {
        Ok(tried) => {
            drop(tried);
            ThreadPoolBuilder::new().build_global()
        }
        Err(_) => ThreadPoolBuilder::new().num_threads(1).build_global(),
    };
    built.map_err(|error| {
        let message = format!(
            "cannot start a thread: {error}; allow the program more address space (ulimit -v)"
        );
        Failure::failed("out-of-memory", message)
    })
}
