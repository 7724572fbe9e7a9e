//! One error for everything that a program does with this crate, and all errors by name.
//!
//! Each room has an error of its own, which says exactly what it refuses. [`Error`] takes all of
//! them, so that one `?` serves for all.

#[cfg(test)]
mod tests;

use std::io;

pub use crate::adoption::AdoptionError;
pub use crate::architecture::ArchitectureError;
pub use crate::catalog::CatalogError;
pub use crate::codec::formula::FormulaError;
pub use crate::codec::{CodecError, UnknownLossy, UnknownProfile};
pub use crate::command::CommandError;
use crate::container::io_code;
pub use crate::container::{ContainerError, DestinationError, LockHolder, Locked, NoStore};
pub use crate::container::{Shortage, full_message};
pub use crate::format::FormatError;
pub use crate::hub::RequestError;
pub use crate::hub_client::{HubError, HubFault};
pub use crate::interchange::{ExportError, InterchangeError};
pub use crate::lineage::LineageError;
pub use crate::merge::MergeError;
pub use crate::model_tests::TestError;
pub use crate::store::{StoreError, WriteToError};
pub use crate::tensor::{ParseIdError, ShapeError, ViewError};
pub use crate::transfer::TransferError;
pub use crate::update::UpdateError;
pub use crate::upkeep::UpkeepError;

