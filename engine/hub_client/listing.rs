//! Which files a model of a hub has.

use std::collections::BTreeSet;
use std::fmt;

use reqwest::header::HeaderMap;
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::limits::{LISTED_MAX, LISTING_LEN_MAX};
use super::session::Session;
use super::{HubFault, HubModel};
use crate::format::is_inner_path;
use crate::interchange::{FOLDER_DEPTH_MAX, PATH_LEN_MAX};

/// The most letters of a commit's name.
const COMMIT_LEN_MAX: usize = 128;

/// The files of a model at a commit.
#[derive(Debug)]
pub(super) struct Listing {
    pub(super) commit: String,
    /// By path.
    pub(super) files: Vec<ListedFile>,
}

/// A file of a model.
#[derive(Clone, Debug)]
pub(super) struct ListedFile {
    /// Its path inside of the model's folder.
    pub(super) path: String,
    pub(super) len: u64,
    /// Its SHA-256 in small hexadecimal digits, where the hub knows it.
    pub(super) sha256: Option<String>,
}

#[derive(Deserialize)]
struct Document {
    sha: String,
    siblings: Siblings,
}

/// Not more of them than may be listed.
struct Siblings(Vec<Sibling>);

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
    lfs: Option<LargeFile>,
}

#[derive(Deserialize)]
struct LargeFile {
    sha256: Option<String>,
    oid: Option<String>,
}

impl<'de> Deserialize<'de> for Siblings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bounded;
        impl<'de> Visitor<'de> for Bounded {
            type Value = Siblings;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of files")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Siblings, A::Error> {
                let mut files = Vec::new();
                while let Some(file) = list.next_element()? {
                    if files.len() >= LISTED_MAX {
                        return Err(A::Error::custom("it lists more"));
                    }
                    files.push(file);
                }
                Ok(Siblings(files))
            }
        }
        deserializer.deserialize_seq(Bounded)
    }
}

/// Asks for the files of a model.
pub(super) fn ask(session: &Session, model: &HubModel) -> Result<Listing, HubFault> {
    let repository = model.repository().split('/');
    let parts = ["api", "models"].into_iter().chain(repository);
    let mut url = session.address(parts.chain(["revision", model.revision()]));
    url.set_query(Some("blobs=true"));
    let mut answer = session.get(url, &HeaderMap::new())?;
    let mut text = Vec::new();
    while let Some(block) = answer.block()? {
        text.extend_from_slice(&block);
        if text.len() as u64 > LISTING_LEN_MAX {
            return Err(HubFault::ListingTooLong);
        }
    }
    parse(&text)
}

fn parse(text: &[u8]) -> Result<Listing, HubFault> {
    let malformed = |reason: String| HubFault::ListingMalformed { reason };
    let document: Document =
        serde_json::from_slice(text).map_err(|error| malformed(error.to_string()))?;
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let commit = document.sha;
    let is_commit = (1..=COMMIT_LEN_MAX).contains(&commit.len())
        && commit.bytes().all(is_letter)
        && !commit.starts_with(['.', '-']);
    if !is_commit {
        return Err(malformed("expected the name of a commit as sha".to_owned()));
    }
    let mut files = Vec::with_capacity(document.siblings.0.len());
    for Sibling { rfilename: path, size, lfs } in document.siblings.0 {
        if !is_path(&path) {
            return Err(HubFault::BadPath { path });
        }
        let Some(len) = size.filter(|len| i64::try_from(*len).is_ok()) else {
            return Err(malformed("expected a size of every file".to_owned()));
        };
        let sha256 = lfs.and_then(|lfs| hash_of(lfs.sha256).or_else(|| hash_of(lfs.oid)));
        files.push(ListedFile { path, len, sha256 });
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    check_distinct(&files)?;
    Ok(Listing { commit, files })
}

/// A SHA-256 as it is listed, also with its name before it.
fn hash_of(listed: Option<String>) -> Option<String> {
    let hash = listed?.to_lowercase();
    let hash = hash.strip_prefix("sha256:").unwrap_or(&hash);
    let is_hash = hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hash.then(|| hash.to_owned())
}

fn is_path(path: &str) -> bool {
    is_inner_path(path) && path.len() <= PATH_LEN_MAX && path.split('/').count() <= FOLDER_DEPTH_MAX
}

/// No path stands twice, and none is that of a folder that another lies in.
fn check_distinct(files: &[ListedFile]) -> Result<(), HubFault> {
    let mut paths = BTreeSet::new();
    let bad = |path: &str| Err(HubFault::BadPath { path: path.to_owned() });
    for file in files {
        let path = file.path.as_str();
        if !paths.insert(path) {
            return bad(path);
        }
        // They are in order: a folder's name stands before what is in it.
        let mut above = path.match_indices('/').filter_map(|(at, _)| path.get(..at));
        if above.any(|folder| paths.contains(folder)) {
            return bad(path);
        }
    }
    Ok(())
}
