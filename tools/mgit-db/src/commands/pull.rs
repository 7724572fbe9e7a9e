//! `pull` and `fetch`: take in what another place has.

use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use mgit::transfer::{Selection, fetch, pull};

use super::transfer::{Moved, Names, describe, document, place_of};
use crate::failure::Failure;
use crate::opening;
use crate::output::Output;

/// Import the models of a remote, or of another store, that this store does not have.
///
/// Models that both sides have stay as they are in this store. Where a name has diverged, both ends
/// stay: the pulled models keep their numbers, and models that only this store has get new numbers
/// after them; the output lists these. A merge of both ends makes the name one again. After an
/// interruption the same command continues. Models pulled with --graph-only get their tensors by a
/// pull without it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  mgit-db pull family.mgit
  mgit-db pull family.mgit /mnt/share/family.mgit --name 'bert/*'")]
pub struct Arguments {
    /// The store
    store: PathBuf,
    /// Where from: a remote's name, a path or an address [default: origin]
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    remote: Option<String>,
    #[command(flatten)]
    names: Names,
    /// Pull only the graph: tensors stay at the source until they are needed
    #[arg(long)]
    graph_only: bool,
}

/// Pulls.
///
/// # Errors
///
/// Those of both sides; damage. Nothing is seen of a pull that fails.
pub fn run(arguments: &Arguments, output: &Output) -> Result<(), Failure> {
    let store = opening::open_shared(&arguments.store).map_err(opening::or_init)?;
    let (shown, place) = place_of(&store, arguments.remote.as_deref())?;
    let work = |selection: Selection<'_>| pull(&store, &place, selection);
    let moved = Moved::by("pull", (&shown, &place), work, &arguments.names, arguments.graph_only)?;
    output.print(document(&moved), &describe(&moved, "pulled", output))
}

/// Fetch the missing tensors of a remote's models, without the models.
///
/// The tensors are kept for the next pull, which then only adds the models; `gc` removes them.
/// Models that were pulled with --graph-only get their tensors.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  mgit-db fetch family.mgit && mgit-db pull family.mgit")]
pub struct FetchArguments {
    /// The store
    store: PathBuf,
    /// Where from: a remote's name, a path or an address [default: origin]
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    remote: Option<String>,
    #[command(flatten)]
    names: Names,
}

/// Fetches.
///
/// # Errors
///
/// Those of both sides; damage.
pub fn run_fetch(arguments: &FetchArguments, output: &Output) -> Result<(), Failure> {
    let store = opening::open_shared(&arguments.store)?;
    let (shown, place) = place_of(&store, arguments.remote.as_deref())?;
    let work = |selection: Selection<'_>| fetch(&store, &place, selection);
    let moved = Moved::by("fetch", (&shown, &place), work, &arguments.names, false)?;
    output.print(document(&moved), &describe(&moved, "fetched, for a pull to name:", output))
}
