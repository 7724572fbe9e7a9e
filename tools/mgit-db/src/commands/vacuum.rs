//! `vacuum`: the store written anew, without free space.

use std::path::PathBuf;

use mgit::upkeep::vacuum_with;
use serde_json::json;

use crate::failure::Failure;
use crate::opening;
use crate::output::Output;
use crate::progress::Progress;
use crate::text::{count, size};

/// Rewrite a store without its free space.
///
/// The new file takes the old one's name when it is complete and checked. Readers of the old file
/// keep their snapshots; other writers wait. Needs disk space for the new file beside the old one.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  mgit-db vacuum family.mgit")]
pub struct Arguments {
    /// The store
    store: PathBuf,
}

/// Writes it anew.
///
/// # Errors
///
/// A damaged store, which is then as it was; those of the disk.
pub fn run(arguments: &Arguments, output: &Output) -> Result<(), Failure> {
    let bar = Progress::unbounded(format!("vacuum {}", arguments.store.display()));
    let report = vacuum_with(&arguments.store, &opening::options(), &|bytes| bar.advance(bytes));
    let report = report.map_err(|error| opening::named(&arguments.store, error))?;
    drop(bar);
    let text = format!(
        "{}: {} were {}\n",
        count(report.models, "model"),
        size(report.new_bytes),
        size(report.old_bytes)
    );
    output.print(json!(report), &text)
}
