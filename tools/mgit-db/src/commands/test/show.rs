//! `test results` and `test compare`: what is known, without running anything.

use std::path::PathBuf;

use mgit::model_tests::{CommandTrust, RunOptions, Runner};
use serde_json::{Value, json};

use super::run::{WhichArguments, json_of, lines};
use crate::failure::Failure;
use crate::model_argument::ModelArgument;
use crate::opening;
use crate::output::Output;
use crate::select::select;
use crate::side_by_side::{Compared, side_by_side, table};

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
    let store = opening::open_read_only(&arguments.store)?;
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
    old: ModelArgument,
    /// The new one
    new: ModelArgument,
    #[command(flatten)]
    which: WhichArguments,
}

/// Shows what tests say of two models side by side.
///
/// # Errors
///
/// A test or model is not there.
pub fn compare(arguments: &CompareArguments, output: &Output) -> Result<(), Failure> {
    let store = opening::open_read_only(&arguments.store)?;
    let snapshot = store.snapshot()?;
    let old = snapshot.graph().find(&arguments.old)?;
    let new = snapshot.graph().find(&arguments.new)?;
    let tests = arguments.which.tests(&snapshot)?;
    let nodes = [old.clone(), new.clone()];
    let report = Runner::new(&snapshot, known_only()).run(None, &tests, &nodes)?;
    let compared = side_by_side(&tests, &report.results, &old, &new);
    let documents: Vec<Value> = compared.iter().map(Compared::document).collect();
    let text = match compared.is_empty() {
        true => "no test is for these models\n".to_owned(),
        false => table(&compared),
    };
    let (old, new) = (old.full_name(), new.full_name());
    output.print(json!({ "old": old, "new": new, "tests": documents }), &text)
}
