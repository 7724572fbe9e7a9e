//! The JSON of change records: through a library that knows nothing of stores.

use serde_json::Value;

/// A JSON value.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Json(pub Value);

pub fn parse(text: &str) -> Json {
    Json(serde_json::from_str(text).unwrap())
}

impl Json {
    /// The field, or null.
    pub fn get(&self, key: &str) -> Json {
        Json(self.0.get(key).cloned().unwrap_or_default())
    }

    pub fn has(&self, key: &str) -> bool {
        self.0.get(key).is_some_and(|value| !value.is_null())
    }

    pub fn text(&self, key: &str) -> String {
        self.0[key].as_str().unwrap_or_else(|| panic!("{key} of {}", self.0)).to_owned()
    }

    /// A text that may be absent, or null.
    pub fn optional(&self, key: &str) -> Option<String> {
        Some(self.0.get(key)?.as_str()?.to_owned())
    }

    pub fn number(&self, key: &str) -> u64 {
        self.0[key].as_u64().unwrap_or_else(|| panic!("{key} of {}", self.0))
    }

    /// A list; empty when it is absent.
    pub fn list(&self, key: &str) -> Vec<Json> {
        let values = self.0.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
        values.into_iter().map(Json).collect()
    }
}
