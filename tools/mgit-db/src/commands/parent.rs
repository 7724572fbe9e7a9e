//! `parent`: what a model was derived from, corrected.

use std::path::PathBuf;

use clap::Subcommand;
use mgit::How;
use mgit::catalog::EdgeKind;
use mgit::lineage::NodeId;
use mgit::store::Transaction;
use serde_json::{Map, Value};

use super::import::{how_parser, parse_metadata};
use crate::failure::Failure;
use crate::family::Family;
use crate::model_argument::ModelArgument;
use crate::opening;
use crate::output::Output;

/// Change the parents of a model, or its previous version.
///
/// Only the graph changes: tensors stay as they are stored, and a base that a delta needs is kept
/// whatever the edges are. A cycle is refused.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  mgit-db parent add family.mgit merged left --how merge --meta weight=0.5
  mgit-db parent rm family.mgit merged left
  mgit-db parent set family.mgit tuned base@2
  mgit-db parent set family.mgit tuned
  mgit-db parent previous family.mgit tuned@4 tuned@2")]
pub struct Arguments {
    #[command(subcommand)]
    change: Change,
}

/// What to change.
#[derive(Debug, Subcommand)]
enum Change {
    /// Add parents after the existing ones
    Add {
        /// The store
        store: PathBuf,
        /// The model
        model: ModelArgument,
        /// Its parents
        #[arg(required = true)]
        parents: Vec<ModelArgument>,
        #[command(flatten)]
        edge: EdgeArguments,
    },
    /// Remove parents (detach)
    Rm {
        /// The store
        store: PathBuf,
        /// The model
        model: ModelArgument,
        /// The parents to remove
        #[arg(required = true)]
        parents: Vec<ModelArgument>,
    },
    /// Replace all parents (re-parent); without PARENTS the model becomes a root
    Set {
        /// The store
        store: PathBuf,
        /// The model
        model: ModelArgument,
        /// Its new parents
        parents: Vec<ModelArgument>,
        #[command(flatten)]
        edge: EdgeArguments,
    },
    /// Set the previous version of a model; `none` makes it a first version
    Previous {
        /// The store
        store: PathBuf,
        /// The model
        model: ModelArgument,
        /// A lower version of the same name, or none
        older: String,
    },
}

/// What an edge carries.
#[derive(Debug, clap::Args)]
struct EdgeArguments {
    /// How it was derived [default: finetune, or as the edge has it]
    #[arg(long, value_parser = how_parser())]
    how: Option<How>,
    /// A piece of metadata of the edges: JSON where V reads as JSON, else text; may be repeated
    #[arg(long = "meta", value_name = "K=V", value_parser = parse_metadata)]
    metadata: Vec<(String, Value)>,
}

/// Changes the edges.
///
/// # Errors
///
/// A model is not there; the edge is there already, or is not; it would close a circle.
pub fn run(arguments: &Arguments, output: &Output) -> Result<(), Failure> {
    let (store, model) = match &arguments.change {
        Change::Add { store, model, .. }
        | Change::Rm { store, model, .. }
        | Change::Set { store, model, .. }
        | Change::Previous { store, model, .. } => (opening::open(store)?, model),
    };
    let mut transaction = store.begin_write()?;
    let node = transaction.find(model.to_string())?;
    let id = node.id().to_string();
    match &arguments.change {
        Change::Add { parents, edge, .. } => {
            for parent in parents {
                let how = edge.how.unwrap_or_default();
                transaction.add_parent(&id, parent.to_string(), how)?;
            }
            add_metadata(&mut transaction, &id, parents, edge)?;
        }
        Change::Rm { parents, .. } => {
            for parent in parents {
                transaction.remove_parent(&id, parent.to_string())?;
            }
        }
        Change::Set { parents, edge, .. } => {
            let old = transaction.graph()?.parents(node.id())?;
            let mut new: Vec<(NodeId, How)> = Vec::new();
            for parent in parents {
                let parent = transaction.find(parent.to_string())?.id();
                let how = old.iter().find(|edge| edge.parent == parent).map(|edge| edge.how);
                new.push((parent, edge.how.or(how).unwrap_or_default()));
            }
            transaction.set_parents(&id, new)?;
            add_metadata(&mut transaction, &id, parents, edge)?;
        }
        Change::Previous { older, .. } => match older.as_str() {
            "none" => transaction.clear_previous(&id)?,
            older => transaction.set_previous(&id, older)?,
        },
    }
    transaction.commit()?;

    let snapshot = store.snapshot()?;
    let family = Family::read(&snapshot)?;
    let origin = family.origin(node.id())?;
    let mut text = format!("{}:\n", node.full_name());
    for edge in &origin.parents {
        text += &format!("  {} of {}\n", edge.how, family.full_name(edge.parent));
    }
    if let Some(previous) = origin.previous {
        text += &format!("  next version of {}\n", family.full_name(previous));
    }
    if origin.parents.is_empty() && origin.previous.is_none() {
        text += "  no parents, no version before it\n";
    }
    output.print(family.json(&node, &origin), &text)
}

/// Adds metadata to the edges to these parents.
fn add_metadata(
    transaction: &mut Transaction,
    child: &str,
    parents: &[ModelArgument],
    edge: &EdgeArguments,
) -> Result<(), Failure> {
    if edge.metadata.is_empty() {
        return Ok(());
    }
    let more: Map<String, Value> = edge.metadata.iter().cloned().collect();
    let node = transaction.find(child)?.id();
    for parent in parents {
        let parent = transaction.find(parent.to_string())?.id();
        let kind = EdgeKind::Provenance;
        let mut metadata = transaction.graph()?.edge_metadata(node, kind, parent)?;
        metadata.extend(more.clone());
        transaction.set_edge_metadata(child, kind, parent.to_string(), metadata)?;
    }
    Ok(())
}
