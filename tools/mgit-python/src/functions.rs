//! Functions of Python that make models, test them and judge them, as the engine calls them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use mgit::error::UpdateError;
use mgit::interchange::ModelSource;
use mgit::lineage::How;
use mgit::model_tests::{Better, Metric, ModelTest, TestFailure};
use mgit::store::LossyDraft;
use mgit::update::{Creation, Draft, DraftTensor, Inputs};
use mgit::{Dtype, Shape};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::array::{Array, NewArray};
use crate::call::Call;
use crate::convert::to_python;
use crate::model::Model;

/// Exceptions of functions, by what they were called for.
#[derive(Default)]
pub(crate) struct Raised(Mutex<Vec<(String, PyErr)>>);

impl Raised {
    fn note(&self, of: &str, error: PyErr) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((of.to_owned(), error));
    }

    pub(crate) fn take(&self) -> Vec<(String, PyErr)> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// An error of a function has the exception of the function as its cause.
pub(crate) fn because_of(py: Python<'_>, error: PyErr, raised: &Raised) -> PyErr {
    if let Some((_, cause)) = raised.take().pop() {
        error.set_cause(py, Some(cause));
    }
    error
}

/// A creation function of Python. What is called is the package's own adapter, with the function,
/// which returns what is to be stored.
pub(crate) struct Function {
    pub(crate) adapter: Py<PyAny>,
    pub(crate) how: How,
    pub(crate) call: Arc<Call>,
    pub(crate) raised: Arc<Raised>,
}

/// What a function made: the path of files, or arrays.
#[derive(FromPyObject)]
enum Made<'py> {
    Path(std::path::PathBuf),
    Arrays(Vec<Array<'py>>),
}

/// The same, held.
enum Held {
    Path(std::path::PathBuf),
    Arrays(Vec<NewArray>),
}

impl Function {
    fn ask(&self, inputs: &Inputs) -> Result<Held, UpdateError> {
        let (inputs, adapter) = (inputs.clone(), Python::attach(|py| self.adapter.clone_ref(py)));
        let making = inputs.making.clone();
        let asked = self.call.ask(move |py| {
            let models = |models: &[mgit::Model]| models.iter().map(Model::of).collect::<Vec<_>>();
            let parents = inputs.parents.iter();
            let parents: Vec<_> =
                parents.map(|input| (input.role.as_str(), Model::of(&input.model))).collect();
            let made = adapter.bind(py).call1((
                parents,
                inputs.old.as_ref().map(Model::of),
                models(&inputs.old_parents),
                to_python(py, &inputs.parameters)?,
                inputs.seed,
                inputs.making.as_str(),
            ))?;
            Ok(match made.extract()? {
                Made::Path(path) => Held::Path(path),
                Made::Arrays(arrays) => {
                    let arrays = arrays.iter().map(NewArray::new);
                    Held::Arrays(arrays.collect::<PyResult<_>>()?)
                }
            })
        });
        match asked {
            None => Err(UpdateError::failed("it was interrupted")),
            Some(Ok(held)) => Ok(held),
            Some(Err(error)) => {
                let text = Python::attach(|py| error.value(py).to_string());
                self.raised.note(&making, error);
                Err(UpdateError::failed(text))
            }
        }
    }
}

impl Creation for Function {
    fn how(&self) -> How {
        self.how
    }

    fn make(&self, inputs: &Inputs) -> Result<Draft, UpdateError> {
        let arrays = match self.ask(inputs)? {
            Held::Path(path) => {
                let source = ModelSource::open(path).map_err(UpdateError::failed)?;
                return Ok(Draft::source(source, None));
            }
            Held::Arrays(arrays) => arrays,
        };
        let parent = inputs.parents.first().map(|input| &input.model);
        // A model of the parent's kind goes into files like the parent's.
        let known = parent.filter(|parent| {
            parent.weights().any(|old| arrays.iter().any(|new| new.name() == old.name()))
        });
        let tensors = arrays.into_iter().map(draft_tensor).collect::<Result<Vec<_>, _>>()?;
        match known {
            Some(parent) => Draft::in_files_of(parent, tensors),
            None => Ok(tensors.into_iter().fold(Draft::new(), Draft::tensor)),
        }
    }
}

