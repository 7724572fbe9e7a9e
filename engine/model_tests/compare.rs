//! Metrics of two models beside each other.

use super::{Better, TestResult};

/// A metric of two models side by side.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct MetricChange {
    /// Its name.
    pub metric: String,
    /// The old model's value; none where the test did not give it.
    pub old: Option<f64>,
    /// The new model's.
    pub new: Option<f64>,
    /// Which values are better.
    pub better: Option<Better>,
    /// Whether the new value is the better one; none when neither is.
    pub is_better: Option<bool>,
}

/// The metrics of a test's results on two models side by side, the old one's order first.
pub fn compare(old: &TestResult, new: &TestResult) -> Vec<MetricChange> {
    let change = |name: &str| {
        let of = |result: &TestResult| {
            result.finding.metrics.iter().find(|metric| metric.name == name).cloned()
        };
        let (old, new) = (of(old), of(new));
        let is_better = match (&old, &new) {
            (Some(old), Some(new)) => old.is_better(new.value),
            _ => None,
        };
        MetricChange {
            metric: name.to_owned(),
            better: old.as_ref().or(new.as_ref()).and_then(|metric| metric.better),
            old: old.map(|metric| metric.value),
            new: new.map(|metric| metric.value),
            is_better,
        }
    };
    let names = old.finding.metrics.iter().map(|metric| metric.name.as_str());
    let only_new = |name: &&str| !old.finding.metrics.iter().any(|known| known.name == *name);
    let more = new.finding.metrics.iter().map(|metric| metric.name.as_str()).filter(only_new);
    names.chain(more).map(change).collect()
}
