//! `clone`: a new store with all that another place has.

use std::io;
use std::path::{Path, PathBuf};

use mgit::Store;
use mgit::catalog::{ReadTables, Table};
use mgit::container::{DestinationError, TemporaryFolder, TemporaryKind};
use mgit::lineage::Graph;
use mgit::transfer::{Place, Selection, add_remote, pull, remotes};

use super::transfer::{Moved, Names, describe, document};
use crate::destination::folder_of;
use crate::failure::Failure;
use crate::interrupt;
use crate::opening;
use crate::output::Output;

/// Make a new store with the models of another one, of a remote or of a bundle.
///
/// The place is kept in the new store as the remote `origin`. Cut short, the same command goes on
/// where it was. Credentials of an object store are taken from the environment. With --graph-only
/// nothing but the graph comes; commands that read tensors then bring what they need.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  mgit-db clone /shared/family.mgit mine.mgit
  mgit-db clone s3://bucket/family mine.mgit --name 'bert/*'
  mgit-db clone s3://bucket/family mine.mgit --graph-only")]
pub struct Arguments {
    /// Where from: a store, a folder, an address such as s3://bucket/path, or a bundle
    #[arg(value_name = "SRC")]
    from: String,
    /// The store to make
    store: PathBuf,
    #[command(flatten)]
    names: Names,
    /// Bring the graph alone: tensors stay where they are until they are needed
    #[arg(long)]
    graph_only: bool,
}

/// Clones.
///
/// # Errors
///
/// Something else is at the new store's path; those of both sides.
pub fn run(arguments: &Arguments, output: &Output) -> Result<(), Failure> {
    let place = Place::parse(&arguments.from)?;
    let store = match unfinished(arguments)? {
        Some(store) => store,
        None => {
            make(&arguments.store, &arguments.from)?;
            opening::open(&arguments.store)?
        }
    };
    say_when_interrupted(&arguments.store, store.snapshot()?.tables().count(Table::Tensors)? == 0);
    let work = |selection: Selection<'_>| pull(&store, &place, selection);
    let graph_only = arguments.graph_only;
    let moved = match Moved::by("clone", &arguments.from, work, &arguments.names, graph_only) {
        Err(failure) => {
            // Without a tensor there is nothing to go on with.
            if store.snapshot()?.tables().count(Table::Tensors)? == 0 {
                drop(store);
                let removed = std::fs::remove_file(&arguments.store);
                removed.map_err(|error| Failure::io("remove what is not whole", &error))?;
            }
            return Err(failure);
        }
        moved => moved?,
    };
    output.print(document(&moved), &describe(&moved, "cloned", output))
}

/// Makes a store that knows where it is from, in one step: a clone that is killed behind it can be
/// gone on with.
fn make(path: &Path, from: &str) -> Result<(), Failure> {
    let taken = || mgit::Error::AlreadyExists { path: path.to_owned() };
    if path.symlink_metadata().is_ok() {
        return Err(taken().into());
    }
    let failed = |error: io::Error| Failure::io(format!("make {}", path.display()), &error);
    let folder = TemporaryFolder::create(&folder_of(path), TemporaryKind::Clone);
    let folder = folder.map_err(|source| DestinationError::Io { path: path.to_owned(), source })?;
    let name = "clone.mgit";
    let store = Store::create(folder.path().join(name))?;
    add_remote(&store, "origin", from)?;
    drop(store);
    folder.give_file(name, path).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => taken().into(),
        _ => failed(error),
    })
}

/// An interrupted clone removes a store that nothing has come to, as one that fails does.
fn say_when_interrupted(path: &Path, is_new: bool) {
    let path = path.to_owned();
    interrupt::last_word(move |done| {
        if is_new && done.commits_to(&path) == 0 && std::fs::remove_file(&path).is_ok() {
            done.written.retain(|written| *written != path);
            return String::new();
        }
        ": the same command goes on where this was".to_owned()
    });
}

/// A store without models that an earlier clone of this place has left behind.
fn unfinished(arguments: &Arguments) -> Result<Option<Store>, Failure> {
    if !arguments.store.is_file() {
        return Ok(None);
    }
    // Only looked at: it may be somebody's.
    let store = opening::open_read_only(&arguments.store)?;
    let snapshot = store.snapshot()?;
    let is_empty = Graph(snapshot.tables()).nodes()?.is_empty();
    let origin = remotes(&snapshot)?.into_iter().find(|remote| remote.name == "origin");
    let same = origin.is_some_and(|origin| {
        let whole = std::path::absolute(&arguments.from);
        origin.url == arguments.from || whole.is_ok_and(|path| path.to_str() == Some(&origin.url))
    });
    drop((snapshot, store));
    match is_empty && same {
        true => Ok(Some(opening::open(&arguments.store)?)),
        false => {
            let path = arguments.store.clone();
            Err(mgit::Error::AlreadyExists { path }.into())
        }
    }
}
