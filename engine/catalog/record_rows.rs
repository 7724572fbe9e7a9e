//! Rows of many records in columns, since there can be millions.

use std::ops::ControlFlow;

use super::{CatalogError, ReadTables, RecordRow, Table};
use crate::format::FormatError;
use crate::tensor::ContentId;

/// What every row has.
#[derive(Clone, Copy, Debug, Default)]
struct Plain {
    offset: u64,
    len: u64,
    raw_len: u64,
    stored_len: u64,
    encodings: u32,
    holders: u32,
    dependents: u32,
    depth: u8,
    formula: u8,
}

/// Rows of records by their ids, in the order in which a table gives them: that of the ids. A row
/// takes 80 bytes, and 40 more for each base.
#[derive(Debug, Default)]
pub struct RecordRows {
    ids: Vec<ContentId>,
    rows: Vec<Plain>,
    /// Bases, with the place of the row that has them, in order.
    bases: Vec<(u32, ContentId)>,
}

impl RecordRows {
    /// All rows of `tensors` or `manifests`. Cost: one read for each row.
    ///
    /// # Errors
    ///
    /// Those of the catalogue; a row that cannot be read.
    pub fn read(tables: &dyn ReadTables, table: Table) -> Result<Self, CatalogError> {
        let mut rows = RecordRows::default();
        tables.scan(table, &[], &mut |key, value| {
            let id: [u8; 32] = key
                .try_into()
                .map_err(|_| FormatError::new("content id", 0, "32 bytes", key.len()))?;
            rows.push(ContentId::from_bytes(id), &RecordRow::decode(value)?);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(rows)
    }

    /// Adds a row behind the others, whose ids are lower.
    pub fn push(&mut self, id: ContentId, row: &RecordRow) {
        let place = self.ids.len() as u32;
        self.bases.extend(row.bases().map(|base| (place, base)));
        self.ids.push(id);
        self.rows.push(Plain {
            offset: row.offset,
            len: row.len,
            raw_len: row.raw_len,
            stored_len: row.stored_len,
            encodings: row.encodings,
            holders: row.holders,
            dependents: row.dependents,
            depth: row.depth,
            formula: row.formula,
        });
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The place of the row of this id.
    pub fn place(&self, id: &ContentId) -> Option<usize> {
        self.ids.binary_search(id).ok()
    }

    /// Whether there is a row of this id.
    pub fn contains(&self, id: &ContentId) -> bool {
        self.place(id).is_some()
    }

    /// The row of this id.
    pub fn get(&self, id: &ContentId) -> Option<RecordRow> {
        self.at(self.place(id)?).map(|(_, row)| row)
    }

    /// The id of the row at a place.
    pub fn id(&self, place: usize) -> Option<ContentId> {
        self.ids.get(place).copied()
    }

    /// The row at a place, and its id.
    pub fn at(&self, place: usize) -> Option<(ContentId, RecordRow)> {
        self.ids.get(place).map(|id| (*id, self.row(place)))
    }

    fn row(&self, place: usize) -> RecordRow {
        let row = self.rows.get(place).copied().unwrap_or_default();
        let mut bases = self.bases_at(place);
        RecordRow {
            offset: row.offset,
            len: row.len,
            raw_len: row.raw_len,
            stored_len: row.stored_len,
            base_id: bases.next().unwrap_or(ContentId::NONE),
            depth: row.depth,
            formula: row.formula,
            encodings: row.encodings,
            holders: row.holders,
            dependents: row.dependents,
            more_bases: bases.collect(),
        }
    }

    /// The depth of the row at a place; 0 where there is none.
    pub fn depth(&self, place: usize) -> u8 {
        self.rows.get(place).map_or(0, |row| row.depth)
    }

    /// The length of the content of the row at a place; 0 where there is none.
    pub fn raw_len(&self, place: usize) -> u64 {
        self.rows.get(place).map_or(0, |row| row.raw_len)
    }

    /// The length of the record of the row at a place; 0 where there is none.
    pub fn record_len(&self, place: usize) -> u64 {
        self.rows.get(place).map_or(0, |row| row.len)
    }

    /// How often models name the content of the row at a place; 0 where there is none.
    pub fn holders(&self, place: usize) -> u32 {
        self.rows.get(place).map_or(0, |row| row.holders)
    }

    /// How many records have the row at a place as a base; 0 where there is none.
    pub fn dependents(&self, place: usize) -> u32 {
        self.rows.get(place).map_or(0, |row| row.dependents)
    }

    /// Where the record of the row at a place lies; 0 where there is none.
    pub fn offset(&self, place: usize) -> u64 {
        self.rows.get(place).map_or(0, |row| row.offset)
    }

    /// The ids of the bases of all rows, in order.
    pub fn all_bases(&self) -> impl Iterator<Item = ContentId> + '_ {
        self.bases.iter().map(|(_, base)| *base)
    }

    /// The ids of the bases of the row at a place, in its formula's order.
    pub fn bases_at(&self, place: usize) -> impl Iterator<Item = ContentId> + '_ {
        let first = self.bases.partition_point(|(of, _)| (*of as usize) < place);
        let own = self.bases.get(first..).unwrap_or_default();
        own.iter().take_while(move |(of, _)| *of as usize == place).map(|(_, base)| *base)
    }

    /// The rows with their ids, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (ContentId, RecordRow)> + '_ {
        let id = self.ids.iter().copied();
        id.enumerate().map(|(place, id)| (id, self.row(place)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn rows_come_back_as_they_went_in() {
        let id = |number: u8| ContentId::from_bytes([number; 32]);
        let row = |number: u8, bases: &[u8]| RecordRow {
            offset: u64::from(number) * 64,
            len: 200,
            raw_len: 100,
            stored_len: 50,
            base_id: bases.first().map_or(ContentId::NONE, |base| id(*base)),
            depth: number,
            formula: u8::from(bases.len() > 1),
            encodings: 1 << number,
            holders: 1,
            dependents: u32::from(number),
            more_bases: bases.iter().skip(1).map(|base| id(*base)).collect(),
        };
        let all = [row(1, &[]), row(2, &[1]), row(3, &[1, 2, 1]), row(5, &[]), row(6, &[5])];
        let mut rows = RecordRows::default();
        assert!(rows.is_empty());
        for (number, row) in [1, 2, 3, 5, 6].into_iter().zip(&all) {
            rows.push(id(number), row);
        }
        assert_eq!(rows.len(), 5);
        assert!(rows.iter().map(|(_, row)| row).eq(all.iter().cloned()));
        assert_eq!(rows.get(&id(3)), Some(all[2].clone()));
        assert_eq!((rows.get(&id(4)), rows.place(&id(5))), (None, Some(3)));
        assert_eq!((rows.depth(2), rows.depth(9), rows.at(5)), (3, 0, None));
        assert!(rows.bases_at(2).eq([id(1), id(2), id(1)]));
    }
}
