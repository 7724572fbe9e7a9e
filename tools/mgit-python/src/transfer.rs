//! Models to and from other places.

use std::path::PathBuf;

use mgit::lineage::glob_matches;
use mgit::transfer::{self, Place, PullReport, Selection};
use pyo3::prelude::*;

use crate::call::{long, short};
use crate::convert::to_python;
use crate::store::Store;

/// Which models travel: those whose name fits one of the globs; all where there is none.
fn wants(globs: &[String]) -> impl Fn(&str) -> bool + Sync + '_ {
    move |name| globs.is_empty() || globs.iter().any(|glob| glob_matches(glob, name))
}

/// Moves models between the store and a place.
fn moved<'py>(
    py: Python<'py>,
    store: &Store,
    place: &str,
    (globs, graph_only): (Vec<String>, bool),
    progress: Option<&Bound<'py, PyAny>>,
    work: impl FnOnce(&mgit::Store, &Place, Selection<'_>) -> transfer::Result<PullReport> + Send,
) -> PyResult<Bound<'py, PyAny>> {
    let store = store.get()?;
    let report = long(py, progress, |call| {
        let (wants, told) = (wants(&globs), |bytes| call.progress(bytes));
        let named = transfer::remotes(&store.snapshot()?)?.into_iter();
        let named = named.filter(|remote| remote.name == place).map(|remote| remote.url).next();
        let place = Place::parse(named.as_deref().unwrap_or(place))?;
        let selection = Selection { wants: &wants, graph_only, progress: &told };
        Ok(work(&store, &place, selection)?)
    })?;
    to_python(py, &report)
}

/// Takes in what is at a place and not here.
#[pyfunction]
#[pyo3(signature = (store, place, globs, graph_only, progress))]
pub(crate) fn pull<'py>(
    py: Python<'py>,
    store: &Store,
    place: &str,
    globs: Vec<String>,
    graph_only: bool,
    progress: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    moved(py, store, place, (globs, graph_only), progress, transfer::pull)
}

/// Takes in the tensors that the models here name and that are at their promisors.
#[pyfunction]
#[pyo3(signature = (store, models, progress))]
pub(crate) fn fetch<'py>(
    py: Python<'py>,
    store: &Store,
    models: Vec<String>,
    progress: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let store = store.get()?;
    let report = long(py, progress, |call| {
        let models: Vec<&str> = models.iter().map(String::as_str).collect();
        Ok(transfer::fetch_missing(&store, &models, &|bytes| call.progress(bytes))?)
    })?;
    to_python(py, &report)
}

/// Gives a place what is here and not there.
#[pyfunction]
#[pyo3(signature = (store, place, globs, progress))]
pub(crate) fn push<'py>(
    py: Python<'py>,
    store: &Store,
    place: &str,
    globs: Vec<String>,
    progress: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    moved(py, store, place, (globs, false), progress, transfer::push)
}

/// Writes models into one file.
#[pyfunction]
#[pyo3(signature = (store, path, globs, progress))]
pub(crate) fn bundle<'py>(
    py: Python<'py>,
    store: &Store,
    path: PathBuf,
    globs: Vec<String>,
    progress: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let store = store.get()?;
    let report = long(py, progress, |call| {
        let (wants, told) = (wants(&globs), |bytes| call.progress(bytes));
        let selection = Selection { wants: &wants, graph_only: false, progress: &told };
        Ok(transfer::bundle_create(&store, &path, selection)?)
    })?;
    to_python(py, &report)
}

/// The remotes that the store knows by name.
#[pyfunction]
pub(crate) fn remotes(py: Python<'_>, store: &Store) -> PyResult<Vec<(String, String)>> {
    let store = store.get()?;
    let remotes = short(py, || Ok(transfer::remotes(&store.snapshot()?)?))?;
    Ok(remotes.into_iter().map(|remote| (remote.name, remote.url)).collect())
}

#[pyfunction]
pub(crate) fn add_remote(py: Python<'_>, store: &Store, name: &str, url: &str) -> PyResult<()> {
    let store = store.get()?;
    short(py, || Ok(transfer::add_remote(&store, name, url).map(drop)?))
}

#[pyfunction]
pub(crate) fn remove_remote(py: Python<'_>, store: &Store, name: &str) -> PyResult<()> {
    let store = store.get()?;
    short(py, || Ok(transfer::remove_remote(&store, name)?))
}
