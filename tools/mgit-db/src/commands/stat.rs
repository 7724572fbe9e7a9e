//! `stat`: how much is in a store, and what it takes.

use std::path::PathBuf;

use mgit::upkeep::{StoreStat, stat};
use serde_json::{Value, json};

use crate::document::joined;
use crate::failure::Failure;
use crate::opening;
use crate::output::{Output, json_float};
use crate::text::{Side, Table, size};

/// Show what a store contains, and the space that it takes.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  mgit-db stat family.mgit")]
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
    let stat = stat(&store, &store.snapshot()?)?;
    output.print(document(&stat), &describe(&stat))
}

fn document(stat: &StoreStat) -> Value {
    joined(json!(stat), json!({ "ratio": json_float(stat.ratio()) }))
}

fn describe(stat: &StoreStat) -> String {
    let mut table = Table::new(&[("", Side::Left), ("", Side::Right), ("", Side::Left)]);
    let mut line = |what: &str, value: String, more: &str| {
        table.row([what.to_owned(), value, more.to_owned()]);
    };
    line("models", stat.models.to_string(), "");
    line("tensors", stat.tensors.to_string(), "of all models");
    line("distinct tensors", stat.distinct_tensors.to_string(), "each kept once");
    if stat.hidden_tensors > 0 {
        line(
            "hidden tensors",
            stat.hidden_tensors.to_string(),
            "of no model, but deltas need them",
        );
    }
    if stat.missing_tensors > 0 {
        let more = format!("not pulled yet, {}", size(stat.missing_bytes));
        line("missing tensors", stat.missing_tensors.to_string(), &more);
    }
    line("plain files", size(stat.logical_bytes), "as they were imported");
    line("stored tensors", size(stat.stored_tensor_bytes), "");
    line("catalogue", size(stat.catalog_bytes), "");
    line("free", size(stat.free_bytes), "reused by later writes");
    line("file", size(stat.file_bytes), "");
    line("on the disk", size(stat.allocated_bytes), "");
    line("ratio", format!("{:.2}", stat.ratio()), "plain files / file");
    line("commits", stat.commits.to_string(), "");
    // The one asked reads the last commit, and holds back nothing.
    if let Some(oldest) = stat.oldest_reader.filter(|oldest| *oldest < stat.commits) {
        line("oldest reader", format!("commit {oldest}"), "a process that still reads it");
        line("held back", size(stat.held_back_bytes), "at most, of the free space, until it ends");
    }
    format!("{}\n\n{}", table.lines(""), describe_parts(stat))
}

/// Every byte of the file, so that the numbers add up to its length.
fn describe_parts(stat: &StoreStat) -> String {
    let mut table =
        Table::new(&[("BYTES OF THE FILE", Side::Left), ("", Side::Right), ("", Side::Left)]);
    let parts = &stat.parts;
    let records = |count: u64| format!("of {count} records");
    for (part, bytes) in parts.list() {
        let more = match part {
            "catalogue-pages" => "trees, and room in pages of rows".to_owned(),
            "catalogue-rest" => "pages not in use, and the database's own".to_owned(),
            "tensors-payload" => records(parts.tensors.records),
            "tensors-frame" => "headers, chunk indexes, alignment".to_owned(),
            "hidden-payload" => records(parts.hidden.records),
            "manifests-payload" => records(parts.manifests.records),
            "changes-payload" => records(parts.changes.records),
            "padding" => "between records".to_owned(),
            "tail" => "free, at the end".to_owned(),
            _ => String::new(),
        };
        table.row([part.to_owned(), bytes.to_string(), more]);
    }
    table.row(["sum".to_owned(), parts.sum().to_string(), "the file's length".to_owned()]);
    table.lines("")
}
