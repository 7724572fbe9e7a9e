//! Records as the indexes of packs list them: columns, since there can be a million.

use crate::format::RecordKind;
use crate::tensor::ContentId;

/// One record of a pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PackedRecord<'r> {
    pub(super) kind: RecordKind,
    /// From the start of the pack.
    pub(super) offset: u64,
    /// Bytes of the record, padding behind it left out.
    pub(super) len: u64,
    pub(super) raw_len: u64,
    pub(super) id: ContentId,
    pub(super) bases: &'r [ContentId],
}

/// The records of one pack in their order: about 65 bytes each, and 32 a base.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Records {
    kinds: Vec<RecordKind>,
    offsets: Vec<u64>,
    lens: Vec<u64>,
    raw_lens: Vec<u64>,
    ids: Vec<ContentId>,
    /// Where the bases of each end in `bases`.
    base_ends: Vec<u32>,
    bases: Vec<ContentId>,
}

impl Records {
    /// An empty set with room for `count` records.
    pub(super) fn with_capacity(count: usize) -> Self {
        Records {
            kinds: Vec::with_capacity(count),
            offsets: Vec::with_capacity(count),
            lens: Vec::with_capacity(count),
            raw_lens: Vec::with_capacity(count),
            ids: Vec::with_capacity(count),
            base_ends: Vec::with_capacity(count),
            bases: Vec::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    /// Bytes that they take in an index.
    pub(super) fn encoded_len(&self) -> usize {
        64 * self.ids.len() + ContentId::LEN * self.bases.len()
    }

    pub(super) fn push(&mut self, record: PackedRecord<'_>) {
        self.kinds.push(record.kind);
        self.offsets.push(record.offset);
        self.lens.push(record.len);
        self.raw_lens.push(record.raw_len);
        self.ids.push(record.id);
        self.bases.extend_from_slice(record.bases);
        self.base_ends.push(self.bases.len() as u32);
    }

    /// The same, without room for more.
    pub(super) fn shrunk(mut self) -> Self {
        self.kinds.shrink_to_fit();
        self.offsets.shrink_to_fit();
        self.lens.shrink_to_fit();
        self.raw_lens.shrink_to_fit();
        self.ids.shrink_to_fit();
        self.base_ends.shrink_to_fit();
        self.bases.shrink_to_fit();
        self
    }

    pub(super) fn get(&self, at: usize) -> Option<PackedRecord<'_>> {
        let end = *self.base_ends.get(at)? as usize;
        let start = at.checked_sub(1).and_then(|before| self.base_ends.get(before)).copied();
        Some(PackedRecord {
            kind: *self.kinds.get(at)?,
            offset: *self.offsets.get(at)?,
            len: *self.lens.get(at)?,
            raw_len: *self.raw_lens.get(at)?,
            id: *self.ids.get(at)?,
            bases: self.bases.get(start.unwrap_or(0) as usize..end)?,
        })
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = PackedRecord<'_>> {
        (0..self.len()).map_while(|at| self.get(at))
    }
}

/// Which pack, and which of its records.
type Place = (u32, u32);

/// The records of several packs, found by content: of several of one content the first counts.
#[derive(Clone, Debug, Default)]
pub(super) struct Contents {
    packs: Vec<Records>,
    /// By content.
    tensors: Vec<Place>,
    manifests: Vec<Place>,
}

impl Contents {
    /// Adds a pack behind the others; what it holds is found once all are [settled](Self::settle).
    pub(super) fn add(&mut self, records: Records) -> usize {
        self.packs.push(records);
        self.packs.len() - 1
    }

