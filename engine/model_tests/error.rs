use crate::command::CommandError;
use crate::store::StoreError;

/// Why tests could not be registered or run at all. A test that fails is no error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TestError {
    /// The store.
    #[error(transparent)]
    Store(StoreError),
    /// A definition, a bound or a pattern that cannot be understood.
    #[error("test {test:?}: {reason}")]
    BadTest {
        /// The test, or what was written.
        test: String,
        /// What is wrong.
        reason: String,
    },
    /// No test of this name.
    #[error("there is no test {test:?}")]
    NoSuchTest {
        /// The name.
        test: String,
    },
    /// The command of a test.
    #[error(transparent)]
    Command(CommandError),
    /// The ends of a bisection do not lead from a model to a later one.
    #[error("neither versions nor derivations lead from {good} to {bad}")]
    NoPath {
        /// The model that passes.
        good: String,
        /// The model that fails.
        bad: String,
    },
    /// An end of a bisection is not what it was said to be.
    #[error("{model} {reason}")]
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

impl<E: Into<StoreError>> From<E> for TestError {
    fn from(error: E) -> Self {
        TestError::Store(error.into())
    }
}
