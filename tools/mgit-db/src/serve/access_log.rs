//! What is said on standard error: a line for each request that was answered, and faults.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::Instant;

use crate::text::{shown, timestamp};

/// Tells who runs the server of a fault that is not the client's, at what was asked for.
pub fn tell(asked: &str, message: &str) {
    // Nobody may be reading.
    let _ = writeln!(io::stderr(), "error: {}: {}", shown(asked), shown(message));
}

/// What is known of a request; its line is written when this is dropped, which the body's end does.
#[derive(Debug)]
pub struct Entry {
    is_wanted: bool,
    began: Instant,
    peer: SocketAddr,
    method: String,
    target: String,
    /// The status that was answered.
    pub status: u16,
    /// The bytes of the body that were handed on.
    pub sent: u64,
    /// Whether the body came to its end.
    pub is_whole: bool,
}

impl Entry {
    /// A request that begins now.
    pub fn new(is_wanted: bool, peer: SocketAddr, method: &str, target: &str) -> Self {
        let (method, target) = match is_wanted {
            true => (shown(method), shown(target)),
            false => (String::new(), String::new()),
        };
        let (status, sent, is_whole) = (0, 0, true);
        Entry { is_wanted, began: Instant::now(), peer, method, target, status, sent, is_whole }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if !self.is_wanted {
            return;
        }
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let now = timestamp(now.map_or(0, |now| now.as_millis() as u64));
        let Entry { peer, method, target, status, sent, is_whole, .. } = self;
        let ms = self.began.elapsed().as_millis();
        let cut = if *is_whole { "" } else { " cut off" };
        // Nobody may be reading.
        let _ =
            writeln!(io::stderr(), "{now} {peer} {method} {target} {status} {sent} {ms}ms{cut}");
    }
}
