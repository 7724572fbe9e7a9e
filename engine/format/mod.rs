//! The bytes of the file to structs and back, byte for byte as in `format-spec.md`. No I/O.
//!
//! Invariants of this room:
//!
//! - Everything is little-endian and of fixed width; offsets are chained constants.
//! - Decoding never panics, never allocates more than the bytes it was given can justify, and
//!   says what was expected and what was found.
//! - Reserved bytes are written as zero and checked to be zero.

#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod bytes;
mod change;
mod error;
mod file_format;
mod formula;
mod header_writer;
mod manifest;
mod packed;
mod record;
mod superblock;
mod tensor_list;
mod training_state;
mod view_list;

pub use bytes::{ByteReader, ByteWriter};
pub use change::{ChangeRecord, Fold, Operation, ProvenanceEdge};
pub use error::FormatError;
pub use file_format::FileFormat;
pub use formula::{FORMULA_BASES_MAX, FormulaBase, FormulaBlock};
pub use header_writer::{HEADER_PREFIX_LEN, METADATA_KEY, with_length, write_header};
pub use manifest::{MANIFEST_VERSION, Manifest, ManifestPart, Skeleton, is_inner_path};
pub use packed::PackedBytes;
pub use record::{
    CHUNK_ENTRY_LEN, CHUNK_LEN, CHUNK_LOG2, CHUNK_LOG2_MAX, CHUNK_LOG2_MIN, ChunkEntry,
    FORMULA_LEN_MAX, PAGE_ALIGN, PAGE_ALIGN_FROM, PAYLOAD_ALIGN, RECORD_ALIGN, RECORD_HEADER_LEN,
    RECORD_MAGIC, RecordHeader, RecordKind, record_field,
};
pub use superblock::{
    Extent, FORMAT_VERSION, SUPERBLOCK_EXTENTS_MAX, SUPERBLOCK_LEN, SUPERBLOCK_MAGIC, StoreState,
    Superblock, superblock_field,
};
pub use tensor_list::{ManifestTensor, TensorList};
pub use view_list::{ManifestView, ViewList, contiguous, is_in_a_row, span_len};

/// Where extents and records begin: after the two superblock slots.
pub const DATA_START: u64 = 2 * SUPERBLOCK_LEN as u64;

/// The longest chain of deltas a file may hold; a reader refuses a longer one.
pub const CHAIN_DEPTH_LIMIT: u8 = 64;

/// Reader's feature flag: some chunk has the encoding `float-delta`.
pub const FEATURE_FLOAT_DELTA: u64 = 1 << 0;

/// Reader's feature flag: some chunk has the encoding `rice-delta`.
pub const FEATURE_RICE_DELTA: u64 = 1 << 1;
/// Reader's feature flag: some chunk has the encoding `entropy`.
pub const FEATURE_ENTROPY: u64 = 1 << 2;

/// Reader's feature flag: some chunk has the encoding `int-delta`.
pub const FEATURE_INT_DELTA: u64 = 1 << 3;

/// Reader's feature flag: some record has a formula.
pub const FEATURE_FORMULA: u64 = 1 << 4;

/// Reader's feature flag: some record is deeper than its base by more than one.
pub const FEATURE_DEPTH_GAPS: u64 = 1 << 5;

/// Reader's feature flag: some record has the formula `increment`.
pub const FEATURE_INCREMENT: u64 = 1 << 7;

/// Writer's feature flag: there are tags, in tables of their own.
pub const FEATURE_TAGS: u64 = 1 << 8;

/// Writer's feature flag: edges have metadata, in a table of its own.
pub const FEATURE_EDGE_METADATA: u64 = 1 << 9;

/// Writer's feature flag: change records give nodes other names or kinds.
pub const FEATURE_RENAMES: u64 = 1 << 10;

/// Writer's feature flag: there are tests, in a table of their own.
pub const FEATURE_TESTS: u64 = 1 << 11;

/// Writer's feature flag: some node is marked as lossy.
pub const FEATURE_LOSSY: u64 = 1 << 12;

/// Writer's feature flag: some node is pinned.
pub const FEATURE_PINNED: u64 = 1 << 13;

/// Writer's feature flag: tensors that came from another store may wait for their models.
pub const FEATURE_ARRIVALS: u64 = 1 << 14;

/// Reader's feature flag: tensors that models name may be somewhere else.
pub const FEATURE_PROMISED: u64 = 1 << 15;

/// Writer's feature flag: change records may hold folds, and the oldest ones may be gone.
pub const FEATURE_FOLDS: u64 = 1 << 16;

/// Reader's feature flag: some manifest is of version 2, whose files are skeletons with tensors.
pub const FEATURE_FILES: u64 = 1 << 17;

/// Reader's feature flag: some record has the formula `absmax-f8`.
pub const FEATURE_ABSMAX_F8: u64 = 1 << 18;

/// Reader's feature flag: some record has the formula `cast-f8`.
pub const FEATURE_CAST_F8: u64 = 1 << 19;

/// Reader's feature flag: some record has the formula `decay`.
pub const FEATURE_DECAY: u64 = 1 << 20;

/// Reader's feature flag: some record has the formula `scaled-f8`.
pub const FEATURE_SCALED_F8: u64 = 1 << 21;

/// Reader's feature flag: some chunk has the encoding `factor-delta`.
pub const FEATURE_FACTOR_DELTA: u64 = 1 << 22;

/// Reader's feature flag: tables of the catalogue share one of the database.
pub const FEATURE_SHARED_TABLE: u64 = 1 << 23;

/// Reader's feature flag: some chunk has the encoding `sparse-delta`.
pub const FEATURE_SPARSE_DELTA: u64 = 1 << 24;

/// Reader's feature flag: some chunk has the encoding `float-delta-2`.
pub const FEATURE_FLOAT_DELTA_2: u64 = 1 << 25;

/// Feature flags of the superblock that a reader must know, all of format version 1.
pub const READER_FLAGS_KNOWN: u64 = FEATURE_FLOAT_DELTA
    | FEATURE_RICE_DELTA
    | FEATURE_ENTROPY
    | FEATURE_INT_DELTA
    | FEATURE_FORMULA
    | FEATURE_DEPTH_GAPS
    | FEATURE_INCREMENT
    | FEATURE_PROMISED
    | FEATURE_FILES
    | FEATURE_ABSMAX_F8
    | FEATURE_CAST_F8
    | FEATURE_DECAY
    | FEATURE_SCALED_F8
    | FEATURE_FACTOR_DELTA
    | FEATURE_SPARSE_DELTA
    | FEATURE_FLOAT_DELTA_2
    | FEATURE_SHARED_TABLE;

/// Feature flags of the superblock that a writer must know, all of format version 1.
pub const WRITER_FLAGS_KNOWN: u64 = FEATURE_TAGS
    | FEATURE_EDGE_METADATA
    | FEATURE_RENAMES
    | FEATURE_TESTS
    | FEATURE_LOSSY
    | FEATURE_PINNED
    | FEATURE_ARRIVALS
    | FEATURE_FOLDS;
