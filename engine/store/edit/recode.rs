//! Stored tensors encoded anew: other bytes in the file, the same contents.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;

use super::ingest::slab_len;
use super::new_model::{NewTensor, TensorSource};
use crate::catalog::{RecordRow, Table};
use crate::codec::Profile;
use crate::format::{FEATURE_DEPTH_GAPS, ManifestTensor, Operation, RecordKind};
use crate::lineage::Node;
use crate::planning::{CHAIN_DEPTH_MAX, Relation, TensorKey};
use crate::store::base::candidates::{Candidate, OpenCandidate, Way};
use crate::store::base::encode::raw_entries;
use crate::store::base::prediction::Basis;
use crate::store::base::select::{best_by_sample, encode_best, first_chunk};
use crate::store::error::damaged;
use crate::store::error::{Error, Result};
use crate::store::open::Shared;
use crate::store::read::chain::{Chain, Checks};
use crate::store::read::missing::promise_row;
use crate::store::read::model::read_manifest;
use crate::store::read::record::record_row;
use crate::store::write::transaction::Transaction;
use crate::tensor::{ContentId, Dtype, Shape};

/// What recoding did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecodeReport {
    /// Distinct tensors looked at.
    pub tensors: u64,
    /// Those that are stored in another way now.
    pub changed: u64,
    /// Bytes that the records of all of them took before.
    pub before_bytes: u64,
    /// Bytes that they take now.
    pub after_bytes: u64,
}

/// The content of a stored tensor as a source of a new one.
pub(in crate::store) struct Stored<'c>(pub(in crate::store) Chain<'c>);

impl TensorSource for Stored<'_> {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out, Checks::First).map_err(io::Error::other)
    }
}

impl Transaction {
    /// Encodes the tensors of `model`, or of all models, as `profile` wants them. Contents, models
    /// and the graph stay as they are. Tensors that others share are recoded for all of them.
    ///
    /// Bases are chosen anew among the present one and those that an import would try; a tensor
    /// that deltas stand on does not become deeper. With [`Profile::Dense`] only what becomes
    /// smaller is written. Tensors of [pinned](Self::pin) models stay raw. Memory is bounded, whatever the size of the tensors.
    ///
    /// `progress` is told the bytes of content done since it was last called.
    ///
    /// # Errors
    ///
    /// [`NoSuchModel`](crate::lineage::LineageError::NoSuchModel); a damaged tensor; those of the
    /// disk. After an error the transaction must be dropped.
    pub fn recode(
        &mut self,
        model: Option<&str>,
        profile: Profile,
        progress: &dyn Fn(u64),
    ) -> Result<RecodeReport> {
        self.check_whole()?;
        let nodes: Vec<Node> = match model {
            Some(model) => vec![self.find(model)?],
            None => self.graph()?.nodes()?,
        };
        self.profile = profile;
        self.chain_depth_max = CHAIN_DEPTH_MAX;
        let report = self.change(|this| {
            let mut report = RecodeReport::default();
            // Pinned tensors stay raw: they count as seen.
            let mut seen = this.pinned_contents()?;
            for node in nodes {
                this.recode_node(&node, &mut seen, &mut report, progress)?;
            }
            Ok(report)
        })?;
        if report.changed > 0 {
            let (profile, tensors) = (profile.to_string(), report.changed);
            self.note(Operation::Recode { profile, tensors });
        }
        Ok(report)
    }

    fn recode_node(
        &mut self,
        node: &Node,
        seen: &mut HashSet<ContentId>,
        report: &mut RecodeReport,
        progress: &dyn Fn(u64),
    ) -> Result<()> {
        let manifest = read_manifest(&self.shared, self.tables()?, node.row.manifest)?;
        let mut relatives: Vec<_> =
            self.graph()?.parents(node.id)?.into_iter().map(|edge| edge.parent).collect();
        let parents = relatives.len();
        relatives.extend(self.graph()?.previous(node.id)?);
        let keys: Vec<TensorKey<'_>> = manifest.tensors.iter().map(Into::into).collect();
        let candidates = self.candidates(&keys, Vec::new(), &relatives, (parents, 0))?;
        for (at, tensor) in manifest.tensors.iter().enumerate() {
            if seen.insert(tensor.content_id) {
                let candidates = self.candidates_of(&candidates, at, tensor.name)?;
                self.recode_tensor(tensor, &candidates, report)?;
                progress(tensor.byte_len);
            }
        }
        Ok(())
    }

