//! Models whose tensors were left where they are: a command that reads them brings them first.

use std::path::Path;

use mgit::catalog::{ReadTables, Table};
use mgit::lineage::{ModelRef, NodeId};
use mgit::transfer::{fetch_contents, fetch_missing};
use mgit::{ContentId, Model, Snapshot, Store};

use crate::failure::Failure;
use crate::opening;
use crate::progress::Progress;

/// Those of these models of which something is not here.
fn partial(
    snapshot: &Snapshot,
    models: impl IntoIterator<Item = NodeId>,
) -> Result<Vec<String>, Failure> {
    let mut partial = Vec::new();
    for id in models {
        let model = snapshot.model_of(snapshot.graph().expect(id)?)?;
        if model.missing_tensors()? > 0 {
            partial.push(id.to_string());
        }
    }
    Ok(partial)
}

/// Brings what these models need to a store that is open for writing.
///
/// # Errors
///
/// Those of the store; what is not there cannot be had from where it is.
pub fn bring(
    store: &Store,
    path: &Path,
    models: impl IntoIterator<Item = NodeId>,
) -> Result<(), Failure> {
    let snapshot = store.snapshot()?;
    if snapshot.tables().count_to(Table::Promised, 1)? == 0 {
        return Ok(());
    }
    let partial = partial(&snapshot, models)?;
    if partial.is_empty() {
        return Ok(());
    }
    drop(snapshot);
    let partial: Vec<&str> = partial.iter().map(String::as_str).collect();
    let bar = Progress::unbounded(format!("fetch for {}", path.display()));
    fetch_missing(store, &partial, &|bytes| bar.advance(bytes))?;
    Ok(())
}

/// Opens a store to read the models that `which` picks, when what they need is there.
///
/// # Errors
///
/// Those of the store; what is not there cannot be had from where it is.
pub fn open_to_read(
    path: &Path,
    which: impl FnOnce(&Snapshot) -> Result<Vec<NodeId>, Failure>,
) -> Result<Store, Failure> {
    let store = opening::open_read_only(path)?;
    let snapshot = store.snapshot()?;
    if snapshot.tables().count_to(Table::Promised, 1)? == 0 {
        return Ok(store);
    }
    let models = which(&snapshot)?;
    if partial(&snapshot, models.iter().copied())?.is_empty() {
        return Ok(store);
    }
    drop((snapshot, store));
    bring(&opening::open_shared(path)?, path, models)?;
    opening::open_read_only(path)
}

/// Opens a store to read those contents of a model that `which` names, when they are there. Others
/// of the model stay where they are.
///
/// # Errors
///
/// Those of the store and of `which`; what is not there cannot be had from where it is.
pub fn open_to_read_contents(
    path: &Path,
    model: &ModelRef,
    which: impl FnOnce(&Model) -> Result<Vec<ContentId>, Failure>,
) -> Result<Store, Failure> {
    let store = opening::open_read_only(path)?;
    let snapshot = store.snapshot()?;
    if snapshot.tables().count_to(Table::Promised, 1)? == 0 {
        return Ok(store);
    }
    let model = snapshot.model(model)?;
    let contents = which(&model)?;
    let mut is_missing = false;
    for id in &contents {
        is_missing |= snapshot.promisor(*id)?.is_some();
    }
    if !is_missing {
        return Ok(store);
    }
    let id = model.node().id().to_string();
    drop((model, snapshot, store));
    let store = opening::open_shared(path)?;
    let bar = Progress::unbounded(format!("fetch for {}", path.display()));
    fetch_contents(&store, &id, &contents, &|bytes| bar.advance(bytes))?;
    drop(store);
    opening::open_read_only(path)
}

/// As [`open_to_read`], for models that are named.
///
/// # Errors
///
/// As there; a model that is not there.
pub fn open_to_read_named(path: &Path, models: &[&ModelRef]) -> Result<Store, Failure> {
    open_to_read(path, |snapshot| {
        let find = |model: &&ModelRef| Ok(snapshot.find(*model)?.id());
        models.iter().map(find).collect()
    })
}
