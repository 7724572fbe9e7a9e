//! `tag`: names that stay on one model.

use std::path::PathBuf;

use mgit::lineage::ModelName;
use serde_json::json;

use crate::failure::Failure;
use crate::family::Family;
use crate::model_argument::ModelArgument;
use crate::opening;
use crate::output::Output;
use crate::text::{Side, Table};

/// Set, list or remove tags: fixed names for one version of one model.
///
/// Without TAG it lists them. A tag can be used wherever a command takes a model.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  mgit-db tag family.mgit
  mgit-db tag family.mgit best tuned@2
  mgit-db tag family.mgit best tuned@3 --force
  mgit-db tag family.mgit --delete best")]
pub struct Arguments {
    /// The store
    store: PathBuf,
    /// The tag; the rules are those of a model's name
    #[arg(requires = "model_or_delete")]
    tag: Option<ModelName>,
    /// The model to tag
    #[arg(group = "model_or_delete")]
    model: Option<ModelArgument>,
    /// Move the tag if another model has it
    #[arg(short, long, requires = "model")]
    force: bool,
    /// Remove the tag; the model stays
    #[arg(short, long, requires = "tag", group = "model_or_delete")]
    delete: bool,
}

/// Sets, lists or removes tags.
///
/// # Errors
///
/// The model or the tag is not there; the tag is on another model; models have its name.
pub fn run(arguments: &Arguments, output: &Output) -> Result<(), Failure> {
    let Some(tag) = &arguments.tag else { return list(arguments, output) };
    let store = opening::open(&arguments.store)?;
    let mut transaction = store.begin_write()?;
    if arguments.delete {
        let node = transaction.remove_tag(tag.as_str())?;
        transaction.commit()?;
        let name = node.full_name();
        let text = format!("tag {tag} is gone from {name}\n");
        return output.print(json!({ "tag": tag.as_str(), "was": name, "model": null }), &text);
    }
    let Some(model) = &arguments.model else { return list(arguments, output) };
    let graph = transaction.graph()?;
    let before = graph.tagged(tag)?.map(|id| graph.expect(id)).transpose()?;
    let node = transaction.find(model.to_string())?;
    match &before {
        Some(other) if other.id() != node.id() && !arguments.force => {
            let other = other.full_name();
            let message = format!("tag {tag} is on {other}: --force moves it");
            return Err(Failure::failed("tag-exists", message));
        }
        Some(other) if other.id() == node.id() => {}
        _ => {
            transaction.set_tag(tag.as_str(), node.id().to_string())?;
            transaction.commit()?;
        }
    }
    let was = before.map(|node| node.full_name());
    let name = node.full_name();
    let text = match &was {
        Some(was) if *was != name => format!("tag {tag} moved from {was} to {name}\n"),
        _ => format!("tag {tag} is on {name}\n"),
    };
    output.print(json!({ "tag": tag.as_str(), "was": was, "model": name }), &text)
}

fn list(arguments: &Arguments, output: &Output) -> Result<(), Failure> {
    let store = opening::open_read_only(&arguments.store)?;
    let snapshot = store.snapshot()?;
    let family = Family::read(&snapshot)?;
    let mut table = Table::new(&[("TAG", Side::Left), ("MODEL", Side::Left)]);
    let mut documents = Vec::new();
    for (tag, id) in snapshot.graph().tags()? {
        let model = family.full_name(id);
        documents.push(json!({ "tag": tag, "model": model, "id": id.to_string() }));
        table.row([tag, model]);
    }
    let text = match documents.as_slice() {
        [] => "no tags\n".to_owned(),
        _ => table.lines(""),
    };
    output.print(json!({ "tags": documents }), &text)
}
