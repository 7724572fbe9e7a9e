//! `recode`: stored tensors encoded anew.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use mgit::lineage::ModelRef;
use mgit::{Profile, Store};
use serde_json::json;

use crate::failure::Failure;
use crate::output::Output;
use crate::progress::Progress;
use crate::text::{count, size};

/// Encode stored tensors anew, for speed or for size.
///
/// Contents and models stay as they are, in one transaction. The file does not shrink: what the
/// old encodings took is used again by later writes.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  mgit-db recode family.mgit --profile dense
  mgit-db recode family.mgit tuned@1 --profile fast

fast      encoded and decoded fast
balanced  small, and decoded fast; models without a parent are read without a copy
dense     as small as it can be")]
pub struct Arguments {
    /// The store
    store: PathBuf,
    /// The model: name (its highest version), name@version or node id [default: all models]
    model: Option<ModelRef>,
    /// What to encode for
    #[arg(long, value_parser = profile_parser())]
    profile: Profile,
}

/// Reads the name of a profile.
pub fn profile_parser() -> impl TypedValueParser<Value = Profile> {
    PossibleValuesParser::new(Profile::ALL.map(Profile::name))
        .try_map(|profile| profile.parse::<Profile>())
}

/// Recodes the models.
///
/// # Errors
///
/// The model is not there; a tensor is damaged.
pub fn run(arguments: &Arguments, output: &Output) -> Result<(), Failure> {
    let store = Store::open(&arguments.store)?;
    let model = arguments.model.as_ref().map(ToString::to_string);
    let bytes = bytes_to_do(&store, model.as_deref())?;
    let bar = Progress::new(format!("recode {}", arguments.store.display()), bytes);
    let mut transaction = store.begin_write()?;
    let progress = |bytes| bar.advance(bytes);
    let report = transaction.recode(model.as_deref(), arguments.profile, &progress)?;
    transaction.commit()?;
    drop(bar);
    let document = json!({
        "profile": arguments.profile.name(),
        "tensors": report.tensors,
        "changed": report.changed,
        "before_bytes": report.before_bytes,
        "after_bytes": report.after_bytes,
    });
    let text = format!(
        "{}: {} of {} encoded anew, {} -> {}\n",
        arguments.profile,
        report.changed,
        count(report.tensors, "tensor"),
        size(report.before_bytes),
        size(report.after_bytes)
    );
    output.print(document, &text)
}

/// Bytes of the distinct tensors of a model, or of all.
fn bytes_to_do(store: &Store, model: Option<&str>) -> Result<u64, Failure> {
    let snapshot = store.snapshot()?;
    let models = match model {
        Some(model) => vec![snapshot.model(model)?],
        None => {
            let nodes = snapshot.nodes()?.into_iter();
            nodes.map(|node| snapshot.model_of(node)).collect::<mgit::Result<_>>()?
        }
    };
    let mut seen = std::collections::HashSet::new();
    let tensors = models.iter().flat_map(|model| &model.manifest().tensors);
    let fresh = tensors.filter(|tensor| seen.insert(tensor.content_id));
    Ok(fresh.map(|tensor| tensor.byte_len).sum())
}
