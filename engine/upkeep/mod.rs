//! Looking after a store: its sizes, its health, its bytes made visible.
//!
//! Invariants of this room:
//!
//! - Nothing here writes to the file.
//! - [`verify`] reads every byte it judges from the file again, goes on behind damage, and never
//!   panics on any input; what it cannot read is a finding, not an error.
//! - Memory is bounded by the number of rows and by one piece of content a thread.

#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod dump;
mod stat;
mod usage;
mod verify;

pub use dump::{Dump, RecordDump, SlotDump, dump};
pub use stat::{StoreStat, stat};
pub use usage::{EncodingUsage, ModelUsage, Usage, usage};
pub use verify::{Finding, VerifyDepth, VerifyReport, verify};

use std::ops::ControlFlow;

use crate::catalog::{CatalogError, ReadTables, RecordRow, Table};

/// Shows every row of a table to `visit`.
fn each_row(
    tables: &dyn ReadTables,
    table: Table,
    visit: &mut dyn FnMut(&[u8], &[u8]),
) -> Result<(), CatalogError> {
    tables.scan(table, &[], &mut |key, value| {
        visit(key, value);
        Ok(ControlFlow::Continue(()))
    })
}

/// The rows of every record: tensors, manifests, change records.
fn record_rows(tables: &dyn ReadTables) -> Result<Vec<(Table, RecordRow)>, CatalogError> {
    let mut rows = Vec::new();
    for table in [Table::Tensors, Table::Manifests, Table::Changes] {
        tables.scan(table, &[], &mut |_, value| {
            rows.push((table, RecordRow::decode(value)?));
            Ok(ControlFlow::Continue(()))
        })?;
    }
    Ok(rows)
}
