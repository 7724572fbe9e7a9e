//! The chain of change records: one a commit, each naming the one before it. It begins with the
//! first commit, or with a fold.

use super::history::History;
use super::{Check, Subject};
use crate::catalog::{ReadTables, Table, meta};
use crate::container::full_message;
use crate::format::{ChangeRecord, RecordKind};
use crate::store::StoreError;
use crate::tensor::ContentId;

impl Check<'_> {
    pub(super) fn check_changes(&self) {
        let last = self.snapshot.sequence();
        // The record before: its number, and its id where its header can be read.
        let mut before: Option<(u64, Option<ContentId>)> = None;
        let mut history = History::default();
        for (sequence, row) in &self.changes {
            let subject = Subject::Change(*sequence);
            if row.holders > 0 || row.dependents > 0 {
                self.note(subject, "the catalogue says that something needs it");
            }
            let expected = before.map_or(*sequence, |(before, _)| before.saturating_add(1));
            if *sequence != expected {
                self.note(subject, format!("record {expected} before it is missing"));
            }
            let id = self.header(row).ok().map(|header| header.content_id);
            let hurt = self.hurt_subjects().contains(&subject);
            if let Some(id) = id.filter(|_| !hurt) {
                let bytes = self.snapshot.read_plain(RecordKind::Change, id, row.clone());
                let change = bytes.map_err(StoreError::reason).and_then(|bytes| {
                    ChangeRecord::decode(&bytes).map_err(|error| error.to_string())
                });
                match change {
                    Ok(change) => {
                        self.check_change(*sequence, &change, before);
                        history.read(&change, *sequence == expected);
                    }
                    Err(message) => {
                        self.hurt(subject, message);
                        history.miss(*sequence);
                    }
                }
            } else {
                history.miss(*sequence);
            }
            before = Some((*sequence, id));
        }
        let found = before.map_or(0, |(sequence, _)| sequence);
        if found != last {
            let message = format!("{last} commits, the last change record is {found}");
            self.note(Subject::Store, message);
        }
        let last_id = before.map_or(Some(ContentId::NONE), |(_, id)| id);
        match self.snapshot.tables().get(Table::Meta, meta::LAST_CHANGE.as_bytes()) {
            Ok(Some(value)) => match last_id {
                Some(id) if value != id.as_bytes() => {
                    let message = format!("{} is not the id of the last change", meta::LAST_CHANGE);
                    self.note(Subject::Store, message);
                }
                _ => {}
            },
            Ok(None) => self.note(Subject::Store, format!("{} is missing", meta::LAST_CHANGE)),
            Err(error) => self.note(Subject::Store, full_message(&error)),
        }
        if found == last {
            self.check_history(history);
        }
    }

    fn check_change(
        &self,
        sequence: u64,
        change: &ChangeRecord,
        before: Option<(u64, Option<ContentId>)>,
    ) {
        let subject = Subject::Change(sequence);
        if change.sequence != sequence {
            self.note(subject, format!("it says it is number {}", change.sequence));
        }
        let expected = match before {
            None if change.fold.is_some() => return,
            None => String::new(),
            Some((_, Some(id))) => id.to_string(),
            // Nothing to compare with: that is the finding of the record before.
            Some((_, None)) => return,
        };
        if change.previous != expected {
            let message =
                format!("it names {:?} as the record before it, not {expected:?}", change.previous);
            self.note(subject, message);
        }
    }
}
