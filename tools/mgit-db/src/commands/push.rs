//! `push`: gives another place what it does not have.

use std::path::{Path, PathBuf};

use clap::builder::NonEmptyStringValueParser;
use mgit::Store;
use mgit::transfer::{Selection, push};

use super::transfer::{Moved, Names, describe, document, place_of};
use crate::failure::Failure;
use crate::opening;
use crate::output::Output;
use crate::text::quoted;

/// Send the models that a remote, or another store, does not have.
///
/// Only missing tensors are sent, as they are stored. If the other side has versions of a name that
/// this store does not have, nothing is pushed, and both histories are shown: pull first. The same
/// holds for the slower of two simultaneous pushes.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  mgit-db push family.mgit
  mgit-db push family.mgit origin --name 'bert/*'
  mgit-db push family.mgit /mnt/share/family
  mgit-db push --store family.mgit /mnt/share/team.mgit")]
pub struct Arguments {
    /// The store
    store: PathBuf,
    /// The destination: a remote's name, a path or an address [default: origin]
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    remote: Option<String>,
    #[command(flatten)]
    names: Names,
}

/// Opens a store for remembering what the other side has; for reading alone where it cannot be
/// written. Nobody is kept out while things move.
fn open(path: &std::path::Path) -> Result<Store, Failure> {
    match opening::options().lock_per_transaction(true).open(path) {
        Err(mgit::store::StoreError::OpenFile { .. } | mgit::store::StoreError::Container(_)) => {
            opening::open_read_only(path)
        }
        opened => opening::opened(path, opened),
    }
}

/// Whether a path stands for a store where nothing is there.
fn is_of_store(path: &str) -> bool {
    Path::new(path).extension().is_some_and(|end| end == "mgit")
}

/// Pushes.
///
/// # Errors
///
/// The other side has what is not here; those of both sides.
pub fn run(arguments: &Arguments, output: &Output) -> Result<(), Failure> {
    let store = open(&arguments.store)?;
    let asked = arguments.remote.as_deref();
    let (shown, place) =
        place_of(&store, asked).map_err(|failure| match (failure.code(), asked) {
            ("no-such-remote", Some(asked)) => {
                let path = quoted(&Path::new(".").join(asked));
                failure.and(&match is_of_store(asked) {
                    true => format!("`mgit-db init {path}` makes a store, to be named {path} here"),
                    false => format!("for a folder that is to be made, write {path}"),
                })
            }
            ("remote-not-found", Some(asked)) if is_of_store(asked) => {
                let path = quoted(Path::new(asked));
                failure.and(&format!("`mgit-db init {path}` makes a store"))
            }
            _ => failure,
        })?;
    let work = |selection: Selection<'_>| push(&store, &place, selection);
    let moved = Moved::by("push", (&shown, &place), work, &arguments.names, false)?;
    output.print(document(&moved), &describe(&moved, "pushed", output))
}
