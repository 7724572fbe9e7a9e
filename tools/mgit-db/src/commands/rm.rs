//! `rm`: a model out of the store.

use std::path::PathBuf;

use mgit::OnChildren;
use serde_json::json;

use crate::failure::Failure;
use crate::given_back::Before;
use crate::model_argument::ModelArgument;
use crate::opening;
use crate::output::Output;
use crate::text::{count, size};

/// Remove a model.
///
/// Its bytes become free when no other model, no delta and no reader needs them. A model with
/// children is removed only with one of the two options.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  mgit-db rm family.mgit tuned@1
  mgit-db rm family.mgit tuned --reparent-children")]
pub struct Arguments {
    /// The store
    store: PathBuf,
    /// The model: name (its highest version), name@version or node id
    model: ModelArgument,
    /// Make the models derived from it children of its own parents
    #[arg(long)]
    reparent_children: bool,
    /// Remove this parent from the models derived from it
    #[arg(long, conflicts_with = "reparent_children")]
    detach_children: bool,
}

/// Removes the model.
///
/// # Errors
///
/// The model is not there, or has children and nothing says what becomes of them.
pub fn run(arguments: &Arguments, output: &Output) -> Result<(), Failure> {
    let on_children = match (arguments.reparent_children, arguments.detach_children) {
        (true, _) => OnChildren::Reparent,
        (_, true) => OnChildren::Detach,
        _ => OnChildren::Refuse,
    };
    let before = Before::of(&arguments.store);
    let store = opening::open(&arguments.store)?;
    let mut transaction = store.begin_write()?;
    let model = arguments.model.to_string();
    let report = transaction.remove_model(&model, on_children)?;
    transaction.commit()?;
    let shorter = before.give_back_growth(&store)?;

    let snapshot = store.snapshot()?;
    let child = |id: &_| Ok(snapshot.graph().expect(*id)?.full_name());
    let children: Vec<String> =
        report.changed_children.iter().map(child).collect::<Result<_, Failure>>()?;
    let document = json!({
        "removed": report.node.full_name(),
        "id": report.node.id().to_string(),
        "freed_bytes": report.freed_bytes,
        "hidden_bases": report.hidden_bases,
        "changed_children": children,
        "file": shorter.document(),
    });
    let freed = size(report.freed_bytes);
    let mut text =
        format!("removed {}: {freed} of the file can be used again\n", report.node.full_name());
    if report.hidden_bases > 0 {
        let stay = if report.hidden_bases == 1 { "stays" } else { "stay" };
        let tensors = count(report.hidden_bases, "tensor");
        text += &format!("  {tensors} {stay}, hidden, for the deltas of other models\n");
    }
    if !children.is_empty() {
        text += &format!("  changed parents of: {}\n", children.join(", "));
    }
    text += &shorter.describe();
    output.print(document, &text)
}
