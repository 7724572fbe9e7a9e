//! JSON documents whose long lists are made while they are written: of a model of a million tensors
//! no tree is ever built.

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;

/// A list that is made item by item.
type Items<'a> = Box<dyn Fn() -> Box<dyn Iterator<Item = Value> + 'a> + 'a>;

/// A part of a document.
enum Part<'a> {
    Value(Value),
    List(Items<'a>),
    Object(Document<'a>),
}

/// A JSON object in the making.
#[derive(Default)]
pub struct Document<'a>(Vec<(String, Part<'a>)>);

impl<'a> Document<'a> {
    /// An empty object.
    pub fn new() -> Self {
        Document::default()
    }

    /// The keys of another, behind those that are there.
    pub fn and(mut self, other: Document<'a>) -> Self {
        self.0.extend(other.0);
        self
    }

    /// The keys of an object, behind those that are there.
    pub fn keys(mut self, object: Value) -> Self {
        if let Value::Object(keys) = object {
            self.0.extend(keys.into_iter().map(|(key, value)| (key, Part::Value(value))));
        }
        self
    }

    /// A key with a list that `items` makes anew each time it is called. It takes the place of the
    /// key's value, if there is one.
    pub fn list<I: Iterator<Item = Value> + 'a>(
        mut self,
        key: &str,
        items: impl Fn() -> I + 'a,
    ) -> Self {
        let items: Items<'a> = Box::new(move || Box::new(items()));
        // In the place of a key of that name, as in a tree.
        match self.0.iter_mut().find(|(known, _)| known == key) {
            Some((_, part)) => *part = Part::List(items),
            None => self.0.push((key.to_owned(), Part::List(items))),
        }
        self
    }

    /// A key with an object.
    pub fn object(mut self, key: &str, object: Document<'a>) -> Self {
        self.0.push((key.to_owned(), Part::Object(object)));
        self
    }
}

impl Serialize for Document<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, part) in &self.0 {
            map.serialize_entry(key, part)?;
        }
        map.end()
    }
}

impl Serialize for Part<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Part::Value(value) => value.serialize(serializer),
            Part::List(items) => serializer.collect_seq(items()),
            Part::Object(object) => object.serialize(serializer),
        }
    }
}

/// The keys of an object, and behind them those of another.
pub fn joined(mut object: Value, other: Value) -> Value {
    if let (Value::Object(object), Value::Object(other)) = (&mut object, other) {
        object.extend(other);
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_document_is_written_as_its_tree_would_be() {
        let inner = Document::new().list("empty", std::iter::empty);
        let made = Document::new()
            .keys(json!({ "a": [1, 2], "list": 2, "b": null }))
            .list("list", || (0..2).map(|at| json!({ "at": at })))
            .object("c", inner);
        let tree = json!({
            "a": [1, 2], "list": [{ "at": 0 }, { "at": 1 }], "b": null, "c": { "empty": [] },
        });
        assert_eq!(serde_json::to_string_pretty(&made).ok(), Some(format!("{tree:#}")));
    }
}
