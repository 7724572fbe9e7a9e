//! Whether packs can be read: every record's checksums, and that everything they name is there.

use std::io;
use std::sync::{Mutex, PoisonError};

use super::TransferError;
use super::entry::{Nodes, node_id};
use super::order::below_first;
use super::pack::{self, HEAD_LEN, INDEX_LEN_MAX, PackIndex, TRAILER_LEN};
use super::packed::{PackedSource, Part};
use super::records::{Contents, PackedRecord, Records};
use super::source::RecordSource;
use crate::format::{Manifest, RecordKind};
use crate::lineage::NodeId;
use crate::store::{PackedHead, TensorSource};
use crate::tensor::ContentId;

/// Bytes that are read at a time: of whole packs, and of their heads alone.
const PIECE_LEN: u64 = 8 << 20;
const SHORT_PIECE_LEN: u64 = 1 << 16;

/// Where the index of a pack lies, and its id.
#[derive(Clone, Copy, Debug)]
pub(super) struct IndexAt {
    pub(super) offset: u64,
    pub(super) len: u64,
    pub(super) id: ContentId,
}

/// Packs that are checked together: first all are [opened](Self::open), then what they hold is
/// [settled](Self::settle), then each is [checked](Self::check).
#[derive(Default)]
pub(super) struct Closure<'p> {
    /// What is there already, and is not looked at.
    there: Option<&'p PackedSource<'p>>,
    contents: Contents,
    /// The models of the packs.
    pub(super) nodes: Nodes,
    /// What manifests name and is not there.
    faults: Vec<String>,
}

/// A pack whose index was read.
#[derive(Debug)]
pub(super) struct Opened {
    pack: usize,
    at: IndexAt,
    faults: Vec<String>,
}

/// How much was looked at.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Looked {
    pub(super) records: u64,
    pub(super) bytes: u64,
}

/// A file that is read from its beginning to its end, in pieces.
struct Ahead<'f> {
    file: &'f dyn TensorSource,
    end: u64,
    piece_len: u64,
    /// What was read last: where it begins, and its bytes.
    window: Mutex<(u64, Vec<u8>)>,
}

