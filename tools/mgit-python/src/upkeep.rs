//! Looking after a store: collecting, repacking, copies.

use std::path::PathBuf;

use mgit::store::Repack;
use mgit::upkeep;
use pyo3::prelude::*;

use crate::call::long;
use crate::convert::{parse, to_python};
use crate::store::Store;

/// Frees what nothing needs, and gives it back to the file system.
#[pyfunction]
pub(crate) fn gc<'py>(py: Python<'py>, store: &Store) -> PyResult<Bound<'py, PyAny>> {
    let store = store.get()?;
    let report = long(py, None, |_| Ok(upkeep::gc(&store)?))?;
    to_python(py, &report)
}

/// Codes all tensors anew where that is shorter.
#[pyfunction]
#[pyo3(signature = (store, profile, dry_run, progress))]
pub(crate) fn repack<'py>(
    py: Python<'py>,
    store: &Store,
    profile: &str,
    dry_run: bool,
    progress: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let how = Repack::default().profile(parse(py, profile)?).dry_run(dry_run);
    let store = store.get()?;
    let report = long(py, progress, |call| {
        Ok(upkeep::gc_repack(&store, &how, &|bytes| call.progress(bytes))?)
    })?;
    to_python(py, &report)
}

/// Copies the store as it is now into a new file.
#[pyfunction]
#[pyo3(signature = (store, path, overwrite, progress))]
pub(crate) fn backup<'py>(
    py: Python<'py>,
    store: &Store,
    path: PathBuf,
    overwrite: bool,
    progress: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let store = store.get()?;
    let report = long(py, progress, |call| {
        let (snapshot, told) = (store.snapshot()?, |bytes| call.progress(bytes));
        Ok(match overwrite {
            true => upkeep::backup_replacing(&store, &snapshot, &path, &told)?,
            false => upkeep::backup(&store, &snapshot, &path, &told)?,
        })
    })?;
    to_python(py, &report)
}

/// Writes the store anew without free room.
#[pyfunction]
#[pyo3(signature = (path, progress))]
pub(crate) fn vacuum<'py>(
    py: Python<'py>,
    path: PathBuf,
    progress: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let report =
        long(py, progress, |call| Ok(upkeep::vacuum(&path, &|bytes| call.progress(bytes))?))?;
    to_python(py, &report)
}
