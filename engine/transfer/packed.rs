//! Models out of packs: of a remote, or of one file.

use std::io;
use std::sync::{Mutex, PoisonError};

use super::entry::{Nodes, Tests, node_id};
use super::pack::{INDEX_LEN_MAX, PackIndex};
use super::records::{Contents, PackedRecord};
use super::refs::Head;
use super::source::{Piece, RecordSource};
use super::{Remote, Result, TransferError};
use crate::catalog::{ReadTables, Table};
use crate::codec::{self, Encoding, Lane};
use crate::format::{CHUNK_ENTRY_LEN, ChunkEntry, RECORD_HEADER_LEN, RecordHeader};
use crate::lineage::ModelName;
use crate::store::TensorSource;
use crate::tensor::ContentId;

/// Bytes that are read ahead at most.
const WINDOW_LEN: u64 = 8 << 20;
/// The longest manifest that is read.
const MANIFEST_LEN_MAX: u64 = 1 << 30;

/// A file of a remote.
#[derive(Debug)]
pub(super) struct RemoteFile<'r> {
    pub(super) remote: &'r dyn Remote,
    pub(super) path: String,
}

impl TensorSource for RemoteFile<'_> {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.remote.get_range(&self.path, offset, out)
    }
}

/// One pack, read ahead as far as what is wanted reaches.
struct Pack<'r> {
    file: Box<dyn TensorSource + 'r>,
    /// What is wanted: runs of bytes, in order, apart from each other.
    runs: Mutex<Vec<(u64, u64)>>,
    /// What was read last: where it begins, and its bytes.
    window: Mutex<(u64, Vec<u8>)>,
}

impl Pack<'_> {
    fn want(&self, mut extents: Vec<(u64, u64)>) {
        extents.sort_unstable();
        let mut runs: Vec<(u64, u64)> = Vec::new();
        for (start, end) in extents {
            match runs.last_mut() {
                // Padding between two records is read along.
                Some((_, last)) if start <= last.saturating_add(64) => *last = end.max(*last),
                _ => runs.push((start, end)),
            }
        }
        *self.runs.lock().unwrap_or_else(PoisonError::into_inner) = runs;
    }

    fn read_ahead(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let len = out.len() as u64;
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        let part = |window: &(u64, Vec<u8>)| {
            let start = usize::try_from(offset.checked_sub(window.0)?).ok()?;
            Some((start, start.checked_add(out.len())?))
        };
        let has =
            |window: &(u64, Vec<u8>)| part(window).is_some_and(|(_, end)| end <= window.1.len());
        if !has(&window) {
            let runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
            let run = runs.iter().find(|(start, end)| *start <= offset && offset < *end);
            let end = run.map_or(offset, |(_, end)| *end).min(offset.saturating_add(WINDOW_LEN));
            let ahead = end.saturating_sub(offset).max(len);
            drop(runs);
            if ahead == len {
                return self.file.read_at(offset, out);
            }
            let mut bytes = vec![0; ahead as usize];
            window.1.clear();
            self.file.read_at(offset, &mut bytes)?;
            *window = (offset, bytes);
        }
        let (start, end) = part(&window).unwrap_or_default();
        let bytes = window.1.get(start..end).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(bytes);
        Ok(())
    }
}

/// Where a content is: which pack, and its record there.
type Found<'s> = (usize, PackedRecord<'s>);

/// The models of packs, the later ones' rows counting.
pub(super) struct PackedSource<'r> {
    name: String,
    id: Option<[u8; 16]>,
    packs: Vec<Pack<'r>>,
    nodes: Nodes,
    tests: Tests,
    writer_flags: u64,
    contents: Contents,
    /// Indexes that were read now, by the packs' ids.
    fresh: Vec<(ContentId, Vec<u8>)>,
}

impl TensorSource for Pack<'_> {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.read_ahead(offset, out)
    }
}

/// One record of a pack.
pub(super) struct Part<'f> {
    pub(super) file: &'f dyn TensorSource,
    pub(super) offset: u64,
    pub(super) len: u64,
}

impl TensorSource for Part<'_> {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if offset.saturating_add(out.len() as u64) > self.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.file.read_at(self.offset.saturating_add(offset), out)
    }
}

impl<'r> PackedSource<'r> {
    pub(super) fn empty(name: String) -> Self {
        PackedSource {
            name,
            id: None,
            packs: Vec::new(),
            nodes: Nodes::new(),
            tests: Tests::new(),
            writer_flags: 0,
            contents: Contents::default(),
            fresh: Vec::new(),
        }
    }

