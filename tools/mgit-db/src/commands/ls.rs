//! `ls`: the models of a store.

use std::path::PathBuf;

use mgit::Store;
use serde_json::json;

use crate::failure::Failure;
use crate::family::Family;
use crate::output::Output;
use crate::text::{Side, Table, count, size, time};

/// List the models, by name and version.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  mgit-db ls family.mgit")]
pub struct Arguments {
    /// The store
    store: PathBuf,
}

/// Lists the models.
///
/// # Errors
///
/// Those of the store.
pub fn run(arguments: &Arguments, output: &Output) -> Result<(), Failure> {
    let store = Store::open_read_only(&arguments.store)?;
    let snapshot = store.snapshot()?;
    let family = Family::read(&snapshot)?;
    let mut documents = Vec::new();
    let mut table = Table::new(&[
        ("MODEL", Side::Left),
        ("KIND", Side::Left),
        ("TENSORS", Side::Right),
        ("SIZE", Side::Right),
        ("CREATED (UTC)", Side::Left),
        ("PARENTS", Side::Left),
    ]);
    for node in family.nodes() {
        let origin = family.origin(node.id)?;
        let parents: Vec<String> =
            origin.parents.iter().map(|edge| family.full_name(edge.parent)).collect();
        let kind = if node.row.kind.is_empty() { "-" } else { &node.row.kind };
        table.row([
            node.full_name(),
            kind.to_owned(),
            node.row.tensor_count.to_string(),
            size(node.row.logical_bytes),
            time(node.row.created_ms),
            if parents.is_empty() { "-".to_owned() } else { parents.join(", ") },
        ]);
        documents.push(family.json(node, &origin));
    }
    let text = match family.nodes() {
        [] => "no models yet: import brings some in\n".to_owned(),
        nodes => {
            let bytes = nodes.iter().map(|node| node.row.logical_bytes).sum();
            let models = count(nodes.len() as u64, "model");
            format!("{}{models}, {} as plain files\n", table.lines(""), size(bytes))
        }
    };
    output.print(json!({ "models": documents }), &text)
}
