//! Which contents can be decoded from what was found, and from which records.

use std::collections::{HashMap, HashSet};

use super::scan::Found;
use crate::format::{RecordHeader, RecordKind};
use crate::tensor::ContentId;

/// The records of each content, and the ones that were chosen.
#[derive(Debug)]
pub(super) struct Resolver<'r> {
    records: &'r [Found],
    /// Where the tensor records of each content are in `records`, the best first.
    by_id: HashMap<ContentId, Vec<usize>>,
    /// The record of each content that was asked for and can be decoded.
    chosen: HashMap<ContentId, usize>,
    /// Below which depth there is none of a content, and why.
    failed: HashMap<ContentId, (u8, String)>,
}

impl<'r> Resolver<'r> {
    /// `preferred` says where the catalogue has a content, where there is a catalogue; of other
    /// records the newest comes first: an older one is what an earlier state has left.
    pub(super) fn new(records: &'r [Found], preferred: &HashMap<ContentId, u64>) -> Self {
        let mut by_id: HashMap<ContentId, Vec<usize>> = HashMap::new();
        for (place, found) in records.iter().enumerate() {
            if found.header.kind == RecordKind::Tensor {
                by_id.entry(found.header.content_id).or_default().push(place);
            }
        }
        for (id, places) in &mut by_id {
            places.sort_by_key(|place| {
                let found = records.get(*place);
                let named = found.map(|found| found.offset) == preferred.get(id).copied();
                (!named, std::cmp::Reverse(found.map(|found| found.header.sequence)))
            });
        }
        Resolver { records, by_id, chosen: HashMap::new(), failed: HashMap::new() }
    }

    /// Whether a content can be decoded: if not, why, down to the base that is lost.
    pub(super) fn resolve(&mut self, id: ContentId) -> Result<(), String> {
        self.record_of(id, u8::MAX).map(|_| ())
    }

    /// The chosen record of a content and those of all that it is decoded from, each once. Another
    /// may be chosen as long as there is something to resolve.
    pub(super) fn chain(&self, id: ContentId) -> Vec<&'r Found> {
        let (mut ids, mut at) = (vec![id], 0);
        let mut seen: HashSet<ContentId> = HashSet::from([id]);
        let mut chain: Vec<&'r Found> = Vec::new();
        while let Some(id) = ids.get(at) {
            at += 1;
            let Some(found) = self.chosen.get(id).and_then(|at| self.records.get(*at)) else {
                continue;
            };
            ids.extend(found.row().bases().filter(|base| seen.insert(*base)));
            chain.push(found);
        }
        chain
    }

    /// The record of a content, less deep than what stands on it.
    fn record_of(&mut self, id: ContentId, below: u8) -> Result<usize, String> {
        let chosen = self.chosen.get(&id).copied();
        let before = chosen.and_then(|place| self.records.get(place)).map(|found| &found.header);
        if let (Some(place), Some(header)) = (chosen, before)
            && header.depth < below
        {
            return Ok(place);
        }
        // What cannot be had below some depth cannot be had below a lesser one.
        if let Some((bound, reason)) = self.failed.get(&id)
            && below <= *bound
        {
            return Err(reason.clone());
        }
        let places = self.by_id.get(&id).cloned().unwrap_or_default();
        let mut reason = match before {
            Some(_) => format!("content {} is there, but too deep", id.short()),
            None => format!("no record of content {} is left", id.short()),
        };
        for place in places {
            let Some(found) = self.records.get(place) else { continue };
            // One that is chosen anew must do for what stands on the one before, too.
            let is_longer = |before: &RecordHeader| found.header.chunk_log2 > before.chunk_log2;
            if found.header.depth >= below || before.is_some_and(is_longer) {
                continue;
            }
            let usable = match &found.fault {
                Some(fault) => Err(fault.clone()),
                None => self.check_bases(found),
            };
            match usable {
                Ok(()) => {
                    // Something that it stands on may stand on a less deep one of this content.
                    let depth = |place: &usize| self.records.get(*place).map(|f| f.header.depth);
                    let other = self.chosen.get(&id).copied();
                    let place = other.filter(|o| depth(o) < depth(&place)).unwrap_or(place);
                    self.chosen.insert(id, place);
                    return Ok(place);
                }
                Err(fault) => {
                    reason = format!("content {} at byte {}: {fault}", id.short(), found.offset);
                }
            }
        }
        self.failed.insert(id, (below, reason.clone()));
        Err(reason)
    }

    /// Every base of a record is there, less deep, in chunks that are not longer and, without a
    /// formula, as long. So this calls itself at most as often as a chain is deep.
    fn check_bases(&mut self, found: &Found) -> Result<(), String> {
        let header = &found.header;
        for id in found.row().bases() {
            let base = self
                .record_of(id, header.depth)
                .map_err(|reason| format!("its base is lost: {reason}"))?;
            let base = self.records.get(base).map(|found| &found.header);
            let fits = base.is_some_and(|base| {
                (found.formula != 0 || base.raw_len == header.raw_len)
                    && base.chunk_log2 <= header.chunk_log2
            });
            if !fits {
                return Err(format!("content {} is not its base", id.short()));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::format::CHUNK_LOG2;

    fn found(what: &[u8], base: Option<&[u8]>, depth: u8, sequence: u64) -> Found {
        let header = RecordHeader {
            kind: RecordKind::Tensor,
            dtype_code: 0,
            chunk_log2: CHUNK_LOG2,
            depth,
            payload_offset: 192,
            raw_len: 1,
            stored_len: 1,
            content_id: ContentId::of(what),
            base_id: base.map_or(ContentId::NONE, ContentId::of),
            sequence,
            store_tag: [0; 4],
            index_crc: 0,
            formula_len: 0,
            formula_crc: 0,
        };
        let offset = 8192 + 64 * u64::from(depth) + 1024 * sequence;
        Found { offset, header, encodings: 0, formula: 0, more_bases: Vec::new(), fault: None }
    }

    /// The newest record of `x` is left over, and stands on `y`, which stands on the older one.
    #[test]
    fn a_newer_record_that_was_given_back_costs_nothing() {
        let y = b"y".as_slice();
        let records = [
            found(b"root", None, 0, 1),
            found(b"x", Some(b"root"), 1, 2),
            found(y, Some(b"x"), 2, 3),
            found(b"x", Some(y), 3, 4),
        ];
        let [x, y] = [b"x", b"y"].map(|what| ContentId::of(what));
        for order in [[x, y], [y, x]] {
            let none = HashMap::new();
            let mut resolver = Resolver::new(&records, &none);
            order.iter().for_each(|id| resolver.resolve(*id).unwrap());
            let chain = resolver.chain(y);
            assert_eq!(chain.iter().map(|found| found.header.depth).collect::<Vec<_>>(), [2, 1, 0]);
            // What stands on each other is less and less deep.
            let depths: Vec<u8> =
                resolver.chain(x).iter().map(|found| found.header.depth).collect();
            assert!(depths.is_sorted_by(|a, b| a > b), "{depths:?}");
        }
    }
}
