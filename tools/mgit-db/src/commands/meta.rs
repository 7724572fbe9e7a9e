//! `meta`: metadata and kind of a model.

use std::path::PathBuf;

use mgit::lineage::{LineageError, OWN_KEYS};
use serde_json::{Value, json};

use super::import::parse_metadata;
use crate::failure::Failure;
use crate::model_argument::ModelArgument;
use crate::opening;
use crate::output::Output;
use crate::text::shown;

/// Read or change the metadata of a model, or its kind.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  mgit-db meta family.mgit tuned
  mgit-db meta family.mgit tuned licence=mit 'epochs=3'
  mgit-db meta family.mgit tuned --unset epochs
  mgit-db meta family.mgit tuned --kind bert")]
pub struct Arguments {
    /// The store
    store: PathBuf,
    /// The model: name (its highest version), name@version, tag or node id
    model: ModelArgument,
    /// Pieces of metadata to set: JSON where V reads as JSON, else text
    #[arg(value_name = "K=V", value_parser = parse_metadata)]
    set: Vec<(String, Value)>,
    /// A piece of metadata to remove; may be given several times
    #[arg(long, value_name = "K")]
    unset: Vec<String>,
    /// What kind of model it is, such as bert; empty for none
    #[arg(long)]
    kind: Option<String>,
}

/// Reads or changes metadata.
///
/// # Errors
///
/// The model is not there, or has nothing of a key that is to be removed.
pub fn run(arguments: &Arguments, output: &Output) -> Result<(), Failure> {
    let reads = arguments.set.is_empty() && arguments.unset.is_empty() && arguments.kind.is_none();
    let store = match reads {
        true => opening::open_read_only(&arguments.store)?,
        false => opening::open(&arguments.store)?,
    };
    let node = store.snapshot()?.graph().find(&arguments.model)?;
    let id = node.id().to_string();
    if !reads {
        let mut transaction = store.begin_write()?;
        if !arguments.set.is_empty() || !arguments.unset.is_empty() {
            let mut metadata = transaction.graph()?.metadata(node.id())?;
            for key in &arguments.unset {
                if OWN_KEYS.contains(&key.as_str()) {
                    return Err(LineageError::OwnKey { key: key.clone() }.into());
                }
                if metadata.shift_remove(key).is_none() {
                    let message = format!("{} has no metadata {key:?}", node.full_name());
                    return Err(Failure::failed("no-such-key", message));
                }
            }
            metadata.extend(arguments.set.iter().cloned());
            transaction.set_metadata(&id, metadata)?;
        }
        if let Some(kind) = &arguments.kind {
            transaction.set_kind(&id, kind)?;
        }
        transaction.commit()?;
    }
    let snapshot = store.snapshot()?;
    let metadata = snapshot.graph().metadata(node.id())?;
    let node = snapshot.graph().expect(node.id())?;
    let kind = node.kind();
    let mut text = node.full_name();
    if !kind.is_empty() {
        text += &format!(" ({})", shown(kind));
    }
    text.push('\n');
    for (key, value) in &metadata {
        text += &format!("  {} = {}\n", shown(key), shown(&value.to_string()));
    }
    let kind = if kind.is_empty() { Value::Null } else { kind.into() };
    output.print(json!({ "model": node.full_name(), "kind": kind, "metadata": metadata }), &text)
}
