//! `adopt`: models of any form, arranged as families.

use std::path::PathBuf;
use std::process::ExitCode;

use mgit::adoption::{AdoptionPlan, Arrivals};
use mgit::interchange::SourceOptions;
use serde_json::{Value, json};

use crate::adoption::{Brought, bring, describe, document, unsure_documents};
use crate::arrival::ArrivalArguments;
use crate::failure::Failure;
use crate::globs::{check_globs, unused_globs_json, unused_globs_text};
use crate::opening;
use crate::output::Output;
use crate::question::{ask, can_ask};
use crate::text::count;

/// Take models in any order, and find out who descends from whom.
///
/// Folders are searched with all their folders: model folders, loose files of weights, runs, and
/// Hugging Face caches. The folders checkpoint-N of a run are versions of one model, in the order of
/// their steps, and the run's own model is the last version; so are the revisions of a repository
/// of a cache, whose name is ORG/NAME. Other models are called as their place in the folder.
///
/// Each becomes a child of another, or of a model of the store, that it is found to descend from,
/// else a root. A base that a card or an adapter's settings name is believed as far as the weights
/// agree. The families that are found are shown first; nothing is imported before they are
/// approved. A direction is claimed from a confidence of 90 % on: of claims of so much, one or two in a
/// hundred were wrong in families that it was not learnt from. Relatives below that are shown as
/// such, and become roots. Siblings whose parent may not be among the models are kin without a
/// direction: the second names the first under the key kin of its metadata; a parent that comes later
/// is shown, and no edge is added to what is stored. What is in the store already, whichever version,
/// is passed over; other content under a name that is there becomes its next version. What a folder
/// holds besides models is named as left out, and is no failure. A model that cannot be read is named, and the others go
/// in; the exit code is 1 then. Without a terminal to ask at, and with --json, give --yes or
/// --dry-run. (For one model with a name, metadata or a profile of your choice: import --parent
/// auto.)
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  mgit-db adopt family.mgit downloads
  mgit-db adopt family.mgit runs/sst2 --yes
  mgit-db adopt family.mgit ~/.cache/huggingface/hub --dry-run
  mgit-db adopt family.mgit mystery.safetensors --dry-run --why
  mgit-db adopt family.mgit downloads more/*.safetensors --exclude '*.npy' --yes")]
pub struct Arguments {
    /// The store
    store: PathBuf,
    /// Files of weights, model folders, and folders in which these are
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Do not ask
    #[arg(long, conflicts_with = "dry_run")]
    yes: bool,
    /// Only say what is found
    #[arg(long)]
    dry_run: bool,
    /// Show the evidence for each direction
    #[arg(long)]
    why: bool,
    /// Leave out files and folders; may be given several times. The glob is held against a path in
    /// the folder, its name, and the folders that it lies in
    #[arg(long, value_name = "GLOB")]
    exclude: Vec<String>,
    /// Follow links that lead out of the folder
    #[arg(long)]
    follow_links: bool,
    #[command(flatten)]
    arrival: ArrivalArguments,
}

/// As `infer`, which this command was once called for files: shows the evidence, does not ask.
///
/// # Errors
///
/// As [`run`]; `--yes`, where nothing is asked.
pub fn run_infer(mut arguments: Arguments, output: &Output) -> Result<ExitCode, Failure> {
    if arguments.yes {
        return Err(Failure::usage("infer never asks: leave out --yes, or write adopt for infer"));
    }
    (arguments.yes, arguments.why) = (!arguments.dry_run, true);
    run(&arguments, output)
}

/// Arranges the models, asks, and imports them.
///
/// # Errors
///
/// A path without models; a name that two would have; nobody to ask; a model that cannot be read,
/// when the others are imported.
pub fn run(arguments: &Arguments, output: &Output) -> Result<ExitCode, Failure> {
    let must_ask = !arguments.yes && !arguments.dry_run;
    if must_ask && !can_ask(output) {
        let message = "nobody can be asked whether to import what is found: add --yes to import \
                       it, or --dry-run to see it";
        return Err(Failure::usage(message));
    }
    let options = SourceOptions::new().follow_links(arguments.follow_links);
    let options = arguments.exclude.iter().fold(options, |options, glob| options.exclude(glob));
    // Before anything is read: paths and store must be there.
    let store = opening::open_read_only(&arguments.store).map_err(opening::or_init)?;
    let globs = arguments.exclude.iter().map(|glob| ("--exclude", glob));
    check_globs(&arguments.paths, globs)?;
    let mut plan = Arrivals::find(&arguments.paths, &options)?.plan(&store.snapshot()?)?;
    drop(store);
    let failed = std::mem::take(&mut plan.failed).into_iter();
    let failed: Vec<(PathBuf, Failure)> = failed.map(|it| (it.path, it.error.into())).collect();
    if plan.models.is_empty() {
        return not_all(&failed, false).map_or(Ok(ExitCode::SUCCESS), Err);
    }
    output.text(&describe(&plan, &failed, arguments.why, output))?;
    output.text(&unused_globs_text(&options, ""))?;
    let is_new = plan.new_count() > 0;
    let approved =
        is_new && !arguments.dry_run && (arguments.yes || ask("import them so?", output)?);
    let mut brought = Brought::default();
    if approved {
        let store = opening::open_shared(&arguments.store)?;
        brought = bring(&store, &plan, arguments.arrival.repack(), output)?;
        let imported = count(brought.added.len() as u64, "model");
        output.text(&format!("imported {imported}\n"))?;
    } else if is_new {
        output.text("nothing was imported\n")?;
    } else {
        output.text("nothing to import: what can be read is there already\n")?;
    }
    let unused = unused_globs_json(&options);
    finish((&plan, failed), brought, (approved, unused), output)
}

/// Says what was done; what was not is the failure.
fn finish(
    (plan, failed): (&AdoptionPlan, Vec<(PathBuf, Failure)>),
    brought: Brought,
    (approved, unused_globs): (bool, Value),
    output: &Output,
) -> Result<ExitCode, Failure> {
    let models = plan.models.iter().enumerate();
    let mut documents: Vec<Value> = models.map(|(at, model)| document(plan, at, model)).collect();
    for (at, name) in &brought.models {
        if let Some(document) = documents.get_mut(*at) {
            document["model"] = name.as_str().into();
        }
    }
    let left_out = plan.left_out.iter();
    let left_out = left_out.map(|left| json!({ "file": left.path, "reason": left.reason }));
    let failed: Vec<(PathBuf, Failure)> = failed.into_iter().chain(brought.failed).collect();
    let failures: Vec<Value> = failed
        .iter()
        .map(|(path, failure)| {
            json!({
                "file": path.display().to_string(),
                "code": failure.code(),
                "message": failure.to_string(),
            })
        })
        .collect();
    let mut document = json!({
        "models": documents,
        "unsure": unsure_documents(plan),
        "left_out": left_out.collect::<Vec<Value>>(),
        "unused_globs": unused_globs,
        "imported": approved,
        "failed": failures,
    });
    let Some(failure) = not_all(&failed, !output.is_json()) else {
        output.print(document, "")?;
        return Ok(ExitCode::SUCCESS);
    };
    let failure = failure.after(&brought.added);
    if !output.is_json() {
        return Err(failure);
    }
    document["error"] = json!({ "code": failure.code(), "message": failure.to_string() });
    output.print(document, "")?;
    Ok(ExitCode::FAILURE)
}

/// Failures that one tells; what was said before is only counted.
const TOLD_MAX: usize = 5;

/// The failure of the models that were not taken.
fn not_all(failed: &[(PathBuf, Failure)], is_said: bool) -> Option<Failure> {
    let [(path, first), others @ ..] = failed else { return None };
    let code = first.code();
    if is_said {
        let message = match others.len() {
            0 => format!("1 model was not taken, as said above: {path:?}"),
            more => format!("{} models were not taken, as said above", more + 1),
        };
        return Some(Failure::failed(code, message));
    }
    let told = |(path, failure): &(PathBuf, Failure)| {
        let text = failure.to_string();
        let is_named = text.contains(&format!("{path:?}"));
        if is_named { text } else { format!("{path:?}: {text}") }
    };
    let mut message = failed.iter().take(TOLD_MAX).map(told).collect::<Vec<_>>().join("; ");
    if let more @ 1.. = failed.len().saturating_sub(TOLD_MAX) {
        message += &format!("; and {more} more");
    }
    Some(Failure::failed(code, message))
}
