//! Removing a model, and freeing what nothing needs then.

use super::Result;
use super::model::read_manifest;
use super::transaction::{Transaction, count_ids};
use crate::catalog::{RecordRow, Table, WriteTables};
use crate::format::{Manifest, Operation};
use crate::lineage::{GraphMut, Node, NodeId, OnChildren};
use crate::tensor::ContentId;

/// What removing a model did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoveReport {
    /// The node that is gone.
    pub node: Node,
    /// Models whose parents changed by that.
    pub changed_children: Vec<NodeId>,
    /// Bytes of the file that the removal frees, once no snapshot needs them.
    pub freed_bytes: u64,
    /// Tensors that stay, hidden, because deltas stand on them.
    pub hidden_bases: u64,
}

impl Transaction {
    /// Removes a model. Its tensors' bytes become free when no model, no delta and no snapshot,
    /// in any process, needs them; a base that deltas need stays, hidden.
    ///
    /// # Errors
    ///
    /// [`NoSuchModel`](crate::lineage::LineageError::NoSuchModel);
    /// [`HasChildren`](crate::lineage::LineageError::HasChildren) as `on_children` says. After
    /// another error the transaction must be dropped.
    pub fn remove_model(&mut self, model: &str, on_children: OnChildren) -> Result<RemoveReport> {
        self.check_whole()?;
        let node = self.find(model)?;
        if on_children == OnChildren::Refuse {
            self.graph()?.refuse_children(&node)?;
        }
        self.change(|this| this.remove_node(node, on_children))
    }

    fn remove_node(&mut self, node: Node, on_children: OnChildren) -> Result<RemoveReport> {
        let before = self.freed_bytes();
        let relinked = GraphMut(self.tables_mut()?).remove(&node, on_children)?;
        self.note_relinked(&relinked)?;
        self.note(Operation::RemoveNode { id: node.id.to_string() });

        let manifest_id = node.row.manifest;
        let manifest = read_manifest(&self.shared, self.tables()?, manifest_id)?;
        self.remove_bands(node.id, &manifest)?;
        let hidden_bases = self.release(manifest_id, &manifest)?;
        Ok(RemoveReport {
            node,
            changed_children: relinked.children,
            freed_bytes: self.freed_bytes() - before,
            hidden_bases,
        })
    }

    /// Takes a node's hold on its manifest, and frees what nothing needs then. Gives back how many
    /// tensors stay, hidden.
    pub(super) fn release(&mut self, manifest_id: ContentId, manifest: &Manifest) -> Result<u64> {
        let mut hidden = Vec::new();
        let row = self.change_row(Table::Manifests, manifest_id, |row| {
            row.holders = row.holders.saturating_sub(1);
        })?;
        if !row.is_needed() {
            self.free_record(Table::Manifests, manifest_id, &row)?;
            for (id, count) in count_ids(manifest) {
                if self.change_promise(id, |holders| holders.saturating_sub(count))? {
                    continue;
                }
                let row = self.change_row(Table::Tensors, id, |row| {
                    row.holders = row.holders.saturating_sub(count);
                })?;
                if row.holders == 0 && row.dependents > 0 {
                    hidden.push(id);
                }
                self.free_if_unneeded(id, row)?;
            }
        }
        let stay = self.settle_hidden(hidden)?;
        // What a difference that has gone left behind may now be there for formulas only.
        while !self.lightened.is_empty() {
            let lightened = std::mem::take(&mut self.lightened);
            self.settle_hidden(lightened.into_iter().collect())?;
        }
        Ok(stay)
    }

    pub(super) fn free_record(
        &mut self,
        table: Table,
        id: ContentId,
        row: &RecordRow,
    ) -> Result<()> {
        self.tables_mut()?.delete(table, id.as_bytes())?;
        self.freed.push(row.extent());
        Ok(())
    }

    /// Frees a tensor that nothing needs, and the bases that only it needed.
    pub(super) fn free_if_unneeded(&mut self, id: ContentId, row: RecordRow) -> Result<()> {
        let mut rows = vec![(id, row)];
        while let Some((id, row)) = rows.pop() {
            if row.is_needed() || self.arriving.contains(&id) {
                continue;
            }
            self.free_record(Table::Tensors, id, &row)?;
            self.remove_sketches(id)?;
            for base in row.bases() {
                let row = self.change_row(Table::Tensors, base, |base| {
                    base.dependents = base.dependents.saturating_sub(1);
                })?;
                if row.holders == 0 && row.dependents > 0 {
                    self.lightened.insert(base);
                }
                rows.push((base, row));
            }
        }
        Ok(())
    }
}
