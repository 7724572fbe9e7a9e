//! Globs that choose among the files of folders, and those that had no effect.

use std::path::{Path, PathBuf};

use mgit::interchange::SourceOptions;
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::text::{quoted, shown};

/// Refuses globs where no path is a folder: they would have no effect.
///
/// # Errors
///
/// There are globs, and no folder.
pub fn check_globs<'g>(
    paths: &[PathBuf],
    mut globs: impl Iterator<Item = (&'static str, &'g String)>,
) -> Result<(), Failure> {
    match (globs.next(), paths.first()) {
        (Some((option, glob)), Some(path)) if !paths.iter().any(|path| path.is_dir()) => {
            let glob = quoted(Path::new(glob));
            Err(Failure::usage(format!(
                "{option} {glob} chooses among the files of a folder, and {path:?} is none: leave \
                 it out"
            )))
        }
        _ => Ok(()),
    }
}

/// The globs that have fitted nothing, with their options.
fn unused_globs(options: &SourceOptions) -> Vec<(&'static str, &str)> {
    let excludes = options.unused_excludes().map(|glob| ("--exclude", glob));
    excludes.chain(options.unused_includes().map(|glob| ("--include", glob))).collect()
}

/// The same in words, a line for each.
pub fn unused_globs_text(options: &SourceOptions, indent: &str) -> String {
    let line = |(option, glob): (&str, &str)| {
        format!("{indent}{option} {} fits no file and no folder\n", shown(&quoted(Path::new(glob))))
    };
    unused_globs(options).into_iter().map(line).collect()
}

/// The same for programs.
pub fn unused_globs_json(options: &SourceOptions) -> Value {
    let document = |(option, glob): (&str, &str)| json!({ "option": option, "glob": glob });
    unused_globs(options).into_iter().map(document).collect()
}
