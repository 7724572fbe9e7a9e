//! Packs that a remote's last ref names and that are not there: what a push does about them.
//!
//! A pack is named by its index, and so by how its contents are coded. Where all of them are still
//! stored here as they were, the same pack is written again. Where they are stored differently now,
//! a new pack with the same contents and rows stands in its place, in the next ref: nothing that is
//! there is changed, so that whoever reads beside by an older ref finds all that was there.

use std::collections::{BTreeMap, HashSet};

use super::drafts::PackDraft;
use super::order::below_first;
use super::pack::{self, PackIndex};
use super::packed::PackedSource;
use super::records::Records;
use super::refs::lost;
use super::refs::{Head, PackRef};
use super::source::{RecordSource, StoreSource};
use super::{Remote, Result, TransferError};
use crate::catalog::{ReadTables, Table};
use crate::format::{Manifest, READER_FLAGS_KNOWN, RecordKind};
use crate::tensor::ContentId;

/// Packs to be written for those that are lost.
#[derive(Debug, Default)]
pub(super) struct Mended {
    /// The same.
    pub(super) again: Vec<PackDraft>,
    /// Others, each with the one in whose place it stands.
    pub(super) instead: Vec<(PackRef, PackDraft)>,
}

impl Mended {
    /// All of them.
    pub(super) fn drafts(&self) -> impl Iterator<Item = &PackDraft> {
        self.again.iter().chain(self.instead.iter().map(|(_, draft)| draft))
    }
}

/// A lost pack whose index is kept here.
struct Known<'h> {
    /// Which of the remote's packs it is.
    place: usize,
    pack: &'h PackRef,
    index: PackIndex,
}

/// Finds packs for those that are lost; `there` are the files of the remote's packs. Nothing is
/// written. Cost: without lost packs none; else the rows of what they held, and where some of that
/// is not here any more, the manifests of the remote.
///
/// # Errors
///
/// [`TransferError::Lost`] when one of them cannot be had: its index is not kept here, or something
/// that it held is needed there and is not here.
pub(super) fn mend(
    source: &StoreSource,
    remote: &dyn Remote,
    head: &Head,
    there: &BTreeMap<String, u64>,
) -> Result<Mended> {
    let mut mended = Mended::default();
    let (mut known, mut gone) = (Vec::new(), Vec::new());
    for (pack, fault) in lost(head, there) {
        let Some(bytes) = kept_index(source, pack)? else {
            gone.push(format!("{}: {fault}, and what it held is not known here", pack.path()));
            continue;
        };
        let index = PackIndex::decode(&pack.path(), &bytes, pack.index_offset)?;
        let place = head.packs.iter().position(|other| other == pack).unwrap_or_default();
        match is_as_it_was(source, &index)? {
            true => mended.again.push(PackDraft::of(bytes, pack.index_offset)),
            false => known.push(Known { place, pack, index }),
        }
    }
    if gone.is_empty() && !known.is_empty() {
        let theirs = PackedSource::of_remote(remote, head, source.snapshot().tables())?;
        gone = missing(source, &theirs, &known)?;
        let lost: HashSet<usize> = known.iter().map(|known| known.place).collect();
        let mut written = HashSet::new();
        for Known { place, pack, index } in known.into_iter().filter(|_| gone.is_empty()) {
            let has = |id: ContentId| {
                let before = |found: usize| found < place && !lost.contains(&found);
                theirs.contents().tensor(id).is_some_and(|(found, _)| before(found))
            };
            let draft = draft(source, index, &has, &mut written)?;
            mended.instead.push((pack.clone(), draft));
        }
    }
    match gone.is_empty() {
        true => Ok(mended),
        false => Err(TransferError::Lost { place: remote.place(), packs: gone }),
    }
}

/// The bytes of a pack's index, where they are kept here.
fn kept_index(source: &StoreSource, pack: &PackRef) -> Result<Option<Vec<u8>>> {
    let Some(id) = pack.content_id() else { return Ok(None) };
    let kept = source.snapshot().tables().get(Table::Packs, id.as_bytes())?;
    let whole =
        |bytes: &Vec<u8>| ContentId::of(bytes) == id && bytes.len() as u64 == pack.index_bytes;
    Ok(kept.filter(whole))
}

