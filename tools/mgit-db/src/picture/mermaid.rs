//! The family for Mermaid, which many web pages of code draw.

use std::fmt::Write as _;

use mgit::catalog::EdgeKind;

use super::{MARK, Picture};
use crate::text::shown;

/// Text of a label: what could mean something is written by its number.
fn label(text: &str) -> String {
    let mut out = String::new();
    for character in shown(text).chars() {
        match character {
            'a'..='z' | 'A'..='Z' | '0'..='9' | ' ' | '.' | ',' | '/' | '-' | '_' | '@' => {
                out.push(character);
            }
            other => {
                let _ = write!(out, "#{};", u32::from(other));
            }
        }
    }
    out
}

/// The picture as a Mermaid flow chart.
pub fn mermaid(picture: &Picture) -> String {
    let mut text = format!("flowchart LR\n  %% {MARK}\n");
    for (place, node) in picture.nodes.iter().enumerate() {
        let mut lines = vec![label(&node.name), label(&node.summary()), label(&node.sizes())];
        if !node.tags.is_empty() {
            lines.insert(1, format!("tagged {}", label(&node.tags.join(", "))));
        }
        let _ = writeln!(text, "  n{place}[\"{}\"]", lines.join("<br/>"));
    }
    for edge in &picture.edges {
        let line = match edge.kind {
            EdgeKind::Provenance => format!("-->|\"{}\"|", label(edge.how)),
            EdgeKind::Version => "-.->".to_owned(),
        };
        let _ = writeln!(text, "  n{} {line} n{}", edge.from, edge.to);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::label;

    #[test]
    fn what_means_something_is_a_number() {
        assert_eq!(label("a\"]<b>;%%"), "a#34;#93;#60;b#62;#59;#37;#37;");
    }
}
