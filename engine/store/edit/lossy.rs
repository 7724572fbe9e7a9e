//! Rounded tensors on their way into the file, and the models that get them.

use std::sync::Arc;

use super::ingest::{Incoming, Intake, ingest};
use super::lossy_plan::{Added, Gate, LossyDraft, LossyReport, PlannedTensor, Values, plan_lossy};
use super::new_model::ImportReport;
use super::recode::Stored;
use crate::catalog::{RecordRow, Table, WriteTables};
use crate::codec::{Lossy, Profile};
use crate::format::{FEATURE_LOSSY, Manifest, ManifestTensor, Operation, RecordKind, TensorList};
use crate::lineage::{GraphMut, LOSSY_KEY, ModelRef, Node, PINNED_KEY};
use crate::planning::TensorKey;
use crate::store::base::policy::EncodePolicy;
use crate::store::base::prediction::Prediction;
use crate::store::error::{Result, StoreError, damaged};
use crate::store::read::chain::Chain;
use crate::store::read::formula::StoredFormula;
use crate::store::read::missing::tensor_row;
use crate::store::read::model::read_manifest;
use crate::store::read::record::record_row;
use crate::store::shared::Shared;
use crate::store::source::NewTensor;
use crate::store::write::hidden::release;
use crate::store::write::put::put;
use crate::store::write::sketches::{add_bands, put_sketch, remove_bands};
use crate::store::write::transaction::Transaction;
use crate::tensor::{ContentId, Dtype, Shape};

/// What making a stored model lossy did.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
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

/// Stores a tensor with its rounded values; returns its id and the rows that were added.
pub(in crate::store) fn put_rounded(
    transaction: &mut Transaction,
    planned: &PlannedTensor<'_>,
) -> Result<(ContentId, Vec<RecordRow>)> {
    let shared = transaction.shared_arc();
    let mut rows = Vec::new();
    let added = put_added(transaction, planned, &mut rows)?;
    let bases = rounded_bases(transaction, &shared, planned, &added)?;
    // The formula makes nearly all of it: what it would take alone is not worth the search.
    let is_searched = planned.dtype_of_added() == Some(Dtype::F16);
    let policy = EncodePolicy::of(if is_searched { Profile::Dense } else { Profile::Balanced });
    let source = Values(planned);
    let (dtype, shape) = (planned.dtype.clone(), planned.shape.clone());
    let new = NewTensor::from_source(planned.name, dtype, shape, planned.byte_len, &source);
    let put = put(transaction, &new, &mut |_, _, _| Ok(bases.clone()), policy, &|_| ())?;
    if let Some((row, _)) = put.row {
        transaction.references.insert_tensor(put.id, row.clone())?;
        rows.push((put.id, row));
        put_sketch(transaction.tables_mut()?, put.id, &put.sketch)?;
    }
    // What turned out not to be needed.
    for (id, _) in added {
        if let Some(row) = record_row(transaction.tables()?, Table::Tensors, id.as_bytes())?
            && !row.is_needed()
        {
            transaction.references.free_if_unneeded(id, row)?;
            rows.retain(|(row_id, _)| *row_id != id);
        }
    }
    Ok((put.id, rows.into_iter().map(|(_, row)| row).collect()))
}

/// Stores what the rounded values add to their base, in one tensor or two. Returns what was stored
/// with its type; rows that are new are added to `rows`.
fn put_added(
    transaction: &mut Transaction,
    planned: &PlannedTensor<'_>,
    rows: &mut Vec<(ContentId, RecordRow)>,
) -> Result<Vec<(ContentId, Dtype)>> {
    let mut added = Vec::new();
    let dense = EncodePolicy::of(Profile::Dense);
    for half in planned.halves() {
        let source = Added(planned, *half);
        let Some((dtype, len)) = source.layout() else { continue };
        let shape = Shape::default();
        let new = NewTensor::from_source(planned.name, dtype.clone(), shape, len, &source);
        let put = put(transaction, &new, &mut |_, _, _| Ok(Vec::new()), dense, &|_| ())?;
        if let Some((row, _)) = put.row {
            transaction.references.insert_tensor(put.id, row.clone())?;
            rows.push((put.id, row));
        }
        added.push((put.id, dtype));
    }
    Ok(added)
}

/// What rounded values are coded against: their base and what they add to it, together.
fn rounded_bases<'c>(
    transaction: &Transaction,
    shared: &'c Shared,
    planned: &PlannedTensor<'c>,
    added: &[(ContentId, Dtype)],
) -> Result<Vec<Prediction<'c>>> {
    let (Some((formula, base_id)), Some(rounding)) = (planned.formula(), &planned.rounding) else {
        return Ok(Vec::new());
    };
    let mut chains = vec![Arc::clone(rounding.base())];
    let base = (base_id, planned.dtype.clone());
    for (id, _) in added {
        let row = record_row(transaction.tables()?, Table::Tensors, id.as_bytes())?;
        let row = row.ok_or_else(|| damaged(*id, 0)(&"missing from the catalogue"))?;
        let chain = Chain::open(shared, transaction.tables()?, RecordKind::Tensor, *id, row)?;
        chains.push(Arc::new(chain));
    }
    let formula = StoredFormula::new(formula, [base].into_iter().chain(added.iter().cloned()));
    let together = Prediction { formula: Some(formula), ..Prediction::plain(chains, None) };
    let mut bases = vec![together];
    // Only what is rounded this little may be shorter as an ordinary difference.
    if planned.dtype_of_added() == Some(Dtype::F16) {
        bases.push(Prediction::plain(vec![Arc::clone(rounding.base())], None));
    }
    Ok(bases)
}

