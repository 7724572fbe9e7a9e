//! `export`: a model as the files it was imported from.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use mgit::Model;
use mgit::container::Destination;
use mgit::interchange::{ExportOptions, ExportReport};
use mgit::interchange::{contents_to_export, export_one_to_stream, export_to_stream, export_with};
use mgit::lineage::LOSSY_KEY;
use serde_json::{Value, json};

use crate::destination::Force;
use crate::failure::Failure;
use crate::model_argument::ModelArgument;
use crate::output::{Output, check_stdout};
use crate::partial::open_to_read_contents;
use crate::progress::Progress;
use crate::text::{shown, size};

/// Write a model as the files it was imported from, byte for byte.
///
/// Files appear when they are complete. An existing file is replaced only with --force; a pipe or a
/// device is written into. A model that is one file goes into an existing folder under its own name.
/// A folder of files goes into a new or empty folder; with --force it may hold files of the same
/// names, and nothing else. Standard output (-) takes a model that is one file, or the one file that
/// --only names. A file is never given the name of another format: --as safetensors converts.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  mgit-db export family.mgit tuned@2 tuned.safetensors
  mgit-db export family.mgit llama llama-folder
  mgit-db export family.mgit llama texts --only '*.json' --only README.md
  mgit-db export family.mgit checkpoint model.safetensors --as safetensors
  mgit-db export family.mgit base - | sha256sum
  mgit-db export family.mgit llama - --only config.json | jq .model_type")]
pub struct Arguments {
    /// The store
    store: PathBuf,
    /// The model: name, name@version or node id
    model: ModelArgument,
    /// The file to write (a folder for a model that is several files), or - for standard output
    file: PathBuf,
    /// Write only these files of a model that is a folder; may be given several times. The glob is
    /// held against a file's path, its name, and the folders that it lies in
    #[arg(long, value_name = "GLOB")]
    only: Vec<String>,
    /// Convert the weights to one safetensors file, of the tensors' own names and types. Files
    /// beside the weights come along, other copies of the weights do not
    #[arg(long = "as", value_name = "FORMAT", value_parser = ["safetensors"])]
    format: Option<String>,
    /// With --as: tensors of GGUF's type Q8_0 become F32
    #[arg(long, requires = "format")]
    dequantise: bool,
    #[command(flatten)]
    force: Force,
}

/// Writes the model's files.
///
/// # Errors
///
/// The model is not there or damaged; the files cannot be written.
pub fn run(arguments: &Arguments, output: &Output) -> Result<(), Failure> {
    let to_stdout = arguments.file == Path::new("-");
    if to_stdout {
        output.refuse_json("an export to standard output: name a file")?;
        if arguments.format.is_some() {
            let message = "--as writes no standard output: name a file or a folder";
            return Err(Failure::usage(message));
        }
        check_stdout()?;
        if io::stdout().is_terminal() {
            let message = "a model's bytes are nothing for a terminal: name a file, or use a pipe";
            return Err(Failure::usage(message));
        }
    }
    if !to_stdout && !arguments.file.is_dir() {
        // Before anything is brought or read that could not be written.
        // A folder that a model of several files makes may be named with a slash.
        let bare: PathBuf = arguments.file.components().collect();
        Destination::new(&bare, arguments.force.overwrite())?;
    }
    let store = open_to_read_contents(&arguments.store, &arguments.model, |model| {
        Ok(contents_to_export(model, &arguments.options())?)
    })?;
    let model = store.snapshot()?.model(arguments.model.to_string())?;
    if to_stdout { to_stream(&model, &arguments.only) } else { to_path(&model, arguments, output) }
}

fn bar(model: &Model) -> Progress {
    Progress::new(format!("export {}", model.full_name()), model.node().logical_bytes())
}

fn to_stream(model: &Model, only: &[String]) -> Result<(), Failure> {
    let bar = bar(model);
    let progress = |bytes| bar.advance(bytes);
    let mut stdout = io::stdout().lock();
    match only {
        [] => export_to_stream(model, &mut stdout, &progress)?,
        only => export_one_to_stream(model, only, &mut stdout, &progress)?,
    }
    io::Write::flush(&mut stdout).map_err(|error| Failure::stdout(&error))
}

impl Arguments {
    fn options(&self) -> ExportOptions {
        let options = ExportOptions::new()
            .overwrite(self.force.overwrite())
            .as_safetensors(self.format.is_some())
            .dequantise(self.dequantise);
        self.only.iter().fold(options, |options, glob| options.only(glob))
    }
}

fn to_path(model: &Model, arguments: &Arguments, output: &Output) -> Result<(), Failure> {
    let bar = bar(model);
    let options = arguments.options();
    let report = export_with(model, &arguments.file, &options, &|bytes| bar.advance(bytes))?;
    drop(bar);
    let lossy = model.metadata()?.get(LOSSY_KEY).cloned();
    output.print(document(model, &report, lossy.as_ref()), &text(model, &report, lossy.as_ref()))
}

fn document(model: &Model, report: &ExportReport, lossy: Option<&Value>) -> Value {
    let files = report.files.iter().map(|file| {
        let path = file.path.display().to_string();
        json!({ "path": path, "bytes": file.bytes, "converted": file.is_converted })
    });
    json!({
        "model": model.full_name(),
        "file": report.path.display().to_string(),
        "logical_bytes": model.node().logical_bytes(),
        "lossy": lossy,
        "sharded": !model.manifest().index_name.is_empty(),
        "folder": model.is_folder(),
        "files": files.collect::<Vec<_>>(),
        "notes": report.notes,
    })
}

fn text(model: &Model, report: &ExportReport, lossy: Option<&Value>) -> String {
    let path = shown(&report.path.display().to_string());
    let bytes = report.files.iter().map(|file| file.bytes).sum();
    let mut text = format!("{} -> {path} ({})\n", model.full_name(), size(bytes));
    for note in &report.notes {
        text += &format!("  {}\n", shown(note));
    }
    if let Some(mark) = lossy {
        let stands_for = mark.get("stands_for").and_then(|id| id.as_str()).unwrap_or_default();
        text += &format!("  lossy: these are not the values of {}\n", shown(stands_for));
    }
    text
}
