//! The mean of several models.

use super::super::{Draft, DraftTensor, Inputs, UpdateError};
use super::arithmetic::{by_formula, by_numbers, formula, is_number};
use crate::store::{Model, Tensor};
use crate::tensor::Dtype;

/// The code of the formula of the file format, and the order of its arithmetic: the sum, from the
/// first parent on, divided by their number.
const MEAN: (u8, [u8; 1]) = (8, [0]);

/// Every float as the mean of the parents' (in double precision for F64); what is no float must be
/// equal in all of them.
pub(super) fn average(inputs: &Inputs) -> Result<Draft, UpdateError> {
    inputs.only_parameters(&[])?;
    let [first, rest @ ..] = inputs.parents.as_slice() else {
        return Err(UpdateError::inputs("an average needs two parents or more"));
    };
    if rest.is_empty() {
        return Err(UpdateError::inputs("an average needs two parents or more"));
    }
    let rest: Vec<&Model> = rest.iter().map(|input| &input.model).collect();
    if let Some(other) =
        rest.iter().find(|other| other.tensors().len() != first.model.tensors().len())
    {
        let (a, b) = (first.model.full_name(), other.full_name());
        return Err(UpdateError::inputs(format!("{a} and {b} have not the same tensors")));
    }
    Draft::like(&first.model, |tensor| {
        let mut bases = vec![tensor.clone()];
        for other in &rest {
            bases.push(equal(tensor, other)?);
        }
        let dtype = tensor.dtype().clone();
        if bases.iter().all(|base| base.content_id() == tensor.content_id()) {
            return Ok(DraftTensor::keep(tensor));
        }
        if !is_number(&dtype) {
            let reason = format!("the parents differ in it, and {dtype} has no mean here");
            return Err(UpdateError::tensor(tensor.name(), reason));
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
    })
}

/// The tensor of this name, type and shape in another model.
fn equal(tensor: &Tensor, other: &Model) -> Result<Tensor, UpdateError> {
    let name = tensor.name();
    let found = other.tensor(name)?;
    if found.dtype() != tensor.dtype() || found.shape() != tensor.shape() {
        let other = other.full_name();
        return Err(UpdateError::tensor(name, format!("{other} has it in another type or shape")));
    }
    Ok(found)
}
