//! What a test has found of a model.

use serde_json::{Map, Value, json};

use super::Metric;

/// What running something on a model found, before any bound is applied.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// The numbers.
    pub metrics: Vec<Metric>,
    /// Why it says itself that it failed; none when it passed.
    pub failure: Option<String>,
    /// What it wrote, within bounds.
    pub output: String,
    /// How long it took.
    pub seconds: f64,
}

impl Finding {
    /// The value of a metric.
    pub fn value(&self, metric: &str) -> Option<f64> {
        self.metrics.iter().find(|known| known.name == metric).map(|metric| metric.value)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let metrics: Vec<Value> = self.metrics.iter().map(Metric::to_json).collect();
        let object = json!({
            "metrics": metrics,
            "failure": self.failure,
            "output": self.output,
            "seconds": self.seconds,
        });
        object.to_string().into_bytes()
    }

    /// A row that cannot be read is as good as none: what it was is run again.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let object: Map<String, Value> = serde_json::from_slice(bytes).ok()?;
        let metric = |value: &Value| Metric::from_json(value.as_object()?).ok();
        let metrics = object.get("metrics")?.as_array()?.iter().map(metric);
        let failure = match object.get("failure")? {
            Value::Null => None,
            failure => Some(failure.as_str()?.to_owned()),
        };
        Some(Finding {
            metrics: metrics.collect::<Option<_>>()?,
            failure,
            output: object.get("output")?.as_str()?.to_owned(),
            seconds: object.get("seconds")?.as_f64()?,
        })
    }
}
