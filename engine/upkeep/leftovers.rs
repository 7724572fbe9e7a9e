//! Temporary files of a vacuum that was killed.

use std::path::Path;

use crate::container::folder_of;

/// Removes the regular files beside `path` whose names begin with `prefix`, and says how many.
/// The caller holds the lock that everyone who makes such files holds. What cannot be removed
/// stays: it only takes room.
pub(super) fn remove_leftovers(path: &Path, prefix: &str) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder_of(path)) else { return 0 };
    let ours = entries.flatten().filter(|entry| {
        entry.file_name().to_string_lossy().starts_with(prefix)
            && entry.file_type().is_ok_and(|kind| kind.is_file())
    });
    ours.filter(|entry| std::fs::remove_file(entry.path()).is_ok()).count() as u64
}
