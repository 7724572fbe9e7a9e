//! `infer`: where files belong in a store.

use std::path::{Path, PathBuf};

use mgit::infer::{Kinship, Placement, place};
use mgit::store::ImportReport;
use mgit::{How, Snapshot, Store};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::model_input::{ModelInput, name_of};
use crate::opening;
use crate::output::Output;
use crate::progress::Progress;
use crate::text::shown;

/// Find out which models of a store files descend from, and import them so.
///
/// Each file becomes a model of its own name, a child of the model that it is found to descend
/// from where that is sure enough, else a root.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  mgit-db infer family.mgit downloads/*.safetensors --dry-run
  mgit-db infer family.mgit mystery.safetensors")]
pub struct Arguments {
    /// The store
    store: PathBuf,
    /// Model files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Only say what is found
    #[arg(long)]
    dry_run: bool,
}

/// Places the files, one after the other.
///
/// # Errors
///
/// The first file that cannot be read or imported; those before it are in the store.
pub fn run(arguments: &Arguments, output: &Output) -> Result<(), Failure> {
    let dry = arguments.dry_run;
    let store = match dry {
        true => opening::open_read_only(&arguments.store)?,
        false => opening::open_shared(&arguments.store)?,
    };
    let mut documents = Vec::new();
    for path in &arguments.files {
        let input = ModelInput::open(path)?;
        let arrival = arrival(&store.snapshot()?, &input, &name_of(path))?;
        let mut document = document(&arrival);
        let file = path.display().to_string();
        output.text(&format!("{}\n{}", shown(&file), describe(&arrival)))?;
        if !dry {
            let parent = arrival.parent().map(|(model, kin)| (model.full_name(), kin.how));
            let report = take(&store, path, &input, &name_of(path), parent)?;
            output.text(&format!("  imported as {}\n", report.node.full_name()))?;
            document["model"] = report.node.full_name().into();
        }
        document["file"] = file.into();
        documents.push(document);
    }
    output.print(json!({ "files": documents }), "")
}

/// Where a model belongs in the store.
///
/// # Errors
///
/// It cannot be read.
pub fn arrival(snapshot: &Snapshot, input: &ModelInput, label: &str) -> Result<Placement, Failure> {
    Ok(place(snapshot, &input.member(label)?)?)
}

/// Imports a file with the parent that was found.
///
/// # Errors
///
/// It cannot be imported.
pub fn take(
    store: &Store,
    path: &Path,
    input: &ModelInput,
    name: &str,
    parent: Option<(String, How)>,
) -> Result<ImportReport, Failure> {
    let bar = Progress::new(format!("import {}", path.display()), input.logical_bytes());
    let progress = |bytes| bar.advance(bytes);
    let mut model = input.model(name)?.progress(&progress);
    if let Some((parent, how)) = parent {
        model = model.parent(parent, how);
    }
    let mut transaction = store.begin_write()?;
    let report = transaction.add_model(model)?;
    transaction.commit()?;
    Ok(report)
}

/// The reasons for a direction, a line each.
pub fn reasons(kinship: &Kinship, indent: &str) -> String {
    let line = |reason: &mgit::infer::Reason| {
        format!("{indent}{:+.1}  {}\n", reason.weight, shown(&reason.text))
    };
    kinship.reasons.iter().map(line).collect()
}

/// What was found, for people.
pub fn describe(arrival: &Placement) -> String {
    let (Some(nearest), Some(kinship)) = (&arrival.nearest, &arrival.kinship) else {
        return "  no relative among the models: a root\n".to_owned();
    };
    let name = nearest.full_name();
    let how = kinship.how;
    let found = match (arrival.parent().is_some(), kinship.child == 1) {
        (true, _) => format!("{how} of {name}"),
        (false, true) => format!("a relative of {name}, perhaps its child: not sure enough"),
        (false, false) => format!("a relative of {name}, rather its parent"),
    };
    let sure = kinship.confidence;
    format!(
        "  {found} ({:.0} % sure, {:.2} bits an element in common)\n{}",
        sure * 100.0,
        kinship.shared_bits,
        reasons(kinship, "    ")
    )
}

/// What was found, for programs.
pub fn document(arrival: &Placement) -> Value {
    let kin: Vec<Value> = arrival
        .kin
        .iter()
        .map(|(model, resemblance)| {
            json!({
                "model": model.full_name(),
                "correlation": resemblance.correlation,
                "inherited": resemblance.inherited,
                "shared_bits": resemblance.shared_bits,
            })
        })
        .collect();
    json!({
        "parent": arrival.parent().map(|(model, _)| model.full_name()),
        "nearest": arrival.nearest.as_ref().map(|model| model.full_name()),
        "is_child": arrival.kinship.as_ref().map(|kinship| kinship.child == 1),
        "how": arrival.kinship.as_ref().map(|kinship| kinship.how.to_string()),
        "confidence": arrival.kinship.as_ref().map(|kinship| kinship.confidence),
        "reasons": arrival.kinship.as_ref().map(reason_documents),
        "kin": kin,
        "candidates": arrival.candidates,
    })
}

/// The reasons, for programs.
pub fn reason_documents(kinship: &Kinship) -> Vec<Value> {
    let reason =
        |reason: &mgit::infer::Reason| json!({ "text": reason.text, "weight": reason.weight });
    kinship.reasons.iter().map(reason).collect()
}
