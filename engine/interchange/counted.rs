//! Numbers of things, in notes.

/// `1 storage`, `3 storages`.
pub(super) fn counted(count: u64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}
