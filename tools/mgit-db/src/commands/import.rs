//! `import`: models in files of any form, into a store.

use std::path::PathBuf;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use mgit::adoption::{Descent, ModelInput, add, find_parent};
use mgit::interchange::SourceOptions;
use mgit::lineage::{ModelName, PINNED_KEY};
use mgit::store::{Advice, AroundReport, ImportReport};
use mgit::{How, Profile, Store};
use serde_json::{Map, Value, json};

use super::recode::profile_parser;
use crate::arrival::{self, ArrivalArguments};
use crate::failure::Failure;
use crate::gate::{self, Gate};
use crate::globs::{check_globs, unused_globs_json, unused_globs_text};
use crate::model_argument::ModelArgument;
use crate::opening;
use crate::origin::{self, Came, Origin};
use crate::output::Output;
use crate::parentage::Told;
use crate::progress::Progress;
use crate::refusal::open_named;
use crate::taken;
use crate::text::{Side, Table, count, shown, size};

/// Bring models into a store: files of any format, and whole folders.
///
/// Everything comes back byte for byte. A folder is taken with all that belongs to the model:
/// configuration, tokenizer, training state; what is left out is listed with the reason. What
/// config.json, the model card and the like say becomes kind and metadata. Importing under a name
/// that is there already makes its next version, unless its latest version has the same files.
/// Several paths are successive versions, oldest first, each a transaction of its own.
///
/// hub:ORG/NAME is a model repository of the Hugging Face Hub, or of the host HF_ENDPOINT, at its
/// branch main; hub:ORG/NAME@REVISION at another, or at a tag or commit. The token is that of
/// HF_TOKEN, or the one that the Hub's own client keeps. What --exclude and --include leave out is
/// not downloaded. What was downloaded lies beside the store until it is imported: after a failure
/// or an interruption the same command goes on from there. Repository and commit become metadata,
/// hub.repository and hub.revision.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  mgit-db import family.mgit base.safetensors --name base
  mgit-db import family.mgit step1.safetensors step2.safetensors --name tuned --parent base
  mgit-db import family.mgit llama/ --name llama --kind llama --meta licence=other
  mgit-db import family.mgit run/checkpoint-500 --name run --exclude 'optimizer.pt' --exclude '*.log'
  mgit-db import family.mgit mystery.safetensors --name mystery --parent auto
  mgit-db import family.mgit hub:prajjwal1/bert-tiny
  mgit-db import family.mgit hub:org/tuned@v2 --exclude '*.bin' --name tuned --parent base
  mgit-db import family.mgit tuned.safetensors --name tuned --parent base --lossy quantised:1e-4 \\
      --gate 'python3 evaluate.py {model}' --max-drop 0.005 --higher-is-better")]
pub struct Arguments {
    /// The store; `init` makes one
    store: PathBuf,
    /// A model's folder, or a file: .safetensors, .bin, .pt, .gguf, .onnx, .npz or any other; of a
    /// sharded model its *.index.json or any of its files. Layers may be given in a file beside a
    /// single one: model.layers.json for model.safetensors. Or hub:ORG/NAME, hub:ORG/NAME@REVISION
    #[arg(required = true, value_name = "PATH")]
    files: Vec<PathBuf>,
    /// The model's name: letters, digits, '.', '_' and '-', in parts joined by '/' [default: of
    /// a model of a hub the repository's, ORG/NAME]
    #[arg(long)]
    name: Option<ModelName>,
    /// A model it was derived from; may be given several times. `auto` finds it, if it is there
    #[arg(long = "parent", value_name = "MODEL", value_parser = parse_parent)]
    parents: Vec<Parent>,
    /// How it was derived from its parents [default: finetune]
    #[arg(long, requires = "parents", value_parser = how_parser())]
    how: Option<How>,
    /// What kind of model it is, such as bert
    #[arg(long)]
    kind: Option<String>,
    /// A piece of metadata: JSON where V reads as JSON, else text; may be given several times
    #[arg(long = "meta", value_name = "K=V", value_parser = parse_metadata)]
    metadata: Vec<(String, Value)>,
    /// What to encode for
    #[arg(long, default_value_t, value_parser = profile_parser())]
    profile: Profile,
    /// How the model will be used: read-often keeps it raw, to be read without a copy, as `pin`
    #[arg(long, value_name = "USE", value_parser = ["read-often"], conflicts_with = "lossy")]
    advise: Option<String>,
    /// Leave out files of a folder; may be given several times. The glob is held against a file's
    /// path in the folder, its name, and the folders that it lies in
    #[arg(long, value_name = "GLOB")]
    exclude: Vec<String>,
    /// Take only these files of a folder; may be given several times
    #[arg(long, value_name = "GLOB")]
    include: Vec<String>,
    /// Follow links that lead out of the folder
    #[arg(long)]
    follow_links: bool,
    /// Make a new version even where the latest one has the same files
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    arrival: ArrivalArguments,
    #[command(flatten)]
    lossy: gate::LossyArguments,
}

