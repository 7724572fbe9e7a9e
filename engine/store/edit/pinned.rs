//! What is to stay raw.

use std::collections::HashSet;

use crate::lineage::PINNED_KEY;
use crate::store::error::Result;
use crate::store::read::model::read_manifest;
use crate::store::write::transaction::Transaction;
use crate::tensor::ContentId;

/// The contents of all pinned models. Cost: a row a model, and the manifests of those pinned.
pub(in crate::store) fn pinned_contents(transaction: &Transaction) -> Result<HashSet<ContentId>> {
    let mut pinned = HashSet::new();
    for node in transaction.graph()?.nodes()? {
        if transaction.graph()?.own_metadata(node.id, PINNED_KEY)?.is_some() {
            let manifest =
                read_manifest(&transaction.shared, transaction.tables()?, node.row.manifest)?;
            pinned.extend(manifest.tensors.iter().map(|tensor| tensor.content_id));
        }
    }
    Ok(pinned)
}
