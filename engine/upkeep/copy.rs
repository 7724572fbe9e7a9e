//! A store copied as of one commit: what a backup and a vacuum have in common.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use super::UpkeepError;
use super::new_store::{Identity, NewStore};
use crate::catalog::{CatalogWrite, ReadTables, RecordRow, Table, WriteTables, meta};
use crate::container::{ContainerError, Disk};
use crate::format::WRITER_FLAGS_KNOWN;
use crate::store::{Snapshot, Store};

/// The tables whose rows say where records lie.
const RECORD_TABLES: [Table; 3] = [Table::Tensors, Table::Manifests, Table::Changes];

/// How much was copied.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Copied {
    pub(super) models: u64,
    pub(super) records: u64,
}

/// Refuses a store with features that keep tables in step which this code does not know.
pub(super) fn refuse_unknown_features(store: &Store) -> Result<(), UpkeepError> {
    match store.container().superblock().writer_flags & !WRITER_FLAGS_KNOWN {
        0 => Ok(()),
        flags => Err(ContainerError::UnknownFeatures { flags, writing_only: true }.into()),
    }
}

/// Copies everything that `snapshot` sees onto an empty disk, which will be at `path`, and checks
/// it there. Gives what holds the new store's lock.
pub(super) fn copy_onto(
    disk: Arc<dyn Disk>,
    path: &Path,
    store: &Store,
    snapshot: &Snapshot,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<(Store, Copied), UpkeepError> {
    let identity = Identity::of(&store.container().superblock());
    let created_ms = snapshot.tables().meta_u64(meta::CREATED_MS)?;
    let new = NewStore::create(disk, path, identity, created_ms)?;
    let copied = copy_into(&new, store, snapshot, progress)?;
    Ok((new.finish(progress)?, copied))
}

/// Copies in one transaction. The records come in the order of the file. Memory: a row a record.
fn copy_into(
    new: &NewStore,
    store: &Store,
    snapshot: &Snapshot,
    progress: &dyn Fn(u64),
) -> Result<Copied, UpkeepError> {
    let from: &dyn Disk = &**store.container().disk();
    let mut write = new.begin_write()?;
    let mut copied = Copied::default();
    let mut records: Vec<(RecordRow, Table, Vec<u8>)> = Vec::new();
    for table in Table::ALL {
        let is_record = RECORD_TABLES.contains(&table);
        snapshot.tables().scan(table, &[], &mut |key, value| {
            if is_record {
                records.push((RecordRow::decode(value)?, table, key.to_vec()));
            } else {
                write.put(table, key, value)?;
                copied.models += u64::from(table == Table::Nodes);
            }
            Ok(ControlFlow::Continue(()))
        })?;
    }
    records.sort_by_key(|(row, ..)| row.offset);
    copied.records = records.len() as u64;
    for (row, table, key) in records {
        put(&mut write, table, &key, &new.copy(from, &row, progress)?)?;
    }
    write.commit()?;
    Ok(copied)
}

fn put(
    write: &mut CatalogWrite,
    table: Table,
    key: &[u8],
    row: &RecordRow,
) -> Result<(), UpkeepError> {
    Ok(write.put(table, key, &row.encode())?)
}
