//! `update`: everything that descends from a model, after a new version of it.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::ExitCode;

use mgit::full_message;
use mgit::lineage::{Node, glob_matches};
use mgit::model_tests::{RunOptions, Runner, Test};
use mgit::update::{
    Event, Outcome, Step, StepSource, StepState, Stopped, Update, UpdateMethod, UpdatePlan,
};
use mgit::{Profile, Store};
use serde_json::{Value, json};

use super::recode::profile_parser;
use crate::failure::Failure;
use crate::functions::Commands;
use crate::interrupt;
use crate::model_argument::ModelArgument;
use crate::notes::{notes_json, notes_text};
use crate::opening;
use crate::output::{Ink, Output};
use crate::partial::bring;
use crate::side_by_side::{Compared, side_by_side, table};
use crate::text::{count, size};

/// Make new versions of all descendants of a model that has a new version.
///
/// Every descendant gets a new version, made from the newest versions of its parents, parents
/// first, each in a commit of its own. Not updated are models whose parents have no new version,
/// versions that a newer one has replaced, and models that somebody has made on the new model by
/// hand. If a model cannot be made, only its descendants are left out too; the exit code is then 1.
/// Registered tests run on each new model and on the model that it replaces, and the results are
/// shown side by side; the exit code is 1 too if a new model fails one.
#[derive(Debug, clap::Args)]
#[command(after_help = "Update methods:
  auto      by the recipe of each model, where it has one; else rebase
  rebase    new parent + (model - old parent), without training
  recorded  by the recipe of each model; one without a recipe cannot be made

Examples:
  mgit-db update family.mgit base@1 base@2 --dry-run
  mgit-db update family.mgit base@1 base@2 --jobs 2
  mgit-db update family.mgit base@1 base@2 --resume
  mgit-db update family.mgit base@1 base@2 --with rebase --skip 'drafts/*' --stop 'served/*'")]
pub struct Arguments {
    /// The store
    store: PathBuf,
    /// The old version
    old: ModelArgument,
    /// The new version
    new: ModelArgument,
    /// The update method: auto, rebase or recorded
    #[arg(long, default_value = "auto")]
    with: UpdateMethod,
    /// Skip models of these names: * and ? as in a shell; may be given several times
    #[arg(long, value_name = "GLOB")]
    skip: Vec<String>,
    /// Do not update the descendants of models of these names; may be given several times
    #[arg(long, value_name = "GLOB")]
    stop: Vec<String>,
    /// Update versions that a newer one has replaced too
    #[arg(long)]
    all_versions: bool,
    /// The number of functions that run at the same time
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..))]
    jobs: u8,
    /// Print the plan and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Continue an update that was interrupted or had failures
    #[arg(long)]
    resume: bool,
    /// Do not run the registered tests on the new models
    #[arg(long)]
    no_tests: bool,
    /// What to encode for
    #[arg(long, default_value_t, value_parser = profile_parser())]
    profile: Profile,
    #[command(flatten)]
    commands: Commands,
}

/// Whether a glob fits a model's name, with its version or without.
fn fits(globs: &[String], node: &Node) -> bool {
    let full = node.full_name();
    globs.iter().any(|glob| glob_matches(glob, node.name()) || glob_matches(glob, &full))
}

/// Updates the models, or says what it would do.
///
/// # Errors
///
/// Models that are not there; an update that was begun, without --resume; the store fails.
pub fn run(arguments: &Arguments, output: &Output) -> Result<ExitCode, Failure> {
    let watch = |event: Event<'_>| match tell(event, output) {
        Ok(()) => ControlFlow::Continue(()),
        // Nobody reads any more.
        Err(_) => ControlFlow::Break(()),
    };
    let update = Update::new(arguments.old.to_string(), arguments.new.to_string())
        .method(arguments.with.clone())
        .jobs(arguments.jobs.into())
        .resume(arguments.resume)
        .all_versions(arguments.all_versions)
        .profile(arguments.profile)
        .skip(|node| fits(&arguments.skip, node))
        .stop(|node| fits(&arguments.stop, node))
        .watch(watch);
    if arguments.dry_run {
        let store = opening::open_read_only(&arguments.store)?;
        let plan = update.plan(&store.snapshot()?)?;
        output.print(json!({ "plan": document(&plan) }), &tree(&plan, output))?;
        return Ok(ExitCode::SUCCESS);
    }
    interrupt::advise("--resume makes the rest");
    let store = opening::open_shared(&arguments.store)?;
    let plan = update.plan(&store.snapshot()?)?;
    output.text(&tree(&plan, output))?;
    let parents = plan.steps.iter().flat_map(|step| step.parents.iter().map(|parent| parent.from));
    let steps = plan.steps.iter().map(|step| step.node.id());
    bring(&store, &arguments.store, parents.chain(steps).chain([plan.old.id(), plan.new.id()]))?;
    let outcome = update.run(&store, &arguments.commands.functions(arguments.jobs.into()))?;
    let tested = match arguments.no_tests {
        true => Tested::default(),
        false => Tested::of(&store, &outcome, arguments)?,
    };
    report(outcome, &tested, output)
}

