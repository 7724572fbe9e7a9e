//! The family: the picture, and the list of its models.

use mgit::Snapshot;
use serde_json::{Map, Value, json};

use super::{Page, Site, frame::frame, links, list::list};
use crate::failure::Failure;
use crate::picture::{
    Drawing, Look, Own, Picture, controls, edge_documents, embedded, escaped, keys, node_document,
    stage,
};
use crate::text::count;

/// Tensors of all models together, of which it is looked up what they take.
const TENSORS_MAX: u64 = 200_000;
/// Models that are drawn.
const DRAWN_MAX: usize = 10_000;
/// Bytes of metadata that the page carries, to be searched and shown.
const METADATA_MAX: usize = 512 << 10;

/// The page of a family. Cost: the rows of the graph and of test results; of no more than 200,000
/// tensors, a row each. A model whose manifest is damaged is shown as such.
///
/// # Errors
///
/// Those of the catalogue.
pub fn family(snapshot: &Snapshot, site: &Site) -> Result<Page, Failure> {
    let picture = Picture::read(snapshot, site.title.clone(), Look::Sizes(TENSORS_MAX))?;
    let mut notes = Vec::new();
    if picture.nodes.iter().any(|node| node.own == Own::NotRead) {
        notes.push(format!(
            "With more than {TENSORS_MAX} tensors, what each model takes is not counted here: \
             mgit-db du tells."
        ));
    }
    let (stage, program) = if picture.nodes.len() <= DRAWN_MAX {
        let metadata = metadata(snapshot, &picture)?;
        if metadata.is_none() {
            notes.push("There is too much metadata to be searched here.".to_owned());
        }
        let drawing = Drawing::new(&picture, &|node| Some(links::node(site, node)));
        (stage(&drawing), data(snapshot, &picture, metadata.as_deref(), site))
    } else {
        notes.push(format!("More than {DRAWN_MAX} models are not drawn."));
        (String::new(), data(snapshot, &empty(), None, site))
    };
    let notes: String =
        notes.iter().map(|note| format!("<p class=\"note\">{}</p>\n", escaped(note))).collect();
    let body = format!(
        "<body class=\"family\">\n<header>\n<h1>{title}</h1>\n\
         <span class=\"told\">{models}</span>\n<span class=\"tabs\">\
         <button id=\"to-picture\" class=\"on\">Picture</button>\
         <button id=\"to-list\">List</button></span>\n{controls}</header>\n\
         <p id=\"news\" class=\"news\" role=\"status\" hidden></p>\n{notes}<main>\n{stage}{list}\
         <aside id=\"panel\" hidden aria-live=\"polite\"></aside>\n</main>\n<footer>{keys}</footer>\n\
         <script id=\"data\" type=\"application/json\">{program}</script>\n</body>\n",
        title = escaped(&site.title),
        models = count(picture.nodes.len() as u64, "model"),
        controls = controls(),
        list = list(&picture, site),
        keys = keys(),
    );
    Ok(frame(site, &site.title, &body, &["picture.js", "table.js", "family.js"]))
}

fn empty() -> Picture {
    Picture { title: String::new(), nodes: Vec::new(), edges: Vec::new() }
}

/// The metadata of each model; nothing when there is more than the page carries.
fn metadata(
    snapshot: &Snapshot,
    picture: &Picture,
) -> Result<Option<Vec<Map<String, Value>>>, Failure> {
    let graph = snapshot.graph();
    let (mut all, mut left) = (Vec::new(), METADATA_MAX);
    for node in &picture.nodes {
        let metadata = graph.metadata(node.node.id())?;
        let len: usize =
            metadata.iter().map(|(key, value)| key.len() + value.to_string().len()).sum();
        let Some(rest) = left.checked_sub(len) else { return Ok(None) };
        left = rest;
        all.push(metadata);
    }
    Ok(Some(all))
}

fn data(
    snapshot: &Snapshot,
    picture: &Picture,
    metadata: Option<&[Map<String, Value>]>,
    site: &Site,
) -> String {
    let none = Map::new();
    let document = |(at, node)| {
        node_document(node, metadata.and_then(|metadata| metadata.get(at)).unwrap_or(&none))
    };
    let nodes: Vec<Map<String, Value>> = picture.nodes.iter().enumerate().map(document).collect();
    embedded(&json!({
        "base": site.base,
        "sequence": snapshot.sequence(),
        "nodes": nodes,
        "edges": edge_documents(picture),
    }))
}
