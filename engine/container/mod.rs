//! The one file: catalogue extents and tensor records side by side.
//!
//! Invariants of this room (the numbers are those of `docs/architecture.md`):
//!
//! - Bytes of a committed record never change, and its range is not reused while a snapshot in
//!   any process may read it (rule 5).
//! - The superblock is written only inside a sync, into the slot that is not the current one, and
//!   each slot is judged by its own checksum (rules 3 and 4).
//! - The catalogue's first extent stays where it is, and one that is given up or moved keeps its
//!   bytes while a snapshot may read there: a reader's older extent list is good until its next
//!   snapshot.
//! - The file is cut only behind what the last commit and every snapshot need (rule 7).
//! - A page of the catalogue is checked before a reader gets it; a writer has all of them checked.
//! - After a failed write or sync the container is poisoned; nothing is written any more.
//! - The only `unsafe` for maps is in `map`; one system call without memory is in `writeback`.

#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod backend;
mod destination;
mod disk;
mod error;
mod extents;
mod full_message;
mod holder;
mod locks;
mod map;
mod open;
mod overlay;
mod page_checks;
mod pins;
mod process;
mod records;
mod shortage;
mod space;
mod superblock_slots;
mod tail;
mod temporary;
mod unnamed;
mod waiting;
mod writeback;

pub(crate) use backend::CatalogBackend;
pub use destination::{Destination, DestinationError, Overwrite, is_store_at};
pub(crate) use destination::{EarlyWriter, cannot_write, what_is_at};
pub use disk::{Disk, FileDisk, FileId};
pub(crate) use disk::{open_regular, read_disk};
pub use error::{ContainerError, LockHolder, Locked, NoStore};
pub use full_message::full_message;
pub use locks::{
    LockSpace, REGISTER_LOCK_BYTE, SNAPSHOT_LOCK_BASE, VIEW_LOCK_BYTE, WRITER_LOCK_BYTE,
};
pub use map::Mapping;
pub use open::Container;
pub(crate) use overlay::OverlayBackend;
pub(crate) use pins::Pin;
pub use process::Process;
pub(crate) use records::RecordPlace;
pub(crate) use shortage::io_code;
pub use shortage::{Shortage, is_disk_full};
pub use superblock_slots::Slots;
#[cfg(feature = "unstable-format")]
pub(crate) use superblock_slots::superblock_slots;
pub(crate) use temporary::{TemporaryFile, folder_of, make_folders, new_folder, sweep_once};
pub use temporary::{TemporaryFolder, TemporaryKind, sweep};
pub(crate) use unnamed::unnamed_file;
pub use waiting::Waiting;
pub(crate) use waiting::lock_out_writers;
pub use writeback::{WRITEBACK_FROM, start_writeback};
