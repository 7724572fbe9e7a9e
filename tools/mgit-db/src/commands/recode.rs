//! `recode`: stored tensors encoded anew.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use mgit::codec::Lossy;
use mgit::lineage::Node;
use mgit::store::LossyDraft;
use mgit::{ModelRef, Profile, Store};
use serde_json::json;

use crate::failure::Failure;
use crate::gate::{self, Gate};
use crate::given_back::Before;
use crate::model_argument::ModelArgument;
use crate::opening;
use crate::output::Output;
use crate::progress::Progress;
use crate::select::select;
use crate::text::{count, size};

/// Encode stored tensors again, for speed or for size; or make a model lossy.
///
/// Without --lossy, contents and models stay as they are, in one transaction. New encodings are
/// written beside the old ones first; at the end the file is made as short as it can be in place.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  mgit-db recode family.mgit --profile dense
  mgit-db recode family.mgit tuned@1 'served/*' --profile fast
  mgit-db recode family.mgit tuned@1 --lossy quantised:1e-4

fast      encoded and decoded fast
balanced  small, and decoded fast; models without a parent are read without a copy
dense     smaller still (fine-tuned 16-bit matrices: 5 to 25 %), models without a parent
          too; encoding takes some twenty times as long, and decoding several times")]
pub struct Arguments {
    /// The store
    store: PathBuf,
    /// The models: name (its highest version), name@version, tag, node id, or a name with * and ?
    /// [default: all]
    #[arg(value_name = "MODEL")]
    models: Vec<String>,
    /// What to encode for
    #[arg(long, value_parser = profile_parser(), required_unless_present = "lossy")]
    profile: Option<Profile>,
    #[command(flatten)]
    lossy: gate::LossyArguments,
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
    if let Some(lossy) = arguments.lossy.lossy {
        return make_lossy(arguments, lossy, output);
    }
    let profile = arguments.profile.unwrap_or_default();
    let before = Before::of(&arguments.store);
    let store = opening::open(&arguments.store)?;
    let nodes = select(&store.snapshot()?, &arguments.models)?;
    let bytes = bytes_to_do(&store, Some(&nodes))?;
    let bar = Progress::new(format!("recode {}", arguments.store.display()), bytes);
    let mut transaction = store.begin_write()?;
    let progress = |bytes| bar.advance(bytes);
    let report = if arguments.models.is_empty() {
        transaction.recode_all(profile, &progress)?
    } else {
        let models: Vec<ModelRef> = nodes.iter().map(|node| node.id().into()).collect();
        transaction.recode_several(&models, profile, &progress)?
    };
    transaction.commit()?;
    let shorter = before.give_back(&store)?;
    drop(bar);
    let document = json!({
        "profile": profile.name(),
        "tensors": report.tensors,
        "changed": report.changed,
        "before_bytes": report.before_bytes,
        "after_bytes": report.after_bytes,
        "file": shorter.document(),
    });
    let mut text = format!(
        "{}: {} of {} encoded anew, {} -> {}\n",
        profile,
        report.changed,
        count(report.tensors, "tensor"),
        size(report.before_bytes),
        size(report.after_bytes)
    );
    text += &shorter.describe();
    output.print(document, &text)
}

/// Makes one model lossy.
fn make_lossy(arguments: &Arguments, lossy: Lossy, output: &Output) -> Result<(), Failure> {
    let [model] = arguments.models.as_slice() else {
        return Err(Failure::usage("--lossy changes a model permanently: name the one model"));
    };
    if arguments.profile.is_some() {
        return Err(Failure::usage("--lossy and --profile do not go together: recode twice"));
    }
    let mut gate = Gate::new(&arguments.lossy)?;
    let before = Before::of(&arguments.store);
    let store = opening::open_shared(&arguments.store)?;
    let node = store.snapshot()?.find(&model.parse::<ModelArgument>()?)?;
    let bytes = bytes_to_do(&store, Some(std::slice::from_ref(&node)))?;
    // By its id: others may add versions while the gate runs.
    let model = node.id().to_string();
    let (name, report) = Gate::settle(&mut gate, |mut gate| {
        let bar = Progress::new(format!("recode {}", arguments.store.display()), bytes);
        let mut transaction = store.begin_write()?;
        let name = transaction.find(&model)?.full_name();
        let mut judge = |draft: &LossyDraft<'_>| match &mut gate {
            Some(gate) => gate.judge(draft),
            None => Ok(true),
        };
        let progress = |bytes| bar.advance(bytes);
        let report = transaction.recode_lossy(&model, lossy, Some(&mut judge), &progress)?;
        transaction.commit()?;
        Ok((name, report))
    })?;
    let shorter = before.give_back(&store)?;
    let document = json!({
        "model": name,
        "method": lossy.to_string(),
        "lossy": gate::document(&report.lossy),
        "added_bytes": report.added_bytes,
        "freed_bytes": report.freed_bytes,
        "hidden_bases": report.hidden_bases,
        "file": shorter.document(),
    });
    let mut text = format!("{name} {}", gate::describe(lossy, &report.lossy));
    text += &format!("  {} freed, {} added\n", size(report.freed_bytes), size(report.added_bytes));
    if report.hidden_bases > 0 {
        let stay = count(report.hidden_bases, "tensor");
        text += &format!("  {stay} of the old content stay: other models need them\n");
    }
    text += &shorter.describe();
    output.print(document, &text)
}

/// Bytes of the distinct tensors of these models, or of all.
///
/// # Errors
///
/// Those of the store.
pub fn bytes_to_do(store: &Store, nodes: Option<&[Node]>) -> Result<u64, Failure> {
    let snapshot = store.snapshot()?;
    let nodes = nodes.map_or_else(|| snapshot.nodes(), |nodes| Ok(nodes.to_vec()))?;
    let models = nodes.into_iter().map(|node| snapshot.model_of(node));
    let models = models.collect::<mgit::store::Result<Vec<_>>>()?;
    let mut seen = std::collections::HashSet::new();
    let tensors = models.iter().flat_map(|model| &model.manifest().tensors);
    let fresh = tensors.filter(|tensor| seen.insert(tensor.content_id));
    Ok(fresh.map(|tensor| tensor.byte_len).sum())
}
