//! How much is in a store, and what it takes.

use super::{each_row, record_rows};
use crate::catalog::{PromiseRow, Table};
use crate::format::{DATA_START, Extent};
use crate::store::{Result, Snapshot, Store};

/// The sizes of a store as of one snapshot. Lengths are in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreStat {
    /// Nodes: every version of every model.
    pub models: u64,
    /// Tensors of all models, equal ones counted each time.
    pub tensors: u64,
    /// Contents that are stored.
    pub distinct_tensors: u64,
    /// Sum of the imported files' lengths.
    pub logical_bytes: u64,
    /// Sum of the tensors' payloads.
    pub stored_tensor_bytes: u64,
    /// Length of the file.
    pub file_bytes: u64,
    /// Bytes of the medium that the file takes.
    pub allocated_bytes: u64,
    /// Bytes of the file that belong to the catalogue.
    pub catalog_bytes: u64,
    /// Bytes of the file that belong to nothing: neither superblock, catalogue nor record.
    pub free_bytes: u64,
    /// Contents that no model names and that stay because deltas stand on them.
    pub hidden_tensors: u64,
    /// Tensors that models name and that were not pulled yet.
    pub promised_tensors: u64,
    /// Bytes of their contents.
    pub promised_bytes: u64,
    /// Number of the last commit.
    pub commits: u64,
    /// The oldest commit that a snapshot in any process reads, the one asked included.
    pub oldest_reader: Option<u64>,
    /// Bytes of the free ones that cannot be used again while that reader lives. Exact in the
    /// process that writes; elsewhere the most that it can be: a reader of the last commit holds
    /// back nothing, an older one perhaps all that is free.
    pub held_back_bytes: u64,
}

impl StoreStat {
    /// [`logical_bytes`](Self::logical_bytes) / [`file_bytes`](Self::file_bytes): how many times
    /// larger the models' own files are.
    pub fn ratio(&self) -> f64 {
        self.logical_bytes as f64 / self.file_bytes as f64
    }
}

/// Measures a store. Cost: every row of its records and nodes; reads no record.
///
/// # Errors
///
/// Those of the catalogue and of the disk.
pub fn stat(store: &Store, snapshot: &Snapshot) -> Result<StoreStat> {
    let container = store.container();
    let file_bytes = container.disk_len()?;
    let superblock = container.superblock();
    let nodes = snapshot.nodes()?;
    let rows = record_rows(snapshot.tables())?;
    let tensors = || rows.iter().filter(|(table, _)| *table == Table::Tensors).map(|(_, row)| row);

    let mut covered = vec![Extent { offset: 0, len: DATA_START }];
    covered.extend_from_slice(&superblock.extents);
    covered.extend(rows.iter().map(|(_, row)| row.extent()));

    let free_bytes = uncovered(covered, file_bytes);
    let oldest_reader = container.pins().oldest_reader(snapshot.sequence())?;
    let held_back_bytes = match oldest_reader {
        Some(oldest) if oldest < snapshot.sequence() && container.knows_used() => {
            container.free_bytes().1
        }
        Some(oldest) if oldest < snapshot.sequence() => free_bytes,
        _ => 0,
    };

    let mut promised = Vec::new();
    each_row(snapshot.tables(), Table::Promised, &mut |_, value| {
        promised.extend(PromiseRow::decode(value).ok().map(|row| row.raw_len));
    })?;
    let sum = |numbers: &mut dyn Iterator<Item = u64>| numbers.fold(0, u64::saturating_add);
    Ok(StoreStat {
        models: nodes.len() as u64,
        tensors: sum(&mut nodes.iter().map(|node| u64::from(node.row.tensor_count))),
        distinct_tensors: tensors().count() as u64,
        logical_bytes: sum(&mut nodes.iter().map(|node| node.row.logical_bytes)),
        stored_tensor_bytes: sum(&mut tensors().map(|row| row.stored_len)),
        file_bytes,
        allocated_bytes: container.allocated_len()?,
        catalog_bytes: sum(&mut superblock.extents.iter().map(|extent| extent.len)),
        free_bytes,
        hidden_tensors: tensors().filter(|row| row.holders == 0).count() as u64,
        promised_tensors: promised.len() as u64,
        promised_bytes: sum(&mut promised.into_iter()),
        commits: snapshot.sequence(),
        oldest_reader,
        held_back_bytes,
    })
}

/// Bytes of `0..len` that no extent covers.
fn uncovered(mut extents: Vec<Extent>, len: u64) -> u64 {
    extents.sort_unstable();
    let (mut free, mut end) = (0, 0u64);
    for extent in extents {
        free += extent.offset.min(len).saturating_sub(end);
        end = end.max(extent.end().min(len));
    }
    free + len.saturating_sub(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_covered_twice_counts_once() {
        let extent = |offset, len| Extent { offset, len };
        assert_eq!(uncovered(vec![], 10), 10);
        assert_eq!(uncovered(vec![extent(4, 2), extent(0, 3), extent(1, 2)], 10), 5);
        assert_eq!(uncovered(vec![extent(8, 20), extent(30, 5)], 10), 8);
        assert_eq!(uncovered(vec![extent(20, u64::MAX)], 10), 10);
    }
}
