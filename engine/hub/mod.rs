//! A store as a repository of models: the protocol by which the clients of the Hugging Face Hub
//! list and download models, without a socket.
//!
//! [`answer`] maps a request (a method, a path, a few headers) to what a [`Snapshot`] holds: a list of
//! models, what is in a revision, a file or a range of it. It touches no network and no file but the
//! store's; a server reads requests, calls it, and writes what a [`FileReader`] gives, piece by
//! piece. The tool's `serve` is one.
//!
//! | the Hub's word | here |
//! |---|---|
//! | repository | a model by its name, a tag, or the id of a node. The clients allow one slash: further ones may be written as dots ([`repo_id`]) |
//! | revision | the number of a version, a tag on a version of this model, `main` (the latest), or a sha |
//! | sha | 40 hex digits of a version and what it is made of |
//! | `ETag` | 64 hex digits of a file, equal where its bytes are: known without reading a weight ([`StoredFile::fingerprint`](crate::store::StoredFile::fingerprint)) |
//!
//! | path | what is answered |
//! |---|---|
//! | `/api/models` | the latest version of each name: `search`, `author`, `filter` (tags, the kind), `sort`, `limit`, in pages |
//! | `/api/models/REPO`, `/api/models/REPO/revision/REV` | the version, its files with sizes, its parents |
//! | `/api/models/REPO/tree/REV[/FOLDER]` | files and folders, in pages |
//! | `/api/models/REPO/paths-info/REV` (POST) | those that the body names |
//! | `/api/models/REPO/refs`, `/api/models/REPO/commits/REV` | tags and versions |
//! | `/REPO/resolve/REV/FILE` | the file, with `Range` and `If-Range` |
//!
//! Invariants:
//!
//! - An answer is of one snapshot, whole or not at all: a piece that cannot be read is an error, in
//!   whose place nothing else may be sent.
//! - Names from a request are looked up in the store's tables and manifests, and never become paths
//!   of files.
//! - What a parameter would have narrowed and cannot here is refused, so that no list is taken for
//!   what it is not.
//!
//! ```
//! use mgit::hub::{Body, PieceCache, Request, answer};
//! use mgit::{NewModel, NewTensor, Store};
//! # fn main() -> mgit::Result<()> {
//! # let folder = tempfile::tempdir()?;
//! # let store = Store::create(folder.path().join("family.mgit"))?;
//! # let mut transaction = store.begin_write()?;
//! # transaction.add_model(NewModel::new("base").tensor(NewTensor::from_vec("w", [2], vec![1f32, 2.0])))?;
//! # transaction.commit()?;
//! let path = "/base/resolve/main/model.safetensors";
//! let request = Request { method: "GET", path, range: Some("bytes=-4"), ..Request::default() };
//! let answer = answer(&store.snapshot()?, &request).expect("a path of the protocol");
//! assert_eq!((answer.status, answer.len()), (206, 4));
//!
//! let Body::File(mut file) = answer.body else { panic!("a file") };
//! let piece = file.next(&PieceCache::new(1 << 20))?.expect("a piece");
//! assert_eq!(piece.as_ref(), 2f32.to_le_bytes());
//! # Ok(())
//! # }
//! ```

#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod answer;
mod files;
mod info;
mod listing;
mod paging;
mod piece;
mod piece_cache;
mod range;
mod reading;
mod repo_id;
mod repository;
mod request;
mod request_error;
mod resolve;
mod route;
mod tree;

pub use answer::{Answer, Body};
pub use paging::encoded;
pub use piece::Piece;
pub use piece_cache::PieceCache;
pub use reading::FileReader;
pub use repo_id::repo_id;
pub use request::{Request, parameters};
pub use request_error::RequestError;

use crate::lineage::Node;
use crate::store::Snapshot;
use repository::Repository;
use route::Route;

/// The answer to a request, from one snapshot; `None` where the path is none of the protocol, so
/// that a server may have something else there. Whatever goes wrong is an answer too.
///
/// Cost: rows of the catalogue and a manifest; of a list, a few rows a model. No weight is read
/// before the body is.
pub fn answer(snapshot: &Snapshot, request: &Request<'_>) -> Option<Answer> {
    match route::of(snapshot, request) {
        Ok(None) => None,
        Ok(Some(route)) => Some(serve(snapshot, request, route).unwrap_or_else(Answer::from)),
        Err(problem) => Some(problem.into()),
    }
}

/// The version that names mean: `repo` is a name, a tag or an id, and `revision` a version, a tag,
/// `main` or a sha.
///
/// # Errors
///
/// [`RequestError::NoSuchModel`], [`RequestError::NoSuchRevision`]; those of the store.
pub fn node_of(snapshot: &Snapshot, repo: &str, revision: &str) -> Result<Node, RequestError> {
    Repository::find(snapshot, repo)?.revision(snapshot, revision)
}

fn serve(snapshot: &Snapshot, request: &Request<'_>, route: Route) -> Result<Answer, RequestError> {
    let allowed = if matches!(route, Route::Paths { .. }) { "POST" } else { "GET, HEAD" };
    if request.is_get() != (allowed != "POST") || !(request.is_get() || request.method == "POST") {
        return Err(RequestError::Method { method: request.method.to_owned(), allowed });
    }
    let model = |repository: &Repository, revision: &str| {
        let node = repository.revision(snapshot, revision)?;
        Ok::<_, RequestError>(snapshot.model_of(node)?)
    };
    match route {
        Route::Models => listing::models(snapshot, request),
        Route::Info { repository, revision } => {
            info::info(&repository, &model(&repository, &revision)?)
        }
        Route::Tree { repository, revision, folder } => {
            tree::tree(&model(&repository, &revision)?, &folder, request)
        }
        Route::Paths { repository, revision } => {
            tree::paths(&model(&repository, &revision)?, request)
        }
        Route::Refs { repository } => info::refs(snapshot, &repository),
        Route::Commits { repository, revision } => {
            let node = repository.revision(snapshot, &revision)?;
            info::commits(snapshot, &repository, &node, request)
        }
        Route::File { repository, revision, path } => {
            resolve::resolve(&model(&repository, &revision)?, &path, request)
        }
    }
}
