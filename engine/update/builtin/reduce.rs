//! Functions of one parent that make it smaller: cast, prune.

use super::super::chosen::{Chosen, TENSORS};
use super::super::{Draft, DraftTensor, Inputs, UpdateError};
use super::arithmetic::{by_formula, elements, formula, is_number};
use super::work::{OF_ANOTHER, Work};
use crate::codec::formula::Formula;
use crate::store::{Model, Tensor};
use crate::tensor::{Dtype, number};

/// Codes of the formulas of the file format.
const PRUNE: u8 = 7;

/// Every float in the type of the parameter `dtype`, those of eight bits among them (each as the
/// number that it is, whatever scales stand beside it); other tensors and such scales as they are,
/// which is noted.
pub(super) fn cast(inputs: &Inputs) -> Result<Draft, UpdateError> {
    inputs.only_parameters(&["dtype", TENSORS])?;
    let Some(name) = inputs.parameters.get("dtype").and_then(|value| value.as_str()) else {
        return Err(UpdateError::parameter("dtype", "say f16, bf16, f32 or f64"));
    };
    let to = Dtype::from_spoken(name);
    if !is_number(&to) {
        let reason = format!("{name:?} is none of f16, bf16, f32 and f64");
        return Err(UpdateError::parameter("dtype", reason));
    }
    let parent = inputs.only_parent()?;
    let chosen = Chosen::read(&inputs.parameters, parent)?;
    let mut work = Work::new("cast");
    let mut cast = |tensor: &Tensor| {
        if is_scale(parent, tensor) {
            return Ok(work.left(tensor, OF_ANOTHER));
        }
        match Formula::cast(tensor.dtype(), &to) {
            Some(formula) => {
                work.done += 1;
                by_formula(tensor, to.clone(), formula, vec![tensor.clone()])
            }
            None if is_small_float(tensor.dtype()) => {
                work.done += 1;
                widened(tensor, &to)
            }
            None if *tensor.dtype() == to => {
                work.done += 1;
                Ok(DraftTensor::keep(tensor))
            }
            None => Ok(work.left_by_type(tensor)),
        }
    };
    let draft = Draft::like_each(&chosen, |tensor| Ok([cast(tensor)?]))?;
    work.checked("tensor", parent).map(|()| draft)
}

/// Whether elements are numbers of eight bits that stand for themselves.
fn is_small_float(dtype: &Dtype) -> bool {
    use Dtype::{F8E4M3, F8E4M3Fnuz, F8E5M2, F8E5M2Fnuz};
    matches!(dtype, F8E4M3 | F8E5M2 | F8E4M3Fnuz | F8E5M2Fnuz)
}

/// An eight-bit float tensor in a wider type, which holds all of its numbers.
fn widened(tensor: &Tensor, to: &Dtype) -> Result<DraftTensor, UpdateError> {
    let wrong =
        |error: &dyn std::fmt::Display| UpdateError::tensor(tensor.name(), error.to_string());
    let len = to.byte_len(tensor.shape()).map_err(|error| wrong(&error))?;
    let byte_len = len.ok_or_else(|| wrong(&"it has no known length"))?;
    let (base, dtype) = (tensor.clone(), to.clone());
    let make = move || {
        let table: Vec<f64> = (0..=u8::MAX).map(|code| number(base.dtype(), &[code])).collect();
        let view = base.view()?;
        let value = |code: &u8| table.get(usize::from(*code)).copied().unwrap_or_default();
        let values: Vec<f64> = view.iter().map(value).collect();
        elements(&dtype, &values, byte_len)
    };
    Ok(DraftTensor::lazy(tensor.name(), to.clone(), tensor.shape().clone(), byte_len, make))
}

/// What the scales of a tensor are called behind its own name, as in the checkpoints of
/// compressed-tensors.
pub(super) const SCALE_SUFFIX: &str = "_scale";
/// As DeepSeek's checkpoints call those of blocks.
const BLOCK_SCALE_SUFFIX: &str = "_scale_inv";

/// Whether a tensor is the scale of one of eight bits: no weights of its own.
pub(super) fn is_scale(model: &Model, tensor: &Tensor) -> bool {
    let is_of = |suffix: &str| {
        let of = tensor.name().strip_suffix(suffix).and_then(|of| model.tensor(of).ok());
        of.is_some_and(|of| of.dtype().bits() == Some(8))
    };
    is_of(SCALE_SUFFIX) || is_of(BLOCK_SCALE_SUFFIX)
}

/// In every matrix of floats, the share `sparsity` of elements of the smallest magnitude as zeros;
/// other tensors as they are, which is noted of matrices. Elements of one magnitude become zero
/// together.
pub(super) fn prune(inputs: &Inputs) -> Result<Draft, UpdateError> {
    inputs.only_parameters(&["sparsity", TENSORS])?;
    let sparsity = inputs.number("sparsity")?.filter(|share| (0.0..=1.0).contains(share));
    let Some(sparsity) = sparsity else {
        return Err(UpdateError::parameter("sparsity", "say how many of 1 become zero: 0.5"));
    };
    let parent = inputs.only_parent()?;
    let chosen = Chosen::read(&inputs.parameters, parent)?;
    let mut work = Work::new("pruned");
    let mut prune = |tensor: &Tensor| {
        if is_scale(parent, tensor) {
            return Ok(work.left(tensor, OF_ANOTHER));
        }
        if tensor.shape().dims().len() < 2 {
            return Ok(DraftTensor::keep(tensor));
        }
        if !is_number(tensor.dtype()) {
            return Ok(work.left_by_type(tensor));
        }
        work.done += 1;
        let width = tensor.dtype().lane_bytes();
        let count = tensor.byte_len() / width.max(1) as u64;
        let zeros = (sparsity * count as f64) as usize;
        if zeros == 0 {
            return Ok(DraftTensor::keep(tensor));
        }
        let threshold = threshold(tensor, zeros)?;
        let parameters = [&threshold.to_le_bytes()[..], &[0]].concat();
        let dtype = tensor.dtype();
        let types = (dtype, &[dtype.clone()][..]);
        let formula = formula(tensor.name(), PRUNE, types, &parameters)?;
        by_formula(tensor, dtype.clone(), formula, vec![tensor.clone()])
    };
    let draft = Draft::like_each(&chosen, |tensor| Ok([prune(tensor)?]))?;
    work.checked("matrix", parent).map(|()| draft)
}

/// The bits, without the sign, of the element with the `zeros`-th smallest magnitude.
fn threshold(tensor: &Tensor, zeros: usize) -> Result<u64, UpdateError> {
    let view = tensor.view()?;
    let width = tensor.dtype().lane_bytes().max(1);
    let bits = |element: &[u8]| element.iter().rev().fold(0, |n, byte| n << 8 | u64::from(*byte));
    let sign = 1u64 << (8 * width - 1);
    let mut magnitudes: Vec<u64> =
        view.chunks_exact(width).map(|element| bits(element) & !sign).collect();
    let at = zeros.min(magnitudes.len()).saturating_sub(1);
    if magnitudes.is_empty() {
        return Ok(0);
    }
    Ok(*magnitudes.select_nth_unstable(at).1)
}