    /// Reads the indexes of the packs of a remote's last ref, as far as `kept` does not have them.
    pub(super) fn of_remote<T: ReadTables + ?Sized>(
        remote: &'r dyn Remote,
        head: &Head,
        kept: &T,
    ) -> Result<Self> {
        let mut source = PackedSource { id: head.id, ..Self::empty(remote.place()) };
        for pack in &head.packs {
            let path = pack.path();
            let what = format!("{}/{path}", source.name);
            let wrong = |reason| TransferError::damaged(&*what, reason);
            let id = pack.content_id().ok_or_else(|| wrong("its id"))?;
            let file = Box::new(RemoteFile { remote, path });
            let known = kept.get(Table::Packs, id.as_bytes())?;
            match known.filter(|index| ContentId::of(index) == id) {
                Some(index) => source.add_index(&what, file, &index, pack.index_offset)?,
                None => source.add(&what, file, pack.index_offset, pack.index_bytes, id)?,
            }
        }
        Ok(source.settled())
    }

    /// Ready, once all packs are added: until then nothing is found.
    pub(super) fn settled(mut self) -> Self {
        self.contents.settle();
        self
    }

    /// Adds a pack; its index must be of this id.
    pub(super) fn add(
        &mut self,
        what: &str,
        file: Box<dyn TensorSource + 'r>,
        offset: u64,
        len: u64,
        id: ContentId,
    ) -> Result<()> {
        if len > INDEX_LEN_MAX {
            return Err(TransferError::damaged(what, format!("an index of {len} bytes")));
        }
        // Piece by piece: a length that is a lie costs a piece.
        let mut bytes: Vec<u8> = Vec::new();
        while (bytes.len() as u64) < len {
            let done = bytes.len();
            let piece = (len - done as u64).min(WINDOW_LEN) as usize;
            bytes.try_reserve(piece).map_err(|error| TransferError::damaged(what, error))?;
            bytes.resize(done + piece, 0);
            let part = bytes.get_mut(done..).unwrap_or_default();
            let failed = TransferError::io("read the index of", what);
            file.read_at(offset.saturating_add(done as u64), part).map_err(failed)?;
        }
        if ContentId::of(&bytes) != id {
            return Err(TransferError::damaged(what, "its index hashes to another id"));
        }
        self.add_index(what, file, &bytes, offset)?;
        self.fresh.push((id, bytes));
        Ok(())
    }

    fn add_index(
        &mut self,
        what: &str,
        file: Box<dyn TensorSource + 'r>,
        bytes: &[u8],
        offset: u64,
    ) -> Result<()> {
        let index = PackIndex::decode(what, bytes, offset)?;
        self.writer_flags |= index.writer_flags;
        self.contents.add(index.records);
        self.tests.extend(index.rows.tests);
        for model in index.rows.models {
            // They are shown before anything of them is taken in.
            model.name.parse::<ModelName>()?;
            model.tags.iter().try_for_each(|tag| tag.parse::<ModelName>().map(drop))?;
            if model.version == 0 {
                return Err(TransferError::damaged(what, "a model of version 0"));
            }
            self.nodes.insert(node_id(&model.id)?, model);
        }
        let (runs, window) = (Mutex::default(), Mutex::default());
        self.packs.push(Pack { file, runs, window });
        Ok(())
    }

    pub(super) fn has_tensor(&self, id: ContentId) -> bool {
        self.contents.tensor_number(id).is_some()
    }

    /// What the packs hold, as their indexes say.
    pub(super) fn contents(&self) -> &Contents {
        &self.contents
    }

    pub(super) fn has_manifest(&self, id: ContentId) -> bool {
        self.contents.manifest(id).is_some()
    }

    fn part(&self, (place, record): Found<'_>) -> Result<Part<'_>> {
        let missing = || TransferError::damaged(self.name(), "a pack that is not there");
        let pack = self.packs.get(place).ok_or_else(missing)?;
        Ok(Part { file: pack, offset: record.offset, len: record.len })
    }

    fn want<'f>(&self, found: impl Iterator<Item = Found<'f>>) {
        let mut extents = vec![Vec::new(); self.packs.len()];
        for (place, record) in found {
            if let Some(extents) = extents.get_mut(place) {
                extents.push((record.offset, record.offset.saturating_add(record.len)));
            }
        }
        self.packs.iter().zip(extents).for_each(|(pack, extents)| pack.want(extents));
    }
}

