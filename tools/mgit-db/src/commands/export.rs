//! `export`: a model as the files it was imported from.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use mgit::Model;
use mgit::container::Destination;
use mgit::interchange::{export_to, export_to_stream};
use mgit::lineage::LOSSY_KEY;
use serde_json::json;

use crate::destination::Force;
use crate::failure::Failure;
use crate::model_argument::ModelArgument;
use crate::output::{Output, check_stdout};
use crate::partial::open_to_read_named;
use crate::progress::Progress;
use crate::text::{shown, size};

/// Write a model as the files it was imported from, byte for byte.
///
/// Files appear when they are complete. An existing file is replaced only with --force; a pipe or a
/// device is written into. An existing folder must be empty; with --force it may hold files of the
/// same names.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  mgit-db export family.mgit tuned@2 tuned.safetensors
  mgit-db export family.mgit llama llama-folder
  mgit-db export family.mgit base - | sha256sum")]
pub struct Arguments {
    /// The store
    store: PathBuf,
    /// The model: name, name@version or node id
    model: ModelArgument,
    /// The file to write (a folder for a sharded model), or - for standard output
    file: PathBuf,
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
        check_stdout()?;
        if io::stdout().is_terminal() {
            let message = "a model's bytes are nothing for a terminal: name a file, or use a pipe";
            return Err(Failure::usage(message));
        }
    }
    if !to_stdout && !arguments.file.is_dir() {
        // Before anything is brought or read that could not be written.
        Destination::new(&arguments.file, arguments.force.overwrite())?;
    }
    let store = open_to_read_named(&arguments.store, &[&arguments.model])?;
    let model = store.snapshot()?.model(arguments.model.to_string())?;
    if to_stdout { to_stream(&model) } else { to_path(&model, arguments, output) }
}

fn bar(model: &Model) -> Progress {
    Progress::new(format!("export {}", model.full_name()), model.node().logical_bytes())
}

fn to_stream(model: &Model) -> Result<(), Failure> {
    let bar = bar(model);
    let mut stdout = io::stdout().lock();
    export_to_stream(model, &mut stdout, &|bytes| bar.advance(bytes))?;
    io::Write::flush(&mut stdout).map_err(|error| Failure::stdout(&error))
}

fn to_path(model: &Model, arguments: &Arguments, output: &Output) -> Result<(), Failure> {
    let path = &arguments.file;
    let bar = bar(model);
    export_to(model, path, arguments.force.overwrite(), &|bytes| bar.advance(bytes))?;
    drop(bar);
    let bytes = model.node().logical_bytes();
    let lossy = model.metadata()?.get(LOSSY_KEY).cloned();
    let document = json!({
        "model": model.full_name(),
        "file": path.display().to_string(),
        "logical_bytes": bytes,
        "lossy": lossy,
        "sharded": !model.manifest().index_name.is_empty(),
        "folder": model.is_folder(),
    });
    let path = shown(&path.display().to_string());
    let mut text = format!("{} -> {path} ({})\n", model.full_name(), size(bytes));
    if let Some(mark) = lossy {
        let stands_for = mark.get("stands_for").and_then(|id| id.as_str()).unwrap_or_default();
        text += &format!("  lossy: these are not the values of {}\n", shown(stands_for));
    }
    output.print(document, &text)
}
