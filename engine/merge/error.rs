use crate::container::full_message;
use crate::model_tests::TestError;
use crate::store::StoreError;
use crate::update::UpdateError;

/// Why two models were not merged. The store is then as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MergeError {
    /// The store.
    #[error(transparent)]
    Store(StoreError),
    /// A setting, or a tensor that cannot be made.
    #[error(transparent)]
    Update(UpdateError),
    /// Tests cannot be run at all.
    #[error(transparent)]
    Test(TestError),
    /// Both sides are one model.
    #[error("both sides are {model}")]
    SameModel {
        /// The model.
        model: String,
    },
    /// Nothing is an ancestor of both.
    #[error("{ours} and {theirs} have no common ancestor: name the model to compare them with")]
    NoCommonAncestor {
        /// One side.
        ours: String,
        /// The other.
        theirs: String,
    },
    /// A glob that fits no layer and no tensor.
    #[error("{glob:?} fits no layer and no tensor")]
    NothingTaken {
        /// The glob.
        glob: String,
    },
    /// Conflicts that nobody has settled.
    #[error("both sides have changed {}, each otherwise", some_of(.layers))]
    Unresolved {
        /// Their layers.
        layers: Vec<String>,
    },
    /// The merged model does not pass the tests of both sides.
    #[error("the merged model does not pass {}", first_failed(.failed))]
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
            MergeError::Test(error) => error.code(),
            MergeError::SameModel { .. } => "same-model",
            MergeError::NoCommonAncestor { .. } => "no-common-ancestor",
            MergeError::NothingTaken { .. } => "nothing-taken",
            MergeError::Unresolved { .. } => "merge-conflict",
            MergeError::TestsFailed { .. } => "merge-tests-failed",
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
            error => MergeError::Test(error),
        }
    }
}

impl From<MergeError> for UpdateError {
    fn from(error: MergeError) -> Self {
        match error {
            MergeError::Store(error) => UpdateError::Store(error),
            MergeError::Update(error) => error,
            error => UpdateError::failed(full_message(&error)),
        }
    }
}

/// How many names are shown of a list that may be long.
const SHOWN_MAX: usize = 5;

fn some_of(layers: &[String]) -> String {
    let shown: Vec<&str> = layers.iter().take(SHOWN_MAX).map(String::as_str).collect();
    match layers.len() - shown.len() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

fn first_failed(failed: &[(String, String)]) -> String {
    let shown = failed.iter().take(SHOWN_MAX).map(|(test, why)| format!("{test} ({why})"));
    shown.collect::<Vec<_>>().join(", ")
}
