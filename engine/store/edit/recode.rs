//! Stored tensors encoded anew: other bytes in the file, the same contents.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;

use super::pinned::pinned_contents;
use crate::catalog::{RecordRow, Table};
use crate::codec::Profile;
use crate::format::{ManifestTensor, Operation, RecordKind};
use crate::lineage::{ModelRef, Node};
use crate::planning::{Relation, TensorKey};
use crate::store::base::candidate::{Candidate, Derivation, OpenCandidate};
use crate::store::base::policy::EncodePolicy;
use crate::store::base::prediction::Prediction;
use crate::store::base::select::{best_by_sample, first_chunk, select_encoding};
use crate::store::error::{Result, StoreError, damaged};
use crate::store::read::chain::{Chain, Verify};
use crate::store::read::missing::missing_row;
use crate::store::read::model::read_manifest;
use crate::store::read::record::record_row;
use crate::store::shared::Shared;
use crate::store::slabs::slab_len;
use crate::store::source::{NewTensor, TensorSource};
use crate::store::write::put::{Survey, survey, write_encoded};
use crate::store::write::transaction::Transaction;
use crate::tensor::{ContentId, Dtype, Shape};

/// What recoding did.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
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
        self.0.read(offset, out, Verify::Checksums).map_err(io::Error::other)
    }
}

/// See [`Transaction::recode`].
pub(in crate::store) fn recode(
    transaction: &mut Transaction,
    models: Option<&[ModelRef]>,
    profile: Profile,
    progress: &dyn Fn(u64),
) -> Result<RecodeReport> {
    transaction.check_whole()?;
    let nodes: Vec<Node> = match models {
        Some(models) => {
            models.iter().map(|model| transaction.find(model)).collect::<Result<_>>()?
        }
        None => transaction.graph()?.nodes()?,
    };
    let policy = EncodePolicy::of(profile);
    let report = transaction.change(|this| {
        let mut report = RecodeReport::default();
        // Pinned tensors stay raw: they count as seen.
        let mut seen = pinned_contents(this)?;
        for node in nodes {
            recode_node(this, &node, policy, &mut seen, &mut report, progress)?;
        }
        Ok(report)
    })?;
    if report.changed > 0 {
        let (profile, tensors) = (profile.to_string(), report.changed);
        transaction.note(Operation::Recode { profile, tensors });
    }
    Ok(report)
}

fn recode_node(
    transaction: &mut Transaction,
    node: &Node,
    policy: EncodePolicy,
    seen: &mut HashSet<ContentId>,
    report: &mut RecodeReport,
    progress: &dyn Fn(u64),
) -> Result<()> {
    let manifest = read_manifest(&transaction.shared, transaction.tables()?, node.row.manifest)?;
    let keys: Vec<TensorKey<'_>> = manifest.tensors.iter().map(Into::into).collect();
    let shared = transaction.shared_arc();
    let finder = transaction.finder(&shared, policy)?;
    let (relatives, parents) = finder.declared(node.id)?;
    let all = finder.candidates(&keys, Vec::new(), &relatives, (parents, 0))?;
    for (at, tensor) in manifest.tensors.iter().enumerate() {
        if seen.insert(tensor.content_id) {
            let finder = transaction.finder(&shared, policy)?;
            let candidates = finder.candidates_of(&all, at, tensor.name)?;
            recode_tensor(transaction, tensor, &candidates, policy, report)?;
            progress(tensor.byte_len);
        }
    }
    Ok(())
}

fn recode_tensor(
    transaction: &mut Transaction,
    tensor: ManifestTensor<'_>,
    candidates: &[Candidate],
    policy: EncodePolicy,
    report: &mut RecodeReport,
) -> Result<()> {
    let shared = transaction.shared_arc();
    let id = tensor.content_id;
    let Some(old) = record_row(transaction.tables()?, Table::Tensors, id.as_bytes())? else {
        return match missing_row(transaction.tables()?, id)? {
            // What has not come stays as it is there.
            Some(_) => Ok(()),
            None => Err(damaged(id, 0)(&"missing from the catalogue")),
        };
    };
    let chain = Chain::open(&shared, transaction.tables()?, RecordKind::Tensor, id, old.clone())?;
    chain.check()?;
    report.tensors += 1;
    report.before_bytes += old.len;

    let mut candidates = transaction.finder(&shared, policy)?.open_candidates(id, candidates)?;
    // What stands on this one must stay deeper than it.
    let deep = |chain: &Arc<Chain<'_>>| chain.record().header().depth >= old.depth;
    candidates.retain(|(_, chains)| old.dependents == 0 || !chains.iter().any(deep));
    let present = present_basis(transaction, &shared, &chain)?;
    let source = Stored(chain);
    let new = NewTensor::from_source(
        tensor.name,
        tensor.dtype.clone(),
        tensor.shape.clone(),
        tensor.byte_len,
        &source,
    );
    let again =
        Again { tensor: &new, id, old: &old, chain: &source.0, candidates, present, policy };
    let row = again.encode(transaction)?;
    let Some(row) = row else {
        report.after_bytes += old.len;
        return Ok(());
    };
    report.changed += 1;
    report.after_bytes += row.len;
    transaction.references.replace_record(id, old, row)
}

