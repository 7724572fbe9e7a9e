use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fmt, io};

use crate::catalog::CatalogError;
use crate::container::{ContainerError, DestinationError, Shortage, full_message};
use crate::format::FormatError;
use crate::lineage::LineageError;
use crate::tensor::{ContentId, ShapeError, ViewError};

/// The result of a store operation.
pub type Result<T> = std::result::Result<T, StoreError>;

/// What can go wrong with a store.
///
/// [`StoreError::code`] gives each kind a stable name.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// There is no file at this path.
    #[error("no store at {}", .path.display())]
    NotFound {
        /// The path.
        path: PathBuf,
    },
    /// There is already something at this path.
    #[error("{} is already there", .path.display())]
    AlreadyExists {
        /// The path.
        path: PathBuf,
    },
    /// A new store cannot be written where it is to be.
    #[error(transparent)]
    Destination(#[from] DestinationError),
    /// The operating system refused to open, create or name the file.
    #[error("cannot open {}", .path.display())]
    OpenFile {
        /// The path.
        path: PathBuf,
        /// Its answer.
        source: io::Error,
    },
    /// The file of the store: not a store, cut off, newer, locked, full, damaged.
    #[error(transparent)]
    Container(#[from] ContainerError),
    /// The catalogue of the store.
    #[error(transparent)]
    Catalog(CatalogError),
    /// The lineage graph: names, versions, edges.
    #[error(transparent)]
    Lineage(LineageError),
    /// The store was opened read-only.
    #[error("the store was opened read-only")]
    ReadOnly,
    /// This thread has begun a transaction that is still open: it would wait for itself.
    #[error("this thread has a transaction open already: commit or drop it before the next")]
    AlreadyWriting,
    /// Another thread has a transaction open.
    #[error("another thread has a transaction open: wait until it is done")]
    Busy {
        /// How long it was waited for.
        waited: Duration,
    },
    /// An earlier step of the transaction failed half-way: it can only be dropped.
    #[error("an earlier step of this transaction failed: drop it and begin another")]
    BrokenTransaction,
    /// A commit failed at a point where it may or may not be on the medium. Open the store again
    /// to see; this handle writes no more.
    #[error("the commit failed, and may or may not be in the store (open the store again to see)")]
    OutcomeUnknown {
        /// What failed.
        source: CatalogError,
    },
    /// A record in the file is damaged, or is not the one the catalogue promises.
    #[error("damaged record of content {} at byte {offset}: {reason}", .content_id.short())]
    DamagedRecord {
        /// The content that is lost.
        content_id: ContentId,
        /// Offset of the record in the file.
        offset: u64,
        /// What is wrong.
        reason: String,
    },
    /// The model has no tensor of this name.
    #[error("{model} has no tensor {tensor:?}")]
    NoSuchTensor {
        /// The model.
        model: String,
        /// The tensor.
        tensor: String,
    },
    /// The model has no file of this path.
    #[error("{model} has no file {path:?}")]
    NoSuchFile {
        /// The model.
        model: String,
        /// The path.
        path: String,
    },
    /// Rows that the tensor does not have.
    #[error("rows {start}..{end} of {tensor:?}, which has {rows}")]
    RowsOutOfRange {
        /// The tensor.
        tensor: String,
        /// The first row asked for.
        start: u64,
        /// The row after the last asked for.
        end: u64,
        /// How many rows there are.
        rows: u64,
    },
    /// A buffer of another length than the tensor.
    #[error("a buffer of {found} bytes for a tensor of {expected}")]
    BufferLength {
        /// Length of the tensor in bytes.
        expected: u64,
        /// Length of the buffer in bytes.
        found: u64,
    },
    /// A tensor that cannot be seen as elements of the type asked for.
    #[error(transparent)]
    View(#[from] ViewError),
    /// Dimensions that make no shape.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// A tensor of a new model whose bytes, type and shape contradict each other, or whose name
    /// is empty, too long or used twice.
    #[error("{}", bad_tensor(.tensor, .reason))]
    BadTensor {
        /// The tensor.
        tensor: String,
        /// What is wrong.
        reason: String,
    },
    /// A file of a new model whose path, gaps or views cannot be.
    #[error("file {path:?} of the new model: {reason}")]
    BadFile {
        /// Its path.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// The source of a tensor could not be read, or gave other bytes the second time.
    #[error("reading tensor {tensor:?} failed")]
    Source {
        /// The tensor.
        tensor: String,
        /// What failed.
        source: io::Error,
    },
    /// The tensor is to be read and was not pulled yet.
    #[error("tensor {tensor:?} of {model} was not pulled yet: it is at {promisor:?}")]
    MissingContent {
        /// The model, `name@version`.
        model: String,
        /// The tensor.
        tensor: String,
        /// Where it is.
        promisor: String,
    },
    /// A transfer needs a tensor that has not come with it and is not here.
    #[error(
        "tensor {}, which {needed_by} needs, has not come and is not here: it was removed here \
         meanwhile (then try again), or the place it is to come from is not whole",
        .content_id.short()
    )]
    MissingTensor {
        /// The tensor.
        content_id: ContentId,
        /// What needs it: a tensor of a model, or a content that is decoded from it.
        needed_by: String,
    },
    /// More memory than can be had.
    #[error("no memory for {bytes} bytes")]
    OutOfMemory {
        /// Bytes asked for.
        bytes: u64,
    },
    /// A bound of the file format.
    #[error("beyond the file format")]
    Format(#[from] FormatError),
    /// The gate could not judge a lossy model.
    #[error("the gate could not judge the model: {reason}")]
    Gate {
        /// Why not.
        reason: String,
    },
    /// The gate accepts no loss of the model at all.
    #[error("the gate accepts no loss: nothing was changed")]
    GateRefused,
    /// The model is lossy already: its own values are not there to be rounded.
    #[error("{model} is lossy already: its own values are to be imported anew")]
    AlreadyLossy {
        /// The model.
        model: String,
    },
    /// The model is pinned: it is to stay as it is, raw.
    #[error("{model} is pinned, to stay raw as it is")]
    Pinned {
        /// The model.
        model: String,
    },
    /// No tensor of the model has a partner among its parents' that it can be rounded to.
    #[error(
        "nothing of {model} can be made lossy: it takes tensors of F16, BF16 or F32, and a parent's \
         of the same shape that they differ from"
    )]
    NothingLossy {
        /// The model.
        model: String,
    },
}

