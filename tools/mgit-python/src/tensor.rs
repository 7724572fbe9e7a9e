//! A tensor of a model.

use pyo3::prelude::*;
use pyo3::types::PyTuple;
use rayon::prelude::*;

use crate::buffer::Buffer;
use crate::call::short;
use crate::convert::to_python;
use crate::owned::Owned;

/// A tensor of a model: what it is, and the way to its bytes.
#[pyclass(frozen, module = "mgit_store._engine")]
pub(crate) struct Tensor(Owned<mgit::Tensor>);

impl Tensor {
    pub(crate) fn new(tensor: mgit::Tensor) -> Self {
        Tensor(Owned::new(tensor))
    }

    pub(crate) fn get(&self) -> PyResult<&mgit::Tensor> {
        self.0.get()
    }
}

#[pymethods]
impl Tensor {
    #[getter]
    fn name(&self) -> PyResult<&str> {
        Ok(self.get()?.name())
    }

    #[getter]
    fn dtype(&self) -> PyResult<&str> {
        Ok(self.get()?.dtype().name())
    }

    #[getter]
    fn shape<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.get()?.shape().dims())
    }

    #[getter]
    fn nbytes(&self) -> PyResult<u64> {
        Ok(self.get()?.byte_len())
    }

    #[getter]
    fn content_id(&self) -> PyResult<String> {
        Ok(self.get()?.content_id().to_string())
    }

    /// How it is kept in the file: a dict.
    fn stored_as<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let tensor = self.get()?;
        let stored = short(py, || Ok(tensor.stored_as()?))?;
        to_python(py, &stored)
    }

    /// Its bytes, not to be written to.
    fn view(&self, py: Python<'_>) -> PyResult<Buffer> {
        let tensor = self.get()?;
        Ok(Buffer::shared(short(py, || Ok(tensor.view()?))?))
    }

    /// Its bytes for the caller alone.
    fn writable(&self, py: Python<'_>) -> PyResult<Buffer> {
        let tensor = self.get()?;
        Ok(Buffer::own(short(py, || Ok(tensor.writable()?))?))
    }

    /// The bytes of rows `start..end` of the first dimension, not to be written to.
    fn rows(&self, py: Python<'_>, start: u64, end: u64) -> PyResult<Buffer> {
        let tensor = self.get()?;
        Ok(Buffer::shared(short(py, || Ok(tensor.rows(start..end)?))?))
    }
}

/// The bytes of many tensors, side by side on all cores.
pub(crate) fn buffers(
    py: Python<'_>,
    tensors: &[mgit::Tensor],
    is_writable: bool,
) -> PyResult<Vec<Buffer>> {
    match is_writable {
        true => {
            let read = |tensor: &mgit::Tensor| tensor.writable();
            let views: Vec<_> =
                short(py, || Ok(tensors.par_iter().map(read).collect::<Result<_, _>>()?))?;
            Ok(views.into_iter().map(Buffer::own).collect())
        }
        false => {
            let read = |tensor: &mgit::Tensor| tensor.view();
            let views: Vec<_> =
                short(py, || Ok(tensors.par_iter().map(read).collect::<Result<_, _>>()?))?;
            Ok(views.into_iter().map(Buffer::shared).collect())
        }
    }
}

/// Another name for elements of a tensor.
#[pyclass(frozen, module = "mgit_store._engine")]
pub(crate) struct View(Owned<mgit::store::NamedView>);

impl View {
    pub(crate) fn new(view: mgit::store::NamedView) -> Self {
        View(Owned::new(view))
    }
}

#[pymethods]
impl View {
    #[getter]
    fn name(&self) -> PyResult<&str> {
        Ok(self.0.get()?.name())
    }

    #[getter]
    fn dtype(&self) -> PyResult<&str> {
        Ok(self.0.get()?.dtype().name())
    }

    #[getter]
    fn shape<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.0.get()?.shape().dims())
    }

    /// Elements from one to the next, for each dimension.
    #[getter]
    fn strides<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.0.get()?.strides())
    }

    /// Where its first element is in the bytes of its tensor.
    #[getter]
    fn offset(&self) -> PyResult<u64> {
        Ok(self.0.get()?.offset())
    }

    /// The tensor whose elements it names.
    #[getter]
    fn tensor(&self) -> PyResult<Tensor> {
        Ok(Tensor::new(self.0.get()?.tensor().clone()))
    }
}
