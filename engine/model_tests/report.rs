//! What a run of tests reports: how each test ended on each model.

use std::fmt;

use super::Finding;
use super::summaries::Unkept;
use crate::lineage::Node;
use crate::store::StoreError;

/// How a test ended on a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
// Exhaustive on purpose: whoever matches one is to be told when there is another.
pub enum Status {
    /// It passed and meets its bounds.
    Passed,
    /// It failed, or a bound is broken.
    Failed,
    /// It could not be told: the machine was in the way.
    Error,
    /// It was not run.
    NotRun,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Status {
    /// A word.
    pub fn name(self) -> &'static str {
        match self {
            Status::Passed => "passed",
            Status::Failed => "failed",
            Status::Error => "error",
            Status::NotRun => "not-run",
        }
    }
}

/// A test's result on a model.
#[derive(Clone, Debug, serde::Serialize)]
#[non_exhaustive]
pub struct TestResult {
    /// The test.
    pub test: String,
    /// The model.
    pub node: Node,
    /// How it ended.
    pub status: Status,
    /// Why it did not pass.
    pub reasons: Vec<String>,
    /// What was found; empty when it did not run.
    pub finding: Finding,
    /// Whether it was known before.
    pub was_known: bool,
}

/// An error in a report, as its text; `None` is no value.
pub(crate) fn as_text<E: std::fmt::Display, S: serde::Serializer>(
    error: &Option<E>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match error {
        Some(error) => serializer.collect_str(error),
        None => serializer.serialize_none(),
    }
}

/// What a run did.
#[derive(Debug, Default, serde::Serialize)]
#[non_exhaustive]
pub struct RunReport {
    /// In the order of the models, then of the tests.
    pub results: Vec<TestResult>,
    /// Runs of commands and of the program's own tests; those for bounds among them.
    pub runs: u64,
    /// Bytes of tensors that built-in tests read: of each distinct one once.
    pub bytes_read: u64,
    /// What was found and is not kept, for [`Unkept::keep`].
    #[serde(skip)]
    pub unkept: Unkept,
    /// Why it could not be kept in the store that was given.
    #[serde(serialize_with = "as_text")]
    pub not_kept: Option<StoreError>,
}

impl RunReport {
    /// Whether everything that was asked for passed.
    pub fn is_passed(&self) -> bool {
        self.results.iter().all(|result| result.status == Status::Passed)
    }
}