/// The result of anything that a program does with this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong, whichever room of the crate says so.
///
/// The error of every room converts into it. One failure is one variant, whichever function returned
/// it: a locked store is [`Error::Store`] when it is opened, and also when a merge or a push meets
/// it, although [`MergeError`] and [`TransferError`] have a variant that holds a [`StoreError`].
///
/// An error's text ends where its source's begins: [`full_message`] gives all of it, and what to do
/// where something of the system has run out.
///
/// ```no_run
/// use std::fs::File;
///
/// use mgit::interchange::{ModelSource, export_to_path};
/// use mgit::transfer::{Place, Selection, push};
/// use mgit::{How, NewModel, Shape, Store};
///
/// fn main() -> mgit::Result<()> {
///     let store = Store::open("family.mgit")?;
///     let file = ModelSource::open("tuned.safetensors")?;
///     let mut transaction = store.begin_write()?;
///     transaction.add_model(NewModel::new("tuned").parent("base", How::FineTune).source(&file))?;
///     transaction.commit()?;
///
///     let snapshot = store.snapshot()?;
///     let tensor = snapshot.model("tuned")?.tensor("head.weight")?;
///     println!("{:?} of {}", tensor.view()?.as_slice::<f32>()?.first(), Shape::new(&[2, 2])?);
///     export_to_path(&snapshot.model("tuned")?, "copy.safetensors", &|_| ())?;
///     println!("{} bytes", File::open("copy.safetensors")?.metadata()?.len());
///     let all = Selection { wants: &|_| true, graph_only: false, progress: &|_| () };
///     push(&store, &Place::parse("/models/family")?, all)?;
///     Ok(())
/// }
/// ```
///
/// A program finds out what happened by a `match` on the variants, or by the stable name that
/// [`code`](Error::code) returns. A match has up to three levels: the room, the error of that room,
/// and what that error holds of a room below.
///
/// ```
/// use mgit::error::{LineageError, StoreError};
/// use mgit::{Error, Store, full_message};
///
/// fn count_tensors(path: &std::path::Path, model: &str) -> mgit::Result<usize> {
///     Ok(Store::open_read_only(path)?.snapshot()?.model(model)?.tensors().count())
/// }
///
/// # let folder = tempfile::tempdir()?;
/// let path = folder.path().join("family.mgit");
/// let error = count_tensors(&path, "base").unwrap_err();
/// assert!(matches!(error, Error::Store(StoreError::NotFound { .. })));
/// assert_eq!(error.code(), "store-not-found");
///
/// drop(Store::create(&path)?);
/// match count_tensors(&path, "base").unwrap_err() {
///     Error::Store(StoreError::Lineage(LineageError::NoSuchModel { similar, .. })) => {
///         assert!(similar.is_empty());
///     }
///     error => println!("error: {}", full_message(&error)),
/// }
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A store: opening, reading and changing it, and its lineage graph.
    #[error(transparent)]
    Store(StoreError),
    /// A file that is to be written is not.
    #[error(transparent)]
    Destination(DestinationError),
    /// A model file is not taken.
    #[error(transparent)]
    Interchange(#[from] InterchangeError),
    /// A model cannot be exported.
    #[error(transparent)]
    Export(ExportError),
    /// Layers and edges make no architecture.
    #[error(transparent)]
    Architecture(#[from] ArchitectureError),
    /// An external command was not run.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// Tests of models could not be registered or run.
    #[error(transparent)]
    Test(TestError),
    /// A store could not be verified, copied or saved.
    #[error(transparent)]
    Upkeep(UpkeepError),
    /// Models could not be pushed, pulled, fetched or bundled.
    #[error(transparent)]
    Transfer(TransferError),
    /// A model could not be made or updated.
    #[error(transparent)]
    Update(UpdateError),
    /// Two models could not be merged.
    #[error(transparent)]
    Merge(MergeError),
    /// Models that come together could not be found, or not all of them imported.
    #[error(transparent)]
    Adoption(AdoptionError),
    /// A model of a hub could not be downloaded.
    #[error(transparent)]
    Hub(#[from] HubError),
    /// A request to a store as a hub means nothing that is there.
    #[error(transparent)]
    Request(RequestError),
    /// Text that is no id.
    #[error(transparent)]
    Id(#[from] ParseIdError),
    /// Text that names no profile.
    #[error(transparent)]
    Profile(#[from] UnknownProfile),
    /// Text that names no lossy method.
    #[error(transparent)]
    Lossy(#[from] UnknownLossy),
    /// Stored bytes that do not decode.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// Bytes that are no formula, or a formula that does not fit its bases.
    #[error(transparent)]
    Formula(#[from] FormulaError),
    /// What the operating system answered the program itself: no room of this crate gives it. It is
    /// here so that `?` takes that too.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// JSON that the program itself reads or writes, such as a model's metadata: no room of this
    /// crate gives it. It is here so that `?` takes that too.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

impl Error {
    /// A stable name of the kind of error, for programs: `locked`, `no-such-model`. The tool
    /// `mgit-db` prints it as `code` where it prints JSON.
    ///
    /// Where it comes from, and which there are:
    ///
    /// - opening and changing a store: `store-not-found`, `already-exists`, `open-failed`,
    ///   `not-a-store`, `truncated`, `newer-version`, `unknown-features`, `needs-repair`,
    ///   `damaged`, `catalog`, `io`, `locked`, `no-locks`, `read-only`, `already-writing`,
    ///   `busy`, `broken-transaction`, `outcome-unknown`, `poisoned`, `retired`,
    ///   `too-many-extents`, `format-limit`.
    /// - what has run out: `disk-full`, `too-many-open-files`, `out-of-memory`.
    /// - tensors: `no-such-tensor`, `rows-out-of-range`, `buffer-length`, `view`, `bad-shape`,
    ///   `no-such-file`, `bad-file` of a model's files,
    ///   `bad-tensor`, `source`, `missing-content`, `missing-tensor`, `undecodable`,
    ///   `bad-formula`.
    /// - rounding, pins: `gate`, `gate-refused`, `already-lossy`, `nothing-lossy`, `pinned`,
    ///   `unknown-lossy`, `unknown-profile`.
    /// - lineage: `invalid-name`, `invalid-how`, `no-such-model`, `has-children`, `cycle`,
    ///   `duplicate-parent`, `name-taken`, `no-such-tag`, `no-such-edge`, `not-earlier`,
    ///   `too-many`, `own-key`, `no-randomness`, `bad-id`.
    /// - files to be written: `already-exists`, `is-a-store`, `is-a-folder`, `not-a-file`,
    ///   `file-not-found`, `needs-folder`, `folder-not-empty`, `one-file`, `several-files`,
    ///   `wrong-extension`, `not-convertible`.
    /// - files to be read: `file-not-found`, `malformed-file`, `unreadable-file`,
    ///   `bad-architecture`.
    /// - JSON that the program itself reads or writes: `json`.
    /// - commands: `bad-command`, `unknown-placeholder`, `not-trusted`, `trust-file`,
    ///   `command-not-started`, `command-lost`.
    /// - tests of models: `bad-test`, `no-such-test`, `no-path`, `wrong-end`.
    /// - upkeep: `damaged`, `linked`, `nothing-found`.
    /// - transfer: `remote-io`, `remote-damaged`, `not-readable`, `packs-lost`,
    ///   `remote-not-found`, `diverged`, `push-raced`, `out-of-reach`, `nothing-selected`,
    ///   `no-such-remote`, `bad-remote`, `folder-not-empty`.
    /// - models of hubs: `not-built`, `bad-hub-address`, `hub-not-found`, `hub-needs-token`,
    ///   `hub-unreachable`, `hub-damaged`, `under-way`.
    /// - requests to a store as a hub: `no-such-model`, `no-such-revision`, `no-such-file`,
    ///   `bad-range`, `bad-request`, `no-token`, `busy`.
    /// - updates: `no-such-function`, `bad-parameter`, `bad-inputs`, `bad-tensor`,
    ///   `function-failed`, `no-recipe`, `bad-recipe`, `input-gone`, `update-begun`,
    ///   `interrupted`, `input-removed`, `temporary-file`.
    /// - merges: `same-model`, `no-common-ancestor`, `nothing-taken`, `merge-conflict`,
    ///   `merge-tests-failed`.
    /// - models that come: `name-twice`, `file-not-found` of a folder without models,
    ///   `malformed-file` of layers beside a model; those of files to be read and of the store.
    pub fn code(&self) -> &'static str {
        match self {
            Error::Store(error) => error.code(),
            Error::Destination(error) => error.code(),
            Error::Interchange(error) => error.code(),
            Error::Export(error) => error.code(),
            Error::Architecture(_) => "bad-architecture",
            Error::Command(error) => error.code(),
            Error::Test(error) => error.code(),
            Error::Upkeep(error) => error.code(),
            Error::Transfer(error) => error.code(),
            Error::Update(error) => error.code(),
            Error::Merge(error) => error.code(),
            Error::Adoption(error) => error.code(),
            Error::Hub(error) => error.code(),
            Error::Request(error) => error.code(),
            Error::Id(_) => "bad-id",
            Error::Profile(_) => "unknown-profile",
            Error::Lossy(_) => "unknown-lossy",
            Error::Codec(_) => "undecodable",
            Error::Formula(_) => "bad-formula",
            Error::Io(error) => io_code(error),
            Error::Json(_) => "json",
        }
    }
}

impl<E: Into<StoreError>> From<E> for Error {
    fn from(error: E) -> Self {
        match error.into() {
            StoreError::Destination(error) => Error::Destination(error),
            error => Error::Store(error),
        }
    }
}

impl From<ExportError> for Error {
    fn from(error: ExportError) -> Self {
        match error {
            ExportError::Store(error) => error.into(),
            ExportError::Destination(error) => error.into(),
            error => Error::Export(error),
        }
    }
}

impl From<WriteToError> for Error {
    fn from(error: WriteToError) -> Self {
        match error {
            WriteToError::Read(error) => error.into(),
            WriteToError::Write(source) => DestinationError::Io { path: "-".into(), source }.into(),
        }
    }
}

impl From<TestError> for Error {
    fn from(error: TestError) -> Self {
        match error {
            TestError::Store(error) => error.into(),
            TestError::Command(error) => error.into(),
            error => Error::Test(error),
        }
    }
}

impl From<UpkeepError> for Error {
    fn from(error: UpkeepError) -> Self {
        match error {
            UpkeepError::Store(error) => error.into(),
            UpkeepError::Destination(error) => error.into(),
            error => Error::Upkeep(error),
        }
    }
}

impl From<TransferError> for Error {
    fn from(error: TransferError) -> Self {
        match error {
            TransferError::Store(error) => error.into(),
            TransferError::Destination(error) => error.into(),
            error => Error::Transfer(error),
        }
    }
}

impl From<RequestError> for Error {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::Store(error) => error.into(),
            error => Error::Request(error),
        }
    }
}

impl From<UpdateError> for Error {
    fn from(error: UpdateError) -> Self {
        match error {
            UpdateError::Store(error) => error.into(),
            UpdateError::Command(error) => error.into(),
            error => Error::Update(error),
        }
    }
}

impl From<MergeError> for Error {
    fn from(error: MergeError) -> Self {
        match error {
            MergeError::Store(error) => error.into(),
            MergeError::Update(error) => error.into(),
            MergeError::Test(error) => error.into(),
            error => Error::Merge(error),
        }
    }
}

impl From<AdoptionError> for Error {
    fn from(error: AdoptionError) -> Self {
        match error {
            AdoptionError::Store(error) => error.into(),
            // It names the path itself.
            AdoptionError::NotTaken { source, .. } => (*source).into(),
            error => Error::Adoption(error),
        }
    }
}