    fn recode_tensor(
        &mut self,
        tensor: ManifestTensor<'_>,
        candidates: &[Candidate],
        report: &mut RecodeReport,
    ) -> Result<()> {
        let shared = self.shared_arc();
        let id = tensor.content_id;
        let Some(old) = record_row(self.tables()?, Table::Tensors, id.as_bytes())? else {
            return match promise_row(self.tables()?, id)? {
                // What has not come stays as it is there.
                Some(_) => Ok(()),
                None => Err(damaged(id, 0)(&"missing from the catalogue")),
            };
        };
        let chain = Chain::open(&shared, self.tables()?, RecordKind::Tensor, id, old.clone())?;
        chain.check()?;
        report.tensors += 1;
        report.before_bytes += old.len;

        let mut candidates = self.open_candidates(&shared, id, candidates)?;
        // What stands on this one must stay deeper than it.
        let deep = |chain: &Arc<Chain<'_>>| chain.record().header().depth >= old.depth;
        candidates.retain(|(_, chains)| old.dependents == 0 || !chains.iter().any(deep));
        let present = self.present_basis(&shared, &chain)?;
        let source = Stored(chain);
        let new = NewTensor::from_source(
            tensor.name,
            tensor.dtype.clone(),
            tensor.shape.clone(),
            tensor.byte_len,
            &source,
        );
        let row = if tensor.byte_len <= slab_len() as u64 {
            self.recode_short(&new, id, &old, &source.0, &candidates, present)?
        } else {
            self.recode_long(&new, id, &old, &candidates, present)?
        };
        let Some(row) = row else {
            report.after_bytes += old.len;
            return Ok(());
        };
        report.changed += 1;
        report.after_bytes += row.len;
        self.replace_record(id, old, row)
    }

    /// Encodes a tensor anew whose chain is too long: against the nearest content of it that may be
    /// stood on, or alone.
    pub(in crate::store) fn shorten(&mut self, id: ContentId, old: RecordRow) -> Result<()> {
        let shared = self.shared_arc();
        let chain = Chain::open(&shared, self.tables()?, RecordKind::Tensor, id, old.clone())?;
        let code = chain.record().header().dtype_code;
        let known = Dtype::from_code(code).unwrap_or_else(|| Dtype::from_name("unknown"));
        let base = vec![(old.base_id, known.clone())];
        let same = Candidate { bases: base, way: Way::Related(Relation::Same) };
        let same = chain.record().keeps_elements().then_some(same);
        let mut candidates = self.open_candidates(&shared, id, same.as_slice())?;
        candidates.retain(|(_, chains)| chains.iter().all(|base| base.raw_len() == old.raw_len));
        let source = Stored(chain);
        let shape = Shape::new(&[old.raw_len]).map_err(|error| damaged(id, old.offset)(&error))?;
        let new = NewTensor::from_source(id.to_string(), known, shape, old.raw_len, &source);
        let row = if old.raw_len <= slab_len() as u64 {
            self.recode_short(&new, id, &old, &source.0, &candidates, None)?
        } else {
            self.recode_long(&new, id, &old, &candidates, None)?
        };
        row.map_or(Ok(()), |row| self.replace_record(id, old, row))
    }

