//! What makes a model: the trait and its inputs.

use serde_json::{Map, Value};

use super::{Draft, UpdateError};
use crate::lineage::How;
use crate::store::Model;

/// An input of a function: a model, and what it is to the function.
#[derive(Clone, Debug)]
pub struct Input {
    /// What it is to the function, such as the name of the parent: the same at every update.
    pub role: String,
    /// The model.
    pub model: Model,
}

/// What a function makes a model from.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    /// The models it is to be derived from, in order.
    pub parents: Vec<Input>,
    /// The version that is to be replaced, if there is one.
    pub old: Option<Model>,
    /// What `old` was derived from, in the order of `parents`.
    pub old_parents: Vec<Model>,
    /// Parameters by name.
    pub parameters: Map<String, Value>,
    /// The line of a command, for a function that runs one.
    pub command: String,
    /// For whatever is random.
    pub seed: u64,
    /// What the model is called that is made, for messages only: the version may be another in the
    /// end.
    pub making: String,
}

impl Inputs {
    /// The parent, when there is exactly one.
    ///
    /// # Errors
    ///
    /// There are more, or none.
    pub fn only_parent(&self) -> Result<&Model, UpdateError> {
        match self.parents.as_slice() {
            [parent] => Ok(&parent.model),
            parents => {
                let count = parents.len();
                Err(UpdateError::inputs(format!("one parent is needed, {count} are given")))
            }
        }
    }

    /// The parent of this role.
    ///
    /// # Errors
    ///
    /// There is none.
    pub fn parent(&self, role: &str) -> Result<&Model, UpdateError> {
        let found = self.parents.iter().find(|parent| parent.role == role);
        found
            .map(|parent| &parent.model)
            .ok_or_else(|| UpdateError::inputs(format!("no parent {role:?} is given")))
    }

    /// A parameter that is a number.
    ///
    /// # Errors
    ///
    /// It is something else. `None` when it is not given.
    pub fn number(&self, name: &str) -> Result<Option<f64>, UpdateError> {
        let Some(value) = self.parameters.get(name) else { return Ok(None) };
        let number = value.as_f64();
        number.map(Some).ok_or_else(|| UpdateError::parameter(name, "not a number"))
    }

    /// Refuses parameters that nobody will look at.
    ///
    /// # Errors
    ///
    /// One that is not among `known`.
    pub fn only_parameters(&self, known: &[&str]) -> Result<(), UpdateError> {
        match self.parameters.keys().find(|name| !known.contains(&name.as_str())) {
            None => Ok(()),
            Some(name) if known.is_empty() => {
                Err(UpdateError::parameter(name, "the function takes none"))
            }
            Some(name) => {
                let reason = format!("not known to the function, which takes {}", known.join(", "));
                Err(UpdateError::parameter(name, reason))
            }
        }
    }
}

/// A creation function: makes a model from others.
///
/// A closure from [`Inputs`] to a [`Draft`] is one.
pub trait Creation: Send + Sync {
    /// How the model is then derived from its parents, when nobody says otherwise.
    fn how(&self) -> How {
        How::Other
    }

    /// Whether it looks at the version that is to be replaced. What it does not look at is not kept
    /// in the recipe, and may be removed.
    fn takes_old(&self, _inputs: &Inputs) -> bool {
        true
    }

    /// Makes the model.
    ///
    /// # Errors
    ///
    /// [`UpdateError::failed`] for whatever is the function's own.
    fn make(&self, inputs: &Inputs) -> Result<Draft, UpdateError>;
}

impl<F> Creation for F
where
    F: Fn(&Inputs) -> Result<Draft, UpdateError> + Send + Sync,
{
    fn how(&self) -> How {
        How::FineTune
    }

    fn make(&self, inputs: &Inputs) -> Result<Draft, UpdateError> {
        self(inputs)
    }
}
