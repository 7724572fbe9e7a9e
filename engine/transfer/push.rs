//! Giving a remote what it does not have: packs, and then a ref that names them.

use std::collections::{BTreeMap, BTreeSet};

use super::check::{Closure, IndexAt};
use super::drafts::{PackBody, PackDraft, draft_packs};
use super::entry::full_names;
use super::lost_packs::{Mended, mend};
use super::naming::Naming;
use super::order::Ordered;
use super::packed::{PackedSource, RemoteFile};
use super::plan::{There, TransferPlan, diverged, plan};
use super::refs::{Head, PackRef};
use super::source::{RecordSource, StoreSource};
use super::sync_markers::remember;
use super::sync_state::{SyncState, compare, sync_state};
use super::{PullReport, Remote, Result, Selection, TransferError};
use crate::lineage::NodeId;
use crate::store::Store;
use crate::tensor::ContentId;

/// A pack that has become so long is not added to: what a push that is cut short sends again.
const PACK_LEN: u64 = 64 << 20;

fn write_pack(
    remote: &dyn Remote,
    source: &StoreSource,
    draft: &PackDraft,
    selection: Selection<'_>,
) -> Result<u64> {
    let path = draft.pack.path();
    let failed = TransferError::io("write", format!("{}/{path}", remote.place()));
    let mut body = PackBody::new(source, draft, selection.progress)?;
    remote.put(&path, draft.pack.bytes, &mut body).map_err(failed)?;
    Ok(draft.pack.bytes)
}

/// Where the index of a pack is, which was drafted here.
fn index_at(draft: &PackDraft) -> IndexAt {
    let PackRef { index_offset: offset, index_bytes: len, .. } = draft.pack;
    IndexAt { offset, len, id: ContentId::of(&draft.bytes) }
}

/// Whether a pack that lies there is whole, read from its beginning to its end.
fn is_whole(remote: &dyn Remote, draft: &PackDraft) -> bool {
    let file = RemoteFile { remote, path: draft.pack.path() };
    let mut closure = Closure::default();
    let Ok(opened) = closure.open(&file, index_at(draft)) else { return false };
    closure.settle();
    closure.check(opened, &file, true, &|_| ()).1.is_empty()
}

/// Reads packs that were written, or found, before a ref names them: all of them, and what they
/// name must be in them or in what is there.
fn read_back(remote: &dyn Remote, packs: &[&PackDraft], there: &PackedSource<'_>) -> Result<()> {
    let not_readable = |path: &str, reason: String| {
        let place = format!("{}/{path}", remote.place());
        TransferError::NotReadable { place, reason }
    };
    let (mut closure, mut opened) = (Closure::beside(there), Vec::new());
    for draft in packs {
        let file = RemoteFile { remote, path: draft.pack.path() };
        match closure.open(&file, index_at(draft)) {
            Ok(pack) => opened.push((file, pack)),
            Err(reason) => return Err(not_readable(&file.path, reason)),
        }
    }
    closure.settle();
    for (file, pack) in opened {
        let (_, faults) = closure.check(pack, &file, true, &|_| ());
        if let Some(reason) = faults.into_iter().next() {
            return Err(not_readable(&file.path, reason));
        }
    }
    let place = remote.place();
    let fault = closure.faults().into_iter().next();
    fault.map_or(Ok(()), |reason| Err(TransferError::NotReadable { place, reason }))
}

