//! `test results` and `test compare`: what is known, without running anything.

use std::path::PathBuf;

use mgit::Store;
use mgit::checks::{CommandTrust, RunOptions, Runner, Status, TestResult, compare as compared};
use mgit::lineage::ModelRef;
use serde_json::{Value, json};

use super::run::{WhichArguments, json_of, lines, select};
use crate::failure::Failure;
use crate::output::{Output, json_float};
use crate::text::{Side, Table};

/// Show what is known, without running anything.
#[derive(Debug, clap::Args)]
pub struct ResultsArguments {
    /// The store
    store: PathBuf,
    /// Models: name, name@version, tag, node id, or a name with * and ? [default: all]
    model: Vec<String>,
    #[command(flatten)]
    which: WhichArguments,
    /// Show only what did not pass
    #[arg(long)]
    failed: bool,
}

fn known_only() -> RunOptions<'static> {
    RunOptions { known_only: true, trust: CommandTrust::of_user(), ..RunOptions::default() }
}

/// Shows what is known.
///
/// # Errors
///
/// A test or model is not there.
pub fn results(arguments: &ResultsArguments, output: &Output) -> Result<(), Failure> {
    let store = Store::open_read_only(&arguments.store)?;
    let snapshot = store.snapshot()?;
    let tests = arguments.which.tests(&snapshot)?;
    let nodes = select(&snapshot, &arguments.model)?;
    let report = Runner::new(&snapshot, known_only()).run(None, &tests, &nodes)?;
    let document: Vec<Value> = report.results.iter().map(json_of).collect();
    let mut text = lines(&report.results, arguments.failed, output);
    if report.results.is_empty() {
        text = "no test is for these models\n".to_owned();
    }
    output.print(json!({ "results": document }), &text)
}

/// Show what tests say of two models side by side, without running anything.
///
/// A test is compared when it is for either of the models.
#[derive(Debug, clap::Args)]
pub struct CompareArguments {
    /// The store
    store: PathBuf,
    /// The old model: name, name@version, tag or node id
    old: ModelRef,
    /// The new one
    new: ModelRef,
    #[command(flatten)]
    which: WhichArguments,
}

/// Shows what tests say of two models side by side.
///
/// # Errors
///
/// A test or model is not there.
pub fn compare(arguments: &CompareArguments, output: &Output) -> Result<(), Failure> {
    let store = Store::open_read_only(&arguments.store)?;
    let snapshot = store.snapshot()?;
    let old = snapshot.graph().find(&arguments.old)?;
    let new = snapshot.graph().find(&arguments.new)?;
    let tests = arguments.which.tests(&snapshot)?;
    let nodes = [old.clone(), new.clone()];
    let report = Runner::new(&snapshot, known_only()).run(None, &tests, &nodes)?;
    let columns = [("TEST", Side::Left), ("METRIC", Side::Left), ("OLD", Side::Right)];
    let more = [("NEW", Side::Right), ("", Side::Left)];
    let mut table = Table::new(&[&columns[..], &more[..]].concat());
    let mut documents = Vec::new();
    for test in &tests {
        let of = |id| {
            let of = |result: &&TestResult| result.test == test.name && result.node.id == id;
            report.results.iter().find(of)
        };
        let (a, b) = (of(old.id), of(new.id));
        if a.is_none() && b.is_none() {
            continue;
        }
        let status = |result: Option<&TestResult>| {
            result.map_or("not for it", |result| result.status.name()).to_owned()
        };
        table.row([test.name.clone(), String::new(), status(a), status(b), verdict(a, b)]);
        let mut metrics = Vec::new();
        for change in a.zip(b).map(|(a, b)| compared(a, b)).unwrap_or_default() {
            let number = |value: Option<f64>| value.map_or("-".to_owned(), |v| v.to_string());
            let word = match change.is_better {
                Some(true) => "better",
                Some(false) => "worse",
                None => "",
            };
            let (name, word) = (change.metric.clone(), word.to_owned());
            table.row([String::new(), name, number(change.old), number(change.new), word]);
            metrics.push(json!({
                "metric": change.metric,
                "old": change.old.map(json_float),
                "new": change.new.map(json_float),
                "direction": change.better.map(mgit::checks::Better::name),
                "better": change.is_better,
            }));
        }
        documents.push(json!({
            "test": test.name, "old": status(a), "new": status(b), "metrics": metrics,
        }));
    }
    let text = match documents.is_empty() {
        true => "no test is for these models\n".to_owned(),
        false => table.lines(""),
    };
    let (old, new) = (old.full_name(), new.full_name());
    output.print(json!({ "old": old, "new": new, "tests": documents }), &text)
}

fn verdict(old: Option<&TestResult>, new: Option<&TestResult>) -> String {
    match (old.map(|result| result.status), new.map(|result| result.status)) {
        (Some(Status::Passed), Some(Status::Failed)) => "fails now",
        (Some(Status::Failed), Some(Status::Passed)) => "passes now",
        _ => "",
    }
    .to_owned()
}
