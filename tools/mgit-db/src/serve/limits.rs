//! How much the process gives to all clients together, and how long it waits for one.

use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Connections at most, where the system allows as many open files.
const CONNECTIONS_MAX: u64 = 16_384;
/// Files that are not connections: stores, standard streams.
const OTHER_FILES: u64 = 64;

/// How much the process gives to all clients together, and how long it waits for one.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at the same time.
    pub connections: usize,
    /// Bodies of files that are being sent at the same time.
    pub downloads: usize,
    /// For a request's head, from the first moment of the connection, or from the last answer; for
    /// its body; for a place among the downloads; and for each [`least`](Self::least) bytes of an
    /// answer.
    pub patience: Duration,
    /// What a client takes in that time, or it is cut off.
    pub least: u64,
    /// For downloads that run when the process is told to end.
    pub farewell: Duration,
}

impl Limits {
    /// The usual ones, with as many connections as this process may have. Raises the number of open
    /// files to what the system allows at most.
    pub fn new(downloads: usize, patience: Duration) -> Self {
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        let wanted = CONNECTIONS_MAX + OTHER_FILES;
        let allowed = maximum.unwrap_or(u64::MAX).min(wanted);
        let mut files = current.unwrap_or(u64::MAX);
        if files < allowed
            && setrlimit(Resource::Nofile, Rlimit { current: Some(allowed), maximum }).is_ok()
        {
            files = allowed;
        }
        let connections = files.saturating_sub(OTHER_FILES).clamp(1, CONNECTIONS_MAX);
        Limits {
            connections: connections as usize,
            downloads,
            patience,
            least: 64 << 10,
            farewell: Duration::from_secs(10),
        }
    }
}
