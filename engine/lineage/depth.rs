//! How deep a value of metadata may be nested.

use serde_json::{Map, Value};

use super::LineageError;

/// The most lists and objects in each other in a value of metadata. Readers of JSON stop at 128, and
/// a value lies in a change record, some levels down.
const METADATA_DEPTH_MAX: usize = 100;

/// Refuses metadata that could not be read again.
///
/// # Errors
///
/// [`LineageError::TooMany`].
pub(crate) fn check_depth(metadata: &Map<String, Value>) -> Result<(), LineageError> {
    match metadata.values().all(|value| is_within(value, METADATA_DEPTH_MAX)) {
        true => Ok(()),
        false => Err(LineageError::TooMany { what: "lists and objects in each other in metadata" }),
    }
}

/// Whether at most `depth` lists and objects are in each other. Looks no deeper than that.
fn is_within(value: &Value, depth: usize) -> bool {
    let inner = |value: &Value| depth > 0 && is_within(value, depth - 1);
    match value {
        Value::Array(values) => depth > 0 && values.iter().all(inner),
        Value::Object(values) => depth > 0 && values.values().all(inner),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_lists_and_objects_in_each_other() {
        let mut value = Value::Null;
        for depth in 0..5 {
            assert!(is_within(&value, depth));
            assert!(depth == 0 || !is_within(&value, depth - 1));
            let list = serde_json::json!([1, value]);
            value = if depth % 2 == 0 { list } else { serde_json::json!({ "a": 1, "b": value }) };
        }
    }
}
