//! Every table of the catalogue: names, keys, values, and the database that keeps them.
//!
//! Invariants of this room:
//!
//! - All keys and values are bytes in the layouts of `format-spec.md`; nothing depends on how the
//!   database encodes typed keys.
//! - Numbers in keys are big-endian, so that they sort.
//! - Every page is checked before a row of it is believed: when a reader reads it, or all of them
//!   before the first write.
//! - A panic of the database on a damaged file is caught here and becomes an error; the handle
//!   then refuses further work.

#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod compact;
mod engine;
mod error;
mod health;
mod home;
mod record_rows;
mod rows;
mod tables;

use std::ops::ControlFlow;

pub use engine::Catalog;
pub use error::CatalogError;
pub use record_rows::RecordRows;
pub use rows::{EdgeKind, FoldsRow, MissingRow, NodeRow, ParentRow, RecordRow, keys};
pub use tables::{CatalogRead, CatalogWrite};

/// A table of the catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Table {
    /// Facts of the whole store, by name.
    Meta,
    /// Nodes, by node id.
    Nodes,
    /// Node ids, by name and version.
    Versions,
    /// The highest version ever given, by name.
    Names,
    /// Edges towards parents and older versions, by child.
    Parents,
    /// The same edges, by parent; values are empty.
    Children,
    /// User metadata as JSON text, by node id and key.
    Metadata,
    /// Tensor records, by content id.
    Tensors,
    /// Manifest records, by content id.
    Manifests,
    /// Change records, by commit sequence number.
    Changes,
    /// Node ids, by tag.
    Tags,
    /// The same tags, by node id; values are empty.
    TagsOf,
    /// User metadata of edges as JSON text, by child, kind of edge, parent and key.
    EdgeMetadata,
    /// Sketches of tensors, by content id and element type.
    Sketches,
    /// Nodes, by the buckets they are looked for in; values are empty.
    Bands,
    /// Registered tests as JSON text, by name.
    Tests,
    /// What tests found, by the hash of what was run and of what it was run on.
    TestResults,
    /// Tensors that came from another store before their models, by content id; values are empty.
    Arrivals,
    /// Other places that the store exchanges models with, by name.
    Remotes,
    /// Marks of models' rows as another side last had them, by that side's id and node id.
    Agreed,
    /// Indexes of packs of remotes, by pack id: they never change, and are read once.
    Packs,
    /// Tensors that models name and that are somewhere else, by content id.
    Promised,
}

impl Table {
    /// Every table.
    pub const ALL: [Table; 22] = [
        Table::Meta,
        Table::Nodes,
        Table::Versions,
        Table::Names,
        Table::Parents,
        Table::Children,
        Table::Metadata,
        Table::Tensors,
        Table::Manifests,
        Table::Changes,
        Table::Tags,
        Table::TagsOf,
        Table::EdgeMetadata,
        Table::Sketches,
        Table::Bands,
        Table::Tests,
        Table::TestResults,
        Table::Arrivals,
        Table::Remotes,
        Table::Agreed,
        Table::Packs,
        Table::Promised,
    ];

    /// Whether every store has it. The others are made when they are first written; until then
    /// they are as empty ones. Those that must be kept in step with others stand behind a feature
    /// flag; sketches, bands and results of tests can be made again and do not.
    pub fn is_from_the_start(self) -> bool {
        use Table::{
            Agreed, Arrivals, Bands, EdgeMetadata, Packs, Promised, Remotes, Sketches, Tags,
            TagsOf, TestResults, Tests,
        };
        !matches!(
            self,
            Tags | TagsOf
                | EdgeMetadata
                | Sketches
                | Bands
                | Tests
                | TestResults
                | Arrivals
                | Remotes
                | Agreed
                | Packs
                | Promised
        )
    }

