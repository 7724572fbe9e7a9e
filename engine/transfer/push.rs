//! Giving a remote what it does not have: packs, and then a ref that names them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};

use super::check::{Closure, IndexAt, check_pack};
use super::entry::{NodeEntry, Nodes};
use super::pack::{self, PackIndex, PackedRecord};
use super::packed::{PackedSource, RemoteFile};
use super::plan::{Plan, There, grown_apart, plan};
use super::receive::Naming;
use super::refs::{Head, PackRef};
use super::rows::{Agreed, agreed, compare, remember};
use super::source::{Source, StoreSource};
use super::verify::lost;
use super::{PullReport, Remote, Result, Selection, TransferError};
use crate::catalog::{ReadTables, Table};
use crate::format::{READER_FLAGS_KNOWN, RecordKind};
use crate::lineage::NodeId;
use crate::store::{Store, TensorSource};
use crate::tensor::ContentId;

/// A pack that has become so long is not added to: what a push that is cut short sends again.
const PACK_LEN: u64 = 64 << 20;

/// A pack that is not written yet.
#[derive(Debug)]
pub(super) struct PackDraft {
    index: PackIndex,
    /// Where the index begins.
    end: u64,
    bytes: Vec<u8>,
}

impl PackDraft {
    pub(super) fn as_ref(&self) -> PackRef {
        let trailer = pack::TRAILER_LEN;
        let index_bytes = self.bytes.len() as u64;
        PackRef {
            id: ContentId::of(&self.bytes).to_string(),
            bytes: self.end + index_bytes + trailer,
            index_offset: self.end,
            index_bytes,
        }
    }
}

/// Cuts what is to travel into packs. The models' rows are in the last one.
pub(super) fn draft_packs(
    source: &StoreSource,
    plan: &Plan,
    has_manifest: &dyn Fn(ContentId) -> bool,
    pack_len: u64,
) -> Result<Vec<PackDraft>> {
    let mut manifests: Vec<ContentId> =
        plan.manifests.keys().filter(|id| !has_manifest(**id)).copied().collect();
    manifests.sort_unstable();
    let manifests = manifests.into_iter().map(|id| (RecordKind::Manifest, id));
    let tensors = plan.tensors.iter().map(|(id, _)| (RecordKind::Tensor, *id));
    let reader_flags = source.reader_flags() & READER_FLAGS_KNOWN;
    let fresh =
        || PackIndex { reader_flags, writer_flags: source.writer_flags(), ..PackIndex::default() };
    let (mut packs, mut index, mut end) = (Vec::new(), fresh(), pack::HEAD_LEN);
    let close = |index: PackIndex, end| -> Result<PackDraft> {
        let bytes = index.encode()?;
        Ok(PackDraft { index, end, bytes })
    };
    let alone = |kind, id| kind == RecordKind::Tensor && plan.alone.contains(&id);
    for (kind, id) in manifests.chain(tensors) {
        if end >= pack_len {
            packs.push(close(std::mem::replace(&mut index, fresh()), end)?);
            end = pack::HEAD_LEN;
        }
        let record = source.travelling(kind, id, end, alone(kind, id))?;
        end = pack::next_offset(record.offset + record.len);
        index.records.push(record);
    }
    let models = plan.models.iter().chain(&plan.updates);
    index.rows.models = models.filter_map(|id| source.nodes().get(id).cloned()).collect();
    let test = |name: &String| Some((name.clone(), source.tests().get(name)?.clone()));
    index.rows.tests = plan.tests.iter().filter_map(test).collect();
    packs.push(close(index, end)?);
    Ok(packs)
}

impl StoreSource {
    fn reader_flags(&self) -> u64 {
        self.reader_flags
    }

    /// What a pack's index says of a record that is to lie at `offset`.
    fn travelling(
        &self,
        kind: RecordKind,
        id: ContentId,
        offset: u64,
        alone: bool,
    ) -> Result<PackedRecord> {
        let missing = || TransferError::damaged(self.name(), format!("no content {}", id.short()));
        let row = self.snapshot().stored(kind, id)?.ok_or_else(missing)?;
        let (len, bases) = match alone {
            true => (self.snapshot().alone_len(id, &row)?, Vec::new()),
            false => {
                let len = self.snapshot().outgoing(kind, id, &row, false)?.len();
                (len, row.bases().collect())
            }
        };
        Ok(PackedRecord { kind, offset, len, raw_len: row.raw_len, id, bases })
    }
}

/// The bytes of a pack, one after the other.
pub(super) struct PackBody<'s> {
    source: &'s StoreSource,
    draft: &'s PackDraft,
    progress: &'s (dyn Fn(u64) + Sync),
    head: Vec<u8>,
    tail: Vec<u8>,
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
    ) -> Self {
        let tail = [draft.bytes.clone(), pack::trailer(draft.end, &draft.bytes)].concat();
        let head = pack::head();
        PackBody { source, draft, progress, head, tail, at: 0, open: None, next: 0 }
    }

    /// Reads from the records, or the padding between them.
    fn read_records(&mut self, out: &mut [u8]) -> Result<usize> {
        let record = self.draft.index.records.get(self.next);
        let start = record.map_or(self.draft.end, |record| record.offset);
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
    fn open_record<'s>(&'s self, record: &PackedRecord) -> Result<Box<dyn TensorSource + 's>> {
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
        } else if self.at < self.draft.end {
            self.read_records(out).map_err(io::Error::other)?
        } else {
            from(&self.tail, self.at - self.draft.end, out)
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
    let pack = draft.as_ref();
    let path = pack.path();
    let failed = TransferError::io("write", format!("{}/{path}", remote.place()));
    let mut body = PackBody::new(source, draft, selection.progress);
    remote.put(&path, pack.bytes, &mut body).map_err(failed)?;
    Ok(pack.bytes)
}

