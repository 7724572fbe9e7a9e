//! Values of Python as the engine's, and back.

use std::str::FromStr;

use mgit::ModelRef;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::error;

/// What the engine reports, as dicts, lists, numbers and texts.
pub(crate) fn to_python<'py>(
    py: Python<'py>,
    value: &impl Serialize,
) -> PyResult<Bound<'py, PyAny>> {
    Ok(pythonize::pythonize(py, value)?)
}

/// A dict as a JSON object.
pub(crate) fn to_map(dict: Option<&Bound<'_, PyDict>>) -> PyResult<Map<String, Value>> {
    let Some(dict) = dict else { return Ok(Map::new()) };
    pythonize::depythonize(dict)
        .map_err(|wrong| error::bad_value(format!("not what JSON can hold: {wrong}")))
}

/// A text as one of the engine's values.
pub(crate) fn parse<T>(py: Python<'_>, text: &str) -> PyResult<T>
where
    T: FromStr,
    T::Err: Into<mgit::Error>,
{
    text.parse().map_err(|wrong: T::Err| error::raised(py, wrong))
}

/// A model by `name`, `name@version`, tag or id.
pub(crate) fn model_ref(text: &str) -> ModelRef {
    ModelRef::from(text.to_owned())
}