    /// The table's name in the database.
    pub fn name(self) -> &'static str {
        match self {
            Table::Meta => "meta",
            Table::Nodes => "nodes",
            Table::Versions => "versions",
            Table::Names => "names",
            Table::Parents => "parents",
            Table::Children => "children",
            Table::Metadata => "metadata",
            Table::Tensors => "tensors",
            Table::Manifests => "manifests",
            Table::Changes => "changes",
            Table::Tags => "tags",
            Table::TagsOf => "tags-of",
            Table::EdgeMetadata => "edge-metadata",
            Table::Sketches => "sketches",
            Table::Bands => "bands",
            Table::Tests => "tests",
            Table::TestResults => "test-results",
            Table::Arrivals => "arrivals",
            Table::Remotes => "remotes",
            Table::Agreed => "agreed",
            Table::Packs => "packs",
            Table::Promised => "promised",
        }
    }
}

/// Keys of the [`Table::Meta`] table.
pub mod meta {
    /// Sequence number of the last commit, u64; 0 in a new store.
    pub const COMMIT: &str = "commit";
    /// Content id of the last change record, 32 bytes; zero in a new store.
    pub const LAST_CHANGE: &str = "last-change";
    /// Time the store was made, milliseconds since 1970, u64.
    pub const CREATED_MS: &str = "created-ms";
    /// The [`FoldsRow`](super::FoldsRow); missing until a fold was first thought of.
    pub const FOLDS: &str = "folds";
}

/// What a visitor of rows says: go on, or stop.
pub type Visit = ControlFlow<()>;

/// A row: key, value.
pub type Row = (Vec<u8>, Vec<u8>);

/// A visitor of rows: key, value.
pub type Visitor<'v> = dyn FnMut(&[u8], &[u8]) -> Result<Visit, CatalogError> + 'v;

/// Reading rows, in a snapshot or in a transaction.
pub trait ReadTables {
    /// The value of `key`.
    ///
    /// # Errors
    ///
    /// Those of the database.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, CatalogError>;

    /// Shows every row whose key begins with `prefix`, and is behind `after` where that is given,
    /// to `visit`, in the order of keys.
    ///
    /// # Errors
    ///
    /// Those of the database and of `visit`.
    fn scan_after(
        &self,
        table: Table,
        prefix: &[u8],
        after: Option<&[u8]>,
        visit: &mut Visitor<'_>,
    ) -> Result<(), CatalogError>;

    /// Shows every row whose key begins with `prefix` to `visit`, in the order of keys.
    ///
    /// # Errors
    ///
    /// Those of the database and of `visit`.
    fn scan(
        &self,
        table: Table,
        prefix: &[u8],
        visit: &mut Visitor<'_>,
    ) -> Result<(), CatalogError> {
        self.scan_after(table, prefix, None, visit)
    }

    /// The row with the highest key that begins with `prefix`. Cost: as one row, however many
    /// there are.
    ///
    /// # Errors
    ///
    /// Those of the database.
    fn last(&self, table: Table, prefix: &[u8]) -> Result<Option<Row>, CatalogError>;

    /// The number of rows. Cost: may look at each of them.
    ///
    /// # Errors
    ///
    /// Those of the database.
    fn count(&self, table: Table) -> Result<u64, CatalogError> {
        self.count_to(table, u64::MAX)
    }

    /// The number of rows, or `limit` where there are more. Cost: at most that of so many rows.
    ///
    /// # Errors
    ///
    /// Those of the database.
    fn count_to(&self, table: Table, limit: u64) -> Result<u64, CatalogError>;

    /// A number of the [`Table::Meta`] table; 0 when it is missing.
    ///
    /// # Errors
    ///
    /// Those of the database; a value that is not 8 bytes.
    fn meta_u64(&self, key: &str) -> Result<u64, CatalogError> {
        let Some(value) = self.get(Table::Meta, key.as_bytes())? else { return Ok(0) };
        Ok(rows::decode_u64("meta value", &value)?)
    }
}

/// Changing rows, in a transaction.
pub trait WriteTables: ReadTables {
    /// Sets the value of `key`.
    ///
    /// # Errors
    ///
    /// Those of the database.
    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<(), CatalogError>;

    /// Removes `key`; says whether it was there.
    ///
    /// # Errors
    ///
    /// Those of the database.
    fn delete(&mut self, table: Table, key: &[u8]) -> Result<bool, CatalogError>;
}
