//! The family as one page: the picture to zoom and to search, and what each model is made of.
//!
//! Invariants: the page asks nothing of any network, and its policy forbids it to; what comes from
//! the store is data in it, never elements, styles or programs.

use std::collections::HashMap;

use mgit::ContentId;
use serde_json::{Map, Value, json};

use super::page::{PROGRAM, STYLE, controls, edge_documents, embedded, keys, node_document, stage};
use super::svg::Drawing;
use super::{MARK, Picture, escaped};

/// What is shown of a model that was chosen: its tensors, and what changed since its parents.
const LISTS: &str = include_str!("lists.js");

/// Nothing but what the page itself holds.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
base-uri 'none'; form-action 'none'";

/// Texts by number, each once.
#[derive(Debug, Default)]
struct Texts {
    texts: Vec<String>,
    places: HashMap<String, usize>,
}

impl Texts {
    fn place(&mut self, text: &str) -> usize {
        if let Some(place) = self.places.get(text) {
            return *place;
        }
        self.places.insert(text.to_owned(), self.texts.len());
        self.texts.push(text.to_owned());
        self.texts.len() - 1
    }
}

/// What the page's program works on. Models with the same tensors share their list.
fn data(picture: &Picture, metadata: &[Map<String, Value>]) -> Value {
    let (mut texts, mut contents) = (Texts::default(), Vec::new());
    let mut content_of: HashMap<ContentId, usize> = HashMap::new();
    let mut lists: Vec<Vec<usize>> = Vec::new();
    let mut list_of: HashMap<ContentId, usize> = HashMap::new();
    let mut nodes = Vec::new();
    for (node, metadata) in picture.nodes.iter().zip(metadata) {
        let row = &node.node;
        let list = *list_of.entry(row.manifest_id()).or_insert_with(|| {
            let mut list = Vec::with_capacity(node.tensors.len() * 3);
            for tensor in &node.tensors {
                let content = *content_of.entry(tensor.content).or_insert_with(|| {
                    let encoding = texts.place(&tensor.encoding);
                    contents.push(json!([
                        tensor.content.short(),
                        tensor.bytes,
                        tensor.stored,
                        encoding,
                        tensor.depth
                    ]));
                    contents.len() - 1
                });
                list.extend([texts.place(&tensor.name), texts.place(&tensor.form), content]);
            }
            lists.push(list);
            lists.len() - 1
        });
        let mut document = node_document(node, metadata);
        document.insert("list".to_owned(), json!(list));
        nodes.push(document);
    }
    json!({
        "texts": texts.texts,
        "contents": contents,
        "lists": lists,
        "nodes": nodes,
        "edges": edge_documents(picture),
    })
}

/// The picture as one HTML page; `metadata` is that of each node.
pub fn html(picture: &Picture, metadata: &[Map<String, Value>]) -> String {
    let drawing = Drawing::new(picture, &|_| None);
    let title = escaped(&picture.title);
    let data = embedded(&data(picture, metadata));
    format!(
        r##"<!DOCTYPE html>
<!-- {MARK} -->
<html lang="en" class="live">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>{title}</title>
<style>
{STYLE}</style>
</head>
<body>
<header>
<h1>{title}</h1>
{controls}</header>
<main>
{stage}<aside id="panel" hidden aria-live="polite"></aside>
</main>
<footer>{keys}<span>drag to move, wheel to zoom, click a model for its tensors and its changes</span>
</footer>
<script id="data" type="application/json">{data}</script>
<script>
{PROGRAM}{LISTS}</script>
</body>
</html>
"##,
        controls = controls(),
        stage = stage(&drawing),
        keys = keys(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_the_page_stay_apart() {
        for part in [STYLE, PROGRAM, LISTS] {
            assert!(!part.contains("</") && !part.contains("<!--"), "an end of an element");
            assert!(!part.contains("http:") && !part.contains("https:"), "a network");
        }
        for part in [PROGRAM, LISTS] {
            assert!(!part.contains("innerHTML"), "elements out of text");
        }
    }
}