impl TensorSource for Ahead<'_> {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        let place = |window: &(u64, Vec<u8>)| {
            let from = usize::try_from(offset.checked_sub(window.0)?).ok()?;
            Some(from..from.checked_add(out.len())?)
        };
        let has = place(&window).is_some_and(|range| window.1.get(range).is_some());
        if !has {
            let len = self.piece_len.min(self.end.saturating_sub(offset));
            if (out.len() as u64) >= len {
                return self.file.read_at(offset, out);
            }
            let mut bytes = vec![0; len as usize];
            self.file.read_at(offset, &mut bytes)?;
            *window = (offset, bytes);
        }
        let range = place(&window).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(window.1.get(range).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

/// Head, trailer and index of a pack.
fn read_index(file: &dyn TensorSource, at: IndexAt) -> std::result::Result<PackIndex, String> {
    let read = |offset: u64, len: u64| -> std::result::Result<Vec<u8>, String> {
        let mut bytes: Vec<u8> = Vec::new();
        while (bytes.len() as u64) < len {
            let done = bytes.len();
            let piece = (len - done as u64).min(PIECE_LEN) as usize;
            bytes.try_reserve(piece).map_err(|error| error.to_string())?;
            bytes.resize(done + piece, 0);
            let part = bytes.get_mut(done..).unwrap_or_default();
            let failed = |error| format!("cannot be read at byte {offset}: {error}");
            file.read_at(offset.saturating_add(done as u64), part).map_err(failed)?;
        }
        Ok(bytes)
    };
    if at.len > INDEX_LEN_MAX {
        return Err(format!("an index of {} bytes", at.len));
    }
    if read(0, HEAD_LEN)? != pack::head() {
        return Err("its head is not that of a pack".to_owned());
    }
    let trailer = read(at.offset.saturating_add(at.len), TRAILER_LEN)?;
    let said = pack::read_trailer("its trailer", &trailer).map_err(|error| error.to_string())?;
    if said != (at.offset, at.len, at.id) {
        return Err("its trailer names another index".to_owned());
    }
    let bytes = read(at.offset, at.len)?;
    if ContentId::of(&bytes) != at.id {
        return Err("its index hashes to another id".to_owned());
    }
    PackIndex::decode("its index", &bytes, at.offset).map_err(|error| error.to_string())
}

/// Checks a record against its row of the index; returns a manifest's bytes.
fn check_record(
    file: &dyn TensorSource,
    record: PackedRecord<'_>,
    payload: bool,
) -> std::result::Result<Vec<u8>, String> {
    let part = Part { file, offset: record.offset, len: record.len };
    let reason = |error: crate::store::StoreError| error.reason();
    let head = PackedHead::read(record.kind, record.id, record.len, &part).map_err(reason)?;
    if head.header.raw_len != record.raw_len {
        let (said, found) = (record.raw_len, head.header.raw_len);
        return Err(format!("{found} bytes of content, the index says {said}"));
    }
    if head.bases() != record.bases {
        return Err("other bases than the index says".to_owned());
    }
    let mut content = Vec::new();
    let is_manifest = record.kind == RecordKind::Manifest;
    if payload {
        let keep = &mut |bytes: &[u8]| {
            if is_manifest {
                content.extend_from_slice(bytes);
            }
        };
        head.check_payload(&part, keep).map_err(reason)?;
    }
    Ok(content)
}

impl<'p> Closure<'p> {
    /// Beside what is there already.
    pub(super) fn beside(there: &'p PackedSource<'p>) -> Self {
        Closure { there: Some(there), ..Closure::default() }
    }

    /// Reads the index of a pack and counts all that it names as there: whatever is wrong with a
    /// record, its models are hurt by this, and not by its absence too.
    ///
    /// # Errors
    ///
    /// What is wrong.
    pub(super) fn open(
        &mut self,
        file: &dyn TensorSource,
        at: IndexAt,
    ) -> std::result::Result<Opened, String> {
        let index = read_index(file, at)?;
        let mut faults = Vec::new();
        for model in index.rows.models {
            match node_id(&model.id) {
                Ok(id) => drop(self.nodes.insert(id, model)),
                Err(error) => faults.push(error.to_string()),
            }
        }
        Ok(Opened { pack: self.contents.add(index.records), at, faults })
    }

    /// Once all packs are open.
    pub(super) fn settle(&mut self) {
        self.contents.settle();
    }

    /// Checks one pack by itself, and what its manifests name. With `payload`, every checksum.
    /// Returns the number of bytes checked, and what is wrong with the pack. Cost: reads all of it,
    /// or of every tensor the head.
    pub(super) fn check(
        &mut self,
        opened: Opened,
        file: &dyn TensorSource,
        payload: bool,
        progress: &dyn Fn(u64),
    ) -> (Looked, Vec<String>) {
        let Opened { pack, at, mut faults } = opened;
        let mut looked = Looked { records: 0, bytes: HEAD_LEN + at.len + TRAILER_LEN };
        let piece_len = if payload { PIECE_LEN } else { SHORT_PIECE_LEN };
        let file = &Ahead { file, end: at.offset, piece_len, window: Mutex::default() };
        let mut missing = Vec::new();
        for record in self.contents.pack(pack).into_iter().flat_map(Records::iter) {
            let is_manifest = record.kind == RecordKind::Manifest;
            match check_record(file, record, payload || is_manifest) {
                Ok(content) if is_manifest => match Manifest::decode(&content) {
                    Ok(manifest) => {
                        drop(content);
                        self.look_up(record.id, &manifest, &mut missing);
                    }
                    Err(error) => faults.push(format!("manifest {}: {error}", record.id)),
                },
                Ok(_) => {}
                Err(fault) => {
                    let (id, offset) = (record.id, record.offset);
                    faults.push(format!("record of {id} at byte {offset}: {fault}"));
                }
            }
            looked.records += 1;
            looked.bytes += record.len;
            progress(record.len);
        }
        self.faults.append(&mut missing);
        (looked, faults)
    }

    fn raw_len(&self, id: ContentId) -> Option<u64> {
        let there = || self.there.and_then(|there| there.contents().tensor(id));
        self.contents.tensor(id).or_else(there).map(|(_, record)| record.raw_len)
    }

    fn has_manifest(&self, id: ContentId) -> bool {
        self.contents.manifest(id).is_some()
            || self.there.is_some_and(|there| there.has_manifest(id))
    }

    fn has_node(&self, id: &NodeId) -> bool {
        self.nodes.contains_key(id)
            || self.there.is_some_and(|there| there.nodes().contains_key(id))
    }

    /// What a manifest names and is not there.
    fn look_up(&self, id: ContentId, manifest: &Manifest, faults: &mut Vec<String>) {
        for tensor in manifest.contents() {
            let (name, wants) = (&tensor.name, tensor.byte_len);
            match self.raw_len(tensor.content_id) {
                Some(len) if len == wants => {}
                Some(len) => faults
                    .push(format!("manifest {id}: {wants} bytes of {name:?}, which has {len}")),
                None => faults.push(format!("manifest {id}: its tensor {name:?} is not there")),
            }
        }
    }

    /// What names something that is not there: bases of tensors, tensors of manifests that were
    /// checked, manifests and edges of models.
    pub(super) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let record = |number: usize| self.contents.tensor_at(number).map(|(_, record)| record);
        for record in (0..self.contents.tensor_count()).filter_map(record) {
            for base in record.bases.iter().filter(|base| self.raw_len(**base).is_none()) {
                faults.push(format!("tensor {}: its base {base} is not there", record.id));
            }
        }
        let numbers: Vec<u32> = (0..self.contents.tensor_count() as u32).collect();
        let bases = |number: u32, below: &mut Vec<u32>| {
            let bases = record(number as usize).map_or(&[][..], |record| record.bases);
            let number = |id: &ContentId| self.contents.tensor_number(*id);
            below.extend(bases.iter().filter_map(number).map(|number| number as u32));
            Ok(())
        };
        let circle = |number: u32| {
            let id = record(number as usize).map_or(ContentId::NONE, |record| record.id);
            TransferError::damaged(format!("tensor {id}"), "its own base")
        };
        if let Err(error) = below_first(numbers.len(), &numbers, &bases, &circle) {
            faults.push(error.to_string());
        }
        faults.extend(self.faults.iter().cloned());
        for model in self.nodes.values() {
            let name = model.full_name();
            match model.manifest_id() {
                Ok(id) if self.has_manifest(id) => {}
                Ok(id) => faults.push(format!("{name}: its manifest {id} is not there")),
                Err(error) => faults.push(format!("{name}: {error}")),
            }
            match model.upward() {
                Ok(ids) => {
                    for id in ids.iter().filter(|id| !self.has_node(id)) {
                        faults.push(format!(
                            "{name}: model {id}, which an edge leads to, is not there"
                        ));
                    }
                }
                Err(error) => faults.push(format!("{name}: {error}")),
            }
        }
        faults
    }
}