/// Gives a remote the models that it does not have. Packs that an earlier push, which was cut
/// short, has left there are not sent again. What was written, or left, is read back before it
/// counts. Packs that are named there and were lost are written again where that is possible.
///
/// # Errors
///
/// [`TransferError::Diverged`] when the remote has versions of a name that are not here, and
/// [`TransferError::PushRaced`] when somebody else pushes meanwhile: pull first.
/// [`StoreError::MissingContent`](crate::store::StoreError::MissingContent) when tensors that are
/// to go there were not pulled yet. [`TransferError::NotReadable`], [`TransferError::Lost`]. Those
/// of remote and store. Nothing is seen of a push that fails.
pub fn push_to_remote(
    store: &Store,
    remote: &dyn Remote,
    selection: Selection<'_>,
) -> Result<PullReport> {
    let source = StoreSource::new(store)?;
    let mut head = Head::read(remote)?;
    let place = remote.place();
    let listed = remote.list("packs").map_err(TransferError::io("list the packs of", &*place))?;
    let listed: Option<BTreeMap<String, u64>> = listed.map(|files| files.into_iter().collect());
    let mut report = PullReport::default();
    let mended = match &listed {
        Some(listed) => mend(&source, remote, &head, listed)?,
        None => Mended::default(),
    };
    for draft in mended.drafts() {
        report.bytes += write_pack(remote, &source, draft, selection)?;
    }
    report.rewritten = mended.again.iter().map(|draft| draft.pack.id.clone()).collect();
    for (lost, draft) in &mended.instead {
        head.replace(lost, &draft.pack);
        report.replaced.push((lost.id.clone(), draft.pack.id.clone()));
    }
    let theirs = PackedSource::of_remote(remote, &head, source.snapshot().tables())?;
    let mut plan = plan_push(&source, &theirs, &head, selection, &mut report)?;
    read_back(remote, &mended.drafts().collect::<Vec<_>>(), &theirs)?;
    if plan.is_empty() {
        // A remote without models is one: it can be cloned.
        let id = match head.id.filter(|_| mended.instead.is_empty()) {
            Some(id) => id,
            None => head.advance(remote, Vec::new())?,
        };
        remember(store, id, source.nodes(), &plan, &mut indexes(theirs.fresh(), &[]))?;
        return Ok(report);
    }
    let packs = draft_packs(&source, &plan, &|id| theirs.has_manifest(id), PACK_LEN)?;
    plan.missing = Ordered::default();
    for draft in &packs {
        let name = draft.pack.file_name();
        let len = listed.as_ref().and_then(|listed| listed.get(&name).copied());
        // One that an earlier push has left may be whole by its length alone.
        if draft.pack.fault(len).is_some() || !is_whole(remote, draft) {
            report.bytes += write_pack(remote, &source, draft, selection)?;
        }
    }
    read_back(remote, &packs.iter().collect::<Vec<_>>(), &theirs)?;
    let id = head.advance(remote, packs.iter().map(|draft| draft.pack.clone()).collect())?;
    report.models = full_names(source.nodes(), &plan.models);
    remember(store, id, source.nodes(), &plan, &mut indexes(theirs.fresh(), &packs))?;
    Ok(report)
}

/// Finds out what the remote does not have, and notes it in the report.
fn plan_push(
    source: &StoreSource,
    theirs: &PackedSource<'_>,
    head: &Head,
    selection: Selection<'_>,
    report: &mut PullReport,
) -> Result<TransferPlan> {
    let known: BTreeSet<NodeId> = theirs.nodes().keys().copied().collect();
    let there = There {
        nodes: &known,
        tests: theirs.tests(),
        has_tensor: &|id| Ok(theirs.has_tensor(id)),
        lacking: &|_| Ok(Vec::new()),
    };
    let mut plan = plan(source, &there, selection.whole(), &mut |_, _| Ok(()))?;
    let names = diverged(source.nodes(), theirs.nodes(), &plan.models);
    if !names.is_empty() {
        return Err(TransferError::Diverged { names });
    }
    let sync_state = match head.id {
        Some(id) => sync_state(source.snapshot().tables(), id)?,
        None => SyncState::new(),
    };
    let rows = compare(theirs.nodes(), source.nodes(), &plan.known, &sync_state, Naming::Push);
    (plan.updates, plan.settled) = (rows.updates, rows.settled);
    report.tensors = plan.missing.tensors.len() as u64;
    report.updated = full_names(source.nodes(), &plan.updates);
    report.differing = rows.differing;
    report.tests.clone_from(&plan.tests);
    Ok(plan)
}

/// Indexes of packs that are worth keeping: those that were read, and those that were written.
fn indexes<'i>(
    read: &'i [(ContentId, Vec<u8>)],
    written: &'i [PackDraft],
) -> impl Iterator<Item = (ContentId, &'i [u8])> {
    let written = written.iter().map(|draft| (ContentId::of(&draft.bytes), &*draft.bytes));
    read.iter().map(|(id, bytes)| (*id, &**bytes)).chain(written)
}
