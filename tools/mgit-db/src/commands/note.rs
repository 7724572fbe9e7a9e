//! `note`: a text beside a model.

use std::io::Read;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::failure::Failure;
use crate::model_argument::ModelArgument;
use crate::opening;
use crate::output::Output;
use crate::text::shown;

/// The key of the metadata that the note is.
const KEY: &str = "note";

/// The longest note that is read from standard input, in bytes.
const NOTE_LEN_MAX: u64 = 1 << 20;

/// Write, read or remove the note of a model. It is the model's metadata `note`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  mgit-db note family.mgit tuned
  mgit-db note family.mgit tuned 'half of the layers frozen'
  mgit-db note family.mgit tuned --append 'better on short texts'
  mgit-db note family.mgit tuned - < notes.txt")]
pub struct Arguments {
    /// The store
    store: PathBuf,
    /// The model: name (its highest version), name@version, tag or node id
    model: ModelArgument,
    /// The note; - reads it from standard input. Without it the note is printed
    #[arg(value_name = "TEXT")]
    text: Option<String>,
    /// Keep the old note, and add TEXT below it
    #[arg(short, long, requires = "text")]
    append: bool,
    /// Remove the note
    #[arg(short, long, conflicts_with = "text")]
    delete: bool,
}

/// Writes, reads or removes the note.
///
/// # Errors
///
/// The model is not there; there is no note to print or to remove.
pub fn run(arguments: &Arguments, output: &Output) -> Result<(), Failure> {
    let reference = arguments.model.to_string();
    let text = arguments.text.as_ref().map(|text| input(text)).transpose()?;
    if text.is_none() && !arguments.delete {
        let store = opening::open_read_only(&arguments.store)?;
        let snapshot = store.snapshot()?;
        let node = snapshot.graph().find(&arguments.model)?;
        let note = snapshot.graph().metadata(node.id())?.get(KEY).cloned();
        let text = match &note {
            None => format!("{} has no note\n", node.full_name()),
            Some(note) => {
                let note = as_text(note);
                note.lines().map(|line| format!("{}\n", shown(line))).collect()
            }
        };
        return output.print(json!({ "model": node.full_name(), "note": note }), &text);
    }
    let store = opening::open(&arguments.store)?;
    let mut transaction = store.begin_write()?;
    let node = transaction.find(&reference)?;
    let name = node.full_name();
    let mut metadata = transaction.graph()?.metadata(node.id())?;
    let before = metadata.get(KEY).map(as_text);
    let note = match (text, before) {
        (None, None) => {
            return Err(Failure::failed("no-note", format!("{name} has no note")));
        }
        (None, Some(_)) => {
            metadata.shift_remove(KEY);
            None
        }
        (Some(text), Some(before)) if arguments.append => Some(format!("{before}\n{text}")),
        (Some(text), _) => Some(text),
    };
    if let Some(note) = &note {
        metadata.insert(KEY.to_owned(), note.as_str().into());
    }
    transaction.set_metadata(node.id().to_string(), metadata)?;
    transaction.commit()?;
    let text = match note {
        Some(_) => format!("noted beside {name}\n"),
        None => format!("the note beside {name} is gone\n"),
    };
    output.print(json!({ "model": name, "note": note }), &text)
}

/// A note that another program wrote may be any JSON.
fn as_text(note: &Value) -> String {
    note.as_str().map_or_else(|| note.to_string(), str::to_owned)
}

fn input(text: &str) -> Result<String, Failure> {
    if text != "-" {
        return Ok(text.to_owned());
    }
    let mut read = String::new();
    let mut stdin = std::io::stdin().lock().take(NOTE_LEN_MAX + 1);
    stdin.read_to_string(&mut read).map_err(|error| Failure::io("read the note", &error))?;
    if read.len() as u64 > NOTE_LEN_MAX {
        return Err(Failure::usage("a note has at most 1 MiB"));
    }
    Ok(read.trim_end_matches('\n').to_owned())
}
