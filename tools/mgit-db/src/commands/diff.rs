//! `diff`: what is different between two models.

use std::path::PathBuf;

use mgit::diff::{
    Change, FileChange, LayerChange, ModelDiff, TensorChange, TensorDistance, TensorFacts, diff,
    diff_files,
};
use serde_json::{Value, json};

use crate::document::Document;
use crate::failure::Failure;
use crate::model_argument::ModelArgument;
use crate::output::{Ink, Output, json_float};
use crate::partial::open_to_read_named;
use crate::text::{count, shown, size};

/// Show the differences between two models, layer by layer.
///
/// Layers are matched by what they do and how they are connected, not by name. Tensors of equal
/// content are not read. The largest changes, relative to the length of the weights, come first.
/// Files beside the weights are compared by their contents.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  mgit-db diff family.mgit base tuned
  mgit-db diff family.mgit tuned@1 tuned@2 --json")]
pub struct Arguments {
    /// The store
    store: PathBuf,
    /// The first model
    from: ModelArgument,
    /// The second model
    to: ModelArgument,
}

/// Shows the difference.
///
/// # Errors
///
/// A model is not there or damaged.
pub fn run(arguments: &Arguments, output: &Output) -> Result<(), Failure> {
    let store = open_to_read_named(&arguments.store, &[&arguments.from, &arguments.to])?;
    let snapshot = store.snapshot()?;
    let from = snapshot.model(arguments.from.to_string())?;
    let to = snapshot.model(arguments.to.to_string())?;
    let found = diff(&from, &to)?;
    let files = diff_files(&from, &to)?;
    let mut text = format!(
        "{} {}\n{} {}\n",
        output.paint(Ink::Bad, "---"),
        output.paint(Ink::Name, &from.full_name()),
        output.paint(Ink::Good, "+++"),
        output.paint(Ink::Name, &to.full_name()),
    );
    text += &summary(&found);
    text += &describe_files(&files, output);
    let lines = found.layers().map(|layer| describe(&layer, output));
    let names = json!({ "from": from.full_name(), "to": to.full_name() });
    output.print_long(document(&found, &files).keys(names), std::iter::once(text).chain(lines))
}

fn summary(found: &ModelDiff) -> String {
    let number = |change| found.count(change) as u64;
    let (added, removed) = (number(Change::Added), number(Change::Removed));
    let changed = number(Change::Changed);
    if added + removed + changed == 0 {
        return format!("the same: {}\n", count(found.unchanged as u64, "layer"));
    }
    format!(
        "{}: {added} added, {removed} removed, {changed} changed, {} the same\n\
         divergence {:.3} by structure, {:.3} with contents; {} read\n",
        count(added + removed + changed + found.unchanged as u64, "layer"),
        found.unchanged,
        found.structural,
        found.contextual,
        size(found.bytes_read),
    )
}

/// The files beside the weights, where there are any.
fn describe_files(files: &[FileChange], output: &Output) -> String {
    if files.is_empty() {
        return String::new();
    }
    let number = |change| files.iter().filter(|file| file.change == Some(change)).count();
    let [added, removed, changed] = [Change::Added, Change::Removed, Change::Changed].map(number);
    let same = files.len() - added - removed - changed;
    let mut text = format!(
        "{} beside the weights: {added} added, {removed} removed, {changed} changed, {same} the \
         same\n",
        count(files.len() as u64, "file"),
    );
    for file in files {
        let Some(change) = file.change else { continue };
        let (mark, ink) = mark(change);
        let sizes: Vec<String> =
            [file.from_bytes, file.to_bytes].into_iter().flatten().map(size).collect();
        let line = format!("{mark} {} ({})", shown(&file.path), sizes.join(" -> "));
        text += &format!("  {}\n", output.paint(ink, &line));
    }
    text
}

fn mark(change: Change) -> (&'static str, Ink) {
    match change {
        Change::Added => ("+", Ink::Good),
        Change::Removed => ("-", Ink::Bad),
        Change::Changed => ("~", Ink::Name),
    }
}

fn file_json(file: &FileChange) -> Value {
    json!({
        "path": file.path,
        "change": file.change.map_or("same", change_name),
        "from_bytes": file.from_bytes,
        "to_bytes": file.to_bytes,
    })
}

