//! Records: where they lie, their headers, indexes, checksums, bases, and what they decode to.

use std::collections::{BTreeMap, HashSet};

use rayon::prelude::*;

use super::{Check, Subject};
use crate::catalog::RecordRow;
use crate::codec::Encoding;
use crate::container::full_message;
use crate::format::{
    DATA_START, Extent, FEATURE_DEPTH_GAPS, PAYLOAD_ALIGN, RECORD_ALIGN, RECORD_HEADER_LEN,
    RecordHeader, RecordKind, SUPERBLOCK_LEN,
};
use crate::store::StoreError;
use crate::tensor::ContentId;

/// Pieces that contents are decoded and hashed in: a whole number of chunks of any usual length.
const PIECE_LEN: u64 = 1 << 20;

/// How often a slot is read again that a writer may just be writing.
const SLOT_TRIES: usize = 5;

/// What lies in a range of the file: by its place among its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Ranged {
    Catalogue,
    Tensor(u32),
    Manifest(u32),
    Change(u32),
}

impl Check<'_> {
    /// Both slots of the superblock can be read, so that either will do. The second one of a new
    /// store may be empty.
    pub(super) fn check_slots(&self) {
        let mut faults = Vec::new();
        for _ in 0..SLOT_TRIES {
            faults.clear();
            match self.container.superblock_slots() {
                Err(error) => faults.push(full_message(&error)),
                Ok(slots) => {
                    for (slot, number) in slots.into_iter().zip(0u64..) {
                        let offset = number * SUPERBLOCK_LEN as u64;
                        let empty = || {
                            let bytes = self.container.read(offset, SUPERBLOCK_LEN as u64);
                            bytes.is_ok_and(|bytes| bytes.iter().all(|byte| *byte == 0))
                        };
                        if let Err(error) = slot
                            && !(self.snapshot.sequence() == 0 && empty())
                        {
                            faults.push(format!(
                                "superblock slot at byte {offset}: {}",
                                full_message(&error)
                            ));
                        }
                    }
                }
            }
            if faults.is_empty() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        faults.into_iter().for_each(|fault| self.note(Subject::Store, fault));
    }

    /// Extents and records lie inside the file, behind the superblocks, and apart.
    pub(super) fn check_ranges(&self) {
        // Extents, and by their places tensors, manifests, change records.
        let mut ranges: Vec<(Extent, Ranged)> = Vec::new();
        let extents = self.container.superblock().extents;
        ranges.extend(extents.into_iter().map(|extent| (extent, Ranged::Catalogue)));
        let tensors = self.tensors.iter().zip(0..);
        ranges.extend(tensors.map(|((_, row), at)| (row.extent(), Ranged::Tensor(at))));
        let manifests: Vec<ContentId> = self.manifests.keys().copied().collect();
        let rows = self.manifests.values().zip(0..);
        ranges.extend(rows.map(|(row, at)| (row.extent(), Ranged::Manifest(at))));
        let changes: Vec<u64> = self.changes.keys().copied().collect();
        let rows = self.changes.values().zip(0..);
        ranges.extend(rows.map(|(row, at)| (row.extent(), Ranged::Change(at))));
        ranges.sort_unstable();
        let subject = |of: Ranged| {
            let found = match of {
                Ranged::Catalogue => None,
                Ranged::Tensor(at) => self.tensors.id(at as usize).map(Subject::Tensor),
                Ranged::Manifest(at) => manifests.get(at as usize).map(|id| Subject::Manifest(*id)),
                Ranged::Change(at) => changes.get(at as usize).map(|id| Subject::Change(*id)),
            };
            found.unwrap_or(Subject::Store)
        };
        let mut before = (DATA_START, Subject::Store);
        for (range, of) in ranges {
            let subject = subject(of);
            let Extent { offset, len } = range;
            match offset.checked_add(len) {
                Some(end) if end <= self.file_len => {}
                _ => {
                    let message = format!("{len} bytes at {offset} in a file of {}", self.file_len);
                    self.hurt(subject, message);
                }
            }
            if offset < before.0 {
                let message = format!("its range at {offset} overlaps that of {}", before.1);
                self.hurt(subject, message);
                if before.1 != Subject::Store {
                    self.hurt(before.1, format!("its range overlaps that of {subject}"));
                }
            }
            if !offset.is_multiple_of(RECORD_ALIGN) {
                self.note(subject, format!("it begins at {offset}, not a multiple of 64"));
            }
            if range.end() > before.0 {
                before = (range.end(), subject);
            }
        }
    }

    /// Every header, index and chunk checksum, and the rows against them.
    pub(super) fn check_records(&self) {
        (0..self.tensors.len()).into_par_iter().for_each(|at| {
            if let Some((id, row)) = self.tensors.at(at) {
                self.check_record(Subject::Tensor(id), RecordKind::Tensor, id, &row);
            }
        });
        self.manifests.par_iter().for_each(|(id, row)| {
            self.check_record(Subject::Manifest(*id), RecordKind::Manifest, *id, row);
        });
        for (sequence, row) in &self.changes {
            // Its row does not tell its id: the header does, and the next record's chain.
            match self.header(row) {
                Ok(header) => {
                    let subject = Subject::Change(*sequence);
                    self.check_record(subject, RecordKind::Change, header.content_id, row);
                }
                Err(message) => {
                    self.hurt(Subject::Change(*sequence), message);
                    self.done(row.len);
                }
            }
        }
    }

    /// The header that a row leads to.
    pub(super) fn header(&self, row: &RecordRow) -> Result<RecordHeader, String> {
        let bytes = self.container.read(row.offset, RECORD_HEADER_LEN as u64);
        let bytes = bytes.map_err(|error| full_message(&error))?;
        RecordHeader::decode(&bytes).map_err(|error| error.to_string())
    }

    fn check_record(&self, subject: Subject, kind: RecordKind, id: ContentId, row: &RecordRow) {
        match self.snapshot.open_record(kind, id, row) {
            Err(error) => self.hurt(subject, error.reason()),
            Ok(record) => {
                record.chunk_faults().into_iter().for_each(|fault| self.hurt(subject, fault));
                self.check_header(subject, row, record.header());
                let mut used = 0u32;
                for entry in record.chunks() {
                    used |= 1u32.checked_shl(entry.encoding.into()).unwrap_or(0);
                    match Encoding::from_code(entry.encoding) {
                        None => self.hurt(subject, format!("encoding {}", entry.encoding)),
                        Some(encoding) if encoding.needs_base() && row.base_id.is_none() => {
                            self.hurt(subject, "a delta without a base");
                        }
                        Some(_) => {}
                    }
                }
                if used != row.encodings {
                    let message =
                        format!("the catalogue says encodings {:#x}, not {used:#x}", row.encodings);
                    self.note(subject, message);
                }
            }
        }
        self.done(row.len);
    }

    fn check_header(&self, subject: Subject, row: &RecordRow, header: &RecordHeader) {
        let store_id = self.container.superblock().store_id;
        if !store_id.starts_with(&header.store_tag) {
            self.note(subject, format!("it is of another store ({:02x?})", header.store_tag));
        }
        let last = self.snapshot.sequence();
        if header.sequence == 0 || header.sequence > last {
            self.note(subject, format!("written by commit {} of {last}", header.sequence));
        }
        let payload = row.offset.saturating_add(u64::from(header.payload_offset));
        if !payload.is_multiple_of(PAYLOAD_ALIGN) {
            self.note(subject, format!("its payload begins at {payload}, not a multiple of 64"));
        }
    }

    /// Every base is there, less deep than what stands on it and, without a formula, as long.
    pub(super) fn check_bases(&self) {
        let gaps = self.container.superblock().reader_flags & FEATURE_DEPTH_GAPS != 0;
        for (id, row) in self.tensors.iter().filter(|(_, row)| !row.base_id.is_none()) {
            let subject = Subject::Tensor(id);
            let mut deepest = 0;
            for base_id in row.bases() {
                let Some(base) = self.tensors.get(&base_id) else {
                    self.hurt(subject, format!("its base {base_id} is missing"));
                    continue;
                };
                deepest = deepest.max(base.depth);
                if base.depth >= row.depth {
                    let (depth, below) = (row.depth, base.depth);
                    self.hurt(subject, format!("depth {depth}, its base {base_id} has {below}"));
                }
            }
            if !gaps && row.depth > deepest.saturating_add(1) {
                self.note(subject, format!("depth {} on bases of depth {deepest}", row.depth));
            }
        }
    }

    /// Decodes and hashes every tensor. What stands on damage is not decoded: it is known.
    pub(super) fn check_content_ids(&self) {
        let mut levels: BTreeMap<u8, Vec<u32>> = BTreeMap::new();
        for place in 0..self.tensors.len() {
            levels.entry(self.tensors.depth(place)).or_default().push(place as u32);
        }
        // What is hurt by itself, and what stands on it, from the roots upwards.
        let mut hurt: HashSet<ContentId> = HashSet::new();
        for (_, mut tensors) in levels {
            let own = self.hurt_subjects();
            tensors.retain(|place| {
                let Some((id, row)) = self.tensors.at(*place as usize) else { return false };
                let bad = own.contains(&Subject::Tensor(id))
                    || row.bases().any(|base| hurt.contains(&base));
                if bad {
                    hurt.insert(id);
                    self.done(row.raw_len);
                }
                !bad
            });
            tensors.sort_unstable_by_key(|place| self.tensors.offset(*place as usize));
            tensors.par_iter().for_each(|place| {
                if let Some((id, row)) = self.tensors.at(*place as usize) {
                    self.check_content_id(id, &row);
                }
            });
            let tensor = |subject| match subject {
                Subject::Tensor(id) => Some(id),
                _ => None,
            };
            hurt.extend(self.hurt_subjects().into_iter().filter_map(tensor));
        }
    }

    fn check_content_id(&self, id: ContentId, row: &RecordRow) {
        match self.hash(id, row) {
            Ok(found) if found == id => {}
            Ok(found) => self.hurt(Subject::Tensor(id), format!("its content hashes to {found}")),
            Err(message) => self.hurt(Subject::Tensor(id), message),
        }
    }

    fn hash(&self, id: ContentId, row: &RecordRow) -> Result<ContentId, String> {
        let chain = self.snapshot.open_chain(id, row.clone()).map_err(StoreError::reason)?;
        let mut hasher = blake3::Hasher::new();
        // A long content is hashed by all cores together, short ones a core each.
        let pieces = if chain.raw_len() > 16 * PIECE_LEN { 16 } else { 1 };
        let piece_len = (pieces * PIECE_LEN).max(chain.record().header().chunk_len());
        let mut piece = vec![0; piece_len.min(chain.raw_len()) as usize];
        let mut sketched = self.sketched(id, chain.raw_len());
        let mut start = 0;
        while start < chain.raw_len() {
            let len = piece_len.min(chain.raw_len() - start);
            let part = piece.get_mut(..len as usize).unwrap_or_default();
            chain.read_unchecked(start, part).map_err(StoreError::reason)?;
            hasher.update_rayon(part);
            sketched.iter_mut().for_each(|(_, sketcher)| sketcher.feed(start, part));
            self.done(len);
            start += len;
        }
        sketched.into_iter().for_each(|(kept, made)| self.check_sketch(id, &kept, &made.finish()));
        Ok(hasher.finalize().into())
    }
}
