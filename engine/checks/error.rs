use std::fmt;

use crate::command::CommandError;
use crate::store::Error;

/// Why tests could not be registered or run at all. A test that fails is no error.
#[derive(Debug)]
#[non_exhaustive]
pub enum CheckError {
    /// The store.
    Store(Error),
    /// A definition, a bound or a pattern that cannot be understood.
    BadTest {
        /// The test, or what was written.
        test: String,
        /// What is wrong.
        reason: String,
    },
    /// No test of this name.
    NoSuchTest {
        /// The name.
        test: String,
    },
    /// The command of a test.
    Command(CommandError),
    /// The ends of a bisection do not lead from a model to a later one.
    NoPath {
        /// The model that passes.
        good: String,
        /// The model that fails.
        bad: String,
    },
    /// An end of a bisection is not what it was said to be.
    WrongEnd {
        /// The model.
        model: String,
        /// What the test said of it.
        reason: String,
    },
}

impl CheckError {
    /// A stable name of the kind of error, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            CheckError::Store(error) => error.code(),
            CheckError::BadTest { .. } => "bad-test",
            CheckError::NoSuchTest { .. } => "no-such-test",
            CheckError::Command(error) => error.code(),
            CheckError::NoPath { .. } => "no-path",
            CheckError::WrongEnd { .. } => "wrong-end",
        }
    }

    pub(super) fn bad(test: impl Into<String>, reason: impl Into<String>) -> Self {
        CheckError::BadTest { test: test.into(), reason: reason.into() }
    }
}

impl fmt::Display for CheckError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CheckError::Store(error) => error.fmt(f),
            CheckError::BadTest { test, reason } => write!(f, "test {test:?}: {reason}"),
            CheckError::NoSuchTest { test } => write!(f, "there is no test {test:?}"),
            CheckError::Command(error) => error.fmt(f),
            CheckError::NoPath { good, bad } => {
                write!(f, "neither versions nor derivations lead from {good} to {bad}")
            }
            CheckError::WrongEnd { model, reason } => write!(f, "{model} {reason}"),
        }
    }
}

impl std::error::Error for CheckError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            CheckError::Store(error) => Some(error),
            CheckError::Command(error) => Some(error),
            _ => None,
        }
    }
}

impl<E: Into<Error>> From<E> for CheckError {
    fn from(error: E) -> Self {
        CheckError::Store(error.into())
    }
}
