//! Freeing what nothing needs, and giving free space back to the medium.

use super::UpkeepError;
use crate::container::{folder_of, sweep};
use crate::store::{CollectReport, GivenBack, Repack, RepackReport, Store};

/// What a collection did.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct GcReport {
    /// What was counted and freed.
    #[serde(flatten)]
    pub collected: CollectReport,
    /// What repacking did, where it was asked for.
    pub repacked: Option<RepackReport>,
    /// What was given back at the end of the file; `None` in a dry run.
    pub given_back: Option<GivenBack>,
    /// Bytes that may be written at once.
    pub free_bytes: u64,
    /// Bytes that wait for a reader to end.
    pub waiting_bytes: u64,
    /// The oldest commit that a reader in another process holds, if something waits for it.
    pub oldest_reader: Option<u64>,
    /// Bytes of free space that are holes now; 0 where the file system makes none.
    pub punched_bytes: u64,
    /// Temporary files and folders of killed processes that were removed.
    #[serde(rename = "removed_leftovers")]
    pub leftovers: u64,
}

/// Counts again what each content is needed by, frees what nothing needs, makes the file as short as
/// [`give_back`](super::give_back) can, and gives the free blocks in it back to the medium where the
/// file system can. A base stays while a delta needs it, and a range while a reader in any process may
/// read it. Removal frees at once, so that in a sound store only the last steps find something to do. Removes what killed processes have left behind beside the
/// store. Cost: every row and every manifest.
///
/// # Errors
///
/// A damaged manifest or row: then nothing is freed. Those of the store.
pub fn gc(store: &Store) -> Result<GcReport, UpkeepError> {
    collect(store, None, &|_| ())
}

/// As [`gc`], and between freeing and giving back chooses the bases of all tensors anew, as
/// [`Transaction::repack`](crate::store::Transaction::repack) does: what stands on tensors of no
/// model stands on something else then, where the store is smaller so, and they are freed. That is
/// a commit of its own, behind the one that frees. `progress` is told the bytes of content done.
/// A dry run tells what both would do, and changes nothing.
///
/// # Errors
///
/// As [`gc`], and a damaged tensor: then what was freed stays so, and nothing is repacked.
pub fn gc_repack(
    store: &Store,
    how: &Repack,
    progress: &dyn Fn(u64),
) -> Result<GcReport, UpkeepError> {
    collect(store, Some(how), progress)
}

fn collect(
    store: &Store,
    how: Option<&Repack>,
    progress: &dyn Fn(u64),
) -> Result<GcReport, UpkeepError> {
    // What is free is only known to the handle that has written.
    let store = &store.held()?;
    let dry_run = how.is_some_and(|how| how.dry_run);
    let mut transaction = store.begin_write()?;
    let mut collected = transaction.collect()?;
    let mut repacked = None;
    if let Some(how) = how {
        if !dry_run {
            transaction.commit_collected(&collected)?;
            transaction = store.begin_write()?;
        }
        let report = transaction.repack(how, progress)?;
        collected.hidden_bases = report.hidden;
        repacked = Some(report);
        if dry_run {
            drop(transaction);
        } else {
            transaction.commit()?;
        }
    } else {
        transaction.commit_collected(&collected)?;
    }
    let container = store.container();
    let (mut given_back, mut punched_bytes) = (None, 0);
    if !dry_run {
        given_back = Some(store.give_back(0)?);
        punched_bytes = container.punch_free()?;
    }
    let (free_bytes, waiting_bytes) = container.free_bytes();
    let last = store.snapshot()?.sequence();
    let path = store.path().canonicalize().unwrap_or_else(|_| store.path().to_owned());
    let oldest = container.pins().oldest_reader(last)?;
    Ok(GcReport {
        collected,
        repacked,
        given_back,
        free_bytes,
        waiting_bytes,
        oldest_reader: oldest.filter(|oldest| *oldest < last || waiting_bytes > 0),
        punched_bytes,
        leftovers: if dry_run { 0 } else { sweep(folder_of(&path)) },
    })
}
