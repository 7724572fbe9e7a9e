//! `pin` and `unpin`: models that are kept raw.

use std::path::PathBuf;

use mgit::Profile;
use mgit::lineage::Node;
use serde_json::json;

use crate::failure::Failure;
use crate::opening;
use crate::output::Output;
use crate::partial::bring;
use crate::select::{is_glob, select};
use crate::text::{count, size};

/// Keep models raw, so that they are read without a copy.
///
/// They stay raw until `unpin`; recoding does not change them. Several are pinned in one
/// transaction.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  mgit-db pin family.mgit served@3
  mgit-db pin family.mgit 'served/*' base
  mgit-db unpin family.mgit served@3")]
pub struct Arguments {
    /// The store
    store: PathBuf,
    /// The models: name (its highest version), name@version, tag, node id, or a name with * and ?
    #[arg(required = true, value_name = "MODEL")]
    models: Vec<String>,
}

/// Pins or unpins models.
///
/// # Errors
///
/// A model is not there; a tensor is damaged. Then nothing is changed.
pub fn run(arguments: &Arguments, pins: bool, output: &Output) -> Result<(), Failure> {
    let store = opening::open_shared(&arguments.store)?;
    let nodes = select(&store.snapshot()?, &arguments.models)?;
    if pins {
        bring(&store, &arguments.store, nodes.iter().map(Node::id))?;
    }
    let mut transaction = store.begin_write()?;
    let (mut text, mut documents) = (String::new(), Vec::new());
    for node in &nodes {
        let report = match pins {
            true => transaction.pin(node.id())?,
            false => transaction.unpin(node.id(), Profile::default())?,
        };
        documents.push(json!({
            "model": node.full_name(),
            "pinned": pins,
            "changed": report.changed,
            "before_bytes": report.before_bytes,
            "after_bytes": report.after_bytes,
        }));
        text += &format!(
            "{} {}: {} stored again, {} -> {}\n",
            node.full_name(),
            if pins { "pinned" } else { "unpinned" },
            count(report.changed, "tensor"),
            size(report.before_bytes),
            size(report.after_bytes)
        );
    }
    transaction.commit()?;
    // One that is named by itself has a document of its own.
    let is_one = matches!(arguments.models.as_slice(), [model] if !is_glob(model));
    let document = match documents.pop() {
        Some(one) if is_one => one,
        last => {
            documents.extend(last);
            json!({ "models": documents })
        }
    };
    output.print(document, &text)
}
