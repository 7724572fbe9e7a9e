//! What commits changed in the graph, for tools that look at the format.

use super::record::record_row;
use super::snapshot::Snapshot;
use crate::catalog::{ReadTables, Table, meta};
use crate::format::{ChangeRecord, RecordKind};
use crate::store::error::{Result, damaged};
use crate::tensor::ContentId;

impl Snapshot {
    /// What commits changed in the graph, the newest first; each record is known by the id that
    /// the one behind it gives. It ends with the first commit, or with the oldest record that is
    /// kept, which holds a fold. Cost: a record a step. After an error it ends.
    pub fn changes(&self) -> impl Iterator<Item = Result<ChangeRecord>> + '_ {
        let mut next = self.last_change().transpose();
        std::iter::from_fn(move || {
            let change = next.take()?.and_then(|(sequence, id)| self.change(sequence, id));
            if let Ok(change) = &change {
                next = self.change_before(change).transpose();
            }
            Some(change)
        })
    }

    fn last_change(&self) -> Result<Option<(u64, ContentId)>> {
        let id = self.tables().get(Table::Meta, meta::LAST_CHANGE.as_bytes())?;
        let id = id.and_then(|id| id.try_into().ok()).map(ContentId::from_bytes);
        Ok(id.filter(|id| !id.is_none()).map(|id| (self.sequence(), id)))
    }

    /// The record that this one names, unless it has made way for a fold.
    fn change_before(&self, change: &ChangeRecord) -> Result<Option<(u64, ContentId)>> {
        let before = change.sequence.saturating_sub(1);
        let id = ContentId::from_hex(&change.previous);
        let is_kept = change.fold.is_none()
            || record_row(self.tables(), Table::Changes, &before.to_be_bytes())?.is_some();
        Ok(id.filter(|_| is_kept).map(|id| (before, id)))
    }

    fn change(&self, sequence: u64, id: ContentId) -> Result<ChangeRecord> {
        let row = record_row(self.tables(), Table::Changes, &sequence.to_be_bytes())?
            .ok_or_else(|| damaged(id, 0)(&"missing from the catalogue"))?;
        Ok(ChangeRecord::decode(&self.read_plain(RecordKind::Change, id, row)?)?)
    }
}
