//! `gc`: frees what nothing needs, and gives free space back to the medium.

use std::path::PathBuf;

use mgit::container::sweep;
use mgit::upkeep::{GcReport, gc};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::opening;
use crate::output::Output;
use crate::text::{count, size};

/// Free what nothing needs, and give free blocks back to the disk.
///
/// Removing a model frees its bytes at once, so this finds something only where a store has
/// leaked. A base stays as long as a delta needs it, and bytes that a reader may look at wait for
/// it. The file keeps its length: `vacuum` makes it shorter. Temporary files of killed commands,
/// beside the store and in the system's temporary folder, are removed.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  mgit-db gc family.mgit")]
pub struct Arguments {
    /// The store
    store: PathBuf,
}

/// Collects.
///
/// # Errors
///
/// A damaged manifest: what it names is not known, so nothing is freed. Those of the store.
pub fn run(arguments: &Arguments, output: &Output) -> Result<(), Failure> {
    let mut report = gc(&opening::open(&arguments.store)?)?;
    report.leftovers += sweep(&std::env::temp_dir());
    output.print(document(&report), &describe(&report))
}

fn document(report: &GcReport) -> Value {
    let collected = &report.collected;
    json!({
        "contents": collected.contents,
        "hidden_tensors": collected.hidden_bases,
        "corrected_counts": collected.corrected,
        "freed_records": collected.freed_records,
        "freed_bytes": collected.freed_bytes,
        "free_bytes": report.free_bytes,
        "waiting_bytes": report.waiting_bytes,
        "oldest_reader": report.oldest_reader,
        "punched_bytes": report.punched_bytes,
        "removed_leftovers": report.leftovers,
    })
}

fn describe(report: &GcReport) -> String {
    let collected = &report.collected;
    let contents = count(collected.contents, "content");
    let mut text = match collected.freed_records {
        0 => format!("looked at {contents}: nothing to free\n"),
        freed => format!(
            "looked at {contents}: freed {}, {}\n",
            count(freed, "record"),
            size(collected.freed_bytes)
        ),
    };
    if collected.corrected > 0 {
        text += &format!("  corrected {}\n", count(collected.corrected, "count"));
    }
    if collected.hidden_bases > 0 {
        let hidden = count(collected.hidden_bases, "tensor");
        text += &format!("  {hidden} of no model, kept for the deltas of others\n");
    }
    text += &format!(
        "  {} free, {} of it no longer on the disk\n",
        size(report.free_bytes),
        size(report.punched_bytes)
    );
    if let Some(oldest) = report.oldest_reader {
        let waiting = size(report.waiting_bytes);
        text += &format!("  {waiting} more wait for a reader of commit {oldest}\n");
    }
    if report.leftovers > 0 {
        let things = count(report.leftovers, "leftover");
        text += &format!("  removed {things} of killed commands\n");
    }
    text
}
