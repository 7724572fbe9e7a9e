//! Why a request is not answered with what it asked for.

use serde_json::json;

use super::answer::Answer;
use crate::container::full_message;
use crate::lineage::LineageError;
use crate::store::StoreError;

/// Why a request is not answered with what it asked for. As an [`Answer`] it has the status, the
/// code (`X-Error-Code`) and the text (`X-Error-Message`) by which the clients raise their errors.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// No model of this name, tag or id.
    #[error("no model {repo:?} here{}", also(.similar))]
    NoSuchModel {
        /// What was asked for.
        repo: String,
        /// Up to three names that are like it.
        similar: Vec<String>,
    },
    /// Several models have this name when `/` is written as `.`.
    #[error("{repo:?} may be {}: ask by the id of a version", .names.join(" or "))]
    SeveralModels {
        /// What was asked for.
        repo: String,
        /// Their names.
        names: Vec<String>,
    },
    /// The model has no such revision.
    #[error(
        "{repo} has no revision {revision:?}: a revision is the number of a version, a tag, `main`, \
         or a sha that was answered before"
    )]
    NoSuchRevision {
        /// The model.
        repo: String,
        /// What was asked for.
        revision: String,
    },
    /// The revision has no such file or folder.
    #[error("{model} has no file {path:?}")]
    NoSuchFile {
        /// The model and its version.
        model: String,
        /// What was asked for.
        path: String,
        /// The sha of the revision.
        sha: String,
    },
    /// A method that this path does not know.
    #[error("{method} is not for this path: {allowed} is")]
    Method {
        /// The method.
        method: String,
        /// Those that it knows.
        allowed: &'static str,
    },
    /// A request that cannot be understood, or that asks for what a store does not have.
    #[error("{why}")]
    BadRequest {
        /// What is wrong.
        why: String,
    },
    /// A range that begins behind the end of the file.
    #[error("the range begins behind the end of the file, which has {len} bytes")]
    RangeBehindEnd {
        /// The file's length.
        len: u64,
    },
    /// Nothing is at this path.
    #[error("{why}")]
    NoSuchPage {
        /// What there is.
        why: String,
    },
    /// The token is missing, or is another.
    #[error("this server asks for a token: none, or another one, was sent")]
    NoToken,
    /// A head that is longer than the server reads.
    #[error("the request's head has more than {most} bytes")]
    LongHead {
        /// The bytes that it may have.
        most: usize,
    },
    /// A name under which the server does not answer.
    #[error(
        "this server does not answer for {host:?}: whoever runs it behind another one says --base-url"
    )]
    OtherHost {
        /// The name.
        host: String,
    },
    /// Too many are served already.
    #[error("too many downloads are running: ask again in a while")]
    Busy,
    /// The program has failed.
    #[error("the server could not make this answer: its own log says why")]
    Unanswered,
    /// The store cannot be read.
    #[error("the store cannot be read")]
    Store(#[source] StoreError),
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        Problem::Store(error)
    }
}

impl From<LineageError> for Problem {
    fn from(error: LineageError) -> Self {
        Problem::Store(error.into())
    }
}

fn also(similar: &[String]) -> String {
    match similar {
        [] => String::new(),
        names => format!("; there is {}", names.join(", ")),
    }
}

impl Problem {
    /// The status of the answer.
    pub fn status(&self) -> u16 {
        match self {
            Problem::NoSuchModel { .. } | Problem::SeveralModels { .. } => 404,
            Problem::NoSuchRevision { .. } | Problem::NoSuchFile { .. } => 404,
            Problem::NoSuchPage { .. } => 404,
            Problem::NoToken => 401,
            Problem::LongHead { .. } => 431,
            Problem::OtherHost { .. } => 421,
            Problem::Busy => 503,
            Problem::Unanswered => 500,
            Problem::Method { .. } => 405,
            Problem::BadRequest { .. } => 400,
            Problem::RangeBehindEnd { .. } => 416,
            Problem::Store(StoreError::MissingContent { .. }) => 503,
            Problem::Store(_) => 500,
        }
    }

    /// What the clients tell problems apart by, where they have a word for it.
    pub fn code(&self) -> Option<&'static str> {
        match self {
            Problem::NoSuchModel { .. } | Problem::SeveralModels { .. } => Some("RepoNotFound"),
            Problem::NoSuchRevision { .. } => Some("RevisionNotFound"),
            Problem::NoSuchFile { .. } => Some("EntryNotFound"),
            _ => None,
        }
    }
}

impl From<Problem> for Answer {
    fn from(problem: Problem) -> Self {
        let message = full_message(&problem);
        let mut answer = Answer::json(problem.status(), &json!({ "error": message }));
        if let Some(code) = problem.code() {
            answer.header("x-error-code", code);
        }
        answer.header("x-error-message", &message);
        match &problem {
            Problem::NoSuchFile { sha, .. } => answer.header("x-repo-commit", sha),
            Problem::Method { allowed, .. } => answer.header("allow", allowed),
            Problem::Busy => answer.header("retry-after", "5"),
            Problem::NoToken => {
                answer
                    .header("www-authenticate", "Bearer, Basic realm=\"mgit\", charset=\"UTF-8\"");
            }
            Problem::RangeBehindEnd { len } => {
                answer.header("content-range", &format!("bytes */{len}"));
            }
            _ => {}
        }
        answer
    }
}
