//! A store written anew, without what it does not need, in the place of the old one.

use std::fs::{File, Metadata};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use super::copy::{Copied, copy_onto, refuse_unknown_features};
use super::new_store::Unnamed;
use super::{CopyReport, UpkeepError};
use crate::container::{TemporaryKind, folder_of, sweep};
use crate::shutdown::critical;
use crate::store::OpenOptions;

/// Writes the store at `path` anew, without free space, and gives the new file its name: nobody
/// ever finds anything but a whole store there. The new file keeps store id, commit number, mode
/// and owner; a link at `path` goes on leading to it. Readers of the old file keep what they see,
/// and are told to open again when they ask for more; the old file goes when the last one closes
/// it. No other writer is let in meanwhile. Needs room for the new file beside the old one.
///
/// Cost: that of a [backup](super::backup).
///
/// # Errors
///
/// [`UpkeepError::Damaged`]; [`UpkeepError::Linked`] for a file with a second name; a lock that is
/// held; those of the disk. The store is then as it was, unless the message says that only the
/// folder could not be synced.
pub fn vacuum(
    path: impl AsRef<Path>,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<CopyReport, UpkeepError> {
    let path = path.as_ref();
    vacuum_with(path, &OpenOptions::new(), progress)
}

/// As [`vacuum`], waiting for other writers as the options say.
///
/// # Errors
///
/// As there.
pub fn vacuum_with(
    path: impl AsRef<Path>,
    options: &OpenOptions,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<CopyReport, UpkeepError> {
    let path = path.as_ref();
    let store = options.clone().lock_per_transaction(false).open(path)?;
    let resolved = path.canonicalize();
    let path = resolved.as_deref().unwrap_or(path);
    refuse_unknown_features(&store)?;
    let old = std::fs::metadata(path).map_err(UpkeepError::target(path))?;
    if old.nlink() > 1 {
        return Err(UpkeepError::Linked { path: path.to_owned(), names: old.nlink() });
    }
    // It needs much room: also what was left behind since this process began goes first.
    sweep(folder_of(path));
    let snapshot = store.snapshot()?;
    let unnamed = Unnamed::create(path, TemporaryKind::Vacuum, 0o600)?;
    // The new file's lock is held too until the old one says that it was replaced.
    let (made, copied) = copy_onto(unnamed.disk()?, path, &store, &snapshot, progress)?;
    keep_access(unnamed.file(), &old).map_err(UpkeepError::target(path))?;
    critical(|| {
        unnamed.publish(true)?;
        // The store at `path` is the new one already. A failure leaves readers of the old file
        // with what they see, and writers look at the file's id as well.
        let _ = store.container().retire();
        Ok::<(), UpkeepError>(())
    })?;
    let (commit, old_bytes) = (snapshot.sequence(), store.container().disk_len()?);
    drop(snapshot);
    // Closing it is the last that is written to the new file.
    drop(made);
    let new_bytes = std::fs::metadata(path).map_err(UpkeepError::target(path))?.len();
    let Copied { models, records } = copied;
    Ok(CopyReport { commit, models, records, old_bytes, new_bytes })
}

/// Writes what `store` has onto an empty disk, as [`vacuum`] does before it gives the new file its
/// name; `path` is only remembered. Whoever puts that disk in the place of the old one
/// [retires](crate::container::Container::retire) the old store then. No commit may be made to it
/// meanwhile.
///
/// # Errors
///
/// Those of [`vacuum`] that are not about files. What is on the disk is then nothing.
#[cfg(feature = "unstable-format")]
pub fn vacuum_onto(
    disk: std::sync::Arc<dyn crate::container::Disk>,
    path: impl AsRef<Path>,
    store: &crate::store::Store,
) -> Result<crate::store::Store, UpkeepError> {
    let path = path.as_ref();
    refuse_unknown_features(store)?;
    let (made, _) = copy_onto(disk, path, store, &store.snapshot()?, &|_| ())?;
    Ok(made)
}

/// Gives the new file owner, group and mode of the old one.
fn keep_access(new: &File, old: &Metadata) -> std::io::Result<()> {
    let now = new.metadata()?;
    if (now.uid(), now.gid()) != (old.uid(), old.gid()) {
        std::os::unix::fs::fchown(new, Some(old.uid()), Some(old.gid()))?;
    }
    new.set_permissions(std::fs::Permissions::from_mode(old.mode() & 0o7777))
}
