//! A child on another version of its parent: new parent + (child - old parent).

use super::super::{Draft, DraftTensor, Inputs, UpdateError, passed_over};
use super::arithmetic::{by_formula, by_numbers, formula, is_number};
use crate::store::{Model, Tensor};
use crate::tensor::Dtype;

/// The code of the formula of the file format that is `a + factor * (b - c)`.
const TASK_VECTOR: u8 = 9;

/// The old child with the changes of its parents.
///
/// A tensor that a parent has not changed stays bit for bit; one that the child had taken from its
/// only parent is taken from the new one. F32, F16 and BF16 of one type throughout are reckoned in
/// single precision, each operation rounded; of several types, F64, and the mean of the changes of
/// several parents, in double precision, rounded to single and then to the child's type (to F64
/// not at all). Tensors that no old parent has stay too.
pub(super) fn rebase(inputs: &Inputs) -> Result<Draft, UpdateError> {
    inputs.only_parameters(&[])?;
    let Some(child) = &inputs.old else {
        return Err(UpdateError::inputs("a rebase needs the old version, whose change is taken"));
    };
    let (new, old) = (&inputs.parents, &inputs.old_parents);
    if new.is_empty() || new.len() != old.len() {
        let (new, old) = (new.len(), old.len());
        let reason = format!("a rebase needs as many old parents as new ones, not {old} and {new}");
        return Err(UpdateError::inputs(reason));
    }
    let pairs: Vec<(&Model, &Model)> =
        old.iter().zip(new.iter().map(|input| &input.model)).collect();
    let mut draft = Draft::like(child, |tensor| rebased(tensor, &pairs))?;
    for (old, new) in &pairs {
        draft = passed_over(old, child, new)?.into_iter().fold(draft, Draft::said);
    }
    Ok(match pairs.as_slice() {
        [(old, new)] => draft.made_of([*new, child, *old]),
        _ => draft,
    })
}

/// Old and new of one tensor in a parent that has it as the child does.
fn change(
    tensor: &Tensor,
    (old, new): &(&Model, &Model),
) -> Result<Option<(Tensor, Tensor)>, UpdateError> {
    let fits = |other: &Tensor| other.shape() == tensor.shape();
    let Some(before) = old.tensor(tensor.name()).ok().filter(fits) else { return Ok(None) };
    let found = new.tensor(tensor.name()).ok();
    match found.clone().filter(fits) {
        Some(after) => Ok(Some((before, after))),
        None => {
            let (had, old, new) = (before.described(), old.full_name(), new.full_name());
            let found = found.map_or("none".to_owned(), |found| found.described());
            let reason = format!("{had} in {old}, and {found} in {new}");
            Err(UpdateError::tensor(tensor.name(), reason))
        }
    }
}

fn rebased(tensor: &Tensor, parents: &[(&Model, &Model)]) -> Result<DraftTensor, UpdateError> {
    let mut changes = Vec::new();
    for pair in parents {
        changes.extend(change(tensor, pair)?);
    }
    let stays = |(before, after): &(Tensor, Tensor)| before.is_same(after);
    if changes.iter().all(stays) {
        return Ok(DraftTensor::keep(tensor));
    }
    let dtype = tensor.dtype().clone();
    if let [(before, after)] = changes.as_slice()
        && before.is_same(tensor)
        && *after.dtype() == dtype
    {
        return Ok(DraftTensor::keep(after));
    }
    let types = || changes.iter().flat_map(|(before, after)| [before.dtype(), after.dtype()]);
    if !is_number(&dtype) || !types().all(is_number) {
        let all = [tensor.described()]
            .into_iter()
            .chain(changes.iter().flat_map(|(old, new)| [old.described(), new.described()]));
        let all: Vec<String> = all.collect();
        let reason = format!(
            "both it and its parent have changed, and not all are floats here: {} (it, then its \
             parents' old and new)",
            all.join(", ")
        );
        return Err(UpdateError::tensor(tensor.name(), reason));
    }
    match changes.as_slice() {
        [(before, after)] if dtype != Dtype::F64 && types().all(|other| *other == dtype) => {
            let bases = vec![after.clone(), tensor.clone(), before.clone()];
            let types = vec![dtype.clone(); bases.len()];
            let factor = 1.0f32.to_le_bytes();
            let sum = formula(tensor.name(), TASK_VECTOR, (&dtype, &types), &factor)?;
            by_formula(tensor, dtype, sum, bases)
        }
        [(before, after)] => {
            let bases = vec![after.clone(), tensor.clone(), before.clone()];
            by_numbers(tensor, dtype, bases, |row| match row {
                [after, child, before] => after + (child - before),
                _ => f64::NAN,
            })
        }
        changes => {
            let pairs = changes.iter().flat_map(|(before, after)| [before.clone(), after.clone()]);
            let bases = [tensor.clone()].into_iter().chain(pairs).collect();
            by_numbers(tensor, dtype, bases, |row| {
                let (Some(child), Some(pairs)) = (row.first(), row.get(1..)) else {
                    return f64::NAN;
                };
                let (pairs, _) = pairs.as_chunks::<2>();
                let sum = pairs.iter().fold(0.0, |sum, [before, after]| sum + (after - before));
                child + sum / pairs.len() as f64
            })
        }
    }
}
