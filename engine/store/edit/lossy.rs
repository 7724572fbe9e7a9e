//! Rounded tensors on their way into the file, and the models that get them.

use std::sync::Arc;

use super::ingest::{Incoming, for_slabs, slab_len};
use super::lossy_plan::{Added, Gate, LossyDraft, LossyReport, PlannedTensor, Values};
use super::new_model::{ImportReport, NewTensor, TensorSource};
use crate::catalog::{RecordRow, Table, WriteTables};
use crate::codec::{Lossy, Profile};
use crate::format::{FEATURE_LOSSY, Manifest, ManifestTensor, Operation, RecordKind};
use crate::lineage::{GraphMut, LOSSY_KEY, Node, PINNED_KEY};
use crate::planning::{CHAIN_DEPTH_MAX, Sketch, Sketcher, TensorKey};
use crate::store::base::candidates::Candidates;
use crate::store::base::encode::raw_entries;
use crate::store::base::prediction::Basis;
use crate::store::base::select::{best_by_sample, encode_best};
use crate::store::error::damaged;
use crate::store::error::{Error, Result};
use crate::store::read::chain::Chain;
use crate::store::read::formula::StoredFormula;
use crate::store::read::missing::tensor_row;
use crate::store::read::model::read_manifest;
use crate::store::read::record::record_row;
use crate::store::write::transaction::Transaction;
use crate::tensor::{ContentId, Dtype, Shape};

/// A content that was brought into the store.
struct Put {
    id: ContentId,
    /// Its row, when it was not there before.
    row: Option<RecordRow>,
    sketch: Option<Sketch>,
}

/// What making a stored model lossy did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LossyRecodeReport {
    /// What was rounded.
    pub lossy: LossyReport,
    /// Bytes of the records that were added.
    pub added_bytes: u64,
    /// Bytes of the file that become free, once no snapshot needs them.
    pub freed_bytes: u64,
    /// Tensors of before that stay, hidden, because deltas stand on them.
    pub hidden_bases: u64,
}

impl Transaction {
    /// Stores one content against the best of `bases`, or alone. No row is written for it yet.
    fn put_content(
        &mut self,
        tensor: &NewTensor<'_>,
        source: &dyn TensorSource,
        bases: Vec<Basis<'_>>,
    ) -> Result<Put> {
        let shared = self.shared_arc();
        let failed = |source| Error::Source { tensor: tensor.name.to_string(), source };
        if tensor.byte_len <= slab_len() as u64 {
            let mut bytes = vec![0; tensor.byte_len as usize];
            source.read_at(0, &mut bytes).map_err(failed)?;
            let id = ContentId::of(&bytes);
            if let Some(known) = self.known_content(&shared, id, tensor.byte_len)? {
                known.check()?;
                return Ok(Put { id, row: None, sketch: None });
            }
            let encoded = encode_best(self.profile, tensor, &bytes, bases)?;
            let row = self.write_encoded(id, &tensor.dtype, &encoded, &bytes)?;
            let sketch = Some(Sketch::of(&tensor.dtype, &bytes));
            return Ok(Put { id, row: Some(row), sketch });
        }
        let mut arena = std::mem::take(&mut self.arena);
        let mut hasher = blake3::Hasher::new();
        let (mut sums, mut sketcher) = (Vec::new(), Sketcher::new(&tensor.dtype, tensor.byte_len));
        for_slabs(tensor, &mut arena, &mut |start, slab| {
            sketcher.feed(start, slab);
            hasher.update_rayon(slab);
            sums.extend(raw_entries(slab));
            Ok(())
        })?;
        let id: ContentId = hasher.finalize().into();
        let mut row = None;
        if let Some(known) = self.known_content(&shared, id, tensor.byte_len)? {
            known.check()?;
        } else {
            let best = best_by_sample(self.profile, tensor, bases, &mut arena)?;
            if let Some(basis) = &best {
                row = self.stream_record(tensor, id, Some(basis), &sums, &mut arena)?;
            }
            if row.is_none() {
                row = self.stream_record(tensor, id, None, &sums, &mut arena)?;
            }
        }
        self.arena = arena;
        Ok(Put { id, row, sketch: Some(sketcher.finish()) })
    }

