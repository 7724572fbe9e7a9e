//! Registered tests and what they found: rows, whose meaning is that of the room `checks`.

use std::ops::ControlFlow;

use serde_json::{Map, Value};

use super::{Result, Snapshot, Store, Transaction};
use crate::catalog::{ReadTables, Table, WriteTables, keys};
use crate::format::{FEATURE_TESTS, FormatError, Operation};
use crate::lineage::ModelName;
use crate::tensor::ContentId;

/// A row of results: hash of what was run, hash of what it was run on, what was found.
pub type TestResultRow = (ContentId, ContentId, Vec<u8>);

impl Transaction {
    /// Registers a test under a name, or replaces the one of that name. What the definition says
    /// is not looked at here: [`Test::register`](crate::checks::Test::register) makes it.
    ///
    /// # Errors
    ///
    /// [`InvalidName`](crate::lineage::LineageError::InvalidName).
    pub fn set_test(&mut self, name: &str, definition: Map<String, Value>) -> Result<()> {
        self.check_whole()?;
        let name: ModelName = name.parse()?;
        let text = Value::Object(definition.clone()).to_string();
        self.shared.container.require_features(0, FEATURE_TESTS);
        self.change(|this| {
            let tables = this.tables_mut()?;
            Ok(tables.put(Table::Tests, name.as_str().as_bytes(), text.as_bytes())?)
        })?;
        self.note(Operation::SetTest { name: name.to_string(), definition: Some(definition) });
        Ok(())
    }

    /// Takes a test away; says whether it was there.
    ///
    /// # Errors
    ///
    /// [`InvalidName`](crate::lineage::LineageError::InvalidName).
    pub fn remove_test(&mut self, name: &str) -> Result<bool> {
        self.check_whole()?;
        let name: ModelName = name.parse()?;
        if self.tables()?.get(Table::Tests, name.as_str().as_bytes())?.is_none() {
            return Ok(false);
        }
        self.change(|this| {
            Ok(this.tables_mut()?.delete(Table::Tests, name.as_str().as_bytes())?)
        })?;
        self.note(Operation::SetTest { name: name.to_string(), definition: None });
        Ok(true)
    }
}

impl Snapshot {
    /// Every registered test: its name and its definition, by name.
    ///
    /// # Errors
    ///
    /// Those of the catalogue; a definition that is not an object of JSON.
    pub fn tests(&self) -> Result<Vec<(String, Map<String, Value>)>> {
        let mut tests = Vec::new();
        self.tables().scan(Table::Tests, &[], &mut |key, value| {
            let definition = serde_json::from_slice(value)
                .map_err(|error| FormatError::new("test", 0, "an object of JSON", error))?;
            tests.push((String::from_utf8_lossy(key).into_owned(), definition));
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(tests)
    }

    /// What is kept of running `run` on `on`.
    ///
    /// # Errors
    ///
    /// Those of the catalogue.
    pub fn test_result(&self, run: ContentId, on: ContentId) -> Result<Option<Vec<u8>>> {
        let key = keys::test_result(run.as_bytes(), on.as_bytes());
        Ok(self.tables().get(Table::TestResults, &key)?)
    }
}

impl Store {
    /// Keeps what tests have found, in a commit of its own that changes nothing else.
    ///
    /// # Errors
    ///
    /// [`Error::ReadOnly`](super::Error::ReadOnly); those of a commit.
    pub fn keep_test_results(&self, rows: impl Iterator<Item = TestResultRow>) -> Result<()> {
        let mut transaction = self.begin_write()?;
        transaction.change(|this| {
            let tables = this.tables_mut()?;
            let mut rows = rows;
            rows.try_for_each(|(run, on, found)| {
                let key = keys::test_result(run.as_bytes(), on.as_bytes());
                Ok(tables.put(Table::TestResults, &key, &found)?)
            })
        })?;
        transaction.commit_changes()
    }
}