impl Arguments {
    /// All globs, with their options.
    fn globs(&self) -> impl Iterator<Item = (&'static str, &String)> {
        let excluded = self.exclude.iter().map(|glob| ("--exclude", glob));
        excluded.chain(self.include.iter().map(|glob| ("--include", glob)))
    }

    fn source_options(&self) -> SourceOptions {
        let options = SourceOptions::new().follow_links(self.follow_links);
        let options = self.exclude.iter().fold(options, |options, glob| options.exclude(glob));
        self.include.iter().fold(options, |options, glob| options.include(glob))
    }
}

/// A parent as it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Parent {
    /// This one.
    Model(ModelArgument),
    /// Whichever it is.
    Auto,
}

fn parse_parent(text: &str) -> Result<Parent, mgit::lineage::LineageError> {
    if text == "auto" { Ok(Parent::Auto) } else { text.parse().map(Parent::Model) }
}

/// Reads a way of derivation: by its name, or as others write it (`fine-tune`, `lora_merge`).
pub fn how_parser() -> impl TypedValueParser<Value = How> {
    let value = |how: How| {
        let others: &[&str] = match how {
            How::FineTune => &["fine-tune", "fine_tune"],
            How::LoraMerge => &["lora_merge"],
            How::Quantise => &["quantize"],
            How::Distil => &["distill"],
            _ => &[],
        };
        PossibleValue::new(how.name()).aliases(others)
    };
    PossibleValuesParser::new(How::ALL.map(value)).try_map(move |typed| {
        let meant = How::ALL.into_iter().find(|how| value(*how).matches(&typed, false));
        meant.map_or_else(|| typed.parse::<How>(), Ok)
    })
}

/// Reads `K=V`: JSON where V reads as JSON, else text.
///
/// # Errors
///
/// Says what is missing.
pub fn parse_metadata(text: &str) -> Result<(String, Value), String> {
    match text.split_once('=') {
        None => Err("write KEY=VALUE".to_owned()),
        Some(("", _)) => Err("the key before = is empty: write KEY=VALUE".to_owned()),
        Some((key, value)) => {
            let value = serde_json::from_str(value).unwrap_or_else(|_| value.into());
            Ok((key.to_owned(), value))
        }
    }
}

/// Imports the files, one after the other.
///
/// # Errors
///
/// The first file that cannot be imported; those before it are in the store.
pub fn run(arguments: &Arguments, output: &Output) -> Result<(), Failure> {
    let metadata = metadata(&arguments.metadata)?;
    // What can be seen to be wrong is refused before the first commit.
    let origins = arguments.files.iter().map(|written| Origin::parse(written));
    let origins = origins.collect::<Result<Vec<Origin>, Failure>>()?;
    if origins.iter().all(|origin| matches!(origin, Origin::Path(_))) {
        check_globs(&arguments.files, arguments.globs())?;
    }
    let name = arguments.name.clone().map_or_else(|| origin::name_of(&origins), Ok)?;
    let auto = arguments.parents.contains(&Parent::Auto);
    if auto && (arguments.parents.len() > 1 || arguments.how.is_some()) {
        let message = "--parent auto stands alone: it also finds out how the model was derived";
        return Err(Failure::usage(message));
    }
    Gate::new(&arguments.lossy)?;
    let store = opening::open_shared(&arguments.store).map_err(opening::or_init)?;
    let parents = parents(&store, &arguments.parents)?;
    let how = arguments.how.unwrap_or_default();
    let asked = Asked { arguments, name, parents, how, metadata };
    let options = arguments.source_options();
    let mut imported = Vec::new();
    let mut documents = Vec::new();
    for origin in &origins {
        let (shown, added) =
            bring(&store, origin, &options, &asked).map_err(|failure| failure.after(&imported))?;
        let Imported { report, around, found, input } = added;
        if report.already_there {
            check_as_asked(&store, &report, &asked).map_err(|failure| failure.after(&imported))?;
        }
        let mut document = document(&shown, &report);
        output.text(&describe(&shown, &report))?;
        document["repacked"] = arrival::document(&around);
        output.text(&arrival::describe(&around))?;
        output.text(&taken::describe(input.source()))?;
        taken::add_to(&mut document, input.source());
        if let Some(lossy) = arguments.lossy.lossy {
            output.text(&match &report.lossy {
                Some(report) => format!("  {}", gate::describe(lossy, report)),
                None => "  lossless: no parent has a tensor to round against\n".to_owned(),
            })?;
        }
        if let Some((text, found)) = found {
            output.text(&text)?;
            document["placement"] = found;
        }
        documents.push(document);
        imported.push(report.node.full_name());
    }
    let document = json!({ "imported": documents, "unused_globs": unused_globs_json(&options) });
    output.print(document, &unused_globs_text(&options, "  "))
}

