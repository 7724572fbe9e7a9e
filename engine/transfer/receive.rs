//! Taking in what another side has: tensors first, then models and their names, together.

use std::collections::BTreeSet;

use super::entry::{NodeEntry, Tests, full_names};
use super::incoming::Incoming;
use super::naming::Naming;
use super::order::Ordered;
use super::packed::PackedSource;
use super::plan::{There, TransferPlan, diverged, plan};
use super::refs::Head;
use super::report::PullReport;
use super::source::{RecordSource, StoreSource};
use super::spool::{KeptAt, Manifests, Spool};
use super::sync_markers::remember;
use super::sync_state::{SyncState, compare, sync_state};
use super::{Remote, Result, Selection, TransferError};
use crate::catalog::{ReadTables, Table};
use crate::format::RecordKind;
use crate::lineage::NodeId;
use crate::store::{Snapshot, Store, StoreError, Transaction};
use crate::tensor::ContentId;

/// Bytes of records that are committed at a time: an interrupted transfer fetches at most these
/// again.
pub(super) const BATCH_LEN: u64 = 64 << 20;

/// How often a transfer is planned, while others remove what it builds on.
const PLANS_MAX: usize = 4;

/// Takes in what another store has.
///
/// # Errors
///
/// Those of either store; a damaged record. Nothing is seen of a transfer that fails.
pub fn pull_from_store(
    store: &Store,
    from: &Store,
    selection: Selection<'_>,
) -> Result<PullReport> {
    receive(store, &StoreSource::new(from)?, selection, Naming::Pull)
}

/// Takes in what a remote has. Cut short, it goes on where it was when it is called again.
///
/// # Errors
///
/// Those of the remote and the store; damage. Nothing is seen of a transfer that fails.
pub fn pull_from_remote(
    store: &Store,
    remote: &dyn Remote,
    selection: Selection<'_>,
) -> Result<PullReport> {
    receive(store, &listed(store, remote)?, selection, Naming::Pull)
}

/// Brings the tensors of what a remote has and this store has not, without the models: a pull then
/// only names them.
///
/// # Errors
///
/// As [`pull_from_remote`].
pub fn fetch_from_remote(
    store: &Store,
    remote: &dyn Remote,
    selection: Selection<'_>,
) -> Result<PullReport> {
    receive(store, &listed(store, remote)?, selection, Naming::Fetch)
}

pub(super) fn listed<'r>(store: &Store, remote: &'r dyn Remote) -> Result<PackedSource<'r>> {
    let head = Head::read(remote)?;
    if head.number == 0 {
        return Err(TransferError::NotFound { place: remote.place() });
    }
    PackedSource::of_remote(remote, &head, store.snapshot()?.tables())
}

/// Takes in what `source` has.
pub(super) fn receive(
    store: &Store,
    source: &dyn RecordSource,
    selection: Selection<'_>,
    naming: Naming,
) -> Result<PullReport> {
    for _ in 1..PLANS_MAX {
        let before = store.snapshot()?.sequence();
        match receive_once(store, source, selection, naming) {
            // What was here when it was planned may have been removed since, by another program.
            Err(TransferError::Store(error))
                if (error.is_damage() || matches!(error, StoreError::MissingTensor { .. }))
                    && store.snapshot()?.sequence() != before => {}
            done => return done,
        }
    }
    receive_once(store, source, selection, naming)
}

fn receive_once(
    store: &Store,
    source: &dyn RecordSource,
    selection: Selection<'_>,
    naming: Naming,
) -> Result<PullReport> {
    let selection = match naming {
        Naming::Pull => selection,
        _ => selection.whole(),
    };
    let Planned { mut plan, manifests, mut report } =
        plan_receipt(store, source, selection, naming)?;
    let place = if selection.graph_only { Some(source.place()?) } else { None };
    if plan.is_empty() {
        if let Some(id) = source.id().filter(|_| naming == Naming::Pull) {
            let fresh = &mut source.fresh().iter().map(|(id, bytes)| (*id, &**bytes));
            remember(store, id, source.nodes(), &plan, fresh)?;
        }
        return Ok(report);
    }
    let holds = naming == Naming::Fetch || plan.missing.bytes() > BATCH_LEN;
    let transaction = import_tensors(store, source, &plan.missing, selection, holds, &mut report)?;
    plan.missing = Ordered::default();
    if naming == Naming::Fetch {
        keep_fetched(transaction, source, &plan)?;
        report.models = full_names(source.nodes(), &plan.models);
        return Ok(report);
    }
    let incoming = Incoming { source, plan: &plan, manifests: &manifests };
    incoming.name(transaction, (naming, place.as_deref()), &mut report)?;
    report.tags_left_out.sort();
    report.tags_left_out.dedup();
    Ok(report)
}

/// What is to come, before anything has.
struct Planned {
    plan: TransferPlan,
    manifests: Manifests,
    report: PullReport,
}

