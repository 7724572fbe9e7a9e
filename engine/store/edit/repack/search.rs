//! Which tensors of a model are looked at for formulas, and what they may be made of.

use super::member::{Search, Searched};
use super::scope::Scope;
use crate::catalog::RecordRow;
use crate::format::{Manifest, ManifestTensor};
use crate::lineage::Node;
use crate::store::base::policy::EncodePolicy;
use crate::store::error::Result;
use crate::store::write::transaction::Transaction;
use crate::tensor::ContentId;

/// What takes no more than this part of its bytes, and `SETTLED_LEN`, is left as it is: a formula
/// saves next to nothing.
const SETTLED_ONE_IN: u64 = 64;
const SETTLED_LEN: u64 = 256;

/// Notes by which formulas it is tried to make the tensors of a model: those that take much, and
/// those that are made of what no model has any more.
pub(in crate::store) fn search(
    transaction: &Transaction,
    (scope, policy): (&Scope, EncodePolicy),
    node: &Node,
    manifest: &Manifest,
    searched: &mut Searched,
) -> Result<()> {
    let old = &scope.old;
    let is_hidden = |base: ContentId| old.0.get(&base).is_some_and(|base| base.holders == 0);
    let is_lost = |row: &RecordRow| row.formula != 0 && row.bases().any(is_hidden);
    let wanted = |tensor: &ManifestTensor<'_>, searched: &Searched| {
        let row = old.0.get(&tensor.content_id)?;
        let open = !scope.fixed.contains(&tensor.content_id);
        let new = !searched.contains_key(&tensor.content_id);
        (open && (is_lost(row) || new && takes_much(row))).then_some(row)
    };
    if !manifest.tensors.iter().any(|tensor| wanted(&tensor, searched).is_some()) {
        return Ok(());
    }
    let shared = transaction.shared_arc();
    let finder = transaction.finder(&shared, policy)?;
    let all = finder.remakings(node.id, manifest)?;
    for (at, tensor) in manifest.tensors.iter().enumerate() {
        let Some(row) = wanted(&tensor, searched) else { continue };
        let elements = tensor.shape.elements().max(1) as f64;
        let present = if is_lost(row) { f64::MAX } else { row.stored_len as f64 * 8.0 / elements };
        let candidates = finder.remakings_of(&all, at, tensor.name, present)?;
        if !candidates.is_empty() {
            let (dtype, shape) = (tensor.dtype.clone(), tensor.shape.clone());
            let search = Search { dtype, shape, candidates };
            searched.entry(tensor.content_id).or_default().push(search);
        }
    }
    Ok(())
}

/// Whether it is worth a look how a content may be stored otherwise.
pub(in crate::store) fn takes_much(row: &RecordRow) -> bool {
    row.stored_len > SETTLED_LEN + row.raw_len / SETTLED_ONE_IN
}
