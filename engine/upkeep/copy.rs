//! A store copied as of one commit: what a backup and a vacuum have in common.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use super::UpkeepError;
use super::new_store::{Identity, NewStore};
use crate::catalog::{CatalogError, CatalogWrite, ReadTables, RecordRow, Table, WriteTables, meta};
use crate::container::{ContainerError, Disk};
use crate::format::{FormatError, WRITER_FLAGS_KNOWN};
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

/// Where a record lies, and the key of its row: there can be millions.
struct Place {
    offset: u64,
    table: Table,
    key_len: u8,
    key: [u8; 32],
}

impl Place {
    fn new(offset: u64, table: Table, key: &[u8]) -> Result<Self, FormatError> {
        let mut place = Place { offset, table, key_len: key.len() as u8, key: [0; 32] };
        match place.key.get_mut(..key.len()) {
            Some(room) => room.copy_from_slice(key),
            None => return Err(FormatError::new("key of a record", 0, "32 bytes", key.len())),
        }
        Ok(place)
    }

    fn key(&self) -> &[u8] {
        self.key.get(..self.key_len.into()).unwrap_or_default()
    }
}

/// Copies in one transaction. The records come in the order of the file. Memory: 48 bytes a record.
fn copy_into(
    new: &NewStore,
    store: &Store,
    snapshot: &Snapshot,
    progress: &dyn Fn(u64),
) -> Result<Copied, UpkeepError> {
    let from: &dyn Disk = &**store.container().disk();
    let mut write = new.begin_write()?;
    let mut copied = Copied::default();
    let mut records: Vec<Place> = Vec::new();
    for table in Table::ALL {
        let is_record = RECORD_TABLES.contains(&table);
        snapshot.tables().scan(table, &[], &mut |key, value| {
            if is_record {
                let offset = RecordRow::decode(value)?.offset;
                records.push(Place::new(offset, table, key)?);
            } else {
                write.put(table, key, value)?;
                copied.models += u64::from(table == Table::Nodes);
            }
            Ok(ControlFlow::Continue(()))
        })?;
    }
    records.sort_by_key(|place| place.offset);
    copied.records = records.len() as u64;
    for place in records {
        let key = place.key();
        let Some(row) = snapshot.tables().get(place.table, key)? else { continue };
        let row = RecordRow::decode(&row).map_err(CatalogError::Row)?;
        put(&mut write, place.table, key, &new.copy(from, &row, progress)?)?;
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
