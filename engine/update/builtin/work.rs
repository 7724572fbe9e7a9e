//! What a function has worked on, and what it has left and why.

use std::collections::BTreeSet;

use super::super::{DraftTensor, UpdateError};
use crate::store::{Model, Tensor};

/// Why a scale is left.
pub(super) const OF_ANOTHER: &str = "the scale of another tensor";

/// Types that an error names.
const TYPES_MAX: usize = 5;

/// Counts what a function works on, so that one that finds nothing to work on fails.
#[derive(Debug)]
pub(super) struct Work {
    /// What is done to a tensor: `pruned`.
    verb: &'static str,
    /// Tensors that were worked on, or that are already as they are to become.
    pub(super) done: usize,
    /// The types of tensors that were left for their types.
    types: BTreeSet<String>,
}

impl Work {
    pub(super) fn new(verb: &'static str) -> Self {
        Work { verb, done: 0, types: BTreeSet::new() }
    }

    /// A tensor as it is, with the reason.
    pub(super) fn left(&self, tensor: &Tensor, why: &str) -> DraftTensor {
        DraftTensor::keep(tensor).noted(format!("left as it was: {why}"))
    }

    /// A tensor as it is, since it is of a type that the function does not know.
    pub(super) fn left_by_type(&mut self, tensor: &Tensor) -> DraftTensor {
        let dtype = tensor.dtype().to_string();
        let left = self.left(tensor, &format!("{dtype} is not {}", self.verb));
        self.types.insert(dtype);
        left
    }

    /// # Errors
    ///
    /// Nothing of `model` was worked on; `noun` is what was looked for.
    pub(super) fn checked(&self, noun: &str, model: &Model) -> Result<(), UpdateError> {
        if self.done > 0 {
            return Ok(());
        }
        let (name, verb) = (model.full_name(), self.verb);
        let types: Vec<&str> = self.types.iter().map(String::as_str).take(TYPES_MAX).collect();
        let why = match types.as_slice() {
            [] => String::new(),
            [one] => format!(": {one} is not {verb}"),
            several => format!(": {} are not {verb}", several.join(", ")),
        };
        Err(UpdateError::inputs(format!("{name} has no {noun} to be {verb}{why}")))
    }
}
