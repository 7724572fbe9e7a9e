//! A number that a test has found.

use serde_json::{Map, Value, json};

/// Which values of a metric are better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
// Exhaustive on purpose: whoever matches one is to be told when there is another.
pub enum Better {
    /// Such as of accuracies.
    Higher,
    /// Such as of losses.
    Lower,
}

impl Better {
    /// The word in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Better::Higher => "higher",
            Better::Lower => "lower",
        }
    }
}

/// A number that a test has found.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// Its name, such as `accuracy`.
    pub name: String,
    /// Its value; may be NaN or infinite.
    pub value: f64,
    /// Which values are better; none where neither is.
    pub better: Option<Better>,
}

/// JSON has no NaN and no infinities: they are texts.
fn number(value: f64) -> Value {
    match serde_json::Number::from_f64(value) {
        Some(number) => Value::Number(number),
        None => Value::String(value.to_string()),
    }
}

impl Metric {
    /// A metric.
    pub fn new(
        name: impl Into<String>,
        value: impl Into<f64>,
        better: impl Into<Option<Better>>,
    ) -> Self {
        Metric { name: name.into(), value: value.into(), better: better.into() }
    }

    /// As an object: `metric`, `value`, `direction`.
    pub fn to_json(&self) -> Value {
        let direction = self.better.map(Better::name);
        json!({ "metric": self.name, "value": number(self.value), "direction": direction })
    }

    /// Of such an object; `direction` may be missing.
    ///
    /// # Errors
    ///
    /// Says what is wrong.
    pub fn from_json(object: &Map<String, Value>) -> Result<Self, String> {
        let name = object.get("metric").and_then(Value::as_str).ok_or("no text \"metric\"")?;
        let value = match object.get("value") {
            Some(Value::String(text)) => match text.to_lowercase().as_str() {
                "nan" => Some(f64::NAN),
                "inf" | "infinity" => Some(f64::INFINITY),
                "-inf" | "-infinity" => Some(f64::NEG_INFINITY),
                _ => None,
            },
            value => value.and_then(Value::as_f64),
        };
        let value = value.ok_or_else(|| format!("metric {name:?} has no number \"value\""))?;
        let better = match object.get("direction") {
            None | Some(Value::Null) => None,
            Some(Value::String(word)) if word == "higher" => Some(Better::Higher),
            Some(Value::String(word)) if word == "lower" => Some(Better::Lower),
            Some(other) => {
                return Err(format!("metric {name:?}: direction {other} is not higher or lower"));
            }
        };
        Ok(Metric::new(name, value, better))
    }

    /// The metrics that a command printed: its lines that are objects of JSON with a field
    /// `metric`. Other lines are its own affair.
    ///
    /// # Errors
    ///
    /// A line that begins as an object and is none, or is a wrong metric.
    pub fn from_lines(text: &str) -> Result<Vec<Self>, String> {
        let mut metrics: Vec<Metric> = Vec::new();
        for line in text.lines().map(str::trim).filter(|line| line.starts_with('{')) {
            let short: String = line.chars().take(80).collect();
            let object: Map<String, Value> = serde_json::from_str(line)
                .map_err(|error| format!("it printed {short:?}, which is not JSON: {error}"))?;
            if !object.contains_key("metric") {
                continue;
            }
            let metric = Metric::from_json(&object).map_err(|e| format!("it printed {e}"))?;
            // Said again, it is said better.
            metrics.retain(|known| known.name != metric.name);
            metrics.push(metric);
        }
        Ok(metrics)
    }

    /// Whether another value of it is better; none when neither is, or nobody can tell.
    pub fn is_better(&self, other: f64) -> Option<bool> {
        match self.better? {
            _ if self.value.is_nan() && other.is_nan() || self.value == other => None,
            _ if self.value.is_nan() => Some(true),
            _ if other.is_nan() => Some(false),
            Better::Higher => Some(other > self.value),
            Better::Lower => Some(other < self.value),
        }
    }
}

/// As [`to_json`](Metric::to_json).
impl serde::Serialize for Metric {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_json().serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn lines_of_json_are_metrics_and_others_are_not() {
        let text = "loading\n{\"metric\": \"accuracy\", \"value\": 0.5, \"direction\": \"higher\"}\n\
            {\"note\": 1}\n {\"metric\":\"loss\",\"value\":\"NaN\",\"direction\":\"lower\"}\n\
            {\"metric\": \"accuracy\", \"value\": 0.75, \"direction\": \"higher\"}";
        let metrics = Metric::from_lines(text).unwrap();
        assert_eq!(metrics.len(), 2);
        assert!(metrics[0].value.is_nan() && metrics[0].better == Some(Better::Lower));
        assert_eq!(metrics[1], Metric::new("accuracy", 0.75, Some(Better::Higher)));
        for metric in &metrics {
            let json = metric.to_json();
            let back = Metric::from_json(json.as_object().unwrap()).unwrap();
            assert_eq!(format!("{back:?}"), format!("{metric:?}"));
        }
        for bad in [
            "{",
            "{\"metric\": 1}",
            "{\"metric\": \"a\"}",
            "{\"metric\": \"a\", \"value\": \"b\"}",
            "{\"metric\": \"a\", \"value\": 1, \"direction\": \"up\"}",
        ] {
            assert!(Metric::from_lines(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn lower_is_better_is_not_judged_backwards() {
        let loss = Metric::new("loss", 1.0, Some(Better::Lower));
        assert_eq!(
            [0.5, 1.0, 2.0, f64::NAN].map(|value| loss.is_better(value)),
            [Some(true), None, Some(false), Some(false)]
        );
        let accuracy = Metric::new("accuracy", f64::NAN, Some(Better::Higher));
        assert_eq!([0.5, f64::NAN].map(|value| accuracy.is_better(value)), [Some(true), None]);
    }
}
