//! Changes of a store that become visible together.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, TryLockError};

use mgit::adoption::{ModelInput, find_parent};
use mgit::error::StoreError;
use mgit::interchange::{ModelSource, SourceOptions, write_header};
use mgit::model_tests::Test;
use mgit::store::{Advice, NewView, Repack};
use mgit::{How, Lossy, NewModel, NewPart, OnChildren, Profile, Shape};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use serde_json::{Map, Value, json};

use crate::array::{Array, NewArray};
use crate::call::{Call, long, short};
use crate::convert::{model_ref, parse, to_map, to_python};
use crate::error::{bad_value, closed, coded};
use crate::functions::{Raised, ask_gate, because_of};
use crate::model::Node;
use crate::owned::Owned;
use crate::snapshot::Snapshot;

/// A transaction. What is done by it is seen by nobody before `commit`.
#[pyclass(frozen, module = "mgit_store._engine")]
pub(crate) struct Transaction(Mutex<State>);

/// How far a transaction is.
enum State {
    Open(Box<Owned<mgit::Transaction>>),
    /// A call of it raised an exception when its work was done: what it holds is not what its user
    /// believes, so that it can only be rolled back.
    Interrupted,
    Closed,
}

impl State {
    fn open(&mut self) -> PyResult<&mut mgit::Transaction> {
        match self {
            State::Open(transaction) => transaction.get_mut(),
            State::Interrupted => Err(interrupted()),
            State::Closed => Err(closed("transaction")),
        }
    }
}

fn interrupted() -> PyErr {
    let message = "a call of the transaction ended by an exception: roll it back, and begin again";
    Python::attach(|py| coded(py, "broken-transaction", message))
}

/// What is said of a model that is added.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct About<'py> {
    name: String,
    parents: Vec<(String, Option<String>)>,
    kind: Option<String>,
    metadata: Bound<'py, PyDict>,
    profile: Option<String>,
    made_of: Vec<String>,
    pinned: bool,
    unless: Option<String>,
    lossy: Option<String>,
    /// Judges the model with its values rounded.
    gate: Option<Py<PyAny>>,
    /// Whether models are stored anew for which it is a better base.
    repack: bool,
}

/// The same, read.
struct Said {
    name: String,
    parents: Vec<(String, How)>,
    kind: Option<String>,
    metadata: Map<String, Value>,
    profile: Option<Profile>,
    made_of: Vec<String>,
    is_pinned: bool,
    unless: Option<String>,
    lossy: Option<Lossy>,
    gate: Option<Py<PyAny>>,
    repacks: bool,
    raised: Raised,
}

impl About<'_> {
    fn read(self, py: Python<'_>) -> PyResult<Said> {
        let parents = self.parents.into_iter().map(|(parent, how)| {
            let how = how.map_or(Ok(How::FineTune), |how| parse(py, &how))?;
            Ok((parent, how))
        });
        if let Some(unless) = self.unless.as_deref().filter(|it| !["equal", "known"].contains(it)) {
            return Err(bad_value(format!("unless is \"equal\" or \"known\", not {unless:?}")));
        }
        Ok(Said {
            parents: parents.collect::<PyResult<_>>()?,
            metadata: to_map(Some(&self.metadata))?,
            profile: self.profile.map(|profile| parse(py, &profile)).transpose()?,
            name: self.name,
            kind: self.kind,
            made_of: self.made_of,
            is_pinned: self.pinned,
            unless: self.unless,
            lossy: self.lossy.map(|lossy| parse(py, &lossy)).transpose()?,
            gate: self.gate,
            repacks: self.repack,
            raised: Raised::default(),
        })
    }
}

impl Said {
    fn model<'a>(&'a self, call: &'a Call, mut model: NewModel<'a>) -> NewModel<'a> {
        for (parent, how) in &self.parents {
            model = model.parent(model_ref(parent), *how);
        }
        for (key, value) in &self.metadata {
            model = model.metadata(key.as_str(), value.clone());
        }
        if let Some(kind) = &self.kind {
            model = model.kind(kind.as_str());
        }
        if let Some(profile) = self.profile {
            model = model.profile(profile);
        }
        if !self.made_of.is_empty() {
            model = model.made_of(self.made_of.iter().map(|model| model_ref(model)));
        }
        if self.is_pinned {
            model = model.advise(Advice::ReadOften);
        }
        if let Some(lossy) = self.lossy {
            model = model.lossy(lossy);
        }
        if let Some(gate) = &self.gate {
            model = model.gate(|draft| ask_gate(gate, (call, &self.raised), draft));
        }
        match self.unless.as_deref() {
            Some("equal") => model.unless_equal(),
            Some(_) => model.unless_known(),
            None => model,
        }
    }
}

