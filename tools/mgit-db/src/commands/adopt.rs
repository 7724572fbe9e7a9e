//! `adopt`: model files, arranged as families.

use std::collections::{HashMap, HashSet};
use std::io::{self, BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};

use mgit::infer::{Arrangement, CLAIMED_FROM, Member, Origin, Parent, arrange_in};
use mgit::store::ImportReport;
use mgit::{How, Store};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::model_input::{ModelInput, add, check_there, model_files, name_of};
use crate::opening;
use crate::output::{Ink, Output};
use crate::parentage::{Parentage, parent_place, reasons, unsure, unsure_document};
use crate::progress::Progress;
use crate::text::count;

/// Take model files in any order, and find out who descends from whom.
///
/// Each becomes a model of its file's name: a child of another file, or of a model of the store,
/// that it is found to descend from, else a root. The families that are found are shown first;
/// nothing is imported before they are approved. A direction is claimed from a confidence of 90 %
/// on; relatives below that are shown as such, and become roots. (For one model with a name,
/// metadata or a profile of your choice: import --parent auto.)
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  mgit-db adopt family.mgit downloads
  mgit-db adopt family.mgit mystery.safetensors --dry-run --why
  mgit-db adopt family.mgit downloads more/*.safetensors --yes")]
pub struct Arguments {
    /// The store
    store: PathBuf,
    /// Model files, and folders: their .safetensors and .onnx files, and their folders with an index
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
/// As [`run`].
pub fn run_infer(mut arguments: Arguments, output: &Output) -> Result<(), Failure> {
    (arguments.yes, arguments.why) = (!arguments.dry_run, true);
    run(&arguments, output)
}

/// Arranges the files, asks, and imports them.
///
/// # Errors
///
/// A file that cannot be read; a name that two files would have. Files imported before a failure
/// stay.
pub fn run(arguments: &Arguments, output: &Output) -> Result<(), Failure> {
    let paths = files_of(&arguments.paths)?;
    // Before anything is read: it must be there.
    let store = opening::open_read_only(&arguments.store).map_err(opening::or_init)?;
    let inputs = paths.iter().map(|path| ModelInput::open(path));
    let inputs: Vec<ModelInput> = inputs.collect::<Result<_, _>>()?;
    let names = names_of(&paths)?;
    let arrangement = {
        let members = inputs.iter().zip(&names).map(|(input, name)| input.member(name));
        let members: Vec<Member<'_>> = members.collect::<Result<_, _>>()?;
        arrange_in(&store.snapshot()?, &members)?
    };
    drop(store);
    let plan = Plan { paths, inputs, names, arrangement };
    output.text(&plan.describe(arguments.why, output))?;
    let approved = !arguments.dry_run && (arguments.yes || ask(output)?);
    let mut documents = plan.documents();
    if approved {
        let imported = plan.import(&opening::open_shared(&arguments.store)?)?;
        for (at, report) in &imported {
            if let Some(document) = documents.get_mut(*at) {
                document["model"] = report.node.full_name().into();
            }
        }
        output.text(&format!("imported {}\n", count(imported.len() as u64, "model")))?;
    } else {
        let how = if arguments.dry_run { "" } else { ": --yes does it" };
        output.text(&format!("nothing was imported{how}\n"))?;
    }
    let unsure = plan.unsure_documents();
    output.print(json!({ "models": documents, "unsure": unsure, "imported": approved }), "")
}

/// The model files that are named, and those of the folders that are.
fn files_of(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    for path in paths {
        check_there(path)?;
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let found = model_files(path)?;
        if found.is_empty() {
            return Err(Failure::failed("file-not-found", format!("no model files in {path:?}")));
        }
        files.extend(found);
    }
    Ok(files)
}

fn names_of(paths: &[PathBuf]) -> Result<Vec<String>, Failure> {
    let names: Vec<String> = paths.iter().map(|path| name_of(path)).collect();
    let mut taken = HashSet::new();
    if let Some(name) = names.iter().find(|name| !taken.insert(*name)) {
        let message = format!("two files would be called {name}: rename one");
        return Err(Failure::failed("name-twice", message));
    }
    Ok(names)
}

/// Files, and what is to become of them; each has one place in all of these.
struct Plan {
    paths: Vec<PathBuf>,
    inputs: Vec<ModelInput>,
    names: Vec<String>,
    arrangement: Arrangement,
}

impl Plan {
    fn name(&self, at: usize) -> &str {
        self.names.get(at).map_or("", String::as_str)
    }

    fn parentages(&self) -> impl Iterator<Item = Parentage<'_>> {
        let origins = self.names.iter().zip(&self.arrangement.origins);
        origins.map(|(name, origin)| Parentage::of(name, origin, &self.names))
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
        let mut order = Vec::with_capacity(self.names.len());
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
            count(self.names.len() as u64, "model"),
            count(roots.count() as u64, "root"),
            CLAIMED_FROM * 100.0
        );
        text
    }

    fn documents(&self) -> Vec<Value> {
        let named = self.parentages().zip(self.paths.iter().zip(&self.names));
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

    /// Imports all, parents before children, by the ids of the parents: names may be given to
    /// others meanwhile. Returns what became of each.
    fn import(&self, store: &Store) -> Result<HashMap<usize, ImportReport>, Failure> {
        let mut imported: HashMap<usize, ImportReport> = HashMap::new();
        for (at, _) in self.order() {
            let Some(origin) = self.arrangement.origins.get(at) else { continue };
            let (Some(path), Some(input)) = (self.paths.get(at), self.inputs.get(at)) else {
                continue;
            };
            let parent = parent_of(origin, &imported);
            imported.insert(at, import(store, path, input, self.name(at), parent)?);
        }
        Ok(imported)
    }
}

/// The id of the parent, and how the model was made of it.
fn parent_of(origin: &Origin, imported: &HashMap<usize, ImportReport>) -> Option<(String, How)> {
    let (parent, kinship) = origin.parent()?;
    let id = match parent {
        Parent::Member(place) => imported.get(&place)?.node.id(),
        Parent::Stored(model) => model.node().id(),
    };
    Some((id.to_string(), kinship.how))
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
    let mut model = input.model(name)?.progress(&progress);
    if let Some((parent, how)) = parent {
        model = model.parent(parent, how);
    }
    add(store, model)
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
