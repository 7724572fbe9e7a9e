//! What every page with a picture shares: its elements, its style, its program, and its data.
//!
//! Invariants: what comes from a store is data or escaped text, never elements, styles or
//! programs; no element has a style or a handler of its own, so that a policy may forbid both.

use std::fmt::Write as _;

use mgit::catalog::EdgeKind;
use serde_json::{Map, Value, json};

use super::svg::{Drawing, MARKERS};
use super::{DrawnNode, Own, Picture};
use crate::text::timestamp;

/// The style of the picture and of what stands around it.
pub const STYLE: &str = concat!(include_str!("picture.css"), include_str!("page.css"));

/// The program: moving, zooming, names, colours, searching. What is shown of a model that was
/// chosen is the page's own.
pub const PROGRAM: &str = concat!(
    include_str!("elements.js"),
    include_str!("view.js"),
    include_str!("names.js"),
    include_str!("detail.js"),
    include_str!("colours.js"),
    include_str!("search.js"),
    include_str!("tree.js"),
    include_str!("facts.js"),
    include_str!("page.js"),
);

/// What is pressed and typed into, for the page's head.
pub fn controls() -> &'static str {
    r#"<div class="seek">
<input id="search" type="search" autocomplete="off" aria-label="Search" aria-controls="hits"
 placeholder="Search: name, kind, tag, note   ( / )">
<ol id="hits" hidden></ol>
</div>
<output id="found"></output>
<span class="space"></span>
<label class="pick">Colours <select id="colours"></select></label>
<button id="out" title="Zoom out ( - )">&minus;</button>
<button id="in" title="Zoom in ( + )">+</button>
<button id="fit" title="Show everything ( 0 )">Fit</button>
"#
}

/// The picture, with a place for names of constant size.
pub fn stage(drawing: &Drawing) -> String {
    let (width, height, elements) = (drawing.width, drawing.height, &drawing.elements);
    format!(
        "<div id=\"stage\">\n<svg id=\"canvas\" class=\"picture\" width=\"{width:.0}\" height=\"{height:.0}\" \
         data-width=\"{width:.1}\" data-height=\"{height:.1}\" tabindex=\"-1\">\n\
         {MARKERS}<g id=\"world\">\n{elements}</g>\n<g id=\"names\"></g>\n</svg>\n</div>\n"
    )
}

/// What lines and colours mean, for the page's foot.
pub fn keys() -> &'static str {
    "<span class=\"key derived\">derived from</span><span class=\"key version\">version</span>\n\
     <span id=\"legend\"></span>\n"
}

/// A model, for the program.
pub fn node_document(node: &DrawnNode, metadata: &Map<String, Value>) -> Map<String, Value> {
    let row = &node.node;
    let own = match node.own {
        Own::Bytes(own) => json!(own),
        Own::Damaged => json!("damaged"),
        Own::NotRead => Value::Null,
    };
    let document = json!({
        "id": row.id().to_string(),
        "name": node.name,
        "kind": row.kind(),
        "created": timestamp(row.created_ms()),
        "ms": row.created_ms(),
        "tensors": row.tensor_count(),
        "bytes": row.logical_bytes(),
        "own": own,
        "tags": node.tags,
        "passed": node.is_passed,
        "meta": metadata,
    });
    match document {
        Value::Object(document) => document,
        _ => Map::new(),
    }
}

/// The edges, for the program: the places of both ends, how the second was derived (`null`: it is
/// the next version), metadata.
pub fn edge_documents(picture: &Picture) -> Vec<Value> {
    let document = |edge: &super::DrawnEdge| {
        let how = match edge.kind {
            EdgeKind::Provenance => json!(edge.how),
            EdgeKind::Version => Value::Null,
        };
        json!([edge.from, edge.to, how, edge.metadata])
    };
    picture.edges.iter().map(document).collect()
}

/// JSON inside `<script>`: no text in it can end the element or begin another, and no mark in it
/// turns the direction of the file's text.
pub fn embedded(value: &Value) -> String {
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
}
