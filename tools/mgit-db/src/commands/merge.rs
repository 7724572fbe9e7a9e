//! `merge`: two models of one family made into one.

use std::path::PathBuf;
use std::process::ExitCode;

use mgit::Profile;
use mgit::full_message;
use mgit::lineage::ModelName;
use mgit::merge::{
    Class, LayerMerge, Merge, MergeOptions, MergePlan, Merged, Resolution, Take, Touched,
};
use mgit::model_tests::RunOptions;
use serde_json::{Map, Value, json};

use super::recode::profile_parser;
use super::test::run::trust;
use crate::document::Document;
use crate::failure::Failure;
use crate::model_argument::ModelArgument;
use crate::notes::{notes_json, notes_text};
use crate::opening;
use crate::output::{Ink, Output};
use crate::partial::bring;
use crate::text::{count, shown, size};

/// Merge two models of one family, layer by layer.
///
/// Both are compared with their nearest common ancestor. A layer that only one of them has changed
/// is taken from it. A layer that both have changed differently is a conflict, which you resolve:
/// with --on-conflict, or with --take for some layers. Changed layers of both that a path in the
/// network connects are a possible conflict: the merged model must pass the tests of both models,
/// or nothing is stored.
#[derive(Debug, clap::Args)]
#[command(after_help = "On conflict:
  ours, theirs     the layer of A, or of B
  average          the mean, by --weight
  slerp            on the arc between them, by --weight
  task-arithmetic  the ancestor and both differences, by --weight
  ties             differences trimmed to --density; where their signs agree, the mean
  dare             differences dropped at random to --density and rescaled; by --seed

The first --take whose glob matches a layer or tensor counts, whichever side has changed it.
Metadata that both have changed is B's with --on-conflict theirs, else A's, or it is chosen by
--take 'metadata:KEY=theirs'. With --dry-run, exit code 1 means that conflicts are left.

Examples:
  mgit-db merge family.mgit alice bob --name both --dry-run
  mgit-db merge family.mgit alice bob --name both --on-conflict ties --density 0.2
  mgit-db merge family.mgit alice bob --name both --take 'encoder.layer.3.*=ours' \\
      --take 'head*=theirs' --on-conflict average --weight 0.7,0.3")]
pub struct Arguments {
    /// The store
    store: PathBuf,
    /// One model: ours
    ours: ModelArgument,
    /// The other: theirs
    theirs: ModelArgument,
    /// The merged model's name; if it exists, this makes its next version
    #[arg(long)]
    name: ModelName,
    /// The ancestor that both are compared with [default: their nearest common one]
    #[arg(long, value_name = "MODEL")]
    base: Option<ModelArgument>,
    /// How to resolve conflicts
    #[arg(long, value_name = "HOW")]
    on_conflict: Option<Resolution>,
    /// How to resolve some layers or tensors: * and ? as in a shell; may be given several times
    #[arg(long, value_name = "GLOB=HOW")]
    take: Vec<Take>,
    /// The weights of A and B in a mix [default: 1,1]
    #[arg(long, value_name = "A,B", value_parser = parse_numbers)]
    weight: Option<Numbers>,
    /// The share of each difference that ties and dare keep, or one for A and B [default: 0.5]
    #[arg(long, value_name = "SHARE", value_parser = parse_numbers)]
    density: Option<Numbers>,
    /// The factor of the mixed differences [default: 1]
    #[arg(long)]
    scale: Option<f64>,
    /// The seed for dare
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Print the classes of the layers and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Run commands of the store's tests that you have not trusted before: read them first, with
    /// `test ls`
    #[arg(long)]
    trust: bool,
    /// What to encode for
    #[arg(long, default_value_t, value_parser = profile_parser())]
    profile: Profile,
}

/// One number, or two.
#[derive(Clone, Debug)]
struct Numbers(Vec<f64>);

fn parse_numbers(text: &str) -> Result<Numbers, String> {
    let numbers: Result<Vec<f64>, _> = text.split(',').map(|part| part.trim().parse()).collect();
    match numbers {
        Ok(numbers) if (1..=2).contains(&numbers.len()) => Ok(Numbers(numbers)),
        _ => Err("write a number, or two with a comma between them".to_owned()),
    }
}

impl Numbers {
    fn to_json(&self) -> Value {
        match self.0.as_slice() {
            [one] => (*one).into(),
            many => many.to_vec().into(),
        }
    }
}