    /// Stores a tensor with its rounded values; gives back its id and the rows that were added.
    pub(in crate::store) fn put_rounded(
        &mut self,
        planned: &PlannedTensor<'_>,
    ) -> Result<(ContentId, Vec<RecordRow>)> {
        let shared = self.shared_arc();
        let missing = |id| move || damaged(id, 0)(&"missing from the catalogue");
        let mut rows = Vec::new();
        let mut added = Vec::new();
        let profile = std::mem::replace(&mut self.profile, Profile::Dense);
        for half in planned.halves() {
            let source = Added(planned, *half);
            let Some((dtype, len)) = source.layout() else { continue };
            let shape = Shape::default();
            let new = NewTensor::from_source(planned.name, dtype.clone(), shape, len, &source);
            let put = self.put_content(&new, &source, Vec::new())?;
            if let Some(row) = put.row {
                self.insert_tensor(put.id, row.clone())?;
                rows.push((put.id, row));
            }
            added.push((put.id, dtype));
        }

        let mut bases = Vec::new();
        if let (Some((formula, base_id)), Some(rounding)) = (planned.formula(), &planned.rounding) {
            let mut chains = vec![Arc::clone(rounding.base())];
            let base = (base_id, planned.dtype.clone());
            for (id, _) in &added {
                let row = record_row(self.tables()?, Table::Tensors, id.as_bytes())?;
                let row = row.ok_or_else(missing(*id))?;
                let chain = Chain::open(&shared, self.tables()?, RecordKind::Tensor, *id, row)?;
                chains.push(Arc::new(chain));
            }
            let formula = StoredFormula::new(formula, [base].into_iter().chain(added.clone()));
            let plain = vec![Arc::clone(rounding.base())];
            bases.push(Basis { formula: Some(formula), ..Basis::plain(chains, None) });
            // Only what is rounded this little may be shorter as an ordinary difference.
            if planned.dtype_of_added() == Some(Dtype::F16) {
                bases.push(Basis::plain(plain, None));
            }
        }
        if planned.dtype_of_added() != Some(Dtype::F16) {
            // The formula makes nearly all of it: what it would take alone is not worth the search.
            self.profile = Profile::Balanced;
        }
        let source = Values(planned);
        let (dtype, shape) = (planned.dtype.clone(), planned.shape.clone());
        let new = NewTensor::from_source(planned.name, dtype, shape, planned.byte_len, &source);
        let put = self.put_content(&new, &source, bases)?;
        self.profile = profile;
        if let Some(row) = put.row {
            self.insert_tensor(put.id, row.clone())?;
            rows.push((put.id, row));
            if let Some(sketch) = put.sketch {
                self.put_sketch(put.id, &sketch)?;
            }
        }
        // What turned out not to be needed.
        for (id, _) in added {
            if let Some(row) = record_row(self.tables()?, Table::Tensors, id.as_bytes())?
                && !row.is_needed()
            {
                self.free_if_unneeded(id, row)?;
                rows.retain(|(row_id, _)| *row_id != id);
            }
        }
        Ok((put.id, rows.into_iter().map(|(_, row)| row).collect()))
    }

    /// Brings the tensors of a draft into the store and gives their ids back, in order.
    pub(in crate::store) fn ingest_draft(
        &mut self,
        draft: &LossyDraft<'_>,
        (incoming, bases): (Vec<Incoming<'_, '_>>, Option<&Candidates>),
        report: &mut ImportReport,
        progress: &dyn Fn(u64),
    ) -> Result<Vec<ContentId>> {
        let plain = incoming.into_iter().zip(&draft.rounded).filter(|(_, rounded)| !**rounded);
        let plain = plain.map(|(incoming, _)| incoming);
        let mut plain = self.ingest(plain, bases, report, progress)?.into_iter();
        let mut ids = Vec::new();
        for (planned, rounded) in draft.planned().zip(&draft.rounded) {
            if !*rounded {
                ids.extend(plain.next());
                continue;
            }
            let (id, rows) = self.put_rounded(planned)?;
            progress(planned.byte_len);
            if rows.is_empty() {
                report.deduplicated += 1;
                report.deduplicated_bytes += planned.byte_len;
            } else {
                report.delta += 1;
                report.delta_bytes += planned.byte_len;
                report.delta_stored_bytes += rows.iter().map(|row| row.stored_len).sum::<u64>();
                report.added_bytes += rows.iter().map(|row| row.len).sum::<u64>();
            }
            ids.push(id);
        }
        Ok(ids)
    }

