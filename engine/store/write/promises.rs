//! Missing content: tensors that a manifest names and the store does not have get a row.

use super::transaction::Transaction;
use crate::catalog::{MissingRow, Table};
use crate::format::FEATURE_PROMISED;
use crate::store::error::Result;
use crate::store::read::missing::missing_row;
use crate::store::read::record::record_row;
use crate::tensor::ContentId;

/// Adds a row for a missing tensor that a model is about to name, unless the tensor is stored or
/// has a row. Returns whether a row was added.
pub(in crate::store) fn promise(
    transaction: &mut Transaction,
    id: ContentId,
    raw_len: u64,
    promisor: &str,
) -> Result<bool> {
    transaction.check_whole()?;
    let here = record_row(transaction.tables()?, Table::Tensors, id.as_bytes())?.is_some();
    if here || missing_row(transaction.tables()?, id)?.is_some() {
        return Ok(false);
    }
    transaction.shared.container.require_features(FEATURE_PROMISED, 0);
    let row = MissingRow { raw_len, holders: 0, promisor: promisor.to_owned() };
    transaction.change(|this| this.references.put_missing(id, &row))?;
    Ok(true)
}
