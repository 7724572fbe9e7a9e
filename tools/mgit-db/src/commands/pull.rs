//! `pull` and `fetch`: take in what another place has.

use std::path::PathBuf;

use mgit::transfer::{Selection, fetch, pull};

use super::transfer::{Moved, Names, describe, document, place_of};
use crate::failure::Failure;
use crate::opening;
use crate::output::Output;

/// Take in the models of a remote, or of another store, that are not here.
///
/// Models that both sides have stay as they are here. Where a name has grown apart, both ends
/// stay: what came keeps its number, and models that only this store has are numbered anew behind
/// it, which is said. A model made of both ends brings the name together. Cut short, it goes on
/// where it was. Models that came with --graph-only get their tensors by a pull without it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  mgit-db pull family.mgit
  mgit-db pull family.mgit /mnt/share/family.mgit --name 'bert/*'")]
pub struct Arguments {
    /// The store
    store: PathBuf,
    /// Where from: a remote's name, a path or an address [default: origin]
    remote: Option<String>,
    #[command(flatten)]
    names: Names,
    /// Bring the graph alone: tensors stay where they are until they are needed
    #[arg(long)]
    graph_only: bool,
}

/// Pulls.
///
/// # Errors
///
/// Those of both sides; damage. Nothing is seen of a pull that fails.
pub fn run(arguments: &Arguments, output: &Output) -> Result<(), Failure> {
    let store = opening::open_shared(&arguments.store)?;
    let (shown, place) = place_of(&store, arguments.remote.as_deref())?;
    let work = |selection: Selection<'_>| pull(&store, &place, selection);
    let moved = Moved::by("pull", &shown, work, &arguments.names, arguments.graph_only)?;
    output.print(document(&moved), &describe(&moved, "pulled", output))
}

/// Bring the tensors of a remote's models that are not here, and not yet the models.
///
/// They are held for a pull, which then only names them; `gc` lets go of them. Models that are here
/// without their tensors, after a pull with --graph-only, get them.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  mgit-db fetch family.mgit && mgit-db pull family.mgit")]
pub struct FetchArguments {
    /// The store
    store: PathBuf,
    /// Where from: a remote's name, a path or an address [default: origin]
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
    let moved = Moved::by("fetch", &shown, work, &arguments.names, false)?;
    output.print(document(&moved), &describe(&moved, "fetched, for a pull to name:", output))
}
