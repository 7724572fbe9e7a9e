//! `remake`: a model made again by its recipe.

use std::path::PathBuf;
use std::process::ExitCode;

use mgit::Store;
use mgit::container::{Destination, DestinationError, TemporaryFolder, TemporaryKind};
use mgit::interchange::{ExportOptions, export_with};
use mgit::update::remake;
use serde_json::json;

use crate::destination::{Force, folder_of};
use crate::failure::Failure;
use crate::functions::Commands;
use crate::model_argument::ModelArgument;
use crate::output::{Ink, Output};
use crate::partial::open_to_read;
use crate::text::{count, shown};

/// Make a model again from its stored recipe.
///
/// Compares the result with the stored model, bit for bit, or writes it to a file. The store does
/// not change. Built-in functions make the same bytes on every machine; a command does if it
/// depends only on its inputs and its seed. Exit code 1 if there is a difference.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  mgit-db remake family.mgit half
  mgit-db remake family.mgit sst2@3 --out sst2.safetensors")]
pub struct Arguments {
    /// The store
    store: PathBuf,
    /// The model: name (its highest version), name@version or node id
    model: ModelArgument,
    /// Compare with the stored model; this is the default without --out
    #[arg(long, conflicts_with = "out")]
    check: bool,
    /// Write the model to this file (a folder for a sharded model) instead
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    force: Force,
    #[command(flatten)]
    commands: Commands,
}

/// Makes the model again.
///
/// # Errors
///
/// No recipe, or inputs that are gone; the function fails; the file cannot be written.
pub fn run(arguments: &Arguments, output: &Output) -> Result<ExitCode, Failure> {
    let overwrite = arguments.force.overwrite();
    if let Some(path) = arguments.out.as_deref().filter(|path| !path.is_dir()) {
        // Before anything is made that could not be written.
        Destination::new(path, overwrite)?;
    }
    // Its parents are what it is made of, and it is compared with itself.
    let store = open_to_read(&arguments.store, |snapshot| {
        let id = snapshot.graph().find(&arguments.model)?.id();
        let parents = snapshot.graph().parents(id)?.into_iter().map(|edge| edge.parent);
        Ok(parents.chain([id]).collect())
    })?;
    let model = store.snapshot()?.model(arguments.model.to_string())?;
    let remade = remake(&model, &arguments.commands.functions(1))?;
    let (name, function) = (model.full_name(), &remade.recipe.function);
    if let Some(path) = &arguments.out {
        // A store of its own puts the draft into the form of files, within its bounds of memory.
        let folder = TemporaryFolder::create(&folder_of(path), TemporaryKind::Remake);
        let folder = folder.map_err(|source| DestinationError::io(path, source))?;
        let aside = Store::create(folder.path().join("model.mgit"))?;
        let mut transaction = aside.begin_write()?;
        let made = transaction.add_model(remade.draft.model(model.node().name()))?.node;
        transaction.commit()?;
        let options = ExportOptions::new().overwrite(overwrite);
        let made = aside.snapshot()?.model(&made)?;
        let file = export_with(&made, path, &options, &|_| ())?.path.display().to_string();
        let document = json!({ "model": name, "function": function, "file": file });
        output.print(document, &format!("{name} by {function} -> {}\n", shown(&file)))?;
        return Ok(ExitCode::SUCCESS);
    }
    let differences = remade.differences(&model)?;
    let document = json!({
        "model": name,
        "function": function,
        "identical": differences.is_empty(),
        "different": differences,
    });
    let text = match differences.as_slice() {
        [] => {
            let same = output.paint(Ink::Good, "the same, bit for bit");
            format!("{name} by {function}: {same}\n")
        }
        differences => {
            let other = count(differences.len() as u64, "tensor");
            let other = output.paint(Ink::Bad, &format!("{other} not as stored"));
            let names: Vec<String> = differences.iter().map(|name| shown(name)).collect();
            format!("{name} by {function}: {other}: {}\n", names.join(", "))
        }
    };
    output.print(document, &text)?;
    Ok(if differences.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