impl StoreError {
    /// A stable name of the kind of error, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            StoreError::NotFound { .. } => "store-not-found",
            StoreError::AlreadyExists { .. } => "already-exists",
            StoreError::Destination(error) => error.code(),
            StoreError::OpenFile { source, .. } => {
                Shortage::of(source).map_or("open-failed", Shortage::code)
            }
            StoreError::Container(error) => container_code(error),
            StoreError::Catalog(error) => catalog_code(error),
            StoreError::Lineage(error) => match error {
                LineageError::NoSuchModel { .. } => "no-such-model",
                LineageError::HasChildren { .. } => "has-children",
                LineageError::Cycle { .. } => "cycle",
                LineageError::InvalidName { .. } => "invalid-name",
                LineageError::NameTaken { .. } => "name-taken",
                LineageError::NoSuchTag { .. } => "no-such-tag",
                LineageError::NoSuchEdge { .. } => "no-such-edge",
                LineageError::NotEarlier { .. } => "not-earlier",
                LineageError::OwnKey { .. } => "own-key",
                LineageError::Circle { .. } | LineageError::Dangling { .. } => "damaged",
                LineageError::InvalidHow { .. } => "invalid-how",
                LineageError::DuplicateParent { .. } => "duplicate-parent",
                LineageError::TooMany { .. } => "too-many",
                LineageError::NoRandomness => "no-randomness",
                LineageError::Catalog(error) => catalog_code(error),
            },
            StoreError::ReadOnly => "read-only",
            StoreError::AlreadyWriting => "already-writing",
            StoreError::Busy { .. } => "busy",
            StoreError::BrokenTransaction => "broken-transaction",
            StoreError::OutcomeUnknown { .. } => "outcome-unknown",
            StoreError::DamagedRecord { .. } => "damaged",
            StoreError::NoSuchTensor { .. } => "no-such-tensor",
            StoreError::NoSuchFile { .. } => "no-such-file",
            StoreError::RowsOutOfRange { .. } => "rows-out-of-range",
            StoreError::BufferLength { .. } => "buffer-length",
            StoreError::View(_) => "view",
            StoreError::Shape(_) => "bad-shape",
            StoreError::BadTensor { .. } => "bad-tensor",
            StoreError::BadFile { .. } => "bad-file",
            // Reading does not fill a disk: a stream's temporary file does.
            StoreError::Source { source, .. } => {
                Shortage::of(source).map_or("source", Shortage::code)
            }
            StoreError::MissingContent { .. } => "missing-content",
            StoreError::MissingTensor { .. } => "missing-tensor",
            StoreError::OutOfMemory { .. } => "out-of-memory",
            StoreError::Format(_) => "format-limit",
            StoreError::Gate { .. } => "gate",
            StoreError::GateRefused => "gate-refused",
            StoreError::AlreadyLossy { .. } => "already-lossy",
            StoreError::NothingLossy { .. } => "nothing-lossy",
            StoreError::Pinned { .. } => "pinned",
        }
    }

    /// Whether the file of the store is damaged, so that a scan of it may find more than opening.
    pub fn is_damage(&self) -> bool {
        matches!(self.code(), "damaged" | "truncated" | "catalog" | "io")
    }

    /// Whether the disk is full, also when that left the outcome of a commit unknown.
    pub fn is_disk_full(&self) -> bool {
        match self {
            StoreError::OutcomeUnknown { source } => source.is_disk_full(),
            error => error.code() == "disk-full",
        }
    }

    /// Whether something has run out that says nothing of the file: room on the disk, files that
    /// may be open, memory.
    pub fn is_shortage(&self) -> bool {
        self.is_disk_full() || matches!(self.code(), "too-many-open-files" | "out-of-memory")
    }

    /// What is wrong, without the words that name the record.
    pub(crate) fn reason(self) -> String {
        match self {
            StoreError::DamagedRecord { reason, .. } => reason,
            other => full_message(&other),
        }
    }

    /// What opening a file answered.
    pub(crate) fn open_file(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| match source.kind() {
            io::ErrorKind::NotFound => StoreError::NotFound { path },
            io::ErrorKind::AlreadyExists => StoreError::AlreadyExists { path },
            _ => match source.downcast::<ContainerError>() {
                Ok(error) => StoreError::Container(error),
                Err(source) => StoreError::OpenFile { path, source },
            },
        }
    }
}

