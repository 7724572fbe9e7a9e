//! Pinned models: their tensors lie raw in the file and stay so, to be read without a copy.

use std::collections::HashSet;

use serde_json::Value;

use super::graph::note_changed;
use super::recode::{RecodeReport, recode};
use crate::codec::Profile;
use crate::format::{FEATURE_PINNED, Operation};
use crate::lineage::{GraphMut, ModelRef, NodeId, PINNED_KEY};
use crate::store::error::Result;
use crate::store::read::missing::tensor_row;
use crate::store::read::model::read_manifest;
use crate::store::read::record::is_raw;
use crate::store::write::put::store_raw;
use crate::store::write::transaction::Transaction;

/// See [`Transaction::pin`].
pub(in crate::store) fn pin(
    transaction: &mut Transaction,
    model: &ModelRef,
) -> Result<RecodeReport> {
    transaction.check_whole()?;
    let node = transaction.find(model)?.id;
    transaction.change(|this| pin_node(this, node))
}

pub(in crate::store) fn pin_node(
    transaction: &mut Transaction,
    id: NodeId,
) -> Result<RecodeReport> {
    let node = transaction.graph()?.expect(id)?;
    let manifest = read_manifest(&transaction.shared, transaction.tables()?, node.row.manifest)?;
    let mut report = RecodeReport::default();
    let mut seen = HashSet::new();
    for tensor in &manifest.tensors {
        if !seen.insert(tensor.content_id) {
            continue;
        }
        let id = tensor.content_id;
        let row = tensor_row(transaction.tables()?, &node.full_name(), tensor)?;
        report.tensors += 1;
        report.before_bytes += row.len;
        report.after_bytes += match is_raw(&row) {
            true => row.len,
            false => {
                report.changed += 1;
                store_raw(transaction, id, row)?.len
            }
        };
    }
    mark_pinned(transaction, id, Some(&Value::Bool(true)))?;
    Ok(report)
}

fn mark_pinned(transaction: &mut Transaction, id: NodeId, mark: Option<&Value>) -> Result<()> {
    transaction.shared.container.require_features(0, FEATURE_PINNED);
    GraphMut(transaction.tables_mut()?).set_own_metadata(id, PINNED_KEY, mark)?;
    note_changed(transaction, id)?;
    let metadata = transaction.graph()?.metadata(id)?;
    transaction.note(Operation::SetMetadata { id: id.to_string(), metadata });
    Ok(())
}

/// See [`Transaction::unpin`].
pub(in crate::store) fn unpin(
    transaction: &mut Transaction,
    model: &ModelRef,
    profile: Profile,
) -> Result<RecodeReport> {
    transaction.check_whole()?;
    let id = transaction.find(model)?.id;
    transaction.change(|this| mark_pinned(this, id, None))?;
    recode(transaction, Some(&[id.into()]), profile, &|_| ())
}
