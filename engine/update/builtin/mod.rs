//! Functions that need no training. They make the same bytes on every machine, and where their
//! arithmetic is a formula of the file format, the result is kept as that formula.

mod adapter;
mod adapter_config;
mod arithmetic;
mod average;
mod lora_merge;
mod lora_settings;
mod low_rank;
mod quantise;
mod rebase;
mod reduce;
mod work;

use super::blend::{Strategy, blend};
use super::{Creation, Draft, Inputs, UpdateError};
use crate::lineage::How;

/// A built-in function. Those that make numbers smaller and those that mix models take the parameter
/// `tensors`: globs of tensors of the files of weights to work on, instead of all weights. The state
/// of a training in one file with the weights, such as an optimizer's moments, is left as it is
/// unless it is named, and a note says so. What is not worked on, and the files beside the weights,
/// are those of the first parent; of a blend with a base, which is the first, those of the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Builtin {
    /// Floats of another type: parameter `dtype`.
    Cast,
    /// The smallest magnitudes of every matrix as zeros: parameter `sparsity`, from 0 to 1.
    Prune,
    /// Every row of every matrix rounded to 255 steps of its largest magnitude; with the parameter
    /// `to`, `int8` or `fp8`, matrices as I8 or F8_E4M3, and `NAME_scale` with the scale of every row
    /// beside them. Parameter `keep`: globs of tensors that stay.
    Quantise,
    /// Matrices that have scales beside them as floats again: parameter `dtype`.
    Dequantise,
    /// The mean of several parents.
    Average,
    /// An adapter merged into its base, by what the adapter says of itself: metadata `lora.*`. The
    /// parameters go over it: `scale`; or `alpha`, which is divided by the rank; or `config`, the
    /// object of an `adapter_config.json`.
    LoraMerge,
    /// What has changed from an old parent to a new one, added to the old child.
    Rebase,
    /// Several models mixed; of a strategy that needs a base, the first parent is it.
    Blend(Strategy),
}

impl Builtin {
    /// Every built-in function.
    pub const ALL: [Builtin; 12] = [
        Builtin::Cast,
        Builtin::Prune,
        Builtin::Quantise,
        Builtin::Dequantise,
        Builtin::Average,
        Builtin::LoraMerge,
        Builtin::Rebase,
        Builtin::Blend(Strategy::Linear),
        Builtin::Blend(Strategy::Slerp),
        Builtin::Blend(Strategy::TaskArithmetic),
        Builtin::Blend(Strategy::Ties),
        Builtin::Blend(Strategy::Dare),
    ];

    /// The name in recipes.
    pub fn name(self) -> &'static str {
        match self {
            Builtin::Cast => "cast",
            Builtin::Prune => "prune",
            Builtin::Quantise => "quantise",
            Builtin::Dequantise => "dequantise",
            Builtin::Average => "average",
            Builtin::LoraMerge => "lora-merge",
            Builtin::Rebase => "rebase",
            Builtin::Blend(strategy) => strategy.name(),
        }
    }
}

impl Creation for Builtin {
    fn how(&self) -> How {
        match self {
            Builtin::Cast => How::Cast,
            Builtin::Prune => How::Prune,
            Builtin::Quantise => How::Quantise,
            Builtin::Dequantise => How::Cast,
            Builtin::Average => How::Average,
            Builtin::LoraMerge => How::LoraMerge,
            Builtin::Rebase => How::FineTune,
            Builtin::Blend(_) => How::Merge,
        }
    }

    fn takes_old(&self, _inputs: &Inputs) -> bool {
        *self == Builtin::Rebase
    }

    fn make(&self, inputs: &Inputs) -> Result<Draft, UpdateError> {
        match self {
            Builtin::Cast => reduce::cast(inputs),
            Builtin::Prune => reduce::prune(inputs),
            Builtin::Quantise => quantise::quantise(inputs),
            Builtin::Dequantise => quantise::dequantise(inputs),
            Builtin::Average => average::average(inputs),
            Builtin::LoraMerge => lora_merge::lora_merge(inputs),
            Builtin::Rebase => rebase::rebase(inputs),
            Builtin::Blend(strategy) => blend(*strategy, inputs),
        }
    }
}
