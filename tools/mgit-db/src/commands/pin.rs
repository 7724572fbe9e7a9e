//! `pin` and `unpin`: models that are kept raw.

use std::path::PathBuf;

use mgit::Profile;
use serde_json::json;

use crate::failure::Failure;
use crate::model_argument::ModelArgument;
use crate::opening;
use crate::output::Output;
use crate::partial::bring;
use crate::text::{count, size};

/// Keep a model raw, so that it is read without a copy.
///
/// It stays raw until `unpin`; recoding does not change it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  mgit-db pin family.mgit served@3
  mgit-db unpin family.mgit served@3")]
pub struct Arguments {
    /// The store
    store: PathBuf,
    /// The model: name (its highest version), name@version, tag or node id
    model: ModelArgument,
}

/// Pins or unpins a model.
///
/// # Errors
///
/// The model is not there; a tensor is damaged.
pub fn run(arguments: &Arguments, pins: bool, output: &Output) -> Result<(), Failure> {
    let store = opening::open_shared(&arguments.store)?;
    let model = arguments.model.to_string();
    if pins {
        let id = store.snapshot()?.graph().find(&arguments.model)?.id();
        bring(&store, &arguments.store, [id])?;
    }
    let mut transaction = store.begin_write()?;
    let name = transaction.find(&model)?.full_name();
    let report = match pins {
        true => transaction.pin(&model)?,
        false => transaction.unpin(&model, Profile::default())?,
    };
    transaction.commit()?;
    let document = json!({
        "model": name,
        "pinned": pins,
        "changed": report.changed,
        "before_bytes": report.before_bytes,
        "after_bytes": report.after_bytes,
    });
    let text = format!(
        "{name} {}: {} stored again, {} -> {}\n",
        if pins { "pinned" } else { "unpinned" },
        count(report.changed, "tensor"),
        size(report.before_bytes),
        size(report.after_bytes)
    );
    output.print(document, &text)
}
