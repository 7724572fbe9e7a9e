//! Why a test of a program's own fails a model.

use std::error::Error;
use std::fmt;

use crate::container::full_message;

/// Why a test in the program fails a model. Every error converts into it, so that a
/// [`ModelTest`](super::ModelTest) reads tensors with `?`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestFailure(String);

impl TestFailure {
    /// A failure for this reason.
    pub fn new(reason: impl Into<String>) -> Self {
        TestFailure(reason.into())
    }
}

impl fmt::Display for TestFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<E: Error + 'static> From<E> for TestFailure {
    fn from(error: E) -> Self {
        TestFailure(full_message(&error))
    }
}