fn container_code(error: &ContainerError) -> &'static str {
    match error {
        ContainerError::Io { source, .. } => Shortage::of(source).map_or("io", Shortage::code),
        ContainerError::NotAStore { .. } => "not-a-store",
        ContainerError::Truncated { .. } => "truncated",
        ContainerError::NewerVersion { .. } => "newer-version",
        ContainerError::UnknownFeatures { .. } => "unknown-features",
        ContainerError::Format { .. } => "damaged",
        ContainerError::Locked { .. } => "locked",
        ContainerError::NoLocks => "no-locks",
        ContainerError::Poisoned => "poisoned",
        ContainerError::Retired => "retired",
        ContainerError::TooManyExtents => "too-many-extents",
    }
}

fn catalog_code(error: &CatalogError) -> &'static str {
    match error {
        CatalogError::Container(error) => container_code(error),
        CatalogError::Row(_) | CatalogError::Damaged { .. } => "damaged",
        CatalogError::NeedsRepair => "needs-repair",
        CatalogError::Database(_) => "catalog",
    }
}

impl From<CatalogError> for StoreError {
    fn from(error: CatalogError) -> Self {
        match error {
            CatalogError::Container(error) => StoreError::Container(error),
            error => StoreError::Catalog(error),
        }
    }
}

impl From<LineageError> for StoreError {
    fn from(error: LineageError) -> Self {
        match error {
            LineageError::Catalog(error) => error.into(),
            error => StoreError::Lineage(error),
        }
    }
}

/// An error about one record, from the error of its parts.
pub(in crate::store) fn damaged(
    content_id: ContentId,
    offset: u64,
) -> impl Fn(&dyn fmt::Display) -> StoreError {
    move |reason| StoreError::DamagedRecord { content_id, offset, reason: reason.to_string() }
}

/// What is said of a tensor that cannot be taken as it is, here and where models are made.
pub(crate) fn bad_tensor(tensor: &str, reason: &str) -> String {
    format!("tensor {tensor:?}: {reason}")
}
