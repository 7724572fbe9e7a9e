//! Manifests: what they name is there, and is held as often as it is named.

use std::collections::{BTreeMap, HashMap};

use rayon::prelude::*;

use super::{Check, Contents, Subject};
use crate::catalog::{PromiseRow, Table};
use crate::format::{Manifest, RecordKind};
use crate::store::Error;
use crate::tensor::ContentId;

impl Check<'_> {
    /// What is not here, but somewhere else.
    pub(super) fn read_promises(&self) -> BTreeMap<ContentId, PromiseRow> {
        let mut promised = BTreeMap::new();
        self.each_row(Table::Promised, &mut |key, value| match (
            <[u8; 32]>::try_from(key),
            PromiseRow::decode(value),
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
        !self.tensors.contains_key(id) && self.promised.contains_key(id)
    }

    /// Decodes every manifest that is not known to be hurt.
    pub(super) fn read_manifests(&self) -> Contents {
        let hurt = self.hurt_subjects();
        let read = |id: ContentId| -> Result<Vec<(ContentId, u64)>, String> {
            let row = self.manifests.get(&id).cloned().ok_or("it is missing")?;
            let bytes =
                self.snapshot.read_plain(RecordKind::Manifest, id, row).map_err(Error::reason)?;
            let manifest = Manifest::decode(&bytes).map_err(|error| error.to_string())?;
            let named =
                |tensor: crate::format::ManifestTensor<'_>| (tensor.content_id, tensor.byte_len);
            Ok(manifest.tensors.iter().map(named).collect())
        };
        let ids: Vec<ContentId> = self.manifests.keys().copied().collect();
        let whole = ids.into_par_iter().filter(|id| !hurt.contains(&Subject::Manifest(*id)));
        let contents = whole.filter_map(|id| match read(id) {
            Ok(tensors) => Some((id, tensors)),
            Err(message) => {
                self.hurt(Subject::Manifest(id), message);
                None
            }
        });
        contents.collect::<Vec<_>>().into_iter().collect()
    }

    /// Every node has its manifest, every manifest its tensors.
    pub(super) fn check_references(&self, contents: &Contents) {
        for (id, row) in &self.nodes {
            if let Some(row) = row
                && !self.manifests.contains_key(&row.manifest)
            {
                self.hurt(Subject::Node(*id), format!("its manifest {} is missing", row.manifest));
            }
        }
        for (manifest, tensors) in contents {
            for (id, len) in tensors {
                match self.tensors.get(id) {
                    Some(row) if row.raw_len == *len => {}
                    Some(row) => {
                        let message = format!(
                            "it says {len} bytes of tensor {id}, which has {}",
                            row.raw_len
                        );
                        self.hurt(Subject::Manifest(*manifest), message);
                    }
                    None if self.promised.get(id).is_some_and(|row| row.raw_len == *len) => {}
                    None => {
                        let message = format!("its tensor {id} is missing");
                        self.hurt(Subject::Manifest(*manifest), message);
                    }
                }
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
        let mut holders: HashMap<ContentId, u64> = HashMap::new();
        for (id, _) in contents.values().flatten() {
            *holders.entry(*id).or_default() += 1;
        }
        // What has come from another store is held until its model has come.
        self.each_row(Table::Arrivals, &mut |key, _| match <[u8; 32]>::try_from(key) {
            Ok(id) if self.tensors.contains_key(&ContentId::from_bytes(id)) => {
                *holders.entry(ContentId::from_bytes(id)).or_default() += 1;
            }
            _ => self.note(Subject::Store, format!("arrival of no tensor ({key:02x?})")),
        });
        let mut dependents: HashMap<ContentId, u64> = HashMap::new();
        for row in self.tensors.values() {
            row.bases().for_each(|base| *dependents.entry(base).or_default() += 1);
        }
        let manifests_known = contents.len() == self.manifests.len();
        for (id, row) in &self.promised {
            let subject = Subject::Tensor(*id);
            if self.tensors.contains_key(id) {
                self.note(subject, "it is promised, and here");
                continue;
            }
            let found = holders.get(id).copied().unwrap_or(0);
            self.compare(subject, "holders", row.holders, found, manifests_known);
            if row.holders == 0 {
                self.note(subject, "nothing needs what is promised");
            }
        }
        for (id, row) in &self.tensors.0 {
            let subject = Subject::Tensor(*id);
            let found = holders.get(id).copied().unwrap_or(0);
            self.compare(subject, "holders", row.holders, found, manifests_known);
            let found = dependents.get(id).copied().unwrap_or(0);
            self.compare(subject, "dependents", row.dependents, found, true);
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
