//! Records on their way out to another store: as they are stored, without what is this store's
//! own.

use std::io;

use super::TensorSource;
use super::record::{StoredRecord, record_row};
use super::{Result, Snapshot};
use crate::catalog::{RecordRow, Table};
use crate::container::Container;
use crate::format::{ChunkEntry, PAYLOAD_ALIGN, RecordHeader, RecordKind};
use crate::tensor::ContentId;

/// A record as it travels: header, chunk index and formula, padding to a multiple of 64, payload.
/// Its header names no store and no commit.
#[derive(Debug)]
pub(crate) struct OutgoingRecord<'s> {
    container: &'s Container,
    head: Vec<u8>,
    payload_at: u64,
    stored_len: u64,
}

/// Bytes of a travelling record before its payload.
pub(crate) fn travelling_head_len(index_end: u64) -> u64 {
    index_end.next_multiple_of(PAYLOAD_ALIGN)
}

impl OutgoingRecord<'_> {
    /// Bytes of the record as it travels.
    pub(crate) fn len(&self) -> u64 {
        self.head.len() as u64 + self.stored_len
    }
}

impl TensorSource for OutgoingRecord<'_> {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let head_len = self.head.len() as u64;
        if offset.saturating_add(out.len() as u64) > self.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let from_head = head_len.saturating_sub(offset).min(out.len() as u64) as usize;
        let (head, payload) = out.split_at_mut(from_head);
        if let Some(part) = self.head.get(offset as usize..).and_then(|rest| rest.get(..from_head))
        {
            head.copy_from_slice(part);
        }
        if !payload.is_empty() {
            let start = (offset + from_head as u64).saturating_sub(head_len);
            let at = self.payload_at + start;
            let bytes = self.container.read(at, payload.len() as u64).map_err(io::Error::other)?;
            payload.copy_from_slice(&bytes);
        }
        Ok(())
    }
}

fn table_of(kind: RecordKind) -> Table {
    match kind {
        RecordKind::Tensor => Table::Tensors,
        RecordKind::Manifest => Table::Manifests,
        RecordKind::Change => Table::Changes,
    }
}

impl Snapshot {
    /// The row of a tensor or a manifest, if it is stored.
    pub(crate) fn stored(&self, kind: RecordKind, id: ContentId) -> Result<Option<RecordRow>> {
        record_row(self.tables(), table_of(kind), id.as_bytes())
    }

    /// The record of a row, to be sent. Its checksums are looked at first if one says so, once a
    /// handle.
    ///
    /// # Errors
    ///
    /// A damaged record.
    pub(crate) fn outgoing(
        &self,
        kind: RecordKind,
        id: ContentId,
        row: &RecordRow,
        checked: bool,
    ) -> Result<OutgoingRecord<'_>> {
        let record: StoredRecord<'_> = self.open_record(kind, id, row)?;
        if checked {
            record.check()?;
        }
        let index = ChunkEntry::encode_all(record.chunks());
        let formula = record.formula().map(super::StoredFormula::encode).unwrap_or_default();
        let own = record.header();
        let head_len = travelling_head_len(own.formula_at() + formula.len() as u64);
        let header = RecordHeader {
            payload_offset: u32::try_from(head_len).unwrap_or(u32::MAX),
            sequence: 0,
            store_tag: [0; 4],
            ..own.clone()
        };
        let mut head = header.encode();
        head.extend_from_slice(&index);
        head.extend_from_slice(&formula);
        head.resize(head_len as usize, 0);
        let (payload_at, stored_len) = (record.payload_at(), own.stored_len);
        Ok(OutgoingRecord { container: &self.shared().container, head, payload_at, stored_len })
    }
}
