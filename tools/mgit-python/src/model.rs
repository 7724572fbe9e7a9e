//! A model of a snapshot.

use std::sync::OnceLock;

use mgit::interchange::{ExportOptions, Overwrite, export_with};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use serde_json::json;

use crate::buffer::Buffer;
use crate::call::{long, short};
use crate::convert::to_python;
use crate::error::{bad_value, raised};
use crate::owned::Owned;
use crate::tensor::{Tensor, View, buffers};

/// A node of the lineage graph: a model without its tensors.
#[pyclass(frozen, module = "mgit_store._engine")]
pub(crate) struct Node(pub(crate) mgit::Node);

#[pymethods]
impl Node {
    #[getter]
    fn id(&self) -> String {
        self.0.id().to_string()
    }

    #[getter]
    fn name(&self) -> &str {
        self.0.name()
    }

    #[getter]
    fn version(&self) -> u32 {
        self.0.version()
    }

    #[getter]
    fn full_name(&self) -> String {
        self.0.full_name()
    }

    #[getter]
    fn kind(&self) -> &str {
        self.0.kind()
    }

    /// Seconds since 1970.
    #[getter]
    fn created(&self) -> f64 {
        self.0.created_ms() as f64 / 1000.0
    }

    #[getter]
    fn tensor_count(&self) -> u32 {
        self.0.tensor_count()
    }

    #[getter]
    fn logical_bytes(&self) -> u64 {
        self.0.logical_bytes()
    }

    #[getter]
    fn content_id(&self) -> String {
        self.0.manifest_id().to_string()
    }
}

/// A model of a snapshot. Its list of tensors is read when it is asked for.
#[pyclass(frozen, module = "mgit_store._engine")]
pub(crate) struct Model {
    snapshot: Owned<mgit::Snapshot>,
    node: mgit::Node,
    opened: OnceLock<Owned<mgit::Model>>,
}

impl Model {
    pub(crate) fn new(snapshot: Owned<mgit::Snapshot>, node: mgit::Node) -> Self {
        Model { snapshot, node, opened: OnceLock::new() }
    }

    pub(crate) fn of(model: &mgit::Model) -> Self {
        let opened = OnceLock::from(Owned::new(model.clone()));
        let snapshot = Owned::new(model.snapshot().clone());
        Model { snapshot, node: model.node().clone(), opened }
    }

    pub(crate) fn opened(&self, py: Python<'_>) -> PyResult<&mgit::Model> {
        if self.opened.get().is_none() {
            let snapshot = self.snapshot.get()?;
            let model = short(py, || Ok(snapshot.model_of(self.node.clone())?))?;
            // Another thread may be first.
            let _ = self.opened.set(Owned::new(model));
        }
        match self.opened.get() {
            Some(model) => model.get(),
            None => Err(bad_value("the model is not open")),
        }
    }
}

#[pymethods]
impl Model {
    #[getter]
    fn node(&self) -> Node {
        Node(self.node.clone())
    }

    /// The commit that it is seen at.
    #[getter]
    fn commit(&self) -> PyResult<u64> {
        Ok(self.snapshot.get()?.sequence())
    }

    fn snapshot(&self) -> PyResult<crate::snapshot::Snapshot> {
        Ok(crate::snapshot::Snapshot::new(self.snapshot.get()?.clone()))
    }

    /// Its user metadata: a dict.
    fn metadata<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let snapshot = self.snapshot.get()?;
        let metadata = short(py, || Ok(snapshot.metadata(self.node.id())?))?;
        to_python(py, &metadata)
    }

    /// Its tensors: those of its weights, or all.
    fn tensors(&self, py: Python<'_>, all: bool) -> PyResult<Vec<Tensor>> {
        let model = self.opened(py)?;
        Ok(match all {
            true => model.tensors().map(Tensor::new).collect(),
            false => model.weights().map(Tensor::new).collect(),
        })
    }

    fn tensor(&self, py: Python<'_>, name: &str) -> PyResult<Tensor> {
        let tensor = self.opened(py)?.tensor(name);
        Ok(Tensor::new(tensor.map_err(|error| raised(py, error))?))
    }

    /// Other names for elements of its tensors.
    fn views(&self, py: Python<'_>) -> PyResult<Vec<View>> {
        Ok(self.opened(py)?.named_views().map(View::new).collect())
    }

    /// The bytes of these tensors, side by side on all cores.
    fn read(
        &self,
        py: Python<'_>,
        tensors: Vec<PyRef<'_, Tensor>>,
        writable: bool,
    ) -> PyResult<Vec<Buffer>> {
        let tensors: Vec<_> =
            tensors.iter().map(|tensor| tensor.get().cloned()).collect::<PyResult<_>>()?;
        buffers(py, &tensors, writable)
    }

    #[getter]
    fn is_folder(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.opened(py)?.is_folder())
    }

    /// Its files: dicts of path, format, whether it is one of weights, and bytes.
    fn files<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let files = self.opened(py)?.files();
        files
            .map(|file| {
                let file = json!({
                    "path": file.path(),
                    "format": file.format().name(),
                    "is_weights": file.is_weights(),
                    "nbytes": file.byte_len(),
                });
                to_python(py, &file)
            })
            .collect()
    }

    /// Bytes of one of its files.
    fn read_file<'py>(
        &self,
        py: Python<'py>,
        path: &str,
        offset: u64,
        len: Option<u64>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let file = self.opened(py)?.file(path).map_err(|error| raised(py, error))?;
        let left = file.byte_len().saturating_sub(offset);
        let len = usize::try_from(len.unwrap_or(left).min(left))?;
        PyBytes::new_with(py, len, |out| short(py, || Ok(file.read_at(offset, out)?)))
    }

    /// How many of its tensors are not in the store, but at the place that it was fetched from.
    fn missing_tensors(&self, py: Python<'_>) -> PyResult<u64> {
        let model = self.opened(py)?;
        short(py, || Ok(model.missing_tensors()?))
    }

    /// Writes its files. Returns a dict: path, files, notes.
    #[pyo3(signature = (path, overwrite, only, as_safetensors, dequantise, progress))]
    fn export<'py>(
        &self,
        py: Python<'py>,
        path: std::path::PathBuf,
        overwrite: bool,
        only: Vec<String>,
        as_safetensors: bool,
        dequantise: bool,
        progress: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let options = ExportOptions::new()
            .overwrite(if overwrite { Overwrite::Files } else { Overwrite::Nothing })
            .as_safetensors(as_safetensors)
            .dequantise(dequantise);
        let options = only.into_iter().fold(options, ExportOptions::only);
        let model = self.opened(py)?;
        let report = long(py, progress, |call| {
            Ok(export_with(model, &path, &options, &|bytes| call.progress(bytes))?)
        })?;
        let files = report.files.iter().map(|file| {
            json!({
                "path": file.path.display().to_string(),
                "nbytes": file.bytes,
                "is_converted": file.is_converted,
            })
        });
        let report = json!({
            "path": report.path.display().to_string(),
            "files": files.collect::<Vec<_>>(),
            "notes": report.notes,
        });
        to_python(py, &report)
    }
}
