//! `ls`: the models of a store.

use std::path::PathBuf;
use std::process::ExitCode;

use mgit::Snapshot;
use mgit::full_message;
use mgit::upkeep::{UpkeepError, survey_with};
use serde_json::json;

use crate::failure::Failure;
use crate::family::Family;
use crate::opening;
use crate::output::Output;
use crate::text::{Side, Table, count, shown, size, time};

/// List the models, by name and version.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  mgit-db ls family.mgit")]
pub struct Arguments {
    /// The store
    store: PathBuf,
}

/// Lists the models.
///
/// # Errors
///
/// Those of the store. Of one whose catalogue is damaged, what the records name is listed.
pub fn run(arguments: &Arguments, output: &Output) -> Result<ExitCode, Failure> {
    let opened = opening::options().open_read_only(&arguments.store);
    match opened.and_then(|store| store.snapshot()) {
        Ok(snapshot) => list(&snapshot, output).map(|()| ExitCode::SUCCESS),
        Err(error) if error.is_damage() => list_found(arguments, error, output),
        Err(error) => Err(opening::named(&arguments.store, error)),
    }
}

/// The models that a damaged store's records name.
fn list_found(
    arguments: &Arguments,
    error: mgit::store::StoreError,
    output: &Output,
) -> Result<ExitCode, Failure> {
    let survey = match survey_with(&arguments.store, &opening::options(), &|_| ()) {
        // Then there is more to be said of what keeps the store from being opened.
        Err(UpkeepError::NothingFound { .. }) => {
            return Err(opening::named(&arguments.store, error));
        }
        survey => survey?,
    };
    let whole = |name: &String| survey.report.saved.contains(name);
    let mut table = Table::new(&[("MODEL", Side::Left), ("STATE", Side::Left)]);
    let mut documents = Vec::new();
    for name in survey.models() {
        let is_whole = whole(&name) || survey.report.renamed.contains(&name);
        table.row([shown(&name), if is_whole { "whole" } else { "hurt" }.to_owned()]);
        documents.push(json!({ "model": name, "whole": is_whole }));
    }
    let text = format!(
        "the catalogue cannot be read: {}\nthe records name these models:\n{}\
         next: salvage makes a store of the whole ones\n",
        shown(&full_message(&error)),
        table.lines("  ")
    );
    let document = json!({ "catalogue_error": full_message(&error), "models": documents });
    output.print(document, &text)?;
    Ok(ExitCode::FAILURE)
}

fn list(snapshot: &Snapshot, output: &Output) -> Result<(), Failure> {
    let family = Family::read(snapshot)?;
    let mut documents = Vec::new();
    let mut table = Table::new(&[
        ("MODEL", Side::Left),
        ("KIND", Side::Left),
        ("TENSORS", Side::Right),
        ("SIZE", Side::Right),
        ("CREATED (UTC)", Side::Left),
        ("PARENTS", Side::Left),
    ]);
    for node in family.nodes() {
        let origin = family.origin(node.id())?;
        let parents: Vec<String> =
            origin.parents.iter().map(|edge| family.full_name(edge.parent)).collect();
        let kind = if node.kind().is_empty() { "-" } else { node.kind() };
        table.row([
            node.full_name(),
            kind.to_owned(),
            node.tensor_count().to_string(),
            size(node.logical_bytes()),
            time(node.created_ms()),
            if parents.is_empty() { "-".to_owned() } else { parents.join(", ") },
        ]);
        documents.push(family.json(node, &origin));
    }
    let text = match family.nodes() {
        [] => "no models yet: import brings some in\n".to_owned(),
        nodes => {
            let bytes = nodes.iter().map(|node| node.logical_bytes()).sum();
            let models = count(nodes.len() as u64, "model");
            format!("{}{models}, {} as plain files\n", table.lines(""), size(bytes))
        }
    };
    output.print(json!({ "models": documents }), &text)
}