/// Adds a model, and stores anew those for which it is a better base.
fn added(
    transaction: &mut mgit::Transaction,
    model: NewModel<'_>,
    repacks: bool,
) -> mgit::Result<Value> {
    let report = transaction.add_model(model)?;
    let mut document = serde_json::to_value(&report)?;
    if repacks && !report.already_there {
        let around = transaction.repack_around(&report.node, &Repack::default())?;
        let names = |nodes: &[mgit::Node]| nodes.iter().map(mgit::Node::full_name).collect();
        let (helped, left): (Vec<String>, Vec<String>) =
            (names(&around.helped), names(&around.left));
        document["around"] =
            json!({ "helped": helped, "left": left, "left_bytes": around.left_bytes });
    }
    Ok(document)
}

/// The weights of a model that are arrays.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct Weights<'py> {
    /// Their file in the model's folder; empty for a model of one file.
    path: String,
    tensors: Vec<Array<'py>>,
    /// Other names for whole tensors: the name, and the place of the tensor.
    ties: Vec<(String, usize)>,
    /// What the header of the file says beside the tensors.
    header: BTreeMap<String, String>,
}

impl Weights<'_> {
    fn arrays(&self) -> PyResult<Vec<NewArray>> {
        self.tensors.iter().map(NewArray::new).collect()
    }
}

/// A safetensors file of these arrays.
fn part_of<'a>(
    path: &str,
    arrays: &'a [NewArray],
    ties: &[(String, usize)],
    header: &BTreeMap<String, String>,
) -> NewPart<'a> {
    let mut part = NewPart::new(path);
    let shapes: Option<Vec<Shape>> =
        arrays.iter().map(|array| Shape::new(array.shape()).ok()).collect();
    // What has no header is refused, with the reason, when it is added.
    let lens = arrays.iter().try_fold(0u64, |sum, array| sum.checked_add(array.byte_len()));
    let is_written = lens.is_some() && arrays.iter().all(|array| array.name() != "__metadata__");
    if let Some(shapes) = shapes.filter(|_| is_written && !header.is_empty()) {
        let entries = arrays.iter().zip(&shapes);
        let entries =
            entries.map(|(array, shape)| (array.name(), array.dtype(), shape, array.byte_len()));
        part = part.header(write_header(entries, Some(header)));
    }
    for array in arrays {
        part = part.tensor(array.tensor());
    }
    for (name, at) in ties {
        let Some(array) = arrays.get(*at) else { continue };
        part = part.view(NewView {
            name: name.clone(),
            tensor: *at,
            offset: 0,
            dtype: array.dtype().clone(),
            shape: Shape::new(array.shape()).unwrap_or_default(),
            strides: strides_of(array.shape()),
        });
    }
    part
}

/// Elements from one to the next of an array that is in a row, for each dimension.
fn strides_of(shape: &[u64]) -> Vec<u64> {
    let mut strides: Vec<u64> = Vec::with_capacity(shape.len());
    let mut step = 1u64;
    for dim in shape.iter().rev() {
        strides.push(step);
        step = step.saturating_mul(*dim);
    }
    strides.reverse();
    strides
}

impl Transaction {
    pub(crate) fn new(transaction: mgit::Transaction) -> Self {
        Transaction(Mutex::new(State::Open(Box::new(Owned::new(transaction)))))
    }

    fn lock(&self) -> PyResult<MutexGuard<'_, State>> {
        match self.0.try_lock() {
            Ok(transaction) => Ok(transaction),
            Err(TryLockError::Poisoned(poisoned)) => Ok(poisoned.into_inner()),
            // Waiting here, with the interpreter, would keep that thread from ending its work.
            Err(TryLockError::WouldBlock) => {
                let message = "another thread uses the transaction at this moment";
                Err(Python::attach(|py| coded(py, "busy", message)))
            }
        }
    }

    /// Runs a step of the transaction.
    fn step<T: Send>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&mut mgit::Transaction) -> mgit::Result<T> + Send,
    ) -> PyResult<T> {
        let mut state = self.lock()?;
        let transaction = state.open()?;
        short(py, || work(transaction))
    }

    /// Runs a long step of the transaction.
    fn long_step<T: Send>(
        &self,
        py: Python<'_>,
        progress: Option<&Bound<'_, PyAny>>,
        work: impl FnOnce(&mut mgit::Transaction, &Call) -> mgit::Result<T> + Send,
    ) -> PyResult<T> {
        let mut state = self.lock()?;
        let (transaction, is_done) = (state.open()?, AtomicBool::new(false));
        let result = long(py, progress, |call| {
            let result = work(transaction, call);
            is_done.store(result.is_ok(), Ordering::Relaxed);
            result
        });
        if result.is_err() && is_done.load(Ordering::Relaxed) {
            let open = std::mem::replace(&mut *state, State::Interrupted);
            py.detach(|| drop(open));
        }
        result
    }

    fn take(&self) -> PyResult<State> {
        let mut state = self.lock()?;
        // A child that a process forked leaves it as it is.
        if let State::Open(transaction) = &*state {
            transaction.get()?;
        }
        Ok(std::mem::replace(&mut *state, State::Closed))
    }
}

