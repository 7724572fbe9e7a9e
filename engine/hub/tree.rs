//! The files of a revision as lists: a folder, or paths that are asked for.

use serde_json::{Value, json};

use super::answer::Answer;
use super::files::{HubFile, blob_id, files_of, no_such_file, tag};
use super::paging::{Page, next_link};
use super::request::{Request, parameters};
use super::request_error::RequestError;
use crate::store::Model;

/// Paths that one request may name.
const PATHS_MAX: usize = 1000;
/// Entries of a page.
const PAGE_LEN: usize = 1000;

/// The entries of a folder, or of all folders below it.
pub(super) fn tree(
    model: &Model,
    folder: &str,
    request: &Request<'_>,
) -> Result<Answer, RequestError> {
    let page = Page::of(request, PAGE_LEN)?;
    let recursive = page.flag("recursive");
    let folder = folder.trim_end_matches('/');
    let files = files_of(model);
    let entries = entries(&files, folder, recursive);
    if entries.is_empty() && !folder.is_empty() {
        return Err(no_such_file(model, folder));
    }
    let rest = entries.into_iter().filter(|entry| page.is_behind_cursor(entry.path()));
    let mut entries: Vec<Entry<'_>> = rest.take(page.limit + 1).collect();
    let more = entries.len() > page.limit;
    entries.truncate(page.limit);
    let list = entries.iter().map(Entry::json).collect();
    let mut answer = Answer::json(200, &Value::Array(list));
    if let Some(last) = entries.last().filter(|_| more) {
        answer.header("link", &next_link(request, last.path())?);
    }
    Ok(answer)
}

/// The entries at paths that a POST names, as a form or as JSON; what is not there is left out, as the
/// Hub does.
pub(super) fn paths(model: &Model, request: &Request<'_>) -> Result<Answer, RequestError> {
    let mut asked = paths_of(request)?;
    if asked.len() > PATHS_MAX {
        let why = format!("the body names more than {PATHS_MAX} paths");
        return Err(RequestError::BadRequest { why });
    }
    asked.iter_mut().for_each(|path| path.truncate(path.trim_end_matches('/').len()));
    asked.sort();
    asked.dedup();
    let files = files_of(model);
    let mut list = Vec::new();
    for path in &asked {
        // They are in order.
        let is_file = files.binary_search_by(|file| file.path.as_str().cmp(path));
        let inside = format!("{path}/");
        let first_inside = files.partition_point(|file| file.path < inside);
        let is_folder = files.get(first_inside).is_some_and(|it| it.path.starts_with(&inside));
        match is_file.ok().and_then(|at| files.get(at)) {
            Some(file) => list.push(Entry::File(file).json()),
            None if is_folder => list.push(Entry::Folder(path).json()),
            None => {}
        }
    }
    Ok(Answer::json(200, &Value::Array(list)))
}

fn paths_of(request: &Request<'_>) -> Result<Vec<String>, RequestError> {
    let bad = || RequestError::BadRequest { why: "the body names no paths".to_owned() };
    let body = std::str::from_utf8(request.body).map_err(|_| bad())?;
    if body.trim_start().starts_with('{') {
        let body: Value = serde_json::from_str(body).map_err(|_| bad())?;
        let paths = body.get("paths").and_then(Value::as_array).ok_or_else(bad)?;
        return paths.iter().map(|it| it.as_str().map(str::to_owned).ok_or_else(bad)).collect();
    }
    let pairs = parameters(body)?.into_iter();
    let paths: Vec<String> =
        pairs.filter(|(key, _)| key == "paths").map(|(_, value)| value).collect();
    if paths.is_empty() { Err(bad()) } else { Ok(paths) }
}

/// What is in a folder.
enum Entry<'f> {
    File(&'f HubFile),
    Folder(&'f str),
}

impl Entry<'_> {
    fn path(&self) -> &str {
        match self {
            Entry::File(file) => &file.path,
            Entry::Folder(path) => path,
        }
    }

    fn json(&self) -> Value {
        match self {
            Entry::File(file) => {
                let tag = tag(&file.file);
                let size = file.file.byte_len();
                json!({ "type": "file", "oid": blob_id(&tag), "size": size, "path": file.path })
            }
            Entry::Folder(path) => {
                let id = blake3::hash(path.as_bytes()).to_hex();
                json!({ "type": "directory", "oid": blob_id(&id), "size": 0, "path": path })
            }
        }
    }
}

/// What stands behind `folder/` in a path.
fn below<'p>(path: &'p str, folder: &str) -> Option<&'p str> {
    match folder.is_empty() {
        true => Some(path),
        false => path.strip_prefix(folder)?.strip_prefix('/'),
    }
}

/// The entries of a folder by path: its own, or those of all folders below too.
fn entries<'f>(files: &'f [HubFile], folder: &str, recursive: bool) -> Vec<Entry<'f>> {
    let mut folders = std::collections::BTreeSet::new();
    let mut entries = Vec::new();
    for file in files {
        let Some(rest) = below(&file.path, folder) else { continue };
        let from = file.path.len() - rest.len();
        let ends = rest.match_indices('/').map(|(at, _)| from + at);
        let depth = if recursive { usize::MAX } else { 1 };
        folders.extend(ends.take(depth).filter_map(|end| file.path.get(..end)));
        if recursive || !rest.contains('/') {
            entries.push(Entry::File(file));
        }
    }
    entries.extend(folders.into_iter().map(Entry::Folder));
    entries.sort_by(|a, b| a.path().cmp(b.path()));
    entries
}
