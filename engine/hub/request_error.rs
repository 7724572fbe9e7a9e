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
pub enum RequestError {
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
    #[error("{method} is not for this path: {allowed} is; a store is only read here")]
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
        "this server does not answer for {host:?}: it has to be told by which name it is reached"
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
    /// The tensors are still at the remote that the store was cloned from.
    #[error("tensors of it were not fetched into this store: whoever runs the server has to")]
    NotFetched,
    /// The store cannot be read.
    #[error("the store cannot be read")]
    Store(#[source] StoreError),
}

impl From<StoreError> for RequestError {
    fn from(error: StoreError) -> Self {
        match error {
            // Where they are is not for clients.
            StoreError::MissingContent { .. } => RequestError::NotFetched,
            error => RequestError::Store(error),
        }
    }
}

impl From<LineageError> for RequestError {
    fn from(error: LineageError) -> Self {
        RequestError::Store(error.into())
    }
}

fn also(similar: &[String]) -> String {
    match similar {
        [] => String::new(),
        names => format!("; there is {}", names.join(", ")),
    }
}

impl RequestError {
    /// The status of the answer.
    pub fn status(&self) -> u16 {
        match self {
            RequestError::NoSuchModel { .. } | RequestError::SeveralModels { .. } => 404,
            RequestError::NoSuchRevision { .. } | RequestError::NoSuchFile { .. } => 404,
            RequestError::NoSuchPage { .. } => 404,
            RequestError::NoToken => 401,
            RequestError::LongHead { .. } => 431,
            RequestError::OtherHost { .. } => 421,
            RequestError::Busy => 503,
            RequestError::Unanswered => 500,
            RequestError::Method { .. } => 405,
            RequestError::BadRequest { .. } => 400,
            RequestError::RangeBehindEnd { .. } => 416,
            RequestError::NotFetched => 409,
            RequestError::Store(_) => 500,
        }
    }

    /// The stable name of the kind of error; see [`mgit::Error::code`](crate::Error::code).
    pub(crate) fn code(&self) -> &'static str {
        match self {
            RequestError::NoSuchModel { .. } | RequestError::SeveralModels { .. } => {
                "no-such-model"
            }
            RequestError::NoSuchRevision { .. } => "no-such-revision",
            RequestError::NoSuchFile { .. } => "no-such-file",
            RequestError::RangeBehindEnd { .. } => "bad-range",
            RequestError::NoToken => "no-token",
            RequestError::Busy => "busy",
            RequestError::NotFetched => "missing-content",
            RequestError::Store(error) => error.code(),
            _ => "bad-request",
        }
    }

    /// What the clients tell errors apart by (`X-Error-Code`), where they have a word for it.
    pub fn hub_code(&self) -> Option<&'static str> {
        match self {
            RequestError::NoSuchModel { .. } | RequestError::SeveralModels { .. } => {
                Some("RepoNotFound")
            }
            RequestError::NoSuchRevision { .. } => Some("RevisionNotFound"),
            RequestError::NoSuchFile { .. } => Some("EntryNotFound"),
            _ => None,
        }
    }
}

impl From<RequestError> for Answer {
    fn from(problem: RequestError) -> Self {
        let message = full_message(&problem);
        let mut answer = Answer::json(problem.status(), &json!({ "error": message }));
        if let Some(code) = problem.hub_code() {
            answer.header("x-error-code", code);
        }
        answer.header("x-error-message", &message);
        match &problem {
            RequestError::NoSuchFile { sha, .. } => answer.header("x-repo-commit", sha),
            RequestError::Method { allowed, .. } => answer.header("allow", allowed),
            RequestError::Busy => answer.header("retry-after", "5"),
            RequestError::NoToken => {
                answer
                    .header("www-authenticate", "Bearer, Basic realm=\"mgit\", charset=\"UTF-8\"");
            }
            RequestError::RangeBehindEnd { len } => {
                answer.header("content-range", &format!("bytes */{len}"));
            }
            _ => {}
        }
        answer
    }
}
