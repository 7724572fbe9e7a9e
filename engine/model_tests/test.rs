//! A registered test.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{Bound, Builtin, Selector, TestError};
use crate::command::Template;
use crate::lineage::ModelName;
use crate::store::{Snapshot, StoreError, Transaction};

/// What a test runs.
#[derive(Clone, Debug)]
// Exhaustive on purpose: whoever matches one is to be told when there is another.
pub enum What {
    /// A test of the engine.
    Builtin(Builtin),
    /// A command, in which `{model}` is the model's file (or its folder, when it is several files),
    /// `{folder}` a folder with the whole model, and `{name}` its `name@version`.
    Command(Template),
    /// What the program gives the runner under this name, a [`ModelTest`](super::ModelTest).
    Code(String),
}

/// A registered test.
#[derive(Clone, Debug)]
pub struct Test {
    /// Its name, made like a model's.
    pub name: String,
    /// What it runs.
    pub what: What,
    /// Which models it is for.
    pub on: Selector,
    /// What its metrics must be, besides what it says itself.
    pub bounds: Vec<Bound>,
    /// How long a command may take.
    pub time_limit: Duration,
}

impl Test {
    /// How long a command may take where nothing else was said.
    pub const TIME_LIMIT: Duration = Duration::from_secs(600);

    /// A test for all models, without bounds.
    pub fn new(name: impl Into<String>, what: What) -> Self {
        let (on, bounds, time_limit) = (Selector::All, Vec::new(), Self::TIME_LIMIT);
        Test { name: name.into(), what, on, bounds, time_limit }
    }

    /// Checks the placeholders of a command.
    ///
    /// # Errors
    ///
    /// [`TestError::BadTest`].
    fn check(&self) -> Result<(), TestError> {
        let What::Command(template) = &self.what else { return Ok(()) };
        let mut names = template.placeholders();
        match names.find(|name| !["model", "folder", "name"].contains(name)) {
            Some(name) => {
                let known = "only {model}, {folder} and {name}";
                let reason = format!("a test has no {{{name}}}: {known}");
                Err(TestError::bad(&self.name, reason))
            }
            None => Ok(()),
        }
    }

    /// As JSON.
    pub fn to_json(&self) -> Map<String, Value> {
        let run = match &self.what {
            What::Builtin(builtin) => json!({ "builtin": builtin.name() }),
            What::Command(template) => json!({ "command": template.text() }),
            What::Code(name) => json!({ "code": name }),
        };
        let bounds: Vec<String> = self.bounds.iter().map(Bound::to_string).collect();
        let mut object = Map::new();
        object.insert("run".into(), run);
        object.insert("on".into(), self.on.to_json());
        object.insert("bounds".into(), bounds.into());
        object.insert("time_limit_ms".into(), (self.time_limit.as_millis() as u64).into());
        object
    }

    /// Of such an object; fields that are not known are passed over.
    ///
    /// # Errors
    ///
    /// [`TestError::BadTest`].
    pub fn from_json(name: &str, object: &Map<String, Value>) -> Result<Self, TestError> {
        let bad = |reason: &str| TestError::bad(name, reason);
        let run = object.get("run").and_then(Value::as_object).ok_or(bad("it runs nothing"))?;
        let text = |key: &str| run.get(key).and_then(Value::as_str);
        let what = match (text("builtin"), text("command"), text("code")) {
            (Some(builtin), ..) => What::Builtin(builtin.parse()?),
            (_, Some(line), _) => What::Command(line.parse().map_err(TestError::Command)?),
            (.., Some(code)) => What::Code(code.to_owned()),
            _ => return Err(bad("it runs nothing that this program knows")),
        };
        let on = object.get("on").and_then(Value::as_object);
        let on = Selector::from_json(name, on.ok_or(bad("it is for no models"))?)?;
        let bounds = object.get("bounds").and_then(Value::as_array).into_iter().flatten();
        let bounds =
            bounds.map(|bound| bound.as_str().ok_or(bad("a bound is not a text"))?.parse());
        let limit = object.get("time_limit_ms").and_then(Value::as_u64);
        let test = Test {
            name: name.to_owned(),
            what,
            on,
            bounds: bounds.collect::<Result<_, _>>()?,
            time_limit: limit.map_or(Self::TIME_LIMIT, Duration::from_millis),
        };
        test.check()?;
        Ok(test)
    }

    /// Registers it, in the place of one of its name.
    ///
    /// # Errors
    ///
    /// [`TestError::BadTest`]; those of the transaction, a name that is none among them.
    pub fn register(&self, transaction: &mut Transaction) -> Result<(), TestError> {
        self.check()?;
        let name: Result<ModelName, _> = self.name.parse();
        name.and_then(|name| name.check_new()).map_err(StoreError::from)?;
        Ok(transaction.set_test(&self.name, self.to_json())?)
    }

    /// Every test of a snapshot, by name.
    ///
    /// # Errors
    ///
    /// [`TestError::BadTest`]; those of the catalogue.
    pub fn all(snapshot: &Snapshot) -> Result<Vec<Self>, TestError> {
        snapshot.tests()?.iter().map(|(name, object)| Self::from_json(name, object)).collect()
    }

    /// The test of this name.
    ///
    /// # Errors
    ///
    /// [`TestError::NoSuchTest`]; as [`all`](Self::all).
    pub fn find(snapshot: &Snapshot, name: &str) -> Result<Self, TestError> {
        let tests = snapshot.tests()?;
        match tests.iter().find(|(known, _)| known == name) {
            Some((name, object)) => Self::from_json(name, object),
            None => Err(TestError::NoSuchTest { test: name.to_owned() }),
        }
    }
}
