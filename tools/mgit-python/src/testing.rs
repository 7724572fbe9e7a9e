//! Running tests on models, and finding the first that fails one.

use mgit::lineage::Edges;
use mgit::model_tests::{CommandTrust, ModelTest, RunOptions, Runner, Test};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::call::{long, short};
use crate::convert::{model_ref, to_map, to_python};
use crate::error::bad_value;
use crate::functions::{PythonTests, tests_of};
use crate::model::Model;
use crate::snapshot::Snapshot;
use crate::store::Store;

/// How tests are run.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct Running {
    jobs: usize,
    fresh: bool,
    known_only: bool,
    trust: bool,
    /// Tests of Python by name: the adapter, and what changes what it finds.
    code: PythonTests,
}

impl Running {
    /// The options, and the tests of Python, which they borrow.
    pub(crate) fn split(self) -> (RunOptions<'static>, PythonTests) {
        let trust = if self.trust { CommandTrust::Everything } else { CommandTrust::of_user() };
        let (jobs, fresh, known_only) = (self.jobs, self.fresh, self.known_only);
        (RunOptions { jobs, fresh, known_only, trust, ..RunOptions::default() }, self.code)
    }
}

/// Runs tests on models: those that are registered under these names (all, where none are named),
/// or these that are given as name and definition. Returns a dict.
#[pyfunction]
#[pyo3(signature = (store, models, names, given, running, keep))]
pub(crate) fn run_tests<'py>(
    py: Python<'py>,
    store: &Store,
    models: Option<Vec<String>>,
    names: Option<Vec<String>>,
    given: Vec<(String, Bound<'py, PyDict>)>,
    running: Running,
    keep: bool,
) -> PyResult<Bound<'py, PyAny>> {
    let store = store.get()?;
    let given = given.iter().map(|(name, test)| Ok((name, to_map(Some(test))?)));
    let given = given.collect::<PyResult<Vec<_>>>()?;
    let (options, code) = running.split();
    let report = long(py, None, |call| {
        let snapshot = store.snapshot()?;
        let mut tests = match &names {
            None if given.is_empty() => Test::all(&snapshot)?,
            names => {
                let names = names.iter().flatten();
                names.map(|name| Test::find(&snapshot, name)).collect::<Result<_, _>>()?
            }
        };
        for (name, test) in &given {
            tests.push(Test::from_json(name, test)?);
        }
        let nodes = match &models {
            None => snapshot.nodes()?,
            Some(models) => models
                .iter()
                .map(|model| snapshot.find(model_ref(model)))
                .collect::<Result<_, _>>()?,
        };
        let code = tests_of(code, call);
        let mut options = RunOptions { cancel: Some(call.cancel_flag()), ..options };
        for (name, test) in &code {
            options = options.code(name.as_str(), test as &dyn ModelTest);
        }
        let keeper = keep.then_some(&store);
        Ok(Runner::new(&snapshot, options).run(keeper, &tests, &nodes)?)
    })?;
    to_python(py, &report)
}

/// The models on the way from one to another, both among them, and by which edges it leads.
#[pyfunction]
pub(crate) fn path_between(
    py: Python<'_>,
    snapshot: &Snapshot,
    good: &str,
    bad: &str,
) -> PyResult<(Vec<Model>, &'static str)> {
    let held = snapshot.get()?;
    let (nodes, edges) = short(py, || {
        let graph = held.graph();
        let (good, bad) = (graph.find(model_ref(good))?, graph.find(model_ref(bad))?);
        let (path, edges) = mgit::model_tests::path_between(&graph, &good, &bad)?;
        let nodes = path.into_iter().map(|id| graph.expect(id)).collect::<Result<Vec<_>, _>>()?;
        Ok((nodes, edges))
    })?;
    let edges = match edges {
        Edges::Version => "version",
        Edges::Provenance => "provenance",
        Edges::Both => "both",
    };
    Ok((nodes.into_iter().map(|node| snapshot.model_of(node)).collect::<PyResult<_>>()?, edges))
}

/// Finds, among `len` things of which the first is good and the last is bad, where good turns into
/// bad. `probe` is told a place and returns True, False, or None where it cannot be told. Returns
/// the last good and the first bad place, and what was looked at.
#[pyfunction]
pub(crate) fn bisect(
    len: usize,
    probe: &Bound<'_, PyAny>,
) -> PyResult<(usize, usize, Vec<(usize, Option<bool>)>, Vec<usize>)> {
    let mut ask = |place: usize| -> PyResult<Option<bool>> { probe.call1((place,))?.extract() };
    match mgit::model_tests::bisect(len, &|_| None, &mut ask)? {
        Ok(found) => Ok((found.last_good, found.first_bad, found.looked_at, found.contradictions)),
        Err((place, found)) => {
            let must = if place == 0 { "pass" } else { "fail" };
            let found = match found {
                Some(true) => "passes",
                Some(false) => "fails",
                None => "cannot be tested",
            };
            let end = if place == 0 { "first" } else { "last" };
            let text = format!("the {end} model must {must} and {found}: name other ends");
            Err(bad_value(text))
        }
    }
}
