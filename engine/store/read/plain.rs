//! Records of text: manifests and change records, whole.

use super::chain::{Chain, Verify};
use super::record::ReadVia;
use crate::catalog::{ReadTables, RecordRow};
use crate::format::RecordKind;
use crate::store::error::{Result, StoreError, damaged};
use crate::store::shared::Shared;
use crate::tensor::ContentId;

/// The whole content of a record that stands alone, its checksums and its id checked. It is copied
/// anyway, so it is read through the disk.
pub(in crate::store) fn read_plain(
    shared: &Shared,
    tables: &dyn ReadTables,
    kind: RecordKind,
    id: ContentId,
    row: RecordRow,
) -> Result<Vec<u8>> {
    let offset = row.offset;
    let chain = Chain::open_via(shared, tables, kind, id, row, ReadVia::Disk)?;
    let len = chain.believed_len()?;
    let mut bytes = Vec::new();
    let no_room = |_| StoreError::OutOfMemory { bytes: chain.raw_len() };
    bytes.try_reserve_exact(len).map_err(no_room)?;
    bytes.resize(len, 0);
    chain.read(0, &mut bytes, Verify::Checksums)?;
    let found = ContentId::of(&bytes);
    if found != id {
        return Err(damaged(id, offset)(&format!("the content hashes to {}", found.short())));
    }
    Ok(bytes)
}