/// Finds out what is missing here. The snapshot that it looks at is let go: the place of what is
/// here must not be used again, and new models' tensors are not freed behind it.
fn plan_receipt(
    store: &Store,
    source: &dyn RecordSource,
    selection: Selection<'_>,
    naming: Naming,
) -> Result<Planned> {
    let snapshot = store.snapshot()?;
    let here = NodeEntry::read_all(snapshot.tables())?;
    let tests: Tests = snapshot.tests()?.into_iter().collect();
    let known: BTreeSet<NodeId> = here.keys().copied().collect();
    let there = There {
        nodes: &known,
        tests: &tests,
        has_tensor: &|id| Ok(snapshot.stored(RecordKind::Tensor, id)?.is_some()),
        lacking: &|id| lacking(&snapshot, id),
    };
    let mut manifests = Manifests::new(store, source)?;
    let mut plan = plan(source, &there, selection, &mut |id, bytes| manifests.keep(id, bytes))?;
    let sync_state = match (naming, source.id()) {
        (Naming::Push, _) => source.sync_state_with(store.container().superblock().store_id)?,
        (_, Some(id)) => sync_state(snapshot.tables(), id)?,
        (_, None) => SyncState::new(),
    };
    let rows = compare(&here, source.nodes(), &plan.known, &sync_state, naming);
    (plan.updates, plan.settled) = (rows.updates, rows.settled);
    let report = PullReport {
        tensors: plan.missing.tensors.len() as u64,
        resumed: snapshot.tables().count(Table::Arrivals)?,
        updated: full_names(source.nodes(), &plan.updates),
        completed: full_names(&here, &plan.completed),
        differing: rows.differing,
        tests: plan.tests.clone(),
        ..PullReport::default()
    };
    if naming == Naming::Push {
        let names = diverged(source.nodes(), &here, &plan.models);
        if !names.is_empty() {
            return Err(TransferError::Diverged { names });
        }
    }
    Ok(Planned { plan, manifests, report })
}

/// Commits what a fetch has brought: its models get their names when they are pulled.
fn keep_fetched(
    mut transaction: Transaction,
    source: &dyn RecordSource,
    plan: &TransferPlan,
) -> Result<()> {
    for (id, index) in source.fresh() {
        transaction.put_index(*id, index)?;
    }
    for id in &plan.completed {
        transaction.note_whole(*id)?;
    }
    Ok(transaction.commit_changes()?)
}

/// Missing tensors of a model of this store.
fn lacking(snapshot: &Snapshot, id: NodeId) -> Result<Vec<ContentId>> {
    // Without any, manifests need not be read.
    if snapshot.tables().count_to(Table::Promised, 1)? == 0 {
        return Ok(Vec::new());
    }
    let model = snapshot.model_of(snapshot.graph().expect(id)?)?;
    Ok(model.missing()?.into_iter().map(|(tensor, _)| tensor.content_id).collect())
}

/// Stores the tensors that are missing; what is more than a batch is committed batch by batch and
/// held. Returns the transaction of the last batch. No transaction is open while records come over
/// the network.
pub(super) fn import_tensors(
    store: &Store,
    source: &dyn RecordSource,
    missing: &Ordered,
    selection: Selection<'_>,
    holds: bool,
    report: &mut PullReport,
) -> Result<Transaction> {
    source.expect(&mut missing.tensors.iter().map(|(id, _)| *id));
    let begin = || -> Result<Transaction> {
        let transaction = store.begin_write()?;
        transaction.require_writer_features(source.writer_flags());
        Ok(transaction)
    };
    let mut rest = missing.tensors.as_slice();
    loop {
        let (batch, behind) = rest.split_at(batch_of(rest));
        rest = behind;
        let spool = match source.is_far() && !batch.is_empty() {
            true => Some(fetch_aside(store, source, missing, selection, batch)?),
            false => None,
        };
        let kept = |at: usize| {
            let (spool, places) = spool.as_ref()?;
            let place = places.get(at).copied().flatten()?;
            Some((place.1, spool.record(place)))
        };
        let mut transaction = begin()?;
        for (at, (id, _)) in batch.iter().enumerate() {
            if transaction.has(Table::Tensors, *id)? {
                continue;
            }
            let len = match kept(at) {
                Some((len, record)) => {
                    transaction.import_record(*id, len, &record)?;
                    len
                }
                // Near, or something that was here a moment ago.
                None => {
                    let (len, record) = source.open(*id, missing.is_alone(*id))?;
                    transaction.import_record(*id, len, &*record)?;
                    (selection.progress)(len);
                    len
                }
            };
            report.bytes += len;
            if holds {
                transaction.hold_incoming(*id)?;
            }
        }
        if rest.is_empty() {
            return Ok(transaction);
        }
        transaction.commit_changes()?;
    }
}

/// How many of these make a batch.
fn batch_of(tensors: &[(ContentId, u64)]) -> usize {
    let mut len = 0u64;
    let full = tensors.iter().position(|(_, piece)| {
        len = len.saturating_add(*piece);
        len >= BATCH_LEN
    });
    full.map_or(tensors.len(), |last| last + 1)
}

/// Fetches what is not here of a batch. Gives where each lies that has come.
fn fetch_aside(
    store: &Store,
    source: &dyn RecordSource,
    missing: &Ordered,
    selection: Selection<'_>,
    batch: &[(ContentId, u64)],
) -> Result<(Spool, Vec<Option<KeptAt>>)> {
    let snapshot = store.snapshot()?;
    let mut spool = Spool::new(store)?;
    let mut places = Vec::with_capacity(batch.len());
    for (id, _) in batch {
        let mut place = None;
        if snapshot.stored(RecordKind::Tensor, *id)?.is_none() {
            let kept = spool.fetch(source, *id, missing.is_alone(*id))?;
            (selection.progress)(kept.1);
            place = Some(kept);
        }
        places.push(place);
    }
    Ok((spool, places))
}
