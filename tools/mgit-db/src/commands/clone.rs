//! `clone`: a new store with all that another place has.

use std::io;
use std::path::{Path, PathBuf};

use clap::builder::NonEmptyStringValueParser;
use mgit::Store;
use mgit::catalog::{ReadTables, Table};
use mgit::container::{DestinationError, TemporaryFolder, TemporaryKind};
use mgit::transfer::{Place, Selection, add_remote, pull, remotes};

use super::transfer::{Moved, Names, describe, document};
use crate::destination::{check_new, folder_of};
use crate::failure::Failure;
use crate::interrupt;
use crate::opening;
use crate::output::Output;

/// Make a new store with the models of another one, of a remote or of a bundle.
///
/// The new store keeps the place as the remote `origin`. After an interruption the same command
/// continues. Credentials of an object store are taken from the environment. With --graph-only only
/// the graph is copied; commands that read tensors then fetch what they need.
///
/// An existing empty store, as `init` makes it, is filled. Nothing else is replaced, and there is
/// no --force: use `pull` to add models to a store that has some.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  mgit-db clone /shared/family.mgit mine.mgit
  mgit-db clone s3://bucket/family mine.mgit --name 'bert/*'
  mgit-db clone s3://bucket/family mine.mgit --graph-only")]
pub struct Arguments {
    /// The source: a store, a folder, an address such as s3://bucket/path, or a bundle
    #[arg(value_name = "SRC", value_parser = NonEmptyStringValueParser::new())]
    from: String,
    /// The store to make; nothing but an empty store may exist there
    store: PathBuf,
    #[command(flatten)]
    names: Names,
    /// Copy only the graph: tensors stay at the source until they are needed
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
    let there = empty_store(arguments)?;
    let is_new = there.is_none();
    let store = match there {
        Some(store) => store,
        None => {
            make(&arguments.store, &arguments.from)?;
            opening::open(&arguments.store)?
        }
    };
    say_when_interrupted(&arguments.store, is_new);
    let work = |selection: Selection<'_>| pull(&store, &place, selection);
    let graph_only = arguments.graph_only;
    let from = (arguments.from.as_str(), &place);
    let moved = match Moved::by("clone", from, work, &arguments.names, graph_only) {
        Err(failure) => {
            // Without a tensor there is nothing to go on with.
            if is_new && store.snapshot()?.tables().count(Table::Tensors)? == 0 {
                drop(store);
                let removed = std::fs::remove_file(&arguments.store);
                removed.map_err(|error| Failure::io("remove what is not whole", &error))?;
            }
            return Err(match failure.code() {
                "missing-content" => failure.and("--graph-only clones without what is not there"),
                _ => failure,
            });
        }
        moved => moved?,
    };
    output.print(document(&moved), &describe(&moved, "cloned", output))
}

/// Makes a store that knows where it is from, in one step: a clone that is killed behind it can be
/// gone on with.
fn make(path: &Path, from: &str) -> Result<(), Failure> {
    check_new(path)?;
    let failed = |source: io::Error| Failure::from(DestinationError::io(path, source));
    let folder = TemporaryFolder::create(&folder_of(path), TemporaryKind::Clone).map_err(failed)?;
    let name = "clone.mgit";
    let store = Store::create(folder.path().join(name))?;
    add_remote(&store, "origin", from)?;
    drop(store);
    folder.give_file(name, path).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => taken(path),
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
        ": the same command continues".to_owned()
    });
}

/// A store that is there, without models, and with no other remote than this place as `origin`: one
/// that an earlier clone of it has left behind, or that somebody has made to clone into.
fn empty_store(arguments: &Arguments) -> Result<Option<Store>, Failure> {
    let path = &arguments.store;
    // What else is there is said when the store is made.
    if !path.is_file() {
        return Ok(None);
    }
    // Only looked at: it may be somebody's.
    let Some(_) = origin_of_empty(&opening::open_read_only(path)?, &arguments.from)? else {
        return Err(taken(path));
    };
    let store = opening::open(path)?;
    match origin_of_empty(&store, &arguments.from)? {
        Some(true) => {}
        Some(false) => drop(add_remote(&store, "origin", &arguments.from)?),
        None => return Err(taken(path)),
    }
    Ok(Some(store))
}

/// `None` of a store that holds something of its own; of an empty one, whether `from` is its
/// origin.
fn origin_of_empty(store: &Store, from: &str) -> Result<Option<bool>, Failure> {
    let snapshot = store.snapshot()?;
    let tables = snapshot.tables();
    if tables.count_to(Table::Nodes, 1)? > 0 || tables.count_to(Table::Tests, 1)? > 0 {
        return Ok(None);
    }
    Ok(match remotes(&snapshot)?.as_slice() {
        [] => Some(false),
        [only] if only.name == "origin" => {
            let whole = std::path::absolute(from);
            let whole = whole.is_ok_and(|path| path.to_str() == Some(&only.url));
            (only.url == from || whole).then_some(true)
        }
        _ => None,
    })
}

fn taken(path: &Path) -> Failure {
    mgit::store::StoreError::AlreadyExists { path: path.to_owned() }.into()
}
