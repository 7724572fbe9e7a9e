//! The files of a model as a repository has them.

use super::repository::sha;
use super::request_error::RequestError;
use crate::interchange::name_in_folder;
use crate::store::{Model, StoredFile};

/// A file of a repository.
pub(super) struct HubFile {
    /// Its path in the repository.
    pub(super) path: String,
    pub(super) file: StoredFile,
}

/// A model without a folder is one file, under its own name or `model.safetensors`.
fn path_of(model: &Model, file: &StoredFile) -> Option<String> {
    match model.is_folder() {
        true => Some(file.path().to_owned()),
        // A name that no folder could have is no path here either.
        false => name_in_folder(file.path(), file.format()).ok(),
    }
}

/// The files of a model by their paths.
pub(super) fn files_of(model: &Model) -> Vec<HubFile> {
    let files = model.files().filter_map(|file| {
        let path = path_of(model, &file)?;
        Some(HubFile { path, file })
    });
    let mut files: Vec<HubFile> = files.collect();
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

/// The file at `path`.
pub(super) fn file_at(model: &Model, path: &str) -> Result<StoredFile, RequestError> {
    let found = match model.is_folder() {
        true => model.file(path).ok(),
        false => model.files().next().filter(|file| path_of(model, file).as_deref() == Some(path)),
    };
    found.ok_or_else(|| no_such_file(model, path))
}

pub(super) fn no_such_file(model: &Model, path: &str) -> RequestError {
    let (model, sha) = (model.full_name(), sha(model.node()));
    RequestError::NoSuchFile { model, path: path.to_owned(), sha }
}

/// The tag of a file: 64 hex digits, equal where the bytes are, and known without reading a weight.
pub(super) fn tag(file: &StoredFile) -> String {
    file.fingerprint().to_string()
}

/// What the listings give as the id of a blob: 40 digits of the tag.
pub(super) fn blob_id(tag: &str) -> &str {
    tag.get(..40).unwrap_or(tag)
}
