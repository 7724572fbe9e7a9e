//! Which byte of the file belongs to what.

use std::collections::BTreeMap;

use crate::catalog::{RecordRow, Table};
use crate::format::{DATA_START, Extent, RECORD_ALIGN};

/// What the records of one kind take, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct RecordParts {
    /// How many there are.
    pub records: u64,
    /// Their payloads.
    pub payload_bytes: u64,
    /// Headers, chunk indexes, formulas, and the way from there to the aligned payload.
    pub frame_bytes: u64,
}

/// What every byte of a file is, in bytes. The parts add up to the file's length exactly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileParts {
    /// Both slots.
    pub superblock_bytes: u64,
    /// Keys and values of the catalogue.
    pub catalog_row_bytes: u64,
    /// What else the pages of its tables take: the trees above the rows, and room in pages.
    pub catalog_page_bytes: u64,
    /// The rest of its extents: free pages, and what the database keeps for itself.
    pub catalog_rest_bytes: u64,
    /// Tensors that models name.
    pub tensors: RecordParts,
    /// Tensors that only deltas need.
    pub hidden: RecordParts,
    /// Manifests.
    pub manifests: RecordParts,
    /// Change records.
    pub changes: RecordParts,
    /// What lies between the end of a record and the next place where one could begin.
    pub padding_bytes: u64,
    /// Free, with something behind it.
    pub free_bytes: u64,
    /// Free, at the end of the file.
    pub tail_bytes: u64,
}

/// As an object of the names and lengths of [`list`](FileParts::list).
impl serde::Serialize for FileParts {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.list())
    }
}

impl FileParts {
    /// The parts by name, in the order of the fields.
    pub fn list(&self) -> Vec<(&'static str, u64)> {
        vec![
            ("superblocks", self.superblock_bytes),
            ("catalogue-rows", self.catalog_row_bytes),
            ("catalogue-pages", self.catalog_page_bytes),
            ("catalogue-rest", self.catalog_rest_bytes),
            ("tensors-payload", self.tensors.payload_bytes),
            ("tensors-frame", self.tensors.frame_bytes),
            ("hidden-payload", self.hidden.payload_bytes),
            ("hidden-frame", self.hidden.frame_bytes),
            ("manifests-payload", self.manifests.payload_bytes),
            ("manifests-frame", self.manifests.frame_bytes),
            ("changes-payload", self.changes.payload_bytes),
            ("changes-frame", self.changes.frame_bytes),
            ("padding", self.padding_bytes),
            ("free", self.free_bytes),
            ("tail", self.tail_bytes),
        ]
    }

    /// What they add up to: the length of the file.
    pub fn sum(&self) -> u64 {
        self.list().iter().map(|(_, bytes)| bytes).sum()
    }
}

/// Whose a range of the file is. The earlier one counts where two begin at one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Owner {
    Superblocks,
    Catalogue,
    Payload(Kind),
    Frame(Kind),
    Padding,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Tensor,
    Hidden,
    Manifest,
    Change,
}

fn kind_of(table: Table, row: &RecordRow) -> Kind {
    match table {
        Table::Tensors if row.holders > 0 => Kind::Tensor,
        Table::Tensors => Kind::Hidden,
        Table::Manifests => Kind::Manifest,
        _ => Kind::Change,
    }
}

/// The parts of a file of `len` bytes. `rows` and `pages` are the bytes of the catalogue's rows
/// and of their pages. What is covered twice, which is damage, counts once.
pub(super) fn parts(
    len: u64,
    extents: &[Extent],
    records: &[(Table, RecordRow)],
    (rows, pages): (u64, u64),
) -> FileParts {
    let mut pieces: Vec<(u64, u64, Owner)> = vec![(0, DATA_START, Owner::Superblocks)];
    pieces.extend(extents.iter().map(|e| (e.offset, e.end(), Owner::Catalogue)));
    let mut counts: BTreeMap<Kind, u64> = BTreeMap::new();
    for (table, row) in records {
        let kind = kind_of(*table, row);
        *counts.entry(kind).or_default() += 1;
        let end = row.extent().end();
        let payload = end.saturating_sub(row.stored_len).max(row.offset);
        let behind = end.checked_next_multiple_of(RECORD_ALIGN).unwrap_or(end);
        pieces.push((row.offset, payload, Owner::Frame(kind)));
        pieces.push((payload, end, Owner::Payload(kind)));
        pieces.push((end, behind, Owner::Padding));
    }
    pieces.sort_unstable_by_key(|(start, end, owner)| (*start, *owner, *end));
    let mut bytes: BTreeMap<Owner, u64> = BTreeMap::new();
    let (mut free, mut at) = (0, 0u64);
    for (start, end, owner) in pieces {
        let (start, end) = (start.min(len), end.min(len));
        free += start.saturating_sub(at);
        *bytes.entry(owner).or_default() += end.saturating_sub(start.max(at));
        at = at.max(end);
    }
    let of = |owner: Owner| bytes.get(&owner).copied().unwrap_or(0);
    let records = |kind| RecordParts {
        records: counts.get(&kind).copied().unwrap_or(0),
        payload_bytes: of(Owner::Payload(kind)),
        frame_bytes: of(Owner::Frame(kind)),
    };
    let catalogue = of(Owner::Catalogue);
    let catalog_row_bytes = rows.min(catalogue);
    let catalog_page_bytes = pages.min(catalogue) - rows.min(pages).min(catalogue);
    FileParts {
        superblock_bytes: of(Owner::Superblocks),
        catalog_row_bytes,
        catalog_page_bytes,
        catalog_rest_bytes: (catalogue - catalog_row_bytes).saturating_sub(catalog_page_bytes),
        tensors: records(Kind::Tensor),
        hidden: records(Kind::Hidden),
        manifests: records(Kind::Manifest),
        changes: records(Kind::Change),
        padding_bytes: of(Owner::Padding),
        free_bytes: free,
        tail_bytes: len.saturating_sub(at),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::ContentId;

    fn row(offset: u64, len: u64, stored_len: u64) -> (Table, RecordRow) {
        let row = RecordRow {
            offset,
            len,
            raw_len: stored_len,
            stored_len,
            base_id: ContentId::NONE,
            depth: 0,
            formula: 0,
            encodings: 0,
            holders: 1,
            dependents: 0,
            more_bases: Vec::new(),
        };
        (Table::Tensors, row)
    }

    #[test]
    fn what_is_covered_twice_or_not_there_counts_once() {
        let extents = [Extent { offset: 8192, len: 4096 }, Extent { offset: 16384, len: 8192 }];
        let records = [row(12288, 200, 8), row(12288, 200, 8), row(12800, 64, 100)];
        let found = parts(20_000, &extents, &records, (1000, 3000));
        assert_eq!(found.sum(), 20_000, "{found:?}");
        assert_eq!((found.tensors.records, found.padding_bytes), (3, 56));
        assert_eq!((found.tensors.frame_bytes, found.tensors.payload_bytes), (192, 8 + 64));
        assert_eq!((found.free_bytes, found.tail_bytes), (256 + 3520, 0));
        assert_eq!(found.catalog_row_bytes + found.catalog_page_bytes, 3000);
        let found = parts(9000, &[], &[row(u64::MAX - 9, 9, 3)], (5, 1));
        assert_eq!((found.sum(), found.free_bytes), (9000, 808));
        assert_eq!(parts(10, &extents, &records, (9, 9)).sum(), 10);
    }
}