/// Whether everything of a pack is stored here as it was.
fn is_as_it_was(source: &StoreSource, index: &PackIndex) -> Result<bool> {
    for record in index.records.iter() {
        let Some(row) = source.snapshot().stored(record.kind, record.id)? else {
            return Ok(false);
        };
        let alone = record.bases.is_empty() && row.bases().next().is_some();
        let mut now = PackIndex::default();
        source.append(&mut now, record.kind, record.id, record.offset, alone)?;
        if now.records.get(0) != Some(record) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// What lost packs held that is not here, and that is needed there: by a manifest, a model, or
/// what is coded against it.
fn missing(
    source: &StoreSource,
    theirs: &PackedSource<'_>,
    known: &[Known<'_>],
) -> Result<Vec<String>> {
    let mut absent: HashSet<ContentId> = HashSet::new();
    let mut gone = Vec::new();
    for Known { pack, index, .. } in known {
        for record in index.records.iter() {
            if source.snapshot().stored(record.kind, record.id)?.is_none() {
                absent.insert(record.id);
            }
        }
        if let Some(name) = names_absent(theirs, index, &absent)? {
            gone.push(format!("{}: of {name} the manifest is not here", pack.path()));
        }
    }
    if absent.is_empty() {
        return Ok(gone);
    }
    let path = |id: ContentId| {
        let held = |known: &&Known<'_>| known.index.records.iter().any(|record| record.id == id);
        known.iter().find(held).map_or_else(String::new, |known| known.pack.path())
    };
    let lost: HashSet<usize> = known.iter().map(|known| known.place).collect();
    let contents = theirs.contents();
    let tensors = (0..contents.tensor_count()).filter_map(|number| contents.tensor_at(number));
    for (_, record) in tensors.filter(|(pack, _)| !lost.contains(pack)) {
        for base in record.bases.iter().filter(|base| absent.contains(*base)) {
            let id = record.id.short();
            gone.push(format!("{}: tensor {base}, which {id} is coded against", path(*base)));
        }
    }
    for (_, record) in contents.manifests().filter(|(_, record)| !absent.contains(&record.id)) {
        let bytes = match source.snapshot().stored(record.kind, record.id)? {
            Some(_) => source.manifest(record.id)?,
            None => theirs.manifest(record.id)?,
        };
        for tensor in Manifest::decode(&bytes)?.contents() {
            if absent.contains(&tensor.content_id) {
                let id = tensor.content_id;
                gone.push(format!("{}: tensor {:?}, {id}, is not here", path(id), tensor.name));
            }
        }
    }
    Ok(gone)
}

/// A model of the remote whose manifest was in this pack and is not here.
fn names_absent(
    theirs: &PackedSource<'_>,
    index: &PackIndex,
    absent: &HashSet<ContentId>,
) -> Result<Option<String>> {
    let held = |id: ContentId| absent.contains(&id) && index.records.iter().any(|it| it.id == id);
    for node in theirs.nodes().values() {
        if held(node.manifest_id()?) {
            return Ok(Some(node.full_name()));
        }
    }
    Ok(None)
}

/// A pack of the same contents and rows, as they are stored here now. A tensor stands alone where
/// what it is coded against now is neither before it there nor in front of it in the pack, so that
/// nothing can come to stand on itself. `written` are the tensors of packs that were drafted before.
fn draft(
    source: &StoreSource,
    index: PackIndex,
    has: &dyn Fn(ContentId) -> bool,
    written: &mut HashSet<ContentId>,
) -> Result<PackDraft> {
    let PackIndex { reader_flags, writer_flags, records, rows } = index;
    let mut new = PackIndex {
        reader_flags: (reader_flags | source.reader_flags) & READER_FLAGS_KNOWN,
        writer_flags,
        records: Records::default(),
        rows,
    };
    let mut end = pack::HEAD_LEN;
    for record in records.iter().filter(|record| record.kind == RecordKind::Manifest) {
        if source.snapshot().stored(record.kind, record.id)?.is_some() {
            end = source.append(&mut new, record.kind, record.id, end, false)?;
        }
    }
    let tensors = records.iter().filter(|record| record.kind == RecordKind::Tensor);
    let mut ids: Vec<ContentId> = tensors.map(|record| record.id).collect();
    ids.sort_unstable();
    ids.dedup();
    let bases = |at: u32| -> Result<Option<Vec<ContentId>>> {
        let Some(id) = ids.get(at as usize) else { return Ok(None) };
        let row = source.snapshot().stored(RecordKind::Tensor, *id)?;
        Ok(row.map(|row| row.bases().collect()))
    };
    let next = |at: u32, below: &mut Vec<u32>| {
        let found = bases(at)?.unwrap_or_default();
        below.extend(found.iter().filter_map(|id| ids.binary_search(id).ok()).map(|at| at as u32));
        Ok(())
    };
    let all: Vec<u32> = (0..ids.len() as u32).collect();
    let order = below_first(ids.len(), &all, &next, &|_| {
        TransferError::damaged(source.name(), "a tensor that is its own base")
    })?;
    for at in order {
        let (Some(id), Some(bases)) = (ids.get(at as usize), bases(at)?) else { continue };
        let alone = !bases.iter().all(|base| has(*base) || written.contains(base));
        end = source.append(&mut new, RecordKind::Tensor, *id, end, alone)?;
        written.insert(*id);
    }
    PackDraft::new(&new, end)
}
