//! Registered tests and what they found: rows, whose meaning is that of the room `checks`.

use std::ops::ControlFlow;

use serde_json::{Map, Value};

use crate::catalog::{ReadTables, Table, WriteTables, keys};
use crate::format::{FEATURE_TESTS, FormatError, Operation};
use crate::lineage::ModelName;
use crate::store::error::Result;
use crate::store::open::Store;
use crate::store::read::snapshot::Snapshot;
use crate::store::write::transaction::Transaction;
use crate::tensor::ContentId;

/// A row of results: hash of what was run, hash of what it was run on, what was found.
pub type TestResultRow = (ContentId, ContentId, Vec<u8>);

/// See [`Transaction::set_test`].
pub(in crate::store) fn set_test(
    transaction: &mut Transaction,
    name: &str,
    definition: Map<String, Value>,
) -> Result<()> {
    transaction.check_whole()?;
    let name: ModelName = name.parse()?;
    let text = Value::Object(definition.clone()).to_string();
    transaction.shared.container.require_features(0, FEATURE_TESTS);
    transaction.change(|this| {
        let tables = this.tables_mut()?;
        Ok(tables.put(Table::Tests, name.as_str().as_bytes(), text.as_bytes())?)
    })?;
    transaction.note(Operation::SetTest { name: name.to_string(), definition: Some(definition) });
    Ok(())
}

/// Takes a test away; says whether it was there.
pub(in crate::store) fn remove_test(transaction: &mut Transaction, name: &str) -> Result<bool> {
    transaction.check_whole()?;
    let name: ModelName = name.parse()?;
    if transaction.tables()?.get(Table::Tests, name.as_str().as_bytes())?.is_none() {
        return Ok(false);
    }
    transaction
        .change(|this| Ok(this.tables_mut()?.delete(Table::Tests, name.as_str().as_bytes())?))?;
    transaction.note(Operation::SetTest { name: name.to_string(), definition: None });
    Ok(true)
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
    /// [`ReadOnly`](crate::store::StoreError::ReadOnly); those of a commit.
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
