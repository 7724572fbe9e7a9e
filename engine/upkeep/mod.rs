//! Looking after a store: its sizes, its health, its bytes made visible.
//!
//! Invariants of this room:
//!
//! - [`verify`], [`stat`], `dump`, [`survey`] and [`backup`] do not write to the file.
//! - What is made anew appears under its name when it is complete, checked and synced.
//! - [`verify`] reads every byte it judges from the file again, goes on behind damage, and never
//!   panics on any input; what it cannot read is a finding, not an error.
//! - Memory is bounded by the number of rows and by one piece of content a thread.
//!
//! ```
//! use mgit::upkeep::{VerifyDepth, gc, stat, verify};
//! use mgit::{NewModel, NewTensor, Store};
//! # fn main() -> mgit::Result<()> {
//! # let folder = tempfile::tempdir()?;
//! # let store = Store::create(folder.path().join("family.mgit"))?;
//! # let mut transaction = store.begin_write()?;
//! # transaction.add_model(NewModel::new("base").tensor(NewTensor::from_vec("w", [2], vec![1f32; 2])))?;
//! # transaction.commit()?;
//! let snapshot = store.snapshot()?;
//! let report = verify(&store, &snapshot, VerifyDepth::Full, &|_| ())?;
//! assert!(report.is_clean() && report.models == 1);
//! assert_eq!(stat(&store, &snapshot)?.distinct_tensors, 1);
//! assert_eq!(gc(&store)?.collected.freed_records, 0);
//! # Ok(())
//! # }
//! ```

#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod backup;
mod copy;
mod cycles;
mod damaged_file;
#[cfg(feature = "unstable-format")]
mod dump;
mod error;
mod finding;
mod gc;
mod give_back;
mod new_store;
mod parts;
mod salvage;
mod stat;
mod usage;
mod vacuum;
mod verify;

pub use crate::container::{TemporaryFolder, TemporaryKind, sweep};
pub use crate::format::Extent;
pub use crate::store::GivenBack;
pub use backup::{CopyReport, backup, backup_replacing};
pub use damaged_file::{verify_path, verify_path_with};
#[cfg(feature = "unstable-format")]
pub use dump::{Dump, RecordDump, SlotDump, dump, dump_path, dump_path_with};
pub use error::UpkeepError;
pub use finding::{Finding, VerifyDepth, VerifyReport};
pub use gc::{GcReport, gc, gc_repack};
pub use give_back::{give_back, give_back_to};
pub use parts::{FileParts, RecordParts};
pub use salvage::{
    GraphSource, LostModel, SalvageReport, Survey, salvage, salvage_with, survey, survey_with,
};
pub use stat::{StoreStat, stat};
pub use usage::{EncodingUsage, ModelUsage, Usage, usage};
#[cfg(feature = "unstable-format")]
pub use vacuum::vacuum_onto;
pub use vacuum::{vacuum, vacuum_with};
pub use verify::verify;

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

/// Shows the row of every record to `visit`: tensors, manifests, change records.
fn each_record(
    tables: &dyn ReadTables,
    visit: &mut dyn FnMut(Table, RecordRow),
) -> Result<(), CatalogError> {
    for table in [Table::Tensors, Table::Manifests, Table::Changes] {
        tables.scan(table, &[], &mut |_, value| {
            visit(table, RecordRow::decode(value)?);
            Ok(ControlFlow::Continue(()))
        })?;
    }
    Ok(())
}
