//! The family for Graphviz.

use std::fmt::Write as _;

use mgit::catalog::EdgeKind;

use super::{MARK, Picture};
use crate::text::shown;

/// A string of the DOT language. Control characters have been shown as escapes before.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            '\n' => out.push_str("\\n"),
            other => out.push(other),
        }
    }
    out.push('"');
    out
}

/// The picture in the DOT language.
pub fn dot(picture: &Picture) -> String {
    let mut text = format!("digraph {} {{\n", quoted(&shown(&picture.title)));
    let _ = writeln!(text, "  // {MARK}");
    text += "  rankdir=LR;\n  node [shape=box, style=rounded, fontname=\"sans-serif\"];\n";
    text += "  edge [fontname=\"sans-serif\", fontsize=10];\n";
    for (place, node) in picture.nodes.iter().enumerate() {
        let mut label = shown(&node.name);
        if !node.tags.is_empty() {
            label += &format!(" ({})", shown(&node.tags.join(", ")));
        }
        label += &format!("\n{}\n{}", node.summary(), node.sizes());
        let _ = writeln!(text, "  n{place} [label={}];", quoted(&label));
    }
    for edge in &picture.edges {
        let style = match edge.kind {
            EdgeKind::Provenance => format!("label={}", quoted(edge.how)),
            EdgeKind::Version => "style=dashed, color=gray50".to_owned(),
        };
        let _ = writeln!(text, "  n{} -> n{} [{style}];", edge.from, edge.to);
    }
    text += "}\n";
    text
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn no_text_ends_its_string() {
        assert_eq!(quoted("a\"b\\\n"), "\"a\\\"b\\\\\\n\"");
    }
}
