//! Which files of a model were taken, in words and as JSON.

use std::collections::BTreeMap;

use mgit::interchange::{FileFormat, ModelSource, SourceFile};
use serde_json::{Value, json};

use crate::text::{count, shown};

/// Lines of a kind that are shown; `--json` has all.
const SHOWN_MAX: usize = 20;

/// The files by format, what is left out, and what is to be said of files. Nothing of a model that
/// is one file of which all is seen.
pub fn describe(source: &ModelSource) -> String {
    let mut text = String::new();
    if !source.is_single() {
        let mut formats: BTreeMap<FileFormat, u64> = BTreeMap::new();
        source.files().iter().for_each(|file| *formats.entry(file.format()).or_default() += 1);
        let formats = formats.iter().map(|(format, files)| match format {
            FileFormat::Bytes => format!("{files} as bytes"),
            format => format!("{files} {format}"),
        });
        let formats = formats.rev().collect::<Vec<String>>().join(", ");
        text += &format!("  {}: {formats}\n", count(source.files().len() as u64, "file"));
    }
    let left_out = source.left_out().iter();
    text += &lines(left_out.map(|left| format!("left out {}: {}", left.path, left.reason)));
    text + &lines(source.notes().map(|(path, note)| format!("{path}: {note}")))
}

fn lines(all: impl Iterator<Item = String>) -> String {
    let mut all = all.peekable();
    let mut text = String::new();
    for line in all.by_ref().take(SHOWN_MAX) {
        text += &format!("  {}\n", shown(&line));
    }
    match all.count() {
        0 => text,
        more => format!("{text}  and {more} more, which --json lists\n"),
    }
}

/// The same for programs.
pub fn add_to(document: &mut Value, source: &ModelSource) {
    let file = |file: &SourceFile| {
        json!({
            "path": file.path(),
            "format": file.format(),
            "role": file.role(),
            "bytes": file.len(),
            "tensors": file.tensors().len(),
            "views": file.views().len(),
            "notes": file.notes(),
        })
    };
    document["files"] = source.files().iter().map(file).collect();
    document["left_out"] = json!(source.left_out());
}
