//! The files of a model, and its card.

use std::fmt::Write as _;

use mgit::Model;
use mgit::store::StoredFile;

use super::{rest, said};
use crate::failure::Failure;
use crate::pages::{Site, links};
use crate::picture::escaped;
use crate::text::{count, size};

/// Files that are listed.
const FILES_MAX: usize = 2000;
/// Bytes of a card that are shown.
const CARD_MAX: u64 = 64 << 10;

/// The path of a file as it is downloaded: a model that is one file without a name has one there.
pub fn path_of(file: &StoredFile) -> String {
    match file.path() {
        "" => format!("model.{}", file.format().extension()),
        path => path.to_owned(),
    }
}

/// The section of files.
pub fn files(model: &Model, site: &Site) -> String {
    let mut out = String::from(
        "<section id=\"files\">\n<h3>Files</h3>\n<table class=\"sorted\">\n<thead><tr><th>File</th>\
         <th class=\"number\">Size</th><th>Format</th><th class=\"number\">Tensors</th></tr></thead>\n\
         <tbody>\n",
    );
    let all: Vec<StoredFile> = model.files().take(FILES_MAX).collect();
    for file in &all {
        let path = path_of(file);
        let href = links::file(&site.base, model.node(), &path);
        let _ = writeln!(
            out,
            "<tr><td class=\"name\"><a href=\"{}\" download>{}</a></td>\
             <td class=\"number\" data-value=\"{}\">{}</td><td>{}</td>\
             <td class=\"number\">{}</td></tr>",
            escaped(&href),
            escaped(&path),
            file.byte_len(),
            size(file.byte_len()),
            escaped(&file.format().to_string()),
            file.tensors().len(),
        );
    }
    out += "</tbody>\n</table>\n";
    out += &rest(model.files().count(), all.len(), "file");
    out += "</section>\n";
    out
}

/// The card, as text; nothing for a model without one.
pub fn card(model: &Model) -> String {
    let Ok(file) = model.file("README.md") else { return String::new() };
    let len = file.byte_len().min(CARD_MAX);
    let mut bytes = vec![0; len as usize];
    let read = file.read_at(0, &mut bytes).map_err(Failure::from);
    let text = match read {
        Ok(()) => format!("<pre>{}</pre>\n", lines(&String::from_utf8_lossy(&bytes))),
        Err(failure) => said(&failure),
    };
    let more = match file.byte_len() - len {
        0 => String::new(),
        more => format!("<p class=\"rest\">and {}</p>\n", count(more, "more byte")),
    };
    format!("<section id=\"card\">\n<h3>README.md</h3>\n{text}{more}</section>\n")
}

/// Text of several lines.
fn lines(text: &str) -> String {
    text.lines().map(|line| escaped(&line.replace('\t', "    ")) + "\n").collect()
}
