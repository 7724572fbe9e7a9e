//! `adopt`: a folder of files, arranged as families.

use std::collections::{HashMap, HashSet};
use std::io::{self, BufRead, IsTerminal, Write};
use std::path::PathBuf;

use mgit::How;
use mgit::infer::{CLAIMED_FROM, Kinship, Member, arrange, place};
use serde_json::{Value, json};

use super::infer::{reason_documents, reasons, take};
use crate::failure::Failure;
use crate::model_input::{ModelInput, model_files, name_of};
use crate::opening;
use crate::output::{Ink, Output};
use crate::text::count;

/// Take a whole folder of model files, in any order, and find out who descends from whom.
///
/// The families that are found are shown first; nothing is imported before they are approved.
/// A direction is claimed from a confidence of 90 % on; relatives below that are shown as such,
/// and become roots.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  mgit-db adopt family.mgit downloads
  mgit-db adopt family.mgit downloads --yes")]
pub struct Arguments {
    /// The store
    store: PathBuf,
    /// The folder: its .safetensors and .onnx files, and its folders with an index
    folder: PathBuf,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Show why each direction was chosen
    #[arg(long)]
    why: bool,
}

/// A file's place in the plan.
struct Planned {
    path: PathBuf,
    name: String,
    /// The place of its parent in the plan, or the parent in the store.
    parent: Option<(Result<usize, String>, How)>,
    kinship: Option<Kinship>,
}

/// Arranges the folder, asks, and imports it.
///
/// # Errors
///
/// A file that cannot be read; a name that two files would have. Files imported before a failure
/// stay.
pub fn run(arguments: &Arguments, output: &Output) -> Result<(), Failure> {
    let paths = model_files(&arguments.folder)?;
    if paths.is_empty() {
        let message = format!("no model files in {:?}", arguments.folder);
        return Err(Failure::failed("file-not-found", message));
    }
    // Before anything is read: it must be there.
    let store = opening::open_read_only(&arguments.store)?;
    let inputs = paths.iter().map(|path| ModelInput::open(path));
    let inputs: Vec<ModelInput> = inputs.collect::<Result<_, _>>()?;
    let names: Vec<String> = paths.iter().map(|path| name_of(path)).collect();
    let mut taken = HashSet::new();
    if let Some(name) = names.iter().find(|name| !taken.insert(*name)) {
        let message = format!("two files of the folder would be called {name}: rename one");
        return Err(Failure::failed("name-twice", message));
    }
    let members = inputs.iter().zip(&names).map(|(input, name)| input.member(name));
    let members: Vec<Member<'_>> = members.collect::<Result<_, _>>()?;
    let kinships = arrange(&members)?;
    let mut plan: Vec<Planned> = paths
        .into_iter()
        .zip(names)
        .map(|(path, name)| Planned { path, name, parent: None, kinship: None })
        .collect();
    let mut unsure = Vec::new();
    for kinship in kinships {
        match plan.get_mut(kinship.child).filter(|_| kinship.is_claimed()) {
            Some(child) => {
                child.parent = Some((Ok(kinship.parent), kinship.how));
                child.kinship = Some(kinship);
            }
            None => unsure.push(kinship),
        }
    }
    let snapshot = store.snapshot()?;
    if !snapshot.nodes()?.is_empty() {
        for (planned, member) in plan.iter_mut().zip(&members).filter(|(p, _)| p.parent.is_none()) {
            let arrival = place(&snapshot, member)?;
            if let Some((model, kinship)) = arrival.parent() {
                planned.parent = Some((Err(model.full_name()), kinship.how));
                planned.kinship = Some(kinship.clone());
            }
        }
    }
    drop(members);
    output.text(&describe(&plan, &unsure, arguments.why, output))?;
    let approved = arguments.yes || ask(output)?;
    let mut documents = documents(&plan);
    if approved {
        drop((snapshot, store));
        let store = opening::open_shared(&arguments.store)?;
        let mut imported: HashMap<usize, String> = HashMap::new();
        for at in order(&plan) {
            let (Some(planned), Some(input)) = (plan.get(at), inputs.get(at)) else { continue };
            let parent = planned.parent.as_ref().and_then(|(parent, how)| {
                let parent = match parent {
                    Ok(place) => imported.get(place)?.clone(),
                    Err(stored) => stored.clone(),
                };
                Some((parent, *how))
            });
            let report = take(&store, &planned.path, input, &planned.name, parent)?;
            imported.insert(at, report.node.full_name());
            if let Some(document) = documents.get_mut(at) {
                document["model"] = report.node.full_name().into();
            }
        }
        output.text(&format!("imported {}\n", count(imported.len() as u64, "model")))?;
    } else {
        output.text("nothing was imported: --yes does it\n")?;
    }
    let unsure: Vec<Value> = unsure.iter().map(|kinship| unsure_document(&plan, kinship)).collect();
    output.print(json!({ "models": documents, "unsure": unsure, "imported": approved }), "")
}