impl Arguments {
    fn merge(&self) -> Merge {
        let mut blend = Map::new();
        let mut set = |name: &str, value: Option<Value>| {
            value.into_iter().for_each(|value| _ = blend.insert(name.to_owned(), value));
        };
        set("weight", self.weight.as_ref().map(Numbers::to_json));
        set("density", self.density.as_ref().map(Numbers::to_json));
        set("scale", self.scale.map(Value::from));
        let options = MergeOptions {
            base: self.base.as_deref().cloned(),
            on_conflict: self.on_conflict,
            takes: self.take.clone(),
            blend,
            seed: self.seed,
        };
        let (ours, theirs) = (self.ours.to_string(), self.theirs.to_string());
        Merge::new(ours, theirs, self.name.as_str()).options(options).profile(self.profile)
    }
}

/// Merges the models, or says what it would do.
///
/// # Errors
///
/// Models that are not there or have no common ancestor; conflicts that are left; tests that fail;
/// those of the store.
pub fn run(arguments: &Arguments, output: &Output) -> Result<ExitCode, Failure> {
    let merge = arguments.merge();
    if arguments.dry_run {
        let store = opening::open_read_only(&arguments.store)?;
        let plan = merge.plan(&store.snapshot()?)?;
        let files = plan.files_passed_over()?;
        let document = Document::new().object("plan", document(&plan));
        let document = document.keys(json!({ "files": files }));
        let lines = files.iter().map(|file| format!("  file {}\n", shown(file)));
        output.print_long(document, describe(&plan, output).chain(lines))?;
        let is_settled = plan.unsettled().next().is_none();
        return Ok(if is_settled { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    let store = opening::open_shared(&arguments.store)?;
    let plan = merge.plan(&store.snapshot()?)?;
    if !output.is_json() {
        output.print_long(Document::new(), describe(&plan, output))?;
    }
    let ids = [plan.base.id(), plan.ours.id(), plan.theirs.id()];
    // It holds what the merge will hold again.
    drop(plan);
    bring(&store, &arguments.store, ids)?;
    let options = RunOptions { trust: trust(arguments.trust), ..RunOptions::default() };
    let merged = merge.run(&store, options)?;
    report(&merged, output)?;
    Ok(ExitCode::SUCCESS)
}

fn report(merged: &Merged, output: &Output) -> Result<(), Failure> {
    let Merged { plan, report, tests, inherited, not_kept, .. } = merged;
    let (name, row) = (report.node.full_name(), &report.node);
    let mut text = String::new();
    if plan.needs_tests() {
        text += &match tests.len() {
            0 => "no test is registered for either model: nothing was tried\n".to_owned(),
            tests => format!("{} of both models passed\n", count(tests as u64, "test")),
        };
    }
    for test in inherited {
        text += &format!("inherits a test as {test}\n");
    }
    if let Some(error) = not_kept {
        text += &format!("the results of the tests were not stored: {}\n", full_message(error));
    }
    text += &notes_text(&report.notes);
    let (logical, added) = (size(row.logical_bytes()), size(report.added_bytes));
    text += &format!("{} ({logical}, {added} added)\n", output.paint(Ink::Good, &name));
    let tests: Vec<Value> = tests
        .iter()
        .map(|test| json!({ "test": test.test, "status": test.status.name() }))
        .collect();
    let document = json!({
        "model": name,
        "id": report.node.id().to_string(),
        "logical_bytes": row.logical_bytes(),
        "added_bytes": report.added_bytes,
        "tests": tests,
        "notes": notes_json(&report.notes),
        "inherited_tests": inherited,
    });
    let document = Document::new().keys(document).object("plan", self::document(plan));
    output.print_long(document, std::iter::once(text))
}

fn who(touched: Touched) -> &'static str {
    match touched {
        Touched::Neither => "neither",
        Touched::Ours => "ours",
        Touched::Theirs => "theirs",
        Touched::Alike => "both alike",
        Touched::Both => "both",
    }
}

/// A path, its middle left out where it is long.
fn path(layers: &[String], (left_out, behind): (usize, usize)) -> String {
    let (first, last) = layers.split_at(behind.min(layers.len()));
    let more = left_out + layers.len().saturating_sub(4);
    match (first, last) {
        ([a, b, ..], [.., z]) if left_out > 0 => {
            // The last but one is among those that are left out.
            format!("{a} -> {b} -> ({} more) -> {z}", left_out + first.len() - 2)
        }
        _ => match layers {
            [a, b, .., y, z] if more > 1 => {
                format!("{a} -> {b} -> ({more} more) -> {y} -> {z}")
            }
            layers => layers.join(" -> "),
        },
    }
}

fn line(layer: &LayerMerge, output: &Output) -> String {
    let ink = match layer.class {
        Class::Conflict => Ink::Bad,
        Class::Possible => Ink::Name,
        Class::None => Ink::Faint,
    };
    let class = output.paint(ink, &format!("{:<17}", layer.class.name()));
    let settled: Vec<String> = layer.settled.iter().map(Resolution::to_string).collect();
    let settled = match (&layer.unsettled, layer.class) {
        (Some(why), _) => format!(": {why}"),
        (None, _) if !settled.is_empty() => format!(" -> {}", settled.join(", ")),
        _ => String::new(),
    };
    let by = who(layer.touched);
    let mut text = format!("  {class} {} ({by}, {}){settled}\n", layer.name, size(layer.bytes));
    if !layer.path.is_empty() {
        text += &output
            .paint(Ink::Faint, &format!("{:20}by {}\n", "", path(&layer.path, layer.left_out)));
    }
    text
}

fn describe<'p>(plan: &'p MergePlan, output: &'p Output) -> impl Iterator<Item = String> + use<'p> {
    let layers = plan.layers().map(|layer| line(&layer, output));
    std::iter::once(head(plan, output)).chain(layers).chain([foot(plan)])
}

fn head(plan: &MergePlan, output: &Output) -> String {
    let mut text = format!(
        "ours   {}\ntheirs {}\nbase   {}",
        output.paint(Ink::Name, &plan.ours.full_name()),
        output.paint(Ink::Name, &plan.theirs.full_name()),
        output.paint(Ink::Name, &plan.base.full_name()),
    );
    if !plan.other_bases.is_empty() {
        let others: Vec<String> = plan.other_bases.iter().map(|node| node.full_name()).collect();
        let others = others.join(", ");
        text += &format!("  (the nearest common ancestor; others: {others})");
    }
    text.push('\n');
    text
}

fn foot(plan: &MergePlan) -> String {
    let mut text = String::new();
    for conflict in &plan.metadata_conflicts {
        let key = &conflict.key;
        text += &format!("  metadata {key}: both have changed it -> {}\n", conflict.taken);
    }
    for conflict in &plan.test_conflicts {
        let (ours, theirs) = (conflict.ours.join(", "), conflict.theirs.join(", "));
        text += &format!("  tests {ours} and {theirs}: judged differently -> both are kept\n");
    }
    let number = |class| plan.count(class);
    text += &format!(
        "{} in conflict, {} possibly, {} without; {} unchanged\n",
        number(Class::Conflict),
        number(Class::Possible),
        number(Class::None),
        plan.unchanged
    );
    text
}

fn layer_json(layer: &LayerMerge) -> Value {
    let settled: Vec<String> = layer.settled.iter().map(Resolution::to_string).collect();
    let mut json = json!({
        "layer": layer.name,
        "class": layer.class.name(),
        "changed_by": who(layer.touched),
        "ours": layer.ours.name(),
        "theirs": layer.theirs.name(),
        "path": layer.path,
        "bytes": layer.bytes,
        "settled": settled,
        "unsettled": layer.unsettled,
    });
    if let (left_out @ 1.., behind) = layer.left_out {
        json["path_left_out"] = json!({ "layers": left_out, "behind": behind });
    }
    json
}

fn document(plan: &MergePlan) -> Document<'_> {
    let metadata: Vec<Value> = plan
        .metadata_conflicts
        .iter()
        .map(|it| {
            json!({
                "key": it.key,
                "ours": it.ours,
                "theirs": it.theirs,
                "taken": it.taken.to_string(),
            })
        })
        .collect();
    let tests: Vec<Value> = plan
        .test_conflicts
        .iter()
        .map(|it| json!({ "ours": it.ours, "theirs": it.theirs }))
        .collect();
    Document::new()
        .keys(json!({
            "ours": plan.ours.full_name(),
            "theirs": plan.theirs.full_name(),
            "base": plan.base.full_name(),
            "other_bases": plan.other_bases.iter().map(|it| it.full_name()).collect::<Vec<_>>(),
        }))
        .list("layers", || plan.layers().map(|layer| layer_json(&layer)))
        .keys(json!({
            "unchanged": plan.unchanged,
            "metadata_conflicts": metadata,
            "test_conflicts": tests,
        }))
}
