//! `mv`: other names for models.

use std::path::PathBuf;

use mgit::lineage::{ModelName, Node};
use serde_json::json;

use crate::failure::Failure;
use crate::model_argument::ModelArgument;
use crate::opening;
use crate::output::Output;

/// Give a model another name.
///
/// A bare name is renamed with all its versions, which keep their numbers if the new name never had
/// any. name@version renames that one version, which becomes the last of the new name. Ids, edges,
/// tags and metadata stay, and version numbers are never assigned twice.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  mgit-db mv family.mgit tuned sst2/tuned
  mgit-db mv family.mgit tuned@3 experiments/odd")]
pub struct Arguments {
    /// The store
    store: PathBuf,
    /// The model: a name (all its versions), name@version, a tag or node id (one)
    model: ModelArgument,
    /// The new name
    name: ModelName,
}

/// Moves the models.
///
/// # Errors
///
/// The model is not there; the new name is taken.
pub fn run(arguments: &Arguments, output: &Output) -> Result<(), Failure> {
    let store = opening::open(&arguments.store)?;
    let mut transaction = store.begin_write()?;
    let new = arguments.name.as_str();
    // A tag or an id stands for one model.
    let before = match arguments.model.bare_name() {
        Some(name) => transaction.graph()?.versions(&name)?,
        None => Vec::new(),
    };
    let mut moved: Vec<(String, Node)> = Vec::new();
    if before.is_empty() {
        let node = transaction.find(&arguments.model)?;
        let after = transaction.move_model(&node, new)?;
        moved.push((node.full_name(), after));
    } else {
        let old = arguments.model.to_string();
        let graph = transaction.graph()?;
        let names: Vec<String> = before
            .iter()
            .map(|id| Ok(graph.expect(*id)?.full_name()))
            .collect::<Result<_, Failure>>()?;
        let nodes = transaction.rename_models(&old, new)?;
        moved.extend(names.into_iter().zip(nodes));
    }
    transaction.commit()?;
    let document = |(from, node): &(String, Node)| json!({ "from": from, "to": node.full_name(), "id": node.id().to_string() });
    let documents: Vec<_> = moved.iter().map(document).collect();
    let line = |(from, node): &(String, Node)| format!("{from} -> {}\n", node.full_name());
    let text: String = moved.iter().map(line).collect();
    output.print(json!({ "moved": documents }), &text)
}