/// What is wrong with a pack as it lies there, read whole.
fn pack_fault(remote: &dyn Remote, draft: &PackDraft, closure: &mut Closure) -> Option<String> {
    let pack = draft.as_ref();
    let id = ContentId::of(&draft.bytes);
    let at = IndexAt { offset: pack.index_offset, len: pack.index_bytes, id };
    let file = RemoteFile { remote, path: pack.path() };
    let (_, faults) = check_pack(&file, at, true, closure, &|_| ());
    faults.into_iter().next()
}

/// Reads packs that were written, or found, before a ref names them: all of them, and what they
/// name must be in them or in `closure`.
fn read_back(remote: &dyn Remote, packs: &[PackDraft], mut closure: Closure) -> Result<()> {
    for draft in packs {
        if let Some(reason) = pack_fault(remote, draft, &mut closure) {
            let place = format!("{}/{}", remote.place(), draft.as_ref().path());
            return Err(TransferError::NotReadable { place, reason });
        }
    }
    let place = remote.place();
    let fault = closure.faults().into_iter().next();
    fault.map_or(Ok(()), |reason| Err(TransferError::NotReadable { place, reason }))
}

/// Packs that the last ref names and that are not there, to be written again as they were: their
/// indexes are kept here, and everything they name is here and stored alike.
///
/// # Errors
///
/// [`TransferError::Lost`] when one of them cannot be had so.
fn redraft_lost(
    source: &StoreSource,
    head: &Head,
    there: &BTreeMap<String, u64>,
    place: &str,
) -> Result<Vec<PackDraft>> {
    let (mut drafts, mut gone) = (Vec::new(), Vec::new());
    for (pack, fault) in lost(head, there) {
        match redraft(source, pack)? {
            Some(draft) => drafts.push(draft),
            None => gone.push(format!("{}: {fault}", pack.path())),
        }
    }
    match gone.is_empty() {
        true => Ok(drafts),
        false => Err(TransferError::Lost { place: place.to_owned(), packs: gone }),
    }
}

fn redraft(source: &StoreSource, pack: &PackRef) -> Result<Option<PackDraft>> {
    let Some(id) = pack.content_id() else { return Ok(None) };
    let kept = source.snapshot().tables().get(Table::Packs, id.as_bytes())?;
    let Some(bytes) = kept.filter(|bytes| ContentId::of(bytes) == id) else { return Ok(None) };
    let end = pack.index_offset;
    let index = PackIndex::decode(&pack.path(), &bytes, end)?;
    for record in &index.records {
        let Some(row) = source.snapshot().stored(record.kind, record.id)? else { return Ok(None) };
        let alone = record.bases.is_empty() && row.bases().next().is_some();
        if source.travelling(record.kind, record.id, record.offset, alone)? != *record {
            return Ok(None);
        }
    }
    let draft = PackDraft { index, end, bytes };
    Ok((draft.as_ref() == *pack).then_some(draft))
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
    let head = Head::read(remote)?;
    let place = remote.place();
    let listed = remote.list("packs").map_err(TransferError::io("list the packs of", &*place))?;
    let listed: Option<BTreeMap<String, u64>> = listed.map(|files| files.into_iter().collect());
    let lost = match &listed {
        Some(listed) => redraft_lost(&source, &head, listed, &place)?,
        None => Vec::new(),
    };
    let theirs = PackedSource::of_remote(remote, &head, source.snapshot().tables())?;
    let known: BTreeSet<NodeId> = theirs.nodes().keys().copied().collect();
    let there = There {
        nodes: &known,
        tests: theirs.tests(),
        has_tensor: &|id| Ok(theirs.has_tensor(id)),
        lacking: &|_| Ok(Vec::new()),
    };
    let mut plan = plan(&source, &there, selection.whole())?;
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
    let mut report = PullReport {
        tensors: plan.tensors.len() as u64,
        updated: full_names(source.nodes(), &plan.updates),
        differing: rows.differing,
        tests: plan.tests.clone(),
        ..PullReport::default()
    };
    for draft in &lost {
        report.bytes += write_pack(remote, &source, draft, selection)?;
        report.rewritten.push(draft.as_ref().id);
    }
    read_back(remote, &lost, theirs.closure())?;
    if plan.is_empty() {
        // A remote without models is one: it can be cloned.
        let id = head.id.map_or_else(|| head.advance(remote, Vec::new()), Ok)?;
        remember(store, id, source.nodes(), &plan, theirs.fresh())?;
        return Ok(report);
    }
    let packs = draft_packs(&source, &plan, &|id| theirs.has_manifest(id), PACK_LEN)?;
    let mut refs = Vec::new();
    for draft in &packs {
        let pack = draft.as_ref();
        let len = listed.as_ref().and_then(|listed| listed.get(&pack.file_name()).copied());
        // One that an earlier push has left may be whole by its length alone.
        if pack.fault(len).is_some() || pack_fault(remote, draft, &mut Closure::default()).is_some()
        {
            report.bytes += write_pack(remote, &source, draft, selection)?;
        }
        refs.push(pack);
    }
    read_back(remote, &packs, theirs.closure())?;
    let id = head.advance(remote, refs)?;
    report.models = full_names(source.nodes(), &plan.models);
    let written = packs.into_iter().map(|draft| (ContentId::of(&draft.bytes), draft.bytes));
    let indexes: Vec<_> = theirs.fresh().iter().cloned().chain(written).collect();
    remember(store, id, source.nodes(), &plan, &indexes)?;
    Ok(report)
}

pub(super) fn full_names(nodes: &Nodes, ids: &[NodeId]) -> Vec<String> {
    ids.iter().filter_map(|id| nodes.get(id)).map(NodeEntry::full_name).collect()
}