fn change_name(change: Change) -> &'static str {
    match change {
        Change::Added => "added",
        Change::Removed => "removed",
        Change::Changed => "changed",
    }
}

fn describe(layer: &LayerChange, output: &Output) -> String {
    let (mark, ink) = mark(layer.change);
    let from = layer.from.as_deref().unwrap_or_default();
    let to = layer.to.as_deref().unwrap_or(from);
    let name = match layer.change {
        Change::Changed if from != to => format!("{} -> {}", shown(from), shown(to)),
        _ => shown(to),
    };
    let mut line = format!("{mark} {name} ({})", shown(&layer.kind.to_string()));
    if layer.change == Change::Changed {
        line += &format!(", moved by {:.3} %", layer.weight * 100.0);
    }
    let mut text = format!("\n{}\n", output.paint(ink, &line));
    for tensor in &layer.tensors {
        text += &format!("    {}\n", describe_tensor(tensor));
    }
    text
}

fn describe_tensor(tensor: &TensorChange) -> String {
    let facts = |facts: &TensorFacts| {
        let last = facts.name.rsplit(['.', '/']).next().unwrap_or_default();
        (shown(last), format!("{} {}", facts.dtype, facts.shape))
    };
    match (&tensor.from, &tensor.to) {
        (Some(from), Some(to)) => {
            let ((_, before), (name, after)) = (facts(from), facts(to));
            let kind = if before == after { after } else { format!("{before} -> {after}") };
            let found = match &tensor.distance {
                Some(found) => numbers(found),
                None => "cannot be compared".to_owned(),
            };
            format!("{name} {kind}: {found}; {} stored", size(to.stored_bytes))
        }
        (Some(only), None) | (None, Some(only)) => {
            let (name, kind) = facts(only);
            format!("{name} {kind}: {}", size(only.bytes))
        }
        (None, None) => String::new(),
    }
}

fn numbers(found: &TensorDistance) -> String {
    let bits = found.bits.map(|bits| format!(", {bits} bits")).unwrap_or_default();
    format!(
        "{:.2} % changed{bits}, L2 {:.4}, max {:.3e}, cosine {:.6}",
        found.share() * 100.0,
        found.l2,
        found.max,
        found.cosine
    )
}

fn layer_json(layer: &LayerChange) -> Value {
    let facts = |facts: &Option<TensorFacts>| {
        facts.as_ref().map(|facts| {
            json!({
                "name": facts.name,
                "dtype": facts.dtype.name(),
                "shape": facts.shape.dims(),
                "bytes": facts.bytes,
                "stored_bytes": facts.stored_bytes,
            })
        })
    };
    let distance = |found: &TensorDistance| {
        json!({
            "elements": found.elements,
            "changed": found.changed,
            "share": found.share(),
            "l2": json_float(found.l2),
            "norm": json_float(found.norm),
            "max": json_float(found.max),
            "cosine": json_float(found.cosine),
            "bits": found.bits,
        })
    };
    let tensor = |tensor: &TensorChange| {
        json!({
            "from": facts(&tensor.from),
            "to": facts(&tensor.to),
            "distance": tensor.distance.as_ref().map(distance),
        })
    };
    json!({
        "change": change_name(layer.change),
        "from": layer.from,
        "to": layer.to,
        "kind": layer.kind.name(),
        "weight": json_float(layer.weight),
        "tensors": layer.tensors.iter().map(tensor).collect::<Vec<_>>(),
    })
}

fn document<'d>(found: &'d ModelDiff, files: &'d [FileChange]) -> Document<'d> {
    let edge = |(from, to): (&str, &str)| json!([from, to]);
    Document::new()
        .keys(json!({
            "structural": found.structural,
            "contextual": found.contextual,
            "unchanged_layers": found.unchanged,
        }))
        .list("files", move || files.iter().map(file_json))
        .list("layers", || found.layers().map(|layer| layer_json(&layer)))
        .list("edges_removed", move || found.edges_removed().map(edge))
        .list("edges_added", move || found.edges_added().map(edge))
        .keys(json!({ "bytes_read": found.bytes_read }))
}
