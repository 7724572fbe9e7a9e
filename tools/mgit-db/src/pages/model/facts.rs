//! What a model is, in a list: kind, times, sizes, metadata.

use std::collections::HashSet;
use std::fmt::Write as _;

use mgit::architecture::LAYERS_KEY;
use mgit::lineage::LOSSY_KEY;
use mgit::{ContentId, Model};
use serde_json::Value;

use super::lineage::Origins;
use crate::failure::Failure;
use crate::kept::Kept;
use crate::pages::Site;
use crate::pages::frame::cut;
use crate::picture::escaped;
use crate::text::{count, size, timestamp};

/// Characters of a value of metadata that are shown.
const VALUE_MAX: usize = 2000;
/// Characters of a key.
const KEY_MAX: usize = 200;

fn fact(out: &mut String, name: &str, value: &str) {
    let _ = writeln!(out, "<dt>{name}</dt><dd>{value}</dd>");
}

/// The section.
pub fn facts(model: &Model, origins: &Origins, site: &Site) -> Result<String, Failure> {
    let node = model.node();
    let graph = model.snapshot().graph();
    let mut out = String::from("<section id=\"facts\">\n");
    let tags = graph.tags_of(node.id())?;
    for tag in tags.iter().take(super::ROWS_MAX) {
        let _ = write!(out, "<span class=\"tag\">{}</span>", escaped(tag));
    }
    out += &super::rest(tags.len(), super::ROWS_MAX, "tag");
    let lossy = graph.own_metadata(node.id(), LOSSY_KEY)?;
    if let Some(mark) = &lossy {
        let _ = write!(out, "<span class=\"tag\">lossy</span> {}", cut(&mark.to_string(), 300));
    }
    out += "<dl>\n";
    if !node.kind().is_empty() {
        fact(&mut out, "kind", &escaped(node.kind()));
    }
    fact(&mut out, "created", &escaped(&timestamp(node.created_ms())));
    let tensors = count(node.tensor_count().into(), "tensor");
    fact(&mut out, "size", &format!("{}, {tensors}", size(node.logical_bytes())));
    fact(&mut out, "stored", &stored(model, origins));
    fact(&mut out, "versions", &super::lineage::versions(model, site)?);
    let metadata = model.metadata()?;
    let shown = metadata.iter().filter(|(key, _)| *key != LAYERS_KEY && *key != LOSSY_KEY);
    for (key, value) in shown.take(super::ROWS_MAX) {
        let text = match value {
            Value::String(text) => text.clone(),
            value => value.to_string(),
        };
        fact(&mut out, &cut(key, KEY_MAX), &cut(&text, VALUE_MAX));
    }
    fact(&mut out, "id", &node.id().to_string());
    out += "</dl>\n";
    out += &super::rest(metadata.len(), super::ROWS_MAX, "key of metadata");
    out += "</section>\n";
    Ok(out)
}

/// What its tensors take, and those that none of its origins has.
fn stored(model: &Model, origins: &Origins) -> String {
    let known: HashSet<ContentId> = origins
        .all()
        .filter_map(|origin| origin.model.as_ref())
        .flat_map(|model| model.tensors().map(|tensor| tensor.content_id()).collect::<Vec<_>>())
        .collect();
    let mut seen = HashSet::new();
    let (mut stored, mut own, mut missing, mut damaged) = (0, 0, 0, 0);
    for tensor in model.tensors().filter(|tensor| seen.insert(tensor.content_id())) {
        match Kept::of(&tensor) {
            Ok(Kept::Here(here)) => {
                stored += here.stored_len;
                let is_new = !known.contains(&tensor.content_id());
                own += if is_new { here.stored_len } else { 0 };
            }
            Ok(Kept::At(_)) => missing += 1,
            Err(_) => damaged += 1,
        }
    }
    let mut text = size(stored);
    if !known.is_empty() {
        let _ = write!(text, ", {} of it new since what it derives from", size(own));
    }
    if missing > 0 {
        let _ = write!(text, "; {} not pulled", count(missing, "tensor"));
    }
    if damaged > 0 {
        let _ = write!(text, "; {} cannot be read", count(damaged, "tensor"));
    }
    text
}
