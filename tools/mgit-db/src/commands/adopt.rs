//! `adopt`: model files, arranged as families.

use std::collections::{HashMap, HashSet};
use std::io::{self, BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};

use mgit::infer::{Arrangement, CLAIMED_FROM, Member, Origin, Parent, arrange_in};
use mgit::store::ImportReport;
use mgit::{How, Store};
use serde_json::{Value, json};

use super::import::with_imported;
use crate::failure::Failure;
use crate::model_input::{LeftOut, ModelInput, add, check_there, model_files, name_of};
use crate::opening;
use crate::output::{Ink, Output};
use crate::parentage::{NO_RELATIVE, Parentage, parent_place, reasons, unsure, unsure_document};
use crate::progress::Progress;
use crate::text::{count, shown};

/// Take model files in any order, and find out who descends from whom.
///
/// Each becomes a model of its file's name: a child of another file, or of a model of the store,
/// that it is found to descend from, else a root. The families that are found are shown first;
/// nothing is imported before they are approved. A direction is claimed from a confidence of 90 %
/// on; relatives below that are shown as such, and become roots. What a folder holds besides models
/// is named as left out, and is no failure. Without a terminal to ask at, and with --json, give
/// --yes or --dry-run. (For one model with a name,
/// metadata or a profile of your choice: import --parent auto.)
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  mgit-db adopt family.mgit downloads
  mgit-db adopt family.mgit mystery.safetensors --dry-run --why
  mgit-db adopt family.mgit downloads more/*.safetensors --yes")]
pub struct Arguments {
    /// The store
    store: PathBuf,
    /// Model files, and folders: their .safetensors and .onnx files, and their folders with an
    /// index; other sub-folders are not searched
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
}

/// As `infer`, which this command was once called for files: shows the evidence, does not ask.
///
/// # Errors
///
/// As [`run`]; `--yes`, where nothing is asked.
pub fn run_infer(mut arguments: Arguments, output: &Output) -> Result<(), Failure> {
    if arguments.yes {
        return Err(Failure::usage("infer never asks: leave out --yes, or write adopt for infer"));
    }
    (arguments.yes, arguments.why) = (!arguments.dry_run, true);
    run(&arguments, output)
}

/// Arranges the files, asks, and imports them.
///
/// # Errors
///
/// A file that cannot be read; a name that two files would have; nobody to ask. Files imported
/// before a failure stay, and are named.
pub fn run(arguments: &Arguments, output: &Output) -> Result<(), Failure> {
    let must_ask = !arguments.yes && !arguments.dry_run;
    if must_ask && (output.is_json() || !io::stdin().is_terminal()) {
        let message = "nobody can be asked whether to import what is found: add --yes to import \
                       it, or --dry-run to see it";
        return Err(Failure::usage(message));
    }
    let (paths, others) = files_of(&arguments.paths)?;
    // Before anything is read: it must be there.
    let store = opening::open_read_only(&arguments.store).map_err(opening::or_init)?;
    let files = Files::open(paths, others)?;
    let plan = Findings::of(&files, store)?.plan(arguments.why, output);
    output.text(&plan.text)?;
    let approved = !arguments.dry_run && (arguments.yes || ask(output)?);
    let mut documents = plan.documents;
    if approved {
        let store = opening::open_shared(&arguments.store)?;
        for (at, name) in import_all(&store, &files, &plan.steps, output)? {
            if let Some(document) = documents.get_mut(at) {
                document["model"] = name.into();
            }
        }
        output.text(&format!("imported {}\n", count(files.names.len() as u64, "model")))?;
    } else {
        output.text("nothing was imported\n")?;
    }
    let left_out: Vec<Value> = files.left_out.iter().map(left_out_document).collect();
    let (unsure, imported) = (plan.unsure, approved);
    let document = json!({
        "models": documents, "unsure": unsure, "left_out": left_out, "imported": imported,
    });
    output.print(document, "")
}

/// The model files that are named, and those of the folders that are; and what else is there.
fn files_of(paths: &[PathBuf]) -> Result<(Vec<PathBuf>, Vec<LeftOut>), Failure> {
    let (mut files, mut others) = (Vec::new(), Vec::new());
    for path in paths {
        check_there(path)?;
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let found = model_files(path)?;
        if found.models.is_empty() {
            return Err(no_model_files(path, &found.others));
        }
        files.extend(found.models);
        others.extend(found.others);
    }
    // What is named by itself is not left out.
    others.retain(|other| !files.contains(&other.path));
    Ok((files, others))
}

fn no_model_files(folder: &Path, others: &[LeftOut]) -> Failure {
    const NAMED_MAX: usize = 5;
    let mut message = format!(
        "no model files in {folder:?}: .safetensors and .onnx files are read, and folders with an \
         index"
    );
    for LeftOut { path, reason } in others.iter().take(NAMED_MAX) {
        message += &format!("; left out {path:?}: {reason}");
    }
    let more = others.len().saturating_sub(NAMED_MAX);
    message += &if more > 0 { format!("; and {more} more") } else { String::new() };
    Failure::failed("file-not-found", message)
}

fn names_of(paths: &[PathBuf]) -> Result<Vec<String>, Failure> {
    let names: Vec<String> = paths.iter().map(|path| name_of(path)).collect();
    let mut taken: HashMap<&str, &Path> = HashMap::new();
    for (name, path) in names.iter().zip(paths) {
        if let Some(other) = taken.insert(name, path) {
            return Err(name_twice(name, other, path));
        }
    }
    Ok(names)
}

fn name_twice(name: &str, first: &Path, second: &Path) -> Failure {
    let real = |path: &Path| path.canonicalize().ok();
    let is_one = real(first).is_some_and(|path| Some(path) == real(second));
    let message = if first == second {
        format!("{first:?} is given twice, by its name or with its folder: give it once")
    } else if is_one {
        format!("{first:?} and {second:?} are the same file: give it once")
    } else {
        format!(
            "two files would be called {name}, {first:?} and {second:?}: rename one, or bring it in \
             with `mgit-db import --name`"
        )
    };
    Failure::failed("name-twice", message)
}

fn left_out_document(left_out: &LeftOut) -> Value {
    json!({ "file": left_out.path.display().to_string(), "reason": left_out.reason })
}

/// Files that come together; each has one place in the first three.
struct Files {
    paths: Vec<PathBuf>,
    inputs: Vec<ModelInput>,
    names: Vec<String>,
    /// What is in their folders and is not read.
    left_out: Vec<LeftOut>,
}

impl Files {
    fn open(paths: Vec<PathBuf>, mut left_out: Vec<LeftOut>) -> Result<Self, Failure> {
        let names = names_of(&paths)?;
        let inputs = paths.iter().map(|path| ModelInput::open(path));
        let inputs: Vec<ModelInput> = inputs.collect::<Result<_, _>>()?;
        let parts = paths.iter().zip(&inputs).flat_map(|(path, input)| input.parts(path));
        let parts: HashSet<PathBuf> = parts.collect();
        left_out.retain(|other| !parts.contains(&other.path));
        Ok(Files { paths, inputs, names, left_out })
    }
}

/// What is to be done, in texts and ids: nothing here keeps a snapshot of the store alive, so that
/// the imports can use again what earlier ones have freed.
struct Plan {
    /// For people.
    text: String,
    /// Of each file, for programs.
    documents: Vec<Value>,
    unsure: Vec<Value>,
    /// Of each file, parents before children.
    steps: Vec<Step>,
}

/// A file to be imported.
struct Step {
    at: usize,
    /// The parent, and how the model was made of it.
    parent: Option<(ParentId, How)>,
}

enum ParentId {
    /// That of the file at this place, when it is imported.
    File(usize),
    /// A model of the store: names may be given to others meanwhile.
    Stored(String),
}

/// What was found of files.
struct Findings<'f> {
    files: &'f Files,
    arrangement: Arrangement,
}

impl<'f> Findings<'f> {
    /// Reads the files, and what of the store may be their relatives.
    fn of(files: &'f Files, store: Store) -> Result<Self, Failure> {
        let members = files.inputs.iter().zip(&files.names);
        let members = members.map(|(input, name)| input.member(name));
        let members: Vec<Member<'_>> = members.collect::<Result<_, _>>()?;
        let arrangement = arrange_in(&store.snapshot()?, &members)?;
        Ok(Findings { files, arrangement })
    }

    fn plan(self, why: bool, output: &Output) -> Plan {
        let step = |(at, _): (usize, usize)| {
            let parent = self.arrangement.origins.get(at).and_then(Origin::parent);
            let parent = parent.map(|(parent, kinship)| match parent {
                Parent::Member(place) => (ParentId::File(place), kinship.how),
                Parent::Stored(model) => {
                    (ParentId::Stored(model.node().id().to_string()), kinship.how)
                }
            });
            Step { at, parent }
        };
        Plan {
            text: self.describe(why, output),
            documents: self.documents(),
            unsure: self.unsure_documents(),
            steps: self.order().into_iter().map(step).collect(),
        }
    }

    fn name(&self, at: usize) -> &str {
        self.files.names.get(at).map_or("", String::as_str)
    }

    fn parentages(&self) -> impl Iterator<Item = Parentage<'_>> {
        let origins = self.files.names.iter().zip(&self.arrangement.origins);
        origins.map(|(name, origin)| Parentage::of(name, origin, &self.files.names))
    }

    /// The models that come from each; from none of the files.
    fn children(&self) -> HashMap<Option<usize>, Vec<usize>> {
        let mut children: HashMap<Option<usize>, Vec<usize>> = HashMap::new();
        for (at, origin) in self.arrangement.origins.iter().enumerate() {
            children.entry(parent_place(origin)).or_default().push(at);
        }
        children
    }

    /// All, each with its depth: parents before children.
    fn order(&self) -> Vec<(usize, usize)> {
        let children = self.children();
        let below = |at: Option<usize>| children.get(&at).into_iter().flatten().rev();
        let mut order = Vec::with_capacity(self.files.names.len());
        let mut stack: Vec<(usize, usize)> = below(None).map(|root| (*root, 0)).collect();
        while let Some((at, depth)) = stack.pop() {
            order.push((at, depth));
            stack.extend(below(Some(at)).map(|child| (*child, depth + 1)));
        }
        order
    }

    fn describe(&self, why: bool, output: &Output) -> String {
        let parentages: Vec<Parentage<'_>> = self.parentages().collect();
        let mut text = String::new();
        for (at, depth) in self.order() {
            let Some(parentage) = parentages.get(at) else { continue };
            let indent = "  ".repeat(depth);
            text += &format!("{indent}{}", output.paint(Ink::Name, self.name(at)));
            match parentage.claim() {
                Some(claim) => {
                    text += &output.paint(Ink::Faint, &format!("  {claim}"));
                    text.push('\n');
                    text += &if why {
                        parentage.reasons(&format!("{indent}    "))
                    } else {
                        String::new()
                    };
                }
                None if self.is_alone(at, parentage) => text += &format!("  {NO_RELATIVE}\n"),
                None => text.push('\n'),
            }
        }
        for kinship in &self.arrangement.unsure {
            let (parent, child) = (self.name(kinship.parent), self.name(kinship.child));
            text += &format!("{}\n", unsure(parent, child, kinship));
            text += &if why { reasons(kinship, "    ") } else { String::new() };
        }
        for parentage in &parentages {
            let Some(doubt) = parentage.doubt() else { continue };
            text += &format!("{doubt}\n");
            text += &if why { parentage.reasons("    ") } else { String::new() };
        }
        let roots = self.arrangement.origins.iter().filter(|origin| origin.parent().is_none());
        text += &format!(
            "{}, {}; directions are claimed from {:.0} % on\n",
            count(self.files.names.len() as u64, "model"),
            count(roots.count() as u64, "root"),
            CLAIMED_FROM * 100.0
        );
        for LeftOut { path, reason } in &self.files.left_out {
            text += &format!("left out {}: {reason}\n", shown_path(path));
        }
        text
    }

    /// Whether no relative was found, in the store or among the files.
    fn is_alone(&self, at: usize, parentage: &Parentage<'_>) -> bool {
        let origins = self.arrangement.origins.iter();
        let mut unsure = self.arrangement.unsure.iter();
        !parentage.has_nearest()
            && !origins.map(parent_place).any(|parent| parent == Some(at))
            && !unsure.any(|kinship| kinship.parent == at || kinship.child == at)
    }

    fn documents(&self) -> Vec<Value> {
        let named = self.parentages().zip(self.files.paths.iter().zip(&self.files.names));
        let document = |(parentage, (path, name)): (Parentage<'_>, (&PathBuf, &String))| {
            let mut document = parentage.document();
            document["file"] = path.display().to_string().into();
            document["name"] = name.as_str().into();
            document
        };
        named.map(document).collect()
    }

    fn unsure_documents(&self) -> Vec<Value> {
        let unsure = self.arrangement.unsure.iter();
        let name = |at: usize| self.name(at);
        unsure.map(|it| unsure_document(name(it.parent), name(it.child), it)).collect()
    }
}

/// Imports all files, says so of each, and returns the places and the names of the models.
fn import_all(
    store: &Store,
    files: &Files,
    steps: &[Step],
    output: &Output,
) -> Result<Vec<(usize, String)>, Failure> {
    let mut ids: HashMap<usize, String> = HashMap::new();
    let (mut places, mut imported) = (Vec::new(), Vec::new());
    for Step { at, parent } in steps {
        let file = files.paths.get(*at).zip(files.inputs.get(*at)).zip(files.names.get(*at));
        let Some(((path, input), name)) = file else { continue };
        let parent = parent.as_ref().and_then(|(parent, how)| match parent {
            ParentId::File(place) => Some((ids.get(place)?.clone(), *how)),
            ParentId::Stored(id) => Some((id.clone(), *how)),
        });
        let report = import(store, path, input, name, parent)
            .map_err(|failure| with_imported(failure.of(shown_path(path)), &imported))?;
        ids.insert(*at, report.node.id().to_string());
        imported.push(report.node.full_name());
        places.push(*at);
        let told = format!("{} imported as {}\n", shown_path(path), report.node.full_name());
        output.text(&told).map_err(|failure| with_imported(failure, &imported))?;
    }
    Ok(places.into_iter().zip(imported).collect())
}

fn shown_path(path: &Path) -> String {
    shown(&path.display().to_string())
}

fn import(
    store: &Store,
    path: &Path,
    input: &ModelInput,
    name: &str,
    parent: Option<(String, How)>,
) -> Result<ImportReport, Failure> {
    let bar = Progress::new(format!("import {}", path.display()), input.logical_bytes());
    let progress = |bytes| bar.advance(bytes);
    let mut model = input.model(name).progress(&progress);
    if let Some((parent, how)) = parent {
        model = model.parent(parent, how);
    }
    add(store, model)
}

/// Asks for approval.
fn ask(output: &Output) -> Result<bool, Failure> {
    output.text("import them so? [y/N] ")?;
    io::stdout().flush().map_err(|error| Failure::stdout(&error))?;
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer);
    read.map_err(|error| Failure::io("read the answer", &error))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
