//! What tests say of two models side by side.

use mgit::lineage::{Node, NodeId};
use mgit::model_tests::{Better, MetricChange, Status, Test, TestResult, compare};
use serde_json::{Value, json};

use crate::output::json_float;
use crate::text::{Side, Table};

/// What one test says of an old and a new model. It is for either of them.
pub struct Compared<'r> {
    test: &'r str,
    old: Option<&'r TestResult>,
    new: Option<&'r TestResult>,
    changes: Vec<MetricChange>,
}

/// What every test that is for either model says of both.
pub fn side_by_side<'r>(
    tests: &'r [Test],
    results: &'r [TestResult],
    old: &Node,
    new: &Node,
) -> Vec<Compared<'r>> {
    let of = |test: &Test, id: NodeId| {
        results.iter().find(|result| result.test == test.name && result.node.id() == id)
    };
    let compared = |test: &'r Test| {
        let (old, new) = (of(test, old.id()), of(test, new.id()));
        let changes = old.zip(new).map(|(old, new)| compare(old, new)).unwrap_or_default();
        let is_for_one = old.is_some() || new.is_some();
        is_for_one.then_some(Compared { test: &test.name, old, new, changes })
    };
    tests.iter().filter_map(compared).collect()
}

fn status(result: Option<&TestResult>) -> &'static str {
    result.map_or("not for it", |result| result.status.name())
}

impl Compared<'_> {
    /// Whether the new model fails the test.
    pub fn fails(&self) -> bool {
        self.new.is_some_and(|result| result.status == Status::Failed)
    }

    fn verdict(&self) -> &'static str {
        match (self.old.map(|result| result.status), self.new.map(|result| result.status)) {
            (Some(Status::Passed), Some(Status::Failed)) => "fails now",
            (Some(Status::Failed), Some(Status::Passed)) => "passes now",
            _ => "",
        }
    }

    /// As a document.
    pub fn document(&self) -> Value {
        let metric = |change: &MetricChange| {
            json!({
                "metric": change.metric,
                "old": change.old.map(json_float),
                "new": change.new.map(json_float),
                "direction": change.better.map(Better::name),
                "better": change.is_better,
            })
        };
        let metrics: Vec<Value> = self.changes.iter().map(metric).collect();
        let (old, new) = (status(self.old), status(self.new));
        json!({ "test": self.test, "old": old, "new": new, "metrics": metrics })
    }
}

/// The table of what was compared.
pub fn table(compared: &[Compared<'_>]) -> String {
    let columns = [("TEST", Side::Left), ("METRIC", Side::Left), ("OLD", Side::Right)];
    let more = [("NEW", Side::Right), ("", Side::Left)];
    let mut table = Table::new(&[&columns[..], &more[..]].concat());
    for compared in compared {
        let row = ["", status(compared.old), status(compared.new), compared.verdict()];
        let [metric, old, new, verdict] = row.map(str::to_owned);
        table.row([compared.test.to_owned(), metric, old, new, verdict]);
        for change in &compared.changes {
            let number = |value: Option<f64>| value.map_or("-".to_owned(), |v| v.to_string());
            let word = match change.is_better {
                Some(true) => "better",
                Some(false) => "worse",
                None => "",
            };
            let (name, word) = (change.metric.clone(), word.to_owned());
            table.row([String::new(), name, number(change.old), number(change.new), word]);
        }
    }
    table.lines("")
}