/// Parents before children.
fn order(plan: &[Planned]) -> Vec<usize> {
    let mut order = Vec::new();
    let mut done = HashSet::new();
    // A tree's depth is below the number of models.
    while order.len() < plan.len() {
        let before = order.len();
        for (at, planned) in plan.iter().enumerate() {
            let ready = match &planned.parent {
                Some((Ok(parent), _)) => done.contains(parent),
                _ => true,
            };
            if ready && done.insert(at) {
                order.push(at);
            }
        }
        if order.len() == before {
            break;
        }
    }
    order
}

fn name(plan: &[Planned], at: usize) -> &str {
    plan.get(at).map_or("", |planned| planned.name.as_str())
}

fn describe(plan: &[Planned], unsure: &[Kinship], why: bool, output: &Output) -> String {
    let mut children: HashMap<Option<usize>, Vec<usize>> = HashMap::new();
    for (at, planned) in plan.iter().enumerate() {
        let parent = match &planned.parent {
            Some((Ok(parent), _)) => Some(*parent),
            _ => None,
        };
        children.entry(parent).or_default().push(at);
    }
    let mut text = String::new();
    let roots = children.get(&None).into_iter().flatten().rev();
    let mut stack: Vec<(usize, usize)> = roots.map(|root| (*root, 0)).collect();
    while let Some((at, depth)) = stack.pop() {
        let Some(planned) = plan.get(at) else { continue };
        let indent = "  ".repeat(depth);
        text += &format!("{indent}{}", output.paint(Ink::Name, &planned.name));
        if let (Some((parent, how)), Some(kinship)) = (&planned.parent, &planned.kinship) {
            let of = match parent {
                Err(stored) => format!(" of {stored}, in the store"),
                Ok(_) => String::new(),
            };
            let sure = format!("  {how}{of}, {:.0} % sure", kinship.confidence * 100.0);
            text += &output.paint(Ink::Faint, &sure);
            text.push('\n');
            if why {
                text += &reasons(kinship, &format!("{indent}    "));
            }
        } else {
            text.push('\n');
        }
        let below = children.get(&Some(at)).into_iter().flatten().rev();
        stack.extend(below.map(|child| (*child, depth + 1)));
    }
    for kinship in unsure {
        text += &format!(
            "{} and {} are relatives; which came first is not sure ({:.0} %: {})\n",
            name(plan, kinship.parent),
            name(plan, kinship.child),
            kinship.confidence * 100.0,
            name(plan, kinship.parent),
        );
        if why {
            text += &reasons(kinship, "    ");
        }
    }
    let roots = children.get(&None).map_or(0, Vec::len);
    text += &format!(
        "{}, {}; directions are claimed from {:.0} % on\n",
        count(plan.len() as u64, "model"),
        count(roots as u64, "root"),
        CLAIMED_FROM * 100.0
    );
    text
}

/// Asks for approval, where somebody is there to give it.
fn ask(output: &Output) -> Result<bool, Failure> {
    if output.is_json() || !io::stdin().is_terminal() {
        return Ok(false);
    }
    output.text("import them so? [y/N] ")?;
    io::stdout().flush().map_err(|error| Failure::stdout(&error))?;
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer);
    read.map_err(|error| Failure::io("read the answer", &error))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn documents(plan: &[Planned]) -> Vec<Value> {
    let document = |planned: &Planned| {
        let parent = planned.parent.as_ref().map(|(parent, _)| match parent {
            Ok(place) => name(plan, *place).to_owned(),
            Err(stored) => stored.clone(),
        });
        json!({
            "file": planned.path.display().to_string(),
            "name": planned.name,
            "parent": parent,
            "how": planned.parent.as_ref().map(|(_, how)| how.to_string()),
            "confidence": planned.kinship.as_ref().map(|kinship| kinship.confidence),
            "reasons": planned.kinship.as_ref().map(reason_documents),
        })
    };
    plan.iter().map(document).collect()
}

fn unsure_document(plan: &[Planned], kinship: &Kinship) -> Value {
    json!({
        "rather_parent": name(plan, kinship.parent),
        "rather_child": name(plan, kinship.child),
        "confidence": kinship.confidence,
        "reasons": reason_documents(kinship),
    })
}