/// What the registered tests say of what was made.
#[derive(Default)]
struct Tested {
    text: String,
    documents: Vec<Value>,
    fails: bool,
}

impl Tested {
    /// Runs the tests on every model that was made, and on the one that it takes the place of.
    fn of(store: &Store, outcome: &Outcome, arguments: &Arguments) -> Result<Self, Failure> {
        let snapshot = store.snapshot()?;
        let tests = Test::all(&snapshot)?;
        let mut tested = Tested::default();
        if tests.is_empty() || outcome.made.is_empty() {
            return Ok(tested);
        }
        let pairs: Vec<(&Node, &Node)> = outcome
            .made
            .iter()
            .filter_map(|(step, report)| Some((&outcome.plan.steps.get(*step)?.node, &report.node)))
            .collect();
        let nodes: Vec<Node> = pairs.iter().flat_map(|(old, new)| [*old, *new]).cloned().collect();
        let (jobs, trust) = (arguments.jobs.into(), arguments.commands.trust());
        let options = RunOptions { jobs, trust, ..RunOptions::default() };
        let report = Runner::new(&snapshot, options).run(Some(store), &tests, &nodes)?;
        for (old, new) in pairs {
            let compared = side_by_side(&tests, &report.results, old, new);
            if compared.is_empty() {
                continue;
            }
            tested.fails |= compared.iter().any(Compared::fails);
            let (old, new) = (old.full_name(), new.full_name());
            tested.text += &format!("\n{old} -> {new}\n{}", table(&compared));
            let tests: Vec<Value> = compared.iter().map(Compared::document).collect();
            tested.documents.push(json!({ "old": old, "new": new, "tests": tests }));
        }
        Ok(tested)
    }
}

/// Says what happens, as it happens.
fn tell(event: Event<'_>, output: &Output) -> Result<(), Failure> {
    match event {
        Event::Made(step, report) => {
            let made = output.paint(Ink::Good, "made");
            let added = size(report.added_bytes);
            let (old, new) = (step.node.full_name(), report.node.full_name());
            let notes = notes_text(&report.notes);
            output.text(&format!("{made}     {old} -> {new} ({added} added)\n{notes}"))
        }
        Event::Failed(step, error) => {
            let failed = output.paint(Ink::Bad, "failed");
            output.text(&format!("{failed}   {}: {}\n", step.node.full_name(), full_message(error)))
        }
        Event::Blocked(step) => {
            let name = step.node.full_name();
            output.text(&format!("not made {name}: a model that it needs could not be made\n"))
        }
        _ => Ok(()),
    }
}

