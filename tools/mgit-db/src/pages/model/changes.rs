//! What changed since what a model derives from: layers and tensors, without values.

use std::fmt::Write as _;

use mgit::Model;
use mgit::diff::{Change, LayerChange, ModelDiff, TensorFacts, diff_contents};

use super::lineage::{Origin, Origins};
use super::{linked, rest, said};
use crate::failure::Failure;
use crate::pages::Site;
use crate::picture::escaped;
use crate::text::{count, quoted, size};

/// Tensors of a model of which differences are looked for.
const TENSORS_MAX: u32 = 20_000;
/// Origins of a model that it is compared with.
const ORIGINS_MAX: usize = 4;
/// Rows of tensors that are shown of each.
const CHANGES_MAX: usize = 300;

/// The section.
pub fn changes(model: &Model, origins: &Origins, site: &Site) -> String {
    let mut out = String::from("<section id=\"changes\">\n<h3>Changes</h3>\n");
    let all = origins.all().count();
    if all == 0 {
        out += "<p class=\"dim\">It derives from no other model.</p>\n";
    }
    for (at, origin) in origins.all().take(ORIGINS_MAX).enumerate() {
        let open = if at == 0 { " open" } else { "" };
        let from = linked(site, &origin.node);
        let _ = writeln!(out, "<details{open}><summary>from {from}</summary>");
        out += &since(model, origin);
        out += "</details>\n";
    }
    out += &rest(all, ORIGINS_MAX, "origin");
    out += "</section>\n";
    out
}

fn since(model: &Model, origin: &Origin) -> String {
    let Some(old) = &origin.model else {
        return "<p class=\"problem\">Its tensors cannot be read.</p>\n".to_owned();
    };
    if model.node().tensor_count().max(old.node().tensor_count()) > TENSORS_MAX {
        return format!(
            "<p class=\"rest\">More than {TENSORS_MAX} tensors: \
             <code>mgit-db diff STORE {} {}</code> tells.</p>\n",
            escaped(&quoted(old.full_name().as_ref())),
            escaped(&quoted(model.full_name().as_ref())),
        );
    }
    match diff_contents(old, model) {
        Ok(found) => table(&found),
        Err(error) => said(&Failure::from(error)),
    }
}

fn table(found: &ModelDiff) -> String {
    let layers = |change| found.count(change) as u64;
    let (mut rows, mut tensors) = (String::new(), 0);
    for layer in found.layers() {
        for (old, new) in layer.tensors.iter().map(|it| (it.from.as_ref(), it.to.as_ref())) {
            if tensors < CHANGES_MAX {
                row(&mut rows, &layer, old, new);
            }
            tensors += 1;
        }
    }
    let mut out = format!(
        "<p class=\"told\">{} changed, {} added, {} removed, {} the same; {}</p>\n",
        count(layers(Change::Changed), "layer"),
        layers(Change::Added),
        layers(Change::Removed),
        found.unchanged,
        if tensors == 1 {
            "1 tensor differs".to_owned()
        } else {
            format!("{tensors} tensors differ")
        },
    );
    if tensors > 0 {
        out += "<table class=\"sorted\">\n<thead><tr><th>Change</th><th>Tensor</th>\
                <th>Type, shape</th><th class=\"number\">Bytes</th>\
                <th class=\"number\">Stored</th><th>Layer</th></tr></thead>\n<tbody>\n";
        out += &rows;
        out += "</tbody>\n</table>\n";
    }
    out + &rest(tensors, CHANGES_MAX, "tensor")
}

fn row(
    out: &mut String,
    layer: &LayerChange,
    old: Option<&TensorFacts>,
    new: Option<&TensorFacts>,
) {
    let Some(facts) = new.or(old) else { return };
    let state = match (old, new) {
        (Some(_), Some(_)) => "changed",
        (None, _) => "added",
        (_, None) => "removed",
    };
    let form = |facts: &TensorFacts| format!("{} {}", facts.dtype, facts.shape);
    let form = match old.filter(|old| form(old) != form(facts)) {
        Some(old) => format!("{} \u{2192} {}", form(old), form(facts)),
        None => form(facts),
    };
    let stored = new.map(|facts| size(facts.stored_bytes)).unwrap_or_default();
    let _ = writeln!(
        out,
        "<tr><td class=\"{state}\">{state}</td><td class=\"name\">{}</td><td>{}</td>\
         <td class=\"number\" data-value=\"{}\">{}</td>\
         <td class=\"number\" data-value=\"{}\">{stored}</td><td>{}</td></tr>",
        escaped(&facts.name),
        escaped(&form),
        facts.bytes,
        size(facts.bytes),
        new.map_or(0, |facts| facts.stored_bytes),
        escaped(&layer.kind.to_string()),
    );
}