/// Encodes a tensor anew whose chain is too long: against the nearest content of it that may be
/// stood on, or alone.
pub(in crate::store) fn shorten(
    transaction: &mut Transaction,
    id: ContentId,
    old: RecordRow,
) -> Result<()> {
    let shared = transaction.shared_arc();
    let chain = Chain::open(&shared, transaction.tables()?, RecordKind::Tensor, id, old.clone())?;
    let policy = EncodePolicy::of(Profile::default());
    let code = chain.record().header().dtype_code;
    let known = Dtype::from_code(code).unwrap_or_else(|| Dtype::from_name("unknown"));
    let base = vec![(old.base_id, known.clone())];
    let same = Candidate { bases: base, derivation: Derivation::Related(Relation::Same) };
    let same = chain.record().keeps_elements().then_some(same);
    let finder = transaction.finder(&shared, policy)?;
    let mut candidates = finder.open_candidates(id, same.as_slice())?;
    candidates.retain(|(_, chains)| chains.iter().all(|base| base.raw_len() == old.raw_len));
    let source = Stored(chain);
    let shape = Shape::new(&[old.raw_len]).map_err(|error| damaged(id, old.offset)(&error))?;
    let new = NewTensor::from_source(id.to_string(), known, shape, old.raw_len, &source);
    let again =
        Again { tensor: &new, id, old: &old, chain: &source.0, candidates, present: None, policy };
    let row = again.encode(transaction)?;
    row.map_or(Ok(()), |row| transaction.references.replace_record(id, old, row))
}

/// What a record is coded against now.
fn present_basis<'c>(
    transaction: &Transaction,
    shared: &'c Shared,
    chain: &Chain<'_>,
) -> Result<Option<Prediction<'c>>> {
    let mut chains = Vec::new();
    for base in chain.record().base_ids() {
        let row = record_row(transaction.tables()?, Table::Tensors, base.as_bytes())?;
        let row = row.ok_or_else(|| damaged(base, 0)(&"missing from the catalogue"))?;
        let base = Chain::open(shared, transaction.tables()?, RecordKind::Tensor, base, row)?;
        chains.push(Arc::new(base));
    }
    let formula = chain.record().formula().cloned();
    Ok((!chains.is_empty()).then_some(Prediction { formula, ..Prediction::plain(chains, None) }))
}

/// A stored tensor that is to be encoded anew.
struct Again<'r, 's, 'c> {
    tensor: &'r NewTensor<'s>,
    id: ContentId,
    old: &'r RecordRow,
    chain: &'r Chain<'s>,
    candidates: Vec<OpenCandidate<'c>>,
    /// What it is coded against now, where that is tried too.
    present: Option<Prediction<'c>>,
    policy: EncodePolicy,
}

impl Again<'_, '_, '_> {
    /// Writes it, unless it would be what it is. Its row is not changed yet.
    fn encode(self, transaction: &mut Transaction) -> Result<Option<RecordRow>> {
        if self.tensor.byte_len <= slab_len() as u64 {
            self.encode_short(transaction)
        } else {
            self.encode_long(transaction)
        }
    }

    /// Whether a record with this length of payload and formula is worth writing.
    fn is_worth(&self, len: u64) -> bool {
        self.policy.profile != Profile::Dense || len < self.old.stored_len
    }

    fn wrong_content(&self) -> StoreError {
        damaged(self.id, self.old.offset)(&"the content hashes to another id")
    }

    fn encode_short(self, transaction: &mut Transaction) -> Result<Option<RecordRow>> {
        let mut bytes = vec![0; self.tensor.byte_len as usize];
        self.chain.read(0, &mut bytes, Verify::Checksums)?;
        if ContentId::of(&bytes) != self.id {
            return Err(self.wrong_content());
        }
        let mut bases = Prediction::of_candidates(self.tensor, &bytes, &self.candidates)?;
        bases.extend(self.present.clone());
        let encoded = select_encoding(self.policy.profile, self.tensor, &bytes, bases)?;
        let base = encoded.prediction.as_ref();
        let formula = base.and_then(|base| base.formula.as_ref());
        let unchanged = encoded.chunks.entries == self.chain.record().chunks()
            && base.map_or(ContentId::NONE, Prediction::base_id) == self.old.base_id
            && formula == self.chain.record().formula();
        if unchanged || !self.is_worth(encoded.len()) {
            return Ok(None);
        }
        write_encoded(transaction, self.id, &self.tensor.dtype, &encoded, &bytes).map(Some)
    }

    fn encode_long(self, transaction: &mut Transaction) -> Result<Option<RecordRow>> {
        let mut arena = std::mem::take(&mut transaction.records.arena);
        let Survey { id, sums, .. } = survey(self.tensor, &mut arena, &mut |_, _| Ok(()))?;
        if id != self.id {
            return Err(self.wrong_content());
        }
        let sample = first_chunk(self.tensor, &mut arena)?;
        let mut bases = Prediction::of_candidates(self.tensor, sample, &self.candidates)?;
        bases.extend(self.present.clone());
        let profile = self.policy.profile;
        let best = best_by_sample(profile, self.tensor, bases, &mut arena)?;
        transaction.records.arena = arena;
        let row = transaction.records.stream(self.tensor, id, best.as_ref(), &sums, profile)?;
        let alike =
            |row: &RecordRow| (row.stored_len, row.encodings, row.formula, row.base_id, row.depth);
        if alike(&row) == alike(self.old) || !self.is_worth(row.stored_len) {
            transaction.records.give_back_last();
            return Ok(None);
        }
        Ok(Some(row))
    }
}
