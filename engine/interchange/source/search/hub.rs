//! The Hugging Face cache: `models--ORG--NAME/snapshots/REVISION`, with links into `blobs`.

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use super::folder::Entry;
use super::naming::part;
use crate::interchange::source::links::cache_of;

/// What the names of repositories begin with: of models, and of what is passed over.
const MODELS: &str = "models--";
const OTHERS: [(&str, &str); 2] =
    [("datasets--", "a dataset of the cache"), ("spaces--", "an application of the cache")];
/// The longest file that names a revision.
const REF_LEN_MAX: u64 = 4096;

/// Whether a folder is a repository of the cache.
pub(super) fn is_repository(name: &str, real: &Path) -> bool {
    let is_called_so =
        name.starts_with(MODELS) || OTHERS.iter().any(|(prefix, _)| name.starts_with(prefix));
    is_called_so && real.join("snapshots").is_dir()
}

/// What a repository is that holds no model.
pub(super) fn is_no_model(name: &str) -> Option<&'static str> {
    OTHERS.iter().find(|(prefix, _)| name.starts_with(prefix)).map(|(_, reason)| *reason)
}

/// The name and the revision of a folder that is a revision of a repository.
pub(super) fn snapshot_of(real: &Path) -> Option<(String, String)> {
    let (blobs, revision) = cache_of(real)?;
    let repository = blobs.parent()?;
    let is_root = real.parent()? == repository.join("snapshots");
    let name = repository.file_name()?.to_str()?;
    (is_root && name.starts_with(MODELS)).then(|| (model_name(name), revision))
}

/// The name of the model in a repository.
pub(super) fn model_name(repository: &str) -> String {
    let bare = repository.strip_prefix(MODELS).unwrap_or(repository);
    let parts = bare.split("--").map(part).filter(|part| !part.is_empty());
    parts.collect::<Vec<String>>().join("/")
}

/// The revision that `refs/main` names.
fn main_revision(repository: &Path) -> Option<String> {
    let path = repository.join("refs").join("main");
    let is_short = path.metadata().is_ok_and(|it| it.is_file() && it.len() <= REF_LEN_MAX);
    let text = is_short.then(|| fs::read_to_string(path).ok())??;
    Some(text.trim().to_owned())
}

/// Revisions in the order in which they came; that of `refs/main` is the last.
pub(super) fn in_order(revisions: Vec<Entry>, repository: &Path) -> Vec<Entry> {
    let main = main_revision(repository);
    let time = |path: &Path| {
        let found = path.metadata().and_then(|found| found.modified());
        found.unwrap_or(SystemTime::UNIX_EPOCH)
    };
    let keyed = revisions.into_iter().map(|entry| {
        let is_main = main.as_deref() == Some(&entry.name);
        ((is_main, time(&entry.real), entry.name.clone()), entry)
    });
    let mut keyed: Vec<_> = keyed.collect();
    keyed.sort_by(|(a, _), (b, _)| a.cmp(b));
    keyed.into_iter().map(|(_, entry)| entry).collect()
}
