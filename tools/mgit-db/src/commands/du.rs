//! `du`: where the bytes are.

use std::path::PathBuf;

use mgit::upkeep::{Usage, usage};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::opening;
use crate::output::Output;
use crate::text::{Side, Table, size};

/// Show what takes the space: by model, by family, by encoding.
///
/// STORED is the size of a model's tensors, OWN the part that no other model shares, FREED the
/// space that removing only this model would free.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  mgit-db du family.mgit")]
pub struct Arguments {
    /// The store
    store: PathBuf,
}

/// Measures the store.
///
/// # Errors
///
/// Those of the store.
pub fn run(arguments: &Arguments, output: &Output) -> Result<(), Failure> {
    let store = opening::open_read_only(&arguments.store)?;
    let usage = usage(&store.snapshot()?)?;
    output.print(document(&usage), &describe(&usage))
}

fn document(usage: &Usage) -> Value {
    let models = usage.models.iter().map(|model| {
        json!({
            "model": model.node.full_name(),
            "logical_bytes": model.node.logical_bytes(),
            "stored_bytes": model.stored_bytes,
            "own_bytes": model.own_bytes,
            "freed_bytes": model.freed_bytes,
        })
    });
    let families = usage
        .families
        .iter()
        .map(|(node, bytes)| json!({ "family": node.full_name(), "stored_bytes": bytes }));
    let encodings = usage.encodings.iter().map(|(name, encoding)| {
        json!({
            "encoding": name,
            "tensors": encoding.tensors,
            "content_bytes": encoding.content_bytes,
            "stored_bytes": encoding.stored_bytes,
        })
    });
    json!({
        "models": models.collect::<Vec<_>>(),
        "families": families.collect::<Vec<_>>(),
        "encodings": encodings.collect::<Vec<_>>(),
        "hidden_bytes": usage.hidden_bytes,
    })
}

fn describe(usage: &Usage) -> String {
    let right = |name| (name, Side::Right);
    let mut models = Table::new(&[
        ("MODEL", Side::Left),
        right("SIZE"),
        right("STORED"),
        right("OWN"),
        right("FREED"),
    ]);
    for model in &usage.models {
        models.row([
            model.node.full_name(),
            size(model.node.logical_bytes()),
            size(model.stored_bytes),
            size(model.own_bytes),
            size(model.freed_bytes),
        ]);
    }
    let mut families = Table::new(&[("FAMILY", Side::Left), right("STORED")]);
    for (node, bytes) in &usage.families {
        families.row([node.full_name(), size(*bytes)]);
    }
    let mut encodings = Table::new(&[
        ("ENCODING", Side::Left),
        right("TENSORS"),
        right("CONTENT"),
        right("STORED"),
    ]);
    for (name, encoding) in &usage.encodings {
        encodings.row([
            name.clone(),
            encoding.tensors.to_string(),
            size(encoding.content_bytes),
            size(encoding.stored_bytes),
        ]);
    }
    let mut text = format!("{}\n{}\n{}", models.lines(""), families.lines(""), encodings.lines(""));
    if usage.hidden_bytes > 0 {
        text += &format!("\nhidden, for deltas that stand on them: {}\n", size(usage.hidden_bytes));
    }
    text
}
