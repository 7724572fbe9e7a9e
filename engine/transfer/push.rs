//! Giving a remote what it does not have: packs, and then a ref that names them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};

use super::check::{Closure, IndexAt};
use super::entry::{NodeEntry, Nodes};
use super::lost::{Mended, mend};
use super::order::Ordered;
use super::pack::{self, PackIndex};
use super::packed::{PackedSource, RemoteFile};
use super::plan::{Plan, There, grown_apart, plan};
use super::receive::Naming;
use super::records::{PackedRecord, Records};
use super::refs::{Head, PackRef};
use super::rows::{Agreed, agreed, compare, remember};
use super::source::{Source, StoreSource};
use super::{PullReport, Remote, Result, Selection, TransferError};
use crate::format::{READER_FLAGS_KNOWN, RecordKind};
use crate::lineage::NodeId;
use crate::store::{Store, TensorSource};
use crate::tensor::ContentId;

/// A pack that has become so long is not added to: what a push that is cut short sends again.
const PACK_LEN: u64 = 64 << 20;

/// A pack that is not written yet: its index, which says all.
#[derive(Debug)]
pub(super) struct PackDraft {
    pub(super) pack: PackRef,
    pub(super) bytes: Vec<u8>,
}

impl PackDraft {
    /// A pack of these records, which end at `end`.
    pub(super) fn new(index: &PackIndex, end: u64) -> Result<Self> {
        Ok(Self::of(index.encode()?, end))
    }

    /// As [`new`](Self::new), of an index's bytes.
    pub(super) fn of(bytes: Vec<u8>, end: u64) -> Self {
        let index_bytes = bytes.len() as u64;
        let pack = PackRef {
            id: ContentId::of(&bytes).to_string(),
            bytes: end + index_bytes + pack::TRAILER_LEN,
            index_offset: end,
            index_bytes,
        };
        PackDraft { pack, bytes }
    }

    fn records(&self) -> Result<Records> {
        let end = self.pack.index_offset;
        Ok(PackIndex::decode(&self.pack.path(), &self.bytes, end)?.records)
    }
}

/// Cuts what is to travel into packs. The models' rows are in the last one.
pub(super) fn draft_packs(
    source: &StoreSource,
    plan: &Plan,
    has_manifest: &dyn Fn(ContentId) -> bool,
    pack_len: u64,
) -> Result<Vec<PackDraft>> {
    let manifests = plan.manifests.iter().filter(|id| !has_manifest(**id));
    let manifests = manifests.map(|id| (RecordKind::Manifest, *id));
    let tensors = plan.missing.tensors.iter().map(|(id, _)| (RecordKind::Tensor, *id));
    let reader_flags = source.reader_flags & READER_FLAGS_KNOWN;
    let fresh =
        || PackIndex { reader_flags, writer_flags: source.writer_flags(), ..PackIndex::default() };
    let (mut packs, mut index, mut end) = (Vec::new(), fresh(), pack::HEAD_LEN);
    for (kind, id) in manifests.chain(tensors) {
        if end >= pack_len {
            packs.push(PackDraft::new(&std::mem::replace(&mut index, fresh()), end)?);
            end = pack::HEAD_LEN;
        }
        let alone = kind == RecordKind::Tensor && plan.missing.is_alone(id);
        end = source.append(&mut index, kind, id, end, alone)?;
    }
    let models = plan.models.iter().chain(&plan.updates);
    index.rows.models = models.filter_map(|id| source.nodes().get(id).cloned()).collect();
    let test = |name: &String| Some((name.clone(), source.tests().get(name)?.clone()));
    index.rows.tests = plan.tests.iter().filter_map(test).collect();
    packs.push(PackDraft::new(&index, end)?);
    Ok(packs)
}

impl StoreSource {
    /// Adds a record that is to lie at `offset` to an index. Gives back where the next one begins.
    pub(super) fn append(
        &self,
        index: &mut PackIndex,
        kind: RecordKind,
        id: ContentId,
        offset: u64,
        alone: bool,
    ) -> Result<u64> {
        let missing = || TransferError::damaged(self.name(), format!("no content {}", id.short()));
        let row = self.snapshot().stored(kind, id)?.ok_or_else(missing)?;
        let (len, bases) = match alone {
            true => (self.snapshot().alone_len(id, &row)?, Vec::new()),
            false => {
                let len = self.snapshot().outgoing(kind, id, &row, false)?.len();
                (len, row.bases().collect())
            }
        };
        let raw_len = row.raw_len;
        index.records.push(PackedRecord { kind, offset, len, raw_len, id, bases: &bases });
        Ok(pack::next_offset(offset + len))
    }
}

/// The bytes of a pack, one after the other.
pub(super) struct PackBody<'s> {
    source: &'s StoreSource,
    draft: &'s PackDraft,
    progress: &'s (dyn Fn(u64) + Sync),
    records: Records,
    head: Vec<u8>,
    trailer: Vec<u8>,
    at: u64,
    /// The record that is read, and its place in the index.
    open: Option<(usize, Box<dyn TensorSource + 's>)>,
    next: usize,
}

impl<'s> PackBody<'s> {
    pub(super) fn new(
        source: &'s StoreSource,
        draft: &'s PackDraft,
        progress: &'s (dyn Fn(u64) + Sync),
    ) -> Result<Self> {
        let records = draft.records()?;
        let trailer = pack::trailer(draft.pack.index_offset, &draft.bytes);
        let head = pack::head();
        Ok(PackBody { source, draft, progress, records, head, trailer, at: 0, open: None, next: 0 })
    }

