//! How much is in a store, and what it takes.

use super::parts::{FileParts, parts};
use super::{each_record, each_row};
use crate::catalog::{MissingRow, RecordRow, Table};
use crate::store::{Result, Snapshot, Store};

/// The sizes of a store as of one snapshot. Lengths are in bytes.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
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
    /// Bytes of the file that a record could take: [`FileParts::free_bytes`] and the tail.
    pub free_bytes: u64,
    /// What every byte of the file is.
    pub parts: FileParts,
    /// Contents that no model names and that stay because deltas stand on them.
    pub hidden_tensors: u64,
    /// Tensors that models name and that were not pulled yet.
    pub missing_tensors: u64,
    /// Bytes of their contents.
    pub missing_bytes: u64,
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

/// Measures a store. Cost: every page of the catalogue; reads no record.
///
/// # Errors
///
/// Those of the catalogue and of the disk.
pub fn stat(store: &Store, snapshot: &Snapshot) -> Result<StoreStat> {
    let container = store.container();
    let file_bytes = container.disk_len()?;
    let superblock = container.superblock();
    let nodes = snapshot.nodes()?;
    let mut rows: Vec<(Table, RecordRow)> = Vec::new();
    each_record(snapshot.tables(), &mut |table, row| rows.push((table, row)))?;
    let tensors = || rows.iter().filter(|(table, _)| *table == Table::Tensors).map(|(_, row)| row);

    let lengths = snapshot.tables().lengths()?;
    let parts = parts(file_bytes, &superblock.extents, &rows, lengths);
    let free_bytes = parts.free_bytes + parts.tail_bytes;
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
        promised.extend(MissingRow::decode(value).ok().map(|row| row.raw_len));
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
        parts,
        hidden_tensors: tensors().filter(|row| row.holders == 0).count() as u64,
        missing_tensors: promised.len() as u64,
        missing_bytes: sum(&mut promised.into_iter()),
        commits: snapshot.sequence(),
        oldest_reader,
        held_back_bytes,
    })
}
