//! What a blend is given besides the models: for all tensors, and for some by their names.

use serde_json::{Map, Value};

use super::super::UpdateError;
use super::Strategy;
use crate::lineage::glob_matches;

/// The share of a difference that is kept where nothing else was said.
const DENSITY: f64 = 0.5;

/// What a blend of a tensor is given besides the models.
#[derive(Clone, Debug, PartialEq)]
pub struct BlendSettings {
    /// A weight for each model.
    pub weights: Vec<f64>,
    /// The share of each model's difference that is kept: above 0, at most 1.
    pub densities: Vec<f64>,
    /// By what the sum of the differences is multiplied.
    pub scale: f64,
    /// Whether sums are divided by the sum of their weights.
    pub normalise: bool,
    /// For what is random.
    pub seed: u64,
}

impl BlendSettings {
    /// Those of a strategy where nothing else was said: weights of 1 (slerp: the middle), half of
    /// each difference, a scale of 1.
    pub fn new(strategy: Strategy, models: usize, seed: u64) -> Self {
        BlendSettings {
            weights: vec![1.0; models],
            densities: vec![DENSITY; models],
            scale: 1.0,
            normalise: matches!(strategy, Strategy::Linear | Strategy::Ties),
            seed,
        }
    }

    /// The sum of the weights.
    fn sum(&self) -> f64 {
        self.weights.iter().fold(0.0, |sum, weight| sum + weight)
    }

    /// Whether the weights have a sum to divide by, and do not cancel each other.
    pub(super) fn has_a_sum(&self) -> bool {
        self.sum().abs() >= 1e-8
    }

    /// The sum of the weights; 1 where they cancel each other.
    pub(super) fn divisor(&self) -> f64 {
        if self.has_a_sum() { self.sum() } else { 1.0 }
    }

    /// With what an object says: `weight` and `density`, each a number for all models or a list of
    /// one for each; `scale`; `normalise`; for slerp `t`, the share of the second model.
    ///
    /// # Errors
    ///
    /// [`UpdateError::Parameter`].
    pub fn with(
        mut self,
        strategy: Strategy,
        object: &Map<String, Value>,
    ) -> Result<Self, UpdateError> {
        for (name, value) in object {
            let number = || {
                let bad = || UpdateError::parameter(name, "not a number");
                value.as_f64().filter(|number| number.is_finite()).ok_or_else(bad)
            };
            match name.as_str() {
                "weight" => self.weights = list(name, value, self.weights.len())?,
                "density" if matches!(strategy, Strategy::Ties | Strategy::Dare) => {
                    self.densities = list(name, value, self.densities.len())?;
                    if !self.densities.iter().all(|density| *density > 0.0 && *density <= 1.0) {
                        return Err(UpdateError::parameter(name, "not above 0 and at most 1"));
                    }
                }
                "scale" if strategy.needs_base() => self.scale = number()?,
                "t" if strategy == Strategy::Slerp => {
                    let t = number()?;
                    self.weights = vec![1.0 - t, t];
                }
                "normalise" if strategy != Strategy::Slerp => {
                    let bad = || UpdateError::parameter(name, "neither true nor false");
                    self.normalise = value.as_bool().ok_or_else(bad)?;
                }
                _ => {
                    let known = match strategy {
                        Strategy::Linear => "weight, normalise",
                        Strategy::Slerp => "t, weight",
                        Strategy::TaskArithmetic => "weight, scale, normalise",
                        Strategy::Ties | Strategy::Dare => "weight, density, scale, normalise",
                    };
                    let reason = format!(
                        "not known to {strategy}, which takes {known}, globs, take, tensors"
                    );
                    return Err(UpdateError::parameter(name, reason));
                }
            }
        }
        if strategy == Strategy::Slerp && self.weights.iter().sum::<f64>().abs() < 1e-8 {
            return Err(UpdateError::parameter("weight", "the weights cancel each other"));
        }
        Ok(self)
    }
}

fn list(name: &str, value: &Value, models: usize) -> Result<Vec<f64>, UpdateError> {
    let number = |value: &Value| {
        let number = value.as_f64().filter(|number| number.is_finite());
        number.ok_or_else(|| UpdateError::parameter(name, "not a number, nor a list of numbers"))
    };
    let Some(values) = value.as_array() else { return Ok(vec![number(value)?; models]) };
    if values.len() != models {
        let reason = format!("{} numbers for {models} models", values.len());
        return Err(UpdateError::parameter(name, reason));
    }
    values.iter().map(number).collect()
}

/// The parameters of a blend: for all tensors, and, before them, by globs of names.
#[derive(Clone, Debug)]
pub(super) struct Parameters {
    all: BlendSettings,
    globs: Vec<(String, BlendSettings)>,
}

impl Parameters {
    /// Reads the parameters of a function. `globs` is a list of pairs of a glob and an object; the
    /// first glob that fits counts, with all else as for the other tensors.
    pub(super) fn read(
        strategy: Strategy,
        parameters: &Map<String, Value>,
        models: usize,
        seed: u64,
    ) -> Result<Self, UpdateError> {
        let mut parameters = parameters.clone();
        let globs = parameters.remove("globs");
        let all = BlendSettings::new(strategy, models, seed).with(strategy, &parameters)?;
        let bad = || UpdateError::parameter("globs", "not a list of pairs of a glob and an object");
        let list = match &globs {
            None => [].as_slice(),
            Some(list) => list.as_array().ok_or_else(bad)?,
        };
        let one = |pair: &Value| {
            let pair = pair.as_array().map(Vec::as_slice);
            let Some([Value::String(glob), Value::Object(object)]) = pair else {
                return Err(bad());
            };
            Ok((glob.clone(), all.clone().with(strategy, object)?))
        };
        let globs = list.iter().map(one).collect::<Result<_, _>>()?;
        Ok(Parameters { all, globs })
    }

    /// Those of a tensor.
    pub(super) fn of(&self, tensor: &str) -> &BlendSettings {
        let found = self.globs.iter().find(|(glob, _)| glob_matches(glob, tensor));
        found.map_or(&self.all, |(_, settings)| settings)
    }
}
