//! Making models from models: functions, update cascades, merges.

use std::ops::ControlFlow;
use std::sync::Arc;

use mgit::Profile;
use mgit::lineage::How;
use mgit::merge::{Merge, MergeOptions};
use mgit::model_tests::{CommandTrust, ModelTest, RunOptions};
use mgit::update::{
    COMMAND_FUNCTION, CommandFunction, Event, Functions, Make, Outcome, StepSource, StepState,
    Stopped, Update, UpdateMethod, UpdatePlan,
};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use serde_json::{Value, json};

use crate::call::{Call, long};
use crate::convert::{model_ref, parse, to_map, to_python};
use crate::error::bad_value;
use crate::functions::{Function, Raised, because_of, tests_of};
use crate::store::Store;
use crate::testing::Running;

/// The functions of a program: adapter and how, by name; and whether commands of the store may run.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct Known {
    code: Vec<(String, Py<PyAny>, String)>,
    trust: bool,
}

/// The same, read.
struct Given {
    code: Vec<(String, Py<PyAny>, How)>,
    trust: CommandTrust,
    raised: Arc<Raised>,
}

impl Known {
    fn read(self, py: Python<'_>) -> PyResult<Given> {
        let code = self.code.into_iter();
        let code = code.map(|(name, adapter, how)| Ok((name, adapter, parse(py, &how)?)));
        Ok(Given {
            code: code.collect::<PyResult<_>>()?,
            trust: if self.trust { CommandTrust::Everything } else { CommandTrust::of_user() },
            raised: Arc::default(),
        })
    }
}

impl Given {
    /// All functions: those of the engine, commands, and those of the program.
    fn functions(self, call: &Arc<Call>) -> Functions {
        let command = CommandFunction::new(self.trust);
        let known = mgit::merge::functions(Functions::new()).with(COMMAND_FUNCTION, command);
        self.code.into_iter().fold(known, |known, (name, adapter, how)| {
            let (call, raised) = (Arc::clone(call), Arc::clone(&self.raised));
            known.with(name, Function { adapter, how, call, raised })
        })
    }
}

/// What is to be made, and of what.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct Making<'py> {
    name: String,
    function: String,
    parents: Vec<(String, Option<String>)>,
    old: Option<String>,
    parameters: Bound<'py, PyDict>,
    command: Option<String>,
    seed: Option<u64>,
    kind: Option<String>,
    profile: String,
}

/// Makes a model by a function, and commits it. Returns a dict.
#[pyfunction]
pub(crate) fn make<'py>(
    py: Python<'py>,
    store: &Store,
    making: Making<'py>,
    known: Known,
) -> PyResult<Bound<'py, PyAny>> {
    let (store, given) = (store.get()?, known.read(py)?);
    let mut make = Make::new(making.name, making.function).profile(parse(py, &making.profile)?);
    for (parent, how) in &making.parents {
        let how: Option<How> = how.as_deref().map(|how| parse(py, how)).transpose()?;
        make = make.parent(model_ref(parent), how);
    }
    for (name, value) in to_map(Some(&making.parameters))? {
        make = make.parameter(name, value);
    }
    if let Some(old) = &making.old {
        make = make.old(model_ref(old));
    }
    if let Some(command) = making.command {
        make = make.command(command);
    }
    if let Some(seed) = making.seed {
        make = make.seed(seed);
    }
    if let Some(kind) = making.kind {
        make = make.kind(kind);
    }
    let raised = Arc::clone(&given.raised);
    let made = long(py, None, |call| Ok(make.run(&store, &given.functions(call))?));
    to_python(py, &made.map_err(|error| because_of(py, error, &raised))?)
}

/// Makes a model again by its recipe. Returns the differences from what is stored.
#[pyfunction]
pub(crate) fn remake(
    py: Python<'_>,
    model: &crate::model::Model,
    known: Known,
) -> PyResult<Vec<String>> {
    let given = known.read(py)?;
    let (raised, model) = (Arc::clone(&given.raised), model.opened(py)?);
    let made = long(py, None, |call| {
        Ok(mgit::update::remake(model, &given.functions(call))?.differences(model)?)
    });
    made.map_err(|error| because_of(py, error, &raised))
}

/// An update: what follows a new version, and how.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct Updating {
    old: String,
    new: String,
    method: String,
    jobs: usize,
    resume: bool,
    all_versions: bool,
    skip: Vec<String>,
    stop: Vec<String>,
    profile: String,
}

impl Updating {
    fn update(&self, profile: Profile) -> Update<'_> {
        let method = match self.method.parse::<UpdateMethod>() {
            Ok(method) => method,
            Err(_) => UpdateMethod::Function(self.method.clone()),
        };
        fn fits(globs: &[String]) -> impl Fn(&mgit::Node) -> bool + Sync + '_ {
            move |node: &mgit::Node| {
                globs.iter().any(|glob| {
                    glob == &node.full_name() || mgit::lineage::glob_matches(glob, node.name())
                })
            }
        }
        Update::new(model_ref(&self.old), model_ref(&self.new))
            .method(method)
            .jobs(self.jobs)
            .resume(self.resume)
            .all_versions(self.all_versions)
            .profile(profile)
            .skip(fits(&self.skip))
            .stop(fits(&self.stop))
    }
}

