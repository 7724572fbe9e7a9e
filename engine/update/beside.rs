//! The files beside the weights of a model that is made of several: it has those of one of them,
//! and what the others have is said.

use std::collections::{HashMap, HashSet};

use super::draft_files::comes_along;
use super::{Draft, UpdateError};
use crate::diff::{Change, FileChange, diff_files};
use crate::store::{Model, Result};

/// Paths that a note names.
const NAMED_MAX: usize = 8;
/// Files that have a note of their own.
const NOTES_MAX: usize = 20;

impl Draft {
    /// Says which files beside the weights `others` have that are not those of `first`, which the
    /// made model has. `used` are paths of files that were read.
    ///
    /// # Errors
    ///
    /// A record that cannot be read.
    pub(super) fn said_of_others(
        mut self,
        first: &Model,
        others: &[&Model],
        used: &[&str],
    ) -> std::result::Result<Self, UpdateError> {
        let own: HashSet<String> = self.sides.iter().map(|it| it.path().to_owned()).collect();
        for other in others {
            let (mut differing, mut lone) = (Vec::new(), Vec::new());
            for FileChange { path, change, .. } in diff_files(first, other)? {
                if used.contains(&path.as_str()) {
                    continue;
                }
                match change {
                    Some(Change::Changed) if own.contains(&path) => differing.push(path),
                    Some(Change::Added) if comes_along(&other.file(&path)?) => lone.push(path),
                    _ => {}
                }
            }
            let (first, other) = (first.full_name(), other.full_name());
            if !differing.is_empty() {
                let paths = named(&differing);
                self = self.said(format!("taken from {first}, and otherwise in {other}: {paths}"));
            }
            if !lone.is_empty() {
                let paths = named(&lone);
                self = self.said(format!("left behind, only {other} has them: {paths}"));
            }
        }
        Ok(self)
    }
}

/// The first of these paths, and how many more there are.
fn named(paths: &[String]) -> String {
    let first = paths.get(..NAMED_MAX.min(paths.len())).unwrap_or_default().join(", ");
    match paths.len().saturating_sub(NAMED_MAX) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

/// Says of the files beside the weights what theirs has changed and a model that has ours's does
/// not have: of the first by path, and how many more there are.
///
/// # Errors
///
/// A record that cannot be read.
pub(crate) fn passed_over(base: &Model, ours: &Model, theirs: &Model) -> Result<Vec<String>> {
    let [by_ours, by_theirs, apart] =
        [(base, ours), (base, theirs), (ours, theirs)].map(|(a, b)| diff_files(a, b));
    let changed = |files: Vec<FileChange>| -> HashMap<String, Change> {
        files.into_iter().filter_map(|file| Some((file.path, file.change?))).collect()
    };
    let (by_ours, by_theirs) = (changed(by_ours?), changed(by_theirs?));
    let (we, they) = (ours.full_name(), theirs.full_name());
    let (mut said, mut more) = (Vec::new(), 0u64);
    for FileChange { path, change: apart, .. } in apart? {
        let (Some(apart), Some(theirs)) = (apart, by_theirs.get(&path)) else { continue };
        // What belongs to the weights of ours does not come along, which is said elsewhere.
        if apart != Change::Added && !comes_along(&ours.file(&path)?) {
            continue;
        }
        let is_of_both = by_ours.contains_key(&path);
        let text = match (apart, theirs) {
            (Change::Added, Change::Added) => format!("left behind: only {they} has it"),
            (Change::Added, _) => {
                format!("left behind: {we} has removed it, and {they} has changed it")
            }
            (Change::Removed, _) if is_of_both => {
                format!("it is that of {we}, which has changed it; {they} has removed it")
            }
            (Change::Removed, _) => format!("it is that of {we}; {they} has removed it"),
            (Change::Changed, theirs) => {
                let verb = if *theirs == Change::Added { "added" } else { "changed" };
                let both = format!(", as {we} has in another way");
                let both = if is_of_both { both.as_str() } else { "" };
                format!("it is that of {we}; {they} has {verb} it{both}")
            }
        };
        match said.len() < NOTES_MAX {
            true => said.push(format!("{path}: {text}")),
            false => more += 1,
        }
    }
    if more > 0 {
        let files = if more == 1 { "file" } else { "files" };
        said.push(format!("and {more} more {files} beside the weights"));
    }
    Ok(said)
}
