//! `verify`: whether a store, a remote or a bundle is intact, and which models are hurt where a
//! store is not.

use std::path::PathBuf;
use std::process::ExitCode;

use mgit::upkeep::{VerifyDepth, VerifyReport, verify_path_with};
use serde_json::{Value, json};

use super::verify_remote::{self, remote_at};
use crate::document::joined;
use crate::failure::Failure;
use crate::opening;
use crate::output::{Ink, Output};
use crate::progress::Progress;
use crate::text::{count, shown, size};

/// Check a store, a remote or a bundle: every checksum, every content id, every reference.
///
/// Exit code 1 when anything is damaged; whole models can still be exported. Without a readable
/// catalogue the file is scanned for what a salvage would save. In a remote and a bundle, tensors
/// that are stored as differences are not decoded: a clone, or bundle verify, does that.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  mgit-db verify family.mgit
  mgit-db verify --quick family.mgit
  mgit-db verify s3://bucket/family")]
pub struct Arguments {
    /// The store; or a folder, an address or a bundle
    store: PathBuf,
    /// Check only checksums; of a remote or a bundle, only heads, indexes and manifests
    #[arg(long)]
    quick: bool,
}

/// Checks the store.
///
/// # Errors
///
/// The store cannot be opened, the remote cannot be reached.
pub fn run(arguments: &Arguments, output: &Output) -> Result<ExitCode, Failure> {
    let depth = if arguments.quick { VerifyDepth::Quick } else { VerifyDepth::Full };
    let text = arguments.store.to_string_lossy();
    if let Some(place) = remote_at(&text) {
        return verify_remote::run(&text, &place, depth, output);
    }
    let bar = Progress::unbounded(format!("verify {}", arguments.store.display()));
    let report = verify_path_with(&arguments.store, depth, &opening::options(), &|bytes| {
        bar.advance(bytes);
    });
    let report = report.map_err(|error| opening::named(&arguments.store, error))?;
    drop(bar);
    output.print(document(&report, depth), &describe(&report, output))?;
    Ok(if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn document(report: &VerifyReport, depth: VerifyDepth) -> Value {
    let head = json!({ "clean": report.is_clean(), "quick": depth == VerifyDepth::Quick });
    joined(head, json!(report))
}

/// What was looked at and found.
pub fn describe(report: &VerifyReport, output: &Output) -> String {
    let looked = format!(
        "checked {}, {}, {}",
        count(report.models, "model"),
        count(report.records, "record"),
        size(report.bytes)
    );
    let partial = match report.partial_models.len() as u64 {
        0 => String::new(),
        models => format!(
            "{} of {} were not pulled yet\n",
            count(report.missing_tensors, "tensor"),
            count(models, "model")
        ),
    };
    if report.is_clean() {
        return format!("{looked}: {}\n{partial}", output.paint(Ink::Good, "no damage"));
    }
    let findings = count(report.findings.len() as u64, "finding");
    let mut text = format!("{looked}: {}\n", output.paint(Ink::Bad, &findings));
    for finding in &report.findings {
        text += &format!("  {}", shown(&finding.subject));
        if let Some(offset) = finding.offset {
            text += &format!(" at byte {offset}");
        }
        text += &format!(": {}\n", shown(&finding.message));
        if !finding.models.is_empty() {
            text += &format!("    hurts {}\n", finding.models.join(", "));
        }
    }
    let names = |names: &[String]| match names {
        [] => "none".to_owned(),
        names => names.join(", "),
    };
    text += &format!("hurt models: {}\n", names(&report.hurt_models));
    text += &format!("whole models: {}\n", names(&report.whole_models));
    text += &partial;
    text += match report.catalogue_error {
        None => "next: export the whole models, or restore the store from a copy\n",
        Some(_) => "next: salvage makes a store of the whole models, or restore it from a copy\n",
    };
    text
}
