//! `bundle`: models in one file, to be mailed or carried.

use std::path::PathBuf;

use mgit::container::Destination;
use mgit::transfer::{BundleReport, Place, Selection, bundle_import, bundle_verify, bundle_write};
use serde_json::json;

use super::transfer::{Moved, Names, describe, document};
use crate::destination::Force;
use crate::failure::Failure;
use crate::opening;
use crate::output::Output;
use crate::progress::Progress;
use crate::text::{count, shown, size};

/// Write models as one file, check such a file, or import its models.
///
/// A bundle holds the models and all models that they descend from, as they are stored.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  mgit-db bundle create family.mgit for-ada.bundle --name 'bert/*'
  mgit-db bundle verify for-ada.bundle
  mgit-db bundle import mine.mgit for-ada.bundle")]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Write models as one file
    Create {
        /// The store
        store: PathBuf,
        /// The file to make
        file: PathBuf,
        #[command(flatten)]
        names: Names,
        #[command(flatten)]
        force: Force,
    },
    /// Check a bundle: every tensor is decoded and hashed, in a temporary store beside it
    Verify {
        /// The bundle
        file: PathBuf,
    },
    /// Import the models of a bundle that the store does not have
    Import {
        /// The store
        store: PathBuf,
        /// The bundle
        file: PathBuf,
        #[command(flatten)]
        names: Names,
    },
}

/// Writes, checks or takes in.
///
/// # Errors
///
/// Damage; something is at the new file's path; those of the store.
pub fn run(arguments: &Arguments, output: &Output) -> Result<(), Failure> {
    match &arguments.command {
        Command::Create { store, file, names, force } => {
            let destination = Destination::new(file, force.overwrite())?;
            let store = opening::open_read_only(store)?;
            let bar = Progress::unbounded(format!("bundle {}", file.display()));
            let wants = |name: &str| names.wants(name);
            let progress = |bytes| bar.advance(bytes);
            let selection = Selection { wants: &wants, graph_only: false, progress: &progress };
            let report = bundle_write(&store, &destination, selection)?;
            drop(bar);
            print(&report, file, "wrote", "", output)
        }
        Command::Verify { file } => {
            let report = bundle_verify(file, Selection::ALL)?;
            print(&report, file, "checked", ": no damage", output)
        }
        Command::Import { store, file, names } => {
            let store = opening::open_shared(store).map_err(opening::or_init)?;
            let (shown, place) = (file.display().to_string(), Place::Bundle(file.clone()));
            let work = |selection: Selection<'_>| bundle_import(&store, file, selection);
            let moved = Moved::by("import", (&shown, &place), work, names, false)?;
            output.print(document(&moved), &describe(&moved, "imported", output))
        }
    }
}

fn print(
    report: &BundleReport,
    file: &std::path::Path,
    done: &str,
    end: &str,
    output: &Output,
) -> Result<(), Failure> {
    let name = file.display().to_string();
    let text = format!(
        "{done} {}: {}, {}, {}{end}\n",
        shown(&name),
        count(report.models.len() as u64, "model"),
        count(report.tensors, "tensor"),
        size(report.bytes)
    );
    let document = json!({
        "bundle": name,
        "models": report.models,
        "tensors": report.tensors,
        "bytes": report.bytes,
    });
    output.print(document, &text)
}