    /// Sorts what was added. Cost: all records.
    pub(super) fn settle(&mut self) {
        let all = self.packs.iter().map(Records::len).sum();
        let (mut tensors, mut manifests) = (Vec::with_capacity(all), Vec::new());
        for (pack, records) in self.packs.iter().enumerate() {
            for (at, kind) in records.kinds.iter().enumerate() {
                match kind {
                    RecordKind::Manifest => manifests.push((pack as u32, at as u32)),
                    _ => tensors.push((pack as u32, at as u32)),
                }
            }
        }
        for places in [&mut tensors, &mut manifests] {
            places.sort_unstable_by_key(|place| (self.id_at(*place), *place));
            places.dedup_by_key(|place| self.id_at(*place));
        }
        (self.tensors, self.manifests) = (tensors, manifests);
    }

    fn id_at(&self, (pack, at): Place) -> Option<ContentId> {
        self.packs.get(pack as usize)?.ids.get(at as usize).copied()
    }

    fn position(&self, places: &[Place], id: ContentId) -> Option<usize> {
        places.binary_search_by_key(&Some(id), |place| self.id_at(*place)).ok()
    }

    fn found(&self, (pack, at): Place) -> Option<(usize, PackedRecord<'_>)> {
        Some((pack as usize, self.packs.get(pack as usize)?.get(at as usize)?))
    }

    /// Which pack has a tensor, and its record there.
    pub(super) fn tensor(&self, id: ContentId) -> Option<(usize, PackedRecord<'_>)> {
        self.tensor_at(self.tensor_number(id)?)
    }

    /// The number of a tensor among all, which are [`tensor_count`](Self::tensor_count).
    pub(super) fn tensor_number(&self, id: ContentId) -> Option<usize> {
        self.position(&self.tensors, id)
    }

    pub(super) fn tensor_count(&self) -> usize {
        self.tensors.len()
    }

    /// The tensor of a number.
    pub(super) fn tensor_at(&self, number: usize) -> Option<(usize, PackedRecord<'_>)> {
        self.found(*self.tensors.get(number)?)
    }

    /// Which pack has a manifest, and its record there.
    pub(super) fn manifest(&self, id: ContentId) -> Option<(usize, PackedRecord<'_>)> {
        self.found(*self.manifests.get(self.position(&self.manifests, id)?)?)
    }

    /// The manifests, by content.
    pub(super) fn manifests(&self) -> impl Iterator<Item = (usize, PackedRecord<'_>)> {
        self.manifests.iter().filter_map(|place| self.found(*place))
    }

    /// The records of a pack.
    pub(super) fn pack(&self, at: usize) -> Option<&Records> {
        self.packs.get(at)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_first_of_a_content_is_found() {
        let id = |name: &str| ContentId::of(name.as_bytes());
        let record = |kind, name: &str, offset| PackedRecord {
            kind,
            offset,
            len: 9,
            raw_len: 5,
            id: id(name),
            bases: &[],
        };
        let bases = [id("a"), id("b")];
        let (mut first, mut second) = (Records::with_capacity(2), Records::default());
        first.push(record(RecordKind::Manifest, "m", 64));
        first.push(PackedRecord { bases: &bases, ..record(RecordKind::Tensor, "t", 128) });
        second.push(record(RecordKind::Tensor, "t", 192));
        second.push(record(RecordKind::Tensor, "a", 256));
        let second = second.shrunk();
        assert_eq!(second.iter().map(|record| record.offset).collect::<Vec<_>>(), [192, 256]);
        let mut contents = Contents::default();
        assert_eq!((contents.add(first), contents.add(second)), (0, 1));
        contents.settle();
        let (pack, found) = contents.tensor(id("t")).unwrap();
        assert_eq!((pack, found.offset, found.bases), (0, 128, &bases[..]));
        let (pack, found) = contents.tensor(id("a")).unwrap();
        assert_eq!((pack, found.offset, found.bases), (1, 256, &[][..]));
        assert_eq!(contents.tensor_count(), 2);
        assert!(contents.tensor(id("m")).is_none() && contents.manifest(id("t")).is_none());
        assert_eq!(contents.manifest(id("m")).unwrap().1.offset, 64);
        assert_eq!(contents.manifests().count(), 1);
        assert!(contents.pack(2).is_none());
    }
}
