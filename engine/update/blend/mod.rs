//! Blends: several models mixed into one, tensor by tensor.
//!
//! All arithmetic is in double precision, every operation rounded, models in their order; the
//! result is rounded to single precision and then to the tensor's type (to F64 not at all). So a
//! blend is the same on every machine, and in whatever pieces it is made. With `x` a model's
//! element, `b` the base's, `w` its weight:
//!
//! - linear: the sum of `w * x`, over the sum of `w` where it is normalised (as it is by default);
//! - slerp, of two models: on the arc between them, both taken as one vector; on the straight line
//!   where the cosine of their angle is above 0.9995, or below -0.9995;
//! - task arithmetic: `b + scale * sum of w * (x - b)`;
//! - TIES (Yadav et al., 2023): of each `x - b` the largest magnitudes are kept, `density` of them;
//!   the sign of the sum of `w * (x - b)` is elected (plus for zero), and only what has it counts:
//!   its sum is divided by the sum of its weights where it is normalised (by default);
//! - DARE (Yu et al., 2023): of each `x - b` a random part of `density` is kept and divided by
//!   `density`, then as task arithmetic.
//!
//! Magnitudes are compared in single precision; of equal ones the first are kept. Weights that
//! cancel each other (a sum below 1e-8) are not normalised. Slerp takes vectors shorter than 1e-8 as
//! they are for the cosine, as mergekit does: very short ones stand at right angles to all.
//!
//! Of what is not finite: a model of weight 0 does not count at all; where a model's element equals
//! the base's, an infinity too, it has not changed; else the arithmetic of IEEE 754 decides, so that
//! NaN of a model that counts is NaN of the result, unless DARE has dropped it.

mod numbers;
mod select;
mod settings;
mod slerp;
mod source;
mod take;
mod unmixed;

use std::fmt;
use std::str::FromStr;

pub use settings::BlendSettings;
pub(super) use take::Takes;
pub(super) use unmixed::unmixed;

use super::chosen::{Chosen, TENSORS};
use super::{Draft, DraftTensor, Inputs, UpdateError};
use crate::store::{Model, Tensor};
use settings::Parameters;
use source::Blended;

/// A way to mix models.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Strategy {
    /// The weighted mean.
    Linear,
    /// On the arc between two models.
    Slerp,
    /// The weighted differences from a base, added to it.
    TaskArithmetic,
    /// Trimmed differences, signs elected, those that agree averaged.
    Ties,
    /// Differences dropped at random and rescaled.
    Dare,
}

impl Strategy {
    /// Every strategy.
    pub const ALL: [Strategy; 5] = [
        Strategy::Linear,
        Strategy::Slerp,
        Strategy::TaskArithmetic,
        Strategy::Ties,
        Strategy::Dare,
    ];

