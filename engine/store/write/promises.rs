//! Tensors that models name and that are not here yet, on their way into the catalogue.

use super::transaction::Transaction;
use crate::catalog::{PromiseRow, Table};
use crate::format::FEATURE_PROMISED;
use crate::store::error::Result;
use crate::store::read::missing::promise_row;
use crate::store::read::record::record_row;
use crate::tensor::ContentId;

/// Promises a tensor that a model is about to name, unless it is here or promised already.
pub(in crate::store) fn promise(
    transaction: &mut Transaction,
    id: ContentId,
    raw_len: u64,
    place: &str,
) -> Result<bool> {
    transaction.check_whole()?;
    let here = record_row(transaction.tables()?, Table::Tensors, id.as_bytes())?.is_some();
    if here || promise_row(transaction.tables()?, id)?.is_some() {
        return Ok(false);
    }
    transaction.shared.container.require_features(FEATURE_PROMISED, 0);
    let row = PromiseRow { raw_len, holders: 0, place: place.to_owned() };
    transaction.change(|this| this.references.put_promise(id, &row))?;
    Ok(true)
}