fn draft_tensor(array: NewArray) -> Result<DraftTensor, UpdateError> {
    let (name, dtype, shape, len, bytes) = array.into_parts();
    let shape = Shape::new(&shape).map_err(UpdateError::failed)?;
    Ok(DraftTensor::from_source(&name, dtype, shape, len, bytes))
}

/// A test of Python. What is called is the package's own adapter, which returns metrics, or why the
/// model fails.
pub(crate) struct PythonTest {
    adapter: Py<PyAny>,
    version: String,
    call: Arc<Call>,
}

/// What a test found.
#[derive(FromPyObject)]
enum Found {
    /// The reason, and whether it is the model's.
    Failed(String, bool),
    /// Names, values, and whether more is better.
    Metrics(Vec<(String, f64, Option<bool>)>),
}

impl ModelTest for PythonTest {
    fn version(&self) -> String {
        self.version.clone()
    }

    fn run(&self, model: &mgit::Model) -> Result<Vec<Metric>, TestFailure> {
        let (model, adapter) = (model.clone(), Python::attach(|py| self.adapter.clone_ref(py)));
        let asked = self
            .call
            .ask(move |py| adapter.bind(py).call1((Model::of(&model),))?.extract::<Found>());
        let better = |more: bool| if more { Better::Higher } else { Better::Lower };
        match asked {
            None => Err(TestFailure::passing("it was interrupted")),
            Some(Err(error)) => Err(TestFailure::passing(error.to_string())),
            Some(Ok(Found::Failed(reason, true))) => Err(TestFailure::new(reason)),
            Some(Ok(Found::Failed(reason, false))) => Err(TestFailure::passing(reason)),
            Some(Ok(Found::Metrics(metrics))) => {
                let metrics = metrics.into_iter();
                Ok(metrics
                    .map(|(name, value, more)| Metric::new(name, value, more.map(better)))
                    .collect())
            }
        }
    }
}

/// Tests of Python by name: the adapter and the version of each.
pub(crate) type PythonTests = HashMap<String, (Py<PyAny>, String)>;

/// The same, as the engine calls them.
pub(crate) fn tests_of(tests: PythonTests, call: &Arc<Call>) -> HashMap<String, PythonTest> {
    let test = |(adapter, version)| PythonTest { adapter, version, call: Arc::clone(call) };
    tests.into_iter().map(|(name, given)| (name, test(given))).collect()
}

/// Asks a gate of Python about a model with rounded values. What is called is the package's own
/// adapter, with the tensors of the model.
pub(crate) fn ask_gate(
    gate: &Py<PyAny>,
    (call, raised): (&Call, &Raised),
    draft: &LossyDraft<'_>,
) -> Result<bool, String> {
    let mut tensors: Vec<(String, Dtype, Vec<u64>, Vec<u8>)> = Vec::new();
    for tensor in draft.tensors() {
        let bytes = tensor.bytes().map_err(|error| mgit::full_message(&error))?;
        let shape = tensor.shape().dims().to_vec();
        tensors.push((tensor.name().to_owned(), tensor.dtype().clone(), shape, bytes));
    }
    let gate = Python::attach(|py| gate.clone_ref(py));
    let asked = call.ask(move |py| {
        let tensors: Vec<_> = tensors
            .iter()
            .map(|(name, dtype, shape, bytes)| {
                (name.as_str(), dtype.name(), shape.clone(), PyBytes::new(py, bytes))
            })
            .collect();
        gate.bind(py).call1((tensors,))?.is_truthy()
    });
    match asked {
        None => Err("it was interrupted".to_owned()),
        Some(Ok(accepted)) => Ok(accepted),
        Some(Err(error)) => {
            let text = error.to_string();
            raised.note("the gate", error);
            Err(text)
        }
    }
}
