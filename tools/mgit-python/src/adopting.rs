//! Models that come together: found, planned, imported.

use std::path::PathBuf;

use mgit::adoption::{AdoptionOptions, Arrivals};
use mgit::interchange::SourceOptions;
use mgit::store::Repack;
use pyo3::prelude::*;
use serde_json::json;

use crate::call::long;
use crate::convert::to_python;
use crate::store::Store;

/// Finds the models at these paths, works out which they are and where they come from, and, unless
/// only the plan is wanted, imports them. Returns a dict: plan and adopted.
#[pyfunction]
#[pyo3(signature = (store, paths, dry_run, exclude, follow_links, repack, progress))]
pub(crate) fn adopt<'py>(
    py: Python<'py>,
    store: &Store,
    paths: Vec<PathBuf>,
    dry_run: bool,
    exclude: Vec<String>,
    follow_links: bool,
    repack: bool,
    progress: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let store = store.get()?;
    let report = long(py, progress, |call| {
        let options = SourceOptions::new().follow_links(follow_links);
        let options = exclude.into_iter().fold(options, SourceOptions::exclude);
        let plan = Arrivals::find(paths, &options)?.plan(&store.snapshot()?)?;
        let unused: Vec<&str> = options.unused_excludes().collect();
        let planned = serde_json::to_value(&plan)?;
        if dry_run {
            return Ok(json!({ "plan": planned, "unused_globs": unused }));
        }
        let told = |advance: mgit::adoption::Advance<'_>| call.progress(advance.bytes);
        let options = AdoptionOptions::new().progress(&told);
        let options = options.repack(repack.then(Repack::default));
        let adopted = plan.run(&store, options).finish()?;
        Ok(json!({ "plan": planned, "adopted": adopted, "unused_globs": unused }))
    })?;
    to_python(py, &report)
}
