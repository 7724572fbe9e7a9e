//! The Hugging Face cache: `models--ORG--NAME/snapshots/REVISION`, with links into `blobs`.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::FoundForm;
use super::folder::{Entry, holds_weights_below};
use super::naming::part;
use super::walk::Search;
use crate::interchange::limits::FOLDER_DEPTH_MAX;
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

/// The name and the revision of a folder that is a revision of a repository.
pub(super) fn snapshot_of(real: &Path) -> Option<(String, String)> {
    let (blobs, revision) = cache_of(real)?;
    let repository = blobs.parent()?;
    let is_root = real.parent()? == repository.join("snapshots");
    let name = repository.file_name()?.to_str()?.strip_prefix(MODELS)?;
    is_root.then(|| (model_name(name), revision))
}

fn model_name(name: &str) -> String {
    let parts = name.split("--").map(part).filter(|part| !part.is_empty());
    parts.collect::<Vec<String>>().join("/")
}

/// The revision that `refs/main` names.
fn main_revision(repository: &Path) -> Option<String> {
    let path = repository.join("refs").join("main");
    let is_short = path.metadata().is_ok_and(|it| it.is_file() && it.len() <= REF_LEN_MAX);
    let text = is_short.then(|| fs::read_to_string(path).ok())??;
    Some(text.trim().to_owned())
}

impl Search<'_> {
    /// The revisions of a repository, in the order in which they came; that of `refs/main` is the
    /// last.
    pub(super) fn repository(&mut self, name: &str, shown: &Path, real: &Path) {
        let Some(bare) = name.strip_prefix(MODELS) else {
            let other = OTHERS.iter().find(|(prefix, _)| name.starts_with(prefix));
            self.leave_out(shown, true, other.map_or("", |(_, reason)| reason));
            return;
        };
        let snapshots = Path::new("snapshots");
        let main = main_revision(real);
        let time = |path: &PathBuf| {
            let found = path.metadata().and_then(|found| found.modified());
            found.unwrap_or(SystemTime::UNIX_EPOCH)
        };
        let listed = self.list(&shown.join(snapshots), &real.join(snapshots), false);
        let mut revisions: Vec<(bool, SystemTime, Entry)> = Vec::new();
        for entry in listed.into_iter().filter(|entry| entry.is_folder) {
            if holds_weights_below(&entry.real, FOLDER_DEPTH_MAX) {
                let is_main = main.as_deref() == Some(&entry.name);
                revisions.push((is_main, time(&entry.real), entry));
            } else {
                self.leave_out(&entry.path, true, "no weights of this revision are in the cache");
            }
        }
        revisions.sort_by(|(a, at, x), (b, bt, y)| (a, at, &x.name).cmp(&(b, bt, &y.name)));
        for (.., entry) in revisions {
            let form = FoundForm::Snapshot { revision: entry.name };
            self.add(entry.path, model_name(bare), form);
        }
    }
}
