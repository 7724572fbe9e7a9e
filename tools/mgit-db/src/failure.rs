//! Why a command does not do what it was asked: one type, with an exit code and a stable name.

use std::fmt;
use std::io;
use std::process::ExitCode;

use mgit::command::CommandError;
use mgit::container::{ContainerError, DestinationError, Shortage, io_reason};
use mgit::interchange::{ExportError, InterchangeError};
use mgit::lineage::LineageError;
use mgit::model_tests::TestError;
use mgit::store::StoreError;
use mgit::transfer::TransferError;
use mgit::upkeep::UpkeepError;

/// A command that was not done.
#[derive(Debug)]
pub enum Failure {
    /// The arguments make no sense together.
    Usage {
        /// What is wrong, and what to write instead.
        message: String,
    },
    /// It was tried and failed.
    Failed {
        /// A stable name of the kind of failure.
        code: &'static str,
        /// What is wrong, and what to do next.
        message: String,
    },
    /// Whoever read standard output has closed it: nobody is left to tell.
    ClosedPipe,
}

impl Failure {
    /// Arguments that make no sense together.
    pub fn usage(message: impl Into<String>) -> Self {
        Failure::Usage { message: message.into() }
    }

    /// A failure of this code.
    pub fn failed(code: &'static str, message: impl Into<String>) -> Self {
        Failure::Failed { code, message: message.into() }
    }

    /// A failure to write standard output.
    pub fn stdout(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::ClosedPipe,
            _ => Failure::failed(
                io_code(error),
                format!("cannot write the output: {}", io_reason(error)),
            ),
        }
    }

    /// A failure of the operating system to do `action`.
    pub fn io(action: impl fmt::Display, error: &io::Error) -> Self {
        Failure::failed(io_code(error), format!("cannot {action}: {}", io_reason(error)))
    }

    /// Says more, such as what was done before the failure.
    pub fn and(self, more: &str) -> Self {
        match self {
            Failure::Failed { code, message } => {
                Failure::Failed { code, message: format!("{message}; {more}") }
            }
            other => other,
        }
    }

    /// Says first which file or place this is about.
    pub fn of(self, place: impl fmt::Display) -> Self {
        match self {
            Failure::Failed { code, message } => {
                Failure::Failed { code, message: format!("{place}: {message}") }
            }
            other => other,
        }
    }

    /// The stable name of the kind of failure.
    pub fn code(&self) -> &'static str {
        match self {
            Failure::Usage { .. } => "usage",
            Failure::Failed { code, .. } => code,
            Failure::ClosedPipe => "closed-pipe",
        }
    }

    /// 1 for a failure, 2 for wrong usage; a closed pipe ends as the signal would.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Failure::Failed { .. } => 1,
            Failure::Usage { .. } => 2,
            Failure::ClosedPipe => 128 + 13,
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Usage { message } | Failure::Failed { message, .. } => f.write_str(message),
            Failure::ClosedPipe => f.write_str("the reader of the output has closed it"),
        }
    }
}

/// What is said of a store that is in the way of a new one, by commands that can replace it.
pub fn taken(failure: Failure, force: bool) -> Failure {
    match (failure.code(), force) {
        ("already-exists", false) => failure.and("--force replaces it"),
        ("already-exists", true) => failure.and("a store does not replace itself"),
        _ => failure,
    }
}

/// What to do about a file that is no store, by what was found there.
fn no_store(found: &str) -> &'static str {
    match found {
        "it is a folder" => ": name the store's file",
        "the file is empty" => {
            ": check the path, or remove the file and make a store with `mgit-db init`"
        }
        found if found.starts_with("it is ") => ": check the path",
        found if found.contains("\"MGITPACK\"") => {
            ", which is a bundle: `mgit-db clone` makes a store of it, `mgit-db bundle import` takes \
             in what it holds"
        }
        _ => {
            ": check the path, or make a store with `mgit-db init`; of a store whose head is gone, \
             `mgit-db salvage` saves the rest"
        }
    }
}

