//! An adapter merged into its base.

use std::collections::HashMap;

use super::super::{Draft, DraftTensor, Inputs, UpdateError};
use super::arithmetic::{by_formula, is_number};
use crate::codec::formula::Formula;
use crate::store::{Model, adapters};

/// The first parent with the product of the second's pairs of matrices, times `scale`, added. Names
/// are as the PEFT library gives them.
pub(super) fn lora_merge(inputs: &Inputs) -> Result<Draft, UpdateError> {
    inputs.only_parameters(&["scale", "alpha"])?;
    let [base, adapter] = inputs.parents.as_slice() else {
        return Err(UpdateError::inputs("two parents are needed: a base, then its adapter"));
    };
    let (scale, alpha) = (inputs.number("scale")?, inputs.number("alpha")?);
    let scale = match (scale, alpha) {
        (Some(scale), None) => (scale, false),
        (None, Some(alpha)) => (alpha, true),
        _ => {
            let reason = "say either scale, or alpha, which is divided by the rank";
            return Err(UpdateError::parameter("scale", reason));
        }
    };
    merge(&base.model, &adapter.model, scale)
}

fn merge(
    base: &Model,
    adapter: &Model,
    (scale, by_rank): (f64, bool),
) -> Result<Draft, UpdateError> {
    let pairs = adapters(adapter.manifest());
    if pairs.is_empty() {
        let name = adapter.full_name();
        let reason = format!("{name} is no adapter: no tensors named *.lora_A.* and *.lora_B.*");
        return Err(UpdateError::inputs(reason));
    }
    let names: HashMap<&str, ()> =
        base.manifest().tensors.iter().map(|tensor| (tensor.name, ())).collect();
    if let Some(name) = pairs.keys().find(|name| !names.contains_key(name.as_str())) {
        let reason = format!("the adapter changes it, and {} has none", base.full_name());
        return Err(UpdateError::tensor(name, reason));
    }
    Draft::like(base, |tensor| {
        let Some(pair) = pairs.get(tensor.name()) else { return Ok(DraftTensor::keep(tensor)) };
        let wrong = |reason: String| UpdateError::tensor(tensor.name(), reason);
        let (left, right) = (adapter.tensor(pair.left.name)?, adapter.tensor(pair.right.name)?);
        let (&[rows, columns], &[left_rows, _], &[_, right_columns]) =
            (tensor.shape().dims(), left.shape().dims(), right.shape().dims())
        else {
            return Err(wrong("the adapter changes it, and it is no matrix".to_owned()));
        };
        if (rows, columns) != (left_rows, right_columns) || left.dtype() != right.dtype() {
            let (left, right) = (left.shape(), right.shape());
            return Err(wrong(format!("{left} times {right} does not fit {}", tensor.shape())));
        }
        let scale = if by_rank { scale / f64::from(pair.rank) } else { scale };
        let dims = (columns, pair.rank);
        let formula = Formula::lora(tensor.dtype(), left.dtype(), dims, scale as f32);
        let formula = formula.filter(|_| is_number(tensor.dtype()));
        let Some(formula) = formula else {
            return Err(wrong("the adapter is too large, or of a type without this".to_owned()));
        };
        by_formula(tensor, tensor.dtype().clone(), formula, vec![tensor.clone(), left, right])
    })
}