fn report(outcome: Outcome, tested: &Tested, output: &Output) -> Result<ExitCode, Failure> {
    let complete = outcome.is_complete();
    let name = |step: usize| outcome.plan.steps.get(step).map(|step| step.node.full_name());
    let made: Vec<Value> = outcome
        .made
        .iter()
        .map(|(step, report)| {
            json!({
                "of": name(*step),
                "model": report.node.full_name(),
                "id": report.node.id().to_string(),
                "added_bytes": report.added_bytes,
                "notes": notes_json(&report.notes),
            })
        })
        .collect();
    let failed: Vec<Value> = outcome
        .failed
        .iter()
        .map(|(step, error)| {
            json!({ "model": name(*step), "code": error.code(), "message": full_message(error) })
        })
        .collect();
    let blocked: Vec<_> = outcome.blocked.iter().map(|step| name(*step)).collect();
    let text = format!(
        "{}{}{} made, {} failed, {} not tried\n",
        tested.text,
        if tested.text.is_empty() { "" } else { "\n" },
        count(made.len() as u64, "model"),
        failed.len(),
        outcome.plan.left() - made.len() - failed.len()
    );
    let document = json!({
        "plan": document(&outcome.plan),
        "made": made,
        "failed": failed,
        "blocked": blocked,
        "tests": tested.documents,
    });
    match outcome.stopped {
        Some(Stopped::Failed(error)) => {
            let failure = Failure::from(error);
            return Err(failure.and(&format!("{} made: --resume makes the rest", made.len())));
        }
        Some(_) => return Err(Failure::ClosedPipe),
        None => output.print(document, &text)?,
    }
    Ok(if complete && !tested.fails { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn how(step: &Step) -> String {
    match &step.state {
        StepState::ToDo(function) => function.clone(),
        StepState::Impossible(reason) => format!("cannot be made: {reason}"),
        StepState::Made(node) => format!("made already: {}", node.full_name()),
    }
}

/// The plan as a tree: every model below the first of its parents that is new, the others named.
fn tree(plan: &UpdatePlan, output: &Output) -> String {
    let below = |step: &Step| {
        step.parents.iter().find_map(|parent| match parent.to {
            StepSource::Step(at) => Some(at),
            StepSource::Node(_) => None,
        })
    };
    let mut children: Vec<Vec<usize>> = vec![Vec::new(); plan.steps.len() + 1];
    for (at, step) in plan.steps.iter().enumerate() {
        let place = below(step).map_or(0, |parent| parent + 1);
        children.get_mut(place).into_iter().for_each(|places| places.push(at));
    }
    let mut text = format!(
        "{} -> {}: {} to make\n",
        plan.old.full_name(),
        plan.new.full_name(),
        count(plan.left() as u64, "model")
    );
    // (step, what stands before it, whether it is the last of its parent's)
    let last = |places: &[usize], before: &str| -> Vec<(usize, String, bool)> {
        let count = places.len();
        let place = |(at, step): (usize, &usize)| (*step, before.to_owned(), at + 1 == count);
        places.iter().enumerate().map(place).rev().collect()
    };
    let mut stack = last(&children[0], "");
    while let Some((at, before, is_last)) = stack.pop() {
        let step = &plan.steps[at];
        let first = below(step);
        let others = step.parents.iter().filter_map(|parent| match &parent.to {
            StepSource::Step(other) if Some(*other) != first => {
                Some(plan.steps[*other].node.full_name())
            }
            StepSource::Node(node) if first.is_some() || node.id() != plan.new.id() => {
                Some(node.full_name())
            }
            _ => None,
        });
        let others: Vec<String> = others.collect();
        let also =
            if others.is_empty() { String::new() } else { format!(", with {}", others.join(", ")) };
        let name = output.paint(Ink::Name, &step.node.full_name());
        let how = output.paint(Ink::Faint, &format!("{}{also}", how(step)));
        text += &format!("{before}{} {name}  {how}\n", if is_last { "└─" } else { "├─" });
        let before = format!("{before}{}", if is_last { "   " } else { "│  " });
        stack.extend(last(&children[at + 1], &before));
    }
    text
}

fn document(plan: &UpdatePlan) -> Value {
    let source = |source: &StepSource| match source {
        StepSource::Node(node) => json!({ "model": node.full_name() }),
        StepSource::Step(step) => json!({ "step": step }),
    };
    let step = |step: &Step| {
        let parents: Vec<Value> = step.parents.iter().map(|parent| source(&parent.to)).collect();
        let (state, more) = match &step.state {
            StepState::ToDo(function) => ("to-do", function.clone()),
            StepState::Impossible(reason) => ("impossible", reason.clone()),
            StepState::Made(node) => ("made", node.full_name()),
        };
        json!({
            "of": step.node.full_name(),
            "parents": parents,
            "state": state,
            "by": more,
        })
    };
    json!({
        "id": plan.id,
        "old": plan.old.full_name(),
        "new": plan.new.full_name(),
        "steps": plan.steps.iter().map(step).collect::<Vec<_>>(),
    })
}