    /// What a record is coded against now.
    fn present_basis<'c>(
        &self,
        shared: &'c Shared,
        chain: &Chain<'_>,
    ) -> Result<Option<Basis<'c>>> {
        let mut chains = Vec::new();
        for base in chain.record().base_ids() {
            let row = record_row(self.tables()?, Table::Tensors, base.as_bytes())?;
            let row = row.ok_or_else(|| damaged(base, 0)(&"missing from the catalogue"))?;
            let base = Chain::open(shared, self.tables()?, RecordKind::Tensor, base, row)?;
            chains.push(Arc::new(base));
        }
        let formula = chain.record().formula().cloned();
        Ok((!chains.is_empty()).then_some(Basis { formula, ..Basis::plain(chains, None) }))
    }

    /// Whether a tensor that was stored as `old` is to be stored in another way, of `len` bytes
    /// of payload and formula.
    fn is_worth(&self, old: &RecordRow, len: u64) -> bool {
        self.profile != Profile::Dense || len < old.stored_len
    }

    fn recode_short(
        &mut self,
        tensor: &NewTensor<'_>,
        id: ContentId,
        old: &RecordRow,
        chain: &Chain<'_>,
        candidates: &[OpenCandidate<'_>],
        present: Option<Basis<'_>>,
    ) -> Result<Option<RecordRow>> {
        let mut bytes = vec![0; tensor.byte_len as usize];
        chain.read(0, &mut bytes, Checks::First)?;
        if ContentId::of(&bytes) != id {
            return Err(damaged(id, old.offset)(&"the content hashes to another id"));
        }
        let mut bases = Basis::of_candidates(tensor, &bytes, candidates)?;
        bases.extend(present);
        let encoded = encode_best(self.profile, tensor, &bytes, bases)?;
        let base = encoded.basis.as_ref();
        let formula = base.and_then(|base| base.formula.as_ref());
        let unchanged = encoded.chunks.entries == chain.record().chunks()
            && base.map_or(ContentId::NONE, Basis::base_id) == old.base_id
            && formula == chain.record().formula();
        if unchanged || !self.is_worth(old, encoded.len()) {
            return Ok(None);
        }
        self.write_encoded(id, &tensor.dtype, &encoded, &bytes).map(Some)
    }

    fn recode_long(
        &mut self,
        tensor: &NewTensor<'_>,
        id: ContentId,
        old: &RecordRow,
        candidates: &[OpenCandidate<'_>],
        present: Option<Basis<'_>>,
    ) -> Result<Option<RecordRow>> {
        let mut arena = std::mem::take(&mut self.arena);
        let mut hasher = blake3::Hasher::new();
        let mut sums = Vec::new();
        super::ingest::for_slabs(tensor, &mut arena, &mut |_, slab| {
            hasher.update_rayon(slab);
            sums.extend(raw_entries(slab));
            Ok(())
        })?;
        if ContentId::from(hasher.finalize()) != id {
            return Err(damaged(id, old.offset)(&"the content hashes to another id"));
        }
        let sample = first_chunk(tensor, &mut arena)?;
        let mut bases = Basis::of_candidates(tensor, sample, candidates)?;
        bases.extend(present);
        let best = best_by_sample(self.profile, tensor, bases, &mut arena)?;
        let mut row = None;
        if let Some(basis) = &best {
            row = self.stream_record(tensor, id, Some(basis), &sums, &mut arena)?;
        }
        if row.is_none() {
            row = self.stream_record(tensor, id, None, &sums, &mut arena)?;
        }
        self.arena = arena;
        let row = row.ok_or(Error::OutOfMemory { bytes: tensor.byte_len })?;
        let alike =
            |row: &RecordRow| (row.stored_len, row.encodings, row.formula, row.base_id, row.depth);
        if alike(&row) == alike(old) || !self.is_worth(old, row.stored_len) {
            self.give_back_last();
            return Ok(None);
        }
        Ok(Some(row))
    }

    /// Puts a new record of a content in the place of its old one.
    pub(in crate::store) fn replace_record(
        &mut self,
        id: ContentId,
        old: RecordRow,
        new: RecordRow,
    ) -> Result<()> {
        if old.dependents > 0 && old.depth != new.depth {
            self.shared.container.require_features(FEATURE_DEPTH_GAPS, 0);
        }
        let row = RecordRow { holders: old.holders, dependents: old.dependents, ..new };
        self.insert_tensor(id, row)?;
        self.free_place(old.extent());
        for base in old.bases() {
            let row = self.change_row(Table::Tensors, base, |base| {
                base.dependents = base.dependents.saturating_sub(1);
            })?;
            self.free_if_unneeded(base, row)?;
        }
        Ok(())
    }
}