impl RecordSource for PackedSource<'_> {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn id(&self) -> Option<[u8; 16]> {
        self.id
    }

    fn fresh(&self) -> &[(ContentId, Vec<u8>)] {
        // Of a bundle nothing is read a second time.
        if self.id.is_some() { &self.fresh } else { &[] }
    }

    fn nodes(&self) -> &Nodes {
        &self.nodes
    }

    fn tests(&self) -> &Tests {
        &self.tests
    }

    fn writer_flags(&self) -> u64 {
        self.writer_flags
    }

    fn manifest(&self, id: ContentId) -> Result<Vec<u8>> {
        let what = || format!("{}: manifest {}", self.name, id.short());
        let found = self.contents.manifest(id);
        let found = found.ok_or_else(|| TransferError::damaged(what(), "it is not there"))?;
        if found.1.len > MANIFEST_LEN_MAX || found.1.raw_len > MANIFEST_LEN_MAX {
            return Err(TransferError::damaged(what(), "longer than it may be"));
        }
        let mut record = vec![0; found.1.len as usize];
        let part = self.part(found)?;
        part.read_at(0, &mut record).map_err(TransferError::io("read", what()))?;
        let content =
            plain_content(&record).map_err(|reason| TransferError::damaged(what(), reason))?;
        match ContentId::of(&content) == id {
            true => Ok(content),
            false => Err(TransferError::damaged(what(), "it hashes to another id")),
        }
    }

    fn expect_manifests(&self, ids: &[ContentId]) {
        self.want(ids.iter().filter_map(|id| self.contents.manifest(*id)));
    }

    fn piece(&self, id: ContentId) -> Result<Option<Piece>> {
        Ok(self.contents.tensor(id).map(|(pack, record)| Piece {
            len: record.len,
            raw_len: None,
            bases: record.bases.to_vec(),
            place: (pack, record.offset),
        }))
    }

    fn is_far(&self) -> bool {
        // A bundle is a file that is here.
        self.id.is_some()
    }

    fn expect(&self, ids: &mut dyn Iterator<Item = ContentId>) {
        self.want(ids.filter_map(|id| self.contents.tensor(id)));
    }

    fn open<'s>(&'s self, id: ContentId, _: bool) -> Result<(u64, Box<dyn TensorSource + 's>)> {
        let missing = || TransferError::damaged(self.name(), format!("no tensor {}", id.short()));
        let found = self.contents.tensor(id).ok_or_else(missing)?;
        let part = self.part(found)?;
        Ok((part.len, Box::new(part)))
    }
}

/// The content of a record without a base, as it travels.
fn plain_content(record: &[u8]) -> std::result::Result<Vec<u8>, String> {
    let header = RecordHeader::decode(record).map_err(|error| error.to_string())?;
    let cut = || "it is cut short".to_owned();
    if header.depth > 0 || header.record_len() != record.len() as u64 {
        return Err("its header".to_owned());
    }
    // No chunk decodes to more than 256 times its stored bytes.
    if header.raw_len > MANIFEST_LEN_MAX || header.raw_len > header.stored_len.saturating_mul(256) {
        return Err(format!("{} bytes of content in {}", header.raw_len, header.stored_len));
    }
    let index_end = RECORD_HEADER_LEN.saturating_add(header.index_len() as usize);
    let index = record.get(RECORD_HEADER_LEN..index_end).ok_or_else(cut)?;
    let mut payload = record.get(header.payload_offset as usize..).ok_or_else(cut)?;
    let mut content = vec![0; header.raw_len as usize];
    let chunks = content.chunks_mut(header.chunk_len() as usize);
    for (entry, out) in index.chunks(CHUNK_ENTRY_LEN).zip(chunks) {
        let entry = ChunkEntry::decode(entry).map_err(|error| error.to_string())?;
        let (stored, rest) = payload.split_at_checked(entry.stored_len as usize).ok_or_else(cut)?;
        payload = rest;
        let encoding = Encoding::from_code(entry.encoding).filter(|known| !known.needs_base());
        let encoding = encoding.ok_or_else(|| format!("encoding {}", entry.encoding))?;
        codec::decode(encoding, Lane::BYTES, stored, out).map_err(|error| error.to_string())?;
    }
    Ok(content)
}