/// Keys are given once.
fn metadata(pairs: &[(String, Value)]) -> Result<Map<String, Value>, Failure> {
    let mut metadata = Map::new();
    for (key, value) in pairs {
        if metadata.insert(key.clone(), value.clone()).is_some() {
            return Err(Failure::usage(format!("--meta {key} is given twice: give it once")));
        }
    }
    Ok(metadata)
}

/// The parents as they are now, by their ids: a parent of the same name must not become the version
/// that is just being imported, or one that another program adds or renames meanwhile.
fn parents(store: &Store, parents: &[Parent]) -> Result<Vec<String>, Failure> {
    let snapshot = store.snapshot()?;
    let graph = snapshot.graph();
    let named = parents.iter().filter_map(|parent| match parent {
        Parent::Model(model) => Some(model),
        Parent::Auto => None,
    });
    named.map(|parent| Ok(graph.find(parent)?.id().to_string())).collect()
}

/// What was found out about a file's parent, for people and for programs.
type Found = (String, Value);

/// What is asked for all models.
struct Asked<'a> {
    arguments: &'a Arguments,
    name: ModelName,
    parents: Vec<String>,
    how: How,
    metadata: Map<String, Value>,
}

/// What became of a model.
struct Imported {
    report: ImportReport,
    around: AroundReport,
    found: Option<Found>,
    input: ModelInput,
}

/// Imports a model from where it is, and removes what was downloaded of it.
fn bring(
    store: &Store,
    origin: &Origin,
    options: &SourceOptions,
    asked: &Asked,
) -> Result<(String, Imported), Failure> {
    let came = Came::from(origin, options, store)?;
    let imported = import_model(store, &came, asked).map_err(|failure| came.kept(failure))?;
    let shown = came.shown.clone();
    let name = imported.report.node.full_name();
    came.remove().map_err(|failure| failure.after(&[name]))?;
    Ok((shown, imported))
}

fn import_model(store: &Store, came: &Came, asked: &Asked) -> Result<Imported, Failure> {
    let Asked { arguments, name, parents, how, metadata } = asked;
    let input = open_named(&came.path, &came.options)?;
    let (mut found, mut descent) = (None, Descent::default());
    if arguments.parents.contains(&Parent::Auto) {
        let name = name.as_str();
        let parentage = find_parent(&store.snapshot()?, &input.member(name)?)?;
        descent = parentage.descent();
        let told = Told { member: name, found: &parentage };
        found = Some((told.describe(), told.document()));
    }
    let mut gate = Gate::new(&arguments.lossy)?;
    let repack = arguments.arrival.repack();
    let (report, around) = Gate::settle(&mut gate, |gate| {
        let bar = Progress::new(format!("import {}", came.shown), input.logical_bytes());
        let progress = |bytes| bar.advance(bytes);
        let mut model = input.model(name.as_str()).progress(&progress);
        model = model.profile(arguments.profile);
        if !arguments.force {
            model = model.unless_equal();
        }
        if let Some(kind) = &arguments.kind {
            model = model.kind(kind);
        }
        for parent in parents {
            model = model.parent(parent, *how);
        }
        model = descent.add_to(model);
        if arguments.advise.is_some() {
            model = model.advise(Advice::ReadOften);
        }
        if let Some(lossy) = arguments.lossy.lossy {
            model = model.lossy(lossy);
        }
        if let Some(gate) = gate {
            model = model.gate(|draft| gate.judge(draft));
        }
        if let Some(endpoint) = &came.endpoint {
            model = model.metadata("hub.endpoint", endpoint.as_str());
        }
        for (key, value) in metadata {
            model = model.metadata(key, value.clone());
        }
        Ok(add(store, model, repack.as_ref())?)
    })?;
    Ok(Imported { report, around, found, input })
}