/// The steps of an update: for each the model, what takes the places of its parents, and its state.
fn steps_of(plan: &UpdatePlan) -> Vec<Value> {
    let name_of = |source: &StepSource| match source {
        StepSource::Node(node) => node.full_name(),
        StepSource::Step(at) => plan
            .steps
            .get(*at)
            .map(|step| format!("next of {}", step.node.full_name()))
            .unwrap_or_default(),
    };
    let steps = plan.steps.iter().map(|step| {
        let (state, detail) = match &step.state {
            StepState::ToDo(function) => ("to-do", function.clone()),
            StepState::Impossible(reason) => ("impossible", reason.clone()),
            StepState::Made(node) => ("made", node.full_name()),
        };
        json!({
            "model": step.node.full_name(),
            "parents": step.parents.iter().map(|parent| name_of(&parent.to)).collect::<Vec<_>>(),
            "state": state,
            "detail": detail,
        })
    });
    steps.collect()
}

/// What an update would make.
#[pyfunction]
pub(crate) fn update_plan<'py>(
    py: Python<'py>,
    store: &Store,
    updating: Updating,
) -> PyResult<Bound<'py, PyAny>> {
    let (store, profile) = (store.get()?, parse(py, &updating.profile)?);
    let plan = long(py, None, |_| Ok(updating.update(profile).plan(&store.snapshot()?)?))?;
    to_python(py, &steps_of(&plan))
}

/// What an update did: the steps, and of each that is not made the reason.
fn outcome_of(outcome: &Outcome) -> Value {
    let name = |at: &usize| outcome.plan.steps.get(*at).map(|step| step.node.full_name());
    let made = outcome.made.iter().map(|(at, report)| {
        json!({ "of": name(at), "model": report.node.full_name(), "added_bytes": report.added_bytes })
    });
    let failed = outcome.failed.iter().map(|(at, error)| {
        json!({ "of": name(at), "code": error.code(), "reason": mgit::full_message(error) })
    });
    let stopped = match &outcome.stopped {
        None => Value::Null,
        Some(Stopped::Told) => "it was told to stop".into(),
        Some(Stopped::Failed(error)) => mgit::full_message(error).into(),
        Some(_) => "it stopped".into(),
    };
    json!({
        "steps": steps_of(&outcome.plan),
        "made": made.collect::<Vec<_>>(),
        "failed": failed.collect::<Vec<_>>(),
        "blocked": outcome.blocked.iter().map(name).collect::<Vec<_>>(),
        "stopped": stopped,
        "is_complete": outcome.is_complete(),
    })
}

/// Makes what follows a new version. Returns a dict, and the exceptions of functions by the names
/// of what they were to make.
#[pyfunction]
pub(crate) fn update<'py>(
    py: Python<'py>,
    store: &Store,
    updating: Updating,
    known: Known,
) -> PyResult<(Bound<'py, PyAny>, Vec<(String, Py<PyAny>)>)> {
    let (store, given) = (store.get()?, known.read(py)?);
    let profile = parse(py, &updating.profile)?;
    let raised = Arc::clone(&given.raised);
    let outcome = long(py, None, |call| {
        let update = updating.update(profile).watch(|event| match event {
            Event::Begins(_) if call.is_cancelled() => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        });
        Ok(outcome_of(&update.run(&store, &given.functions(call))?))
    })?;
    let raised = raised.take().into_iter();
    let raised = raised.map(|(of, error)| (of, error.into_value(py).into_any()));
    Ok((to_python(py, &outcome)?, raised.collect()))
}

/// A merge, and how its conflicts are settled.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct Merging<'py> {
    ours: String,
    theirs: String,
    name: String,
    base: Option<String>,
    on_conflict: Option<String>,
    takes: Vec<(String, String)>,
    blend: Bound<'py, PyDict>,
    seed: u64,
    profile: String,
}

impl Merging<'_> {
    fn merge(&self, py: Python<'_>) -> PyResult<Merge> {
        let resolution = self.on_conflict.as_deref();
        let on_conflict = resolution.map(|text| parse(py, text)).transpose()?;
        let takes = self.takes.iter().map(|(glob, take)| {
            if glob.is_empty() {
                return Err(bad_value("a glob of take is empty"));
            }
            Ok(mgit::merge::Take { glob: glob.clone(), resolution: parse(py, take)? })
        });
        let options = MergeOptions {
            base: self.base.as_deref().map(model_ref),
            on_conflict,
            takes: takes.collect::<PyResult<_>>()?,
            blend: to_map(Some(&self.blend))?,
            seed: self.seed,
        };
        let (ours, theirs) = (model_ref(&self.ours), model_ref(&self.theirs));
        let merge = Merge::new(ours, theirs, self.name.as_str()).options(options);
        Ok(merge.profile(parse(py, &self.profile)?))
    }
}

/// What a merge would do: a dict.
#[pyfunction]
pub(crate) fn merge_plan<'py>(
    py: Python<'py>,
    store: &Store,
    merging: Merging<'py>,
) -> PyResult<Bound<'py, PyAny>> {
    let (store, merge) = (store.get()?, merging.merge(py)?);
    let plan = long(py, None, |_| Ok(merge.plan(&store.snapshot()?)?))?;
    to_python(py, &plan)
}

/// Merges two models. Returns a dict.
#[pyfunction]
pub(crate) fn merge<'py>(
    py: Python<'py>,
    store: &Store,
    merging: Merging<'py>,
    running: Running,
) -> PyResult<Bound<'py, PyAny>> {
    let (store, merge) = (store.get()?, merging.merge(py)?);
    let (options, code) = running.split();
    let merged = long(py, None, |call| {
        let code = tests_of(code, call);
        let mut options = RunOptions { cancel: Some(call.cancel_flag()), ..options };
        for (name, test) in &code {
            options = options.code(name.as_str(), test as &dyn ModelTest);
        }
        Ok(merge.run(&store, options)?)
    })?;
    to_python(py, &merged)
}
