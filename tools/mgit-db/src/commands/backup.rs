//! `backup`: a checked copy of the last commit, while writers go on.

use std::path::PathBuf;

use mgit::upkeep::{backup, backup_replacing};
use serde_json::json;

use crate::failure::{Failure, taken};
use crate::opening;
use crate::output::Output;
use crate::progress::Progress;
use crate::text::{count, size};

/// Copy a store as of its last commit; other programs can write to it meanwhile.
///
/// The copy is checked and appears under its name when it is complete. Never copy the file of a
/// store by other means while somebody writes to it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  mgit-db backup family.mgit /mnt/backup/family.mgit")]
pub struct Arguments {
    /// The store
    store: PathBuf,
    /// The copy to make
    to: PathBuf,
    /// Replace an existing file or store, unless somebody writes to it
    #[arg(long)]
    force: bool,
}

/// Copies.
///
/// # Errors
///
/// A damaged store; those of the disk. Nothing is then at the copy's path.
pub fn run(arguments: &Arguments, output: &Output) -> Result<(), Failure> {
    let store = opening::open_read_only(&arguments.store)?;
    let bar = Progress::unbounded(format!("backup {}", arguments.store.display()));
    let copy = if arguments.force { backup_replacing } else { backup };
    let report = copy(&store, &store.snapshot()?, &arguments.to, &|bytes| bar.advance(bytes));
    let report = report.map_err(|error| {
        let (own, copy) = (&arguments.store, &arguments.to);
        let failure = opening::named_either(error.into(), own, copy, &["damaged", "truncated"]);
        taken(failure, arguments.force)
    })?;
    drop(bar);
    let text = format!(
        "copied commit {}, {}, {}: no damage\n",
        report.commit,
        count(report.models, "model"),
        size(report.new_bytes)
    );
    let document = json!({
        "store": arguments.to.display().to_string(),
        "models": report.models,
        "records": report.records,
        "commit": report.commit,
        "file_bytes": report.new_bytes,
    });
    output.print(document, &text)
}
