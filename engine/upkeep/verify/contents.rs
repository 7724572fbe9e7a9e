//! Manifests: what they name is there, and is held as often as it is named.

use std::collections::{BTreeMap, HashMap};

use rayon::prelude::*;

use super::{Check, Contents, Named, Subject};
use crate::catalog::{MissingRow, RecordRow, Table};
use crate::format::{FEATURE_FILES, Manifest, RecordKind};
use crate::store::StoreError;
use crate::tensor::ContentId;

/// Longer manifests are not read side by side.
const TOGETHER_MAX: u64 = 1 << 20;

impl Check<'_> {
    /// What is not here, but somewhere else.
    pub(super) fn read_promises(&self) -> BTreeMap<ContentId, MissingRow> {
        let mut promised = BTreeMap::new();
        self.each_row(Table::Promised, &mut |key, value| match (
            <[u8; 32]>::try_from(key),
            MissingRow::decode(value),
        ) {
            (Ok(id), Ok(row)) => drop(promised.insert(ContentId::from_bytes(id), row)),
            (Ok(id), Err(error)) => self.note(Subject::Tensor(ContentId::from_bytes(id)), error),
            (Err(_), _) => {
                let message = format!("a key of {} bytes in promised", key.len());
                self.note(Subject::Store, message);
            }
        });
        promised
    }

    pub(super) fn is_promised(&self, id: &ContentId) -> bool {
        !self.tensors.contains(id) && self.promised.contains_key(id)
    }

    /// Decodes every manifest that is not known to be hurt. Every tensor that it names is there, as
    /// long as it says. Long manifests are read one after the other: each takes as much memory as
    /// it has bytes, and as much again.
    pub(super) fn read_manifests(&self) -> Contents {
        let hurt = self.hurt_subjects();
        let whole = self.manifests.iter();
        let whole = whole.filter(|(id, _)| !hurt.contains(&Subject::Manifest(**id)));
        let (long, short): (Vec<_>, Vec<_>) =
            whole.partition(|(_, row)| row.raw_len > TOGETHER_MAX);
        let read = |(id, row): (&ContentId, &RecordRow)| match self.read_manifest(*id, row) {
            Ok(named) => Some((*id, named)),
            Err(message) => {
                self.hurt(Subject::Manifest(*id), message);
                None
            }
        };
        let mut contents: Vec<_> = short.into_par_iter().filter_map(read).collect();
        contents.extend(long.into_iter().filter_map(read));
        contents.into_iter().collect()
    }

    fn read_manifest(&self, id: ContentId, row: &RecordRow) -> Result<Named, String> {
        let bytes = self.snapshot.read_plain(RecordKind::Manifest, id, row.clone());
        let manifest = Manifest::decode(&bytes.map_err(StoreError::reason)?);
        let manifest = manifest.map_err(|error| error.to_string())?;
        if manifest.version() > 1 && self.container.superblock().reader_flags & FEATURE_FILES == 0 {
            let bit = FEATURE_FILES.trailing_zeros();
            let message = format!("feature bit {bit} of the reader's word is not set, but used");
            self.note(Subject::Store, message);
        }
        let mut named = Named { skeletons: manifest.skeletons.len(), ..Named::default() };
        for tensor in manifest.contents() {
            let (tensor, len) = (tensor.content_id, tensor.byte_len);
            match self.tensors.place(&tensor) {
                Some(place) => {
                    let found = self.tensors.raw_len(place);
                    if found != len {
                        let message =
                            format!("it says {len} bytes of tensor {tensor}, which has {found}");
                        self.hurt(Subject::Manifest(id), message);
                    }
                    named.here.push(place as u32);
                }
                None => {
                    let promise = self.promised.get(&tensor);
                    if promise.is_none_or(|row| row.raw_len != len) {
                        let message = format!("its tensor {tensor} is missing");
                        self.hurt(Subject::Manifest(id), message);
                    }
                    named.elsewhere.push(tensor);
                }
            }
        }
        Ok(named)
    }

    /// Every node has its manifest.
    pub(super) fn check_references(&self) {
        for (id, row) in &self.nodes {
            if let Some(row) = row
                && !self.manifests.contains_key(&row.manifest)
            {
                self.hurt(Subject::Node(*id), format!("its manifest {} is missing", row.manifest));
            }
        }
    }

    /// Holders and dependents are what nodes, manifests and deltas name. Where a manifest cannot
    /// be read, what it names is unknown, and a tensor may have more holders than are found.
    pub(super) fn check_counts(&self, contents: &Contents) {
        let mut nodes: HashMap<ContentId, u64> = HashMap::new();
        for row in self.nodes.values().flatten() {
            *nodes.entry(row.manifest).or_default() += 1;
        }
        let nodes_known = self.nodes.values().all(Option::is_some);
        for (id, row) in &self.manifests {
            let found = nodes.get(id).copied().unwrap_or(0);
            self.compare(Subject::Manifest(*id), "holders", row.holders, found, nodes_known);
            self.compare(Subject::Manifest(*id), "dependents", row.dependents, 0, true);
        }
        let mut holders = vec![0u64; self.tensors.len()];
        let mut elsewhere: HashMap<ContentId, u64> = HashMap::new();
        let count = |counts: &mut Vec<u64>, place: usize| {
            counts.get_mut(place).into_iter().for_each(|count| *count += 1);
        };
        for named in contents.values() {
            named.here.iter().for_each(|place| count(&mut holders, *place as usize));
            named.elsewhere.iter().for_each(|id| *elsewhere.entry(*id).or_default() += 1);
        }
        // What has come from another store is held until its model has come.
        self.each_row(Table::Arrivals, &mut |key, _| {
            let id = <[u8; 32]>::try_from(key).ok().map(ContentId::from_bytes);
            match id.and_then(|id| self.tensors.place(&id)) {
                Some(place) => count(&mut holders, place),
                None => self.note(Subject::Store, format!("arrival of no tensor ({key:02x?})")),
            }
        });
        let mut dependents = vec![0u64; self.tensors.len()];
        for base in self.tensors.all_bases() {
            let place = self.tensors.place(&base);
            place.into_iter().for_each(|place| count(&mut dependents, place));
        }
        let manifests_known = contents.len() == self.manifests.len();
        for (id, row) in &self.promised {
            let subject = Subject::Tensor(*id);
            if self.tensors.contains(id) {
                self.note(subject, "it is promised, and here");
                continue;
            }
            let found = elsewhere.get(id).copied().unwrap_or(0);
            self.compare(subject, "holders", row.holders, found, manifests_known);
            if row.holders == 0 {
                self.note(subject, "nothing needs what is promised");
            }
        }
        for ((id, row), (holders, dependents)) in
            self.tensors.iter().zip(holders.into_iter().zip(dependents))
        {
            let subject = Subject::Tensor(id);
            self.compare(subject, "holders", row.holders, holders, manifests_known);
            self.compare(subject, "dependents", row.dependents, dependents, true);
            if !row.is_needed() {
                self.note(subject, "nothing needs it");
            }
        }
    }

    fn compare(&self, subject: Subject, what: &str, said: u32, found: u64, all_known: bool) {
        let said = u64::from(said);
        if said < found || (all_known && said > found) {
            self.note(subject, format!("the catalogue says {said} {what}, there are {found}"));
        }
    }
}
