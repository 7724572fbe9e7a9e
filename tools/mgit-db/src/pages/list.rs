//! The models as a table: a row a name.

use std::fmt::Write as _;

use super::{Site, links};
use crate::picture::{DrawnNode, Own, Picture, escaped};
use crate::text::{count, size, time};

/// Names that are listed.
const LISTED_MAX: usize = 20_000;

/// The table of a picture's models, and a line on what is not in it.
pub fn list(picture: &Picture, site: &Site) -> String {
    let names: Vec<(usize, &[DrawnNode])> = {
        let mut at = 0;
        let same = picture.nodes.chunk_by(|a, b| a.node.name() == b.node.name());
        let with_place = |nodes: &'_ [DrawnNode]| {
            at += nodes.len();
            at - nodes.len()
        };
        let places: Vec<usize> = same.clone().map(with_place).collect();
        places.into_iter().zip(same).collect()
    };
    let mut out = String::from(
        "<section id=\"list\">\n<table class=\"sorted\">\n<thead><tr><th>Model</th><th>Kind</th>\
         <th class=\"number\">Versions</th><th class=\"number\">Size</th>\
         <th class=\"number\">Of its own</th><th>Created (UTC)</th><th>Tags</th></tr></thead>\n\
         <tbody>\n",
    );
    for (first, versions) in names.iter().take(LISTED_MAX) {
        row(&mut out, *first, versions, site);
    }
    out += "</tbody>\n</table>\n";
    if let Some(rest) = names.len().checked_sub(LISTED_MAX).filter(|rest| *rest > 0) {
        let rest = count(rest as u64, "more name");
        let _ = writeln!(out, "<p class=\"rest\">and {rest}: mgit-db ls lists them all</p>");
    }
    out += "</section>\n";
    out
}

/// The row of a name: its newest version, and the tags of all of them.
fn row(out: &mut String, first: usize, versions: &[DrawnNode], site: &Site) {
    let Some(newest) = versions.last() else { return };
    let row = &newest.node;
    let (own, own_text) = match newest.own {
        Own::Bytes(own) => (own, size(own)),
        Own::Damaged => (0, "damaged".to_owned()),
        Own::NotRead => (0, String::new()),
    };
    let mut tags = String::new();
    for version in versions {
        for tag in &version.tags {
            let place = match versions.len() {
                1 => String::new(),
                _ => format!(" @{}", version.node.version()),
            };
            let _ = write!(tags, "<span class=\"tag\">{}{place}</span>", escaped(tag));
        }
    }
    let _ = writeln!(
        out,
        "<tr data-first=\"{first}\" data-last=\"{}\"><td class=\"name\"><a href=\"{}\">{}</a></td>\
         <td>{}</td><td class=\"number\">{}</td><td class=\"number\" data-value=\"{}\">{}</td>\
         <td class=\"number\" data-value=\"{own}\">{own_text}</td><td>{}</td><td>{tags}</td></tr>",
        first + versions.len() - 1,
        escaped(&links::latest(site, row.name())),
        escaped(row.name()),
        escaped(row.kind()),
        versions.len(),
        row.logical_bytes(),
        size(row.logical_bytes()),
        time(row.created_ms()),
    );
}
