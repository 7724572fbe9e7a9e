//! `ls`: the models of a store.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::path::PathBuf;
use std::process::ExitCode;

use mgit::Snapshot;
use mgit::full_message;
use mgit::lineage::{Node, NodeId, glob_matches};
use mgit::upkeep::{UpkeepError, survey_with, usage};
use serde_json::json;

use crate::failure::Failure;
use crate::family::{Family, TestState};
use crate::opening;
use crate::output::Output;
use crate::select::select;
use crate::text::{Side, Table, count, shown, size, time};

/// List the models, by name and version.
///
/// On a terminal long names are cut in the middle, so that a line fits; elsewhere all is whole.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  mgit-db ls family.mgit
  mgit-db ls family.mgit 'task/*' --sort date
  mgit-db ls family.mgit --kind bert --sort own -l")]
pub struct Arguments {
    /// The store
    store: PathBuf,
    /// Models: name, name@version, tag, node id, or a name with * and ? [default: all]
    #[arg(value_name = "MODEL")]
    models: Vec<String>,
    /// By what to sort: sizes the largest first, dates the newest first
    #[arg(long, value_enum, default_value_t)]
    sort: Sort,
    /// Only models of this kind: a glob of * and ?
    #[arg(long, value_name = "GLOB")]
    kind: Option<String>,
    /// Show tags, tests and the bytes that no other model shares (OWN) too
    #[arg(short, long)]
    long: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Sort {
    #[default]
    Name,
    /// Of all its tensors.
    Size,
    Date,
    /// Of what no other model shares.
    Own,
}

/// Lists the models.
///
/// # Errors
///
/// Those of the store. Of one whose catalogue is damaged, what the records name is listed.
pub fn run(arguments: &Arguments, output: &Output) -> Result<ExitCode, Failure> {
    let opened = opening::options().open_read_only(&arguments.store);
    match opened.and_then(|store| store.snapshot()) {
        Ok(snapshot) => list(arguments, &snapshot, output).map(|()| ExitCode::SUCCESS),
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

/// The bytes that no other model shares, where they are shown or sorted by: what is not asked for is
/// not measured, since it takes a look at every tensor.
fn own_bytes(
    arguments: &Arguments,
    snapshot: &Snapshot,
) -> Result<Option<HashMap<NodeId, u64>>, Failure> {
    if !arguments.long && arguments.sort != Sort::Own {
        return Ok(None);
    }
    let models = usage(snapshot)?.models;
    Ok(Some(models.into_iter().map(|model| (model.node.id(), model.own_bytes)).collect()))
}

/// The models that are asked for, sorted.
fn chosen(
    arguments: &Arguments,
    snapshot: &Snapshot,
    own: Option<&HashMap<NodeId, u64>>,
) -> Result<Vec<Node>, Failure> {
    let mut nodes = select(snapshot, &arguments.models)?;
    if let Some(glob) = &arguments.kind {
        nodes.retain(|node| glob_matches(glob, node.kind()));
    }
    match arguments.sort {
        Sort::Name => nodes.sort_by(|a, b| (a.name(), a.version()).cmp(&(b.name(), b.version()))),
        Sort::Size => nodes.sort_by_key(|node| Reverse(node.logical_bytes())),
        Sort::Date => nodes.sort_by_key(|node| Reverse(node.created_ms())),
        Sort::Own => nodes.sort_by_key(|node| Reverse(own_of(own, node))),
    }
    Ok(nodes)
}

fn own_of(own: Option<&HashMap<NodeId, u64>>, node: &Node) -> u64 {
    own.and_then(|own| own.get(&node.id())).copied().unwrap_or(0)
}

fn list(arguments: &Arguments, snapshot: &Snapshot, output: &Output) -> Result<(), Failure> {
    let own = own_bytes(arguments, snapshot)?;
    let nodes = chosen(arguments, snapshot, own.as_ref())?;
    let family = Family::read(snapshot)?;
    let mut columns = vec![("MODEL", Side::Left), ("KIND", Side::Left), ("TENSORS", Side::Right)];
    columns.extend([("SIZE", Side::Right)]);
    columns.extend(arguments.long.then_some(("OWN", Side::Right)));
    columns.extend([("CREATED (UTC)", Side::Left), ("PARENTS", Side::Left)]);
    if arguments.long {
        columns.extend([("TAGS", Side::Left), ("TESTS", Side::Left)]);
    }
    let mut table = Table::new(&columns);
    let mut documents = Vec::new();
    for node in &nodes {
        let origin = family.origin(node.id())?;
        let parents: Vec<String> =
            origin.parents.iter().map(|edge| family.full_name(edge.parent)).collect();
        let own = own.as_ref().map(|own| own_of(Some(own), node));
        let mut cells = vec![node.full_name(), or_dash(node.kind().to_owned())];
        cells.extend([node.tensor_count().to_string(), size(node.logical_bytes())]);
        cells.extend(own.filter(|_| arguments.long).map(size));
        cells.extend([time(node.created_ms()), or_dash(parents.join(", "))]);
        if arguments.long {
            let tests = family.tests(node.id()).and_then(TestState::describe);
            cells.push(or_dash(family.tags(node.id()).join(", ")));
            cells.push(or_dash(tests.unwrap_or_default()));
        }
        table.cells(cells);
        let mut document = family.json(node, &origin);
        if let Some(own) = own {
            document["own_bytes"] = own.into();
        }
        documents.push(document);
    }
    let text = match (nodes.as_slice(), family.nodes()) {
        ([], []) => "no models yet: import brings some in\n".to_owned(),
        ([], _) => "no model is of this kind\n".to_owned(),
        (nodes, _) => {
            let bytes = nodes.iter().map(Node::logical_bytes).sum();
            let models = count(nodes.len() as u64, "model");
            let lines = table.lines_within("", output.width());
            format!("{lines}{models}, {} as plain files\n", size(bytes))
        }
    };
    output.print(json!({ "models": documents }), &text)
}

fn or_dash(text: String) -> String {
    if text.is_empty() { "-".to_owned() } else { text }
}
