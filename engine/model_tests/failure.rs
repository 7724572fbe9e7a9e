//! Why a test of a program's own fails a model.

use std::error::Error;
use std::fmt;

use crate::container::full_message;

/// Why a test in the program fails a model. Every error converts into it, so that a
/// [`ModelTest`](super::ModelTest) reads tensors with `?`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestFailure {
    reason: String,
    is_lasting: bool,
}

impl TestFailure {
    /// A failure for this reason.
    pub fn new(reason: impl Into<String>) -> Self {
        TestFailure { reason: reason.into(), is_lasting: true }
    }

    /// A failure that may be the machine's or the test's own, such as a crash of it: it is told, and
    /// not kept for the next run.
    pub fn passing(reason: impl Into<String>) -> Self {
        TestFailure { reason: reason.into(), is_lasting: false }
    }

    pub(super) fn is_lasting(&self) -> bool {
        self.is_lasting
    }
}

impl fmt::Display for TestFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl<E: Error + 'static> From<E> for TestFailure {
    fn from(error: E) -> Self {
        TestFailure::new(full_message(&error))
    }
}
