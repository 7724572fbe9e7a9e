//! Pinned models: their tensors lie raw in the file and stay so, to be read without a copy.

use std::collections::HashSet;

use serde_json::Value;

use super::ingest::slab_len;
use super::recode::RecodeReport;
use crate::catalog::RecordRow;
use crate::codec::{Encoding, Profile};
use crate::format::{FEATURE_PINNED, Operation, RecordKind};
use crate::lineage::{GraphMut, NodeId, PINNED_KEY};
use crate::store::base::encode::raw_entries;
use crate::store::error::Result;
use crate::store::error::damaged;
use crate::store::read::chain::{Chain, Checks};
use crate::store::read::missing::tensor_row;
use crate::store::read::model::read_manifest;
use crate::store::write::records::RecordDraft;
use crate::store::write::transaction::Transaction;
use crate::tensor::{ContentId, Dtype};

/// Whether all chunks of a record are raw.
pub(in crate::store) fn is_raw(row: &RecordRow) -> bool {
    let raw = 1u32 << Encoding::Raw.code();
    row.base_id.is_none() && row.encodings & !raw == 0
}

impl Transaction {
    /// Pins a model: all its tensors are stored raw, so that they are read from the map, without a
    /// copy. Recoding leaves them so until the model is [unpinned](Self::unpin) or removed. Its
    /// content stays. Tensors that others share are raw for all of them. A lossy model gives up its
    /// rounded differences with this: once unpinned it is stored as any other, which takes more.
    ///
    /// # Errors
    ///
    /// [`NoSuchModel`](crate::lineage::LineageError::NoSuchModel); a damaged tensor, or one that was
    /// not pulled yet; those of the disk. After an error the transaction must be dropped.
    pub fn pin(&mut self, model: &str) -> Result<RecodeReport> {
        self.check_whole()?;
        let node = self.find(model)?.id;
        self.change(|this| this.pin_node(node))
    }

    pub(in crate::store) fn pin_node(&mut self, id: NodeId) -> Result<RecodeReport> {
        let node = self.graph()?.expect(id)?;
        let manifest = read_manifest(&self.shared, self.tables()?, node.row.manifest)?;
        let mut report = RecodeReport::default();
        let mut seen = HashSet::new();
        for tensor in &manifest.tensors {
            if !seen.insert(tensor.content_id) {
                continue;
            }
            let id = tensor.content_id;
            let row = tensor_row(self.tables()?, &node.full_name(), tensor)?;
            report.tensors += 1;
            report.before_bytes += row.len;
            report.after_bytes += match is_raw(&row) {
                true => row.len,
                false => {
                    report.changed += 1;
                    self.store_raw(id, row)?.len
                }
            };
        }
        self.mark_pinned(id, Some(&Value::Bool(true)))?;
        Ok(report)
    }

    fn mark_pinned(&mut self, id: NodeId, mark: Option<&Value>) -> Result<()> {
        self.shared.container.require_features(0, FEATURE_PINNED);
        GraphMut(self.tables_mut()?).set_own_metadata(id, PINNED_KEY, mark)?;
        self.note_changed(id)?;
        let metadata = self.graph()?.metadata(id)?;
        self.note(Operation::SetMetadata { id: id.to_string(), metadata });
        Ok(())
    }

    /// Takes a pin away; the model's tensors are encoded as others are, unless another pinned
    /// model has them too.
    ///
    /// # Errors
    ///
    /// As [`pin`](Self::pin).
    pub fn unpin(&mut self, model: &str, profile: Profile) -> Result<RecodeReport> {
        self.check_whole()?;
        let id = self.find(model)?.id;
        self.change(|this| this.mark_pinned(id, None))?;
        self.recode(Some(&id.to_string()), profile, &|_| ())
    }

    /// The contents of all pinned models. Cost: a row a model, and the manifests of those pinned.
    pub(in crate::store) fn pinned_contents(&self) -> Result<HashSet<ContentId>> {
        let mut pinned = HashSet::new();
        for node in self.graph()?.nodes()? {
            if self.graph()?.own_metadata(node.id, PINNED_KEY)?.is_some() {
                let manifest = read_manifest(&self.shared, self.tables()?, node.row.manifest)?;
                pinned.extend(manifest.tensors.iter().map(|tensor| tensor.content_id));
            }
        }
        Ok(pinned)
    }

    /// Stores a content raw, which is stored as `old`.
    pub(in crate::store) fn store_raw(
        &mut self,
        id: ContentId,
        old: RecordRow,
    ) -> Result<RecordRow> {
        let shared = self.shared_arc();
        let missing = || damaged(id, old.offset)(&"an unknown element type");
        let chain = Chain::open(&shared, self.tables()?, RecordKind::Tensor, id, old.clone())?;
        chain.check()?;
        let code = chain.record().header().dtype_code;
        let unknown = Dtype::from_name("unknown");
        let dtype = match code {
            Dtype::UNKNOWN_CODE => unknown,
            code => Dtype::from_code(code).ok_or_else(missing)?,
        };
        let draft = RecordDraft::tensor(id, &dtype, old.raw_len, None);
        let mut bytes = vec![0; slab_len().min(old.raw_len as usize)];
        let place = self.reserve(&draft, old.raw_len)?;
        let (mut start, mut entries) = (0, Vec::new());
        let mut hasher = blake3::Hasher::new();
        while start < old.raw_len {
            let len = (old.raw_len - start).min(bytes.len() as u64);
            let part = &mut bytes[..len as usize];
            chain.read(start, part, Checks::First)?;
            hasher.update_rayon(part);
            entries.extend(raw_entries(part));
            let at = place.offset + u64::from(place.payload_offset) + start;
            shared.container.write(at, part)?;
            start += len;
        }
        if ContentId::from(hasher.finalize()) != id {
            return Err(damaged(id, old.offset)(&"the content hashes to another id"));
        }
        let row = self.finish_record(&draft, place, &entries, old.raw_len)?;
        self.replace_record(id, old, row.clone())?;
        Ok(row)
    }
}
