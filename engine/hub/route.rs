//! Which question a path is.

use super::repository::Repository;
use super::request::Request;
use super::request_error::RequestError;
use crate::store::Snapshot;

/// A question of the protocol.
pub(super) enum Route {
    Models,
    Info { repository: Repository, revision: String },
    Tree { repository: Repository, revision: String, folder: String },
    Paths { repository: Repository, revision: String },
    Refs { repository: Repository },
    Commits { repository: Repository, revision: String },
    File { repository: Repository, revision: String, path: String },
}

/// The latest.
const MAIN: &str = "main";

/// Words behind a repository, and how many parts follow them at least, and at most.
const WORDS: [(&str, usize, usize); 5] = [
    ("revision", 1, 1),
    ("tree", 1, usize::MAX),
    ("paths-info", 1, 1),
    ("refs", 0, 0),
    ("commits", 1, 1),
];

/// Places at which a path is tried to be cut.
const CUTS_MAX: usize = 8;

/// The question that a path is; `None` where it is none.
pub(super) fn of(
    snapshot: &Snapshot,
    request: &Request<'_>,
) -> Result<Option<Route>, RequestError> {
    let segments = request.segments()?;
    let parts: Vec<&str> = segments.iter().map(String::as_str).collect();
    match parts.as_slice() {
        ["api", "models"] | ["api", "models", ""] => Ok(Some(Route::Models)),
        ["api", "models", parts @ ..] => about(snapshot, parts).map(Some),
        parts => match (file(snapshot, parts)?, parts) {
            (None, ["api", _, ..]) => {
                let why = "a store does not have this part of the Hub's protocol".to_owned();
                Err(RequestError::NoSuchPage { why })
            }
            (found, _) => Ok(found),
        },
    }
}

/// What is asked about a repository. A name may have several parts, and one of them may be a word of
/// the protocol: the shortest name that there is is meant.
fn about(snapshot: &Snapshot, parts: &[&str]) -> Result<Route, RequestError> {
    let mut first_problem = None;
    let is_any = |(_, part): &(usize, &&str)| WORDS.iter().any(|(word, ..)| word == *part);
    for (at, part) in parts.iter().enumerate().skip(1).filter(is_any).take(CUTS_MAX) {
        let (name, behind) = parts.split_at(at);
        let behind = behind.get(1..).unwrap_or_default();
        let is_word = |(word, least, most): &&(&str, usize, usize)| {
            word == part && (*least..=*most).contains(&behind.len())
        };
        let Some((word, ..)) = WORDS.iter().find(is_word) else { continue };
        match Repository::find(snapshot, &name.join("/")) {
            Ok(repository) => return Ok(route(repository, word, behind)),
            Err(problem) => _ = first_problem.get_or_insert(problem),
        }
    }
    let whole = Repository::find(snapshot, &parts.join("/"));
    match (whole, first_problem) {
        (Ok(repository), _) => Ok(Route::Info { repository, revision: MAIN.to_owned() }),
        (Err(_), Some(problem)) | (Err(problem), None) => Err(problem),
    }
}

fn route(repository: Repository, word: &str, behind: &[&str]) -> Route {
    let revision = behind.first().map_or(MAIN, |revision| revision).to_owned();
    match word {
        "tree" => {
            let folder = behind.get(1..).unwrap_or_default().join("/");
            Route::Tree { repository, revision, folder }
        }
        "paths-info" => Route::Paths { repository, revision },
        "refs" => Route::Refs { repository },
        "commits" => Route::Commits { repository, revision },
        _ => Route::Info { repository, revision },
    }
}

/// A file: `REPO/resolve/REV/FILE`.
fn file(snapshot: &Snapshot, parts: &[&str]) -> Result<Option<Route>, RequestError> {
    let mut first_problem = None;
    let cuts = parts.iter().enumerate().skip(1).filter(|(_, part)| **part == "resolve");
    for (at, _) in cuts.take(CUTS_MAX) {
        let (name, behind) = parts.split_at(at);
        let ["resolve", revision, path @ ..] = behind else { continue };
        if path.is_empty() {
            continue;
        }
        match Repository::find(snapshot, &name.join("/")) {
            Ok(repository) => {
                let (revision, path) = ((*revision).to_owned(), path.join("/"));
                return Ok(Some(Route::File { repository, revision, path }));
            }
            Err(problem) => _ = first_problem.get_or_insert(problem),
        }
    }
    first_problem.map_or(Ok(None), Err)
}
