//! Errors of the engine as exceptions of Python.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;

/// The Python function that makes an exception of a code and a text.
static MAKE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// An exception of this code: which class it is, Python knows.
pub(crate) fn coded(py: Python<'_>, code: &str, message: &str) -> PyErr {
    let make = MAKE.get_or_try_init(py, || {
        Ok::<_, PyErr>(py.import("mgit_store._errors")?.getattr("make")?.unbind())
    });
    match make.and_then(|make| make.bind(py).call1((code, message))) {
        Ok(exception) => PyErr::from_value(exception),
        Err(error) => error,
    }
}

/// The exception of an error of the engine.
pub(crate) fn raised(py: Python<'_>, error: impl Into<mgit::Error>) -> PyErr {
    let error = error.into();
    coded(py, error.code(), &mgit::full_message(&error))
}

/// Of an object of another process.
pub(crate) fn forked(process: u32) -> PyErr {
    let message = format!(
        "this was opened in process {process}, which forked this one: open the store again here"
    );
    Python::attach(|py| coded(py, "forked", &message))
}

/// Of an object that was closed.
pub(crate) fn closed(what: &str) -> PyErr {
    Python::attach(|py| coded(py, "closed", &format!("the {what} is closed")))
}

/// Of a value that is not one of those that are possible.
pub(crate) fn bad_value(message: impl AsRef<str>) -> PyErr {
    Python::attach(|py| coded(py, "bad-value", message.as_ref()))
}

/// Whether an exception stops the program, rather than one step of it.
pub(crate) fn stops(py: Python<'_>, error: &PyErr) -> bool {
    let is_exception = |kind: &Bound<'_, PyType>| {
        kind.is_subclass_of::<pyo3::exceptions::PyException>().unwrap_or(false)
    };
    !is_exception(&error.get_type(py))
}
