//! Values of Python as the engine's, and back.

use std::str::FromStr;

use mgit::ModelRef;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};
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

/// The most lists and dicts in each other.
const DEPTH_MAX: usize = 100;

/// A dict as a JSON object. Nothing becomes something else: what JSON has no value for is refused.
pub(crate) fn to_map(dict: Option<&Bound<'_, PyDict>>) -> PyResult<Map<String, Value>> {
    dict.map_or_else(|| Ok(Map::new()), |dict| object(dict, DEPTH_MAX))
}

fn object(dict: &Bound<'_, PyDict>, depth: usize) -> PyResult<Map<String, Value>> {
    let mut map = Map::new();
    for (key, value) in dict {
        let Ok(key) = key.cast::<PyString>() else {
            return Err(error::bad_value(format!("a key of JSON is a text, not {}", shown(&key))));
        };
        let key = text(key)?;
        let value = json(&value, depth)
            .map_err(|wrong| error::bad_value(format!("in {key:?}: {}", wrong.value(dict.py()))))?;
        map.insert(key, value);
    }
    Ok(map)
}

fn json(value: &Bound<'_, PyAny>, depth: usize) -> PyResult<Value> {
    let inner = depth.checked_sub(1).ok_or_else(|| {
        error::bad_value(format!("more than {DEPTH_MAX} lists and dicts in each other"))
    });
    if value.is_none() {
        Ok(Value::Null)
    } else if let Ok(truth) = value.cast::<PyBool>() {
        Ok(truth.is_true().into())
    } else if let Ok(number) = value.cast::<PyInt>() {
        let signed = number.extract::<i64>().map(Value::from);
        let unsigned = || number.extract::<u64>().map(Value::from);
        signed
            .or_else(|_| unsigned())
            .map_err(|_| error::bad_value(format!("{} has more than 64 bits", shown(value))))
    } else if let Ok(number) = value.cast::<PyFloat>() {
        serde_json::Number::from_f64(number.value()).map(Value::Number).ok_or_else(|| {
            error::bad_value(format!("JSON has no {}: write it as a text", number.value()))
        })
    } else if let Ok(value) = value.cast::<PyString>() {
        Ok(text(value)?.into())
    } else if let Ok(dict) = value.cast::<PyDict>() {
        Ok(object(dict, inner?)?.into())
    } else if let Ok(list) = value.cast::<PyList>() {
        let inner = inner?;
        list.iter().map(|item| json(&item, inner)).collect()
    } else if let Ok(tuple) = value.cast::<PyTuple>() {
        let inner = inner?;
        tuple.iter().map(|item| json(&item, inner)).collect()
    } else {
        Err(error::bad_value(format!("JSON has no value for {}", shown(value))))
    }
}

fn text(text: &Bound<'_, PyString>) -> PyResult<String> {
    let text = text
        .to_str()
        .map_err(|_| error::bad_value("a text with half of a surrogate pair is no text of JSON"))?;
    Ok(text.to_owned())
}

/// What a value is, for messages.
fn shown(value: &Bound<'_, PyAny>) -> String {
    let kind = value.get_type();
    kind.name().map_or_else(|_| "this value".to_owned(), |name| format!("a value of type {name}"))
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