    /// Reads from the records, or the padding between them.
    fn read_records(&mut self, out: &mut [u8]) -> Result<usize> {
        let record = self.records.get(self.next);
        let start = record.map_or(self.draft.pack.index_offset, |record| record.offset);
        if self.at < start {
            let len = (start - self.at).min(out.len() as u64) as usize;
            out.iter_mut().take(len).for_each(|byte| *byte = 0);
            return Ok(len);
        }
        let Some(record) = record else { return Ok(0) };
        if self.open.as_ref().is_none_or(|(place, _)| *place != self.next) {
            let opened: Box<dyn TensorSource + 's> = self.source.open_record(record)?;
            self.open = Some((self.next, opened));
        }
        let from = self.at - record.offset;
        let len = (record.len - from).min(out.len() as u64) as usize;
        let part = out.get_mut(..len).unwrap_or_default();
        if let Some((_, opened)) = &self.open {
            let failed = TransferError::io("read", self.source.name());
            opened.read_at(from, part).map_err(failed)?;
        }
        (self.progress)(len as u64);
        if from + len as u64 == record.len {
            self.next += 1;
        }
        Ok(len)
    }
}

impl StoreSource {
    /// The bytes of a record that a pack's index names, coded as it says.
    fn open_record<'s>(&'s self, record: PackedRecord<'_>) -> Result<Box<dyn TensorSource + 's>> {
        let (kind, id) = (record.kind, record.id);
        let missing = || TransferError::damaged(self.name(), format!("no content {}", id.short()));
        let row = self.snapshot().stored(kind, id)?.ok_or_else(missing)?;
        if record.bases.is_empty() && row.bases().next().is_some() {
            return Ok(Box::new(self.snapshot().outgoing_alone(id, &row)?));
        }
        Ok(Box::new(self.snapshot().outgoing(kind, id, &row, true)?))
    }
}

impl Read for PackBody<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let from = |bytes: &[u8], at: u64, out: &mut [u8]| {
            let rest = bytes.get(at as usize..).unwrap_or_default();
            let len = rest.len().min(out.len());
            for (to, from) in out.iter_mut().zip(rest) {
                *to = *from;
            }
            len
        };
        let len = if self.at < pack::HEAD_LEN {
            from(&self.head, self.at, out)
        } else if let Some(at) = self.at.checked_sub(self.draft.pack.index_offset) {
            match at.checked_sub(self.draft.pack.index_bytes) {
                Some(at) => from(&self.trailer, at, out),
                None => from(&self.draft.bytes, at, out),
            }
        } else {
            self.read_records(out).map_err(io::Error::other)?
        };
        self.at += len as u64;
        Ok(len)
    }
}

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
/// [`TransferError::Apart`] when the remote has versions of a name that are not here, and
/// [`TransferError::Outrun`] when somebody else pushes meanwhile: pull first.
/// [`Error::Promised`](crate::Error::Promised) when tensors that are to go there were not pulled
/// yet. [`TransferError::NotReadable`], [`TransferError::Lost`]. Those of remote and store. Nothing
/// is seen of a push that fails.
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
    let mended = match &listed {
        Some(listed) => mend(&source, remote, &head, listed)?,
        None => Mended::default(),
    };
    let mut report = PullReport::default();
    for draft in mended.drafts() {
        report.bytes += write_pack(remote, &source, draft, selection)?;
    }
    report.rewritten = mended.again.iter().map(|draft| draft.pack.id.clone()).collect();
    for (lost, draft) in &mended.instead {
        head.replace(lost, &draft.pack);
        report.replaced.push((lost.id.clone(), draft.pack.id.clone()));
    }
    let theirs = PackedSource::of_remote(remote, &head, source.snapshot().tables())?;
    let known: BTreeSet<NodeId> = theirs.nodes().keys().copied().collect();
    let there = There {
        nodes: &known,
        tests: theirs.tests(),
        has_tensor: &|id| Ok(theirs.has_tensor(id)),
        lacking: &|_| Ok(Vec::new()),
    };
    let mut plan = plan(&source, &there, selection.whole(), &mut |_, _| Ok(()))?;
    let names = grown_apart(source.nodes(), theirs.nodes(), &plan.models);
    if !names.is_empty() {
        return Err(TransferError::Apart { names });
    }
    let agreed = match head.id {
        Some(id) => agreed(source.snapshot().tables(), id)?,
        None => Agreed::new(),
    };
    let rows = compare(theirs.nodes(), source.nodes(), &plan.known, &agreed, Naming::Push);
    (plan.updates, plan.settled) = (rows.updates, rows.settled);
    report.tensors = plan.missing.tensors.len() as u64;
    report.updated = full_names(source.nodes(), &plan.updates);
    report.differing = rows.differing;
    report.tests.clone_from(&plan.tests);
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

/// Indexes of packs that are worth keeping: those that were read, and those that were written.
fn indexes<'i>(
    read: &'i [(ContentId, Vec<u8>)],
    written: &'i [PackDraft],
) -> impl Iterator<Item = (ContentId, &'i [u8])> {
    let written = written.iter().map(|draft| (ContentId::of(&draft.bytes), &*draft.bytes));
    read.iter().map(|(id, bytes)| (*id, &**bytes)).chain(written)
}

pub(super) fn full_names(nodes: &Nodes, ids: &[NodeId]) -> Vec<String> {
    ids.iter().filter_map(|id| nodes.get(id)).map(NodeEntry::full_name).collect()
}
