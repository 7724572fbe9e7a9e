//! `gc`: frees what nothing needs, and gives free space back to the medium.
//! With `--repack`, also what other tensors need not stand on.

use std::path::PathBuf;

use mgit::container::sweep;
use mgit::store::{Repack, RepackReport};
use mgit::upkeep::{GcReport, gc, gc_repack};
use serde_json::{Value, json};

use super::recode::bytes_to_do;
use crate::failure::Failure;
use crate::given_back::{Before, Shorter};
use crate::opening;
use crate::output::Output;
use crate::progress::Progress;
use crate::text::{count, size};

/// Free unneeded data, and make the file shorter.
///
/// Removing a model frees its bytes at once, so gc finds something only where a store has leaked. A
/// base stays as long as a delta needs it, and bytes that a reader may read wait for it. After many
/// removals such bases add up: `--repack` encodes tensors against contents that models still have,
/// wherever that makes the store smaller; `--dry-run` reports what it would do and changes nothing.
/// What lies last in the file is moved into free space before it, the catalogue is made as short as
/// its rows, and the free end is cut off, unless a reader may still read there. Blocks that stay free
/// are returned to the file system; `vacuum` writes a file without any. Temporary files of killed
/// commands, beside the store and in the system's temporary folder, are removed.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  mgit-db gc family.mgit
  mgit-db gc family.mgit --repack --dry-run
  mgit-db gc family.mgit --repack")]
pub struct Arguments {
    /// The store
    store: PathBuf,
    /// Also choose the base of every tensor again, as `repack` does
    #[arg(long)]
    repack: bool,
    /// Only report what --repack would do
    #[arg(long, requires = "repack")]
    dry_run: bool,
}

/// Collects.
///
/// # Errors
///
/// A damaged manifest: what it names is not known, so nothing is freed. With `--repack`, a damaged
/// tensor: then nothing is repacked. Those of the store.
pub fn run(arguments: &Arguments, output: &Output) -> Result<(), Failure> {
    let before = Before::of(&arguments.store);
    let store = opening::open(&arguments.store)?;
    let mut report = if arguments.repack {
        let bytes = bytes_to_do(&store, None)?;
        let bar = Progress::new(format!("gc --repack {}", arguments.store.display()), bytes);
        let how = Repack::default().dry_run(arguments.dry_run);
        gc_repack(&store, &how, &|bytes| bar.advance(bytes))?
    } else {
        gc(&store)?
    };
    if !arguments.dry_run {
        report.leftovers += sweep(&std::env::temp_dir());
    }
    let finish = |given| before.finish(&store, given);
    let shorter = report.given_back.map(finish).transpose()?;
    output.print(document(&report, shorter), &describe(&report, shorter))
}

fn document(report: &GcReport, shorter: Option<Shorter>) -> Value {
    let collected = &report.collected;
    let repacked = |RepackReport { changed, freed, before_bytes, after_bytes, .. }: &_| {
        json!({
            "changed": changed,
            "freed_tensors": freed,
            "before_bytes": before_bytes,
            "after_bytes": after_bytes,
        })
    };
    json!({
        "dry_run": shorter.is_none(),
        "repacked": report.repacked.as_ref().map(repacked),
        "contents": collected.contents,
        "hidden_tensors": collected.hidden_bases,
        "corrected_counts": collected.corrected,
        "freed_records": collected.freed_records,
        "freed_bytes": collected.freed_bytes,
        "file": shorter.map(|shorter| shorter.document()),
        "free_bytes": report.free_bytes,
        "waiting_bytes": report.waiting_bytes,
        "oldest_reader": report.oldest_reader,
        "punched_bytes": report.punched_bytes,
        "removed_leftovers": report.leftovers,
    })
}

/// `shorter` is what became of the file; nothing in a dry run.
fn describe(report: &GcReport, shorter: Option<Shorter>) -> String {
    let dry_run = shorter.is_none();
    let collected = &report.collected;
    let contents = count(collected.contents, "content");
    let would = |done: &'static str, would: &'static str| if dry_run { would } else { done };
    let mut text = match collected.freed_records {
        0 => format!("looked at {contents}: nothing to free\n"),
        freed => format!(
            "looked at {contents}: {} {}, {}\n",
            would("freed", "would free"),
            count(freed, "record"),
            size(collected.freed_bytes)
        ),
    };
    if collected.corrected > 0 {
        let corrected = would("corrected", "would correct");
        text += &format!("  {corrected} {}\n", count(collected.corrected, "count"));
    }
    if let Some(RepackReport { changed, freed, before_bytes, after_bytes, .. }) = &report.repacked {
        text += &format!(
            "  {}: {} on something else, {} of no model freed, {} -> {}\n",
            would("repacked", "would repack"),
            count(*changed, "tensor"),
            count(*freed, "tensor"),
            size(*before_bytes),
            size(*after_bytes)
        );
    }
    if collected.hidden_bases > 0 {
        let hidden = count(collected.hidden_bases, "tensor");
        text += &format!("  {hidden} of no model, kept for the deltas of others\n");
    }
    let Some(shorter) = shorter else { return text + "  nothing was changed\n" };
    text += &shorter.describe();
    text += &format!(
        "  {} free, {} of it no longer on the disk\n",
        size(report.free_bytes),
        size(report.punched_bytes)
    );
    if report.leftovers > 0 {
        let things = count(report.leftovers, "leftover");
        text += &format!("  removed {things} of killed commands\n");
    }
    text
}