    /// Replaces the values of a model by rounded ones, each within the bound of `lossy` of its
    /// own: differences from the parents are rounded. The model is marked as lossy for ever, and
    /// its own content is freed when nothing else needs it. With a gate, the model changes only as
    /// far as the gate accepts it; tensors of the largest errors are kept as they are first.
    ///
    /// # Errors
    ///
    /// [`Error::GateRefused`] when the gate accepts nothing, [`Error::NothingLossy`] when no
    /// tensor has a partner among the parents' that it can be rounded to,
    /// [`Error::AlreadyLossy`], [`Error::Pinned`] of a model that is to stay raw, which loss would
    /// not make smaller: nothing has changed then, and the transaction goes on.
    /// [`Error::Gate`]; a damaged tensor; those of the disk.
    pub fn recode_lossy(
        &mut self,
        model: &str,
        lossy: Lossy,
        gate: Option<&mut Gate<'_>>,
        progress: &dyn Fn(u64),
    ) -> Result<LossyRecodeReport> {
        self.check_whole()?;
        let node = self.find(model)?;
        if self.graph()?.own_metadata(node.id, LOSSY_KEY)?.is_some() {
            return Err(Error::AlreadyLossy { model: node.full_name() });
        }
        if self.graph()?.own_metadata(node.id, PINNED_KEY)?.is_some() {
            return Err(Error::Pinned { model: node.full_name() });
        }
        let manifest = read_manifest(&self.shared, self.tables()?, node.row.manifest)?;
        let mut relatives: Vec<_> =
            self.graph()?.parents(node.id)?.into_iter().map(|edge| edge.parent).collect();
        let parents = relatives.len();
        relatives.extend(self.graph()?.previous(node.id)?);
        self.chain_depth_max = CHAIN_DEPTH_MAX;
        let keys: Vec<TensorKey<'_>> = manifest.tensors.iter().map(Into::into).collect();
        let all = self.candidates(&keys, Vec::new(), &relatives, (parents, 0))?;
        let candidates: Vec<_> = (keys.iter().enumerate())
            .map(|(at, key)| self.candidates_of(&all, at, key.name))
            .collect::<Result<_>>()?;
        let shared = self.shared_arc();
        let mut tensors = Vec::new();
        for tensor in &manifest.tensors {
            let id = tensor.content_id;
            let row = tensor_row(self.tables()?, &node.full_name(), tensor)?;
            let chain = Chain::open(&shared, self.tables()?, RecordKind::Tensor, id, row)?;
            chain.check()?;
            tensors.push(NewTensor::from_source(
                tensor.name,
                tensor.dtype.clone(),
                tensor.shape.clone(),
                tensor.byte_len,
                super::recode::Stored(chain),
            ));
        }
        let files = Manifest {
            index_name: manifest.index_name.clone(),
            index: manifest.index.clone(),
            parts: manifest.parts.clone(),
            ..Manifest::default()
        };
        let planned = tensors.iter().zip(&candidates).map(|(t, c)| (t, c.as_slice()));
        let plan = self.plan_lossy(&shared, lossy, planned, files)?;
        let Some(draft) = plan.settle(gate)? else {
            return Err(Error::NothingLossy { model: node.full_name() });
        };
        self.change(|this| this.replace_by(&node, &manifest, &draft, progress))
    }

    fn replace_by(
        &mut self,
        node: &Node,
        old: &Manifest,
        draft: &LossyDraft<'_>,
        progress: &dyn Fn(u64),
    ) -> Result<LossyRecodeReport> {
        let (lossy, mark) = draft.report()?;
        let mut added_bytes = 0;
        let mut tensors: Vec<ManifestTensor<'_>> = Vec::new();
        for ((tensor, planned), rounded) in
            old.tensors.iter().zip(draft.planned()).zip(&draft.rounded)
        {
            let mut tensor = tensor;
            if *rounded {
                let (id, rows) = self.put_rounded(planned)?;
                tensor.content_id = id;
                added_bytes += rows.iter().map(|row| row.len).sum::<u64>();
            }
            progress(tensor.byte_len);
            tensors.push(tensor);
        }
        let tensors = tensors.into_iter().collect();
        let new = Manifest { tensors, ..old.clone() };
        let (manifest, added) = self.hold(&new)?;
        added_bytes += added;
        let before = self.freed_bytes();
        self.remove_bands(node.id, old)?;
        let hidden_bases = self.release(node.row.manifest, old)?;
        let mut moved = node.clone();
        moved.row.manifest = manifest;
        moved.row.revision = self.sequence;
        let row = moved.row.encode()?;
        self.tables_mut()?.put(Table::Nodes, &node.id.0, &row)?;
        GraphMut(self.tables_mut()?).set_own_metadata(node.id, LOSSY_KEY, Some(&mark))?;
        self.add_bands(node.id, &new)?;
        self.shared.container.require_features(0, FEATURE_LOSSY);
        let metadata = self.graph()?.metadata(node.id)?;
        self.note(Operation::ReplaceContent {
            id: node.id.to_string(),
            manifest: manifest.to_string(),
            metadata,
        });
        let freed_bytes = self.freed_bytes() - before;
        Ok(LossyRecodeReport { lossy, added_bytes, freed_bytes, hidden_bases })
    }
}
