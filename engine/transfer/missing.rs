//! Bringing tensors that models name and that were left where they are.

use std::collections::{BTreeMap, BTreeSet};

use super::order::{Ordered, in_order};
use super::place::with_source;
use super::receive::{BATCH_LEN, import_tensors};
use super::source::RecordSource;
use super::{Place, PullReport, Result, Selection, TransferError};
use crate::format::RecordKind;
use crate::lineage::NodeId;
use crate::store::{Snapshot, Store, StoreError};
use crate::tensor::ContentId;

/// Models that need tensors from one place, and these.
#[derive(Debug, Default)]
struct Wanted {
    models: Vec<(NodeId, String)>,
    tensors: Vec<ContentId>,
}

/// Fetches the missing tensors of these models, each from its promisor. For stored tensors only
/// rows are read. `progress` is called with the bytes of records moved since the last call. After
/// an interruption the next call continues.
///
/// # Errors
///
/// [`TransferError::OutOfReach`] when a place cannot be reached, or has the tensors no more; those
/// of the store, which must be open for writing unless nothing is missing. The models of one place
/// come whole or are as they were.
pub fn fetch_missing(
    store: &Store,
    models: &[&str],
    progress: &(dyn Fn(u64) + Sync),
) -> Result<PullReport> {
    fetch_where(store, models, &|_| true, progress)
}

/// Fetches those of these contents of a model that are missing, each from its promisor, with what
/// they are stored as differences from. Such contents are those of a file
/// ([`StoredFile::contents`](crate::store::StoredFile::contents)), of an export
/// ([`contents_to_export`](crate::interchange::contents_to_export)), or a tensor's
/// ([`Tensor::content_id`](crate::Tensor::content_id)). Otherwise as [`fetch_missing`].
///
/// # Errors
///
/// Those of [`fetch_missing`].
pub fn fetch_contents(
    store: &Store,
    model: &str,
    contents: &[ContentId],
    progress: &(dyn Fn(u64) + Sync),
) -> Result<PullReport> {
    let contents: BTreeSet<ContentId> = contents.iter().copied().collect();
    fetch_where(store, &[model], &|id| contents.contains(&id), progress)
}

fn fetch_where(
    store: &Store,
    models: &[&str],
    is_wanted: &dyn Fn(ContentId) -> bool,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<PullReport> {
    let snapshot = store.snapshot()?;
    let mut places: BTreeMap<String, Wanted> = BTreeMap::new();
    for model in models {
        let model = snapshot.model(model)?;
        let full = model.full_name();
        for (tensor, row) in model.missing()? {
            if !is_wanted(tensor.content_id) {
                continue;
            }
            let wanted = places.entry(row.promisor).or_default();
            if wanted.models.last().is_none_or(|(id, _)| *id != model.node().id) {
                wanted.models.push((model.node().id, full.clone()));
            }
            wanted.tensors.push(tensor.content_id);
        }
    }
    drop(snapshot);
    let mut report = PullReport::default();
    for (place, wanted) in places {
        bring(store, &place, &wanted, progress, &mut report)?;
    }
    report.completed.sort();
    report.completed.dedup();
    Ok(report)
}

fn bring(
    store: &Store,
    place: &str,
    wanted: &Wanted,
    progress: &(dyn Fn(u64) + Sync),
    report: &mut PullReport,
) -> Result<()> {
    let out_of_reach = |source: TransferError| TransferError::OutOfReach {
        models: wanted.models.iter().map(|(_, name)| name.clone()).collect(),
        place: place.to_owned(),
        source: Box::new(source),
    };
    let opened = std::cell::Cell::new(false);
    let brought = Place::parse(place).and_then(|place| {
        with_source(store, &place, |source| {
            let plan = plan(store, source, wanted)?;
            opened.set(true);
            import_record(store, source, &plan, wanted, progress, report)
        })
    });
    brought.map_err(|error| match &error {
        _ if !opened.get() => out_of_reach(error),
        TransferError::Io { .. } | TransferError::Damaged { .. } => out_of_reach(error),
        TransferError::Store(StoreError::Source { .. }) => out_of_reach(error),
        _ => error,
    })
}

fn plan(store: &Store, source: &dyn RecordSource, wanted: &Wanted) -> Result<Ordered> {
    let snapshot = store.snapshot()?;
    let mut tensors = wanted.tensors.clone();
    tensors.sort_unstable();
    tensors.dedup();
    let has_tensor = |id| Ok(snapshot.stored(RecordKind::Tensor, id)?.is_some());
    in_order(source, tensors, &|id| not_there(&snapshot, source, wanted, id), &has_tensor)
}

/// The error for a tensor that its promisor does not have: it is missing there too, or lost.
fn not_there(
    snapshot: &Snapshot,
    source: &dyn RecordSource,
    wanted: &Wanted,
    id: ContentId,
) -> TransferError {
    if let Ok(Some(place)) = source.promisor(id) {
        for (_, full) in &wanted.models {
            let Ok(model) = snapshot.model(full) else { continue };
            if let Some(tensor) = model.tensors().find(|tensor| tensor.content_id() == id) {
                let (model, tensor) = (full.clone(), tensor.name().to_owned());
                return StoreError::MissingContent { model, tensor, promisor: place }.into();
            }
        }
    }
    TransferError::damaged(source.name(), format!("tensor {} is not there", id.short()))
}

fn import_record(
    store: &Store,
    source: &dyn RecordSource,
    missing: &Ordered,
    wanted: &Wanted,
    progress: &(dyn Fn(u64) + Sync),
    report: &mut PullReport,
) -> Result<()> {
    let holds = missing.bytes() > BATCH_LEN;
    let selection = Selection { progress, ..Selection::ALL };
    let mut transaction = import_tensors(store, source, missing, selection, holds, report)?;
    report.tensors += missing.tensors.len() as u64;
    transaction.release_held(missing.tensors.iter().map(|(id, _)| *id))?;
    for (id, name) in &wanted.models {
        // Another thread may have removed it; some of it may still be missing.
        if transaction.graph()?.node(*id)?.is_some() && transaction.note_whole(*id)? {
            report.completed.push(name.clone());
        }
    }
    for (id, index) in source.fresh() {
        transaction.put_index(*id, index)?;
    }
    Ok(transaction.commit_changes()?)
}
