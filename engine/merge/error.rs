use std::fmt;

use crate::model_tests::TestError;
use crate::store::StoreError;
use crate::update::UpdateError;

/// Why two models were not merged. The store is then as it was.
#[derive(Debug)]
#[non_exhaustive]
pub enum MergeError {
    /// The store.
    Store(StoreError),
    /// A setting, or a tensor that cannot be made.
    Update(UpdateError),
    /// Tests cannot be run at all.
    Check(TestError),
    /// Both sides are one model.
    SameModel {
        /// The model.
        model: String,
    },
    /// Nothing is an ancestor of both.
    NoCommonAncestor {
        /// One side.
        ours: String,
        /// The other.
        theirs: String,
    },
    /// A glob that fits no layer and no tensor.
    NothingTaken {
        /// The glob.
        glob: String,
    },
    /// Conflicts that nobody has settled.
    Unresolved {
        /// Their layers.
        layers: Vec<String>,
    },
    /// The merged model does not pass the tests of both sides.
    TestsFailed {
        /// What did not pass: the test, and why.
        failed: Vec<(String, String)>,
    },
}

impl MergeError {
    /// A stable name of the kind of error, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            MergeError::Store(error) => error.code(),
            MergeError::Update(error) => error.code(),
            MergeError::Check(error) => error.code(),
            MergeError::SameModel { .. } => "same-model",
            MergeError::NoCommonAncestor { .. } => "no-common-ancestor",
            MergeError::NothingTaken { .. } => "nothing-taken",
            MergeError::Unresolved { .. } => "merge-conflict",
            MergeError::TestsFailed { .. } => "merge-tests-failed",
        }
    }
}

impl fmt::Display for MergeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MergeError::Store(error) => error.fmt(f),
            MergeError::Update(error) => error.fmt(f),
            MergeError::Check(error) => error.fmt(f),
            MergeError::SameModel { model } => write!(f, "both sides are {model}"),
            MergeError::NoCommonAncestor { ours, theirs } => write!(
                f,
                "{ours} and {theirs} have no common ancestor: name the model to compare them with"
            ),
            MergeError::NothingTaken { glob } => {
                write!(f, "{glob:?} fits no layer and no tensor")
            }
            MergeError::Unresolved { layers } => {
                let shown: Vec<&str> = layers.iter().take(5).map(String::as_str).collect();
                let more = match layers.len() - shown.len() {
                    0 => String::new(),
                    more => format!(" and {more} more"),
                };
                write!(f, "both sides have changed {}{more}, each otherwise", shown.join(", "))
            }
            MergeError::TestsFailed { failed } => {
                let shown: Vec<String> =
                    failed.iter().take(5).map(|(test, why)| format!("{test} ({why})")).collect();
                write!(f, "the merged model does not pass {}", shown.join(", "))
            }
        }
    }
}

impl std::error::Error for MergeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            MergeError::Store(error) => Some(error),
            MergeError::Update(error) => Some(error),
            MergeError::Check(error) => Some(error),
            _ => None,
        }
    }
}

impl<E: Into<StoreError>> From<E> for MergeError {
    fn from(error: E) -> Self {
        MergeError::Store(error.into())
    }
}

impl From<UpdateError> for MergeError {
    fn from(error: UpdateError) -> Self {
        match error {
            UpdateError::Store(error) => MergeError::Store(error),
            error => MergeError::Update(error),
        }
    }
}

impl From<TestError> for MergeError {
    fn from(error: TestError) -> Self {
        match error {
            TestError::Store(error) => MergeError::Store(error),
            error => MergeError::Check(error),
        }
    }
}

impl From<MergeError> for UpdateError {
    fn from(error: MergeError) -> Self {
        match error {
            MergeError::Store(error) => UpdateError::Store(error),
            MergeError::Update(error) => error,
            error => UpdateError::failed(error),
        }
    }
}
