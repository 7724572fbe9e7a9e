//! `verify` of a remote or a bundle.

use std::path::Path;
use std::process::ExitCode;

use mgit::transfer::{Place, RemoteReport, verify_place};
use mgit::upkeep::VerifyDepth;
use serde_json::{Value, json};

use crate::document::joined;
use crate::failure::Failure;
use crate::output::{Ink, Output};
use crate::progress::Progress;
use crate::text::{count, shown, size};

/// The remote or bundle at a path or address, if it is one and not a store.
pub fn remote_at(text: &str) -> Option<Place> {
    match Place::parse(text) {
        Ok(place @ (Place::Url(_) | Place::Bundle(_))) => Some(place),
        Ok(place @ Place::Folder(_)) if Path::new(text).is_dir() => Some(place),
        _ => None,
    }
}

/// Checks the remote or the bundle.
///
/// # Errors
///
/// It cannot be reached, or is none.
pub fn run(
    text: &str,
    place: &Place,
    depth: VerifyDepth,
    output: &Output,
) -> Result<ExitCode, Failure> {
    let bar = Progress::unbounded(format!("verify {text}"));
    let report = verify_place(place, depth, &|bytes| bar.advance(bytes))?;
    drop(bar);
    output.print(document(text, &report, depth), &describe(&report, output))?;
    Ok(if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn document(text: &str, report: &RemoteReport, depth: VerifyDepth) -> Value {
    let quick = depth == VerifyDepth::Quick;
    let head = json!({ "remote": text, "clean": report.is_clean(), "quick": quick });
    joined(head, json!(report))
}

fn describe(report: &RemoteReport, output: &Output) -> String {
    let looked = format!(
        "checked {}, {}, {}, {}",
        count(report.models, "model"),
        count(report.packs, "pack"),
        count(report.records, "record"),
        size(report.bytes)
    );
    if report.is_clean() {
        return format!("{looked}: {}\n", output.paint(Ink::Good, "no damage"));
    }
    let findings = count(report.findings.len() as u64, "finding");
    let mut text = format!("{looked}: {}\n", output.paint(Ink::Bad, &findings));
    for finding in &report.findings {
        match finding.subject.as_str() {
            "" => text += &format!("  {}\n", shown(&finding.message)),
            subject => text += &format!("  {}: {}\n", shown(subject), shown(&finding.message)),
        }
    }
    text += "next: push again from a store that has the models, to this place where packs are lost, \
             else to another\n";
    text
}
