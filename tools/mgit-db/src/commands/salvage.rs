//! `salvage`: a new store of what is whole in a damaged one.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use mgit::transfer::Place;
use mgit::upkeep::{SalvageReport, salvage_with};
use serde_json::{Value, json};

use crate::document::joined;
use crate::failure::{Failure, taken};
use crate::opening;
use crate::output::{Ink, Output};
use crate::progress::Progress;
use crate::text::{count, quoted, shown};

/// How many reasons are shown of a model; `--json` has more.
const REASONS_SHOWN: usize = 5;

/// Make a new store from the whole models of a damaged one.
///
/// Works without the superblock and without the catalogue: the records are found by their own
/// headers. The damaged store is only read. Exit code 1 when something was lost or is in doubt.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  mgit-db salvage broken.mgit saved.mgit")]
pub struct Arguments {
    /// The damaged store
    broken: PathBuf,
    /// The store to make
    new: PathBuf,
    /// Replace an existing file or store, unless somebody writes to it
    #[arg(long)]
    force: bool,
}

/// Salvages.
///
/// # Errors
///
/// Nothing is left to save; those of the disk.
pub fn run(arguments: &Arguments, output: &Output) -> Result<ExitCode, Failure> {
    // Its records are those of a store, but it has none of a store's other parts.
    if let Ok(Place::Bundle(path)) = Place::parse(&arguments.broken.to_string_lossy()) {
        let message = format!(
            "{} is a bundle, and no store: `mgit-db bundle verify` says what is left of it",
            path.display()
        );
        return Err(Failure::failed("not-a-store", message));
    }
    let bar = Progress::unbounded(format!("salvage {}", arguments.broken.display()));
    let (Arguments { broken, new, force }, options) = (arguments, opening::options());
    let report = salvage_with(broken, new, *force, &options, &|bytes| bar.advance(bytes));
    let report = report.map_err(|error| {
        let of_broken: &[&str] = match force {
            true => &["damaged", "truncated", "not-a-store", "nothing-found"],
            // There is no other store yet that somebody might hold.
            false => &["damaged", "truncated", "not-a-store", "nothing-found", "locked"],
        };
        taken(opening::named_either(error.into(), broken, new, of_broken), *force)
    })?;
    drop(bar);
    let mut text = describe(&report, output);
    for place in &report.promisors {
        let (new, place) = (quoted(new), quoted(Path::new(place)));
        text +=
            &format!("`mgit-db pull {new} {place}` brings the models whose tensors are there\n");
    }
    output.print(document(&report), &text)?;
    Ok(if report.is_complete() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn document(report: &SalvageReport) -> Value {
    joined(json!({ "complete": report.is_complete() }), json!(report))
}

fn describe(report: &SalvageReport, output: &Output) -> String {
    let saved = (report.saved.len() + report.renamed.len()) as u64;
    let mut text = format!(
        "saved {} of {}; names and lineage from the {}\n",
        saved,
        count(saved + report.lost.len() as u64, "model"),
        report.source.name().replace('-', " ")
    );
    if let Some(error) = &report.catalogue_error {
        text += &format!("  catalogue: {}\n", shown(error));
    }
    for extent in &report.unreadable {
        text += &format!("  {} bytes at {} cannot be read\n", extent.len, extent.offset);
    }
    for (offset, reason) in &report.damaged_records {
        text += &format!("  damaged record at byte {offset}: {}\n", shown(reason));
    }
    for lost in &report.lost {
        let name = output.paint(Ink::Bad, &shown(&lost.model));
        text += &format!("lost {name}");
        if lost.lost_tensors > 0 {
            let all = lost.lost_tensors + lost.whole_tensors;
            text += &format!(": {} of {}", lost.lost_tensors, count(all, "tensor"));
        }
        if lost.missing_tensors > 0 {
            text += &format!(", {} of them not pulled yet", lost.missing_tensors);
        }
        text.push('\n');
        for reason in lost.reasons.iter().take(REASONS_SHOWN) {
            text += &format!("  {}\n", shown(reason));
        }
        if lost.reasons.len() > REASONS_SHOWN {
            text += &format!("  and {} more\n", lost.reasons.len() - REASONS_SHOWN);
        }
    }
    for model in &report.renamed {
        text += &format!("its name is lost: {}\n", shown(model));
    }
    for edge in &report.lost_edges {
        text += &format!("lost edge: {}\n", shown(edge));
    }
    for (from, to) in &report.lost_commits {
        text += &format!("the change records of commits {from} to {to} are lost\n");
    }
    if let Some(commit) = report.uncertain_commit {
        text += &format!(
            "commit {commit} is the last that was found: nothing is left that says whether it \
             was completed\n"
        );
    }
    for note in &report.notes {
        text += &format!("{}\n", shown(note));
    }
    text
}
