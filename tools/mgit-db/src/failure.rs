//! Why a command does not do what it was asked: one type, with an exit code and a stable name.

use std::fmt;
use std::io;
use std::process::ExitCode;

use mgit::Error;
use mgit::error::{
    CatalogError, CommandError, DestinationError, ExportError, InterchangeError, LineageError,
    MergeError, Shortage, StoreError, TestError, TransferError, UpdateError, UpkeepError,
    full_message,
};

use crate::what_to_do::what_to_do;

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
                format!("cannot write the output: {}", full_message(error)),
            ),
        }
    }

    /// A failure of the operating system to do `action`.
    pub fn io(action: impl fmt::Display, error: &io::Error) -> Self {
        Failure::failed(io_code(error), format!("cannot {action}: {}", full_message(error)))
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

fn io_code(error: &io::Error) -> &'static str {
    match (Shortage::of(error), error.kind()) {
        (Some(shortage), _) => shortage.code(),
        (None, io::ErrorKind::NotFound) => "file-not-found",
        (None, _) => "io",
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match &error {
            Error::Destination(DestinationError::Io { source, .. })
                if source.kind() == io::ErrorKind::BrokenPipe =>
            {
                Failure::ClosedPipe
            }
            _ => {
                let message = format!("{}{}", full_message(&error), what_to_do(&error));
                Failure::failed(error.code(), message)
            }
        }
    }
}

macro_rules! failures_of {
    ($($error:ty,)*) => {
        $(impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Error::from(error).into()
            }
        })*
    };
}

failures_of! {
    CatalogError, CommandError, DestinationError, ExportError, InterchangeError, LineageError,
    MergeError, StoreError, TestError, TransferError, UpdateError, UpkeepError,
}
