//! The mean of several models.

use super::super::blend::{Takes, same_tensors, unmixed, with_hint};
use super::super::chosen::{Chosen, TENSORS};
use super::super::{Draft, DraftTensor, Inputs, UpdateError};
use super::arithmetic::{by_formula, by_numbers, formula, is_number};
use crate::store::{Model, Tensor};
use crate::tensor::Dtype;

/// The code of the formula of the file format, and the order of its arithmetic: the sum, from the
/// first parent on, divided by their number.
const MEAN: (u8, [u8; 1]) = (8, [0]);

/// Every float as the mean of the parents' (in double precision for F64); what is no float must be
/// equal in all of them, be taken from one, or be a counter, of which the greatest is taken.
pub(super) fn average(inputs: &Inputs) -> Result<Draft, UpdateError> {
    inputs.only_parameters(&["take", TENSORS])?;
    let [first, rest @ ..] = inputs.parents.as_slice() else {
        return Err(UpdateError::inputs("an average needs two parents or more"));
    };
    if rest.is_empty() {
        return Err(UpdateError::inputs("an average needs two parents or more"));
    }
    let rest: Vec<&Model> = rest.iter().map(|input| &input.model).collect();
    rest.iter().try_for_each(|other| same_tensors(&first.model, other))?;
    let takes = Takes::read(&mut inputs.parameters.clone(), &inputs.parents, &first.model)?;
    let chosen = Chosen::read(&inputs.parameters, &first.model)?.with(takes.globs());
    let mean = |tensor: &Tensor| {
        if let Some(taken) = takes.of(tensor.name())? {
            return Ok(taken);
        }
        let mut bases = vec![tensor.clone()];
        for other in &rest {
            bases.push(equal(tensor, other)?);
        }
        let dtype = tensor.dtype().clone();
        if bases.iter().all(|base| base.is_same(tensor)) {
            return Ok(DraftTensor::keep(tensor));
        }
        if !is_number(&dtype) {
            return unmixed(None, &bases).map_err(with_hint);
        }
        if dtype == Dtype::F64 {
            let count = bases.len() as f64;
            return by_numbers(tensor, dtype, bases, move |row| {
                row.iter().fold(0.0, |sum, value| sum + value) / count
            });
        }
        let types = vec![dtype.clone(); bases.len()];
        let mean = formula(tensor.name(), MEAN.0, (&dtype, &types), &MEAN.1)?;
        by_formula(tensor, dtype, mean, bases)
    };
    Draft::like_each(&chosen, |tensor| Ok([mean(tensor)?]))?.said_of_others(
        &first.model,
        &rest,
        &[],
    )
}

/// The tensor of this name, type and shape in another model.
fn equal(tensor: &Tensor, other: &Model) -> Result<Tensor, UpdateError> {
    let name = tensor.name();
    let found = other.tensor(name)?;
    if found.dtype() != tensor.dtype() || found.shape() != tensor.shape() {
        let (first, found, other) = (tensor.described(), found.described(), other.full_name());
        return Err(UpdateError::tensor(name, format!("{first}, and {found} in {other}")));
    }
    Ok(found)
}