fn io_code(error: &io::Error) -> &'static str {
    match (Shortage::of(error), error.kind()) {
        (Some(shortage), _) => shortage.code(),
        (None, io::ErrorKind::NotFound) => "file-not-found",
        (None, _) => "io",
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        // What the engine cannot know: the words of this command line.
        let next = match &error {
            StoreError::Lineage(LineageError::NoSuchModel { similar, .. })
                if similar.is_empty() =>
            {
                ": `mgit-db ls` lists what is there"
            }
            StoreError::Container(ContainerError::NotAStore { found }) => no_store(found),
            error if error.is_damage() => ": `mgit-db verify` says what is left of it",
            StoreError::OpenFile { source, .. } if source.kind() == io::ErrorKind::IsADirectory => {
                ": name the store's file"
            }
            StoreError::AlreadyExists { .. } => ": name another path, or use what is there",
            StoreError::Container(ContainerError::Locked(_)) => {
                "; --wait waits for as long as that takes"
            }
            StoreError::MissingContent { .. } => ": `mgit-db fetch STORE PLACE --name NAME`",
            _ => "",
        };
        Failure::failed(error.code(), format!("{error}{next}"))
    }
}

impl From<LineageError> for Failure {
    fn from(error: LineageError) -> Self {
        StoreError::from(error).into()
    }
}

impl From<TestError> for Failure {
    fn from(error: TestError) -> Self {
        let code = error.code();
        match error {
            TestError::Store(error) => error.into(),
            TestError::Command(error) => error.into(),
            TestError::NoSuchTest { .. } => {
                Failure::failed(code, format!("{error}: `mgit-db test ls` lists what is there"))
            }
            error => Failure::failed(code, error.to_string()),
        }
    }
}

impl From<CommandError> for Failure {
    fn from(error: CommandError) -> Self {
        Failure::failed(error.code(), error.to_string())
    }
}

impl From<UpkeepError> for Failure {
    fn from(error: UpkeepError) -> Self {
        match error {
            UpkeepError::Store(error) => error.into(),
            UpkeepError::Destination(error) => error.into(),
            error => Failure::failed(error.code(), error.to_string()),
        }
    }
}

impl From<mgit::catalog::CatalogError> for Failure {
    fn from(error: mgit::catalog::CatalogError) -> Self {
        StoreError::from(error).into()
    }
}

impl From<DestinationError> for Failure {
    fn from(error: DestinationError) -> Self {
        match error {
            DestinationError::Exists { .. } => Failure::failed(
                error.code(),
                format!("{error}: name another file, or add --force to replace it"),
            ),
            DestinationError::Io { source, .. } if source.kind() == io::ErrorKind::BrokenPipe => {
                Failure::ClosedPipe
            }
            error => Failure::failed(error.code(), error.to_string()),
        }
    }
}

impl From<TransferError> for Failure {
    fn from(error: TransferError) -> Self {
        match error {
            TransferError::Store(error) => error.into(),
            TransferError::Destination(error) => error.into(),
            error => Failure::failed(error.code(), error.to_string()),
        }
    }
}

impl From<InterchangeError> for Failure {
    fn from(error: InterchangeError) -> Self {
        let code = match &error {
            InterchangeError::NotFound { .. } => "file-not-found",
            InterchangeError::Io { source, .. } if Shortage::of(source).is_some() => {
                io_code(source)
            }
            error if error.is_malformed() => "malformed-file",
            _ => "unreadable-file",
        };
        Failure::failed(code, error.to_string())
    }
}

impl From<ExportError> for Failure {
    fn from(error: ExportError) -> Self {
        match error {
            ExportError::Store(error) => error.into(),
            ExportError::Destination(error) => error.into(),
            ExportError::Target { path, source } => DestinationError::Io { path, source }.into(),
            ExportError::NeedsFolder { .. } => Failure::failed("needs-folder", error.to_string()),
            ExportError::FolderNotEmpty { .. } => {
                Failure::failed("folder-not-empty", error.to_string())
            }
            error => Failure::failed("damaged", error.to_string()),
        }
    }
}