/// Brings the tensors of a draft into the store and gives their ids back, in order.
pub(in crate::store) fn ingest_draft(
    transaction: &mut Transaction,
    draft: &LossyDraft<'_>,
    incoming: Vec<Incoming<'_, '_>>,
    how: &Intake<'_>,
    report: &mut ImportReport,
) -> Result<Vec<ContentId>> {
    let plain = incoming.into_iter().zip(&draft.rounded).filter(|(_, rounded)| !**rounded);
    let plain = plain.map(|(incoming, _)| incoming);
    let mut plain = ingest(transaction, plain, how, report)?.into_iter();
    let mut ids = Vec::new();
    for (planned, rounded) in draft.planned().zip(&draft.rounded) {
        if !*rounded {
            ids.extend(plain.next());
            continue;
        }
        let (id, rows) = put_rounded(transaction, planned)?;
        (how.progress)(planned.byte_len);
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

/// See [`Transaction::recode_lossy`].
pub(in crate::store) fn recode_lossy(
    transaction: &mut Transaction,
    model: &ModelRef,
    lossy: Lossy,
    gate: Option<&mut Gate<'_>>,
    progress: &dyn Fn(u64),
) -> Result<LossyRecodeReport> {
    transaction.check_whole()?;
    let node = transaction.find(model)?;
    if transaction.graph()?.own_metadata(node.id, LOSSY_KEY)?.is_some() {
        return Err(StoreError::AlreadyLossy { model: node.full_name() });
    }
    if transaction.graph()?.own_metadata(node.id, PINNED_KEY)?.is_some() {
        return Err(StoreError::Pinned { model: node.full_name() });
    }
    let manifest = read_manifest(&transaction.shared, transaction.tables()?, node.row.manifest)?;
    let keys: Vec<TensorKey<'_>> = manifest.tensors.iter().map(Into::into).collect();
    let shared = transaction.shared_arc();
    let finder = transaction.finder(&shared, EncodePolicy::of(Profile::Dense))?;
    let (relatives, parents) = finder.declared(node.id)?;
    let all = finder.candidates(&keys, Vec::new(), &relatives, (parents, 0))?;
    let candidates: Vec<_> = (keys.iter().enumerate())
        .map(|(at, key)| finder.candidates_of(&all, at, key.name))
        .collect::<Result<_>>()?;
    let mut tensors = Vec::new();
    for tensor in &manifest.tensors {
        let id = tensor.content_id;
        let row = tensor_row(transaction.tables()?, &node.full_name(), tensor)?;
        let chain = Chain::open(&shared, transaction.tables()?, RecordKind::Tensor, id, row)?;
        chain.check()?;
        tensors.push(NewTensor::from_source(
            tensor.name,
            tensor.dtype.clone(),
            tensor.shape.clone(),
            tensor.byte_len,
            Stored(chain),
        ));
    }
    let files = Manifest { tensors: TensorList::default(), ..Manifest::clone(&manifest) };
    let planned = tensors.iter().zip(&candidates).map(|(t, c)| (t, c.as_slice()));
    let plan = plan_lossy(&finder, lossy, planned, files)?;
    let Some(draft) = plan.settle(gate)? else {
        return Err(StoreError::NothingLossy { model: node.full_name() });
    };
    transaction.change(|this| replace_by(this, &node, &manifest, &draft, progress))
}

fn replace_by(
    transaction: &mut Transaction,
    node: &Node,
    old: &Manifest,
    draft: &LossyDraft<'_>,
    progress: &dyn Fn(u64),
) -> Result<LossyRecodeReport> {
    let (lossy, mark) = draft.report()?;
    let mut added_bytes = 0;
    let mut tensors: Vec<ManifestTensor<'_>> = Vec::new();
    for ((tensor, planned), rounded) in old.tensors.iter().zip(draft.planned()).zip(&draft.rounded)
    {
        let mut tensor = tensor;
        if *rounded {
            let (id, rows) = put_rounded(transaction, planned)?;
            tensor.content_id = id;
            added_bytes += rows.iter().map(|row| row.len).sum::<u64>();
        }
        progress(tensor.byte_len);
        tensors.push(tensor);
    }
    let tensors = tensors.into_iter().collect();
    let new = Manifest { tensors, ..old.clone() };
    let (manifest, added) = transaction.hold(&new)?;
    added_bytes += added;
    let before = transaction.references.freed_bytes();
    remove_bands(transaction.tables_mut()?, node.id, old)?;
    let hidden_bases = release(transaction, node.row.manifest, old)?;
    let mut moved = node.clone();
    moved.row.manifest = manifest;
    moved.row.revision = transaction.sequence;
    let row = moved.row.encode()?;
    transaction.tables_mut()?.put(Table::Nodes, &node.id.0, &row)?;
    GraphMut(transaction.tables_mut()?).set_own_metadata(node.id, LOSSY_KEY, Some(&mark))?;
    add_bands(transaction.tables_mut()?, node.id, &new)?;
    transaction.shared.container.require_features(0, FEATURE_LOSSY);
    let metadata = transaction.graph()?.metadata(node.id)?;
    transaction.note(Operation::ReplaceContent {
        id: node.id.to_string(),
        manifest: manifest.to_string(),
        metadata,
    });
    let freed_bytes = transaction.references.freed_bytes() - before;
    Ok(LossyRecodeReport { lossy, added_bytes, freed_bytes, hidden_bases })
}