#[pymethods]
impl Transaction {
    #[getter]
    fn is_closed(&self) -> bool {
        match self.0.try_lock() {
            Ok(state) => matches!(*state, State::Closed),
            Err(_) => false,
        }
    }

    /// Adds a model of arrays, and of the files of a folder beside them. Returns a dict.
    #[pyo3(signature = (about, weights, folder, progress))]
    fn add<'py>(
        &self,
        py: Python<'py>,
        about: About<'py>,
        weights: Weights<'py>,
        folder: Option<PathBuf>,
        progress: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (said, arrays) = (about.read(py)?, weights.arrays()?);
        let Weights { path, ties, header, .. } = weights;
        let report = self.long_step(py, progress, |transaction, call| {
            let options = SourceOptions::new().weights_elsewhere(true);
            let beside = folder.map(|folder| ModelSource::open_with(folder, &options));
            let beside = beside.transpose()?;
            let model = NewModel::new(said.name.as_str());
            let mut model = said.model(call, model).part(part_of(&path, &arrays, &ties, &header));
            let told = |bytes| call.progress(bytes);
            if beside.is_none() && !ties.is_empty() {
                model = model.single_file();
            }
            if let Some(left) = beside.iter().flat_map(ModelSource::left_out).next() {
                let (path, reason) = (left.path.clone(), left.reason.clone());
                return Err(StoreError::BadFile { path, reason }.into());
            }
            if let Some(beside) = &beside {
                let len = arrays.iter().fold(0, |sum, array| sum + array.byte_len());
                model = model.source(beside).logical_bytes(beside.logical_bytes() + len);
            }
            added(transaction, model.progress(&told), said.repacks)
        });
        to_python(py, &report.map_err(|error| because_of(py, error, &said.raised))?)
    }

    /// Adds the model at a path: a file of any format, or a folder. Returns a dict.
    /// In `finds_parent_in` its parent is looked for.
    #[pyo3(signature = (about, path, exclude, include, follow_links, finds_parent_in, progress))]
    fn add_path<'py>(
        &self,
        py: Python<'py>,
        about: About<'py>,
        path: PathBuf,
        exclude: Vec<String>,
        include: Vec<String>,
        follow_links: bool,
        finds_parent_in: Option<&Snapshot>,
        progress: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let said = about.read(py)?;
        let before = finds_parent_in.map(Snapshot::get).transpose()?;
        let options = SourceOptions::new().follow_links(follow_links);
        let options = exclude.into_iter().fold(options, SourceOptions::exclude);
        let options = include.into_iter().fold(options, SourceOptions::include);
        let report = self.long_step(py, progress, |transaction, call| {
            let input = ModelInput::open(&path, &options)?;
            let mut model = said.model(call, input.model(said.name.as_str()));
            if let Some(before) = before {
                let found = find_parent(before, &input.member(said.name.as_str())?)?;
                model = found.descent().add_to(model);
            }
            let told = |bytes| call.progress(bytes);
            let mut report = added(transaction, model.progress(&told), said.repacks)?;
            let source = input.source();
            let left_out = source.left_out().iter();
            let left_out = left_out.map(|it| json!({ "file": it.path, "reason": it.reason }));
            let notes = source.notes().map(|(file, note)| json!({ "file": file, "note": note }));
            let unused = options.unused_excludes().chain(options.unused_includes());
            report["left_out"] = left_out.collect();
            report["file_notes"] = notes.collect();
            report["unused_globs"] = unused.collect();
            Ok(report)
        })?;
        to_python(py, &report)
    }

    /// The node of a model, with the changes of this transaction.
    fn find(&self, py: Python<'_>, model: &str) -> PyResult<Node> {
        Ok(Node(self.step(py, |transaction| Ok(transaction.find(model_ref(model))?))?))
    }

    /// Removes a model. Returns a dict.
    fn remove<'py>(
        &self,
        py: Python<'py>,
        model: &str,
        on_children: &str,
    ) -> PyResult<Bound<'py, PyAny>> {
        let on_children = match on_children {
            "refuse" => OnChildren::Refuse,
            "reparent" => OnChildren::Reparent,
            "detach" => OnChildren::Detach,
            other => {
                let message = "on_children is \"refuse\", \"reparent\" or \"detach\", not";
                return Err(bad_value(format!("{message} {other:?}")));
            }
        };
        let report = self
            .step(py, |transaction| Ok(transaction.remove_model(model_ref(model), on_children)?))?;
        to_python(py, &report)
    }

    fn add_parent(&self, py: Python<'_>, child: &str, parent: &str, how: &str) -> PyResult<()> {
        let how: How = parse(py, how)?;
        self.step(py, |transaction| {
            Ok(transaction.add_parent(model_ref(child), model_ref(parent), how)?)
        })
    }

    fn remove_parent(&self, py: Python<'_>, child: &str, parent: &str) -> PyResult<()> {
        self.step(py, |transaction| {
            Ok(transaction.remove_parent(model_ref(child), model_ref(parent))?)
        })
    }

    #[pyo3(signature = (model, previous))]
    fn set_previous(&self, py: Python<'_>, model: &str, previous: Option<&str>) -> PyResult<()> {
        self.step(py, |transaction| match previous {
            Some(previous) => Ok(transaction.set_previous(model_ref(model), model_ref(previous))?),
            None => Ok(transaction.clear_previous(model_ref(model))?),
        })
    }

    fn rename(&self, py: Python<'_>, old: &str, new: &str) -> PyResult<Vec<Node>> {
        let nodes = self.step(py, |transaction| Ok(transaction.rename_models(old, new)?))?;
        Ok(nodes.into_iter().map(Node).collect())
    }

    fn move_model(&self, py: Python<'_>, model: &str, name: &str) -> PyResult<Node> {
        Ok(Node(self.step(py, |transaction| Ok(transaction.move_model(model_ref(model), name)?))?))
    }

    fn set_kind(&self, py: Python<'_>, model: &str, kind: &str) -> PyResult<()> {
        self.step(py, |transaction| Ok(transaction.set_kind(model_ref(model), kind)?))
    }

    fn set_metadata(
        &self,
        py: Python<'_>,
        model: &str,
        metadata: &Bound<'_, PyDict>,
    ) -> PyResult<()> {
        let metadata = to_map(Some(metadata))?;
        self.step(py, |transaction| Ok(transaction.set_metadata(model_ref(model), metadata)?))
    }

    fn set_tag(&self, py: Python<'_>, tag: &str, model: &str) -> PyResult<()> {
        self.step(py, |transaction| Ok(transaction.set_tag(tag, model_ref(model)).map(drop)?))
    }

    fn remove_tag(&self, py: Python<'_>, tag: &str) -> PyResult<()> {
        self.step(py, |transaction| Ok(transaction.remove_tag(tag).map(drop)?))
    }

    /// Registers a test by its definition.
    fn set_test(&self, py: Python<'_>, name: &str, test: &Bound<'_, PyDict>) -> PyResult<()> {
        let test = to_map(Some(test))?;
        self.step(py, |transaction| Ok(Test::from_json(name, &test)?.register(transaction)?))
    }

    /// Removes a registered test. Says whether there was one.
    fn remove_test(&self, py: Python<'_>, name: &str) -> PyResult<bool> {
        self.step(py, |transaction| Ok(transaction.remove_test(name)?))
    }

    /// Keeps a model raw, to be read without a copy. Returns a dict.
    fn pin<'py>(&self, py: Python<'py>, model: &str) -> PyResult<Bound<'py, PyAny>> {
        let report = self.step(py, |transaction| Ok(transaction.pin(model_ref(model))?))?;
        to_python(py, &report)
    }

    /// Lets a model be stored as differences again. Returns a dict.
    fn unpin<'py>(
        &self,
        py: Python<'py>,
        model: &str,
        profile: &str,
    ) -> PyResult<Bound<'py, PyAny>> {
        let profile = parse(py, profile)?;
        let report =
            self.step(py, |transaction| Ok(transaction.unpin(model_ref(model), profile)?))?;
        to_python(py, &report)
    }

    /// Makes the changes durable and visible.
    fn commit(&self, py: Python<'_>) -> PyResult<()> {
        match self.take()? {
            State::Open(transaction) => {
                let transaction = transaction.into_inner()?;
                short(py, || Ok(transaction.commit()?))
            }
            State::Interrupted => Err(interrupted()),
            State::Closed => Err(closed("transaction")),
        }
    }

    /// Drops the changes.
    fn rollback(&self, py: Python<'_>) -> PyResult<()> {
        let state = self.take()?;
        py.detach(|| drop(state));
        Ok(())
    }
}
