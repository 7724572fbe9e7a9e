//! The files beside the weights of two models.

use std::collections::BTreeMap;

use super::models::Change;
use crate::store::{Model, Result, StoredFile};

/// A file beside the weights of one of two models, or of both.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct FileChange {
    /// Its path in the folder.
    pub path: String,
    /// What happened to it; `None` where it is the same.
    pub change: Option<Change>,
    /// Its length in the first model.
    pub from_bytes: Option<u64>,
    /// Its length in the second model.
    pub to_bytes: Option<u64>,
}

/// Compares the files beside the weights of two models by their contents, in the order of their
/// paths. A list of shards is one of them.
///
/// Cost: nothing is read of files that lie in both in the same way, as nearly all do.
///
/// # Errors
///
/// Those of the catalogue; a damaged record.
pub fn diff_files(a: &Model, b: &Model) -> Result<Vec<FileChange>> {
    let mut files: BTreeMap<String, (Option<StoredFile>, Option<StoredFile>)> = BTreeMap::new();
    for file in a.files().filter(|file| !file.is_weights()) {
        let entry = files.entry(file.path().to_owned());
        entry.or_default().0 = Some(file);
    }
    for file in b.files().filter(|file| !file.is_weights()) {
        let entry = files.entry(file.path().to_owned());
        entry.or_default().1 = Some(file);
    }
    let each = files.into_iter().map(|(path, (from, to))| {
        let change = match (&from, &to) {
            (Some(from), Some(to)) if from.is_same(to)? => None,
            (Some(_), Some(_)) => Some(Change::Changed),
            (Some(_), None) => Some(Change::Removed),
            (None, _) => Some(Change::Added),
        };
        let len = |file: Option<StoredFile>| file.map(|file| file.byte_len());
        Ok(FileChange { path, change, from_bytes: len(from), to_bytes: len(to) })
    });
    each.collect()
}
