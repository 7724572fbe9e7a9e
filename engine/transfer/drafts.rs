//! Packs that are not written yet: what goes into them, and their bytes.

use std::io::{self, Read};

use super::pack::{self, PackIndex};
use super::plan::TransferPlan;
use super::records::{PackedRecord, Records};
use super::refs::PackRef;
use super::source::{RecordSource, StoreSource};
use super::{Result, TransferError};
use crate::format::{READER_FLAGS_KNOWN, RecordKind};
use crate::store::TensorSource;
use crate::tensor::ContentId;

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
    plan: &TransferPlan,
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
    /// Adds a record that is to lie at `offset` to an index. Returns the offset of the next one.
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
