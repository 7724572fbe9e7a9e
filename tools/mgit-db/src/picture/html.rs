//! The family as one page: the picture to zoom and to search, and what each model is made of.
//!
//! Invariants: the page asks nothing of any network, and its policy forbids it to; what comes from
//! the store is data in it, never elements, styles or programs.

use std::collections::HashMap;
use std::fmt::Write as _;

use mgit::ContentId;
use mgit::catalog::EdgeKind;
use serde_json::{Map, Value, json};

use super::svg::{Drawing, MARKERS, style};
use super::{MARK, Picture, escaped};
use crate::text::timestamp;

const STYLE: &str = include_str!("page.css");
const PROGRAM: &str = include_str!("page.js");

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

/// JSON inside `<script>`: no text in it can end the element or begin another, and no mark in it
/// turns the direction of the file's text.
fn embedded(value: &Value) -> String {
    let mut out = String::new();
    for character in value.to_string().chars() {
        match character {
            '<'
            | '>'
            | '&'
            | '\u{7f}'..='\u{9f}'
            | '\u{200e}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(character));
            }
            other => out.push(other),
        }
    }
    out
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
        nodes.push(json!({
            "id": node.node.id().to_string(),
            "name": node.name,
            "kind": row.kind(),
            "created": timestamp(row.created_ms()),
            "tensors": row.tensor_count(),
            "bytes": row.logical_bytes(),
            "own": node.own_bytes,
            "tags": node.tags,
            "meta": metadata,
            "list": list,
        }));
    }
    let edge = |edge: &super::DrawnEdge| {
        let how = match edge.kind {
            EdgeKind::Provenance => json!(edge.how),
            EdgeKind::Version => Value::Null,
        };
        json!([edge.from, edge.to, how, edge.metadata])
    };
    let edges: Vec<Value> = picture.edges.iter().map(edge).collect();
    json!({
        "texts": texts.texts,
        "contents": contents,
        "lists": lists,
        "nodes": nodes,
        "edges": edges,
    })
}

/// The picture as one HTML page; `metadata` is that of each node.
pub fn html(picture: &Picture, metadata: &[Map<String, Value>]) -> String {
    let drawing = Drawing::new(picture);
    let title = escaped(&picture.title);
    let data = embedded(&data(picture, metadata));
    let (width, height) = (drawing.width, drawing.height);
    format!(
        r##"<!DOCTYPE html>
<!-- {MARK} -->
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>{title}</title>
<style>
{picture_style}{STYLE}</style>
</head>
<body>
<header>
<h1>{title}</h1>
<input id="search" type="search" autocomplete="off" aria-label="Search"
 placeholder="Search: name, kind, tag, note   ( / )">
<output id="found"></output>
<span class="space"></span>
<button id="out" title="Zoom out ( - )">&minus;</button>
<button id="in" title="Zoom in ( + )">+</button>
<button id="fit" title="Show everything ( 0 )">Fit</button>
</header>
<main>
<svg id="canvas" class="picture" data-width="{width:.1}" data-height="{height:.1}" tabindex="-1">
{MARKERS}<g id="world">
{elements}</g>
</svg>
<aside id="panel" hidden aria-live="polite"></aside>
</main>
<footer><span class="key derived">derived from</span><span class="key version">version</span>
<span>drag to move, wheel to zoom, click a model for its tensors and its changes</span></footer>
<script id="data" type="application/json">{data}</script>
<script>
{PROGRAM}</script>
</body>
</html>
"##,
        picture_style = style(),
        elements = drawing.elements,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_ends_the_data() {
        let text = embedded(&json!(["</script><!--", "\u{2028}&"]));
        assert!(!text.contains(['<', '>', '&', '\u{2028}']), "{text}");
        let back: Value = serde_json::from_str(&text).unwrap_or_default();
        assert_eq!(back, json!(["</script><!--", "\u{2028}&"]));
    }

    #[test]
    fn the_parts_of_the_page_stay_apart() {
        for part in [STYLE, PROGRAM, style()] {
            assert!(!part.contains("</") && !part.contains("<!--"), "an end of an element");
            assert!(!part.contains("http:") && !part.contains("https:"), "a network");
        }
        assert!(!PROGRAM.contains("innerHTML"), "elements out of text");
    }
}