    /// The name in recipes.
    pub fn name(self) -> &'static str {
        match self {
            Strategy::Linear => "linear",
            Strategy::Slerp => "slerp",
            Strategy::TaskArithmetic => "task-arithmetic",
            Strategy::Ties => "ties",
            Strategy::Dare => "dare",
        }
    }

    /// Whether it works on differences from a base.
    pub fn needs_base(self) -> bool {
        matches!(self, Strategy::TaskArithmetic | Strategy::Ties | Strategy::Dare)
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Strategy {
    type Err = UpdateError;

    fn from_str(text: &str) -> Result<Self, UpdateError> {
        let found = Strategy::ALL.into_iter().find(|strategy| strategy.name() == text);
        found.ok_or_else(|| {
            let names = Strategy::ALL.map(Strategy::name).join(", ");
            UpdateError::parameter("strategy", format!("{text:?} is none of {names}"))
        })
    }
}

/// The creation function of a strategy. Of those that need a base, the first parent is it. The
/// result has the files of the first model that is no base.
pub(super) fn blend(strategy: Strategy, inputs: &Inputs) -> Result<Draft, UpdateError> {
    let models: Vec<&Model> = inputs.parents.iter().map(|input| &input.model).collect();
    let (base, models) = match (strategy.needs_base(), models.split_first()) {
        (true, Some((base, models))) => (Some(*base), models),
        _ => (None, models.as_slice()),
    };
    let least = if strategy.needs_base() { 1 } else { 2 };
    if models.len() < least || (strategy == Strategy::Slerp && models.len() != 2) {
        return Err(UpdateError::inputs(match strategy {
            Strategy::Slerp => "slerp needs two parents".to_owned(),
            Strategy::Linear => "linear needs two parents or more".to_owned(),
            _ => format!("{strategy} needs a base and then one model or more"),
        }));
    }
    let Some((first, others)) = models.split_first() else { return Ok(Draft::new()) };
    let mut parameters = inputs.parameters.clone();
    let takes = Takes::read(&mut parameters, &inputs.parents, first)?;
    parameters.remove(TENSORS);
    let parameters = Parameters::read(strategy, &parameters, models.len(), inputs.seed)?;
    for other in others.iter().chain(&base) {
        same_tensors(first, other)?;
    }
    let chosen = Chosen::read(&inputs.parameters, first)?.with(takes.globs());
    let mix = |tensor: &Tensor| {
        if let Some(taken) = takes.of(tensor.name())? {
            return Ok(taken);
        }
        let of = |model: &&Model| model.tensor(tensor.name());
        let base = base.as_ref().map(of).transpose()?;
        let parts = models.iter().map(of).collect::<Result<Vec<_>, _>>()?;
        let settings = parameters.of(tensor.name());
        blend_tensor(strategy, settings, base.as_ref(), &parts).map_err(with_hint)
    };
    let draft = Draft::like_each(&chosen, |tensor| Ok([mix(tensor)?]))?;
    draft.said_of_others(first, others, &[])
}

/// Refuses models of which one has weights that the other has not, and names them. The state of a
/// training is none: one may have it and the other not.
pub(super) fn same_tensors(a: &Model, b: &Model) -> Result<(), UpdateError> {
    for (one, other) in [(a, b), (b, a)] {
        let state = one.training_state();
        let weights = one.weights().enumerate().filter(|(at, _)| !state.contains(at));
        let mut weights = weights.map(|(_, tensor)| tensor);
        if let Some(lone) = weights.find(|tensor| other.tensor(tensor.name()).is_err()) {
            let (described, one, other) = (lone.described(), one.full_name(), other.full_name());
            let reason = format!("only {one} has it, {described}, and {other} has not");
            return Err(UpdateError::tensor(lone.name(), reason));
        }
    }
    Ok(())
}

/// Says what can be done with a tensor that cannot be mixed.
pub(super) fn with_hint(error: UpdateError) -> UpdateError {
    match error {
        UpdateError::Tensor { tensor, reason } => {
            let reason = format!("{reason}: take it from one, with take='{tensor}=PARENT'");
            UpdateError::Tensor { tensor, reason }
        }
        other => other,
    }
}

/// One tensor of the same place in several models, mixed: of the name, type and shape of the first.
///
/// What is no float must be changed alike wherever it is changed, be equal, or be a counter, of
/// which the greatest is taken: [`unmixed`].
///
/// # Errors
///
/// Shapes that differ, elements that are no floats and differ, a base that is needed and missing.
pub(crate) fn blend_tensor(
    strategy: Strategy,
    settings: &BlendSettings,
    base: Option<&Tensor>,
    parts: &[Tensor],
) -> Result<DraftTensor, UpdateError> {
    let Some(first) = parts.first() else {
        return Err(UpdateError::inputs("nothing is given to be mixed"));
    };
    let refuse = |reason: String| Err(UpdateError::tensor(first.name(), reason));
    let base = base.filter(|_| strategy.needs_base());
    if strategy.needs_base() && base.is_none() {
        return refuse(format!("{strategy} needs the tensor of a base, and the base has none"));
    }
    if let Some(other) = parts.iter().chain(base).find(|other| other.shape() != first.shape()) {
        return refuse(format!("shapes differ: {} and {}", first.described(), other.described()));
    }
    // Only a mean of equals is their equal, and what has not changed from its base.
    let is_mean = strategy == Strategy::Slerp || (settings.normalise && settings.has_a_sum());
    if parts.iter().chain(base).all(|other| other.is_same(first)) && (is_mean || base.is_some()) {
        return Ok(DraftTensor::keep(first));
    }
    if !parts.iter().chain(base).all(|tensor| numbers::is_number(tensor.dtype())) {
        return unmixed(base, parts);
    }
    let source = Blended::new(strategy, settings, base, parts)?;
    let (dtype, shape) = (first.dtype().clone(), first.shape().clone());
    Ok(DraftTensor::from_source(first.name(), dtype, shape, first.byte_len(), source))
}
