//! A model: what it is, where it comes from, what it is made of, how to get it.

mod changes;
mod download;
mod facts;
mod files;
mod lineage;
mod results;
mod tensors;

use mgit::Model;
use mgit::lineage::Node;

use super::frame::{cut, frame};
use super::{Page, Site, links};
use crate::failure::Failure;
use crate::picture::escaped;
use crate::text::count;

/// Rows of a table, and items of a list, but for the tensors and files.
const ROWS_MAX: usize = 200;

/// The page of a model. `query` is what stands behind the `?` of the address: `tensors=2` is the
/// second part of a long list of tensors, `find=TEXT` those whose names contain it.
///
/// Cost: the manifests of the model and of what it derives from, a row a tensor, its test results;
/// of its files no more than the beginning of its card.
///
/// # Errors
///
/// Those of the catalogue. What is damaged of the model itself is said on the page.
pub fn model(model: &Model, site: &Site, query: &str) -> Result<Page, Failure> {
    let origins = lineage::Origins::of(model)?;
    let name = model.full_name();
    let mut body = format!(
        "<body class=\"text\">\n<header><h1><a href=\"{base}/\">{title}</a></h1>\n\
         <nav><a href=\"#get\">Download</a> <a href=\"#lineage\">Lineage</a> \
         <a href=\"#tests\">Tests</a> <a href=\"#changes\">Changes</a> \
         <a href=\"#files\">Files</a> <a href=\"#tensors\">Tensors</a> \
         <a href=\"{base}/#{anchor}\">In the picture</a></nav></header>\n\
         <main>\n<h2>{shown}</h2>\n",
        base = escaped(&site.base),
        title = escaped(&site.title),
        anchor = escaped(&links::encoded(&name)),
        shown = escaped(&name),
    );
    body += &facts::facts(model, &origins, site)?;
    body += &download::download(model, site);
    body += &files::card(model);
    body += &lineage::lineage(model, &origins, site)?;
    body += &results::results(model)?;
    body += &changes::changes(model, &origins, site);
    body += &files::files(model, site);
    body += &tensors::tensors(model, site, query);
    body += "</main>\n</body>\n";
    let title = format!("{name}: {}", site.title);
    Ok(frame(site, &title, &body, &["picture.js", "table.js", "model.js"]))
}

/// A link to a node's page.
fn linked(site: &Site, node: &Node) -> String {
    let (href, name) = (links::node(site, node), node.full_name());
    format!("<a href=\"{}\">{}</a>", escaped(&href), escaped(&name))
}

/// How many of something are not shown; nothing when all are.
fn rest(all: usize, shown: usize, noun: &str) -> String {
    match all.checked_sub(shown) {
        None | Some(0) => String::new(),
        Some(left) => {
            let more = format!("more {noun}");
            format!("<p class=\"rest\">and {}</p>\n", count(left as u64, &more))
        }
    }
}

/// A failure, in the place of what it hides.
fn said(failure: &Failure) -> String {
    format!("<p class=\"problem\">{}</p>\n", cut(&failure.to_string(), 1000))
}
