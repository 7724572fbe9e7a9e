//! `make`: a model made of others by a function, and kept with its recipe.

use std::io::Read;
use std::path::PathBuf;

use mgit::lineage::ModelName;
use mgit::update::{COMMAND_FUNCTION, Make};
use mgit::{How, Profile};
use serde_json::{Value, json};

use super::import::{how_parser, parse_metadata};
use super::recode::profile_parser;
use crate::failure::Failure;
use crate::functions::{Commands, trust_typed};
use crate::model_argument::ModelArgument;
use crate::notes::{notes_json, notes_text};
use crate::opening;
use crate::output::Output;
use crate::partial::bring;
use crate::text::size;

/// The most bytes of an adapter's configuration that are read.
const CONFIG_LEN_MAX: u64 = 16 << 20;

/// Make a model from others with a function, and store the recipe with it.
///
/// `remake` makes it again; `update` does the same with newer parents.
#[derive(Debug, clap::Args)]
#[command(after_help = "Functions:
  cast        floats of another type              --param dtype=bf16
  prune       the smallest magnitudes of every matrix become zero   --param sparsity=0.5
  quantise    rows of matrices rounded to 255 steps; or matrices, but for embeddings, as I8 or
              F8_E4M3 with NAME_scale beside them  --param to=int8, --param to=fp8
              some left as they are                --param 'keep=lm_head*'
  dequantise  such matrices as floats              --param dtype=bf16 [default: f32]
  average     the mean of several parents
  lora-merge  a base, then a PEFT adapter, by the adapter's own settings (its metadata lora.*,
              its adapter_config.json); others go over them:  --param alpha=16, --param scale=2,
                                                  --param config=adapter_config.json
  rebase      --old, with what its parents have changed since
  linear      the weighted mean                   --param weight=[0.7,0.3]
  slerp       two parents, on the arc between     --param t=0.3
  task-arithmetic, ties, dare
              base, then models; their differences, weighted, trimmed, dropped at random
                                                  --param weight=[1,0.5] --param density=0.2
              for some tensors otherwise          --param 'globs=[[\"*.bias\",{\"weight\":0}]]'
              (and average) some from one parent  --param 'take=*.num_batches_tracked=NAME'
  cast, prune, quantise, average, linear, slerp, task-arithmetic, ties, dare
              on some tensors of the weights only  --param 'tensors=*.weight'

The state of a training in one file with the weights (optimizer, lr_scheduler, ...) is left as it is,
and said, unless tensors= names it. Of several parents, the files beside the weights and the tensors
that are not worked on are the first one's; of task-arithmetic, ties and dare, whose first parent is
the base, the second one's.

In a command, {parent:NAME} is a file with that parent (its folder, if it is several files),
{folder:NAME} a folder with the whole of it, {old} a file with --old, {out} the file or the folder
to write, {param:K} a parameter, {seed} the seed. With a single file of weights come the files beside
those of the first parent: configuration, tokenizer. The command runs without a shell. A command that you
type here is trusted from then on; commands that others have put into a store are not.

Examples:
  mgit-db make family.mgit --name half --with cast --parent base --param dtype=bf16
  mgit-db make family.mgit --name soup --with average --parent a --parent b
  mgit-db make family.mgit --name sst2 --parent base --param lr=1e-4 \\
      --command 'python train.py --from {parent:base} --lr {param:lr} --out {out}'")]
pub struct Arguments {
    /// The store
    store: PathBuf,
    /// The model's name; if it exists, this makes its next version
    #[arg(long)]
    name: ModelName,
    /// The function
    #[arg(long, value_name = "FUNC", required_unless_present = "command")]
    with: Option<String>,
    /// A command instead of a function
    #[arg(long, value_name = "LINE", conflicts_with = "with")]
    command: Option<String>,
    /// A model it is made from; may be given several times, in the function's order
    #[arg(long = "parent", value_name = "MODEL")]
    parents: Vec<ModelArgument>,
    /// How it is derived from its parents [default: as the function says]
    #[arg(long, value_parser = how_parser())]
    how: Option<How>,
    /// The version to replace, for functions that use it
    #[arg(long, value_name = "MODEL")]
    old: Option<ModelArgument>,
    /// A parameter: JSON where V reads as JSON, else text; may be given several times
    #[arg(long = "param", value_name = "K=V", value_parser = parse_metadata)]
    parameters: Vec<(String, Value)>,
    /// The seed for random choices [default: a random one, stored with the model]
    #[arg(long)]
    seed: Option<u64>,
    /// What kind of model it is [default: the first parent's]
    #[arg(long)]
    kind: Option<String>,
    /// What to encode for
    #[arg(long, default_value_t, value_parser = profile_parser())]
    profile: Profile,
    #[command(flatten)]
    commands: Commands,
}

/// A parameter as the function takes it: `config` of an adapter is the name of a file here, whose
/// contents are kept with the recipe.
fn parameter(function: &str, key: &str, value: &Value) -> Result<Value, Failure> {
    let Some(path) = value.as_str().filter(|_| (function, key) == ("lora-merge", "config")) else {
        return Ok(value.clone());
    };
    let failed = |error: &dyn std::fmt::Display| {
        Failure::failed("bad-parameter", format!("parameter config: {path}: {error}"))
    };
    let file = std::fs::File::open(path).map_err(|error| failed(&error))?;
    let mut text = String::new();
    file.take(CONFIG_LEN_MAX).read_to_string(&mut text).map_err(|error| failed(&error))?;
    serde_json::from_str(&text).map_err(|error| failed(&error))
}

/// Makes the model.
///
/// # Errors
///
/// An input that is not there; the function fails; those of the store.
pub fn run(arguments: &Arguments, output: &Output) -> Result<(), Failure> {
    let function = arguments.with.as_deref().unwrap_or(COMMAND_FUNCTION);
    let mut make = Make::new(arguments.name.as_str(), function).profile(arguments.profile);
    for parent in &arguments.parents {
        make = make.parent(parent.to_string(), arguments.how);
    }
    for (key, value) in &arguments.parameters {
        make = make.parameter(key, parameter(function, key, value)?);
    }
    if let Some(old) = &arguments.old {
        make = make.old(old.to_string());
    }
    if let Some(seed) = arguments.seed {
        make = make.seed(seed);
    }
    if let Some(kind) = &arguments.kind {
        make = make.kind(kind);
    }
    let store = opening::open_shared(&arguments.store)?;
    if let Some(command) = &arguments.command {
        trust_typed(command)?;
        make = make.command(command);
    }
    let snapshot = store.snapshot()?;
    let inputs = arguments.parents.iter().chain(&arguments.old);
    let inputs = inputs.map(|model| Ok(snapshot.graph().find(model)?.id()));
    bring(&store, &arguments.store, inputs.collect::<mgit::store::Result<Vec<_>>>()?)?;
    drop(snapshot);
    let report = make.run(&store, &arguments.commands.functions(1))?;
    let row = &report.node;
    let document = json!({
        "model": report.node.full_name(),
        "id": report.node.id().to_string(),
        "function": function,
        "tensors": row.tensor_count(),
        "logical_bytes": row.logical_bytes(),
        "added_bytes": report.added_bytes,
        "notes": notes_json(&report.notes),
    });
    let (model, logical) = (report.node.full_name(), size(row.logical_bytes()));
    let added = size(report.added_bytes);
    let notes = notes_text(&report.notes);
    output.print(document, &format!("{notes}{model} <- {function} ({logical}, {added} added)\n"))
}
