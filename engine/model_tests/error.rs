use std::fmt;

use crate::command::CommandError;
use crate::store::StoreError;

/// Why tests could not be registered or run at all. A test that fails is no error.
#[derive(Debug)]
#[non_exhaustive]
pub enum TestError {
    /// The store.
    Store(StoreError),
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

impl TestError {
    /// A stable name of the kind of error, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            TestError::Store(error) => error.code(),
            TestError::BadTest { .. } => "bad-test",
            TestError::NoSuchTest { .. } => "no-such-test",
            TestError::Command(error) => error.code(),
            TestError::NoPath { .. } => "no-path",
            TestError::WrongEnd { .. } => "wrong-end",
        }
    }

    pub(super) fn bad(test: impl Into<String>, reason: impl Into<String>) -> Self {
        TestError::BadTest { test: test.into(), reason: reason.into() }
    }
}

impl fmt::Display for TestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TestError::Store(error) => error.fmt(f),
            TestError::BadTest { test, reason } => write!(f, "test {test:?}: {reason}"),
            TestError::NoSuchTest { test } => write!(f, "there is no test {test:?}"),
            TestError::Command(error) => error.fmt(f),
            TestError::NoPath { good, bad } => {
                write!(f, "neither versions nor derivations lead from {good} to {bad}")
            }
            TestError::WrongEnd { model, reason } => write!(f, "{model} {reason}"),
        }
    }
}

impl std::error::Error for TestError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            TestError::Store(error) => Some(error),
            TestError::Command(error) => Some(error),
            _ => None,
        }
    }
}

impl<E: Into<StoreError>> From<E> for TestError {
    fn from(error: E) -> Self {
        TestError::Store(error.into())
    }
}