/// Refuses what was asked for a model that is there already and has not got it.
fn check_as_asked(store: &Store, report: &ImportReport, asked: &Asked) -> Result<(), Failure> {
    let Asked { arguments, parents, how, metadata, .. } = asked;
    let snapshot = store.snapshot()?;
    let model = snapshot.model(&report.node)?;
    let has = model.metadata()?;
    let edges = snapshot.graph().parents(report.node.id())?;
    let is_parent = |parent: &String| {
        edges.iter().any(|edge| edge.parent.to_string() == *parent && edge.how == *how)
            // The version itself: it is not derived from itself.
            || report.node.id().to_string() == *parent
    };
    let mut missing = Vec::new();
    if arguments.kind.as_ref().is_some_and(|kind| kind != report.node.kind()) {
        missing.push("--kind".to_owned());
    }
    let unset = metadata.iter().filter(|(key, value)| has.get(*key) != Some(value));
    missing.extend(unset.map(|(key, _)| format!("--meta {key}")));
    if !parents.iter().all(is_parent) {
        missing.push("--parent".to_owned());
    }
    if arguments.advise.is_some() && !has.contains_key(PINNED_KEY) {
        missing.push("--advise".to_owned());
    }
    if missing.is_empty() {
        return Ok(());
    }
    let name = report.node.full_name();
    let message = format!(
        "{name} has the same files already, but not what {} asks for: set it with `mgit-db meta`, \
         `parent` or `pin`, or make a new version with --force",
        missing.join(", ")
    );
    Err(Failure::failed("already-there", message))
}

fn document(origin: &str, report: &ImportReport) -> Value {
    let row = &report.node;
    json!({
        "file": origin,
        "model": report.node.full_name(),
        "already_there": report.already_there,
        "id": report.node.id().to_string(),
        "tensors": row.tensor_count(),
        "logical_bytes": row.logical_bytes(),
        "deduplicated": { "tensors": report.deduplicated, "bytes": report.deduplicated_bytes },
        "delta": {
            "tensors": report.delta,
            "bytes": report.delta_bytes,
            "stored_bytes": report.delta_stored_bytes,
        },
        "raw": { "tensors": report.raw, "bytes": report.raw_bytes },
        "added_bytes": report.added_bytes,
        "lossy": report.lossy.as_ref().map(gate::document),
    })
}

fn describe(origin: &str, report: &ImportReport) -> String {
    let row = &report.node;
    let head = format!(
        "{} <- {} ({}, {})\n",
        report.node.full_name(),
        shown(origin),
        count(row.tensor_count().into(), "tensor"),
        size(row.logical_bytes()),
    );
    if report.already_there {
        return format!("{head}  already there: its latest version has the same files\n");
    }
    let mut table =
        Table::new(&[("", Side::Left), ("", Side::Right), ("", Side::Right), ("", Side::Left)]);
    let mut line = |what: &str, tensors: u64, bytes: u64, more: String| {
        if tensors > 0 {
            table.row([what.to_owned(), count(tensors, "tensor"), size(bytes), more]);
        }
    };
    line("deduplicated", report.deduplicated, report.deduplicated_bytes, String::new());
    let stored = format!("as {}", size(report.delta_stored_bytes));
    line("delta-coded", report.delta, report.delta_bytes, stored);
    line("raw", report.raw, report.raw_bytes, String::new());
    let added = size(report.added_bytes);
    table.row(["added to the file".to_owned(), String::new(), added, String::new()]);
    format!("{head}{}", table.lines("  "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_json_where_it_reads_as_json() {
        let value = |text: &str| parse_metadata(text).map(|(_, value)| value);
        assert_eq!(value("a=1.5"), Ok(json!(1.5)));
        assert_eq!(value("a={\"b\":[true]}"), Ok(json!({ "b": [true] })));
        assert_eq!(value("a=x=y"), Ok(json!("x=y")));
        assert_eq!(value("a="), Ok(json!("")));
        assert!(value("a").is_err() && value("=1").is_err());
    }
}
