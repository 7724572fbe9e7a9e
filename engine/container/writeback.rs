//! Telling the system to begin with what a sync will wait for.

use std::fs::File;

/// A write from this length on is worth its own call.
pub const WRITEBACK_FROM: usize = 1 << 18;

/// Begins to bring a range that was just written to the medium, and does not wait: a sync later
/// then has less to wait for, while the caller goes on. Promises nothing: durability is the
/// sync's alone, and so are the errors, which this neither reports nor takes away from it.
pub fn start_writeback(file: &File, offset: u64, len: u64) {
    use std::os::fd::AsRawFd;

    let (Ok(offset), Ok(len)) = (i64::try_from(offset), i64::try_from(len)) else { return };
    // SAFETY: the descriptor is open as long as `file` is borrowed; the call reads no memory.
    unsafe { libc::sync_file_range(file.as_raw_fd(), offset, len, libc::SYNC_FILE_RANGE_WRITE) };
}
