//! Whether packs can be read: every record's checksums, and that everything they name is there.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::{Mutex, PoisonError};

use super::entry::{Nodes, node_id};
use super::pack::{self, HEAD_LEN, INDEX_LEN_MAX, PackIndex, PackedRecord, TRAILER_LEN};
use super::plan::below_first;
use super::{Result, TransferError};
use crate::format::{Manifest, RecordKind};
use crate::lineage::NodeId;
use crate::store::{TensorSource, TravellingHead};
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

/// What packs hold together.
#[derive(Debug, Default)]
pub(super) struct Closure {
    /// Bytes and bases of each tensor.
    tensors: HashMap<ContentId, (u64, Vec<ContentId>)>,
    manifests: HashSet<ContentId>,
    pub(super) nodes: Nodes,
    /// What was added, and is to be closed: tensors, manifests with what they name, models.
    new_tensors: Vec<ContentId>,
    new_manifests: Vec<(ContentId, Manifest)>,
    new_nodes: Vec<NodeId>,
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

/// One record of a file.
struct Part<'f> {
    file: &'f dyn TensorSource,
    offset: u64,
    len: u64,
}

impl TensorSource for Part<'_> {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if offset.saturating_add(out.len() as u64) > self.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.file.read_at(self.offset.saturating_add(offset), out)
    }
}

/// Checks one pack by itself and adds it to what is there. With `payload`, every checksum. Gives
/// back how much was looked at, and what is wrong. Cost: reads all of it, or of every tensor the
/// head.
pub(super) fn check_pack(
    file: &dyn TensorSource,
    at: IndexAt,
    payload: bool,
    closure: &mut Closure,
    progress: &dyn Fn(u64),
) -> (Looked, Vec<String>) {
    let mut looked = Looked::default();
    let mut faults = Vec::new();
    let index = match read_index(file, at) {
        Ok(index) => index,
        Err(fault) => return (looked, vec![fault]),
    };
    let piece_len = if payload { PIECE_LEN } else { SHORT_PIECE_LEN };
    let file = &Ahead { file, end: at.offset, piece_len, window: Mutex::default() };
    for record in &index.records {
        match check_record(file, record, payload || record.kind == RecordKind::Manifest) {
            Ok(content) => closure.add(record, content, &mut faults),
            Err(fault) => {
                faults.push(format!("record of {} at byte {}: {fault}", record.id, record.offset));
                // Its models are hurt by this, and not by its absence too.
                closure.know(record);
            }
        }
        looked.records += 1;
        looked.bytes += record.len;
        progress(record.len);
    }
    for model in index.rows.models {
        match node_id(&model.id) {
            Ok(id) => {
                closure.new_nodes.push(id);
                closure.nodes.insert(id, model);
            }
            Err(error) => faults.push(error.to_string()),
        }
    }
    looked.bytes += HEAD_LEN + at.len + TRAILER_LEN;
    (looked, faults)
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

/// A record against what the index says of it; gives back a manifest's bytes.
fn check_record(
    file: &dyn TensorSource,
    record: &PackedRecord,
    payload: bool,
) -> std::result::Result<Vec<u8>, String> {
    let part = Part { file, offset: record.offset, len: record.len };
    let reason = |error: crate::store::Error| error.reason();
    let head = TravellingHead::read(record.kind, record.id, record.len, &part).map_err(reason)?;
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

impl Closure {
    /// What is there already, and is not looked at.
    pub(super) fn of(
        tensors: HashMap<ContentId, (u64, Vec<ContentId>)>,
        manifests: HashSet<ContentId>,
        nodes: Nodes,
    ) -> Self {
        Closure { tensors, manifests, nodes, ..Closure::default() }
    }

    /// Counts a content as there, whatever is wrong with it.
    fn know(&mut self, record: &PackedRecord) {
        match record.kind {
            RecordKind::Manifest => drop(self.manifests.insert(record.id)),
            _ => {
                let known = (record.raw_len, record.bases.clone());
                self.tensors.entry(record.id).or_insert(known);
            }
        }
    }

    fn add(&mut self, record: &PackedRecord, content: Vec<u8>, faults: &mut Vec<String>) {
        self.know(record);
        if record.kind != RecordKind::Manifest {
            return self.new_tensors.push(record.id);
        }
        match Manifest::decode(&content) {
            Ok(manifest) => self.new_manifests.push((record.id, manifest)),
            Err(error) => faults.push(format!("manifest {}: {error}", record.id)),
        }
    }

    /// What was added and names something that is not there.
    pub(super) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for id in &self.new_tensors {
            let bases = self.tensors.get(id).map_or(&[][..], |(_, bases)| bases);
            for base in bases.iter().filter(|base| !self.tensors.contains_key(*base)) {
                faults.push(format!("tensor {id}: its base {base} is not there"));
            }
        }
        let known = |id: &ContentId| -> Result<Vec<ContentId>> {
            let bases = self.tensors.get(id).map(|(_, bases)| bases.iter());
            Ok(bases.into_iter().flatten().copied().collect())
        };
        let circle =
            |id: &ContentId| TransferError::damaged(format!("tensor {id}"), "its own base");
        if let Err(error) = below_first(&self.new_tensors, &known, &circle) {
            faults.push(error.to_string());
        }
        for (id, manifest) in &self.new_manifests {
            for tensor in &manifest.tensors {
                let (name, wants) = (&tensor.name, tensor.byte_len);
                match self.tensors.get(&tensor.content_id) {
                    Some((len, _)) if *len == wants => {}
                    Some((len, _)) => faults
                        .push(format!("manifest {id}: {wants} bytes of {name:?}, which has {len}")),
                    None => faults.push(format!("manifest {id}: its tensor {name:?} is not there")),
                }
            }
        }
        for model in self.new_nodes.iter().filter_map(|id| self.nodes.get(id)) {
            let name = model.full_name();
            match model.manifest_id() {
                Ok(id) if self.manifests.contains(&id) => {}
                Ok(id) => faults.push(format!("{name}: its manifest {id} is not there")),
                Err(error) => faults.push(format!("{name}: {error}")),
            }
            match model.upward() {
                Ok(ids) => {
                    for id in ids.iter().filter(|id| !self.nodes.contains_key(*id)) {
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
